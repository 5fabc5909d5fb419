"""The vendor's schema `trades`, derived from MBO records.

The rule here: a trade is a T, never an F. A fill repeats the trade from the side of the resting
order, so counting both would count the volume twice (rules 6 and 12).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import polars as pl

from batonics.frames.columns.mbo_frame import OPTIONAL_DEFAULTS, check_columns, to_frame
from batonics.frames.columns.vendor import RTYPES, TRADES_SCHEMA
from batonics.frames.scan.mbo_scan import batches_of, has_batches
from batonics.frames.scan.sources import Projection, frame_source
from batonics.model.mbo import Action, take_batch

_ADDED = {"rtype": RTYPES["trades"], "depth": 0}
"""Columns that MBO records lack, and their values."""
_NEEDED = [name for name in TRADES_SCHEMA if name not in _ADDED and name not in OPTIONAL_DEFAULTS]


def trades_source(records: pl.LazyFrame) -> pl.LazyFrame:
    """A LazyFrame of `TRADES_SCHEMA` over MBO records: one row for each T, in their order.

    `rtype` and `depth` are 0. The other columns are those of the record, as in the vendor's files:
    files of the schemas mbo and trades that have the same trades agree in every field.

    An unchanged frame of `scan_batches` gives the trades of its batches. On any other frame, plain
    expressions make them: the result streams if `records` streams, and Polars pushes columns,
    predicates and row limits into `records` as far as it can.

    Args:
        records: MBO records. Without `ts_in_delta`, that column is 0.

    Raises:
        UsageError: a column is missing or has another dtype.
    """
    if has_batches(records):
        return frame_source("MBO TRADES", TRADES_SCHEMA, partial(_frames, records))
    schema = records.collect_schema()
    check_columns(schema, [*_NEEDED, *(name for name in OPTIONAL_DEFAULTS if name in schema)])
    added = _ADDED | {
        name: value for name, value in OPTIONAL_DEFAULTS.items() if name not in schema
    }
    return records.filter(pl.col("action") == "T").select(
        pl.lit(added[name], dtype).alias(name) if name in added else pl.col(name)
        for name, dtype in TRADES_SCHEMA.items()
    )


def _frames(records: pl.LazyFrame, projection: Projection) -> Iterator[pl.DataFrame]:
    own = [name for name in TRADES_SCHEMA if name not in _ADDED]
    for batch in batches_of(records, projection.book_filter):
        rows = np.flatnonzero(batch.action == Action.TRADE)
        if len(rows):
            found = to_frame(take_batch(batch, rows), own)
            added = [
                pl.Series(name, np.full(len(rows), value), TRADES_SCHEMA[name])
                for name, value in _ADDED.items()
            ]
            yield found.hstack(added)[list(TRADES_SCHEMA)]
