"""The namespace `.mbo` of every LazyFrame that holds MBO records.

The rule here: a method checks what it was asked for and returns a LazyFrame; nothing runs before
that is collected.

Each result is an IO source: it streams in the order of the records, memory does not grow with
their number, projections, predicates and row limits are pushed down into it, and a predicate on
`publisher_id` and `instrument_id` alone is pushed on into the records.
"""

from __future__ import annotations

import polars as pl

from batonics.frames.depth.book_sources import (
    bbo_source,
    book_source,
    changes_source,
    delta_source,
    depth_source,
)
from batonics.frames.depth.windows import EventWindows, TimeWindows, Windows
from batonics.frames.measures.bars import bars_source
from batonics.frames.measures.book_measures import measures_source
from batonics.frames.measures.trade_measures import trade_measures_source
from batonics.frames.measures.window_measures import vpin_source, window_measures_source
from batonics.frames.orders.order_lives import orders_source, queue_source
from batonics.frames.schemas.table import MBP_DEPTH_MAX, Schema, find_schema
from batonics.model.errors import UsageError
from batonics.model.times import duration_ns, format_duration, parse_time


@pl.api.register_lazyframe_namespace("mbo")
class MboNamespace:
    """Books, as frames, from a LazyFrame of MBO records in their order (`MBO_SCHEMA`).

    Columns that no book depends on may be missing; further ones are left out. Every method raises
    UsageError if a column is missing or has another dtype.
    """

    def __init__(self, records: pl.LazyFrame) -> None:
        self._records = records

    def bbo(self, *, every: str | None = None) -> pl.LazyFrame:
        """The best bid and ask: a row for each end of an event (rule 5), or for intervals.

        An event ends with F_LAST, or with the end of a snapshot that lacks it (rule 14); a book
        may be read at no other moment.

        Args:
            every: a duration such as "1s": the vendor's bbo-1s, and bbo-1m for "1m", in its
                columns (`BBO_INTERVAL_SCHEMA`). A book has a row for each interval in which it
                traded or its best bid or ask changed; see `frames/schemas/bbo_intervals.py`.

        Columns, without `every`:
            ts_event, ts_recv (Datetime ns UTC), sequence (UInt32): of the closing record.
            publisher_id (UInt16), instrument_id (UInt32).
            bid_price, ask_price (Int64 of 1e-9): null where the side is empty.
            bid_size, bid_count, ask_size, ask_count (Int64): then 0; the count of orders is 0 for
            a top-of-book publisher too (rule 13).
        """
        if every is not None:
            return _interval_schema("bbo", every).rows(self._records)
        return bbo_source(self._records)

    def mbp(self, n: int = 10, *, consolidated: bool = False) -> pl.LazyFrame:
        """The vendor's MBP of any depth: mbp-1, mbp-10, or between and beyond.

        A row for each trade, with the book before it takes effect, and for each event that changed
        the best `n` levels, with the book after it; see `frames/schemas/mbp.py`.

        Args:
            n: levels of each side.
            consolidated: the levels are the instrument's, over all its publishers; `publisher_id`
                says whose record made the row.

        Columns, as the vendor's (`mbp_schema(n)`):
            ts_recv, ts_event (Datetime ns UTC), rtype (UInt8), publisher_id (UInt16),
            instrument_id (UInt32), action and side (Enum of letters), depth (UInt8), price (Int64
            of 1e-9), size (UInt32), flags (UInt8), ts_in_delta (Int32), sequence (UInt32).
            bid_px_00, ask_px_00 (Int64 of 1e-9, null where there is no level), bid_sz_00,
            ask_sz_00, bid_ct_00, ask_ct_00 (UInt32; sizes and counts of orders), bid_px_01 and so
            on. A size that does not fit is the greatest that does.

        Raises:
            UsageError: `n` is not from 1 to 255.
        """
        if not 1 <= n <= MBP_DEPTH_MAX:
            raise UsageError(f"depth of {n} levels, expected 1 to {MBP_DEPTH_MAX}")
        return find_schema(f"mbp-{n}").rows(self._records, consolidated=consolidated)

    def tbbo(self, *, consolidated: bool = False) -> pl.LazyFrame:
        """The vendor's tbbo: each trade with the best bid and ask before it, in mbp-1's columns."""
        return find_schema("tbbo").rows(self._records, consolidated=consolidated)

    def trades(self) -> pl.LazyFrame:
        """The vendor's trades: the T records, never the F, in the vendor's columns."""
        return find_schema("trades").rows(self._records)

    def ohlcv(self, every: str = "1s") -> pl.LazyFrame:
        """The vendor's ohlcv of any interval: a row for each interval and book with trades.

        Args:
            every: the length of an interval, such as "1s". `rtype` is null where the vendor has no
                bars of that length.

        Columns, as the vendor's: ts_event (Datetime ns UTC, the interval's start), rtype (UInt8),
        publisher_id (UInt16), instrument_id (UInt32), open, high, low, close (Int64 of 1e-9),
        volume (UInt64). See `bars` for other lengths and more columns.

        Raises:
            UsageError: `every` is no duration.
        """
        return _interval_schema("ohlcv", every).rows(self._records)

    def bars(
        self,
        *,
        time: str | None = None,
        ticks: int | None = None,
        volume: int | None = None,
        dollar: str | int | None = None,
        partial: bool = False,
    ) -> pl.LazyFrame:
        """Bars of trades, a row a bar, in order of closing; exactly one of the four is given.

        Args:
            time: bars of an interval, such as "5m".
            ticks: bars of so many trades.
            volume: bars of at least so much size.
            dollar: bars of at least so much price times size: decimal text such as "1000000", or
                an integer of 1e-9. No contract's multiplier is in it.
            partial: give the last bar of a book too, though nothing has closed it. Bars of a time
                are always given.

        Columns:
            publisher_id (UInt16), instrument_id (UInt32).
            ts_open, ts_close (Datetime ns UTC): times of the first and the last trade.
            open, high, low, close (Int64 of 1e-9); volume, buy_volume, sell_volume, trades (Int64).
            vwap (Float64 of 1e-9); dollar (Decimal, an integer of 1e-9: the sum of price times
            size).

        Raises:
            UsageError: not exactly one of the four is given, or it is no length.
        """
        return bars_source(
            self._records, time=time, ticks=ticks, volume=volume, dollar=dollar, partial=partial
        )

    def orders(self) -> pl.LazyFrame:
        """The life of each order: a row a life, in order of its end, those alive at the end last.

        When it came and went, what was added, filled and cancelled, how it ended, and what was
        ahead of it at its entry and at its first fill. Columns and their definitions are in
        `frames/orders/order_lives.py`; the last three here are made of them:
            lifetime (Duration of ns): ts_end - ts_start, null while it is alive. Where
            `left_censored` is true it is a lower bound: its true start is not known.
            fill_ratio, cancel_ratio (Float64): filled and cancelled by added.
        """
        return orders_source(self._records).with_columns(
            lifetime=pl.col("ts_end") - pl.col("ts_start"),
            fill_ratio=pl.col("filled") / pl.col("added"),
            cancel_ratio=pl.col("cancelled") / pl.col("added"),
        )

    def queue(
        self,
        order_id: int,
        *,
        publisher_id: int | None = None,
        instrument_id: int | None = None,
    ) -> pl.LazyFrame:
        """One order's place in its queue: a row after each event that changed it.

        An id may recur in other books; name the book. See `frames/orders/order_lives.py`.
        """
        return queue_source(
            self._records, order_id, publisher_id=publisher_id, instrument_id=instrument_id
        )

    def measures(self, *names: str, depth: int = 10) -> pl.LazyFrame:
        """Measures of a book's state at each event that changed its best `depth` levels.

        Args:
            names: mid, spread, weighted_mid, depth(k), imbalance(k), ofi, ofi(k): definitions,
                units and sources are in `frames/measures/book_measures.py`.
            depth: how many levels may change without a row; k is at most this.

        Columns: ts_event, ts_recv, sequence, publisher_id, instrument_id; then of each measure.

        Raises:
            UsageError: a name is unknown, or a k beyond the depth.
        """
        return measures_source(self.mbp(depth), names, depth=depth)

    def trade_measures(self, *, tau: str | None = None) -> pl.LazyFrame:
        """Measures of every trade: its sign, the mid before it, the spreads it paid.

        With `tau`, a duration, the realised spread too. Definitions, units and sources are in
        `frames/measures/trade_measures.py`.
        """
        return trade_measures_source(self.mbp(1), tau=tau)

    def window_measures(self, every: str) -> pl.LazyFrame:
        """OFI, signed volume, change of mid and Kyle's lambda by window (`measure_windows.py`)."""
        return window_measures_source(self.mbp(1), every)

    def vpin(self, *, bucket_volume: int, n: int = 50) -> pl.LazyFrame:
        """VPIN over the last `n` buckets of equal volume: a row a bucket (`measure_windows.py`)."""
        return vpin_source(self.mbp(1), bucket_volume=bucket_volume, n=n)

    def deltas(self) -> pl.LazyFrame:
        """What each record added to and took from levels: a row for each change of a level.

        The sum of a level's deltas is the level, clears included.

        Columns:
            ts_event, ts_recv (Datetime ns UTC), sequence (UInt32): of the record.
            publisher_id (UInt16), instrument_id (UInt32).
            event (Int64): how many events the book had completed before.
            side (Enum B, A), price (Int64 of 1e-9).
            size, count (Int64): the change of the level's size and of its count of orders.
        """
        return delta_source(self._records)

    def book_at(self, time: str | int) -> pl.LazyFrame:
        """Every level of every book, after its last complete event at or before a time (rule 5).

        Args:
            time: ISO 8601 (UTC unless it says so), or nanoseconds since the epoch.

        Columns:
            publisher_id (UInt16), instrument_id (UInt32), side (Enum B, A), level (UInt32, 0 is the
            best), price (Int64 of 1e-9), size, count (Int64).

        Raises:
            UsageError: `time` is no time.
        """
        return book_source(self._records, parse_time(str(time)))

    def depth(
        self,
        n: int,
        *,
        every: int | str | None = None,
        events: int | None = None,
        on_change: bool = False,
        fill: bool = False,
    ) -> pl.LazyFrame:
        """The best `n` levels of each side: a row for each window of each book.

        The fold answers only at the windows' ends. `reconstruct --snapshots` derives the same rows
        from level deltas by Polars expressions; where `ts_recv` never falls, and snapshots end with
        F_LAST, the two are equal.

        Args:
            n: levels a side.
            every: the length of a window, by default "event". A number N: a window is closed by
                each N-th event of its book, and what remains at the end of the stream makes no row.
                "event": 1. A
                duration such as "100ms": a window is `(T - every, T]`, T a multiple of `every`
                since the epoch, by the stream's time (`frames/scan/clock.py`) at an event's end;
                rows come by T, publisher and instrument, and the last window is given too.
            events: `events=N` is `every=N`.
            on_change: a row only where an event changed the best `n` levels, in place of windows;
                `events` then counts those since the book's last row.
            fill: give every window of a duration from a book's first to its last, not only those
                in which an event ended. Windows are then each book's own, and time is the book's:
                rows of one book come in order of `ts`, those of several as windows are closed.

        Columns:
            ts (Datetime ns UTC): T, or the closing record's `ts_recv` for windows of events; null
            for a book none of whose events had a time.
            ts_event, ts_recv (Datetime ns UTC), sequence (UInt32): of the last closing record.
            publisher_id (UInt16), instrument_id (UInt32).
            events (Int64): how many ended in the window.
            bid_px_00, ask_px_00 (Int64 of 1e-9, null where there is no level), bid_sz_00,
            ask_sz_00, bid_ct_00, ask_ct_00 (Int64; sizes and counts of orders, then 0), bid_px_01
            and so on.

        Raises:
            UsageError: `n` is not positive, `every` is not a length, or more than one of `every`,
                `events` and `on_change` is given.
        """
        if n < 1:
            raise UsageError(f"depth of {n} levels, expected 1 or more")
        if (every is not None) + (events is not None) + on_change > 1:
            raise UsageError("only one of every, events and on_change can be given")
        if on_change:
            if fill:
                raise UsageError("on_change has no windows to fill")
            return changes_source(self._records, n)
        asked = next((length for length in (every, events) if length is not None), "event")
        return depth_source(self._records, parse_windows(asked), n, fill=fill)


def _interval_schema(family: str, every: str) -> Schema:
    return find_schema(f"{family}-{format_duration(duration_ns(every, 'intervals'))}")


def parse_windows(every: int | str) -> Windows:
    """The windows that `every` stands for: a number of events, "event", or a duration.

    Raises:
        UsageError: it is none of them.
    """
    if isinstance(every, str) and every != "event":
        return TimeWindows(duration_ns(every, "intervals"))
    length = 1 if isinstance(every, str) else every
    if length < 1:
        raise UsageError(f"windows of {length} events, expected 1 or more")
    return EventWindows(length)
