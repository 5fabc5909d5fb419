"""When a source has records of each book, day by day.

The rule here: a span has the records that a lake must have once. Records of snapshots repeat what a
book has already, and records whose `ts_recv` orders nothing (rule 16) have no time, so neither is
in a span. A span has the hashes of the records at its first and at its last time, so that records
that only share a time are told from records that are there twice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import F_SNAPSHOT, MboBatch, record_keys, take_batch, trusted_times
from batonics.model.record_hashes import record_hashes
from batonics.model.symbols import SymbolMap
from batonics.model.times import NS_PER_DAY

_LATEST_NS = 2**63 - 1
HASHES_MAX = 1 << 16
"""Hashes of one time that are kept, the least: of equal records two sources keep the same ones."""
GATHERED_MIN = 1 << 17
"""Records at edges that are gathered before those that are needed no more are dropped."""


class BookSpan(NamedTuple):
    """The time between two records of a book on one day.

    Attributes:
        day: days since the epoch, UTC.
        publisher_id: the book's publisher.
        instrument: the book's instrument id; the symbol, where a source numbers its symbols itself.
        first_ns: the time of its first record on that day, in nanoseconds since the epoch.
        last_ns: the time of its last record, likewise.
        first_hashes: the hashes of its records at `first_ns` (`model/record_hashes.py`), 8 bytes
            each, sorted.
        last_hashes: those of its records at `last_ns`.
        name: the book in messages.
        is_continued: an earlier commit of the same run has the beginning of the span.
    """

    day: int
    publisher_id: int
    instrument: str
    first_ns: int
    last_ns: int
    first_hashes: bytes
    last_hashes: bytes
    name: str
    is_continued: bool = False


class _DayEdge:
    """The records at the first or the last time of each book on a day.

    Their hashes are gathered, and those that are needed no more are dropped once there are many.
    """

    def __init__(self) -> None:
        none = np.empty(0, np.int64)
        self._parts = [_HashRows(none, none, none.view(np.uint64))]
        self._rows, self._rows_max = 0, GATHERED_MIN

    def add(self, rows: _HashRows, keys: NDArray[np.int64], times: NDArray[np.int64]) -> None:
        """Take records.

        Args:
            rows: the records.
            keys: the keys of all books, sorted.
            times: the time of each book's edge.
        """
        self._parts.append(rows)
        self._rows += len(rows.keys)
        if self._rows > self._rows_max:
            self._parts = [self.find(keys, times)]
            self._rows = len(self._parts[0].keys)
            self._rows_max = max(2 * self._rows, GATHERED_MIN)

    def find(self, keys: NDArray[np.int64], times: NDArray[np.int64]) -> _HashRows:
        """The different hashes at the edges, sorted by book: the `HASHES_MAX` least of each."""
        rows = _HashRows(*map(np.concatenate, zip(*self._parts, strict=True)))
        rows = rows.take(times[np.searchsorted(keys, rows.keys)] == rows.times)
        rows = rows.take(np.lexsort((rows.hashes, rows.keys)))
        is_next = np.append(True, np.diff(rows.keys) != 0)[: len(rows.keys)]
        rows = rows.take(is_next | np.append(True, np.diff(rows.hashes) != 0)[: len(rows.keys)])
        starts = np.searchsorted(rows.keys, rows.keys)
        return rows.take(np.arange(len(starts)) - starts < HASHES_MAX)


class _HashRows(NamedTuple):
    """Records: the keys of their books, their times, and their hashes."""

    keys: NDArray[np.int64]
    times: NDArray[np.int64]
    hashes: NDArray[np.uint64]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> _HashRows:
        """Some of the records."""
        return _HashRows(self.keys[rows], self.times[rows], self.hashes[rows])


class _Day:
    """The books of one day; all arrays have an element for each book."""

    def __init__(self) -> None:
        self.keys = np.empty(0, np.int64)  # sorted
        self.first_ns = np.empty(0, np.int64)
        self.last_ns = np.empty(0, np.int64)
        self.is_new = np.empty(0, np.bool_)  # since the last commit
        self.is_committed = np.empty(0, np.bool_)
        self.starts, self.ends = _DayEdge(), _DayEdge()

    def add(self, batch: MboBatch, keys: NDArray[np.int64], times: NDArray[np.int64]) -> None:
        """Note records, with their keys and times."""
        found, book = np.unique(keys, return_inverse=True)
        first, last = np.empty(len(found), np.int64), np.zeros(len(found), np.int64)
        # Of several values for one place numpy keeps the last.
        first[book[::-1]] = times[::-1]
        np.maximum.at(last, book, times)
        self._insert(found, first)
        places = np.searchsorted(self.keys, found)
        self.last_ns[places] = np.maximum(self.last_ns[places], last)
        self.is_new[places] = True
        is_start = times == self.first_ns[places][book]
        is_end = times == self.last_ns[places][book]
        edges = np.flatnonzero(is_start | is_end)
        rows = _HashRows(keys[edges], times[edges], record_hashes(take_batch(batch, edges)))
        self.starts.add(rows.take(is_start[edges]), self.keys, self.first_ns)
        self.ends.add(rows.take(is_end[edges]), self.keys, self.last_ns)

    def _insert(self, found: NDArray[np.int64], first: NDArray[np.int64]) -> None:
        """Add the books that are not known yet, whose first records have these times."""
        is_unknown = ~np.isin(found, self.keys, assume_unique=True)
        if not is_unknown.any():
            return
        keys = found[is_unknown]
        places = np.searchsorted(self.keys, keys)
        self.keys = np.insert(self.keys, places, keys)
        self.first_ns = np.insert(self.first_ns, places, first[is_unknown])
        self.last_ns = np.insert(self.last_ns, places, -1)
        self.is_new = np.insert(self.is_new, places, True)
        self.is_committed = np.insert(self.is_committed, places, False)


class SpanRecorder:
    """Records the spans of a source whose batches it is given in order.

    Args:
        start_ns: only records of this time or later count.
        end_ns: only records of earlier times count.
    """

    def __init__(self, start_ns: int | None = None, end_ns: int | None = None) -> None:
        self._start_ns, self._end_ns = start_ns or 0, _LATEST_NS if end_ns is None else end_ns
        self._days: dict[int, _Day] = {}

    def add(self, batch: MboBatch) -> None:
        """Note the records of a batch."""
        times = trusted_times(batch.ts_recv, batch.flags)
        has_time = (times >= self._start_ns) & (times < self._end_ns)
        has_time &= batch.flags & F_SNAPSHOT == 0
        if not has_time.all():
            rows = np.flatnonzero(has_time)
            batch, times = take_batch(batch, rows), times[rows]
        if len(times) == 0:
            return
        keys, days = record_keys(batch), times // NS_PER_DAY
        if days.min() == days.max():
            self._day(int(days[0])).add(batch, keys, times)
            return
        for day in np.unique(days).tolist():
            rows = np.flatnonzero(days == day)
            self._day(day).add(take_batch(batch, rows), keys[rows], times[rows])

    def spans(self, symbols: SymbolMap, *, by_symbol: bool) -> list[BookSpan]:
        """The spans that are new or longer since the last `commit`.

        Args:
            symbols: the symbols of the source.
            by_symbol: the source numbers its symbols itself, as NDJSON does.
        """
        found = []
        for day, books in self._days.items():
            if not books.is_new.any():
                continue
            starts = books.starts.find(books.keys, books.first_ns)
            ends = books.ends.find(books.keys, books.last_ns)
            for place in np.flatnonzero(books.is_new).tolist():
                key, first_ns = int(books.keys[place]), int(books.first_ns[place])
                instrument_id = key & 0xFFFFFFFF
                symbol = symbols.symbol(instrument_id, first_ns)
                found.append(
                    BookSpan(
                        day,
                        key >> 32,
                        symbol if by_symbol and symbol is not None else str(instrument_id),
                        first_ns,
                        int(books.last_ns[place]),
                        _pack(starts, key),
                        _pack(ends, key),
                        symbol or f"instrument {instrument_id}",
                        bool(books.is_committed[place]),
                    )
                )
        return found

    def commit(self) -> None:
        """Note that the lake has all spans so far."""
        for day in self._days.values():
            day.is_committed |= day.is_new
            day.is_new[:] = False

    def _day(self, day: int) -> _Day:
        return self._days.setdefault(day, _Day())


def _pack(rows: _HashRows, key: int) -> bytes:
    """The hashes of a book, of rows that are sorted by book."""
    first, last = np.searchsorted(rows.keys, [key, key + 1])
    return rows.hashes[first:last].astype("<u8").tobytes()


def share_hash(one: bytes, other: bytes) -> bool:
    """Whether two of `BookSpan.first_hashes` or `last_hashes` have a hash in common."""
    return bool(np.isin(np.frombuffer(one, "<u8"), np.frombuffer(other, "<u8")).any())
