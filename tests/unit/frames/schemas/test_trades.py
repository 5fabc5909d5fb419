"""Trades as a frame: the T records, in the vendor's columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import databento
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from batonics.frames.columns.mbo_frame import MBO_SCHEMA, to_frame
from batonics.frames.columns.vendor import TRADES_SCHEMA
from batonics.frames.scan.mbo_scan import scan_batches
from batonics.frames.schemas.table import find_schema
from batonics.model.errors import UsageError
from batonics.model.mbo import Action, MboBatch, slice_batch
from tests.support.real_files import read_mbo
from tests.support.reference_books import records
from tests.support.streams import random_stream

ROWS = 3_000
BATCH_ROWS = 100


class Source:
    """Batches of a stream, and how many of them were asked for."""

    def __init__(self, batch: MboBatch) -> None:
        self.batch = batch
        self.read = 0

    def open(self) -> Iterator[MboBatch]:
        for start in range(0, len(self.batch.action), BATCH_ROWS):
            self.read += 1
            yield slice_batch(self.batch, start, start + BATCH_ROWS)


@pytest.fixture
def source() -> Source:
    return Source(random_stream(12, ROWS))


@pytest.fixture(params=["batches", "expressions"])
def trades(source: Source, request: pytest.FixtureRequest) -> pl.LazyFrame:
    records = scan_batches(source.open)
    # A frame that something was done to has no batches of its own.
    return find_schema("trades").rows(
        records if request.param == "batches" else records.select(pl.all())
    )


@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_the_schema_is_the_vendors(trades: pl.LazyFrame, engine: str) -> None:
    assert trades.collect_schema() == TRADES_SCHEMA
    assert trades.collect(engine=engine).schema == TRADES_SCHEMA  # type: ignore[call-overload]


def test_every_trade_has_a_row_and_no_fill_has_one(source: Source, trades: pl.LazyFrame) -> None:
    frame = trades.collect()
    expected = [row for row in records(source.batch) if row.action == Action.TRADE]
    assert frame["sequence"].to_list() == [row.sequence for row in expected]
    assert frame["size"].fill_null(2**32 - 1).to_list() == [row.size for row in expected]
    assert set(frame["action"]) == {"T"}
    assert set(frame["rtype"]) == set(frame["depth"]) == {0}


def test_all_else_is_the_records_own(source: Source, trades: pl.LazyFrame) -> None:
    own = [name for name in TRADES_SCHEMA if name in MBO_SCHEMA]
    expected = to_frame(source.batch).filter(pl.col("action") == "T").select(own)
    assert_frame_equal(trades.select(own).collect(), expected)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # the vendor's client, of pandas
def test_trades_are_the_vendors_where_a_file_has_both(test_data: Path) -> None:
    # The first four records of this day's MBO are trades.
    data = (test_data / "venues" / "IFEU.IMPACT.trades.dbn.zst").read_bytes()
    vendor = databento.DBNStore.from_bytes(data)
    batch = read_mbo(test_data / "venues" / "IFEU.IMPACT.mbo.dbn.zst")
    found = find_schema("trades").rows(to_frame(batch).lazy()).collect()
    pretty = vendor.to_df(price_type="fixed", map_symbols=False).reset_index()
    assert found.columns == list(pretty.columns)
    expected = vendor.to_ndarray()
    assert len(expected) == found.height == 4
    for name in found.columns:
        column = found[name].cast(pl.String if name in {"action", "side"} else pl.Int64)
        values = [v.decode() if isinstance(v, bytes) else v for v in expected[name].tolist()]
        assert column.to_list() == values, name


def test_all_trades_of_a_real_day(clx5: MboBatch) -> None:
    assert find_schema("trades").rows(to_frame(clx5).lazy()).collect().height == 1_599


def test_columns_and_predicates_reach_the_records(trades: pl.LazyFrame) -> None:
    wanted = trades.filter(pl.col("size") > 2).select("price")
    plan = wanted.explain()
    # Of batches the action is looked at before there is a frame.
    assert "PROJECT 3/13" in plan or "MBO TRADES] SCAN []\n  PROJECT 2/13" in plan
    assert "SELECTION:" in plan
    expected = trades.collect().filter(pl.col("size") > 2).select("price")
    assert_frame_equal(wanted.collect(), expected)


@pytest.mark.parametrize("predicate", [pl.col("rtype") == 0, pl.col("depth") > 0])
def test_added_columns_may_be_filtered_by(trades: pl.LazyFrame, predicate: pl.Expr) -> None:
    assert_frame_equal(trades.filter(predicate).collect(), trades.collect().filter(predicate))


def test_a_row_limit_stops_reading(source: Source, trades: pl.LazyFrame) -> None:
    assert trades.head(3).collect(engine="streaming").height == 3
    assert source.read < ROWS / BATCH_ROWS


def test_columns_that_no_book_depends_on_may_be_missing(source: Source) -> None:
    frame = to_frame(source.batch).drop("ts_in_delta", "channel_id", "order_id")
    trades = find_schema("trades").rows(frame.lazy()).collect()
    assert trades.schema == TRADES_SCHEMA
    assert set(trades["ts_in_delta"]) == {0}


def test_a_wrong_frame_is_refused_at_once(source: Source) -> None:
    frame = to_frame(source.batch).lazy()
    with pytest.raises(UsageError, match="column flags is missing"):
        find_schema("trades").rows(frame.drop("flags"))
    with pytest.raises(UsageError, match="column ts_in_delta is Int64"):
        find_schema("trades").rows(frame.with_columns(pl.col("ts_in_delta").cast(pl.Int64)))
