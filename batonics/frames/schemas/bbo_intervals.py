"""The best bid and offer at the ends of intervals, as the vendor's bbo-1s and bbo-1m.

The rule here: time is the stream's time (`StreamClock`), which every record moves, as it does that
of bars. So intervals follow each other, only the latest one is open, and rows are sorted by time as
in the vendor's files. A row of mbp-1 is in the interval of the record that makes it: the trade, the
last record of the event, or the record after a snapshot that lacks F_LAST (rule 14).

An interval is `(T - length, T]`, where T is a multiple of the length since the epoch. A book has a
row for each interval in which it traded or its best bid or offer changed:

| column                      | content                                                           |
|-----------------------------|-------------------------------------------------------------------|
| ts_recv                     | T                                                                 |
| ts_event, price, size, side | those of the book's last trade up to T; null, null, 0 and N if    |
|                             | there was none                                                    |
| flags, sequence             | those of the last row of mbp-1 in the interval                    |
| bid_px_00 and so on         | the book after that row, and after the event that it ends         |

Rows are sorted by T, then by the order of the books' last rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.results import FoldResult, TopsSpec, last_rows
from batonics.book.state import TOP_LEVEL_WORDS, TOP_WORDS, ChangeBits, Top
from batonics.frames.columns.books import BOOK_KEY
from batonics.frames.columns.levels import level_series
from batonics.frames.columns.mbo_frame import TIME_TYPE, to_frame
from batonics.frames.columns.vendor import BBO_INTERVAL_SCHEMA, rtype_series
from batonics.frames.scan.clock import StreamClock
from batonics.frames.scan.folding import TopsPiece, ending_rows, fold_tops_pieces
from batonics.model.mbo import (
    ACTION_TRADE,
    F_LAST,
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
    UNDEF_TIMESTAMP,
    MboBatch,
    Side,
    concat_batches,
    empty_batch,
    take_batch,
)

INTERVAL_FLUSH_ROWS = 1 << 15
"""Rows gathered before intervals are made, so that many rows share a query's fixed cost."""
_TRADE = ["ts_event", "price", "size", "side"]
_LAST_ROW = [*BOOK_KEY, "flags", "sequence"]
"""Columns of the last trade, and of the last row of mbp-1."""


def bbo_interval_frames(
    batches: Iterable[MboBatch], length_ns: int, rtype: int | None = None
) -> Iterator[pl.DataFrame]:
    """Frames of `BBO_INTERVAL_SCHEMA`.

    Args:
        batches: MBO records, in their order.
        length_ns: the length of an interval in nanoseconds.
        rtype: the value of the column `rtype`; None: null.
    """
    engine = BookEngine(tops=TopsSpec(1, trades=True))
    return bbo_interval_rows(fold_tops_pieces(batches, engine), length_ns, rtype)


def bbo_interval_rows(
    pieces: Iterable[TopsPiece], length_ns: int, rtype: int | None
) -> Iterator[pl.DataFrame]:
    """As `bbo_interval_frames`, of records that are folded already, with trades and changes."""
    clock, rows = StreamClock(length_ns), _NO_ROWS
    waiting: list[_Rows] = []
    for batch, result, keys in pieces:
        batch_ends = clock.interval_ends(batch.ts_recv, batch.flags)
        folded = _move_levels_to_trades(result)
        if len(folded.tops) == 0:
            continue
        top_records = folded.top_records
        is_trade = top_records.column("action") == ACTION_TRADE
        ends = batch_ends[_making_rows(folded, is_trade, keys, batch)]
        needed = _find_needed(folded.tops[:, Top.BOOK], ends, is_trade)
        waiting.append(_Rows(folded.tops[needed], top_records.take(needed), ends[needed]))
        if sum(len(part.ends) for part in waiting) >= INTERVAL_FLUSH_ROWS:
            rows, waiting = _concat_rows([rows, *waiting]), []
            yield _intervals(rows, clock.latest_end_ns, rtype)
            rows = _keep_needed(rows, clock.latest_end_ns)
    yield _intervals(_concat_rows([rows, *waiting]), _STREAM_END, rtype)


class _Rows(NamedTuple):
    """Tops, the records that describe them, and the nondecreasing ends of their intervals."""

    tops: NDArray[np.int64]
    top_records: MboBatch
    ends: NDArray[np.int64]

    def take(self, rows: NDArray[np.intp]) -> _Rows:
        """Copies of some of the rows."""
        return _Rows(self.tops[rows], take_batch(self.top_records, rows), self.ends[rows])

    def trades(self) -> NDArray[np.bool_]:
        """Which rows are trades."""
        is_trade: NDArray[np.bool_] = self.top_records.action == ACTION_TRADE
        return is_trade


def _move_levels_to_trades(folded: FoldResult) -> FoldResult:
    """The result with each top of an event that ends with a T moved into the top of this T.

    The T is the last row of mbp-1 then, and the book after it is the book after the event.
    """
    ended = np.flatnonzero(folded.tops[:, Top.CHANGE] & int(ChangeBits.ENDED_BY_TRADE))
    if len(ended) == 0:
        return folded
    tops = folded.tops.copy()
    tops[ended - 1, TOP_WORDS:] = tops[ended, TOP_WORDS:]
    tops = np.delete(tops, ended, axis=0)
    return folded._replace(tops=tops, top_records=folded.top_records._replace(tops=tops))


