"""Frames as DBN: what the vendor's client reads back, and its own files written again."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import databento
import numpy as np
import polars as pl
import pytest

from batonics.codec.metadata import SCHEMA_NAMES, Metadata, encode_metadata
from batonics.codec.records import UNDEFINED
from batonics.frames.schemas.table import dbn_schemas, find_schema
from batonics.model.errors import UsageError
from batonics.sinks import dbn
from batonics.sinks.dbn import DbnWriter, check_vendor_columns, to_records
from batonics.sinks.output_stream import OutputStream
from tests.support.vendor_frames import (
    METADATA,
    SYMBOLS,
    VENUE_FILES,
    frame_of,
    random_frame,
    vendor_store,
)

SCHEMAS = dbn_schemas()


def written(schema: str, *frames: pl.DataFrame, metadata: Metadata = METADATA) -> bytes:
    out = BytesIO()
    writer = DbnWriter(OutputStream(out), schema, metadata)
    for frame in frames:
        writer.write(frame)
    writer.close()
    return out.getvalue()


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_vendors_client_reads_the_frame_back(schema: str) -> None:
    frame = random_frame(schema, 500)
    store = databento.DBNStore.from_bytes(written(schema, frame))
    assert (str(store.schema), store.dataset) == (schema, "TEST.BATONICS")
    assert store.metadata.start == METADATA.start
    assert store.metadata.end == METADATA.end
    assert store.symbols == ["AAA", "BBB"]
    records = store.to_ndarray()
    assert frame_of(records, schema).equals(frame)
    for name in find_schema(schema).record_dtype.names or ():
        if name.startswith("_reserved"):
            assert not any(records[name].tobytes()), name


# The client calls pandas in a way that pandas no longer likes.
@pytest.mark.filterwarnings("ignore:The inplace keyword")
@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_vendors_client_names_the_rows_and_shows_their_values(schema: str) -> None:
    frame = random_frame(schema, 200, seed=1)
    store = databento.DBNStore.from_bytes(written(schema, frame))
    found: Any = store.to_df(price_type="fixed", pretty_ts=False).reset_index()
    assert list(found.columns) == [*frame.columns, "symbol"]
    assert found["symbol"].tolist() == [SYMBOLS[i] for i in frame["instrument_id"].to_list()]
    for name in frame.columns:
        column = frame[name]
        is_text = isinstance(column.dtype, pl.Enum)
        values = column.cast(pl.String).to_list() if is_text else column.to_physical().to_list()
        expected = [UNDEFINED[name] if value is None else value for value in values]
        assert found[name].tolist() == expected, name


@pytest.mark.parametrize("name", VENUE_FILES)
def test_the_vendors_files_written_again_are_the_same_bytes(name: str, test_data: Path) -> None:
    store = vendor_store(test_data, name)
    schema, vendor = str(store.schema), store.to_ndarray()
    expected = vendor.copy()
    if name in {"IFEU.IMPACT.bbo-1s", "NDEX.IMPACT.bbo-1s"}:
        # Here the vendor's reserved bytes hold an action and a ts_in_delta; ours are always 0.
        for field in ("_reserved1", "_reserved3"):
            assert any(expected[field].tobytes())
            expected[field] = np.zeros((), expected.dtype[field])
    frame = frame_of(vendor, schema)
    assert to_records(frame, schema).tobytes() == expected.tobytes()


@pytest.mark.parametrize("schema", ["mbo", "mbp-10", "bbo-1s", "ohlcv-1h"])
@pytest.mark.parametrize("rows", [1, 7, 64])
def test_records_do_not_depend_on_how_rows_were_cut(
    schema: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = random_frame(schema, 200)
    whole = written(schema, frame)
    monkeypatch.setattr(dbn, "BLOCK_ROWS", 3)
    monkeypatch.setattr(dbn, "DBN_SLICE_ROWS", 10)
    assert written(schema, *frame.iter_slices(rows)) == whole
    chunked = pl.concat(frame.iter_slices(rows), rechunk=False)
    assert written(schema, chunked) == whole


def test_no_rows_are_metadata_alone() -> None:
    number = SCHEMA_NAMES.index("mbp-10")
    metadata = encode_metadata(replace(METADATA, schema=number))
    assert written("mbp-10") == metadata
    assert written("mbp-10", random_frame("mbp-10", 0)) == metadata


def test_metadata_says_what_is_written_whatever_it_said_before() -> None:
    metadata = replace(METADATA, schema=None, ts_out=True)
    store = databento.DBNStore.from_bytes(
        written("trades", random_frame("trades", 5), metadata=metadata)
    )
    assert str(store.schema) == "trades"
    assert not store.metadata.ts_out
    assert len(store.to_ndarray()) == 5


def test_symbols_may_follow_and_are_left_to_the_metadata() -> None:
    frame = random_frame("tbbo", 20)
    named = frame.with_columns(symbol=pl.lit(None, pl.String))
    assert to_records(named, "tbbo").tobytes() == to_records(frame, "tbbo").tobytes()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"price": None}, "column price of schema trades is missing or in another place"),
        ({"sequence": None}, "column sequence of schema trades is missing or in another place"),
        ({"price": pl.Float64}, r"column price is Float64, expected Int64 \(schema trades\)"),
        ({"ts_recv": pl.Datetime("us", "UTC")}, "column ts_recv is Datetime"),
        ({"mid": pl.Float64}, "column mid is not in schema trades"),
        ({"symbol": pl.UInt32}, "column symbol is not in schema trades"),
    ],
)
def test_columns_that_are_not_the_schemas_are_named(
    columns: dict[str, type[pl.DataType] | pl.DataType | None], words: str
) -> None:
    found = {**find_schema("trades").columns, **columns}
    schema = pl.Schema({name: dtype for name, dtype in found.items() if dtype is not None})
    with pytest.raises(UsageError, match=words):
        check_vendor_columns("trades", schema)
    with pytest.raises(UsageError, match=words):
        to_records(pl.DataFrame(schema=schema), "trades")


def test_columns_in_another_order_are_refused() -> None:
    frame = random_frame("trades", 1)
    with pytest.raises(UsageError, match=r"column ts_recv of schema trades .* in another place"):
        check_vendor_columns("trades", frame.select(reversed(frame.columns)).schema)


def test_a_schema_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="no schema 'mbp-0'; there are mbo, trades"):
        check_vendor_columns("mbp-0", find_schema("mbp-1").columns)


@pytest.mark.parametrize("name", ["sequence", "bid_sz_00", "side", "rtype"])
def test_a_null_without_a_sentinel_is_refused(name: str) -> None:
    frame = random_frame("mbp-1", 5)
    frame = frame.with_columns(pl.lit(None, frame.schema[name]).alias(name))
    with pytest.raises(UsageError, match=f"column {name} has 5 nulls; the schema allows none"):
        to_records(frame, "mbp-1")


def test_another_rtype_is_refused() -> None:
    with pytest.raises(UsageError, match=r"rtype is 195, expected 196 \(schema bbo-1m\)"):
        to_records(random_frame("bbo-1s", 3), "bbo-1m")


def test_a_modify_that_leaves_fields_out_is_refused() -> None:
    frame = random_frame("mbo", 3)
    partial = frame.with_columns(pl.lit("m", frame.schema["action"]).alias("action"))
    with pytest.raises(UsageError, match="cannot be written as DBN"):
        to_records(partial, "mbo")
