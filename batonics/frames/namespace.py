"""The namespace `.mbo` of every LazyFrame that holds MBO records.

The rule here: a method checks its arguments and returns a LazyFrame. Nothing runs before the
LazyFrame is collected.

Each result is an IO source. It streams in the order of the records, and memory does not grow with
their number. Projections, predicates and row limits are pushed down into it. A predicate on
`publisher_id` and `instrument_id` alone is pushed on into the records.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import polars as pl

from batonics.frames.columns.book_state import CROSSED, STATUS
from batonics.frames.columns.prices import add_price_argument
from batonics.frames.depth.book_sources import (
    bbo_source,
    book_source,
    changes_source,
    delta_source,
    depth_source,
)
from batonics.frames.depth.windows import EventWindows, parse_windows
from batonics.frames.measures.bars import bars_source
from batonics.frames.measures.book_measures import measures_source
from batonics.frames.measures.session_bars import session_bars_source
from batonics.frames.measures.trade_measures import trade_measures_source
from batonics.frames.measures.vpin import vpin_source
from batonics.frames.measures.window_measures import window_measures_source
from batonics.frames.orders.order_lives import orders_source, queue_source
from batonics.frames.scan.complete_intervals import RowInterval, with_complete
from batonics.frames.scan.exchange_sessions import find_sessions
from batonics.frames.scan.mbo_scan import facts_of
from batonics.frames.scan.row_extras import with_extra
from batonics.frames.scan.table_records import as_mbo_records
from batonics.frames.schemas.mbp_sources import state_source
from batonics.frames.schemas.schema import Schema
from batonics.frames.schemas.table import MBP_DEPTH_MAX, find_schema
from batonics.model.arguments import check_methods
from batonics.model.errors import UsageError
from batonics.model.prices import Amount
from batonics.model.times import Duration, Time, duration_ns, format_duration, time_ns


@check_methods
@add_price_argument
class MboNamespace:
    """Frames derived from a LazyFrame of MBO records in their order.

    The records have the columns of `MBO_SCHEMA`, or those of any table of MBO that files may be,
    such as `pl.scan_parquet` and `pl.scan_csv` of the vendor's files (docs/formats.md). Columns
    that books do not depend on may be missing, and other columns are ignored. UsageError is raised
    if a column is missing or has a type that holds no such values, or if an argument has another
    type; InputError, when rows are collected, if a value is not exact.

    Most methods take `extra`, names of columns that follow those of the rows: symbol, status (of
    trading), crossed, book_status (cold, synced, stale); see `frames/columns/book_state.py`.

    Every method takes `prices`, the unit of prices and of all that derives from them: "fixed", as
    the columns below are, "decimal" or "float"; see `frames/columns/prices.py`.
    """

    def __init__(self, records: pl.LazyFrame) -> None:
        self._records = as_mbo_records(records)

    def bbo(self, *, every: Duration | None = None, extra: Collection[str] = ()) -> pl.LazyFrame:
        """The best bid and ask: one row for each end of an event (rule 5), or for intervals.

        An event ends with F_LAST, or with the end of a snapshot that lacks it (rule 14). A book is
        valid only at these moments.

        Args:
            every: a duration. "1s" gives the vendor's bbo-1s and "1m" its bbo-1m, with its columns
                (`BBO_INTERVAL_SCHEMA`). A book has a row for each interval in which it traded or
                its best bid or ask changed; see `frames/schemas/bbo_intervals.py`.
            extra: extra columns, such as ("symbol", "status", "crossed").

        Columns, without `every`:
            ts_event, ts_recv (Datetime ns UTC), sequence (UInt32): those of the closing record.
            publisher_id (UInt16), instrument_id (UInt32).
            bid_price, ask_price (Int64 of 1e-9): null if the side is empty.
            bid_size, ask_size (Int64): 0 if the side is empty.
            bid_count, ask_count (Int64): the number of orders; 0 if the side is empty, and for a
                top-of-book publisher (rule 13).
        """
        if every is not None:
            rows = _interval_schema("bbo", every).rows
            return with_extra(self._records, rows, extra, ends_interval=True)
        return self._rows(bbo_source, extra)

    def mbp(
        self, n: int = 10, *, consolidated: bool = False, extra: Collection[str] = ()
    ) -> pl.LazyFrame:
        """The vendor's MBP of any depth: mbp-1, mbp-10 or any other.

        There is a row for each trade, with the book after the last event before it, and for each
        event that changed the best `n` levels, with the book after the event. `depth` and `side`
        say what changed since the book's last row. An event that ends with a trade has no row of
        its own; see `frames/schemas/mbp.py`.

        Args:
            n: levels of each side.
            consolidated: whether the levels are those of the instrument over all its publishers.
                `publisher_id` is then the publisher of the record that made the row.
            extra: extra columns, such as ("symbol", "status", "crossed").

        Columns, as in the vendor's files (`mbp_schema(n)`):
            ts_recv, ts_event (Datetime ns UTC), rtype (UInt8), publisher_id (UInt16),
            instrument_id (UInt32), action and side (Enum of letters), depth (UInt8), price (Int64
            of 1e-9), size (UInt32), flags (UInt8), ts_in_delta (Int32), sequence (UInt32).
            bid_px_00, ask_px_00 (Int64 of 1e-9): the prices; null if there is no level.
            bid_sz_00, ask_sz_00 (UInt32): the sizes, at most 2^32 - 1.
            bid_ct_00, ask_ct_00 (UInt32): the numbers of orders.
            bid_px_01 and so on: the further levels.

        Raises:
            UsageError: `n` is not from 1 to 255.
        """
        _check_levels(n)
        rows = partial(find_schema(f"mbp-{n}").rows, consolidated=consolidated)
        return self._rows(rows, extra)

    def states(self, n: int = 1, *, extra: Collection[str] = ()) -> pl.LazyFrame:
        """Each trade, and the book after each event that changed its best `n` levels.

        The measures are made of these rows. They differ from mbp-N where the vendor's rows do not
        follow the book: an event that ends with a trade has a row here, and a snapshot that changes
        nothing has none. The row of a trade has the book after the event before it.

        Args:
            n: levels of each side.
            extra: extra columns, such as ("symbol", "status", "crossed").

        Columns: those of `mbp`; `rtype` is null.

        Raises:
            UsageError: `n` is not from 1 to 255.
        """
        _check_levels(n)
        return self._rows(find_schema(f"states-{n}").rows, extra)

    def tbbo(self, *, consolidated: bool = False, extra: Collection[str] = ()) -> pl.LazyFrame:
        """The vendor's tbbo: each trade with the best bid and ask before it, as mbp-1."""
        return self._rows(partial(find_schema("tbbo").rows, consolidated=consolidated), extra)

    def trades(self, *, extra: Collection[str] = ()) -> pl.LazyFrame:
        """The vendor's trades: the T records, never the F, in the vendor's columns."""
        return self._rows(find_schema("trades").rows, extra)

    def ohlcv(self, every: Duration = "1s", *, extra: Collection[str] = ()) -> pl.LazyFrame:
        """The vendor's ohlcv of any interval: one row for each interval and book with trades.

        See `bars` for other kinds of bars and more columns.

        Args:
            every: the length of an interval, such as "1s".
            extra: extra columns, such as ("symbol", "status", "crossed").

        Columns, as in the vendor's files:
            ts_event (Datetime ns UTC): the start of the interval.
            rtype (UInt8): null if the vendor has no bars of that length.
            publisher_id (UInt16), instrument_id (UInt32).
            open, high, low, close (Int64 of 1e-9), volume (UInt64).

        Raises:
            UsageError: `every` is not a duration.
        """
        return self._rows(_interval_schema("ohlcv", every).rows, extra)

    def bars(  # noqa: PLR0913 - settings, by keyword
        self,
        *,
        time: Duration | None = None,
        ticks: int | None = None,
        volume: int | None = None,
        dollar: Amount | None = None,
        session: str | None = None,
        partial: bool = False,
        extra: Collection[str] = (),
    ) -> pl.LazyFrame:
        """Bars of trades: one row for each bar, in order of closing.

        Exactly one of `time`, `ticks`, `volume`, `dollar` and `session` is given.

        Args:
            time: the interval of bars of a time, such as "5m".
            ticks: the number of trades of a bar.
            volume: the sum of sizes that closes a bar.
            dollar: the sum of price times size that closes a bar, as decimal text such as "1000000"
                or as an integer of 1e-9. It excludes the multiplier of contracts.
            session: the sessions of daily bars: hours such as "17:00-16:00 America/Chicago", or the
                calendar of an exchange such as "CMES". The bar of a session has all trades while it
                is open; trades outside of sessions make bars of their own, without a date.
            partial: whether the open bar of each book at the end is given too. Bars of a time and
                of sessions always are.
            extra: extra columns, such as ("symbol", "status", "crossed").

        Columns:
            date (Date): only with `session`: the date of the session; null outside of sessions.
            ts_session_open, ts_session_close (Datetime ns in the zone of the exchange): only with
                `session`: when it opens and closes; null outside of sessions.
            publisher_id (UInt16), instrument_id (UInt32).
            ts_open, ts_close (Datetime ns UTC): the times of the first and of the last trade.
            open, high, low, close (Int64 of 1e-9).
            volume, buy_volume, sell_volume, trades (Int64).
            vwap (Float64 of 1e-9).
            dollar (Decimal, an integer of 1e-9): the sum of price times size.
            complete (Boolean): whether the bar is whole: its length is reached, or the data reach
                from the beginning of its interval to the end.

        Raises:
            UsageError: not exactly one of the five is given, or it is no length and no session; or,
                when the frame is collected, the calendar does not know a date.
        """
        lengths = {"time": time, "ticks": ticks, "volume": volume, "dollar": dollar}
        given = [name for name, length in lengths.items() if length is not None]
        if session is not None and given:
            raise UsageError(f"bars by session and {' and '.join(given)}, expected one of them")
        sessions = None if session is None else find_sessions(session)

        def rows(records: pl.LazyFrame) -> pl.LazyFrame:
            if sessions is not None:
                return session_bars_source(records, sessions)
            return bars_source(
                records, time=time, ticks=ticks, volume=volume, dollar=dollar, partial=partial
            )

        return self._rows(rows, extra)

    def orders(self) -> pl.LazyFrame:
        """The lives of orders: one row for each life, in order of ending. Live orders come last.

        A row has the start and end of the life, the sizes added, filled and cancelled, the end, and
        the queue ahead of the order at its start and at its first fill. The columns are defined in
        `frames/orders/order_lives.py`; three further columns are made of them:
            lifetime (Duration of ns): ts_end - ts_start; null if the order is alive. If
                `left_censored` is true, it is a lower bound, since the true start is unknown.
            fill_ratio, cancel_ratio (Float64): filled and cancelled, divided by added.
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
        """The position of one order in its queue: one row after each event that changed it.

        See `frames/orders/order_lives.py`.

        Args:
            order_id: the id of the order.
            publisher_id: the publisher of its book, if several books have this id.
            instrument_id: the instrument of its book, if several books have this id.

        Raises:
            UsageError: `order_id` is not an id, or (when the frame is collected) no complete
                event has the order.
        """
        return queue_source(
            self._records, order_id, publisher_id=publisher_id, instrument_id=instrument_id
        )

    def measures(self, *names: str, depth: int = 10, extra: Collection[str] = ()) -> pl.LazyFrame:
        """Measures of a book's state at each event that changed its best `depth` levels.

        Args:
            names: mid, spread, weighted_mid, crossed, depth(k), imbalance(k), ofi, ofi(k), as
                defined in `frames/measures/book_measures.py` with units and sources.
            depth: the number of best levels whose changes make a row, and the greatest k.
            extra: extra columns, such as ("symbol", "status", "crossed").

        Columns:
            ts_event, ts_recv, sequence, publisher_id, instrument_id, and those of the measures.

        Raises:
            UsageError: a name is unknown, `depth` is not from 1 to 255, or a k exceeds it.
        """
        _check_levels(depth)
        if CROSSED in extra:
            names = tuple(dict.fromkeys((*names, CROSSED)))

        def rows(records: pl.LazyFrame) -> pl.LazyFrame:
            return measures_source(state_source(records, depth), names, depth=depth)

        return self._rows(rows, extra)

    def trade_measures(
        self, *, tau: Duration | None = None, extra: Collection[str] = ()
    ) -> pl.LazyFrame:
        """Measures of every trade: its sign, the mid before it, its effective spread.

        Definitions, units and sources are in `frames/measures/trade_measures.py`.

        Args:
            tau: the time from a trade to the mid of its realised spread, such as "5s". None: the
                realised spread is left out.
            extra: extra columns; `crossed` says so of the book that the trade met.
        """
        crossed = CROSSED in extra

        def rows(records: pl.LazyFrame) -> pl.LazyFrame:
            return trade_measures_source(state_source(records, 1), tau=tau, crossed=crossed)

        return self._rows(rows, extra)

    def window_measures(
        self, every: Duration, *, include: Collection[str] = (), extra: Collection[str] = ()
    ) -> pl.LazyFrame:
        """OFI, signed volume, change of mid and Kyle's lambda of each window.

        See `frames/measures/window_measures.py`. `complete` (Boolean) says whether the data reach
        from the beginning of a window to its end.

        Args:
            every: the length of a window, such as "1s".
            include: states to keep that are left out otherwise: "crossed", "closed".
            extra: extra columns, such as ("symbol",).
        """

        def rows(records: pl.LazyFrame) -> pl.LazyFrame:
            status = () if facts_of(records) is None else (STATUS,)
            states = with_extra(records, partial(state_source, depth=1), status)
            return window_measures_source(states, every, include=include)

        interval = RowInterval(duration_ns(every), ends=True)
        return with_extra(
            self._records,
            lambda records: with_complete(records, rows, "ts", interval),
            extra,
            ends_interval=True,
        )

    def vpin(self, *, bucket_volume: int, n: int = 50) -> pl.LazyFrame:
        """VPIN over the last `n` buckets of equal volume: one row for each bucket.

        See `frames/measures/vpin.py`.

        Args:
            bucket_volume: the volume of a bucket.
            n: the number of buckets of the mean.
        """
        return vpin_source(state_source(self._records, 1), bucket_volume=bucket_volume, n=n)

    def deltas(self) -> pl.LazyFrame:
        """Level deltas: one row for each change of a level by a record.

        A level is the sum of its deltas, including those of clears.

        Columns:
            ts_event, ts_recv (Datetime ns UTC), sequence (UInt32): those of the record.
            publisher_id (UInt16), instrument_id (UInt32).
            event (Int64): the number of events that the book had completed before.
            side (Enum B, A), price (Int64 of 1e-9).
            size, count (Int64): the changes of the level's size and of its number of orders.
        """
        return delta_source(self._records)

    def book_at(self, time: Time) -> pl.LazyFrame:
        """Every level of every book, after its last complete event at or before a time (rule 5).

        Args:
            time: ISO 8601 text (UTC unless it has an offset), nanoseconds since the epoch, or a
                datetime with a time zone.

        Columns:
            publisher_id (UInt16), instrument_id (UInt32), side (Enum B, A).
            level (UInt32): 0 is the best.
            price (Int64 of 1e-9), size, count (Int64).

        Raises:
            UsageError: `time` is not a time, or (when the frame is collected) before the first
                record. A `batonics.DataWarning` says if the time is after the last record, and how
                many books are cold, stale, crossed or of a market that does not trade.
        """
        return book_source(self._records, time_ns(time))

    def depth(  # noqa: PLR0913 - settings, by keyword
        self,
        n: int,
        *,
        every: int | Duration | None = None,
        events: int | None = None,
        on_change: bool = False,
        fill: bool = False,
        extra: Collection[str] = (),
    ) -> pl.LazyFrame:
        """The best `n` levels of each side: one row for each window of each book.

        The fold reads its books at the ends of windows. `reconstruct --snapshots` derives the same
        rows from level deltas. If `ts_recv` never decreases, the two are equal. A snapshot without
        F_LAST (rule 14) is in the window of the book's next record.

        Args:
            n: levels of each side.
            every: the length of a window; None: "event".
                A number N: each N-th event of a book closes its window, and the remaining events at
                the end of the stream make no row.
                "event": the same as 1.
                A duration such as "100ms": a window is `(T - every, T]`, where T is a multiple of
                `every` since the epoch, by the stream's time (`frames/scan/clock.py`) at the end of
                an event. Rows are sorted by T, publisher and instrument, and include the last
                window.
            events: `events=N` is the same as `every=N`.
            on_change: instead of windows, give a row for each event that changed the best `n`
                levels. `events` is then the number of events since the book's last row.
            fill: give all windows of a duration from a book's first to its last, including those
                without events. Each book then has its own windows and its own time. Rows of one
                book are in order of `ts`, and rows of several books in the order of closing.
            extra: extra columns, such as ("symbol", "status", "crossed").

        Columns:
            ts (Datetime ns UTC): T, or the `ts_recv` of the closing record for windows of events;
                null for a book without any time.
            ts_event, ts_recv (Datetime ns UTC), sequence (UInt32): those of the last closing
                record.
            publisher_id (UInt16), instrument_id (UInt32).
            events (Int64): the number of events that ended in the window.
            bid_px_00, ask_px_00 (Int64 of 1e-9): the prices; null if there is no level.
            bid_sz_00, ask_sz_00, bid_ct_00, ask_ct_00 (Int64): the sizes and the numbers of orders;
                0 if there is no level.
            bid_px_01 and so on: the further levels.
            complete (Boolean, with windows of a duration only): whether the data reach from the
                beginning of the window to its end; see `frames/scan/complete_intervals.py`.

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
            return self._rows(lambda records: changes_source(records, n), extra)
        window = next((length for length in (every, events) if length is not None), "event")
        windows = parse_windows(window)

        def rows(records: pl.LazyFrame) -> pl.LazyFrame:
            return depth_source(records, windows, n, fill=fill)

        if isinstance(windows, EventWindows):
            return self._rows(rows, extra)
        interval = RowInterval(windows.length_ns, ends=True)
        return self._rows(lambda records: with_complete(records, rows, "ts", interval), extra)

    def _rows(
        self, make_rows: Callable[[pl.LazyFrame], pl.LazyFrame], extra: Collection[str]
    ) -> pl.LazyFrame:
        """Rows that derive from the records, with extra columns."""
        return with_extra(self._records, make_rows, extra)


def _check_levels(levels: int) -> None:
    """Raise UsageError unless MBP has that many levels."""
    if not 1 <= levels <= MBP_DEPTH_MAX:
        raise UsageError(f"depth of {levels} levels, expected 1 to {MBP_DEPTH_MAX}")


def _interval_schema(family: str, every: Duration) -> Schema:
    return find_schema(f"{family}-{format_duration(duration_ns(every, 'intervals'))}")
