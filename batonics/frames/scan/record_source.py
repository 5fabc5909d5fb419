"""Frames derived from MBO records, as LazyFrames.

The rule here: a source keeps no more than one fold's worth of records. It asks for the next only
when its reader wants more, and no more once a row limit is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

from batonics.frames.columns.mbo_frame import BOOK_COLUMNS, check_columns
from batonics.frames.scan.mbo_scan import batches_of
from batonics.frames.scan.sources import Projection, frame_source
from batonics.model.mbo import MboBatch

Make = Callable[[Iterator[MboBatch]], Iterator[pl.DataFrame]]


def record_source(
    name: str, records: pl.LazyFrame, schema: pl.Schema, make: Make, *, books_apart: bool = True
) -> pl.LazyFrame:
    """A source of what `make` makes of records.

    `books_apart` says that a book's rows depend on its own records alone: those of books that are
    not wanted are then not built.
    """
    # A wrong frame is refused where the mistake is made, not at its collection.
    check_columns(records.collect_schema(), BOOK_COLUMNS)

    def frames_of(wanted: Projection) -> Iterator[pl.DataFrame]:
        return make(batches_of(records, wanted.books if books_apart else None))

    return frame_source(name, schema, frames_of)
