"""Columns of the frames of books and orders that have no vendor schema: names, order and dtypes.

The rule here: these are apart from the code that derives the frames, so that the table of schemas
names them without importing it.
"""

from __future__ import annotations

from functools import cache

import polars as pl

from batonics.book.queue_state import LifeEnd
from batonics.book.state import Bbo
from batonics.frames.columns.levels import level_column_names
from batonics.frames.columns.mbo_frame import BOOK_SIDE_TYPE, TIME_TYPE
from batonics.model.priority import Priority

BOOK_KEY_SCHEMA = {"publisher_id": pl.UInt16(), "instrument_id": pl.UInt32()}
BOOK_KEY = tuple(BOOK_KEY_SCHEMA)

_END_COLUMNS = {"ts_event": TIME_TYPE, "ts_recv": TIME_TYPE, "sequence": pl.UInt32()}

BBO_SCHEMA = pl.Schema(
    {
        **_END_COLUMNS,
        **BOOK_KEY_SCHEMA,
        **{word.name.lower(): pl.Int64() for word in Bbo},
    }
)
DELTA_SCHEMA = pl.Schema(
    {
        **_END_COLUMNS,
        **BOOK_KEY_SCHEMA,
        "event": pl.Int64(),
        "side": BOOK_SIDE_TYPE,
        "price": pl.Int64(),
        "size": pl.Int64(),
        "count": pl.Int64(),
    }
)

ORDER_END_TYPE = pl.Enum([end.name.lower() for end in LifeEnd])

PRIORITY_TYPE = pl.Enum([priority.value for priority in Priority])
PRIORITY = "priority"
"""Whether the venue fills the orders of a price by time: see `model/priority.py`."""

ORDERS_SCHEMA = pl.Schema(
    {
        **BOOK_KEY_SCHEMA,
        "order_id": pl.UInt64(),
        "side": BOOK_SIDE_TYPE,
        "ts_start": TIME_TYPE,
        "ts_end": TIME_TYPE,
        "ts_recv_start": TIME_TYPE,
        "ts_recv_end": TIME_TYPE,
        "price_start": pl.Int64(),
        "price_end": pl.Int64(),
        "size_start": pl.Int64(),
        "added": pl.Int64(),
        "filled": pl.Int64(),
        "cancelled": pl.Int64(),
        "left": pl.Int64(),
        "modifies": pl.Int64(),
        "requeues": pl.Int64(),
        "ahead_orders": pl.Int64(),
        "ahead_size": pl.Int64(),
        "ts_first_fill": TIME_TYPE,
        "fill_ahead_orders": pl.Int64(),
        "fill_ahead_size": pl.Int64(),
        "end": ORDER_END_TYPE,
        "left_censored": pl.Boolean(),
        "right_censored": pl.Boolean(),
        PRIORITY: PRIORITY_TYPE,
    }
)

_WINDOW_COLUMNS = {
    "ts": TIME_TYPE,
    "ts_event": TIME_TYPE,
    "ts_recv": TIME_TYPE,
    "sequence": pl.UInt32(),
    "publisher_id": pl.UInt16(),
    "instrument_id": pl.UInt32(),
    "events": pl.Int64(),
}


@cache
def depth_schema(depth: int) -> pl.Schema:
    """The schema of frames of depth. It is made once for each depth, and nobody changes it."""
    return pl.Schema(_WINDOW_COLUMNS | dict.fromkeys(level_column_names(depth), pl.Int64()))
