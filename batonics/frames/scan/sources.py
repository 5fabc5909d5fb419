"""Frames that are made one after the other, as a LazyFrame.

The rule here: a query gets what it would get of all frames at once. What it leaves out need not be
made: each source is told what is wanted, and what may be left out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import polars as pl
from polars.io.plugins import register_io_source

BOOK_KEY_SCHEMA = {"publisher_id": pl.UInt16(), "instrument_id": pl.UInt32()}
BOOK_KEY = tuple(BOOK_KEY_SCHEMA)
"""What a book is known by (rule 1)."""


class Projection(NamedTuple):
    """What a query wants of a source.

    Attributes:
        columns: their names.
        books: a predicate on `BOOK_KEY` alone, for a source whose rows of a book depend on no
            other: it may give only rows of such books. None: there is none, or rows are counted.
    """

    columns: Collection[str]
    books: pl.Expr | None


def frame_source(
    name: str, schema: pl.Schema, frames_of: Callable[[Projection], Iterator[pl.DataFrame]]
) -> pl.LazyFrame:
    """A LazyFrame of the schema.

    Args:
        name: shown by `explain`.
        schema: of the rows.
        frames_of: called at each collection; gives frames that have the columns wanted, in order.
            No more are asked for once a row limit is reached.
    """

    def frames(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG001 - a hint; each source has its own size
    ) -> Iterator[pl.DataFrame]:
        columns = list(schema) if with_columns is None else with_columns
        tested = [] if predicate is None else predicate.meta.root_names()
        # With a limit, Polars counts rows before it filters: all must be there to be counted.
        of_books = n_rows is None and set(tested) <= set(BOOK_KEY)
        wanted = Projection({*columns, *tested}, predicate if of_books else None)
        for frame in _limited(frames_of(wanted), n_rows):
            kept = frame if predicate is None else frame.filter(predicate)
            yield kept.select(columns)

    source = register_io_source(frames, schema=schema, validate_schema=True, explain_name=name)
    setattr(source, _FRAMES, frames_of)
    return source


_FRAMES = "_batonics_frames"


def pull_frames(
    rows: pl.LazyFrame, columns: Collection[str], *, chunk_size: int | None = None
) -> Iterator[pl.DataFrame]:
    """Frames of these columns of a LazyFrame, in order.

    Of a `frame_source` that nothing was done to they are its own, without a query engine between.
    """
    frames_of: Callable[[Projection], Iterator[pl.DataFrame]] | None = getattr(rows, _FRAMES, None)
    names = list(columns)
    if frames_of is not None:
        for frame in frames_of(Projection(names, None)):
            yield frame if frame.columns == names else frame[names]
        return
    yield from rows.select(names).collect_batches(
        chunk_size=chunk_size, lazy=True, maintain_order=True
    )


def _limited(frames: Iterator[pl.DataFrame], n_rows: int | None) -> Iterator[pl.DataFrame]:
    if n_rows is None:
        yield from frames
    elif n_rows > 0:
        for frame in frames:
            yield frame.head(n_rows)
            n_rows -= frame.height
            if n_rows <= 0:
                return
