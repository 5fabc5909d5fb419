"""The columns that say in which state the book of a row was: names, order and dtypes.

The rule here: a frame has them on request, and the rows of a lake that have quotes have them always
(`frames/scan/row_extras.py` fills them).

| column        | dtype    | content                                                             |
|---------------|----------|---------------------------------------------------------------------|
| symbol        | String   | the name of the instrument at the row's time; null if it has none   |
| status        | Enum     | the trading status of the instrument at the row's time, by status   |
|               |          | records, or by sessions where there are none; null: not known       |
| crossed       | Boolean  | whether the best bid is at or above the best ask; false if one is   |
|               |          | missing                                                             |
| book_status   | Enum     | how far the book may be trusted at the row's time: cold, synced,    |
|               |          | stale (rules 17, 21, 23)                                            |
| ts_status_end | Datetime | in lakes: when the status ends, if the row's reader knew it; else   |
|               |          | null                                                                |

A market is *open* where the status is `trading`. With sessions the status is `trading` within a
session and `close` outside.
"""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from batonics.book.state import Status
from batonics.frames.columns.mbo_frame import TIME_TYPE
from batonics.model.book_changes import TradingStatus
from batonics.model.errors import UsageError

STATUS, CROSSED, BOOK_STATUS, STATUS_END = "status", "crossed", "book_status", "ts_status_end"
STATUS_TYPE = pl.Enum([status.name.lower() for status in TradingStatus])
BOOK_STATUS_TYPE = pl.Enum([status.name.lower() for status in Status])
OPEN_STATUS = TradingStatus.TRADING.name.lower()

CLOSED = "closed"
LEFT_OUT_KINDS = (CROSSED, CLOSED)
"""What averages leave out: states whose book is crossed or locked, and states without trading."""

EXTRA_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        STATUS: STATUS_TYPE,
        CROSSED: pl.Boolean(),
        BOOK_STATUS: BOOK_STATUS_TYPE,
    }
)
"""The columns that can be asked for, in their order."""

LAKE_STATE_SCHEMA = pl.Schema(
    {
        STATUS: STATUS_TYPE,
        STATUS_END: TIME_TYPE,
        CROSSED: pl.Boolean(),
        BOOK_STATUS: BOOK_STATUS_TYPE,
    }
)
"""The columns that rows with quotes have in a lake."""

_BEST_PRICES = (("bid_px_00", "ask_px_00"), ("bid_price", "ask_price"))


def check_include(include: Collection[str]) -> None:
    """Raise UsageError unless each name is of `LEFT_OUT_KINDS`."""
    for kind in (include,) if isinstance(include, str) else include:
        if kind not in LEFT_OUT_KINDS:
            raise UsageError(f"include {kind!r}: expected {' or '.join(LEFT_OUT_KINDS)}")


def best_prices(rows: Collection[str]) -> tuple[str, ...]:
    """The columns of the best bid and ask of rows with these columns; empty: they have none."""
    return next((names for names in _BEST_PRICES if set(names) <= set(rows)), ())


def is_crossed(rows: Collection[str]) -> pl.Expr:
    """Whether the best bid of rows with these columns is at or above the best ask."""
    bid, ask = (pl.col(name) for name in best_prices(rows))
    return (bid >= ask).fill_null(value=False)
