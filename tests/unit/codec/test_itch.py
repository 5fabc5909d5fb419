"""ITCH messages: what each becomes, by the rules of docs/formats.md, and all that is refused."""

from __future__ import annotations

from collections import Counter
from datetime import date
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batonics.codec import itch
from batonics.codec.itch import ItchDecoder
from batonics.codec.itch_messages import ITCH_NAMES, MESSAGE_BYTES
from batonics.codec.messages import HEADER_DTYPE
from batonics.model.book_changes import BookChange, TradingStatus
from batonics.model.definitions import Definition
from batonics.model.errors import DamagedInputError, InputError, UsageError
from batonics.model.mbo import MBO_DTYPE, NO_CHANNEL, UNDEF_PRICE, UNDEF_TIMESTAMP
from batonics.model.symbols import MappingInterval
from tests.support import itch_files as write
from tests.support.decoder_runs import DecodeOutcome, decode_every_way, decode_in_chunks
from tests.support.reference_itch import ReferenceItch, Row

DAY = date(2019, 1, 30)
MIDNIGHT_NS = 1_548_824_400_000_000_000  # 05:00 in UTC
make = partial(ItchDecoder, DAY, batch_rows=4)
PX = 1_234_500  # 123.45


def join(*messages: bytes) -> bytes:
    return b"".join(map(write.framed, messages))


def rows_of(outcome: DecodeOutcome) -> list[Row]:
    records = np.frombuffer(outcome.rows, MBO_DTYPE)
    assert (records["ts_recv"] == records["ts_event"]).all()
    assert (records["channel_id"] == NO_CHANNEL).all()
    assert (records["ts_in_delta"] == 0).all()
    names = ("publisher_id", "instrument_id", "ts_event", "action", "side", "price", "size",
             "order_id", "flags", "sequence")  # fmt: skip
    columns = [records[name].tolist() for name in names]
    columns[3], columns[4] = list(map(chr, columns[3])), list(map(chr, columns[4]))
    return list(zip(*columns, strict=True))


def reference_of(messages: list[bytes]) -> ReferenceItch:
    reference = ReferenceItch(MIDNIGHT_NS)
    for message in messages:
        reference.read(message)
    return reference


def decode(*messages: bytes) -> list[Row]:
    """The rows of messages behind an opening, checked against the reference."""
    whole = [*write.opening(), *messages]
    outcome = decode_every_way(make, join(*whole))
    assert outcome.error is None
    assert outcome.records == len(whole)
    rows = rows_of(outcome)
    assert rows == reference_of(whole).rows
    return [row for row in rows if row[-1] > len(write.opening())]


