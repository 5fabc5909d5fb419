"""The vendor's schema `trades`, derived from MBO records.

The rule here: a trade is a T, never an F. A fill repeats the trade from the side of the resting
order, so counting both would count the volume twice (rules 6 and 12).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from batonics.frames.columns.mbo_frame import check_columns, to_frame
from batonics.frames.columns.row_place import position_series
from batonics.frames.columns.vendor import TRADES_SCHEMA, rtype_series
from batonics.frames.scan.mbo_scan import batches_of, has_batches
from batonics.frames.scan.sources import Projection, frame_source
from batonics.model.mbo import ACTION_TRADE, take_batch
from batonics.model.record_columns import OPTIONAL_DEFAULTS

_ADDED = ("rtype", "depth")
"""Columns that MBO records lack."""
_NEEDED = [name for name in TRADES_SCHEMA if name not in _ADDED and name not in OPTIONAL_DEFAULTS]


def trades_source(records: pl.LazyFrame, rtype: int | None = None) -> pl.LazyFrame:
    """A LazyFrame of `TRADES_SCHEMA` over MBO records: one row for each T, in their order.

    `depth` is 0. The other columns are those of the record, as in the vendor's files: files of the
    schemas mbo and trades that have the same trades agree in every field.

    An unchanged frame of `scan_batches` gives the trades of its batches. On any other frame, plain
    expressions make them: the result streams if `records` streams, and Polars pushes columns,
    predicates and row limits into `records` as far as it can.

    Args:
        records: MBO records, in their order. `ts_in_delta` may be missing, and is then 0.
        rtype: the value of the column `rtype`; None: null.

    Raises:
        UsageError: a column is missing or has another dtype.
    """
    if has_batches(records):
        return frame_source(
            "MBO TRADES", TRADES_SCHEMA, lambda projection: _frames(records, projection, rtype)
        )
    schema = records.collect_schema()
    check_columns(schema, [*_NEEDED, *(name for name in OPTIONAL_DEFAULTS if name in schema)])
    added: dict[str, int | None] = {
        "rtype": rtype,
        "depth": 0,
        **{name: value for name, value in OPTIONAL_DEFAULTS.items() if name not in schema},
    }
    return records.filter(pl.col("action") == "T").select(
        pl.lit(added[name], dtype).alias(name) if name in added else pl.col(name)
        for name, dtype in TRADES_SCHEMA.items()
    )


def _frames(
    records: pl.LazyFrame, projection: Projection, rtype: int | None
) -> Iterator[pl.DataFrame]:
    own = [name for name in TRADES_SCHEMA if name not in _ADDED]
    position = 0
    for batch in batches_of(records, projection.book_filter):
        rows = np.flatnonzero(batch.action == ACTION_TRADE)
        if len(rows):
            found = to_frame(take_batch(batch, rows), own)
            depth = pl.Series("depth", np.zeros(len(rows), np.uint8))
            added = [rtype_series(rtype, len(rows)), depth]
            frame = found.hstack(added)[list(TRADES_SCHEMA)]
            yield frame.hstack([position_series(rows + position)])
        position += len(batch.action)