_NO_ROWS = _Rows(
    np.empty((0, TOP_WORDS + TOP_LEVEL_WORDS), np.int64), empty_batch(0), np.empty(0, np.int64)
)
_PAST_END, _STREAM_END = -1, np.iinfo(np.int64).max
"""Ends that no interval has: for trades of past intervals, and for the end of the stream."""


def _concat_rows(parts: list[_Rows]) -> _Rows:
    tops, top_records, ends = zip(*parts, strict=True)
    return _Rows(np.concatenate(tops), concat_batches(list(top_records)), np.concatenate(ends))


def _making_rows(
    folded: FoldResult, is_trade: NDArray[np.bool_], keys: NDArray[np.int64], piece: MboBatch
) -> NDArray[np.int64]:
    """The row of the record that makes each top: the trade, or the one that ends the event."""
    rows = last_rows(folded.tops)
    flags = piece.flags.take(rows, mode="clip")
    flags[is_trade] |= F_LAST
    return ending_rows(piece, keys, rows, folded.tops[:, Top.BOOK], flags)


def _find_needed(
    book: NDArray[np.int64], ends: NDArray[np.int64], is_trade: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """The last row and the last trade of each book and interval."""
    code, trades = _book_interval_codes(book, ends), np.flatnonzero(is_trade)
    needed = np.zeros(len(code), np.bool_)
    needed[_find_last(code)] = True
    needed[trades[_find_last(code[trades])]] = True
    return np.flatnonzero(needed)


def _find_last(codes: NDArray[np.int64]) -> NDArray[np.intp]:
    """The position of the last element of each value."""
    if (codes[1:] >= codes[:-1]).all():
        return np.flatnonzero(np.append(codes[1:] != codes[:-1], len(codes) > 0))
    return len(codes) - 1 - np.unique(codes[::-1], return_index=True)[1]


def _keep_needed(rows: _Rows, open_end: int) -> _Rows:
    """The last trade of each book, marked as past, and its last row in the open interval."""
    book, is_trade = rows.tops[:, Top.BOOK], rows.trades()
    trades = np.flatnonzero(is_trade)
    opened = np.flatnonzero(rows.ends == open_end)
    last_trades = rows.take(trades[_find_last(book[trades])])
    last_opened = rows.take(np.sort(opened[_find_last(book[opened])]))
    return _concat_rows(
        [last_trades._replace(ends=np.full(len(last_trades.ends), _PAST_END)), last_opened]
    )


def _intervals(rows: _Rows, open_end: int, rtype: int | None) -> pl.DataFrame:
    """The vendor's rows of the intervals that end before `open_end`."""
    closed = (rows.ends != _PAST_END) & (rows.ends != open_end)
    last = np.flatnonzero(closed)
    last = np.sort(last[_find_last(_book_interval_codes(rows.tops[:, Top.BOOK], rows.ends)[last])])
    last_rows = rows.take(last)
    columns = {
        "ts_recv": pl.Series(last_rows.ends).cast(TIME_TYPE),
        "rtype": rtype_series(rtype, len(last)),
        **_trade_columns(rows, last),
        **to_frame(last_rows.top_records, _LAST_ROW).to_dict(),
        **level_series(last_rows.tops, 1),
    }
    return pl.DataFrame({name: columns[name] for name in BBO_INTERVAL_SCHEMA})


def _book_interval_codes(book: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each pair of book and interval."""
    interval = np.cumsum(np.diff(ends, prepend=ends[:1]) != 0)
    codes: NDArray[np.int64] = interval * (book.max(initial=0) + 1) + book
    return codes


def _trade_columns(rows: _Rows, last: NDArray[np.intp]) -> dict[str, pl.Series]:
    """The last trade of the book as of each of these rows."""
    place = _last_trades(rows)[last]
    trade = take_batch(rows.top_records, np.maximum(place, 0))
    none = place < 0
    trade.ts_event[none], trade.price[none] = UNDEF_TIMESTAMP, UNDEF_PRICE
    trade.side[none] = Side.NONE
    trade.size[none | (trade.size == UNDEF_ORDER_SIZE)] = 0
    return to_frame(trade, _TRADE).to_dict()


def _last_trades(rows: _Rows) -> NDArray[np.int64]:
    """The position of the book's last trade as of each row, or -1."""
    book = rows.tops[:, Top.BOOK]
    order = np.argsort(book, kind="stable")
    place = np.where(rows.trades(), np.arange(len(book)), -1)[order]
    # An offset by book, greater than any position, starts each book anew.
    begins = book[order] * (len(book) + 1)
    latest = np.empty(len(book), np.int64)
    latest[order] = np.maximum.accumulate(place + begins) - begins
    return np.maximum(latest, -1)
