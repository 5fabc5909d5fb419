"""Expressions over the earlier rows of a book, on a stream of frames.

The rule here: how the stream was cut shows nowhere. The last rows of every book seen so far stand
before the rows of each frame while expressions are evaluated, and are taken away again; so
`over(BOOK)` sees what it would see if all frames were one. What is kept is a row or a few a book,
however long the stream is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import polars as pl

from batonics.frames.columns.mbo_frame import check_columns
from batonics.frames.scan.sources import BOOK_KEY, Projection, frame_source, pull_frames

BOOK = list(BOOK_KEY)
FRAME_ROWS = 1 << 15
"""So many rows are gathered before expressions run: a query's fixed cost is shared by many."""

Evaluate = Callable[[pl.LazyFrame], pl.LazyFrame]
Frames = Iterator[pl.DataFrame]


class StatefulExpressions:
    """Evaluates expressions on frame after frame of a stream, with each book's rows before it.

    An expression that adds a column reads what the last `rows` rows of its book were:
    `shift()` for one, `rolling_sum(n)` for n - 1. One that writes over a column of the frame keeps
    a running value, since the rows kept have the column as it was written: `forward_fill()`,
    `cum_max()` and, with one row kept, `cum_sum()` then run over the whole stream.

    Args:
        evaluate: adds columns, or writes over columns without changing their dtype; it keeps the
            rows and their order. What depends on other rows is `over(BOOK)`, or finer.
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
        last = known.select(frame.columns).group_by(BOOK, maintain_order=True).tail(self._rows)
        self._kept = last.select(frame.columns)
        return known.slice(kept.height)


class DerivationPlan(NamedTuple):
    """How the columns that a query wants are made.

    Attributes:
        reads: the columns of the rows that they are made from.
        make: frames of those to frames that have the columns wanted.
    """

    reads: Collection[str]
    make: Callable[[Frames], Frames]


def derived_source(
    name: str,
    rows: pl.LazyFrame,
    schema: pl.Schema,
    plan: Callable[[Collection[str]], DerivationPlan],
) -> pl.LazyFrame:
    """A LazyFrame of `schema`, made from rows of books as they are pulled, in their order.

    What a query leaves out is neither made nor read. A predicate on `BOOK` alone is pushed on into
    the rows: books do not depend on each other.

    Args:
        name: shown by `explain`.
        rows: have the columns of `BOOK`.
        schema: of what is made; has the columns of `BOOK`.
        plan: called at each collection with the names of the columns wanted.
    """

    def frames_of(wanted: Projection) -> Frames:
        source = rows if wanted.books is None else rows.filter(wanted.books)
        reads, make = plan(wanted.columns)
        return make(pull_frames(source, reads, chunk_size=FRAME_ROWS))

    return frame_source(name, schema, frames_of)


def check_mbp_columns(found: pl.Schema, expected: pl.Schema, names: Collection[str]) -> None:
    """Check that a frame has columns of MBP rows.

    Raises:
        UsageError: a column of `names` is missing, or has another dtype than expected.
    """
    check_columns(found, names, expected=expected, use="measures are taken from MBP rows")
