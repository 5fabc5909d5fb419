"""Expressions over a book's earlier rows give what they give on one frame of all rows."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from batonics.frames.columns.books import BOOK_KEY
from batonics.frames.columns.vendor import mbp_schema
from batonics.frames.measures.stateful_expressions import StatefulExpressions, check_mbp_columns
from batonics.model.errors import UsageError
from tests.support.mbp_rows import CUTS, cut, frame_of, random_rows

SIZE = pl.col("size").fill_null(0).cast(pl.Int64)


def evaluated_in_pieces(
    frame: pl.DataFrame, evaluate: StatefulExpressions, rows: int
) -> pl.DataFrame:
    return pl.concat([evaluate(piece) for piece in cut(frame, rows)])


def running(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.with_columns(
        pl.col("ts_recv").cum_max().forward_fill().over(BOOK_KEY),
        pl.col("total").cum_sum().over(BOOK_KEY),
        before=pl.col("sequence").shift().over(BOOK_KEY),
    )


@pytest.mark.parametrize("rows", CUTS)
def test_running_values_and_the_row_before_do_not_depend_on_the_cut(rows: int) -> None:
    frame = frame_of(random_rows(1, 150 if rows == 1 else 400)).with_columns(total=SIZE)
    expected = running(frame.lazy()).collect()
    assert_frame_equal(evaluated_in_pieces(frame, StatefulExpressions(running), rows), expected)


@pytest.mark.parametrize("rows", CUTS)
@pytest.mark.parametrize("n", [1, 2, 5, 300])
def test_rolling_sums_reach_as_many_rows_back_as_are_kept(n: int, rows: int) -> None:
    def rolled(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.with_columns(sum=SIZE.rolling_sum(n).over(BOOK_KEY))

    frame = frame_of(random_rows(2, 150 if rows == 1 and n < 150 else 400))
    found = evaluated_in_pieces(frame, StatefulExpressions(rolled, rows=n - 1), rows)
    assert_frame_equal(found, rolled(frame.lazy()).collect())
    assert found["sum"].null_count() >= n - 1


def test_a_book_is_remembered_while_others_have_rows() -> None:
    evaluate = StatefulExpressions(
        lambda rows: rows.with_columns(before=pl.col("sequence").shift().over(BOOK_KEY))
    )
    mine, other = ([(1, 1)], [(2, 2)])
    frames = [
        pl.DataFrame({"publisher_id": [p], "instrument_id": [i], "sequence": [n]})
        for n, ((p, i),) in enumerate([mine, other, other, mine])
    ]
    assert [evaluate(frame)["before"].item() for frame in frames] == [None, None, 1, 0]


def test_what_is_kept_does_not_grow_with_the_stream() -> None:
    evaluate = StatefulExpressions(running)
    frame = frame_of(random_rows(3, 300)).with_columns(total=SIZE)
    for _ in range(5):
        evaluate(frame)
        assert evaluate._kept is not None
        assert evaluate._kept.height == frame.n_unique(BOOK_KEY)


def test_an_empty_frame_changes_nothing() -> None:
    evaluate = StatefulExpressions(running)
    frame = frame_of(random_rows(4, 50)).with_columns(total=SIZE)
    pieces = [frame.clear(), frame.head(20), frame.clear(), frame.tail(30)]
    assert_frame_equal(pl.concat([evaluate(p) for p in pieces]), running(frame.lazy()).collect())


def test_rows_without_a_column_or_with_another_dtype_are_refused() -> None:
    schema = mbp_schema(1)
    with pytest.raises(UsageError, match="column bid_px_00 is missing"):
        check_mbp_columns(pl.Schema({"size": pl.UInt32()}), schema, ["size", "bid_px_00"])
    with pytest.raises(UsageError, match="column size is Int64, expected UInt32"):
        check_mbp_columns(pl.Schema({"size": pl.Int64()}), schema, ["size"])
