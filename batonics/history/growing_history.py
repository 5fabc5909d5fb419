"""The books of a stream that goes on: as they are now, and at any moment of its last records.

The rule here: what an answer shows is never better than what is known. While the stream is not
`is_live`, every book of the present is stale; so is a book that was joined within an event, until
that event has ended.

One thread appends. Any number of threads ask meanwhile, as they do of a `FileHistory`. A question
about the present copies its book, which the appending thread waits for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.event_cutoff import CutoffState, EventCutoff
from batonics.book.snapshot import copy_book
from batonics.book.state import BOOK_WORDS, Anomaly, Book, Status
from batonics.history.book_history import (
    CHECKPOINT_DISTANCE,
    END,
    BookTable,
    FileHistory,
    HistoricBooks,
    HistoryFacts,
    Place,
)
from batonics.history.record_file import READ_RECORDS
from batonics.history.record_ring import RECORD_BYTES, RecordRing
from batonics.model.errors import InputError, UsageError
from batonics.model.mbo import (
    F_BAD_TS_RECV,
    F_LAST,
    F_MAYBE_BAD_BOOK,
    MBO_DTYPE,
    NO_CHANNEL,
    RTYPE_MBO,
    UNDEF_PRICE,
    Action,
    Side,
    batch_from_records,
    record_keys,
)

_END_NS = 2**63 - 1
CAPACITY_MIN = 4 * CHECKPOINT_DISTANCE
"""Records that are kept at least."""
HELD_ROWS_MAX = 1 << 20
"""Records that may wait for the end of their event; no feed that sets F_LAST has so many."""
COPIES_MAX = 256
"""Copies of books that are kept for as long as the books do not change."""


class GrowingHistory(FileHistory):
    """The last records of a stream, and its books.

    Args:
        directory: an empty directory for files.
        facts: what is known of the instruments; they may grow.
        engine: the books before the first record; the history goes on with them.
        first: the number of the first record.
        due_ns: when the record before it is due; -1: none has come.
        size: bytes of records on disk; checkpoints take as much again.
        find_feed: returns the state of the feed in lower case, and whether the status of a book is
            that of its records.
    """

    def __init__(  # noqa: PLR0913 - what a stream is joined with
        self,
        directory: Path,
        facts: HistoryFacts,
        engine: BookEngine,
        *,
        first: int,
        due_ns: int,
        size: int,
        find_feed: Callable[[], tuple[str, bool]],
    ) -> None:
        capacity = max(CAPACITY_MIN, size // RECORD_BYTES // READ_RECORDS * READ_RECORDS)
        self._ring = RecordRing(directory, first, capacity, due_ns)
        super().__init__(directory, facts, self._ring)
        self._engine, self._cutoff = engine, EventCutoff(_END_NS)
        engine.backwards_ns_max = None  # records of a book come to it in another order
        self._numbers: dict[int, int] = {}  # of books by key
        self._find_feed = find_feed
        self._now = Lock()  # held while the books of the present change or are copied
        self._copies: OrderedDict[int, tuple[tuple[int, bool], BookEngine]] = OrderedDict()
        self._next_checkpoint = 0
        self._latest_ns = 0
        self._save_checkpoint()

    @property
    def feed(self) -> str | None:
        """The state of the feed."""
        return self._find_feed()[0]

    @property
    def is_live(self) -> bool:
        """Whether the status of a book is that of its records."""
        return self._find_feed()[1]

    # ------------------------------------------------------------------ growing

    def append(self, records: NDArray[np.void]) -> None:
        """Take the next records, rows of MBO_DTYPE.

        Raises:
            OutputError: the disk does not take them.
            InputError: too many of them wait for the end of their event.
        """
        piece = min(READ_RECORDS, self._ring.capacity // 8)  # less than between two checkpoints
        for first in range(0, len(records), piece):
            self._append(records[first : first + piece])

    def mark_gap(self) -> None:
        """Take note that records are missing: every book is stale until its R or snapshot.

        In the records a gap is a record N with F_MAYBE_BAD_BOOK for each book (rule 17).
        """
        keys = [*self._engine.keys(), *self._held_keys()]
        seen = self._engine.last_seen()
        rows = np.zeros(len(keys), MBO_DTYPE)
        rows["length"], rows["rtype"] = MBO_DTYPE.itemsize // 4, RTYPE_MBO
        for place, (publisher_id, instrument_id) in enumerate(keys):
            rows[place]["publisher_id"], rows[place]["instrument_id"] = publisher_id, instrument_id
        known = rows[: len(seen)]
        for column, name in enumerate(("ts_event", "ts_recv", "sequence")):
            known[name] = seen[:, column]
        rows["action"], rows["side"], rows["price"] = Action.NONE, Side.NONE, UNDEF_PRICE
        rows["channel_id"] = NO_CHANNEL
        rows["flags"] = F_MAYBE_BAD_BOOK | F_LAST | F_BAD_TS_RECV
        self.append(rows)

    def close(self) -> None:
        """Close the files."""
        self._ring.close()

    def _append(self, records: NDArray[np.void]) -> None:
        while self._ring.free < len(records):
            self._drop_oldest()
        late = len(self._late_keys)
        batch, before = batch_from_records(records), self._latest_ns
        self._latest_ns = self._note_late(batch, before)
        passed = self._cutoff.take(batch)
        if len(self._cutoff.state.held.action) > HELD_ROWS_MAX:
            raise InputError(f"{HELD_ROWS_MAX} records wait for the end of their event (F_LAST)")
        with self._now:
            self._ring.append_records(records, batch)
            for rows in passed:
                self._engine.fold(rows)
            if late_keys := self._late_keys[late:]:
                keys = np.array(late_keys, np.int64)
                self._engine.count_anomalies(Anomaly.TS_RECV_BACKWARDS, keys)
        if self._ring.count >= self._next_checkpoint:
            self._save_checkpoint()

    def _save_checkpoint(self) -> None:
        written = self._save(self._engine, self._cutoff.state)
        distance = max(CHECKPOINT_DISTANCE, written // MBO_DTYPE.itemsize)
        # At least some checkpoints are within what is kept.
        distance = min(distance, self._ring.capacity // 4)
        self._next_checkpoint = self._ring.count + distance

    def _drop_oldest(self) -> None:
        """Drop the records before the second checkpoint, and the first one."""
        dropped = self._checkpoints[0]
        self._ring.drop(self._checkpoints[1].records)
        self._checkpoints = self._checkpoints[1:]
        dropped.path.unlink()
        gone = int(np.searchsorted(self._late_numbers, self._ring.first))
        self._late_numbers, self._late_keys = self._late_numbers[gone:], self._late_keys[gone:]

    def _held_keys(self) -> list[tuple[int, int]]:
        """The keys of books of which only the beginning of an event has come."""
        known = set(self._engine.keys())
        held = np.unique(record_keys(self._cutoff.state.held)).tolist()
        keys = [(key >> 32, key & 0xFFFF_FFFF) for key in held]
        return [key for key in keys if key not in known]

    # ------------------------------------------------------------------ the past

    def at_place(self, place: Place, key: int | None = None) -> HistoricBooks:
        """As of a `FileHistory`; a book that was joined within its event is stale until its end."""
        books = super().at_place(place, key)
        is_open = books.engine.events_open()
        if is_open.any():
            _make_stale(books.engine, is_open)
        return books

    def _late_keys_until(self, count: int, first: int = 0) -> NDArray[np.int64]:
        """Those that the checkpoint before does not count."""
        found = self._checkpoint_before(count)
        return super()._late_keys_until(count, first if found is None else found.records)

    def _load(self, count: int) -> tuple[int, BookEngine, CutoffState]:
        try:
            number, engine, state = super()._load(count)
        except FileNotFoundError:
            raise UsageError(f"{self._describe_kept()}: the moment is before them") from None
        engine.backwards_ns_max = None
        return number, engine, state

    # ------------------------------------------------------------------ the present

    def end_books(self, key: int | None = None) -> HistoricBooks:
        """The book of a key as it is now, after its last complete event: a copy.

        Args:
            key: the key; None is an error, for books of the present are copied one by one.
        """
        if key is None:
            raise ValueError("which book?")
        with self._now:
            engine, count = self._copy(key), self.records.count
            as_of = self.place(END).as_of
        return HistoricBooks(engine, self._describe(engine, as_of), count)

    def book_table(self) -> BookTable:
        """All books as they are now."""
        with self._now:
            table = BookTable.of_engine(self._engine)
        if not self.is_live:
            table = table._replace(statuses=[Status.STALE] * len(table.keys))
        return table

    def book_keys(self, first: int = 0) -> list[tuple[int, int]]:
        """The keys of the books in the order of their first events, from the number `first` on."""
        return self._engine.keys(first)

    def mark_unsure(self, engine: BookEngine) -> None:
        """Make the books of an engine stale that are no better known than that."""
        is_unsure = engine.events_open()
        if not self.is_live:
            is_unsure = np.ones(engine.book_count, np.bool_)
        if is_unsure.any():
            _make_stale(engine, is_unsure)

    def _copy(self, key: int) -> BookEngine:
        """An engine of one book as it is now, or of none if no event of it has ended.

        A copy is kept for as long as the book does not change.
        """
        number = self._find_book(key)
        if number is None:
            return BookEngine()
        events = int(self._engine.state.books[number * BOOK_WORDS + Book.EVENTS])
        version = events, self.is_live
        kept_version, engine = self._copies.pop(key, (None, None))
        if engine is None or kept_version != version:
            engine = copy_book(self._engine, number)
            self.mark_unsure(engine)
        self._copies[key] = version, engine
        while len(self._copies) > COPIES_MAX:
            self._copies.popitem(last=False)
        return engine

    def _find_book(self, key: int) -> int | None:
        for number, (publisher, instrument) in enumerate(
            self._engine.keys(len(self._numbers)), len(self._numbers)
        ):
            self._numbers[publisher << 32 | instrument] = number
        return self._numbers.get(key)


def _make_stale(engine: BookEngine, books: NDArray[np.bool_]) -> None:
    words = engine.state.books[: engine.book_count * BOOK_WORDS].reshape(-1, BOOK_WORDS)
    words[books, Book.STATUS] = Status.STALE
