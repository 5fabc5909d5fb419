"""Tables of the same records are the same records, whatever their layout.

The rule: the order of columns, the writing of values, the separator, the compression and the cuts
between chunks change nothing; a bad line is named in the same words however the bytes are cut.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batonics.codec import record_text
from batonics.codec.csv_records import CsvDecoder
from batonics.codec.decoders import Decoder, DecoderFactory
from batonics.codec.json_records import JsonRecordsDecoder
from batonics.codec.ndjson_kernels import LINES_DOUBTFUL
from batonics.codec.record_text import RecordTextDecoder, UsualLines
from batonics.codec.unpacking import Unpacker
from batonics.model.errors import BatonicsError, InputError
from batonics.model.mbo import (
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
    UNDEF_TIMESTAMP,
    MboBatch,
    concat_batches,
    copy_batch,
    empty_batch,
    records_from_batch,
)
from batonics.model.times import format_time
from batonics.sources.input_files import MemoryFile
from batonics.sources.stream import MboStream
from tests.support.dbn_files import DAY_NS, compress

COLUMNS = list(MboBatch._fields)
Row = dict[str, Any]


def integers(dtype: type[np.integer[Any]]) -> st.SearchStrategy[int]:
    bounds = np.iinfo(dtype)
    return st.integers(int(bounds.min), int(bounds.max))


TIMES = st.one_of(st.integers(DAY_NS, DAY_NS + 2 * 86_400 * 10**9), st.just(UNDEF_TIMESTAMP)).map(
    lambda ns: ns if ns % 1000 else ns + 1
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "ts_recv": TIMES,
            "ts_event": TIMES,
            "publisher_id": integers(np.uint16),
            "instrument_id": st.integers(1, 3),
            "action": st.sampled_from("ACMRTFN"),
            "side": st.sampled_from("ABN"),
            "price": st.one_of(
                st.integers(-(10**15), 10**15), st.integers(-9, 9).map(lambda p: p * 10**9),
                st.just(UNDEF_PRICE),
            ),
            "size": integers(np.uint32),
            "channel_id": integers(np.uint8),
            "order_id": integers(np.uint64),
            "flags": integers(np.uint8),
            "ts_in_delta": integers(np.int32),
            "sequence": integers(np.uint32),
        }
    ),
    min_size=1,
    max_size=30,
)  # fmt: skip


def wire_bytes(rows: list[Row]) -> bytes:
    batch = empty_batch(len(rows))
    for name, column in zip(COLUMNS, batch, strict=True):
        values = [row[name] for row in rows]
        column[:] = [ord(value) for value in values] if name in ("action", "side") else values  # type: ignore[index]
    return records_from_batch(batch).tobytes()


def pretty(row: Row) -> Row:
    """A row as the vendor prints it."""
    price = row["price"]
    return row | {
        "ts_recv": format_time(row["ts_recv"]) or "",
        "ts_event": format_time(row["ts_event"]) or "",
        "price": "" if price == UNDEF_PRICE else f"{Decimal(price).scaleb(-9):.9f}",
    }


def short(row: Row) -> Row:
    """A row as Python prints a Decimal: without zeros, and whole numbers without a point."""
    price = row["price"]
    text = f"{Decimal(price).scaleb(-9).normalize():f}"
    return row | {"price": "" if price == UNDEF_PRICE else text}


def as_csv(rows: list[Row], names: list[str], separator: str, quoting: Any) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, names, delimiter=separator, quoting=quoting, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def as_json(rows: list[Row], names: list[str], *, nested: bool, array: bool) -> bytes:
    inner = ("ts_event", "publisher_id", "instrument_id")
    lines = []
    for row in rows:
        found: Row = {name: row[name] for name in names}
        if nested:
            found = {name: row[name] for name in names if name not in inner}
            found = {"hd": {name: row[name] for name in inner}, **found}
        lines.append(json.dumps(found))
    return ("[\n" + ",\n".join(lines) + "\n]\n" if array else "\n".join(lines) + "\n").encode()


def read(data: bytes) -> bytes:
    unpacker, factory = Unpacker(), DecoderFactory(batch_rows=7, lossy=False)
    rows = b""
    decoder: Decoder | None = None
    for chunk in unpacker.feed(data):
        decoder = decoder or factory.begin(unpacker.framing, "x")
        rows += b"".join(records_from_batch(batch).tobytes() for batch in decoder.feed(chunk))
    assert decoder is not None
    rows += b"".join(records_from_batch(batch).tobytes() for batch in decoder.feed(decoder.TRAILER))
    decoder.close()
    return rows


def read_file(data: bytes) -> bytes:
    path = MemoryFile(data)  # exists as long as this object
    batches = [copy_batch(batch) for batch in MboStream([path]).batches()]
    return records_from_batch(concat_batches(batches)).tobytes()


@settings(max_examples=15)
@given(
    rows=ROWS,
    names=st.permutations(COLUMNS),
    layout=st.sampled_from([pretty, short, dict]),
    separator=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    pack=st.sampled_from([bytes, compress, gzip.compress]),
)
def test_csv_of_any_layout_is_the_same_records(
    rows: list[Row],
    names: list[str],
    layout: Callable[[Row], Row],
    separator: str,
    quoting: int,
    pack: Callable[[bytes], bytes],
) -> None:
    # Whole numbers alone are units of 1e-9: one price shows what they are.
    rows = [*rows, rows[0] | {"price": 1_500_000_000}] if layout is short else rows
    data = as_csv([layout(row) for row in rows], names, separator, quoting)
    assert read(pack(data)) == wire_bytes(rows)


@settings(max_examples=15)
@given(
    rows=ROWS,
    names=st.permutations(COLUMNS),
    is_pretty=st.booleans(),
    nested=st.booleans(),
    array=st.booleans(),
    pack=st.sampled_from([bytes, compress, gzip.compress]),
)
def test_json_of_any_layout_is_the_same_records(
    rows: list[Row],
    names: list[str],
    is_pretty: bool,
    nested: bool,
    array: bool,
    pack: Callable[[bytes], bytes],
) -> None:
    shown = [pretty(row) for row in rows] if is_pretty else rows
    assert read(pack(as_json(shown, names, nested=nested, array=array))) == wire_bytes(rows)


@pytest.mark.filterwarnings("ignore:.*prices are integers")
@settings(max_examples=10)
@given(rows=ROWS, names=st.permutations(COLUMNS), group=st.integers(1, 7))
def test_parquet_of_any_layout_is_the_same_records(
    rows: list[Row], names: list[str], group: int
) -> None:
    types = {"ts_recv": pa.uint64(), "ts_event": pa.uint64(), "order_id": pa.uint64()}
    columns = {name: pa.array([row[name] for row in rows], types.get(name)) for name in names}
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, row_group_size=group)
    assert read_file(out.getvalue()) == wire_bytes(rows)


def outcome(decoder: RecordTextDecoder, data: bytes, places: list[int]) -> tuple[Any, ...]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    taken = b""
    error = ""
    try:
        for start, stop in pairwise(edges):
            for batch in decoder.feed(data[start:stop]):
                taken += records_from_batch(batch).tobytes()
        for batch in decoder.feed(decoder.TRAILER):
            taken += records_from_batch(batch).tobytes()
        decoder.close()
    except BatonicsError as found:
        error = str(found)
    return taken, error, decoder.records, decoder.rows, decoder.skipped, sorted(decoder.new_names())


@pytest.mark.usefixtures("single_lines")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=ROWS,
    bad=st.lists(st.tuples(st.integers(0, 29), st.sampled_from(["price", "flags", "line"]))),
    places=st.lists(st.integers(0, 1 << 16), max_size=12),
    is_csv=st.booleans(),
    skip_bad=st.booleans(),
)
def test_cuts_between_chunks_change_nothing(
    rows: list[Row],
    bad: list[tuple[int, str]],
    places: list[int],
    is_csv: bool,
    skip_bad: bool,
) -> None:
    shown = [pretty(row) | {"symbol": "X"} for row in rows]
    for at, kind in bad:
        shown[at % len(shown)]["price" if kind == "price" else "flags"] = "many"
    names = [*COLUMNS, "symbol"]
    if is_csv:
        data = as_csv(shown, names, ",", csv.QUOTE_MINIMAL)
    else:
        data = as_json(shown, names, nested=False, array=False)
    lines = data.splitlines(keepends=True)
    for at, kind in bad:
        if kind == "line":
            lines.insert(1 + at % len(lines), b"not a record\n")
    make = CsvDecoder if is_csv else JsonRecordsDecoder
    data = b"".join(lines)
    whole = outcome(make(skip_bad=skip_bad, source="x"), data, [])
    assert outcome(make(skip_bad=skip_bad, source="x"), data, places) == whole
    expected = sum(not isinstance(row["flags"], str) and row["price"] != "many" for row in shown)
    if skip_bad and not whole[1]:
        assert whole[3] == expected
        assert whole[2] == whole[3] + whole[4]


class SlowCsv(CsvDecoder):
    """Reads every line as an unusual one."""

    def _parse_usual(self, *arguments: Any) -> UsualLines:
        return UsualLines(arguments[1], self._row, LINES_DOUBTFUL, 0, 0)


class SlowJson(JsonRecordsDecoder):
    """Reads every line as an unusual one."""

    def _parse_usual(self, *arguments: Any) -> UsualLines:
        return UsualLines(arguments[1], self._row, LINES_DOUBTFUL, 0, 0)


EDITS = ["", "0", "9", "00", ".", "-", "+", " ", "e", '"', ",", "Z", "T", ":", "\r", "\n", "é", "{",
         "}", "null", "A", "18446744073709551616", "\x00", "\\"]  # fmt: skip


@pytest.fixture
def single_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unusual lines are read one by one, so that the compiled pass has all the others."""
    monkeypatch.setattr(record_text, "_UNUSUAL_BYTES", 1)
    monkeypatch.setattr(record_text, "_USUAL_BYTES", 0)


