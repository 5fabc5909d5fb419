"""What holds for the books of whole columns of rows, from changes of it.

The rule here: a row gets the value of the last change of its book at or before the row's time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import Status
from batonics.model.book_changes import BookChange, BookChanges
from batonics.model.mbo import UNDEF_TIMESTAMP, Action, DayStart, Flag, MboBatch, record_keys

NO_VALUE = -1
"""The value of a row before the first change of its book."""
NO_END = np.iinfo(np.int64).max
"""The end of a value that no later change ends."""


class HeldValues(NamedTuple):
    """What holds at each of some rows.

    Attributes:
        value: the value, or `NO_VALUE`.
        end_ns: the time of the book's next change, or `NO_END`.
    """

    value: NDArray[np.int64]
    end_ns: NDArray[np.int64]


class ChangeTable:
    """Looks up the values of rows. It follows changes that are added later.

    Args:
        changes: the changes of books.
    """

    def __init__(self, changes: BookChanges) -> None:
        self._changes = changes
        self._count = -1

    def find(self, keys: NDArray[np.int64], ts_ns: NDArray[np.uint64]) -> HeldValues:
        """The value of each row, by the key of its book (`record_keys`) and its time."""
        if len(self._changes) != self._count:
            self._update()
        if len(self._books) == 0:
            none = np.full(len(keys), NO_VALUE, np.int64), np.full(len(keys), NO_END, np.int64)
            return HeldValues(*none)
        places = self._places(keys, ts_ns)
        at = np.searchsorted(self._sorted_places, places, side="right")
        book = np.searchsorted(self._books, keys)
        is_known = self._books.take(book, mode="clip") == keys
        has_value = is_known & (at > self._first_of.take(book, mode="clip"))
        has_next = is_known & (at < self._end_of.take(book, mode="clip"))
        value = np.where(has_value, self._values.take(at - 1, mode="clip"), NO_VALUE)
        end_ns = np.where(has_next, self._starts_ns.take(at, mode="clip"), NO_END)
        return HeldValues(value, end_ns)

    def _update(self) -> None:
        """Sort the changes by book and time; those of one book and time stay in order."""
        changes = self._changes.all()
        self._count = len(changes)
        keys = np.array([c.publisher_id << 32 | c.instrument_id for c in changes], np.int64)
        starts_ns = np.array([min(c.start_ns, NO_END) for c in changes], np.int64)
        order = np.lexsort((starts_ns, keys))
        keys, self._starts_ns = keys[order], starts_ns[order]
        self._values = np.array([c.value for c in changes], np.int64)[order]
        self._books, self._first_of, counts = np.unique(keys, return_index=True, return_counts=True)
        self._end_of = self._first_of + counts
        self._edges_ns = np.unique(self._starts_ns.view(np.uint64))
        self._sorted_places = self._places(keys, self._starts_ns.view(np.uint64))

    def _places(self, keys: NDArray[np.int64], ts_ns: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Ranks of book and time in one word. A time's rank counts the changes up to it."""
        book = np.searchsorted(self._books, keys)
        edge = np.searchsorted(self._edges_ns, ts_ns, side="right")
        places: NDArray[np.int64] = book << 32 | edge
        return places


