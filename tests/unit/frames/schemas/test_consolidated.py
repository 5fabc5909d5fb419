"""The consolidated book: against sums over the full ladders of the reference, and by hand."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from batonics.frames.schemas.consolidated import consolidated_frames
from batonics.frames.schemas.mbp import mbp_frames
from batonics.model.mbo import Action, Flag, Side, concat_batches, slice_batch
from tests.support.frame_checks import check_consolidated, consolidated
from tests.support.real_files import DBEQ, read_mbo
from tests.support.reference_books import Record
from tests.support.stream_profiles import PROFILES
from tests.support.streams import batch_of, random_stream

LAST = int(Flag.LAST)
BASE = Record(10, 9, 1, 7, Action.ADD, Side.BID, 100, 5, 0, 1, LAST, 3, 1)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_levels_are_sums_over_all_publishers(seed: int, depth: int) -> None:
    check_consolidated(seed, depth)


@pytest.mark.parametrize("batch_rows", [1, 7, 64])
def test_rows_do_not_depend_on_the_cut_into_batches(batch_rows: int) -> None:
    batch = PROFILES["top_of_book"](5, 500)
    pieces = [slice_batch(batch, at, at + batch_rows) for at in range(0, 500, batch_rows)]
    assert_frame_equal(pl.concat(consolidated_frames(pieces, 2)), consolidated(batch))


def test_one_publisher_is_its_own_consolidated_book() -> None:
    batch = random_stream(6, 2_000)
    batch.publisher_id[:] = 1
    changed = pl.concat(mbp_frames([batch], 2))
    assert_frame_equal(consolidated(batch), changed)


def test_an_event_that_ends_with_a_trade_counts_though_it_has_no_row(cases: Path) -> None:
    batch = read_mbo(cases / "v3_trade_ends.dbn")
    assert_frame_equal(consolidated(batch), pl.concat(mbp_frames([batch], 2)))
    last = batch_of([BASE._replace(publisher_id=9, instrument_id=38, price=1)])
    rows = consolidated(concat_batches([slice_batch(batch, 0, 9), last]), 1)
    assert rows.select("action", pl.col("bid_px_00") / 10**9).rows()[-1] == ("A", 233.81)


def test_equal_prices_add_up_and_the_publisher_is_whose_record_it_was() -> None:
    rows = [
        BASE,
        BASE._replace(publisher_id=2, size=3),
        BASE._replace(publisher_id=2, order_id=2, price=101, size=1),
        BASE._replace(publisher_id=1, order_id=2, price=90, size=1),
    ]
    frame = consolidated(batch_of(rows), 1)
    found = frame.select("publisher_id", "bid_px_00", "bid_sz_00", "bid_ct_00", "depth").rows()
    assert found == [(1, 100, 5, 1, 0), (2, 100, 8, 2, 0), (2, 101, 1, 1, 0)]


def test_trades_alone_have_the_consolidated_book_before_them() -> None:
    rows = [
        BASE,
        BASE._replace(publisher_id=2, side=Side.ASK, price=103),
        BASE._replace(publisher_id=2, action=Action.TRADE, size=1),
    ]
    frame = consolidated(batch_of(rows), 1, changes=False)
    assert frame.select("action", "bid_px_00", "ask_px_00").rows() == [("T", 100, 103)]


def test_the_real_publishers_best_prices_are_those_of_the_best_of_them(test_data: Path) -> None:
    batch = read_mbo(test_data / DBEQ)
    single = pl.concat(mbp_frames([batch], 1))
    merged = consolidated(batch, 1)
    best: dict[tuple[int, int], tuple[int | None, int | None]] = {}
    expected: dict[int, tuple[int | None, int | None]] = {}
    for row in single.iter_rows(named=True):
        best[row["publisher_id"], row["instrument_id"]] = row["bid_px_00"], row["ask_px_00"]
    for (_, instrument), (bid, ask) in best.items():
        old = expected.get(instrument, (None, None))
        bids = [p for p in (bid, old[0]) if p is not None]
        asks = [p for p in (ask, old[1]) if p is not None]
        expected[instrument] = max(bids, default=None), min(asks, default=None)
    last = merged.group_by("instrument_id").last()
    found = {
        row[0]: row[1:] for row in last.select("instrument_id", "bid_px_00", "ask_px_00").rows()
    }
    assert found == expected
