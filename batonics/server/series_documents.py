"""The documents of bars, coverage and counts; see `history_documents`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from typing_extensions import TypedDict

from batonics.book.state import Status
from batonics.model.answers import DataSpan
from batonics.model.coverage import Holes
from batonics.model.day_conditions import DoubtfulDays
from batonics.model.times import format_time
from batonics.server.history_documents import Data

MISSING = "missing"
"""In place of a status: no event of the book has ended yet."""


class BarRow(TypedDict):
    """A bar: the trades of the interval from `start` on. Prices are null if no trade had one."""

    start: str | None
    ts_open: str | None
    ts_close: str | None
    open_1e9: int | None
    high_1e9: int | None
    low_1e9: int | None
    close_1e9: int | None
    volume: int
    buy_volume: int
    sell_volume: int
    trades: int
    dollar_1e9: str
    complete: bool


class BarsPage(TypedDict):
    """Bars in order of time; `next` is the cursor of the next page, null at the end."""

    bars: list[BarRow]
    next: str | None


Span = TypedDict("Span", {"from": str | None, "until": str | None, "status": str})
"""A span of time, from its first nanosecond to the beginning of the next, and the status in it."""


class DoubtfulDay(TypedDict):
    """A day that the vendor does not vouch for, and the vendor's word."""

    day: str
    condition: str


HoleRow = TypedDict(
    "HoleRow",
    {"from": str | None, "until": str | None, "before": str, "after": str, "is_known": bool},
)
"""A time that no file covers, `until` its end, and the files around it. `is_known`: the metadata of
both say so; otherwise their records do."""


class CoverageDocument(TypedDict):
    """The statuses of a book over the data, and what else is known of the data."""

    symbol: str | None
    publisher_id: int
    instrument_id: int
    data: Data
    spans: list[Span]
    holes: list[HoleRow]
    doubtful_days: list[DoubtfulDay]
    losses: list[str]


class StatsDocument(TypedDict):
    """What is served, in numbers."""

    record_count: int
    book_count: int
    data: Data
    checkpoint_count: int
    holes: list[HoleRow]
    doubtful_days: list[DoubtfulDay]
    losses: list[str]


def bar_rows(bars: pl.DataFrame, every_ns: int) -> list[BarRow]:
    """The rows of a frame of `BARS_SCHEMA`, bars of a time."""
    times = bars.with_columns(pl.col("ts_open", "ts_close").to_physical())
    return [_bar_row(row, every_ns) for row in times.iter_rows(named=True)]


def _bar_row(row: dict[str, Any], every_ns: int) -> BarRow:
    opened, closed = row["ts_open"], row["ts_close"]
    return {
        "start": None if opened is None else format_time(opened // every_ns * every_ns),
        "ts_open": None if opened is None else format_time(opened),
        "ts_close": None if closed is None else format_time(closed),
        "open_1e9": row["open"],
        "high_1e9": row["high"],
        "low_1e9": row["low"],
        "close_1e9": row["close"],
        "volume": row["volume"],
        "buy_volume": row["buy_volume"],
        "sell_volume": row["sell_volume"],
        "trades": row["trades"],
        "dollar_1e9": str(row["dollar"]),
        "complete": row["complete"],
    }


def coverage_spans(segments: Sequence[NDArray[np.void]], data: DataSpan) -> list[Span]:
    """The spans of the statuses of a book's segments, over the times of the data."""
    names = {int(status): status.name.lower() for status in Status}
    first_ns, until_ns = data.from_ns or 0, data.until_ns or 0
    changes: list[tuple[int, str]] = []
    for due_ns, status in np.concatenate(segments).tolist():
        start_ns, name = max(due_ns, first_ns), names.get(status, MISSING)
        if changes and changes[-1][0] == start_ns:
            changes.pop()  # it has held for no time
        if not changes or changes[-1][1] != name:
            changes.append((start_ns, name))
    ends = [start_ns for start_ns, _ in changes[1:]] + [until_ns]
    return [
        {"from": format_time(start_ns), "until": format_time(end_ns), "status": name}
        for (start_ns, name), end_ns in zip(changes, ends, strict=True)
    ]


def hole_rows(holes: Holes) -> list[HoleRow]:
    """Times that no file covers."""
    return [
        {
            "from": format_time(hole.start_ns),
            "until": format_time(hole.end_ns),
            "before": hole.before,
            "after": hole.after,
            "is_known": hole.is_known,
        }
        for hole in holes
    ]


def doubtful_rows(days: DoubtfulDays) -> list[DoubtfulDay]:
    """Doubtful days."""
    return [{"day": str(one.day), "condition": one.condition} for one in days]
