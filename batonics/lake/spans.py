"""When a source has records of each book, day by day.

The rule here: a span has the records that a lake must have once. Records of snapshots repeat what a
book has already, and records whose `ts_recv` orders nothing (rule 16) have no time, so neither is
in a span.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from batonics.model.mbo import F_SNAPSHOT, MboBatch, record_keys, trusted_times
from batonics.model.symbols import SymbolMap
from batonics.model.times import NS_PER_DAY


class BookSpan(NamedTuple):
    """The time between two records of a book on one day.

    Attributes:
        day: days since the epoch, UTC.
        publisher_id: the book's publisher.
        instrument: the book's instrument id; the symbol, where a source numbers its symbols itself.
        first_ns: the time of its first record on that day, in nanoseconds since the epoch.
        last_ns: the time of its last record, likewise.
        name: the book in messages.
        is_continued: an earlier commit of the same run has the beginning of the span.
    """

    day: int
    publisher_id: int
    instrument: str
    first_ns: int
    last_ns: int
    name: str
    is_continued: bool = False


class SpanRecorder:
    """Records the spans of a source whose batches it is given in order."""

    def __init__(self) -> None:
        self._times: dict[tuple[int, int], tuple[int, int]] = {}
        """By day and key of a book: the times of the first and the last record."""
        self._new: dict[tuple[int, int], None] = {}
        self._committed: set[tuple[int, int]] = set()

    def add(self, batch: MboBatch) -> None:
        """Note the records of a batch."""
        times = trusted_times(batch.ts_recv, batch.flags)
        is_counted = (times >= 0) & (batch.flags & F_SNAPSHOT == 0)
        times, keys = times[is_counted], record_keys(batch)[is_counted]
        if len(times) == 0:
            return
        days = times // NS_PER_DAY
        for day in np.unique(days).tolist():
            of_day = slice(None) if days[0] == day == days[-1] else days == day
            self._add_day(day, np.asarray(keys[of_day]), np.asarray(times[of_day]))

    def _add_day(self, day: int, keys: np.ndarray, times: np.ndarray) -> None:
        found = np.unique(keys)
        place = np.searchsorted(found, keys)
        first, last = np.empty(len(found), np.int64), np.empty(len(found), np.int64)
        # Of several values for one place numpy keeps the last.
        first[place[::-1]], last[place] = times[::-1], times
        for key, first_ns, last_ns in zip(
            found.tolist(), first.tolist(), last.tolist(), strict=True
        ):
            start_ns, end_ns = self._times.get((day, key), (first_ns, last_ns))
            self._times[day, key] = start_ns, max(end_ns, last_ns)
            self._new[day, key] = None

    def spans(self, symbols: SymbolMap, *, by_symbol: bool) -> list[BookSpan]:
        """The spans that are new or longer since the last `commit`.

        Args:
            symbols: the symbols of the source.
            by_symbol: the source numbers its symbols itself, as NDJSON does.
        """
        found = []
        for day, key in self._new:
            first_ns, last_ns = self._times[day, key]
            instrument_id = key & 0xFFFFFFFF
            symbol = symbols.symbol(instrument_id, first_ns)
            found.append(
                BookSpan(
                    day,
                    key >> 32,
                    symbol if by_symbol and symbol is not None else str(instrument_id),
                    first_ns,
                    last_ns,
                    symbol or f"instrument {instrument_id}",
                    (day, key) in self._committed,
                )
            )
        return found

    def commit(self) -> None:
        """Note that the lake has all spans so far."""
        self._committed.update(self._new)
        self._new.clear()
