"""What holds for the books of rows: looked up by time, and followed over a stream."""

from __future__ import annotations

import random

import numpy as np
import pytest

from batonics.book.state import Status
from batonics.frames.scan.book_changes import (
    NO_END,
    NO_VALUE,
    BookStatusTracker,
    ChangeTable,
    ColdStartCounter,
)
from batonics.model.book_changes import BookChange, BookChanges
from batonics.model.mbo import Action, DayStart, Flag, split_batches
from tests.support.dbn_files import DAY_NS, record
from tests.support.status_checks import check_statuses
from tests.support.stream_profiles import PROFILES
from tests.support.streams import batch_of


@pytest.mark.parametrize("seed", range(20))
def test_a_row_has_the_last_change_of_its_book(seed: int) -> None:
    rng = random.Random(seed)
    changes = BookChanges()
    table = ChangeTable(changes)
    for _ in range(3):  # the table follows changes that are added later
        for _ in range(rng.randrange(8)):
            book = rng.randrange(1, 3), rng.choice([1, 2, 2**32 - 1])
            changes.add(BookChange(rng.randrange(10), *book, rng.randrange(5)))
        rows = [
            (rng.randrange(1, 4), rng.choice([1, 2, 2**32 - 1]), rng.randrange(12))
            for _ in range(50)
        ]
        keys = np.array([publisher << 32 | instrument for publisher, instrument, _ in rows])
        found = table.find(keys, np.array([ts for *_, ts in rows], np.uint64))
        for at, (publisher, instrument, ts) in enumerate(rows):
            own = [c for c in changes.all() if c[1:3] == (publisher, instrument)]
            before = sorted((c for c in own if c.start_ns <= ts), key=lambda c: c.start_ns)
            after = [c.start_ns for c in own if c.start_ns > ts]
            assert found.value[at] == (before[-1].value if before else NO_VALUE)
            assert found.end_ns[at] == min(after, default=NO_END)


@pytest.mark.parametrize("batch_rows", [1, 7, 64, 1_000])
@pytest.mark.parametrize("profile", PROFILES)
def test_statuses_are_those_of_the_books_over_days(profile: str, batch_rows: int) -> None:
    check_statuses(profile, batch_rows)


def cold_books(tracker: BookStatusTracker) -> int:
    """How many books are cold by their last change."""
    latest = {change[1:3]: change.value for change in tracker.changes.all()}
    return sum(value == Status.COLD for value in latest.values())


def test_a_day_start_makes_books_cold_again() -> None:
    tracker = BookStatusTracker()
    clear = record(Action.CLEAR, flags=Flag.LAST)
    tracker.note(batch_of([clear, record(Action.ADD, instrument_id=2)]))
    assert cold_books(tracker) == 1
    tracker.note(DayStart._make(batch_of([record(Action.ADD, ts_recv=DAY_NS + 5)])))
    assert cold_books(tracker) == 2
    assert [change[0] for change in tracker.changes.all()] == [0, DAY_NS, 0, DAY_NS + 5]
    assert tracker.changes.all()[-1].value == Status.COLD


@pytest.mark.parametrize("batch_rows", [1, 64, 4_000])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_book_is_cold_if_its_first_record_opens_nothing(profile: str, batch_rows: int) -> None:
    batch = PROFILES[profile](31, 300 if batch_rows == 1 else 4_000)
    counter = ColdStartCounter()
    for piece in split_batches([batch], batch_rows):
        counter.note(piece)
    first: dict[tuple[int, int], bool] = {}
    for publisher, instrument, action, flags in zip(
        batch.publisher_id, batch.instrument_id, batch.action, batch.flags, strict=True
    ):
        opens = action == Action.CLEAR or (action == Action.ADD and flags & Flag.SNAPSHOT)
        first.setdefault((int(publisher), int(instrument)), not opens)
    assert (counter.cold_books, counter.book_count) == (sum(first.values()), len(first))


def test_a_book_that_is_cold_on_one_day_counts_once() -> None:
    counter = ColdStartCounter()
    clear, add = record(Action.CLEAR, flags=Flag.LAST), record(Action.ADD)
    snapshot = record(Action.ADD, instrument_id=2, flags=Flag.SNAPSHOT)
    counter.note(batch_of([clear, add, snapshot]))
    assert (counter.cold_books, counter.book_count) == (0, 2)
    for day in (1, 2):
        counter.note(DayStart._make(batch_of([record(Action.ADD, ts_recv=day * DAY_NS)])))
    assert (counter.cold_books, counter.book_count) == (1, 2)
