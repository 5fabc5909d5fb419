"""Bars of sessions from MBO records: one for each trading date, and one for what is outside.

The rule here: every trade is in one bar. A trade is in a session if the time of the stream at it
is (`bars.py`). Trades outside of sessions, such as those in a break, make a bar without a date. It
follows the bar of the session before them.

The bars of a session are closed when the first record of a later session comes, of any book, and at
the end of the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.frames.columns.mbo_frame import TIME_TYPE, check_columns
from batonics.frames.measures.bar_kernels import BarClock, BarKind, CloseRule
from batonics.frames.measures.bars import (
    BAR_COLUMNS,
    BAR_FOLD_ROWS,
    BAR_WORD_NAMES,
    BARS_SCHEMA,
    READ_COLUMNS,
    BarFolder,
    new_clock,
)
from batonics.frames.scan.complete_intervals import COMPLETE
from batonics.frames.scan.mbo_scan import StreamFacts, facts_of
from batonics.frames.scan.sessions import NO_SESSION, SessionCalendar, SessionTable
from batonics.frames.scan.sources import Projection, frame_source
from batonics.model.coverage import Holes, holes_between
from batonics.model.mbo import trusted_times

NO_DATE = np.iinfo(np.int64).min
"""The date of times before the first session."""
_NEVER = CloseRule(int(BarKind.TICKS), 0, np.iinfo(np.int64).max)


def session_bars_schema(zone: str) -> pl.Schema:
    """The columns of bars of sessions; `zone` is that of the exchange."""
    time = pl.Datetime("ns", zone)
    session = {"date": pl.Date(), "ts_session_open": time, "ts_session_close": time}
    return pl.Schema({**session, **BARS_SCHEMA})


def session_bars_source(records: pl.LazyFrame, sessions: SessionCalendar) -> pl.LazyFrame:
    """A LazyFrame of `session_bars_schema` over MBO records: a row for each session and book.

    Rows are in the order of sessions; then come those with a date, then those without; then they
    are sorted by publisher and instrument.

    Args:
        records: MBO records, in their order.
        sessions: the sessions of the market.

    Columns:
        date (Date): the date of the session; null for trades outside of sessions.
        ts_session_open, ts_session_close (Datetime ns in the zone of the exchange): when the
            session opens and closes; null for trades outside of sessions.
        and those of `bars.bars_source`; `complete` says whether the data reach from the opening to
        the close, and is null for trades outside of sessions.

    Raises:
        UsageError: a column is missing or has another dtype; or, when it is collected, the calendar
            does not know the sessions of a time.
    """
    check_columns(records.collect_schema(), READ_COLUMNS)
    schema = session_bars_schema(sessions.zone)

    def make_frames(_: Projection) -> Iterator[pl.DataFrame]:
        folder = _SessionFolder(sessions, (facts_of(records) or StreamFacts()).find_holes)
        for batch in records.select(READ_COLUMNS).collect_batches(lazy=True, maintain_order=True):
            for frame in batch.iter_slices(BAR_FOLD_ROWS):
                yield from folder.fold(frame)
        yield from folder.close()

    return frame_source("MBO SESSION BARS", schema, make_frames)


class _Places(NamedTuple):
    """Where times are among the sessions.

    Attributes:
        day: the date of the last session that has opened, or `NO_DATE`.
        is_inside: whether that session is open.
    """

    day: NDArray[np.int64]
    is_inside: NDArray[np.bool_]


class _SessionFolder:
    """Folds records in pieces; keeps the open bars from piece to piece.

    Args:
        sessions: the sessions of the market.
        find_holes: returns the times so far that no file covers.
    """

    def __init__(self, sessions: SessionCalendar, find_holes: Callable[[], Holes] = tuple) -> None:
        self._find_holes = find_holes
        self._zone = sessions.zone
        self._table = SessionTable(sessions)
        self._clock = new_clock()
        self._inside, self._outside = (BarFolder(_NEVER, self._clock) for _ in range(2))
        self._day = int(NO_DATE)
        self._first_ns: int | None = None  # the first time that is known

    def fold(self, frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Fold records, and give the bars of sessions that have ended."""
        if frame.height == 0:
            return
        ts_recv = frame["ts_recv"].to_physical().fill_null(-1).to_numpy().view(np.uint64)
        times = trusted_times(ts_recv, frame["flags"].to_numpy())
        now = np.maximum(np.maximum.accumulate(times), self._clock[BarClock.NOW])
        if self._first_ns is None and now[-1] >= 0:
            self._first_ns = int(now[now >= 0][0])
        self._table.cover(now)
        places = self._find_places(now)
        changes = np.diff(places.day).astype(bool) | np.diff(places.is_inside)
        for start, end in _runs(changes):
            day = int(places.day[start])
            if day != self._day:
                yield from self._close(is_over=True)
                self._day = day
            folder = self._inside if places.is_inside[start] else self._outside
            folder.fold(frame[start:end])

    def close(self) -> Iterator[pl.DataFrame]:
        """The open bars at the end of the stream."""
        yield from self._close(is_over=False)

    def _close(self, *, is_over: bool) -> Iterator[pl.DataFrame]:
        """The open bars, which are no longer open; `is_over`: a later session has begun."""
        spans = self._table.spans
        of_day = spans.day == self._day
        for folder in (self._inside, self._outside):
            rows = folder.take_open_rows()
            if len(rows):
                date, opens, closes = (
                    (self._day, spans.open_ns[of_day].min(), spans.close_ns[of_day].max())
                    if folder is self._inside
                    else (None, None, None)
                )
                complete = None
                if opens is not None and closes is not None and self._first_ns is not None:
                    reaches = is_over or int(self._clock[BarClock.NOW]) >= closes - 1
                    holes = holes_between(self._find_holes(), int(opens), int(closes) - 1)
                    complete = bool(reaches and self._first_ns <= opens and not holes)
                yield pl.DataFrame(rows, schema=BAR_WORD_NAMES).select(
                    pl.lit(date, pl.Int32).cast(pl.Date).alias("date"),
                    self._in_zone(opens).alias("ts_session_open"),
                    self._in_zone(closes).alias("ts_session_close"),
                    *BAR_COLUMNS,
                    pl.lit(complete, pl.Boolean).alias(COMPLETE),
                )

    def _in_zone(self, time_ns: int | None) -> pl.Expr:
        return pl.lit(time_ns, pl.Int64).cast(TIME_TYPE).dt.convert_time_zone(self._zone)

    def _find_places(self, now: NDArray[np.int64]) -> _Places:
        spans = self._table.spans
        at = spans.find_opened(now)
        # NO_SESSION is -1, and so the last of these.
        return _Places(np.append(spans.day, NO_DATE)[at], spans.find(now) != NO_SESSION)


def _runs(changes: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """The start and end of each run of records without a change between them."""
    edges = np.flatnonzero(changes) + 1
    bounds = [0, *edges.tolist(), len(changes) + 1]
    yield from pairwise(bounds)
