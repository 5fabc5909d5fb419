"""`complete`: whether the data cover the interval of a row, whatever asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import batonics
from batonics.frames.columns.mbo_frame import to_frame
from batonics.frames.namespace import MboNamespace
from batonics.frames.scan.complete_intervals import RowInterval, with_complete
from batonics.frames.scan.mbo_scan import scan_batches
from batonics.model.mbo import Action, Flag, MboBatch, slice_batch
from tests.support.command import run_in_process
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.reference_books import Record
from tests.support.streams import batch_of

S = 10**9


def quote(second: float, price: int, *, instrument_id: int = 1, flags: int = 128) -> Record:
    return record(
        Action.ADD,
        price=price,
        order_id=int(second * 100),
        instrument_id=instrument_id,
        flags=flags,
        ts_recv=DAY_NS + int(second * S),
    )


def trade(second: float, size: int = 1, *, instrument_id: int = 1) -> Record:
    return record(
        Action.TRADE, size=size, instrument_id=instrument_id, ts_recv=DAY_NS + int(second * S)
    )


ROWS = [
    quote(0.5, 90),
    trade(0.6),
    quote(1.5, 91),
    trade(1.6),
    quote(2.2, 92),
    trade(2.3),
    quote(2.4, 95, instrument_id=2),
    quote(3.7, 96, instrument_id=2),  # shows that the data reach beyond 3 s
]
Make = Callable[[MboNamespace], pl.LazyFrame]
FRAMES: dict[str, tuple[Make, list[bool]]] = {
    "depth": (lambda mbo: mbo.depth(1, every="1s"), [False, True, True]),
    "depth-fill": (lambda mbo: mbo.depth(1, every="1s", fill=True), [False, True, True]),
    "window_measures": (lambda mbo: mbo.window_measures("1s"), [False, True, True]),
    "bars": (lambda mbo: mbo.bars(time="1s"), [False, True, True]),
}


def frame_of(rows: list[Record], size: int) -> MboNamespace:
    """The records as a scan, in batches of a size."""
    batch = batch_of(rows)

    def batches() -> list[MboBatch]:
        return [slice_batch(batch, at, at + size) for at in range(0, len(rows), size)]

    return MboNamespace(scan_batches(lambda: iter(batches())))


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("name", FRAMES)
def test_an_interval_is_complete_if_the_data_reach_over_it(name: str, size: int) -> None:
    make, expected = FRAMES[name]
    whole = make(frame_of(ROWS, size)).collect()
    of_one = whole.filter(pl.col("instrument_id") == 1)
    assert of_one["complete"].to_list() == expected
    # The records of other books count, even where a query leaves these books out.
    lazily = make(frame_of(ROWS, size)).filter(pl.col("instrument_id") == 1).collect()
    assert_frame_equal(lazily, of_one)
    plain = make(MboNamespace(to_frame(batch_of(ROWS)).lazy())).collect()
    assert_frame_equal(plain, whole)


@pytest.mark.parametrize("name", FRAMES)
def test_the_last_interval_is_not_complete(name: str) -> None:
    make, _ = FRAMES[name]
    rows = make(frame_of(ROWS[:-2], 2)).collect()
    assert rows["complete"].to_list() == [False, True, False]
    assert make(frame_of(ROWS, 2)).select("instrument_id").collect().height >= 3


def test_a_time_that_orders_nothing_does_not_reach_anywhere() -> None:
    bad = quote(9.0, 94, flags=128 | Flag.BAD_TS_RECV)
    rows = frame_of([*ROWS[:-2], bad], 100).depth(1, every="1s").collect()
    assert rows["complete"].to_list() == [False, True, False]


def test_a_record_on_the_edges_completes_an_interval() -> None:
    rows = [quote(0, 90), quote(1, 91), quote(2, 92)]
    found = frame_of(rows, 100).depth(1, every="1s").collect()
    # The first window ends with the first record, the last one with the last.
    assert found["complete"].to_list() == [False, True, True]


def test_bars_of_a_volume_are_complete_when_it_is_reached() -> None:
    rows = [trade(1, 2), trade(2, 2), trade(3, 1)]
    for length in ({"volume": 3}, {"ticks": 2}, {"dollar": "400"}):
        bars = frame_of(rows, 100).bars(partial=True, **length).collect()
        assert bars["complete"].to_list() == [True, False]


def test_a_row_without_a_time_is_not_complete() -> None:
    def rows(_: pl.LazyFrame) -> pl.LazyFrame:
        return pl.LazyFrame({"ts": [None, 5]}, {"ts": pl.Int64})

    records = to_frame(batch_of(ROWS)).lazy()
    found = with_complete(records, rows, "ts", RowInterval(1, ends=True)).collect()
    assert found["complete"].to_list() == [False, False]


@pytest.mark.parametrize("schema", ["ohlcv-1s", "bbo-1s", "depth-1s"])
def test_convert_counts_rows_that_are_not_complete(schema: str, tmp_path: Path) -> None:
    path = tmp_path / "day.dbn"
    path.write_bytes(metadata() + encode(ROWS[:-2]))
    command = ("convert", path, "--schema", schema, "--out", tmp_path / "rows.parquet")
    done = run_in_process(*command)
    assert "incomplete: 2 of 3 rows are of intervals that the input does not cover" in done.err


def test_a_lake_says_it_of_every_interval(tmp_path: Path) -> None:
    path = tmp_path / "day.dbn"
    path.write_bytes(metadata() + encode(ROWS[:-2]))
    lake = batonics.load_lake(path, tmp_path / "lake", schemas=["ohlcv-1s", "depth-1s"])
    for view in ("ohlcv_1s", "depth_1s"):
        found = lake.sql(f"SELECT complete FROM {view} ORDER BY source, position")
        assert found["complete"].to_list() == [False, True, False]
