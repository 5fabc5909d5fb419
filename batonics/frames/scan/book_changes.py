"""What holds for the books of whole columns of rows, from changes of it.

The rule here: a row gets the value of the last change of its book at or before the row's time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import BOOK_WORDS, read_only
from batonics.book.status_kernels import STATUS_CHANGE_WORDS, StatusEvents, follow_statuses
from batonics.book.table_kernels import rebuild_index
from batonics.model.book_changes import BookChange, BookChanges
from batonics.model.hash_salt import hash_salt
from batonics.model.mbo import Action, DayStart, Flag, MboBatch, record_keys, split_batches

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
    """Follows how far each book of a stream may be trusted (rules 11, 14, 17, 21), by time.

    It tells the same as the engine's status, without a fold.

    Attributes:
        changes: the changes of the books' `Status` so far.
    """

    def __init__(self) -> None:
        self.changes = BookChanges()
        self._books, self._index = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._salt = hash_salt()
        self._count = 0
        self._day_starts = False

    def watch(self, batches: Iterator[MboBatch]) -> Iterator[MboBatch]:
        """The batches, each noted before it is given."""
        for batch in batches:
            self.note(batch)
            yield batch

    def note(self, batch: MboBatch) -> None:
        """Note the records of the next batch."""
        self._day_starts |= isinstance(batch, DayStart)
        for piece in split_batches([batch], _ROWS):
            self._note(piece)

    def _note(self, batch: MboBatch) -> None:
        rows = len(batch.action)
        self._make_room(rows)
        columns = [read_only(getattr(batch, name)) for name in StatusEvents._fields[1:]]
        changes = np.empty((self._count + 2 * rows, STATUS_CHANGE_WORDS), np.int64)
        day_starts, self._day_starts = self._day_starts, False
        self._count, found = follow_statuses(
            StatusEvents(read_only(batch.ts_recv.view(np.int64)), *columns),
            day_starts,
            self._books,
            self._index,
            self._salt,
            self._count,
            changes.reshape(-1),
        )
        for start_ns, key, status in changes[:found].tolist():
            self.changes.add(BookChange(start_ns, key >> 32, key & 0xFFFFFFFF, status))

    def _make_room(self, rows: int) -> None:
        """Make room for as many new books as there are rows."""
        if len(self._books) >= (self._count + rows) * BOOK_WORDS:
            return
        # Zeros take no memory before they are written.
        room = 2 * (self._count + rows)
        books = np.zeros(room * BOOK_WORDS, np.int64)
        known = self._count * BOOK_WORDS
        books[:known] = self._books[:known]
        self._books, self._index = books, np.zeros(2 << (2 * room).bit_length(), np.int64)
        rebuild_index(self._index, self._salt, books, self._count)


_ROWS = 1 << 15
"""Records followed at once: there is room for a new book by each."""


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
