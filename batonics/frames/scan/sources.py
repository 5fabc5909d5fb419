"""Frames that are made one after the other, as a LazyFrame.

The rule here: a query gets the result that it would get from all frames at once. Each source learns
which columns and which books a query needs, and may leave out the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import polars as pl
from polars.io.plugins import register_io_source

from batonics.frames.columns.books import BOOK_KEY

"""The columns that identify a book (rule 1)."""


class Projection(NamedTuple):
    """The part of a source that a query needs.

    Attributes:
        columns: the names of the columns.
        book_filter: a predicate on `BOOK_KEY` alone. A source in which the rows of a book depend on
            no other book may leave out rows of other books. None: the query has no such predicate,
            or it counts rows before it filters them.
    """

    columns: Collection[str]
    book_filter: pl.Expr | None


MakeFrames = Callable[[Projection], Iterator[pl.DataFrame]]


def frame_source(name: str, schema: pl.Schema, make_frames: MakeFrames) -> pl.LazyFrame:
    """A LazyFrame of frames that are made when it is collected.

    Args:
        name: the name that `explain` shows.
        schema: the schema of the LazyFrame.
        make_frames: called at each collection. It gives frames that have the columns of the
            projection, in order. No more frames are requested after a row limit is reached.
    """

    def frames(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG001 - a hint; each source has its own size
    ) -> Iterator[pl.DataFrame]:
        columns = list(schema) if with_columns is None else with_columns
        tested = [] if predicate is None else predicate.meta.root_names()
        # With a limit, Polars counts rows before it filters: every row must be there to be counted.
        tests_books = n_rows is None and set(tested) <= set(BOOK_KEY)
        projection = Projection({*columns, *tested}, predicate if tests_books else None)
        for frame in _limit_rows(make_frames(projection), n_rows):
            kept = frame if predicate is None else frame.filter(predicate)
            yield kept if kept.columns == columns else kept[columns]

    source = register_io_source(frames, schema=schema, validate_schema=True, explain_name=name)
    mark_frame_source(source, make_frames)
    return source


def mark_frame_source(source: pl.LazyFrame, make_frames: MakeFrames) -> None:
    """Let `pull_frames` take the frames of a LazyFrame from `make_frames`."""
    setattr(source, _MAKE_FRAMES, make_frames)


_MAKE_FRAMES = "_batonics_make_frames"


def pull_frames(
    rows: pl.LazyFrame, columns: Collection[str], *, chunk_size: int | None = None
) -> Iterator[pl.DataFrame]:
    """Frames of some columns of a LazyFrame, in order.

    If `rows` is an unchanged `frame_source`, its own frames are given without a query engine in
    between.

    Args:
        rows: any LazyFrame.
        columns: the names of the columns, in the order of the result.
        chunk_size: how many rows a frame has that the query engine makes; None: its own choice.
    """
    make_frames: MakeFrames | None = getattr(rows, _MAKE_FRAMES, None)
    names = list(columns)
    if make_frames is not None:
        for frame in make_frames(Projection(names, None)):
            yield frame if frame.columns == names else frame[names]
        return
    yield from rows.select(names).collect_batches(
        chunk_size=chunk_size, lazy=True, maintain_order=True
    )


def _limit_rows(frames: Iterator[pl.DataFrame], n_rows: int | None) -> Iterator[pl.DataFrame]:
    if n_rows is None:
        yield from frames
    elif n_rows > 0:
        for frame in frames:
            yield frame.head(n_rows)
            n_rows -= frame.height
            if n_rows <= 0:
                return
