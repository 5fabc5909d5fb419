"""Bars of the trades of one book of a history, in pages.

The rule here: a bar is the row of `.mbo.bars(time=...)` over all records. So trades are in the
interval of the stream's time, which depends on the records of all books (`RecordFile.read_due`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from batonics.frames.measures.bars import bars_source
from batonics.frames.scan.complete_intervals import COMPLETE, CompleteIntervals, RowInterval
from batonics.frames.scan.mbo_scan import StreamFacts, scan_batches
from batonics.history.book_history import FileHistory
from batonics.model.answers import DataSpan
from batonics.model.mbo import ACTION_TRADE, F_BAD_TS_RECV, MboBatch, take_batch
from batonics.model.times import format_duration


class TradeBars:
    """The bars of a book.

    Args:
        history: the history.
        key: the key of the book (`record_keys`).
        every_ns: the length of an interval.

    Attributes:
        every_ns: the length of an interval.
    """

    def __init__(self, history: FileHistory, key: int, every_ns: int) -> None:
        self._history, self._key, self.every_ns = history, key, every_ns

    def page(
        self,
        span: tuple[int | None, int | None],
        cursor: int | None,
        limit: int,
        records_max: int,
    ) -> tuple[pl.DataFrame, int | None] | None:
        """Bars of intervals that begin from one time on and before another.

        Args:
            span: the two times; None: the beginning and the end of the data.
            cursor: a record: the first interval is that of its time; None: as `span` says.
            limit: the most intervals.
            records_max: the most records to read.

        Returns:
            Rows of `BARS_SCHEMA`, and the cursor of the next page, None at the end. None if there
            are more records.
        """
        records, every_ns = self._history.records, self.every_ns
        (from_ns, to_ns), last_ns = span, records.last_ns or 0
        to_ns = last_ns + 1 if to_ns is None else min(to_ns, last_ns + 1)
        if cursor is not None and cursor < records.count:
            start_ns = max(records.due_ns(cursor), 0) // every_ns * every_ns
        elif from_ns is not None:
            start_ns = -(-min(from_ns, last_ns + 1) // every_ns) * every_ns
        else:
            start_ns = (records.first_ns or 0) // every_ns * every_ns
        stop_ns = -(-to_ns // every_ns) * every_ns
        page_ns = min(stop_ns, start_ns + limit * every_ns)
        is_first = cursor is None and from_ns is None
        first = 0 if is_first else records.count_until(start_ns - 1)
        stop = max(records.count_until(page_ns - 1), first)
        if stop - first > records_max:
            return None
        batches = list(self._trades(first, stop))
        rows = bars_source(scan_batches(lambda: iter(batches)), time=format_duration(every_ns))
        frame = rows.collect()
        facts = self._history.facts
        known = CompleteIntervals(
            RowInterval(every_ns, ends=False),
            StreamFacts(doubtful_days=facts.find_doubtful_days(), find_holes=facts.find_holes),
            data=DataSpan(records.first_ns, records.last_ns),
        )
        frame = frame.with_columns(known.find(frame, "ts_open").alias(COMPLETE))
        following = self._next_trade(stop) if page_ns < stop_ns else None
        if following is not None and records.due_ns(following) >= stop_ns:
            following = None
        return frame, following

    def _trades(self, first: int, stop: int) -> Iterator[MboBatch]:
        """The trades among records, with the stream's time as `ts_recv`."""
        for rows in self._history.records.read_due(first, stop, self._key):
            found = np.flatnonzero(rows.batch.action == ACTION_TRADE)
            trades = take_batch(rows.batch, found)
            times = rows.due_ns[found].view(np.uint64)  # -1, not known, is UNDEF_TIMESTAMP
            flags = trades.flags & np.uint8(~F_BAD_TS_RECV & 0xFF)
            yield MboBatch._make(trades._replace(ts_recv=times, flags=flags))

    def _next_trade(self, first: int) -> int | None:
        """The number of the first trade of the book from a record on."""
        records = self._history.records
        for rows in records.read_due(first, records.count, self._key):
            found = np.flatnonzero(rows.batch.action == ACTION_TRADE)
            if len(found):
                return int(rows.numbers[found[0]])
        return None
