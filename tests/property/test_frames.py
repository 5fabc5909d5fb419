"""Frames of any stream at all: as exact as the records, and the same book as the fold's ladder."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from batonics.book.engine import BookEngine
from batonics.frames.columns.books import DELTA_SCHEMA
from batonics.frames.columns.mbo_frame import from_frame, to_frame
from batonics.frames.depth.book_sources import bbo_frames, delta_frames
from batonics.frames.depth.snapshots import depth_frames
from batonics.frames.depth.windows import EventWindows, TimeWindows
from batonics.frames.scan.folding import fold_pieces
from batonics.model.mbo import MBO_COLUMN_DTYPES, MboBatch, slice_batch
from tests.support.reference_books import Record
from tests.support.reference_depth import Row, event_depth, time_depth
from tests.support.streams import batch_of, stream_strategy

DEPTH = 2


def cut(batch: MboBatch, rows: int) -> list[MboBatch]:
    return [slice_batch(batch, at, at + rows) for at in range(0, len(batch.action), rows)]


def depth_rows(
    batches: list[MboBatch], windows: EventWindows | TimeWindows, *, fill: bool
) -> list[Row]:
    pieces = fold_pieces(batches, deltas=True)
    frame = pl.concat(depth_frames(pieces, windows, DEPTH, fill=fill))
    plain = frame.with_columns(pl.col("ts", "ts_event", "ts_recv").cast(pl.Int64))
    return [Row._make((*row[:7], row[7:])) for row in plain.iter_rows()]


@given(rows=stream_strategy())
def test_records_survive_a_frame(rows: list[Record]) -> None:
    batch = batch_of(rows)
    found = from_frame(to_frame(batch))
    for name, dtype in MBO_COLUMN_DTYPES.items():
        assert getattr(found, name).dtype == dtype
        np.testing.assert_array_equal(getattr(found, name), getattr(batch, name))


@settings(max_examples=30)
@given(rows=stream_strategy(), size=st.integers(1, 50), length=st.integers(1, 9))
def test_the_ladder_and_the_expressions_agree_at_each_windows_end(
    rows: list[Record], size: int, length: int
) -> None:
    batch = batch_of(rows)
    found = depth_rows(cut(batch, size), EventWindows(length), fill=False)
    assert found == event_depth(batch, length, DEPTH)


@settings(max_examples=30)
@given(
    rows=stream_strategy(),
    size=st.integers(1, 50),
    length_ns=st.sampled_from([1_000, 300_000_007, 1_000_000_000, 86_400 * 10**9]),
    fill=st.booleans(),
)
def test_they_agree_at_the_ends_of_time_windows(
    rows: list[Record], size: int, length_ns: int, fill: bool
) -> None:
    fill = fill and length_ns > 1_000  # a stream has gaps of seconds
    batch = batch_of(rows)
    found = depth_rows(cut(batch, size), TimeWindows(length_ns), fill=fill)
    assert found == time_depth(batch, length_ns, DEPTH, fill=fill)


@settings(max_examples=30)
@given(rows=stream_strategy(), size=st.integers(1, 50))
def test_quotes_and_deltas_do_not_depend_on_the_cut(rows: list[Record], size: int) -> None:
    batch = batch_of(rows)
    whole, parts = [batch], cut(batch, size)
    if parts:
        assert pl.concat(bbo_frames(parts)).equals(pl.concat(bbo_frames(whole)))
        assert pl.concat(delta_frames(parts)).equals(pl.concat(delta_frames(whole)))


@settings(max_examples=30)
@given(rows=stream_strategy())
def test_deltas_add_up_to_the_ladder(rows: list[Record]) -> None:
    batch = batch_of(rows)
    key = ["publisher_id", "instrument_id", "side", "price"]
    deltas = pl.concat([pl.DataFrame(schema=DELTA_SCHEMA), *delta_frames([batch])])
    sums = deltas.group_by(key).agg(pl.col("size", "count").sum())
    engine = BookEngine()
    engine.fold(batch)
    keys = engine.keys()
    expected = {
        (*keys[book], "BA"[side], price, size, count)
        for book, side, price, size, count in zip(
            *(column.tolist() for column in engine.levels()), strict=True
        )
    }
    assert set(sums.filter(pl.col("size") != 0).iter_rows()) == expected
