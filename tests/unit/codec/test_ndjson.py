"""NDJSON ops: what each becomes, every way to write one, and every way to get one wrong."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batonics.codec import ndjson
from batonics.codec.ndjson import NdjsonDecoder
from batonics.model.errors import DamagedInputError, InputError, UsageError
from batonics.model.mbo import (
    MBO_DTYPE,
    NO_CHANNEL,
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
    UNDEF_TIMESTAMP,
    Action,
    Flag,
    Side,
)
from batonics.model.symbols import MappingInterval
from tests.support.decoder_runs import decode_every_way, decode_in_chunks

Op = dict[str, Any]

ADD: Op = {"type": "add", "symbol": "X", "side": "bid", "oid": 1, "px": 10, "qty": 5}
SIDES = {"bid": Side.BID, "ask": Side.ASK, None: Side.NONE}


def lines(*ops: Op) -> bytes:
    return b"".join(json.dumps(op).encode() + b"\n" for op in ops)


def rows_of(op: Op) -> list[tuple[Any, ...]]:
    """Action, side, order_id, price, size and flags of the rows of an op, by the table."""
    price = UNDEF_PRICE if op.get("px") is None else op["px"]
    size = UNDEF_ORDER_SIZE if op.get("qty") is None else op["qty"]
    side = SIDES[op.get("side")]
    oid = op.get("oid")
    last = Flag.LAST
    match op["type"]:
        case "add":
            return [(Action.ADD, side, oid, price, size, last)]
        case "modify":
            return [(Action.MODIFY_PARTIAL, side, oid, price, size, last)]
        case "cancel" if op.get("qty") is None:
            return [(Action.MODIFY_PARTIAL, Side.NONE, oid, UNDEF_PRICE, 0, last)]
        case "cancel":
            return [(Action.CANCEL, side, oid, price, size, last)]
        case "fill":
            return [
                (Action.FILL, side, oid, price, size, Flag(0)),
                (Action.CANCEL, side, oid, price, size, last),
            ]
        case "clear":
            return [(Action.CLEAR, Side.NONE, 0, UNDEF_PRICE, 0, last)]
    raise AssertionError(op)


def expected(ops: list[Op]) -> tuple[bytes, list[str]]:
    """The rows of ops as wire bytes, and their symbols."""
    symbols: list[str] = []
    rows = []
    for op in ops:
        if op["symbol"] not in symbols:
            symbols.append(op["symbol"])
        ts_ns = UNDEF_TIMESTAMP if op.get("ts_ns") is None else op["ts_ns"]
        rows += [
            (
                *(14, 0xA0, 0, symbols.index(op["symbol"]) + 1, ts_ns, oid, price, size),
                *(flags, NO_CHANNEL, action, side, ts_ns, 0, op.get("seq") or 0),
            )
            for action, side, oid, price, size, flags in rows_of(op)
        ]
    return np.array(rows, MBO_DTYPE).tobytes(), symbols


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


symbols = st.one_of(
    st.sampled_from(["X", "ES H4", "Ä€", "\N{GRINNING FACE}", "a" * 100, "\x7f"]),
    st.text(st.characters(exclude_characters='"\\', exclude_categories=["Cs", "Cc"]), min_size=1),
)
oids = st.one_of(st.sampled_from([0, 1, 2**63, 2**64 - 1]), st.integers(0, 2**64 - 1))
prices = st.one_of(st.sampled_from([0, -(2**63), 2**63 - 2]), st.integers(-(2**63), 2**63 - 2))
sizes = st.one_of(st.sampled_from([0, 2**32 - 2]), st.integers(0, 2**32 - 2))
sides = st.sampled_from(["bid", "ask"])
stamps: dict[str, Any] = {
    "seq": optional(st.integers(0, 2**32 - 1)),
    "ts_ns": optional(st.integers(0, 2**64 - 1)),
}
ops = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("add"), "symbol": symbols, "side": sides}
        | {"oid": oids, "px": prices, "qty": sizes}
        | stamps
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["modify", "cancel"]), "symbol": symbols, "oid": oids}
        | {"side": optional(sides), "px": optional(prices), "qty": optional(sizes)}
        | stamps
    ),
    st.fixed_dictionaries(
        {"type": st.just("fill"), "symbol": symbols, "oid": oids, "qty": sizes}
        | {"side": optional(sides), "px": optional(prices)}
        | stamps
    ),
    st.fixed_dictionaries({"type": st.just("clear"), "symbol": symbols} | stamps),
)
unknown = st.dictionaries(
    st.sampled_from(["venue", "Px", "types", "a-long-name-of-a-field", ""]),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(-9, 9))
        | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
        max_leaves=3,
    ),
    max_size=2,
)


@st.composite
def written(draw: st.DrawFn) -> tuple[list[Op], bytes]:
    """Ops, and their lines in any order of fields and any white space."""
    drawn = draw(st.lists(ops, max_size=8))
    text = b""
    for op in drawn:
        fields = list((op | draw(unknown)).items())
        shuffled = dict(draw(st.permutations(fields)))
        for name in [name for name, value in shuffled.items() if value is None]:
            if draw(st.booleans()):
                del shuffled[name]
        space = draw(st.sampled_from(["", " ", "\t ", "\r"]))
        separators = (f"{space},{space}", f"{space}:{space}")
        body = json.dumps(shuffled, separators=separators, ensure_ascii=draw(st.booleans()))
        end = draw(st.sampled_from(["\n", "\r\n", " \n", "\n\n", "\n \t\n"]))
        text += f"{space}{body}{end}".encode()
    return drawn, text


@given(written(), st.integers(1, 200), st.integers(2, 9))
def test_every_way_to_write_an_op_means_the_same(
    case: tuple[list[Op], bytes], chunk_bytes: int, batch_rows: int
) -> None:
    drawn, text = case
    rows, names = expected(drawn)
    for size in (chunk_bytes, max(len(text), 1)):
        decoder = NdjsonDecoder(batch_rows=batch_rows)
        outcome = decode_in_chunks(decoder, text, size)
        assert outcome.rows == rows
        assert decoder.symbols == names
        if drawn:
            assert outcome.error is None
        assert (outcome.records, outcome.row_count) == (len(drawn), len(rows) // 56)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_usual_lines_never_reach_the_full_parser(
    monkeypatch: pytest.MonkeyPatch, separators: tuple[str, str]
) -> None:
    def refuse(line: bytes) -> bytes:
        raise AssertionError(line)

    monkeypatch.setattr(ndjson, "normalize_op", refuse)
    usual: list[Op] = [
        ADD | {"seq": 1, "ts_ns": 2**64 - 1, "venue": "Q", "depth": 3, "note": None},
        {"type": "modify", "symbol": "Y", "oid": 2**64 - 1, "px": -(2**63)},
        {"type": "cancel", "symbol": "X", "oid": 1},
        {"type": "fill", "symbol": "X", "oid": 1, "qty": 2**32 - 2},
        {"type": "clear", "symbol": "X"},
    ]
    text = "".join(json.dumps(op, separators=separators) + "\n" for op in usual).encode()
    outcome = decode_in_chunks(NdjsonDecoder(), text, len(text))
    assert (outcome.error, outcome.rows) == (None, expected(usual)[0])


# The words of an error, for a line between two good ones.
BAD_LINES = [
    (b"{", "not JSON: "),
    (b'{"type":"add"}{"type":"add"}', "not JSON: "),
    (b'{"type":"clear","symbol":"X"},', "not JSON: "),
    (b'{"type":"clear","symbol":"X\xff"}', "not JSON: "),
    (b'{"type":"clear","symbol":"X\x01"}', "not JSON: "),
    (b'{"type":"add","px":01}', "not JSON: "),
    (b'{"type":"add","px":NaN}', "not JSON: "),
    (b"\xef\xbb\xbf{}", "not JSON: the line begins in UTF-8 with a byte order mark; save it as"),
    (b"\xff\xfe{\0}\0", "not JSON: the line begins in UTF-16; save it as UTF-8 without a byte"),
    (b"n", "not JSON: "),
    (b"[1]", "found [1], expected a JSON object"),
    (b'"add"', "found 'add', expected a JSON object"),
    (b"{}", "type is None, expected one of add, modify, cancel, fill, clear"),
    (b'{"type":"trade"}', "type is 'trade', expected one of add, modify, cancel, fill, clear"),
    (b'{"type":["add"]}', "type is ['add'], expected one of add, modify, cancel, fill, clear"),
    (lines({"type": "clear"}), "clear without symbol"),
    (lines({"type": "modify", "symbol": "X"}), "modify without oid"),
    (lines({"type": "cancel", "symbol": "X", "oid": None}), "cancel without oid"),
    (lines({"type": "fill", "symbol": "X", "oid": 1}), "fill without qty"),
    *[
        (lines({key: value for key, value in ADD.items() if key != name}), f"add without {name}")
        for name in ("symbol", "side", "oid", "px", "qty")
    ],
    (lines(ADD | {"symbol": ""}), "symbol is '', expected text without quotes or controls"),
    (lines(ADD | {"symbol": 'a"b'}), "symbol is 'a\"b', expected text without quotes"),
    (lines(ADD | {"symbol": "a\nb"}), "symbol is 'a\\nb', expected text without quotes"),
    (lines(ADD | {"symbol": 5}), "symbol is 5, expected text without quotes or controls"),
    (lines(ADD | {"side": "buy"}), "side is 'buy', expected bid or ask"),
    (lines(ADD | {"side": 1}), "side is 1, expected bid or ask"),
    (lines(ADD | {"oid": -1}), "oid is -1, expected an integer from 0 to 18446744073709551615"),
    (lines(ADD | {"oid": 2**64}), "oid is 1.8446744073709552e+19, expected an integer"),
    (lines(ADD | {"oid": "1"}), "oid is '1', expected an integer"),
    (lines(ADD | {"px": 1.5}), "px is 1.5, expected an integer"),
    (lines(ADD | {"px": 1.0}), "px is 1.0, expected an integer"),
    (lines(ADD | {"px": True}), "px is True, expected an integer"),
    (lines(ADD | {"px": 2**63 - 1}), "px is 9223372036854775807, expected an integer"),
    (lines(ADD | {"px": -(2**63) - 1}), "px is -9.223372036854776e+18, expected an integer"),
    (lines(ADD | {"qty": -1}), "qty is -1, expected an integer from 0 to 4294967294"),
    (lines(ADD | {"qty": 2**32 - 1}), "qty is 4294967295, expected an integer"),
    (lines(ADD | {"seq": 2**32}), "seq is 4294967296, expected an integer"),
    (lines(ADD | {"ts_ns": -1}), "ts_ns is -1, expected an integer"),
    (lines({"type": "clear", "symbol": "X", "qty": []}), "qty is [], expected an integer"),
    (lines(ADD | {"oid": "y" * 99}), "oid is 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy..., expected"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_bad_line_is_named_after_the_rows_before_it(line: bytes, reason: str) -> None:
    first = lines(ADD, ADD)
    data = first + b"\n" + line.rstrip(b"\n") + b"\n" + lines(ADD)
    outcome = decode_every_way(NdjsonDecoder, data)
    assert isinstance(outcome.error, DamagedInputError)
    assert outcome.error.reason.startswith(reason)
    # The blank line before it is none of its bytes, and no record.
    assert (outcome.error.byte_offset, outcome.error.record_index) == (len(first) + 1, 2)
    assert outcome.rows == expected([ADD, ADD])[0]
    assert "\n" not in str(outcome.error)

    skipping = decode_every_way(partial(NdjsonDecoder, skip_bad=True), data)
    assert (skipping.error, skipping.skipped, skipping.records) == (None, 1, 4)
    assert skipping.rows == expected([ADD] * 3)[0]
    assert skipping.byte_offset == len(data + NdjsonDecoder.TRAILER)


def test_a_last_line_needs_no_newline_but_must_be_whole() -> None:
    data = lines(ADD, ADD)[:-1]
    assert decode_every_way(NdjsonDecoder, data).rows == expected([ADD, ADD])[0]
    for cut in range(1, len(lines(ADD)) - 1):
        outcome = decode_in_chunks(NdjsonDecoder(), data[:-cut], 1000)
        assert isinstance(outcome.error, DamagedInputError)
        assert (outcome.error.byte_offset, outcome.error.record_index) == (len(lines(ADD)), 1)


def test_without_the_trailer_a_cut_line_is_seen_at_the_close() -> None:
    decoder = NdjsonDecoder(source="tcp")
    assert sum(len(batch.action) for batch in decoder.feed(lines(ADD) + b'{"ty')) == 1
    with pytest.raises(DamagedInputError) as caught:
        decoder.close()
    offset = len(lines(ADD))
    assert str(caught.value) == (
        f"tcp: byte {offset}, record 1: the stream ends after 4 bytes of a line"
    )


@pytest.mark.parametrize("data", [b"", b" \r\n\n\t"])
def test_a_stream_without_ops_is_refused(data: bytes) -> None:
    outcome = decode_every_way(NdjsonDecoder, data)
    assert type(outcome.error) is InputError
    assert str(outcome.error) == "the input is empty"


@pytest.mark.parametrize("filler", [b" ", b"x"])
def test_a_line_too_long_is_refused_before_it_ends(filler: bytes) -> None:
    make = partial(NdjsonDecoder, line_bytes_max=200, skip_bad=True)
    for length, refused in ((200, False), (201, True)):
        long = lines(ADD)[:-1].ljust(length) if filler == b" " else filler * length
        outcome = decode_every_way(make, lines(ADD) + long + b"\n" + lines(ADD))
        if refused:
            assert isinstance(outcome.error, DamagedInputError)
            assert outcome.error.reason == "the line is longer than 200 bytes"
            assert outcome.error.byte_offset == len(lines(ADD))
        else:
            assert outcome.error is None


def test_symbols_are_numbered_by_appearance_however_many_there_are() -> None:
    names = [f"S{number % 3000}" + "x" * (number % 3000 % 50) for number in range(4000)]
    data = lines(*({"type": "clear", "symbol": name} for name in names))
    decoder = NdjsonDecoder()
    numbers = [int(n) for batch in decoder.feed(data) for n in batch.instrument_id]
    assert numbers == [number % 3000 + 1 for number in range(4000)]
    assert decoder.symbols == names[:3000]
    assert list(decoder.symbol_intervals())[2999] == MappingInterval(
        0, UNDEF_TIMESTAMP, 3000, names[2999]
    )


def test_a_symbol_is_the_same_however_it_is_escaped() -> None:
    data = rb'{"type":"clear","symbol":"\u0058"}' + b"\n" + lines({"type": "clear", "symbol": "X"})
    decoder = NdjsonDecoder()
    assert [list(batch.instrument_id) for batch in decoder.feed(data)] == [[1, 1]]
    assert decoder.symbols == ["X"]


def test_a_batch_must_have_room_for_a_fill() -> None:
    with pytest.raises(UsageError):
        NdjsonDecoder(batch_rows=1)


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=4),
    st.booleans(),
)
def test_any_damage_is_an_error_in_words_or_a_count(
    damages: list[tuple[int, int]], skip_bad: bool
) -> None:
    fill: Op = {"type": "fill", "symbol": "Y", "oid": 2**64 - 1, "qty": 3, "seq": 1, "ts_ns": 9}
    data = bytearray(lines(ADD, fill, {"type": "clear", "symbol": "X", "n": None}, ADD))
    for at, mask in damages:
        data[at % len(data)] ^= mask
    outcome = decode_every_way(partial(NdjsonDecoder, skip_bad=skip_bad), bytes(data))
    assert outcome.error is None or isinstance(outcome.error, InputError)
    assert len(outcome.rows) == 56 * outcome.row_count
    if outcome.error is None:
        assert outcome.byte_offset == len(data) + 1
        assert skip_bad or outcome.skipped == 0
