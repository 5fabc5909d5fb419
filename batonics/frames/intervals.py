"""The best bid and offer at the ends of intervals, as the vendor's bbo-1s and bbo-1m.

The rule here: time is the stream's (`clock.py`), as rows of mbp-1 tell it. So intervals follow one
upon the other, only the latest is open, and rows come sorted by time as in the vendor's files.

An interval is `(T - length, T]`, T a multiple of the length since the epoch. A book has a row for
each in which it traded or its best bid or offer changed:

| column                      | is                                                                |
|-----------------------------|-------------------------------------------------------------------|
| ts_recv                     | T                                                                 |
| ts_event, price, size, side | of the book's last trade, in this interval or before; null, 0 and |
|                             | N while there was none                                            |
| flags, sequence             | of the last row of mbp-1 in the interval                          |
| bid_px_00 and so on         | the book after it                                                 |

Rows come in order of T, then in the order in which books had their last rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.book.engine import BookEngine, Folded, TopsWanted
from batonics.book.state import Top
from batonics.frames.clock import StreamClock
from batonics.frames.mbp import fold_tops, tops_frame
from batonics.frames.schema import SIDE, TIME
from batonics.frames.source import BOOK_KEY
from batonics.frames.vendor import BBO_INTERVAL_SCHEMA, RTYPES, mbp_schema
from batonics.model.mbo import Action, MboBatch, concat_batches
from batonics.model.times import NS_PER_S

FLUSH_ROWS = 1 << 15
"""So many rows are gathered before they are looked at: a query's fixed cost is shared by many."""
_RTYPE_OF_LENGTH = {NS_PER_S: RTYPES["bbo-1s"], 60 * NS_PER_S: RTYPES["bbo-1m"]}
_TRADE = ["ts_event", "price", "size", "side"]


def bbo_interval_frames(batches: Iterable[MboBatch], length_ns: int) -> Iterator[pl.DataFrame]:
    """Frames of `BBO_INTERVAL_SCHEMA`.

    Args:
        batches: the records.
        length_ns: the length of an interval. `rtype` is the vendor's for a second and a minute,
            else null.
    """
    clock, kept = StreamClock(length_ns), _Kept()
    waiting: list[_Rows] = []
    for folded in fold_tops(batches, BookEngine(tops=TopsWanted(1, trades=True))):
        described = folded.described
        ends = clock.ends(described.column("ts_recv"), described.column("flags"))
        needed = _needed(ends, folded)
        waiting.append(_Rows(folded.tops[needed], described.take(needed), ends[needed]))
        if sum(len(rows.ends) for rows in waiting) >= FLUSH_ROWS:
            yield _vendor_rows(kept.closed(_frame(waiting), clock.latest_end), length_ns)
            waiting = []
    if waiting:
        yield _vendor_rows(kept.closed(_frame(waiting), clock.latest_end), length_ns)
    yield _vendor_rows(kept.open, length_ns)


class _Rows(NamedTuple):
    """Tops, what describes them, and the ends of their intervals."""

    tops: NDArray[np.int64]
    described: MboBatch
    ends: NDArray[np.int64]


def _frame(parts: list[_Rows]) -> pl.DataFrame:
    """The rows of mbp-1, with `end`."""
    tops, described, ends = zip(*parts, strict=True)
    frame = tops_frame(np.concatenate(tops), concat_batches(list(described)), 1)
    return frame.with_columns(end=pl.Series(np.concatenate(ends)))


def _needed(ends: NDArray[np.int64], folded: Folded) -> NDArray[np.intp]:
    """Rows that are, in their book and interval, the last of all or the last trade."""
    book = folded.tops[:, Top.BOOK]
    interval = np.cumsum(np.diff(ends, prepend=ends[:1]) != 0)
    code = interval * (book.max() + 1) + book
    trades = np.flatnonzero(folded.described.column("action") == Action.TRADE)
    needed = np.zeros(len(code), np.bool_)
    needed[_last_of_each(code)] = True
    needed[trades[_last_of_each(code[trades])]] = True
    return np.flatnonzero(needed)


def _last_of_each(codes: NDArray[np.int64]) -> NDArray[np.intp]:
    """The place of the last of each value."""
    if (codes[1:] >= codes[:-1]).all():
        return np.flatnonzero(np.append(codes[1:] != codes[:-1], len(codes) > 0))
    return len(codes) - 1 - np.unique(codes[::-1], return_index=True)[1]


class _Kept:
    """What is needed of earlier rows: each book's last trade, and its last row still open.

    Attributes:
        open: the intervals that have not ended.
    """

    def __init__(self) -> None:
        self._rows = pl.DataFrame(schema=mbp_schema(1)).with_columns(end=pl.lit(None, pl.Int64))
        self.open = _intervals(self._rows)

    def closed(self, rows: pl.DataFrame, open_end: int) -> pl.DataFrame:
        """Intervals that end before `open_end`, of these rows and those that were kept."""
        rows = pl.concat([self._rows, rows])
        is_open = pl.col("end") == open_end
        # A trade of the past stands in an interval before all others, which is never given.
        trades = rows.filter(pl.col("action") == "T").with_columns(end=pl.lit(_PAST, pl.Int64))
        latest = [_last_of_books(trades), _last_of_books(rows.filter(is_open))]
        self._rows = pl.concat(latest)
        intervals = _intervals(rows)
        self.open = intervals.filter(is_open)
        return intervals.filter(~is_open)


_PAST = -1
"""The end of no interval."""


def _last_of_books(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.unique(BOOK_KEY, keep="last", maintain_order=True)


def _intervals(rows: pl.DataFrame) -> pl.DataFrame:
    """A row for each interval and book, in order: its last row, and the last trade as of then."""
    is_trade = pl.col("action") == "T"
    place = pl.int_range(pl.len(), dtype=pl.Int64)
    by_interval = (
        rows.lazy()
        .with_columns(place=place)
        .group_by("end", *BOOK_KEY, maintain_order=True)
        .agg(
            pl.col("place").last(),
            trade=pl.col("place").filter(is_trade).last(),
        )
        .with_columns(pl.col("trade").forward_fill().over(BOOK_KEY))
        .filter(pl.col("end") != _PAST)
        .sort("end", "place")
        .collect(engine="in-memory")
    )
    last = rows.select("rtype", *BOOK_KEY, "flags", "sequence", pl.col("^(bid|ask)_.*$"))
    return pl.concat(
        [
            by_interval.select("end"),
            last[by_interval["place"]],
            rows.select(pl.col(_TRADE).gather(by_interval["trade"])),
        ],
        how="horizontal",
    )


def _vendor_rows(intervals: pl.DataFrame, length_ns: int) -> pl.DataFrame:
    rtype = pl.lit(_RTYPE_OF_LENGTH.get(length_ns), pl.UInt8)
    return intervals.select(
        pl.col("end").cast(TIME).alias("ts_recv"),
        pl.col("ts_event"),
        rtype.alias("rtype"),
        pl.col("side").fill_null(pl.lit("N", SIDE)),
        pl.col("size").fill_null(0),
        pl.exclude("end", "ts_event", "rtype", "side", "size"),
    ).select(list(BBO_INTERVAL_SCHEMA))
