"""Lines of LOBSTER message files: what each becomes, and every way to get one wrong."""

from __future__ import annotations

from datetime import date
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batonics.codec.lobster import LobsterDecoder
from batonics.model.book_changes import BookChange, TradingStatus
from batonics.model.errors import DamagedInputError, InputError, UsageError
from batonics.model.mbo import MBO_DTYPE, NO_CHANNEL
from batonics.model.symbols import MappingInterval
from tests.support.decoder_runs import DecodeOutcome, decode_every_way, decode_in_chunks
from tests.support.lobster_files import Row, expected_rows, line

DAY, MIDNIGHT_NS = date(2012, 6, 21), 1_340_251_200_000_000_000  # 04:00 in UTC
LATE_DAY, LATE_MIDNIGHT_NS = date(2014, 7, 14), 1_405_310_400_000_000_000
make = partial(LobsterDecoder, "AAPL", DAY, batch_rows=4)
make_late = partial(LobsterDecoder, "AAPL", LATE_DAY, batch_rows=4)
T0 = 34_200 * 10**9 + 17_459_617

Line = tuple[int, int, int, int, int, int]


def rows_of(outcome: DecodeOutcome) -> list[Row]:
    records = np.frombuffer(outcome.rows, MBO_DTYPE)
    assert (records["ts_recv"] == records["ts_event"]).all()
    assert (records["publisher_id"] == 2).all()
    assert (records["instrument_id"] == 1).all()
    assert (records["channel_id"] == NO_CHANNEL).all()
    names = "ts_event", "action", "side", "price", "size", "order_id", "flags", "sequence"
    columns = [records[name].tolist() for name in names]
    columns[1], columns[2] = list(map(chr, columns[1])), list(map(chr, columns[2]))
    return list(zip(*columns, strict=True))


def decode(*lines: Line, extra: str = "") -> list[Row]:
    """The rows of lines, checked against the table of the format."""
    data = b"".join(line(*each, extra) for each in lines)
    outcome = decode_every_way(make, data)
    assert outcome.error is None
    rows = rows_of(outcome)
    assert rows == expected_rows(lines, MIDNIGHT_NS, knows_side=True)
    late = rows_of(decode_every_way(make_late, data))
    assert late == expected_rows(lines, LATE_MIDNIGHT_NS, knows_side=False)
    return rows


def test_the_first_row_empties_the_book_and_says_that_records_are_missing() -> None:
    rows = decode((T0, 1, 206_833_312, 100, 118_600, -1))
    assert rows == [
        (MIDNIGHT_NS + T0, "R", "N", 2**63 - 1, 0, 0, 128 | 4, 1),
        (MIDNIGHT_NS + T0, "A", "A", 11_860_000_000, 100, 206_833_312, 128, 1),
    ]


def test_every_type_of_event() -> None:
    rows = decode(
        (T0, 1, 7, 100, 118_600, 1), (T0 + 1, 2, 7, 30, 118_600, 1), (T0 + 2, 4, 7, 20, 118_600, 1),
        (T0 + 3, 3, 7, 50, 118_600, 1), (T0 + 4, 5, 0, 9, 118_650, 1), (T0 + 5, 6, -1, 9, 5, -1),
    )  # fmt: skip
    assert [(action, side) for _, action, side, *_ in rows] == [
        ("R", "N"), ("A", "B"), ("C", "B"), ("T", "A"), ("F", "B"), ("C", "B"), ("C", "B"),
        ("T", "A"), ("T", "N"),
    ]  # fmt: skip
    assert [order for *_, order, _, _ in rows] == [0, 7, 7, 0, 7, 7, 7, 0, 0]


def test_a_seventh_column_has_no_rows() -> None:
    bid = T0, 1, 7, 100, 118_600, 1
    assert decode(bid, extra=",null") == decode(bid, extra=",GSCO") == decode(bid, extra=",")


def test_lines_may_end_as_those_of_windows_and_the_last_may_lack_its_end() -> None:
    data = line(T0, 1, 7, 100, 118_600, 1) + b"\n" + line(T0, 3, 7, 100, 118_600, 1)
    plain = decode_every_way(make, data)
    assert plain.records == 2
    assert decode_every_way(make, data.replace(b"\n", b"\r\n")).rows == plain.rows
    assert decode_every_way(make, data[:-1]).rows == plain.rows


def test_halts_give_the_trading_status() -> None:
    lines = [line(36_023 * 10**9, 7, 0, 0, price, -1) for price in (-1, 0, 1)]
    outcome = decode_every_way(make, b"".join(lines))
    assert [record.content for record in outcome.other_records] == [
        BookChange(MIDNIGHT_NS + 36_023 * 10**9, 2, 1, status)
        for status in (TradingStatus.HALT, TradingStatus.QUOTING, TradingStatus.TRADING)
    ]
    assert [record.record_index for record in outcome.other_records] == [0, 1, 2]
    assert (outcome.records, outcome.row_count) == (3, 0)


def test_the_ticker_names_the_instrument_on_its_day() -> None:
    decoder = make()
    end_ns = MIDNIGHT_NS + 86_400 * 10**9
    assert decoder.new_names() == [MappingInterval(MIDNIGHT_NS, end_ns, 1, "AAPL")]
    assert decoder.new_names() == []


