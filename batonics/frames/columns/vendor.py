"""Columns of the vendor's schemas as frames: names, order and dtypes.

The rule here: a frame has the columns of the vendor's files, in their order. Prices are integers of
1e-9, null where undefined; times are Datetime of nanoseconds, UTC, null where undefined. `rtype` is
null where DBN has no record of the schema. `frames/schemas/table.py` says which schema has which
columns. Source: the dbn reference library (`record.rs`) and the vendor's own files.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
from polars._typing import PolarsDataType

from batonics.frames.columns.levels import level_column_names
from batonics.frames.columns.mbo_frame import ACTION_TYPE, MBO_SCHEMA, SIDE_TYPE, TIME_TYPE

_KEY: dict[str, PolarsDataType] = {
    "rtype": pl.UInt8,
    "publisher_id": pl.UInt16,
    "instrument_id": pl.UInt32,
}
_TIMES: dict[str, PolarsDataType] = {"ts_recv": TIME_TYPE, "ts_event": TIME_TYPE}
_TRADE: dict[str, PolarsDataType] = {
    **_TIMES,
    **_KEY,
    "action": ACTION_TYPE,
    "side": SIDE_TYPE,
    "depth": pl.UInt8,
    "price": pl.Int64,
    "size": pl.UInt32,
    "flags": pl.UInt8,
    "ts_in_delta": pl.Int32,
    "sequence": pl.UInt32,
}


def level_columns(depth: int) -> dict[str, PolarsDataType]:
    """The columns of the best `depth` levels: bid_px_00, ask_px_00, bid_sz_00 and so on."""
    return {name: pl.Int64 if "_px_" in name else pl.UInt32 for name in level_column_names(depth)}


@cache
def mbp_schema(depth: int) -> pl.Schema:
    """MBP of any depth: with 1 the vendor's mbp-1 and tbbo, with 10 mbp-10."""
    return pl.Schema({**_TRADE, **level_columns(depth)})


TRADES_SCHEMA = pl.Schema(_TRADE)
MBO_FILE_SCHEMA = pl.Schema({**_TIMES, **_KEY, **MBO_SCHEMA})
"""MBO as the vendor's files have it: `MBO_SCHEMA` and the rtype."""
BBO_INTERVAL_SCHEMA = pl.Schema(
    {
        **_TIMES,
        **_KEY,
        "side": SIDE_TYPE,
        "price": pl.Int64,
        "size": pl.UInt32,
        "flags": pl.UInt8,
        "sequence": pl.UInt32,
        **level_columns(1),
    }
)
"""bbo-1s and bbo-1m: `price`, `size`, `side` and `ts_event` are those of the last trade."""
OHLCV_SCHEMA = pl.Schema(
    {
        "ts_event": TIME_TYPE,
        **_KEY,
        "open": pl.Int64,
        "high": pl.Int64,
        "low": pl.Int64,
        "close": pl.Int64,
        "volume": pl.UInt64,
    }
)


def rtype_series(rtype: int | None, height: int) -> pl.Series:
    """The column `rtype` (UInt8): the same in every row, null where DBN has no such record."""
    if rtype is None:
        return pl.Series("rtype", [None], pl.UInt8).new_from_index(0, height)
    return pl.Series("rtype", np.full(height, rtype, np.uint8))
