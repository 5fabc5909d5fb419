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

from batonics.book.engine import BookEngine
from batonics.book.results import FoldResult, TopsSpec
from batonics.book.state import TOP_LEVEL_WORDS, TOP_WORDS, Top
from batonics.frames.columns.mbo_frame import TIME_TYPE, to_frame
from batonics.frames.columns.vendor import BBO_INTERVAL_SCHEMA
from batonics.frames.scan.clock import StreamClock
from batonics.frames.scan.folding import fold_tops
from batonics.frames.scan.sources import BOOK_KEY
from batonics.frames.schemas.mbp import tops_frame
from batonics.model.mbo import (
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
    UNDEF_TIMESTAMP,
    Action,
    MboBatch,
    Side,
    concat_batches,
    empty_batch,
    take_batch,
)

INTERVAL_FLUSH_ROWS = 1 << 15
"""So many rows are gathered before they are looked at: a query's fixed cost is shared by many."""
_TRADE = ["ts_event", "price", "size", "side"]


def bbo_interval_frames(
    batches: Iterable[MboBatch], length_ns: int, rtype: int | None = None
) -> Iterator[pl.DataFrame]:
    """Frames of `BBO_INTERVAL_SCHEMA`.

    Args:
        batches: the records.
        length_ns: the length of an interval.
        rtype: the value of the column `rtype`; None: null.
    """
    clock, rows = StreamClock(length_ns), _NO_ROWS
    waiting: list[_Rows] = []
    engine = BookEngine(tops=TopsSpec(1, trades=True))
    for folded in fold_tops(batches, engine):
        top_records = folded.top_records
        ends = clock.ends(top_records.column("ts_recv"), top_records.column("flags"))
        needed = _needed(ends, folded)
        waiting.append(_Rows(folded.tops[needed], top_records.take(needed), ends[needed]))
        if sum(len(part.ends) for part in waiting) >= INTERVAL_FLUSH_ROWS:
            rows, waiting = _joined([rows, *waiting]), []
            yield _intervals(rows, clock.latest_end_ns, rtype)
            rows = _still_needed(rows, clock.latest_end_ns)
    yield _intervals(_joined([rows, *waiting]), _NEVER, rtype)


class _Rows(NamedTuple):
    """Tops, what describes them, and the ends of their intervals, which never fall."""

    tops: NDArray[np.int64]
    top_records: MboBatch
    ends: NDArray[np.int64]

    def take(self, rows: NDArray[np.intp]) -> _Rows:
        """Some of the rows, as copies."""
        return _Rows(self.tops[rows], take_batch(self.top_records, rows), self.ends[rows])

    def trades(self) -> NDArray[np.bool_]:
        """Which of them are trades."""
        is_trade: NDArray[np.bool_] = self.top_records.action == Action.TRADE
        return is_trade


_NO_ROWS = _Rows(
    np.empty((0, TOP_WORDS + TOP_LEVEL_WORDS), np.int64), empty_batch(0), np.empty(0, np.int64)
)
_PAST, _NEVER = -1, np.iinfo(np.int64).max
"""Ends of no interval: of trades that were, and of one that has not begun."""


def _joined(parts: list[_Rows]) -> _Rows:
    tops, top_records, ends = zip(*parts, strict=True)
    return _Rows(np.concatenate(tops), concat_batches(list(top_records)), np.concatenate(ends))


def _needed(ends: NDArray[np.int64], folded: FoldResult) -> NDArray[np.intp]:
    """Rows that are, in their book and interval, the last of all or the last trade."""
    code = _codes(folded.tops[:, Top.BOOK], ends)
    trades = np.flatnonzero(folded.top_records.column("action") == Action.TRADE)
    needed = np.zeros(len(code), np.bool_)
    needed[_last_of_each(code)] = True
    needed[trades[_last_of_each(code[trades])]] = True
    return np.flatnonzero(needed)


def _last_of_each(codes: NDArray[np.int64]) -> NDArray[np.intp]:
    """The place of the last of each value."""
    if (codes[1:] >= codes[:-1]).all():
        return np.flatnonzero(np.append(codes[1:] != codes[:-1], len(codes) > 0))
    return len(codes) - 1 - np.unique(codes[::-1], return_index=True)[1]


def _still_needed(rows: _Rows, open_end: int) -> _Rows:
    """Of each book the last trade, as of the past, and the last row of the interval open."""
    book, is_trade = rows.tops[:, Top.BOOK], rows.trades()
    trades = np.flatnonzero(is_trade)
    opened = np.flatnonzero(rows.ends == open_end)
    last_trades = rows.take(trades[_last_of_each(book[trades])])
    last_opened = rows.take(np.sort(opened[_last_of_each(book[opened])]))
    return _joined([last_trades._replace(ends=np.full(len(last_trades.ends), _PAST)), last_opened])


def _intervals(rows: _Rows, open_end: int, rtype: int | None) -> pl.DataFrame:
    """The vendor's rows of the intervals that end before `open_end`."""
    closed = (rows.ends != _PAST) & (rows.ends != open_end)
    last = np.flatnonzero(closed)
    last = np.sort(last[_last_of_each(_codes(rows.tops[:, Top.BOOK], rows.ends)[last])])
    shown = rows.take(last)
    frame = tops_frame(shown.tops, shown.top_records, 1, rtype)
    return frame.select(
        pl.Series("ts_recv", shown.ends).cast(TIME_TYPE),
        *_trade_columns(rows, last),
        "rtype",
        *BOOK_KEY,
        "flags",
        "sequence",
        pl.col("^(bid|ask)_.*$"),
    ).select(list(BBO_INTERVAL_SCHEMA))


def _codes(book: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each book and interval."""
    interval = np.cumsum(np.diff(ends, prepend=ends[:1]) != 0)
    codes: NDArray[np.int64] = interval * (book.max(initial=0) + 1) + book
    return codes


def _trade_columns(rows: _Rows, last: NDArray[np.intp]) -> list[pl.Series]:
    """What the last trade of its book was, as of each of these rows."""
    place = _last_trades(rows)[last]
    trade = take_batch(rows.top_records, np.maximum(place, 0))
    none = place < 0
    trade.ts_event[none], trade.price[none] = UNDEF_TIMESTAMP, UNDEF_PRICE
    trade.side[none] = Side.NONE
    trade.size[none | (trade.size == UNDEF_ORDER_SIZE)] = 0
    return to_frame(trade, _TRADE).get_columns()


def _last_trades(rows: _Rows) -> NDArray[np.int64]:
    """The place of the last trade of its book, as of each row; -1 while there was none."""
    book = rows.tops[:, Top.BOOK]
    order = np.argsort(book, kind="stable")
    place = np.where(rows.trades(), np.arange(len(book)), -1)[order]
    # A book's places start anew: what is added for it is more than any place before.
    begins = book[order] * (len(book) + 1)
    latest = np.empty(len(book), np.int64)
    latest[order] = np.maximum.accumulate(place + begins) - begins
    return np.maximum(latest, -1)
