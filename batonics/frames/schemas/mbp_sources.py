"""MBP of any depth, and BBO intervals, as LazyFrames over MBO records."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from batonics.frames.columns.vendor import BBO_INTERVAL_SCHEMA, mbp_schema
from batonics.frames.scan.record_source import record_source
from batonics.frames.schemas.bbo_intervals import bbo_interval_frames
from batonics.frames.schemas.consolidated import consolidated_frames
from batonics.frames.schemas.mbp import mbp_frames
from batonics.model.mbo import MboBatch


def mbp_source(
    records: pl.LazyFrame,
    depth: int,
    *,
    rtype: int | None = None,
    changes: bool = True,
    consolidated: bool = False,
) -> pl.LazyFrame:
    """A LazyFrame of `mbp_schema(depth)` over MBO records: of books, or of instruments."""

    def make(batches: Iterator[MboBatch]) -> Iterator[pl.DataFrame]:
        frames = consolidated_frames if consolidated else mbp_frames
        return frames(batches, depth, rtype=rtype, changes=changes)

    books_apart = not consolidated
    return record_source(
        f"MBO MBP {depth}", records, mbp_schema(depth), make, books_apart=books_apart
    )


def bbo_interval_source(
    records: pl.LazyFrame, length_ns: int, rtype: int | None = None
) -> pl.LazyFrame:
    """A LazyFrame of `BBO_INTERVAL_SCHEMA` over MBO records."""

    def make(batches: Iterator[MboBatch]) -> Iterator[pl.DataFrame]:
        return bbo_interval_frames(batches, length_ns, rtype)

    return record_source("MBO BBO INTERVALS", records, BBO_INTERVAL_SCHEMA, make, books_apart=False)