def terms(rows: list[Row]) -> list[tuple[object, ...]]:
    """Action, side, price in 1e-4, size, order and flags of rows."""
    return [(r[3], r[4], None if r[5] == UNDEF_PRICE else r[5] // 10**5, *r[6:9]) for r in rows]


ADD = write.add(1, "AAPL", 7, "B", 100, PX)


def test_lengths_are_those_of_the_specification() -> None:
    written = {
        "S": write.system_event("O"), "R": write.directory(1, "A"), "A": ADD,
        "H": write.trading_action(1, "A", "T"), "F": write.add(1, "A", 1, "B", 1, 1, 0, "GSCO"),
        "E": write.executed(1, 1, 1), "C": write.executed_at(1, 1, 1, 1),
        "X": write.cancel(1, 1, 1), "D": write.delete(1, 1), "U": write.replace(1, 1, 2, 1, 1),
        "P": write.trade(1, "A", 1, 1), "Q": write.cross(1, "A", 1, 1),
    }  # fmt: skip
    lengths = {kind: len(message) for kind, message in written.items()}
    assert lengths | write.OTHER_BYTES == MESSAGE_BYTES


def test_the_day_begins_with_an_empty_book_of_each_stock() -> None:
    rows = rows_of(decode_every_way(make, join(*write.opening())))
    assert rows == [
        (2, locate, MIDNIGHT_NS, "R", "N", UNDEF_PRICE, 0, 0, 128, 1 + locate)
        for locate in (1, 2, 3)
    ]


def test_an_order_that_is_added_with_and_without_attribution() -> None:
    time_ns = 34_200 * 10**9 + 5
    rows = decode(
        write.add(1, "AAPL", 7, "B", 100, PX, time_ns),
        write.add(2, "ZVZZT", 2**64 - 1, "S", 2**32 - 1, 2**32 - 1, time_ns, "GSCO"),
    )
    assert rows == [
        (2, 1, MIDNIGHT_NS + time_ns, "A", "B", PX * 10**5, 100, 7, 128, 7),
        (2, 2, MIDNIGHT_NS + time_ns, "A", "A", (2**32 - 1) * 10**5, 2**32 - 1, 2**64 - 1, 128, 8),
    ]


def test_an_execution_is_a_trade_a_fill_and_a_cancel_in_one_event() -> None:
    assert terms(decode(ADD, write.executed(1, 7, 30)))[1:] == [
        ("T", "A", PX, 30, 0, 0),
        ("F", "B", PX, 30, 7, 0),
        ("C", "B", PX, 30, 7, 128),
    ]


def test_an_execution_at_another_price_prints_at_that_price() -> None:
    assert terms(decode(ADD, write.executed_at(1, 7, 30, PX + 1)))[1:] == [
        ("T", "A", PX + 1, 30, 0, 0),
        ("F", "B", PX + 1, 30, 7, 0),
        ("C", "B", PX, 30, 7, 128),
    ]


def test_an_execution_that_is_not_printed_has_no_trade() -> None:
    assert terms(decode(ADD, write.executed_at(1, 7, 30, PX + 1, "N")))[1:] == [
        ("F", "B", PX + 1, 30, 7, 0),
        ("C", "B", PX, 30, 7, 128),
    ]


def test_cancels_and_deletes_have_the_side_price_and_size_of_the_order() -> None:
    rows = decode(ADD, write.cancel(1, 7, 30), write.executed(1, 7, 20), write.delete(1, 7))
    assert terms(rows)[1] == ("C", "B", PX, 30, 7, 128)
    assert terms(rows)[-1] == ("C", "B", PX, 50, 7, 128)


def test_a_replace_is_a_cancel_and_an_add_in_one_event() -> None:
    rows = decode(ADD, write.replace(1, 7, 8, 40, PX + 5), write.delete(1, 8))
    assert terms(rows)[1:] == [
        ("C", "B", PX, 100, 7, 0),
        ("A", "B", PX + 5, 40, 8, 128),
        ("C", "B", PX + 5, 40, 8, 128),
    ]


def test_an_unknown_order_has_no_side_and_no_price() -> None:
    rows = decode(
        write.executed(1, 9, 30), write.executed_at(1, 9, 30, PX), write.cancel(1, 9, 1),
        write.delete(1, 9), write.replace(1, 9, 10, 5, PX),
    )  # fmt: skip
    undefined = 2**32 - 1
    assert terms(rows) == [
        ("T", "N", None, 30, 0, 0), ("F", "N", None, 30, 9, 0), ("C", "N", None, 30, 9, 128),
        ("T", "N", PX, 30, 0, 0), ("F", "N", PX, 30, 9, 0), ("C", "N", None, 30, 9, 128),
        ("C", "N", None, 1, 9, 128),
        ("C", "N", None, undefined, 9, 128),
        ("C", "N", None, undefined, 9, 0), ("A", "N", PX, 5, 10, 128),
    ]  # fmt: skip


def test_trades_with_hidden_orders_and_crosses_name_no_side() -> None:
    rows = decode(
        write.trade(1, "AAPL", 50, PX), write.trade(1, "AAPL", 50, PX, side="S"),
        write.cross(1, "AAPL", 2**32 - 2, PX), write.cross(1, "AAPL", 0, 0),
    )  # fmt: skip
    assert terms(rows) == [
        ("T", "N", PX, 50, 0, 128),
        ("T", "N", PX, 50, 0, 128),
        ("T", "N", PX, 2**32 - 2, 0, 128),
        ("T", "N", None, 0, 0, 128),
    ]


def test_other_messages_are_counted() -> None:
    others = [write.other(kind) for kind in write.OTHER_BYTES]
    decoder = make()
    outcome = decode_in_chunks(decoder, join(*write.opening(), *others, others[0]), 10**6)
    assert outcome.error is None
    expected = Counter({ord(kind): 1 for kind in write.OTHER_BYTES}) + Counter([others[0][0]])
    assert decoder.take_counts() == expected
    assert decoder.take_counts() == Counter()
    assert {chr(code) for code in ITCH_NAMES} == {*write.OTHER_BYTES, *"SRH"}


def test_directories_name_the_stocks_and_trading_actions_give_their_status() -> None:
    states = [write.trading_action(2, "ZVZZT", state, 10 + at) for at, state in enumerate("HPQT")]
    decoder = make()
    outcome = decode_in_chunks(decoder, join(*write.opening(), *states), 10**6)
    day = MIDNIGHT_NS, MIDNIGHT_NS + 86_400 * 10**9
    assert decoder.new_names() == [
        MappingInterval(*day, at, symbol) for at, symbol in enumerate(write.SYMBOLS, 1)
    ]
    contents = [record.content for record in outcome.other_records if record.content is not None]
    assert contents[:3] == [
        Definition(MIDNIGHT_NS, UNDEF_TIMESTAMP, at, symbol, UNDEF_PRICE, UNDEF_PRICE, "F")
        for at, symbol in enumerate(write.SYMBOLS, 1)
    ]
    statuses = (
        TradingStatus.HALT, TradingStatus.PAUSE, TradingStatus.QUOTING, TradingStatus.TRADING,
    )  # fmt: skip
    assert contents[3:] == [
        BookChange(MIDNIGHT_NS + 10 + at, 2, 2, status) for at, status in enumerate(statuses)
    ]
    headers = np.frombuffer(b"".join(r.data[:16] for r in outcome.other_records), HEADER_DTYPE)
    assert bytes(headers["rtype"]) == b"SRRRSS" + b"HHHH"
    assert headers["instrument_id"].tolist() == [0, 1, 2, 3, 0, 0, 2, 2, 2, 2]
    assert int(headers["ts_event"][-1]) == MIDNIGHT_NS + 13
    indices = [record.record_index for record in outcome.other_records]
    assert indices == list(range(10))


def test_a_stock_without_a_directory_has_the_name_of_its_first_message_and_no_clear() -> None:
    decoder = make()
    messages = [write.system_event("Q"), write.directory(1, "AAPL"), ADD]
    messages += [write.add(9, "TSLA", 8, "S", 5, PX), write.trading_action(4, "F", "H")]
    outcome = decode_in_chunks(decoder, join(*messages, write.directory(9, "TSLA")), 10**6)
    assert [row[3] for row in rows_of(outcome)] == ["A", "A"]
    assert [(m.instrument_id, m.symbol) for m in decoder.new_names()] == [
        (1, "AAPL"), (9, "TSLA"), (4, "F"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"Z" + bytes(20), "the type is Z, which ITCH 5.0 does not have"),
        (b"\x01" + bytes(20), "the type is 0x01, which ITCH 5.0 does not have"),
        (write.delete(1, 7) + b"\0", "the length is 20, expected 19 for type D"),
        (write.delete(1, 7, 86_400 * 10**9), "type D: the time is 86400000000000 ns after"),
        (write.delete(0, 7), "type D: the stock locate is 0, which is that of no stock"),
        (write.add(1, "AAPL", 8, "X", 1, 1), "type A: the side is X, expected B or S"),
        (write.trade(1, "AAPL", 1, 1, side="N"), "type P: the side is N, expected B or S"),
        (write.executed_at(1, 7, 1, 1, "?"), "type C: printable is ?, expected Y or N"),
        (write.cross(1, "AAPL", 2**32 - 1, 1), "type Q: 4294967295 shares do not fit a size"),
        (write.trading_action(1, "AAPL", "X"), "the trading state is X, expected H, P, Q or T"),
        (write.system_event("Z"), "the code of the system event is Z, expected O, S, Q, M, E or C"),
        (write.system_event("O"), "Start of Messages comes again: another day begins"),
        (write.add(1, "MSFT", 8, "B", 1, 1), "type A: stock locate 1 is AAPL, not MSFT"),
        (write.directory(1, "MSFT"), "type R: stock locate 1 is AAPL, not MSFT"),
        (write.directory(9, "A B"), "the symbol is 41 20 42 20 20 20 20 20, expected printable"),
        (write.directory(9, ""), "the symbol is 20 20 20 20 20 20 20 20, expected printable"),
        (write.cross(9, "A\x07", 1, 1), "the symbol is 41 07 20 20 20 20 20 20"),
        (write.delete(2, 7), "stock locate 2 has no such order: its reference number is another"),
        (write.add(2, "ZVZZT", 7, "B", 1, 1), "stock locate 2 has no such order"),
        (write.replace(2, 8, 7, 1, 1), "stock locate 2 has no such order"),
    ],
)
def test_damage_is_named_with_its_offset_and_the_number_of_its_message(
    message: bytes, words: str
) -> None:
    before = join(*write.opening(), ADD)
    outcome = decode_every_way(make, before + write.framed(message) + write.framed(ADD))
    assert isinstance(outcome.error, DamagedInputError)
    assert f"byte {len(before)}, record 7: " in str(outcome.error)
    assert words in str(outcome.error)
    assert (outcome.records, outcome.row_count) == (7, 4)


def test_nothing_may_follow_the_end() -> None:
    day = join(*write.opening(), *write.closing(5))
    decoder = make()
    assert decode_in_chunks(decoder, day, 10**6).error is None
    assert decoder.has_ended
    assert decode_every_way(make, day + b"\0\0").error is None
    assert "it follows End of Messages" in str(decode_every_way(make, day + join(ADD)).error)
    outcome = decode_every_way(make, day + b"\0\0" + join(ADD))
    assert f"byte {len(day) + 2}, record 9: bytes follow the length of 0" in str(outcome.error)


def test_a_file_begins_with_a_system_event() -> None:
    outcome = decode_every_way(make, join(ADD))
    assert "byte 0, record 0: type A: it is not a system event" in str(outcome.error)


def test_a_file_that_is_cut_or_empty_is_refused() -> None:
    whole = join(*write.opening(), ADD)
    for cut in range(1, len(join(ADD))):
        outcome = decode_every_way(make, whole[:-cut])
        left = len(join(ADD)) - cut
        assert f"record 6: the stream ends after {left} bytes of a message" in str(outcome.error)
    empty = decode_in_chunks(make(), b"", 1).error
    assert isinstance(empty, InputError)
    assert "the input is empty" in str(empty)


def test_bad_messages_whose_length_is_certain_are_skipped() -> None:
    bad = [b"Z" * 300, write.add(1, "AAPL", 8, "X", 1, 1), write.delete(2, 7)]
    whole = [*write.opening(), ADD, *bad, write.delete(1, 7)]
    outcome = decode_every_way(partial(make, skip_bad=True), join(*whole))
    assert (outcome.error, outcome.skipped, outcome.records) == (None, 3, len(whole))
    assert [row[-1] for row in rows_of(outcome)] == [2, 3, 4, 7, 11]
    for certain in (write.delete(1, 7) + b"\0", b"Z" * 5, write.system_event("O")):
        data = join(*write.opening(), certain, ADD)
        assert decode_every_way(partial(make, skip_bad=True), data).error is not None


def test_memory_follows_the_live_orders() -> None:
    adds = [write.add(1, "AAPL", order, "B", 1, PX) for order in range(1, 20_001)]
    deletes = [write.delete(1, order) for order in range(1, 20_001)]
    decoder = ItchDecoder(DAY)
    assert decode_in_chunks(decoder, join(*write.opening(), *adds), 10**6).error is None
    assert decoder.live_orders == 20_000
    orders = len(decoder._state.orders)
    for batch in decoder.feed(join(*deletes, *adds, *deletes)):
        assert len(batch.action)
    assert decoder.live_orders == 0
    assert len(decoder._state.orders) == orders
    few = ItchDecoder(DAY)
    pairs = [message for pair in zip(adds, deletes, strict=True) for message in pair]
    assert decode_in_chunks(few, join(*write.opening(), *pairs), 10**6).error is None
    assert len(few._state.orders) == 4 * itch._SLOTS_AT_FIRST


def test_batches_stay_valid_for_as_many_more_as_there_are_buffers() -> None:
    adds = [write.add(1, "AAPL", order, "B", 1, PX) for order in range(1, 40)]
    batches = list(make(buffers=30).feed(join(*write.opening(), *adds)))
    assert [o for batch in batches for o in batch.order_id.tolist()] == [0, 0, 0, *range(1, 40)]


def test_many_other_messages_end_a_batch_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(itch, "OTHERS_MAX", 4)
    outcome = decode_every_way(make, join(*write.opening(), ADD))
    assert len(outcome.other_records) == 6
    assert outcome.row_count == 4


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="batch_rows is 2"):
        ItchDecoder(DAY, batch_rows=2)
    with pytest.raises(UsageError, match="buffers 0"):
        ItchDecoder(DAY, buffers=0)


