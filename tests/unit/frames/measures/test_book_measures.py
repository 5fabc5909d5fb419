"""Measures of states: by hand, and against a reference in plain Python."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from batonics.frames.columns.vendor import mbp_schema
from batonics.frames.measures.book_measures import (
    EVENT_COLUMNS,
    measure_columns,
    measure_frames,
    measures_source,
)
from batonics.model.errors import UsageError
from batonics.model.mbo import Flag
from tests.support.mbp_rows import (
    CUTS,
    Row,
    clear,
    cut,
    frame_of,
    random_rows,
    rows_of,
    state,
    trade,
    vendor_rows,
)
from tests.support.reference_measures import ofi_of

NAMES = [
    "mid",
    "spread",
    "weighted_mid",
    "ofi",
    "depth(1)",
    "depth(3)",
    "imbalance(1)",
    "imbalance(3)",
    "ofi(3)",
]
Value = int | float | None


def found(rows: list[Row], names: list[str], depth: int = 1) -> dict[str, list[Value]]:
    """The measures of states, by column."""
    frame = measures_source(frame_of(rows, depth).lazy(), names, depth=depth).collect()
    return frame.drop(EVENT_COLUMNS).to_dict(as_series=False)


def test_mid_spread_and_weighted_mid_by_hand() -> None:
    # I = 1 / (1 + 3); 0.25 * 13 + 0.75 * 10 = 10.75
    rows = [state((10, 1), (13, 3)), Row("A", [(10, 1)], []), Row("A", [], [(13, 3)])]
    assert found(rows, ["mid", "spread", "weighted_mid"]) == {
        "mid": [11.5, None, None],
        "spread": [3, None, None],
        "weighted_mid": [10.75, None, None],
    }


def test_a_crossed_book_has_a_negative_spread() -> None:
    rows = [state((12, 1), (10, 1))]
    assert found(rows, ["mid", "spread"]) == {"mid": [11.0], "spread": [-2]}


def test_depth_and_imbalance_by_hand() -> None:
    rows = [
        Row("A", [(10, 2), (9, 4), (8, 1)], [(11, 6), (12, 8)]),
        Row("A", [(10, 2)], []),
        Row("A", [], [(11, 6), (12, 8)]),
    ]
    assert found(rows, ["depth(2)", "depth(3)", "imbalance(1)", "imbalance(3)"], 3) == {
        "depth_bid_2": [6, 2, None],
        "depth_ask_2": [14, None, 14],
        "depth_bid_3": [7, 2, None],
        "depth_ask_3": [14, None, 14],
        "imbalance_1": [0.25, None, None],
        "imbalance_3": [7 / 21, None, None],
    }


OFI_STEPS = {
    "a bid grows": ((10, 5), (12, 4), (10, 7), (12, 4), 2),
    "an ask grows": ((10, 5), (12, 4), (10, 5), (12, 9), -5),
    "a better bid": ((10, 5), (12, 4), (11, 3), (12, 4), 3),
    "the best bid leaves": ((10, 5), (12, 4), (9, 8), (12, 4), -5),
    "a better ask": ((10, 5), (12, 4), (10, 5), (11, 2), -2),
    "the best ask leaves": ((10, 5), (12, 4), (10, 5), (13, 6), 4),
    "both move up": ((10, 5), (12, 4), (11, 1), (13, 6), 5),
    "nothing": ((10, 5), (12, 4), (10, 5), (12, 4), 0),
}


@pytest.mark.parametrize("step", OFI_STEPS)
def test_ofi_by_hand(step: str) -> None:
    bid, ask, bid_after, ask_after, e = OFI_STEPS[step]
    assert found([state(bid, ask), state(bid_after, ask_after)], ["ofi"]) == {"ofi": [None, e]}


def test_ofi_of_a_level_is_that_of_its_prices_and_sizes() -> None:
    rows = [
        Row("A", [(10, 5), (9, 2)], [(12, 4), (13, 1)]),
        Row("A", [(10, 7), (8, 3)], [(12, 4), (13, 6)]),
        Row("A", [(10, 7)], [(12, 4), (13, 6)]),
    ]
    assert found(rows, ["ofi(2)"], 2) == {"ofi_00": [None, 2, 0], "ofi_01": [None, -7, None]}


def test_ofi_is_null_where_a_side_is_or_was_empty() -> None:
    rows = [state((10, 5), (12, 4)), Row("C", [(10, 5)], []), state((10, 6), (12, 4))]
    assert found([*rows, rows[0]], ["ofi"]) == {"ofi": [None, None, None, -1]}


def test_a_series_begins_anew_where_the_book_is_cleared() -> None:
    before, after = state((10, 5), (12, 4)), state((10, 9), (12, 4))
    assert found([before, clear(), after, before], ["ofi"]) == {"ofi": [None, None, None, -4]}
    snapshot = after._replace(flags=int(Flag.SNAPSHOT | Flag.LAST))
    assert found([before, snapshot, before], ["ofi", "mid"]) == {
        "ofi": [None, None, -4],
        "mid": [11.0, 11.0, 11.0],
    }


def test_trades_are_no_states() -> None:
    before, after = state((10, 5), (12, 4)), state((10, 9), (12, 4))
    met = trade("B", 12, 1, 3, 17)._replace(flags=int(Flag.SNAPSHOT))
    assert found([before, met, after], ["ofi", "spread"]) == {"ofi": [None, 4], "spread": [2, 2]}


def test_prices_of_the_whole_range_fit() -> None:
    low, high = -(2**63), 2**63 - 2
    rows = [state((low, 1), (high, 1)), state((high - 2, 1), (high, 1))]
    measures = found(rows, ["mid", "spread"])
    assert measures == {"mid": [-1.0, float(high - 1)], "spread": [None, 2]}


def test_sizes_are_added_up_beyond_their_own_dtype() -> None:
    most = 2**32 - 2
    rows = [Row("A", [(10, most), (9, most)], [(11, 1)]), Row("A", [(9, most)], [(11, most)])]
    assert found(rows, ["depth(2)", "ofi"], 2) == {
        "depth_bid_2": [2 * most, most],
        "depth_ask_2": [1, most],
        "ofi": [None, -most - most + 1],
    }


def recomputed(rows: list[Row], depth: int) -> pl.DataFrame:
    """`NAMES` of every state, in plain Python."""
    before: dict[tuple[int, int], Row] = {}
    records = []
    for number, row in enumerate(rows):
        if row.is_trade:
            continue
        then = None if row.is_restart else before.get(row.book)
        before[row.book] = row
        record: dict[str, object] = {
            "ts_event": number,
            "ts_recv": row.ts_recv,
            "sequence": number,
            "publisher_id": row.book[0],
            "instrument_id": row.book[1],
        }
        record |= _state_measures(row)
        record |= {f"ofi_{level:02}": ofi_of(row, then, level) for level in range(3)}
        records.append(record | {"ofi": ofi_of(row, then, 0)})
    empty = measures_source(pl.LazyFrame(schema=mbp_schema(depth)), NAMES, depth=depth)
    return pl.DataFrame(records, schema=empty.collect_schema())


def _state_measures(row: Row) -> dict[str, Value]:
    measures: dict[str, Value] = {}
    for k in (1, 3):
        bid, ask = (sum(size for _, size in side[:k]) for side in (row.bids, row.asks))
        measures[f"depth_bid_{k}"] = bid or None
        measures[f"depth_ask_{k}"] = ask or None
        if bid and ask:
            measures[f"imbalance_{k}"] = bid / (bid + ask)
    if row.bids and row.asks:
        (b, q_b), (a, q_a) = row.bids[0], row.asks[0]
        share = Fraction(q_b, q_b + q_a)
        measures["mid"] = (b + a) / 2
        measures["spread"] = a - b
        measures["weighted_mid"] = float(share * a + (1 - share) * b)
    return measures


def assert_same(left: pl.DataFrame, right: pl.DataFrame) -> None:
    assert_frame_equal(left, right, check_exact=False, rel_tol=1e-13, abs_tol=0)


@pytest.mark.parametrize("rows", CUTS)
@pytest.mark.parametrize("seed", range(3))
def test_they_equal_a_recomputation_however_the_stream_is_cut(seed: int, rows: int) -> None:
    market = random_rows(seed, 150 if rows == 1 else 600)
    frames = measure_frames(cut(frame_of(market, 3), rows), measure_columns(NAMES, 3))
    expected = recomputed(market, 3)
    assert_same(pl.concat(frames).select(expected.columns), expected)
    assert rows == 1 or expected["ofi_02"].count() > 3


def test_they_equal_a_recomputation_on_a_real_day(test_data: Path) -> None:
    day = vendor_rows(test_data / "dbeq" / "dbeq-20240131.mbp-10.parquet")
    found = measures_source(day.lazy(), NAMES, depth=10).collect()
    expected = recomputed(rows_of(day, 10), 10)
    stamps = ["ts_event", "sequence"]
    assert_same(found.drop(stamps), expected.drop(stamps))
    assert found["ofi"].count() > 2_000


def test_columns_that_no_measure_needs_may_be_missing() -> None:
    frame = frame_of(random_rows(1, 200), 3)
    slim = frame.select(*EVENT_COLUMNS, "action", "flags", "bid_px_00", "ask_px_00")
    assert_frame_equal(
        measures_source(slim.lazy(), ["mid"], depth=3).collect(),
        measures_source(frame.lazy(), ["mid", "ofi(3)"], depth=3)
        .select(*EVENT_COLUMNS, "mid")
        .collect(),
    )


def test_leaving_other_books_out_changes_nothing() -> None:
    frame = frame_of(random_rows(6, 500), 3)
    mine = (pl.col("publisher_id") == 1) & (pl.col("instrument_id") == 7)
    among = measures_source(frame.lazy(), NAMES, depth=3).filter(mine).collect()
    alone = measures_source(frame.filter(mine).lazy(), NAMES, depth=3).collect()
    assert_frame_equal(among, alone)


def test_columns_come_in_the_order_asked_for_and_once() -> None:
    source = measures_source(frame_of([]).lazy(), ["ofi(1)", "depth(1)", "mid", "ofi(1)"], depth=1)
    columns = [*EVENT_COLUMNS, "ofi_00", "depth_bid_1", "depth_ask_1", "mid"]
    assert source.collect_schema().names() == columns
    assert source.collect().columns == columns


@pytest.mark.parametrize(
    "name",
    ["microprice", "depth", "imbalance", "mid(1)", "depth(0)", "ofi(4)", "ofi()", "ofi(-1)", ""],
    ids=lambda name: name or "empty",
)
def test_an_unknown_measure_is_refused_with_those_that_there_are(name: str) -> None:
    rows = pl.LazyFrame(schema=mbp_schema(3))
    with pytest.raises(UsageError) as refused:
        measures_source(rows, ["mid", name], depth=3)
    assert str(refused.value) == (
        f"measure {name!r} is unknown: there are mid, spread, crossed, weighted_mid, ofi,"
        " depth(k), imbalance(k), ofi(k) with k from 1 to 3"
    )


def test_rows_that_lack_a_level_are_refused_where_they_are_named() -> None:
    with pytest.raises(UsageError, match="column ask_sz_01 is missing"):
        measures_source(pl.LazyFrame(schema=mbp_schema(1)), ["depth(2)"], depth=2)


def test_an_empty_stream_has_no_measures() -> None:
    frames: Iterator[pl.DataFrame] = iter([])
    assert list(measure_frames(frames, measure_columns(NAMES, 3))) == []
    assert measures_source(frame_of([]).lazy(), ["mid"], depth=1).collect().height == 0
