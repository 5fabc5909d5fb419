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

HASHES_MAX = 1 << 16
"""Hashes of one time that are kept, the least: of equal records two sources keep the same ones."""


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


class _DayEdge(NamedTuple):
    """The first or the last time of a book on a day, and the hashes of its records then."""

    ns: int
    hashes: set[int]


class SpanRecorder:
    """Records the spans of a source whose batches it is given in order."""

    def __init__(self) -> None:
        self._edges: dict[tuple[int, int], tuple[_DayEdge, _DayEdge]] = {}
        """By day and key of a book: the first and the last records."""
        self._new: dict[tuple[int, int], None] = {}
        self._committed: set[tuple[int, int]] = set()

    def add(self, batch: MboBatch) -> None:
        """Note the records of a batch."""
        times = trusted_times(batch.ts_recv, batch.flags)
        rows = np.flatnonzero((times >= 0) & (batch.flags & F_SNAPSHOT == 0))
        times, keys = times[rows], record_keys(batch)[rows]
        if len(times) == 0:
            return
        days = times // NS_PER_DAY
        for day in np.unique(days).tolist():
            of_day = slice(None) if days[0] == day == days[-1] else days == day
            self._add_day(day, batch, rows[of_day], keys[of_day], times[of_day])

    def _add_day(
        self,
        day: int,
        batch: MboBatch,
        rows: NDArray[np.intp],
        keys: NDArray[np.int64],
        times: NDArray[np.int64],
    ) -> None:
        """Note records of a day: rows of a batch, with their keys and times."""
        found, book = np.unique(keys, return_inverse=True)
        first, last = np.empty(len(found), np.int64), np.zeros(len(found), np.int64)
        # Of several values for one place numpy keeps the last.
        first[book[::-1]] = times[::-1]
        np.maximum.at(last, book, times)
        starts: list[_DayEdge] = []
        ends: list[_DayEdge] = []
        for key, first_ns, last_ns in zip(
            found.tolist(), first.tolist(), last.tolist(), strict=True
        ):
            start, end = self._edges.get(
                (day, key), (_DayEdge(first_ns, set()), _DayEdge(-1, set()))
            )
            if last_ns > end.ns:
                end = _DayEdge(last_ns, set())
            self._edges[day, key] = start, end
            self._new[day, key] = None
            starts.append(start)
            ends.append(end)
        is_start = times == np.array([edge.ns for edge in starts])[book]
        is_end = times == np.array([edge.ns for edge in ends])[book]
        edges = np.flatnonzero(is_start | is_end)
        hashes = record_hashes(take_batch(batch, rows[edges])).tolist()
        columns = (column[edges].tolist() for column in (book, is_start, is_end))
        for record, at, in_start, in_end in zip(hashes, *columns, strict=True):
            if in_start:
                starts[at].hashes.add(record)
            if in_end:
                ends[at].hashes.add(record)
        for edge in (*starts, *ends):
            if len(edge.hashes) > 2 * HASHES_MAX:
                edge.hashes.intersection_update(sorted(edge.hashes)[:HASHES_MAX])

    def spans(self, symbols: SymbolMap, *, by_symbol: bool) -> list[BookSpan]:
        """The spans that are new or longer since the last `commit`.

        Args:
            symbols: the symbols of the source.
            by_symbol: the source numbers its symbols itself, as NDJSON does.
        """
        found = []
        for day, key in self._new:
            start, end = self._edges[day, key]
            instrument_id = key & 0xFFFFFFFF
            symbol = symbols.symbol(instrument_id, start.ns)
            found.append(
                BookSpan(
                    day,
                    key >> 32,
                    symbol if by_symbol and symbol is not None else str(instrument_id),
                    start.ns,
                    end.ns,
                    _pack(start.hashes),
                    _pack(end.hashes),
                    symbol or f"instrument {instrument_id}",
                    (day, key) in self._committed,
                )
            )
        return found

    def commit(self) -> None:
        """Note that the lake has all spans so far."""
        self._committed.update(self._new)
        self._new.clear()


def _pack(hashes: set[int]) -> bytes:
    return np.array(sorted(hashes)[:HASHES_MAX], "<u8").tobytes()


def share_hash(one: bytes, other: bytes) -> bool:
    """Whether two of `BookSpan.first_hashes` or `last_hashes` have a hash in common."""
    return bool(np.isin(np.frombuffer(one, "<u8"), np.frombuffer(other, "<u8")).any())
