"""Frames derived from rows of books, as a LazyFrame that pulls those rows.

The rule here: what a query leaves out is neither made nor read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import polars as pl

from batonics.frames.scan.sources import Projection, frame_source, pull_frames

FRAME_ROWS = 1 << 15
"""Rows gathered before expressions run, so that many rows share a query's fixed cost."""

Frames = Iterator[pl.DataFrame]


class DerivationPlan(NamedTuple):
    """How to make the columns that a query needs.

    Attributes:
        reads: the columns that are read from the rows.
        make: turns frames of these columns into frames of the columns that the query needs.
    """

    reads: Collection[str]
    make: Callable[[Frames], Frames]


def derived_source(
    name: str,
    rows: pl.LazyFrame,
    schema: pl.Schema,
    plan: Callable[[Collection[str]], DerivationPlan],
) -> pl.LazyFrame:
    """A LazyFrame derived from rows of books, which are pulled in their order.

    A predicate on `BOOK_KEY` alone is pushed on into the rows, since books do not depend on each
    other.

    Args:
        name: the name that `explain` shows.
        rows: rows of books, with the columns of `BOOK_KEY`.
        schema: the schema of the LazyFrame, with the columns of `BOOK_KEY`.
        plan: called at each collection with the names of the columns that the query needs.
    """

    def make_frames(projection: Projection) -> Frames:
        books = projection.book_filter
        reads, make = plan(projection.columns)
        return make(
            pull_frames(rows if books is None else rows.filter(books), reads, chunk_size=FRAME_ROWS)
        )

    return frame_source(name, schema, make_frames)
