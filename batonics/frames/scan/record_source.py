"""Frames derived from MBO records, as LazyFrames.

The rule here: a source holds no more records than one fold takes. It reads the next ones only when
its reader asks for more rows, and none after a row limit is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

from batonics.frames.columns.mbo_frame import BOOK_COLUMNS, check_columns
from batonics.frames.columns.row_place import POSITION
from batonics.frames.scan.mbo_scan import batches_of
from batonics.frames.scan.sources import Projection, frame_source
from batonics.model.mbo import MboBatch

Derive = Callable[[Iterator[MboBatch]], Iterator[pl.DataFrame]]


def record_source(  # noqa: PLR0913 - settings, by keyword
    name: str,
    records: pl.LazyFrame,
    schema: pl.Schema,
    derive: Derive,
    *,
    books_independent: bool = True,
    derive_placed: Derive | None = None,
) -> pl.LazyFrame:
    """A LazyFrame of frames derived from MBO records.

    Args:
        name: the name that `explain` shows.
        records: MBO records, in their order.
        schema: the schema of the LazyFrame.
        derive: turns the batches of the records into frames of the schema.
        books_independent: whether the rows of a book depend on its own records alone. If so, books
            that the query filters out are not built.
        derive_placed: as `derive`, with the column `position` too (`frames/columns/row_place.py`).

    Raises:
        UsageError: a column is missing or has another dtype.
    """
    # An unsuitable frame is refused here, where the mistake is made, not when it is collected.
    check_columns(records.collect_schema(), BOOK_COLUMNS)

    def make_frames(projection: Projection) -> Iterator[pl.DataFrame]:
        books = projection.book_filter if books_independent else None
        is_placed = derive_placed is not None and POSITION in projection.columns
        make = derive_placed if derive_placed is not None and is_placed else derive
        return make(batches_of(records, books))

    return frame_source(name, schema, make_frames)
