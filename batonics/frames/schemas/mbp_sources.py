"""MBP of any depth, and BBO intervals, as LazyFrames over MBO records."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import polars as pl

from batonics.frames.columns.vendor import BBO_INTERVAL_SCHEMA, mbp_schema
from batonics.frames.scan.record_source import record_source
from batonics.frames.schemas.bbo_intervals import bbo_interval_frames
from batonics.frames.schemas.consolidated import consolidated_frames
from batonics.frames.schemas.mbp import mbp_frames, state_frames
from batonics.model.mbo import MboBatch


def mbp_source(
    records: pl.LazyFrame,
    depth: int,
    *,
    rtype: int | None = None,
    changes: bool = True,
    consolidated: bool = False,
) -> pl.LazyFrame:
    """A LazyFrame of `mbp_schema(depth)` over MBO records.

    Args:
        records: MBO records, in their order.
        depth: levels of each side.
        rtype: the value of the column `rtype`; None: null.
        changes: whether changes have rows. Without them, a depth of 1 gives tbbo.
        consolidated: whether the levels are those of an instrument over all its publishers.
    """
    frames = partial(
        consolidated_frames if consolidated else mbp_frames,
        depth=depth,
        rtype=rtype,
        changes=changes,
    )
    return record_source(
        f"MBO MBP {depth}",
        records,
        mbp_schema(depth),
        frames,
        books_independent=not consolidated,
        derive_placed=None if consolidated else partial(frames, positions=True),
    )


def state_source(records: pl.LazyFrame, depth: int) -> pl.LazyFrame:
    """A LazyFrame of `state_frames` over MBO records.

    Args:
        records: MBO records, in their order.
        depth: levels of each side.
    """
    frames = partial(state_frames, depth=depth)
    return record_source(
        f"MBO STATES {depth}",
        records,
        mbp_schema(depth),
        frames,
        derive_placed=partial(frames, positions=True),
    )


def bbo_interval_source(
    records: pl.LazyFrame, length_ns: int, rtype: int | None = None
) -> pl.LazyFrame:
    """A LazyFrame of `BBO_INTERVAL_SCHEMA` over MBO records.

    Args:
        records: MBO records, in their order.
        length_ns: the length of an interval in nanoseconds.
        rtype: the value of the column `rtype`; None: null.
    """

    def derive(batches: Iterator[MboBatch]) -> Iterator[pl.DataFrame]:
        return bbo_interval_frames(batches, length_ns, rtype)

    return record_source(
        "MBO BBO INTERVALS", records, BBO_INTERVAL_SCHEMA, derive, books_independent=False
    )
