"""Trades from MBO records: the vendor's `trades`, as expressions on the records.

The rule here: a trade is a T and never an F. A fill repeats the trade from the resting order's
side, so counting both would count volume twice (rules 6 and 12).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from batonics.frames.columns.mbo_frame import OPTIONAL_DEFAULTS, check_columns, to_frame
from batonics.frames.columns.vendor import TRADES_SCHEMA, rtype_series
from batonics.frames.scan.mbo_scan import batches_of, has_batches
from batonics.frames.scan.sources import Projection, frame_source
from batonics.model.mbo import Action, take_batch

_ADDED = ("rtype", "depth")
"""What MBO records lack."""
_NEEDED = [name for name in TRADES_SCHEMA if name not in _ADDED and name not in OPTIONAL_DEFAULTS]


def trades_source(records: pl.LazyFrame, rtype: int | None = None) -> pl.LazyFrame:
    """A LazyFrame of `TRADES_SCHEMA` over MBO records: a row a T, in their order.

    `depth` is 0; the other columns are the record's own, as in the vendor's files: where those
    have the same trades as MBO and as `trades`, the two are equal in every field. The rows of a
    frame that `scan_batches` made are taken from its batches. Otherwise these are plain
    expressions: they stream where `records` streams, and columns, predicates and row limits reach
    `records` as far as Polars can push them.

    Args:
        records: MBO records, in their order.
        rtype: the value of the column `rtype`; None: null.

    Raises:
        UsageError: a column is missing or has another dtype; `ts_in_delta` may be missing, and is
            then 0.
    """
    if has_batches(records):
        return frame_source(
            "MBO TRADES", TRADES_SCHEMA, lambda wanted: _frames(records, wanted, rtype)
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


def _frames(records: pl.LazyFrame, wanted: Projection, rtype: int | None) -> Iterator[pl.DataFrame]:
    own = [name for name in TRADES_SCHEMA if name not in _ADDED]
    for batch in batches_of(records, wanted.books):
        rows = np.flatnonzero(batch.action == Action.TRADE)
        if len(rows):
            found = to_frame(take_batch(batch, rows), own)
            depth = pl.Series("depth", np.zeros(len(rows), np.uint8))
            added = [rtype_series(rtype, len(rows)), depth]
            yield found.hstack(added)[list(TRADES_SCHEMA)]
