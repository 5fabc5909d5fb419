"""The column `complete`: whether the data cover the whole window or interval of a row.

The rule here: an interval is complete if a record came at or before its beginning, and one at or
after its end, by the clock of the stream (rule 16), of any book. So the first and the last row of
a stream are seldom complete: what came before the data, or will come behind them, is not in them.
An interval is not complete either if it touches a day that the vendor does not vouch for, a time
between two files that neither covers (`model/coverage.py`), or a time for which records of its
instrument are missing (`model/absences.py`).

| column   | dtype   | content                                                                  |
|----------|---------|--------------------------------------------------------------------------|
| complete | Boolean | whether the data reach from the beginning of the row's interval to its   |
|          |         | end; false where no time is known                                        |

Frames and schemas of our own have the column; the vendor's schemas stay as they are, and `convert`
counts their rows that are not complete. In a lake all rows of intervals have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.frames.scan.mbo_scan import StreamFacts, batches_of, facts_of, scan_batches
from batonics.frames.scan.returns import are_absent
from batonics.frames.scan.sources import Projection, frame_source, pull_frames
from batonics.model.answers import DataSpan
from batonics.model.coverage import holes_between
from batonics.model.day_conditions import days_between
from batonics.model.mbo import MboBatch

COMPLETE = "complete"
COMPLETE_SCHEMA = pl.Schema({COMPLETE: pl.Boolean()})


class RowInterval(NamedTuple):
    """How the interval of a row follows from its time.

    Attributes:
        length_ns: the length of the interval.
        ends: the time is the end of the interval `(time - length, time]`; otherwise it lies in the
            interval `[T, T + length)`, where T is a multiple of the length since the epoch.
    """

    length_ns: int
    ends: bool

    def bounds(self, time_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first and the last nanosecond of the interval of each time."""
        if self.ends:
            return time_ns - (self.length_ns - 1), time_ns
        start_ns = time_ns // self.length_ns * self.length_ns
        return start_ns, start_ns + (self.length_ns - 1)


class CompleteIntervals:
    """Tells which rows of one stream cover complete intervals.

    A row comes when a record after its interval has come, or at the end of the stream.

    Args:
        interval: the interval of each row.
        facts: what the stream knows.
        data: the times of the records that are known already; None: there are none.
    """

    def __init__(
        self,
        interval: RowInterval,
        facts: StreamFacts,
        *,
        data: DataSpan | None = None,
    ) -> None:
        self._interval, self._data, self._facts = interval, data or DataSpan(), facts

    def watch(self, batches: Iterator[MboBatch]) -> Iterator[MboBatch]:
        """The batches of the stream, each noted before it is given."""
        for batch in batches:
            self.note(batch)
            yield batch

    def note(self, batch: MboBatch) -> None:
        """Note the records of the next batch."""
        self._data = self._data.extend(batch)

    def find(self, frame: pl.DataFrame, time: str) -> pl.Series:
        """`complete` of each row of the next frame.

        Args:
            frame: the rows, with their instrument_id.
            time: the column of their times.
        """
        from_ns, until_ns = self._data
        if from_ns is None or until_ns is None:
            return pl.repeat(value=False, n=frame.height, dtype=pl.Boolean, eager=True).alias(
                COMPLETE
            )
        # Arrays, not expressions: a query for each frame costs more than making its rows.
        times = frame.get_column(time)
        known = times.to_physical().fill_null(0) if times.null_count() else times
        first_ns, last_ns = self._interval.bounds(known.to_numpy().view(np.int64))
        is_covered = (first_ns >= from_ns) & (last_ns <= until_ns)
        for day in days_between(self._facts.doubtful_days, from_ns, until_ns):
            is_covered &= (last_ns < day.start_ns) | (first_ns >= day.end_ns)
        holes, absences = self._facts.find_holes(), self._facts.find_absences()
        if holes and len(times):
            for hole in holes_between(holes, int(first_ns.min()), int(last_ns.max())):
                is_covered &= (last_ns < hole.start_ns) | (first_ns >= hole.end_ns)
        if len(absences):
            ids = frame.get_column("instrument_id").to_numpy()
            is_covered &= ~are_absent(absences, ids, first_ns, last_ns)
        if times.null_count():
            is_covered &= times.is_not_null().to_numpy()
        return pl.Series(COMPLETE, is_covered)


def with_complete(
    records: pl.LazyFrame,
    make_rows: Callable[[pl.LazyFrame], pl.LazyFrame],
    time: str,
    interval: RowInterval,
) -> pl.LazyFrame:
    """Rows of intervals that derive from records, with the column `complete` after their own.

    Args:
        records: MBO records, in their order.
        make_rows: makes the rows from the records.
        time: the column of the rows that has the time of their interval.
        interval: the interval of a row.
    """
    plain = make_rows(records)
    schema = plain.collect_schema()

    def make_frames(projection: Projection) -> Iterator[pl.DataFrame]:
        is_wanted = COMPLETE in projection.columns
        facts = facts_of(records)
        known = CompleteIntervals(interval, facts or StreamFacts())
        rows = plain
        if is_wanted:
            # The records of all books show how far the data reach.
            rows = make_rows(scan_batches(lambda: known.watch(batches_of(records)), facts=facts))
        if projection.book_filter is not None:
            rows = rows.filter(projection.book_filter)
        wanted = [name for name in schema if name in projection.columns]
        if not is_wanted:
            yield from pull_frames(rows, wanted)
            return
        reads = {*wanted, time, "instrument_id"}
        for frame in pull_frames(rows, [name for name in schema if name in reads]):
            yield frame.select(*wanted, known.find(frame, time))

    return frame_source("COMPLETE", pl.Schema({**schema, **COMPLETE_SCHEMA}), make_frames)
