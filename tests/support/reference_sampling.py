"""Depth at the ends of windows, walked record by record.

The rule: books are the reference books; nothing of `batonics.frames` is used.
"""

from __future__ import annotations

from batonics.model.mbo import UNDEF_TIMESTAMP, Flag, MboBatch
from tests.support.reference_books import Key, Record, ReferenceBooks, records
from tests.support.reference_tops import ReferenceTops


class ReferenceSampling:
    """Depth at the ends of windows, record by record, from the reference books.

    Attributes:
        rows: as depth frames hold them, with times in nanoseconds.
    """

    def __init__(self, batch: MboBatch, depth: int, *, every: int = 0, length_ns: int = 0) -> None:
        self.rows: list[tuple[object, ...]] = []
        self._every, self._length_ns = every, length_ns
        self._tops = ReferenceTops(depth)
        self._books: ReferenceBooks = self._tops.books
        self._ended: dict[Key, tuple[int, Record, list[int]]] = {}
        self._last: dict[Key, Record] = {}
        self._now = self._end = 0
        for record in records(batch):
            self._apply(record)
        self._end_window()

    def _apply(self, record: Record) -> None:
        doubtful = record.flags & (Flag.BAD_TS_RECV | Flag.SNAPSHOT) == Flag.BAD_TS_RECV
        if self._length_ns and not doubtful and record.ts_recv < 2**63:
            self._now = max(self._now, record.ts_recv)
            end = -(-self._now // self._length_ns) * self._length_ns
            if end != self._end and self._end:
                self._end_window()
            self._end = end
        key = (record.publisher_id, record.instrument_id)
        known = key in self._last
        before = self._books.events(key) if known else 0
        left = self._tops.levels(key) if known else []
        self._books.apply(record)
        last = bool(record.flags & Flag.LAST)
        if self._books.events(key) - before > last:
            self._count(key, self._last[key], left)
        if last:
            self._count(key, record, self._tops.levels(key))
        self._last[key] = record

    def _count(self, key: Key, record: Record, levels: list[int]) -> None:
        events = self._ended.get(key, (0, record, levels))[0] + 1
        self._ended[key] = events, record, levels
        if events == self._every:
            self._give(key, _time(record.ts_recv))

    def _end_window(self) -> None:
        if self._length_ns:
            for key in sorted(self._ended):
                self._give(key, self._end or None)

    def _give(self, key: Key, label: int | None) -> None:
        events, record, levels = self._ended.pop(key)
        shown = [None if i % 6 < 2 and v == 2**63 - 1 else v for i, v in enumerate(levels)]
        moment = _time(record.ts_event), _time(record.ts_recv), record.sequence
        self.rows.append((label, *moment, *key, events, *shown))


def _time(ts_ns: int) -> int | None:
    return None if ts_ns == UNDEF_TIMESTAMP else ts_ns
