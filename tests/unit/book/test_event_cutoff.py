"""`EventCutoff`: complete events up to a time, however the stream is cut into batches.

The rule: what comes through is compared book by book with a plain search from the front.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batonics.book.event_cutoff import EventCutoff
from batonics.model.mbo import (
    UNDEF_TIMESTAMP,
    Action,
    DayStart,
    Flag,
    concat_batches,
    empty_batch,
    slice_batch,
)
from tests.support.dbn_files import DAY_NS, record
from tests.support.reference_books import Key, Record, records
from tests.support.streams import batch_of, in_time, record_strategy

LAST, SNAPSHOT = int(Flag.LAST), int(Flag.SNAPSHOT)
STREAMS = st.lists(record_strategy(flags=(128, 0, 0, 136, 8, 130)), max_size=40).map(in_time)


def by_book(rows: list[Record]) -> dict[Key, list[Record]]:
    """Each book's records; a book without any is left out."""
    books: dict[Key, list[Record]] = {}
    for row in rows:
        books.setdefault((row.publisher_id, row.instrument_id), []).append(row)
    return books


def let_through(rows: list[Record], at_ns: int, batch_rows: int) -> list[Record]:
    """What comes through in batches of so many rows."""
    until = EventCutoff(at_ns)
    batch = batch_of(rows)
    taken = [empty_batch(0)]
    for start in range(0, len(rows), batch_rows):
        taken += until.take(slice_batch(batch, start, start + batch_rows))
        if until.done:
            break
    taken.append(until.finish())
    return list(records(concat_batches(taken)))


def complete(rows: list[Record], at_ns: int) -> dict[Key, list[Record]]:
    """Each book's records up to its last F_LAST by then, without snapshots."""
    now_ns, books = 0, by_book([])
    in_time_rows = []
    for row in rows:
        if not row.flags & Flag.BAD_TS_RECV and row.ts_recv != UNDEF_TIMESTAMP:
            now_ns = max(now_ns, row.ts_recv)
        if now_ns > at_ns:
            break
        in_time_rows.append(row)
    for key, own in by_book(in_time_rows).items():
        ends = [place for place, row in enumerate(own) if row.flags & LAST]
        if ends:
            books[key] = own[: ends[-1] + 1]
    return books


@given(STREAMS, st.integers(0, 40), st.integers(-1, 1), st.integers(1, 45))
def test_whole_events_come_through_whatever_the_batches(
    rows: list[Record], place: int, off_ns: int, batch_rows: int
) -> None:
    at_ns = (rows[place % len(rows)].ts_recv if rows else DAY_NS) + off_ns
    assert by_book(let_through(rows, at_ns, batch_rows)) == complete(rows, at_ns)


def snapshot(*flags: int, ts_recv: int = DAY_NS) -> list[Record]:
    return [
        record(Action.ADD, order_id=number, flags=flag, ts_recv=ts_recv)
        for number, flag in enumerate(flags)
    ]


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 10])
def test_a_snapshot_without_its_end_is_whole_once_something_else_comes(batch_rows: int) -> None:
    rows = snapshot(SNAPSHOT, SNAPSHOT)
    after = record(Action.ADD, order_id=9, flags=0, ts_recv=DAY_NS + 1)
    assert let_through([*rows, after], DAY_NS + 5, batch_rows) == rows
    # The stream may also end there.
    assert let_through(rows, DAY_NS + 5, batch_rows) == rows


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 10])
def test_a_snapshots_own_times_count_although_they_are_flagged(batch_rows: int) -> None:
    flagged = SNAPSHOT | int(Flag.BAD_TS_RECV)
    rows = snapshot(flagged, flagged | LAST, ts_recv=DAY_NS + 10)
    assert let_through(rows, DAY_NS + 9, batch_rows) == []
    assert let_through(rows, DAY_NS + 10, batch_rows) == rows


def test_time_does_not_run_backwards() -> None:
    late, early = (
        record(Action.ADD, order_id=1, ts_recv=DAY_NS + 10),
        record(Action.ADD, order_id=2, ts_recv=DAY_NS),
    )
    assert let_through([late, early], DAY_NS + 5, 1) == []
    assert let_through([early, late], DAY_NS + 5, 1) == [early]


def test_it_says_when_nothing_more_can_come() -> None:
    until = EventCutoff(DAY_NS)
    now, later = record(Action.ADD), record(Action.ADD, order_id=2, ts_recv=DAY_NS + 1)
    taken = [
        (sum(len(rows.action) for rows in until.take(batch_of([row]))), until.done)
        for row in (now, later, now)
    ]
    assert taken == [(1, False), (0, True), (0, True)]
    assert len(until.finish().action) == 0


def test_a_day_that_starts_in_time_ends_the_snapshot_of_the_day_before() -> None:
    until = EventCutoff(DAY_NS + 5)
    flags = SNAPSHOT | int(Flag.BAD_TS_RECV)
    first = record(Action.ADD, order_id=1, flags=flags)
    second = record(Action.ADD, order_id=2, flags=flags)
    assert until.take(batch_of([first])) == []
    ended, started = until.take(DayStart._make(batch_of([second])))
    assert list(records(ended)) == [first]
    assert isinstance(started, DayStart)
    assert len(started.action) == 0
    assert list(records(until.finish())) == [second]


def test_a_day_that_starts_too_late_does_not_start() -> None:
    until = EventCutoff(DAY_NS + 5)
    late = record(Action.ADD, ts_recv=DAY_NS + 6)
    assert until.take(DayStart._make(batch_of([late]))) == []
    assert until.done
