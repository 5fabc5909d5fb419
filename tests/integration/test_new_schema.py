"""A new schema is one entry in the table: every command, lake, query and gateway then has it."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import batonics
from batonics.cli.options import SCHEMA_FORMS
from batonics.codec.records import RECORD_LAYOUTS
from batonics.frames.columns.vendor import TRADES_SCHEMA
from batonics.frames.schemas import table
from batonics.frames.schemas.schema import Schema
from batonics.frames.schemas.table import find_schema, schema_forms
from batonics.frames.schemas.trades import trades_source
from batonics.gateway.schema_records import SessionRequest, record_pieces
from batonics.model.errors import UsageError
from batonics.sources.tables import read_table
from tests.support.command import SAMPLE, run_in_process

NAME = "buys"


def buys(records: pl.LazyFrame) -> pl.LazyFrame:
    return trades_source(records, 0x00).filter(pl.col("side") == "B")


@pytest.fixture(autouse=True)
def new_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Schema(NAME, TRADES_SCHEMA, buys, pl.col("ts_recv"), rtype=0x00, layout="trade")
    monkeypatch.setitem(table.SCHEMAS, NAME, entry)
    # Its number in DBN metadata is the vendor's to give; here it has that of trades.
    monkeypatch.setattr(Schema, "number", property(lambda _: 4))


@pytest.fixture
def expected() -> pl.DataFrame:
    return buys(batonics.scan_mbo(SAMPLE)).collect()


@pytest.mark.parametrize("ending", ["parquet", "csv", "ndjson", "dbn"])
def test_convert_writes_it(ending: str, tmp_path: Path, expected: pl.DataFrame) -> None:
    out = tmp_path / f"x.{ending}"
    result = run_in_process("convert", str(SAMPLE), "--schema", NAME, "--out", str(out))
    assert result.code == 0, result.err
    if ending == "parquet":
        assert_frame_equal(pl.read_parquet(out).drop("symbol"), expected)
    elif ending == "dbn":
        frames = list(read_table(out, "trades"))
        assert_frame_equal(pl.concat(frames), expected)
    else:
        assert out.read_text().count("\n") == expected.height + (ending == "csv")


def test_a_lake_holds_it_and_sql_asks_it(tmp_path: Path, expected: pl.DataFrame) -> None:
    lake = batonics.load_lake(SAMPLE, tmp_path / "lake", schemas=[NAME])
    found = lake.scan(NAME).drop("source", "position", "date", "symbol").collect()
    by_place = ["instrument_id", "ts_recv", "sequence"]
    assert_frame_equal(
        found.sort(by_place, maintain_order=True), expected.sort(by_place, maintain_order=True)
    )
    assert lake.sql(f"SELECT count(*) AS n FROM {NAME}")["n"].to_list() == [expected.height]


def test_a_schema_may_have_any_type_of_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = {"ratio": pl.Float64(), "name": pl.String(), "day": pl.Date(), "step": pl.Int8()}

    def rows(records: pl.LazyFrame) -> pl.LazyFrame:
        return buys(records).with_columns(
            ratio=pl.col("size") / 2, name=pl.lit("x"), day=pl.col("ts_recv").dt.date(),
            step=pl.lit(1, pl.Int8),
        )  # fmt: skip

    entry = Schema("wide", pl.Schema({**TRADES_SCHEMA, **added}), rows, pl.col("ts_recv"))
    monkeypatch.setitem(table.SCHEMAS, "wide", entry)
    lake = batonics.load_lake(SAMPLE, tmp_path / "lake", schemas=["wide"])
    found = lake.sql("SELECT ratio, name, day, step FROM wide")
    assert found.height == rows(batonics.scan_mbo(SAMPLE)).collect().height
    # A view without files has the same columns.
    result = run_in_process(
        *("query", "SELECT * FROM wide WHERE date > DATE '2100-01-01'"),
        *("--lake", str(tmp_path / "lake"), "--format", "json"),
    )
    assert (result.code, json.loads(result.out)) == (0, [])


def test_a_query_over_files_derives_it(expected: pl.DataFrame) -> None:
    result = run_in_process(
        "query", f"SELECT count(*) AS n FROM {NAME}", "--from", str(SAMPLE), "--format", "json"
    )
    assert result.code == 0, result.err
    assert json.loads(result.out) == [{"n": expected.height}]


def test_the_gateway_serves_it(expected: pl.DataFrame) -> None:
    pieces = list(record_pieces([str(SAMPLE)], SessionRequest(NAME, None)))
    record_bytes = RECORD_LAYOUTS["trade"].itemsize
    assert sum(len(piece.data) for piece in pieces) == expected.height * record_bytes


def test_verify_compares_it(tmp_path: Path, expected: pl.DataFrame) -> None:
    theirs = tmp_path / "theirs.parquet"
    expected.write_parquet(theirs)
    result = run_in_process("verify", str(SAMPLE), "--against", str(theirs), "--schema", NAME)
    assert result.code == 0, result.err
    assert f"{expected.height:,}" in result.out.decode()


def test_messages_name_it() -> None:
    with pytest.raises(UsageError, match=rf"\b{NAME}\b"):
        find_schema("nothing")


def test_help_names_every_schema() -> None:
    forms = [name for name in schema_forms() if name != NAME]
    assert ", ".join(forms) == SCHEMA_FORMS
