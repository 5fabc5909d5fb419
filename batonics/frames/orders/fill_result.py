"""The result of a simulated order.

The rule here: a result says what it rests on: the times of its records, and what makes it doubtful.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.book.queues import FillOrder
from batonics.frames.columns.mbo_frame import TIME_TYPE, category_series, to_datetimes
from batonics.model.answers import AnswerWarning, DataSpan
from batonics.model.priority import Priority

FILL_REASON_TYPE = pl.Enum(["marketable", "queue", "through"])
FILLS_SCHEMA = pl.Schema(
    {
        "ts_event": TIME_TYPE,
        "ts_recv": TIME_TYPE,
        "price": pl.Int64(),
        "size": pl.Int64(),
        "by": FILL_REASON_TYPE,
    }
)


@dataclass(frozen=True)
class FillResult:
    """The result of a simulated order.

    Attributes:
        publisher_id: the publisher of its book.
        instrument_id: the instrument of its book.
        side: "B" or "A".
        price: the limit price in 1e-9.
        size: the size of the whole order.
        at_ns: the time at which it enters, in nanoseconds since the epoch.
        marketable: the size that takes displayed levels at once.
        ahead_orders: the number of orders ahead at its level when it joins it; 0 if it does not.
        ahead_size: the shown size of these orders.
        ahead_filled: the part of `ahead_size` that is filled before the end.
        ahead_cancelled: the part of `ahead_size` that is cancelled or moved before the end.
        ahead_lost: the part of `ahead_size` that a snapshot no longer has, or has elsewhere. No
            record says whether it was filled or cancelled.
        filled: the filled size, including the marketable part.
        end: "filled"; "cleared" (by an R, or by a snapshot that does not confirm its place); or
            "open" if the stream ended first, or its symbol ended.
        fills: one row of `FILLS_SCHEMA` for each fill. ts_event and ts_recv are those of the F that
            would have been its own, or `at_ns` for the marketable part. `by` is "marketable",
            "queue" (fills at its level reached it) or "through" (fills at a worse price).
        data: the times of the records that were read: until the order's end, or until the last
            record if it is "open", or until its symbol ended ("renamed" in `warnings`).
        priority: whether the venue fills the orders of a price by time, as far as its publisher
            tells. If "unknown", assumption 4 may not hold.
        fill_order: how often fills in the book kept to the order of its queues, before the order
            entered.
        warnings: what makes the result doubtful: the state of the book when the order enters, and
            a book that becomes cold or stale before its end.
    """

    publisher_id: int
    instrument_id: int
    side: str
    price: int
    size: int
    at_ns: int
    marketable: int
    ahead_orders: int
    ahead_size: int
    ahead_filled: int
    ahead_cancelled: int
    ahead_lost: int
    filled: int
    end: str
    fills: pl.DataFrame
    priority: Priority
    fill_order: FillOrder
    data: DataSpan
    warnings: tuple[AnswerWarning, ...]

    @property
    def ahead_left(self) -> int:
        """The size that is left ahead of the order at the end.

        It is more than 0 for a filled order if the venue did not match by time.
        """
        gone = self.ahead_filled + self.ahead_cancelled + self.ahead_lost
        return self.ahead_size - gone


def fills_frame(
    ts_event: NDArray[np.uint64],
    ts_recv: NDArray[np.uint64],
    price: NDArray[np.int64],
    size: NDArray[np.int64],
    by: NDArray[np.uint8],
) -> pl.DataFrame:
    """Fills as a frame of `FILLS_SCHEMA`; `by` has codes of `FILL_REASON_TYPE`."""
    columns = {
        "ts_event": to_datetimes(ts_event),
        "ts_recv": to_datetimes(ts_recv),
        "price": price,
        "size": size,
        "by": category_series("by", by, FILL_REASON_TYPE),
    }
    return pl.DataFrame(columns, schema=FILLS_SCHEMA)