@pytest.mark.usefixtures("single_lines")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=ROWS,
    edits=st.lists(st.tuples(st.integers(0, 1 << 16), st.sampled_from(EDITS)), max_size=3),
    layout=st.sampled_from([pretty, short, dict]),
    form=st.sampled_from(["csv", "quoted", "json", "nested", "numbers"]),
    local=st.booleans(),
    skip_bad=st.booleans(),
)
def test_the_compiled_pass_reads_lines_as_columns_are_read(
    rows: list[Row],
    edits: list[tuple[int, str]],
    layout: Callable[[Row], Row],
    form: str,
    local: bool,
    skip_bad: bool,
) -> None:
    shown = [layout(row) | {"symbol": f"S{row['instrument_id']}"} for row in rows]
    if local:
        shown = [
            row | {name: str(row[name]).replace("T", " ").rstrip("Z") for name in COLUMNS[:2]}
            for row in shown
        ]
    if form == "numbers":
        floats = {"price": 64.5} if layout is not dict else {}
        shown = [row | floats for row in shown]
    names = [*COLUMNS, "symbol"]
    decoders: tuple[type[RecordTextDecoder], ...]
    if form in ("csv", "quoted"):
        quoting = csv.QUOTE_ALL if form == "quoted" else csv.QUOTE_MINIMAL
        text = as_csv(shown, names, ",", quoting).decode()
        decoders = CsvDecoder, SlowCsv
    else:
        text = as_json(shown, names, nested=form == "nested", array=False).decode()
        decoders = JsonRecordsDecoder, SlowJson
    first = text.index("\n") + 1
    body = text[first:]
    for place, edit in edits:
        at = place % (len(body) + 1)
        body = body[:at] + edit + body[at + 1 :]
    data = (text[:first] + body).encode()
    fast, slow = (make(skip_bad=skip_bad, source="x") for make in decoders)
    assert outcome(fast, data, []) == outcome(slow, data, [])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ts_recv": None}, "column ts_recv is missing; it is the index of the vendor's frames"),
        ({"side": None, "sequence": None}, "column side, sequence is missing"),
        ({"price": ["price", "price"]}, "column price is there twice"),
    ],
)
def test_missing_and_doubled_columns_are_refused(
    change: dict[str, list[str] | None], words: str, tmp_path: Path
) -> None:
    names = [name for old in COLUMNS for name in change.get(old, [old]) or []]
    row = dict.fromkeys(COLUMNS, "1") | {"action": "A", "side": "B"}
    path = tmp_path / "x.csv"
    path.write_text(",".join(names) + "\n" + ",".join(row[name] for name in names) + "\n")
    with pytest.raises(InputError, match=words):
        list(MboStream([str(path)]).batches())


def test_sizes_without_a_value_are_undefined() -> None:
    row = dict.fromkeys(COLUMNS, 1) | {"action": "A", "side": "B", "size": None, "price": "0.5"}
    data = as_csv([row], COLUMNS, ",", csv.QUOTE_MINIMAL)
    path = MemoryFile(data)
    (batch,) = MboStream([path]).batches()
    assert batch.size.tolist() == [UNDEF_ORDER_SIZE]