ORDERS = st.integers(1, 6)
SIZES = st.integers(0, 9) | st.just(2**32 - 1)
PRICES = st.integers(0, 3) | st.just(2**32 - 1)
TIMES = st.integers(0, 86_400 * 10**9 - 1)
LOCATES = st.shared(st.just(1))
MESSAGES = st.one_of(
    st.builds(write.add, LOCATES, st.just("AAPL"), ORDERS, st.sampled_from("BS"), SIZES, PRICES,
              TIMES, st.sampled_from(["", "GSCO"])),
    st.builds(write.executed, LOCATES, ORDERS, SIZES, ORDERS, TIMES),
    st.builds(write.executed_at, LOCATES, ORDERS, SIZES, PRICES, st.sampled_from("YN")),
    st.builds(write.cancel, LOCATES, ORDERS, SIZES),
    st.builds(write.delete, LOCATES, ORDERS),
    st.builds(write.replace, LOCATES, ORDERS, ORDERS, SIZES, PRICES),
    st.builds(write.trade, LOCATES, st.just("AAPL"), st.integers(0, 9), PRICES),
    st.builds(write.cross, LOCATES, st.just("AAPL"), st.integers(0, 9), PRICES),
    st.builds(write.other, st.sampled_from(sorted(write.OTHER_BYTES))),
    st.builds(write.trading_action, st.integers(1, 3), st.just("X"), st.sampled_from("HPQT")),
)  # fmt: skip


