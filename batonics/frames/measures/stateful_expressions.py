"""Expressions over the earlier rows of a book, on a stream of frames.

The rule here: the result does not depend on how the stream was cut into frames. The last rows of
every book are kept. Expressions are evaluated on these rows followed by the rows of a frame, and
the kept rows are then removed. So `over(BOOK_KEY)` gives what it would give on one frame of all
rows. The number of kept rows does not grow with the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import polars as pl

from batonics.frames.columns.books import BOOK_KEY
from batonics.frames.columns.mbo_frame import check_columns

Evaluate = Callable[[pl.LazyFrame], pl.LazyFrame]


class StatefulExpressions:
    """Evaluates expressions on each frame of a stream, with the earlier rows of each book.

    An expression that adds a column can read the last `rows` rows of its book: `shift()` needs one,
    `rolling_sum(n)` needs n - 1. An expression that overwrites a column of the frame keeps a
    running value, since the kept rows have the overwritten column: `forward_fill()`, `cum_max()`
    and, with one kept row, `cum_sum()` then run over the whole stream.

    Args:
        evaluate: adds columns, or overwrites columns without changing their dtypes. It keeps the
            rows and their order. Expressions over several rows are `over(BOOK_KEY)`, or finer.
        rows: the number of rows of each book that are kept.
    """

    def __init__(self, evaluate: Evaluate, *, rows: int = 1) -> None:
        self._evaluate = evaluate
        self._rows = rows
        self._kept: pl.DataFrame | None = None

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of the next frame of the stream with the evaluated columns."""
        kept = frame.clear() if self._kept is None else self._kept
        evaluated = self._evaluate(pl.concat([kept, frame]).lazy()).collect(engine="in-memory")
        last = (
            evaluated.select(frame.columns).group_by(BOOK_KEY, maintain_order=True).tail(self._rows)
        )
        self._kept = last.select(frame.columns)
        return evaluated.slice(kept.height)


def check_mbp_columns(found: pl.Schema, expected: pl.Schema, names: Collection[str]) -> None:
    """Check that a frame has columns of MBP rows.

    Raises:
        UsageError: a column of `names` is missing, or its dtype is not the expected one.
    """
    check_columns(found, names, expected=expected, use="measures are taken from MBP rows")
