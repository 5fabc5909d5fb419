"""Frames derived from rows of books, as a LazyFrame that pulls those rows.

The rule here: what a query leaves out is neither made nor read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import polars as pl

from batonics.frames.scan.sources import Projection, frame_source, pull_frames

FRAME_ROWS = 1 << 15
"""Rows gathered before expressions run: many rows share a query's fixed cost."""

Frames = Iterator[pl.DataFrame]


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

    What a query leaves out is neither made nor read. A predicate on `BOOK_KEY` alone
    is pushed on into the rows: books do not depend on each other.

    Args:
        name: shown by `explain`.
        rows: have the columns of `BOOK_KEY`.
        schema: of what is made; has the columns of `BOOK_KEY`.
        plan: called at each collection with the names of the columns wanted.
    """

    def frames_of(wanted: Projection) -> Frames:
        source = rows if wanted.books is None else rows.filter(wanted.books)
        reads, make = plan(wanted.columns)
        return make(pull_frames(source, reads, chunk_size=FRAME_ROWS))

    return frame_source(name, schema, frames_of)