@given(st.lists(MESSAGES, max_size=40), st.booleans())
def test_any_messages_have_the_rows_of_the_reference(messages: list[bytes], begins: bool) -> None:
    stocks = [write.directory(1, "AAPL")]
    named = [m for m in messages if m[:1] != b"H"]
    whole = [write.system_event("O" if begins else "S"), *stocks, *named]
    outcome = decode_every_way(make, join(*whole))
    assert outcome.error is None
    assert rows_of(outcome) == reference_of(whole).rows


@given(st.binary(max_size=300), st.integers(0, 400))
def test_no_bytes_raise_anything_but_an_error_of_ours(data: bytes, at: int) -> None:
    whole = join(*write.opening(), ADD, write.executed(1, 7, 5), write.delete(1, 7))
    damaged = whole[: at % len(whole)] + data + whole[at % len(whole) + len(data) :]
    for skip_bad in (False, True):
        outcome = decode_every_way(partial(make, skip_bad=skip_bad), damaged)
        assert outcome.error is None or isinstance(outcome.error, InputError)


def test_a_changed_byte_is_refused_at_its_message_or_changes_rows_alike_in_all_chunks() -> None:
    messages = [*write.opening(), ADD, write.executed_at(1, 7, 5, PX), write.cross(1, "AAPL", 1, 1)]
    whole = join(*messages)
    refused = Counter[int]()
    for at in range(len(whole)):
        damaged = whole[:at] + bytes([whole[at] ^ 0x81]) + whole[at + 1 :]
        outcome = decode_every_way(make, damaged)
        if outcome.error is not None:
            assert isinstance(outcome.error, DamagedInputError)
            refused[at] += 1
    # Lengths, types and the first byte of a time are always seen, and the stock of an order is.
    starts = [len(join(*messages[:number])) for number in range(len(messages))]
    for start, message in zip(starts, messages, strict=True):
        seen = [0, 1, 2, 3, 4, 7] if message[:1] in b"AC" else [0, 1, 2, 7]
        assert all(refused[start + offset] for offset in seen), message
