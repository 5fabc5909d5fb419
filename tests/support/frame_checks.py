"""Depth frames and consolidated frames, held against their references.

Unit tests run these checks, and so does the suite that kills mutants.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from batonics.frames.columns.books import depth_schema
from batonics.frames.columns.vendor import mbp_schema
from batonics.frames.depth.sampling import sampled_depth_frames
from batonics.frames.depth.windows import EventWindows, TimeWindows, Windows
from batonics.frames.schemas.consolidated import consolidated_frames
from batonics.model.mbo import UNDEF_PRICE, MboBatch
from tests.support.reference_books import records
from tests.support.reference_consolidated import ReferenceConsolidated
from tests.support.reference_sampling import ReferenceSampling
from tests.support.stream_profiles import PROFILES
from tests.support.streams import random_stream

DEPTH = 3


def sampled(batches: Iterable[MboBatch], windows: Windows, depth: int = DEPTH) -> pl.DataFrame:
    empty = pl.DataFrame(schema=depth_schema(depth))
    return pl.concat([empty, *sampled_depth_frames(batches, windows, depth)])


def plain_rows(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    return frame.with_columns(pl.col("ts", "ts_event", "ts_recv").cast(pl.Int64)).rows()


def check_sampled_intervals(profile: str, length_ns: int) -> None:
    """Depth at the ends of intervals is what the walk finds."""
    batch = PROFILES[profile](41, 1_500)
    ours = plain_rows(sampled([batch], TimeWindows(length_ns)))
    assert ours == ReferenceSampling(batch, DEPTH, length_ns=length_ns).rows


def check_sampled_event_windows(profile: str, every: int) -> None:
    """Depth after every so many events is what the walk finds."""
    batch = PROFILES[profile](42, 1_500)
    ours = plain_rows(sampled([batch], EventWindows(every)))
    assert ours == ReferenceSampling(batch, DEPTH, every=every).rows


def consolidated(batch: MboBatch, depth: int = 2, **wanted: bool) -> pl.DataFrame:
    empty = pl.DataFrame(schema=mbp_schema(depth))
    return pl.concat([empty, *consolidated_frames([batch], depth, **wanted)])


def check_consolidated(seed: int, depth: int) -> None:
    """A consolidated level is the sum over all publishers."""
    batch = random_stream(seed, 1_500)
    reference = ReferenceConsolidated(depth)
    for record in records(batch):
        reference.apply(record)
    frame = consolidated(batch, depth)
    found = frame.select(
        "publisher_id", "instrument_id", "action", "depth", pl.col("^(bid|ask)_.*$")
    )
    shown = found.with_columns(pl.col("^.*_px_.*$").fill_null(UNDEF_PRICE)).rows()
    assert shown == [_clipped(row) for row in reference.rows]


def _clipped(row: tuple[object, ...]) -> tuple[object, ...]:
    """The row with what does not fit 32 bits as the greatest that does."""
    head, levels = row[:4], row[4:]
    sizes = (
        v if i % 6 < 2 or not isinstance(v, int) else min(v, 2**32 - 1)
        for i, v in enumerate(levels)
    )
    return (*head, *sizes)
