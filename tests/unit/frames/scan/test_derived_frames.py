"""Expressions over a book's earlier rows: as if the whole stream were one frame."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from batonics.frames.columns.vendor import mbp_schema
from batonics.frames.scan import derived_frames as carry_module
from batonics.frames.scan.derived_frames import (
    BOOK,
    DerivationPlan,
    Frames,
    StatefulExpressions,
    check_mbp_columns,
    derived_source,
)
from batonics.model.errors import UsageError
from tests.support.mbp_rows import CUTS, cut, frame_of, random_rows

SIZE = pl.col("size").fill_null(0).cast(pl.Int64)


def evaluated_in_pieces(frame: pl.DataFrame, carry: StatefulExpressions, rows: int) -> pl.DataFrame:
    return pl.concat([carry(piece) for piece in cut(frame, rows)])


def running(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.with_columns(
        pl.col("ts_recv").cum_max().forward_fill().over(BOOK),
        pl.col("total").cum_sum().over(BOOK),
        before=pl.col("sequence").shift().over(BOOK),
    )


@pytest.mark.parametrize("rows", CUTS)
def test_running_values_and_the_row_before_do_not_depend_on_the_cut(rows: int) -> None:
    frame = frame_of(random_rows(1, 400)).with_columns(total=SIZE)
    expected = running(frame.lazy()).collect()
    assert_frame_equal(evaluated_in_pieces(frame, StatefulExpressions(running), rows), expected)


@pytest.mark.parametrize("rows", CUTS)
@pytest.mark.parametrize("n", [1, 2, 5, 300])
def test_rolling_sums_reach_as_many_rows_back_as_are_kept(n: int, rows: int) -> None:
    def rolled(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.with_columns(sum=SIZE.rolling_sum(n).over(BOOK))

    frame = frame_of(random_rows(2, 400))
    found = evaluated_in_pieces(frame, StatefulExpressions(rolled, rows=n - 1), rows)
    assert_frame_equal(found, rolled(frame.lazy()).collect())
    assert found["sum"].null_count() >= n - 1


def test_a_book_is_remembered_while_others_have_rows() -> None:
    carry = StatefulExpressions(
        lambda rows: rows.with_columns(before=pl.col("sequence").shift().over(BOOK))
    )
    mine, other = ([(1, 1)], [(2, 2)])
    frames = [
        pl.DataFrame({"publisher_id": [p], "instrument_id": [i], "sequence": [n]})
        for n, ((p, i),) in enumerate([mine, other, other, mine])
    ]
    assert [carry(frame)["before"].item() for frame in frames] == [None, None, 1, 0]


def test_what_is_kept_does_not_grow_with_the_stream() -> None:
    carry = StatefulExpressions(running)
    frame = frame_of(random_rows(3, 300)).with_columns(total=SIZE)
    for _ in range(5):
        carry(frame)
        assert carry._kept is not None
        assert carry._kept.height == frame.n_unique(BOOK)


def test_an_empty_frame_changes_nothing() -> None:
    carry = StatefulExpressions(running)
    frame = frame_of(random_rows(4, 50)).with_columns(total=SIZE)
    pieces = [frame.clear(), frame.head(20), frame.clear(), frame.tail(30)]
    assert_frame_equal(pl.concat([carry(p) for p in pieces]), running(frame.lazy()).collect())


def passed_on(pulled: list[int], reads: list[set[str]]) -> pl.LazyFrame:
    """A source that gives its rows as they are, and tells what it pulls and reads."""
    rows = frame_of(random_rows(5, 100)).lazy()

    def plan(wanted: object) -> DerivationPlan:
        assert isinstance(wanted, set)
        reads.append(wanted)

        def make(frames: Frames) -> Frames:
            for frame in frames:
                pulled.append(frame.height)
                yield frame

        return DerivationPlan({*wanted, *BOOK}, make)

    return derived_source("TEST", rows, mbp_schema(1), plan)


def test_a_source_gives_what_the_query_wants_and_reads_no_more() -> None:
    reads: list[set[str]] = []
    source = passed_on([], reads)
    whole = frame_of(random_rows(5, 100))
    assert_frame_equal(source.collect(), whole)
    query = (pl.col("size") > 3) & (pl.col("publisher_id") == 1)
    assert_frame_equal(
        source.filter(query).select("price").collect(), whole.filter(query).select("price")
    )
    assert reads == [set(whole.columns), {"price", "size", "publisher_id"}]
    assert source.select(pl.len()).collect().item() == 100


def test_a_predicate_on_the_book_is_pushed_on_into_the_rows() -> None:
    pulled: list[int] = []
    mine = (pl.col("publisher_id") == 1) & (pl.col("instrument_id") == 7)
    found = passed_on(pulled, []).filter(mine).collect()
    assert_frame_equal(found, frame_of(random_rows(5, 100)).filter(mine))
    assert sum(pulled) == found.height


def test_after_the_last_row_of_a_limit_no_frame_is_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carry_module, "FRAME_ROWS", 10)
    pulled: list[int] = []
    source = passed_on(pulled, [])
    whole = frame_of(random_rows(5, 100))
    for count in (0, 1, 10, 25, 1_000):
        assert_frame_equal(source.head(count).collect(), whole.head(count))
    pulled.clear()
    source.head(25).collect()
    assert sum(pulled) <= 40
    assert_frame_equal(
        source.head(60).filter(pl.col("publisher_id") == 2).collect(),
        whole.head(60).filter(pl.col("publisher_id") == 2),
    )


def test_rows_without_a_column_or_with_another_dtype_are_refused() -> None:
    schema = mbp_schema(1)
    with pytest.raises(UsageError, match="column bid_px_00 is missing"):
        check_mbp_columns(pl.Schema({"size": pl.UInt32()}), schema, ["size", "bid_px_00"])
    with pytest.raises(UsageError, match="column size is Int64, expected UInt32"):
        check_mbp_columns(pl.Schema({"size": pl.Int64()}), schema, ["size"])
