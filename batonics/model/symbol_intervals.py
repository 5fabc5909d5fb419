"""Intervals of instruments, such as those of names, for whole columns at once.

The rule here: a row gets what its `IntervalMap` has for its instrument at its time (rule 2). A
table holds the same intervals, sorted for lookups of whole columns.
"""

from __future__ import annotations

from typing import Generic

import numpy as np
from numpy.typing import NDArray

from batonics.model.symbols import IntervalMap, TInterval
from batonics.model.times import NS_PER_DAY


class IntervalTable(Generic[TInterval]):
    """A copy of an `IntervalMap`, sorted for lookups of whole columns.

    Args:
        known: the intervals. Later additions to it are not seen.

    Attributes:
        values: by entry, the interval that holds; None where none does.
        changes: the instrument and the time from which each entry holds but entry 0, which is the
            time before an instrument's first interval.
    """

    def __init__(self, known: IntervalMap[TInterval]) -> None:
        intervals = known.intervals()
        edges = {(i.instrument_id, edge) for i in intervals for edge in (i.start_ns, i.end_ns)}
        # Between two edges of an instrument one interval holds, or none.
        self.changes = changes = sorted(edges)
        self._ids = np.unique(np.array([instrument_id for instrument_id, _ in changes], np.uint32))
        self._edges_ns = np.unique(np.array([edge for _, edge in changes], np.uint64))
        self._changes = self._places(
            np.array([instrument_id for instrument_id, _ in changes], np.uint32),
            np.array([edge for _, edge in changes], np.uint64),
        )
        self.values: list[TInterval | None] = [None, *(known.at(*change) for change in changes)]

    def entries(
        self, instrument_id: NDArray[np.uint32], ts_ns: NDArray[np.uint64]
    ) -> NDArray[np.intp]:
        """The entry in `values` of each row's instrument at its time."""
        if len(ts_ns) > 1 and self._has_one_entry(instrument_id, ts_ns):
            return self.entries(instrument_id[:1], ts_ns[:1]).repeat(len(ts_ns))
        entry = np.searchsorted(self._changes, self._places(instrument_id, ts_ns), side="right")
        at = np.searchsorted(self._ids, instrument_id)
        # The preceding entry belongs to another instrument if its own has none yet.
        own = np.searchsorted(self._changes, at.astype(np.uint64) << np.uint64(32))
        known = (at < len(self._ids)) & (entry > own)
        known &= self._ids.take(at, mode="clip") == instrument_id if len(self._ids) else False
        return np.where(known, entry, 0)

    def find_common_edges(self, ts_ns: NDArray[np.uint64]) -> int | None:
        """How many edges come up to all these times, which are one or more; None: they differ."""
        ends = np.array([ts_ns.min(), ts_ns.max()])
        first, last = np.searchsorted(self._edges_ns, ends, side="right").tolist()
        return first if first == last else None

    def entries_behind(self, edges: int) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
        """Every instrument of the table, and its entry once this many edges have come."""
        if edges == 0:
            return self._ids[:0], np.empty(0, np.intp)
        return self._ids, self.entries(self._ids, self._edges_ns[edges - 1].repeat(len(self._ids)))

    def _has_one_entry(self, instrument_id: NDArray[np.uint32], ts_ns: NDArray[np.uint64]) -> bool:
        """Whether all rows have one instrument and no edge lies between their times."""
        if instrument_id.min() != instrument_id.max():
            return False
        return self.find_common_edges(ts_ns) is not None

    def _places(
        self, instrument_id: NDArray[np.uint32], ts_ns: NDArray[np.uint64]
    ) -> NDArray[np.uint64]:
        """Ranks of instrument and time in one word. A time's rank counts the edges up to it."""
        at = np.searchsorted(self._ids, instrument_id).astype(np.uint64)
        edge = np.searchsorted(self._edges_ns, ts_ns, side="right").astype(np.uint64)
        return at << np.uint64(32) | edge


class GrowingTable(Generic[TInterval]):
    """A table of an `IntervalMap` that grows while a stream is read.

    The times of a stream rise. So a new table has no intervals that ended a day before the times
    that it is asked for, and costs what is new and what still holds, however long the stream is.

    Args:
        known: the intervals.
    """

    def __init__(self, known: IntervalMap[TInterval]) -> None:
        self._known = known
        self._begin(0)
        self._table = IntervalTable(known)
        self._count = len(known)

    def _begin(self, from_ns: int) -> None:
        self._from_ns = from_ns
        self._recent: list[TInterval] = []
        self._recent_count = 0

    def at_times(self, ts_ns: NDArray[np.uint64]) -> IntervalTable[TInterval]:
        """The table for these times, the same object until more is known; 0 is always in it."""
        times = ts_ns[ts_ns > 0] if len(ts_ns) and not ts_ns.min() else ts_ns
        first_ns = int(times.min()) if len(times) else self._from_ns
        is_earlier = first_ns < self._from_ns
        if not is_earlier and self._count == len(self._known):
            return self._table
        if is_earlier:
            self._begin(first_ns)
        self._count = len(self._known)
        self._from_ns = max(0, first_ns - NS_PER_DAY)
        candidates = [*self._recent, *self._known.added_since(self._recent_count)]
        self._recent_count = self._count
        self._recent = [i for i in candidates if i.end_ns > self._from_ns or i.start_ns == 0]
        recent = type(self._known)()
        for interval in self._recent:
            recent.add(interval)
        self._table = IntervalTable(recent)
        return self._table


class IntervalFilter:
    """Selects the rows of instruments that fall into intervals.

    Args:
        known: the intervals. Later additions to it are not seen.
    """

    def __init__(self, known: IntervalMap[TInterval]) -> None:
        self._table = IntervalTable(known)
        self._holds = np.array([value is not None for value in self._table.values])
        self._ids_behind: dict[int, NDArray[np.uint32]] = {}

    def find_rows(
        self, instrument_id: NDArray[np.uint32], ts_ns: NDArray[np.uint64]
    ) -> NDArray[np.bool_]:
        """(rows,) Whether an interval of the row's instrument holds at its time."""
        if len(ts_ns) == 0:
            return np.zeros(0, np.bool_)
        edges = self._table.find_common_edges(ts_ns)
        if edges is None:
            return self._holds[self._table.entries(instrument_id, ts_ns)]
        # The usual batch: no interval begins or ends in it, so instruments alone decide.
        if edges not in self._ids_behind:
            ids, entries = self._table.entries_behind(edges)
            self._ids_behind[edges] = ids[self._holds[entries]]
        ids = self._ids_behind[edges]
        if len(ids) == 1:
            only: NDArray[np.bool_] = instrument_id == ids[0]
            return only
        return np.isin(instrument_id, ids)
