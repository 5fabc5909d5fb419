"""Expressions over the earlier rows of a book, on a stream of frames.

The rule here: how the stream was cut shows nowhere. The last rows of every book seen so far stand
before the rows of each frame while expressions are evaluated, and are taken away again; so
`over(BOOK_KEY)` sees what it would see if all frames were one. What is kept is a row or a few a
book, however long the stream is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import polars as pl

from batonics.frames.columns.mbo_frame import check_columns
from batonics.frames.scan.sources import BOOK_KEY

Evaluate = Callable[[pl.LazyFrame], pl.LazyFrame]


class StatefulExpressions:
    """Evaluates expressions on frame after frame of a stream, with each book's rows before it.

    An expression that adds a column reads what the last `rows` rows of its book were:
    `shift()` for one, `rolling_sum(n)` for n - 1. One that writes over a column of the frame keeps
    a running value, since the rows kept have the column as it was written: `forward_fill()`,
    `cum_max()` and, with one row kept, `cum_sum()` then run over the whole stream.

    Args:
        evaluate: adds columns, or writes over columns without changing their dtype; it keeps the
            rows and their order. What depends on other rows is `over(BOOK_KEY)`, or finer.
        rows: how many rows of each book are kept.
    """

    def __init__(self, evaluate: Evaluate, *, rows: int = 1) -> None:
        self._evaluate = evaluate
        self._rows = rows
        self._kept: pl.DataFrame | None = None

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame's rows with their new columns; frames come in the order of the stream."""
        kept = frame.clear() if self._kept is None else self._kept
        known = self._evaluate(pl.concat([kept, frame]).lazy()).collect(engine="in-memory")
        last = known.select(frame.columns).group_by(BOOK_KEY, maintain_order=True).tail(self._rows)
        self._kept = last.select(frame.columns)
        return known.slice(kept.height)


def check_mbp_columns(found: pl.Schema, expected: pl.Schema, names: Collection[str]) -> None:
    """Check that a frame has columns of MBP rows.

    Raises:
        UsageError: a column of `names` is missing, or has another dtype than expected.
    """
    check_columns(found, names, expected=expected, use="measures are taken from MBP rows")
