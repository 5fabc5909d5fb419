"""The changes of books' statuses against the reference books, record by record."""

from __future__ import annotations

from batonics.book.state import Status
from batonics.frames.scan.book_changes import BookStatusTracker
from batonics.model.book_changes import BookChange
from batonics.model.mbo import UNDEF_TIMESTAMP, DayStart, slice_batch
from tests.support.compare_books import pieces
from tests.support.reference_books import Key, Record, ReferenceBooks, records
from tests.support.stream_profiles import PROFILES

DAY_ROWS = 250


def check_statuses(profile: str, batch_rows: int) -> None:
    """Follow a stream of several days in batches; every second day begins with an empty batch."""
    batch = PROFILES[profile](31, 1_000)
    tracker, reference = BookStatusTracker(), _ReferenceChanges()
    for number, day in enumerate(pieces(batch, DAY_ROWS)):
        if number:
            reference.start_day(int(day.ts_recv[0]))
        if number % 2:
            tracker.note(DayStart._make(slice_batch(day, 0, 0)))
        for at, piece in enumerate(pieces(day, batch_rows)):
            begins_day = number > 0 and number % 2 == 0 and at == 0
            tracker.note(DayStart._make(piece) if begins_day else piece)
        for record in records(day):
            reference.apply(record)
    assert tracker.changes.all() == reference.changes, f"{profile}: statuses"


class _ReferenceChanges:
    """The changes that the reference books come to."""

    def __init__(self) -> None:
        self.changes: list[BookChange] = []
        self._books = ReferenceBooks()
        self._last: dict[Key, BookChange] = {}

    def start_day(self, ts_recv: int) -> None:
        self._books.mark_new_day()
        for key in self._books.books():
            self._note(key, ts_recv)

    def apply(self, record: Record) -> None:
        key = (record.publisher_id, record.instrument_id)
        if key not in self._last:
            self._add(BookChange(0, *key, Status.COLD))
        self._books.apply(record)
        self._note(key, record.ts_recv)

    def _note(self, key: Key, ts_recv: int) -> None:
        last, status = self._last[key], Status[self._books.status(key).upper()]
        if status != last.value:
            time_ns = 0 if ts_recv == UNDEF_TIMESTAMP else ts_recv
            self._add(BookChange(max(time_ns, last.start_ns), *key, status))

    def _add(self, change: BookChange) -> None:
        self._last[change[1:3]] = change
        self.changes.append(change)