GOOD = "34200.5,1,7,100,118600,1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("34200.5,1,7,100,118600", "the line has 5 columns, expected 6 or 7"),
        (GOOD + ",null,1", "the line has 8 columns, expected 6 or 7"),
        ("86400,1,7,100,118600,1", "the time is '86400', expected seconds after midnight"),
        ("-1,1,7,100,118600,1", "the time is '-1', expected"),
        ("34200.,1,7,100,118600,1", "the time is '34200.', expected"),
        ("34200.1234567891,1,7,100,118600,1", "the time is '34200.1234567891', expected"),
        ("3.42e4,1,7,100,118600,1", "the time is '3.42e4', expected"),
        (",1,7,100,118600,1", "the time is '', expected"),
        ("34200.5,8,7,100,118600,1", "the type is '8', expected 1 to 7"),
        ("34200.5,0,7,100,118600,1", "the type is '0', expected 1 to 7"),
        ("34200.5,1,0,100,118600,1", "the order id is '0', expected an integer; from 1 on"),
        ("34200.5,1,-7,100,118600,1", "the order id is '-7'"),
        ("34200.5,5,-7,100,118600,1", "the order id is '-7'"),
        ("34200.5,1,1234567890123456789,100,118600,1", "the order id is '1234567890123456789'"),
        ("34200.5,1,7,4294967295,118600,1", "the size is '4294967295', expected 0 to 4294967294"),
        ("34200.5,1,7,-1,118600,1", "the size is '-1'"),
        ("34200.5,1,7,1.0,118600,1", "the size is '1.0'"),
        ("34200.5,1,7,100,-1,1", "the price is '-1'"),
        ("34200.5,1,7,100,4294967296,1", "the price is '4294967296'"),
        ("34200.5,1,7,100,118600,0", "the direction is '0', expected 1 or -1"),
        ("34200.5,1,7,100,118600, 1", "the direction is ' 1', expected 1 or -1"),
        ("34200.5,1,7,100,118600,", "the direction is '', expected 1 or -1"),
        ("34200.5,7,1,0,1,-1", "the order id is '1'"),
        ("34200.5,7,0,0,2,-1", "the price is '2'"),
        ("Time,Type,Order ID,Size,Price,Direction", "the time is 'Time'"),
    ],
)
def test_a_bad_line_is_named_with_its_offset_and_number(text: str, words: str) -> None:
    good = GOOD.encode() + b"\n"
    outcome = decode_every_way(make, good + text.encode() + b"\n" + good)
    assert isinstance(outcome.error, DamagedInputError)
    assert f"byte {len(good)}, record 1: {words}" in str(outcome.error)
    assert outcome.row_count == 2
    skipping = decode_every_way(partial(make, skip_bad=True), good + text.encode() + b"\n" + good)
    assert (skipping.error, skipping.skipped, skipping.records) == (None, 1, 3)
    assert rows_of(skipping)[-1][-1] == 3


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_line_that_is_too_long_is_never_skipped(skip_bad: bool) -> None:
    longest = GOOD + "," + "x" * (4095 - len(GOOD))
    for text, is_good in ((longest, True), (longest + "x", False)):
        data = f"{GOOD}\n{text}\n{GOOD}\n".encode()
        outcome = decode_every_way(partial(make, skip_bad=skip_bad), data)
        assert (outcome.error is None) == is_good
        assert is_good or "record 1: the line is longer than 4096 bytes" in str(outcome.error)


def test_a_file_that_is_cut_within_its_numbers_is_refused() -> None:
    for cut in range(1, len(GOOD)):
        data = GOOD.encode() + b"\n" + GOOD.encode()[:-cut]
        error = decode_every_way(make, data).error
        assert (error is None) == (data.endswith(b"\n")), data
    assert isinstance(decode_in_chunks(make(), b"", 1).error, InputError)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="batch_rows is 3"):
        LobsterDecoder("X", DAY, batch_rows=3)


LINES = st.one_of(
    st.tuples(
        st.integers(0, 86_400 * 10**9 - 1), st.integers(1, 4), st.integers(1, 10**18 - 1),
        st.integers(0, 2**32 - 2), st.integers(0, 2**32 - 1), st.sampled_from([1, -1]),
    ),
    st.tuples(
        st.integers(0, 86_400 * 10**9 - 1), st.just(5), st.integers(0, 9), st.integers(0, 9),
        st.integers(0, 9), st.sampled_from([1, -1]),
    ),
    st.tuples(
        st.just(0), st.just(6), st.integers(-4, 4), st.integers(0, 9), st.integers(0, 9),
        st.sampled_from([1, -1]),
    ),
    st.tuples(
        st.just(0), st.just(7), st.just(0), st.just(0), st.integers(-1, 1), st.just(-1)
    ),
)  # fmt: skip


@given(st.lists(LINES, min_size=1, max_size=30))
def test_any_lines_have_the_rows_of_the_table(lines: list[Line]) -> None:
    decode(*lines)


@given(st.text("0123456789.,-\r\n n", max_size=60), st.booleans())
def test_any_text_is_read_or_refused_with_its_column(text: str, skip_bad: bool) -> None:
    outcome = decode_every_way(partial(make, skip_bad=skip_bad), f"{GOOD}\n{text}\n{GOOD}".encode())
    if outcome.error is not None:
        assert not skip_bad
        assert "cannot be read" not in str(outcome.error)