class BookStatusTracker:
    """Follows how far each book of a stream may be trusted (rules 14, 17, 21), by time.

    It tells the same as the engine's status, without a fold.

    Attributes:
        changes: the changes of the books' `Status` so far.
    """

    def __init__(self) -> None:
        self.changes = BookChanges()
        self._status: dict[int, Status] = {}
        self._since_ns: dict[int, int] = {}
        self._open: set[int] = set()
        self._seen = SeenKeys()

    def watch(self, batches: Iterator[MboBatch]) -> Iterator[MboBatch]:
        """The batches, each noted before it is given."""
        for batch in batches:
            self.note(batch)
            yield batch

    def note(self, batch: MboBatch) -> None:
        """Note the records of the next batch."""
        if len(batch.action) == 0:
            return
        if isinstance(batch, DayStart):
            for key in self._status:
                self._set(key, int(batch.ts_recv[0]), Status.COLD)
        keys = record_keys(batch)
        for key, _ in self._seen.find_new(keys):
            self._set(key, 0, Status.COLD)
        kinds = batch.flags & (Flag.SNAPSHOT | Flag.MAYBE_BAD_BOOK | Flag.LAST)
        kinds[batch.action == Action.CLEAR] |= _IS_CLEAR
        decides = kinds & (_IS_CLEAR | Flag.SNAPSHOT | Flag.MAYBE_BAD_BOOK) != 0
        self._mark_snapshot_ends(keys, kinds & Flag.SNAPSHOT != 0, decides)
        rows = np.flatnonzero(decides)
        if len(rows) == 0:
            return
        # Of a run of records of one book and kind, only the first changes anything.
        same = (keys[rows][1:] == keys[rows][:-1]) & (kinds[rows][1:] == kinds[rows][:-1])
        for row in rows[np.append(True, ~same)].tolist():
            self._note_record(
                int(keys[row]), int(kinds[row]), int(batch.action[row]), int(batch.ts_recv[row])
            )

    def _mark_snapshot_ends(
        self,
        keys: NDArray[np.int64],
        is_snapshot: NDArray[np.bool_],
        decides: NDArray[np.bool_],
    ) -> None:
        """Mark the records that end a snapshot without F_LAST: the first ones of no snapshot."""
        if not self._open and not is_snapshot.any():
            return
        order = np.argsort(keys, kind="stable")
        follows = np.append(False, keys[order][1:] == keys[order][:-1])
        after_snapshot = np.append(False, is_snapshot[order][:-1]) | ~follows
        decides[order[after_snapshot & ~is_snapshot[order]]] = True

    def _note_record(self, key: int, kind: int, action: int, ts_recv: int) -> None:
        is_snapshot, opens = bool(kind & Flag.SNAPSHOT), bool(kind & _IS_CLEAR)
        if is_snapshot and key not in self._open and action in (Action.ADD, Action.CLEAR):
            opens = True
            self._open.add(key)
        if not is_snapshot or kind & Flag.LAST:
            self._open.discard(key)
        if kind & Flag.MAYBE_BAD_BOOK:
            self._set(key, ts_recv, Status.STALE)
        elif opens:
            self._set(key, ts_recv, Status.SYNCED)

    def _set(self, key: int, ts_recv: int, status: Status) -> None:
        if self._status.get(key) is status:
            return
        self._status[key] = status
        # A time that is undefined or runs backwards orders nothing.
        start_ns = max(0 if ts_recv == UNDEF_TIMESTAMP else ts_recv, self._since_ns.get(key, 0))
        self._since_ns[key] = start_ns
        self.changes.add(BookChange(start_ns, key >> 32, key & 0xFFFFFFFF, status))


class ColdStartCounter:
    """Counts the books of a stream that begin mid-session: neither an R nor a snapshot is first.

    It looks at the first record of each book only, and of each day where a day starts anew.
    """

    def __init__(self) -> None:
        self._is_cold: dict[int, bool] = {}
        self._seen = SeenKeys()

    def note(self, batch: MboBatch) -> None:
        """Note the records of the next batch."""
        if isinstance(batch, DayStart):
            self._seen = SeenKeys()
        for key, row in self._seen.find_new(record_keys(batch)):
            is_cold = not opens_book(int(batch.action[row]), int(batch.flags[row]))
            self._is_cold[key] = self._is_cold.get(key, False) or is_cold

    @property
    def cold_books(self) -> int:
        """The number of books that began mid-session, on any day."""
        return sum(self._is_cold.values())

    @property
    def book_count(self) -> int:
        """The number of books."""
        return len(self._is_cold)


class SeenKeys:
    """The keys that the rows of a stream have had so far; most are found without a search."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._slots = np.full(_SEEN_SLOTS, -1, np.int64)

    def find_new(self, keys: NDArray[np.int64]) -> list[tuple[int, int]]:
        """The keys that have their first row among these: the key and the row of each."""
        slots = (keys ^ keys >> 32) & (_SEEN_SLOTS - 1)
        unseen = np.flatnonzero(self._slots[slots] != keys)
        if len(unseen) == 0:
            return []
        self._slots[slots[unseen]] = keys[unseen]
        some, first = np.unique(keys[unseen], return_index=True)
        rows = zip(some.tolist(), unseen[first].tolist(), strict=True)
        found = [(key, row) for key, row in rows if key not in self._known]
        self._known.update(key for key, _ in found)
        return found


def opens_book(action: int, flags: int) -> bool:
    """Whether a book's first record says all that is in it: an R, or the start of a snapshot."""
    return action == Action.CLEAR or (action == Action.ADD and bool(flags & Flag.SNAPSHOT))


_SEEN_SLOTS = 1 << 16
"""Slots that say which book was seen last."""
_IS_CLEAR = 1
"""A bit that no flag has, for R."""
