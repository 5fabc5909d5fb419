"""The books of a history that one reader follows, by a clock of its own.

The rule here: everything that a reader of a history does with the fold is in this file and
`book_cursor`. All books are at one place: the number of records that have passed. A reader costs
the state of its books and one chunk of records, however long the history is.

    checkpoint before the place ─▶ books at the place ─▶ chunk of records ─▶ events, in order
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.snapshot import copy_book
from batonics.history.book_cursor import NO_ROWS, BookCursor, BookEvent, NumberedRows
from batonics.history.book_history import FileHistory, Moment
from batonics.history.playback_clock import PlaybackClock
from batonics.model.errors import UsageError
from batonics.model.mbo import F_LAST, DayStart, MboBatch, due_times, record_keys, take_batch

CHUNK_RECORDS = 1 << 12
"""Records that are read at once."""
LAG_MAX_S = 1.0
"""How far the records may be behind the clock before it waits for them, in seconds."""
_NO_NUMBERS = np.empty(0, np.int64)


class _Chunk(NamedTuple):
    """Records from the place on.

    Attributes:
        first: the number of the first one.
        due_ns: (records,) when each is due.
        numbers: the numbers of those of the books that are followed.
        rows: these by the key of their book.
        starts_day: whether a later day starts with the first record.
    """

    first: int
    due_ns: NDArray[np.int64]
    numbers: NDArray[np.int64]
    rows: dict[int, NumberedRows]
    starts_day: bool

    @property
    def end(self) -> int:
        """The number of the record behind the last one."""
        return self.first + len(self.due_ns)


class Playback:
    """Some books of a history, and a clock.

    Args:
        history: the records and their checkpoints.
        place: the number of records that have passed at first.

    Attributes:
        clock: where the reader is in time. It stands at the first record at first.
        place: the number of records that have passed.
    """

    def __init__(self, history: FileHistory, place: int = 0) -> None:
        self._history, self._records = history, history.records
        self.clock, self.place = PlaybackClock(self._records.first_ns or 0), place
        self._cursors: dict[int, BookCursor] = {}
        self._chunk: _Chunk | None = None
        self._behind_ns: int | None = None  # where it is, if that is not where the clock is

    @property
    def has_ended(self) -> bool:
        """Whether all records have passed."""
        return self.place >= self._records.count

    def cursor(self, key: int) -> BookCursor:
        """A book that is followed."""
        return self._cursors[key]

    def follow(self, keys: Iterable[int]) -> None:
        """Follow further books from the place on."""
        new = [key for key in dict.fromkeys(keys) if key not in self._cursors]
        if new:
            self._cursors.update(self._load(new))
            self._chunk = None

    def leave(self, key: int) -> None:
        """Follow a book no longer."""
        del self._cursors[key]
        self._chunk = None

    # ------------------------------------------------------------------ moving

    def seek(self, moment: Moment, now_s: float) -> None:
        """Go to a moment. Every book is as it was then; no events come of it.

        Raises:
            UsageError: the moment is before the first record, or behind the last one.
        """
        found = self._history.place(moment)
        self._go(found.records)
        self._behind_ns = None
        self.clock.set(found.as_of.time_ns or 0, now_s)

    def advance(self, now_s: float, rows_max: int) -> Iterator[BookEvent]:
        """The events up to the time of the clock, in the order of their last records.

        At the end of the records the clock stands still.

        Args:
            now_s: the time of the caller's clock.
            rows_max: the most records of books. If there are more, they follow with the next call;
                the clock waits for them if they are more than LAG_MAX_S behind it.
        """
        time_ns, self._behind_ns = self.clock.time_ns(now_s), None
        while not self.has_ended:
            chunk = self._read()
            stop = chunk.first + int(chunk.due_ns.searchsorted(time_ns, side="right"))
            rows = chunk.numbers
            begin = int(rows.searchsorted(self.place))
            if begin + rows_max < len(rows) and rows[begin + rows_max] < stop:
                stop = int(rows[begin + rows_max])
                yield from self._pass(chunk, stop)
                self._fall_behind(int(chunk.due_ns[max(0, stop - 1 - chunk.first)]), now_s)
                return
            rows_max -= int(rows.searchsorted(stop)) - begin
            yield from self._pass(chunk, stop)
            if stop < chunk.end:
                return
        self.clock.stop(self._records.last_ns or 0)

    def _fall_behind(self, at_ns: int, now_s: float) -> None:
        """Note that the records have come to a time only; the clock waits if that is long ago."""
        if (self.clock.time_ns(now_s) - at_ns) / self.clock.speed > LAG_MAX_S * 1e9:
            self.clock.wait_at(at_ns, now_s)
        else:
            self._behind_ns = at_ns

    def stop(self, now_s: float) -> None:
        """Stop the clock where the records are."""
        behind_ns = self._behind_ns
        self.clock.stop(self.clock.time_ns(now_s) if behind_ns is None else behind_ns)

    def next_due_ns(self) -> int | None:
        """A time up to which no event comes; None: there are no more records."""
        if self.has_ended:
            return None
        chunk = self._read()
        rows = chunk.numbers
        at = int(rows.searchsorted(self.place))
        number = int(rows[at]) if at < len(rows) else chunk.end - 1
        return int(chunk.due_ns[number - chunk.first])

    def step(self, events: int, now_s: float) -> Iterator[BookEvent]:
        """The next events of the books, however far they are. The clock goes along.

        Raises:
            UsageError: no event follows.
        """
        stop = self._find_end(events)
        if stop is None:
            raise UsageError("no event of these books follows")
        while self.place < stop:
            chunk = self._read()
            yield from self._pass(chunk, min(stop, chunk.end))
        self.clock.set(self._records.due_ns(stop - 1), now_s)

    def step_back(self, events: int, now_s: float) -> None:
        """Go back by some events of the books.

        Raises:
            UsageError: there are not so many.
        """
        left = events + 1  # the books are as after the last one now
        for batch, numbers in self._records.read_back(self.place, self._cursors):
            ends = np.flatnonzero(batch.flags & F_LAST)
            if len(ends) >= left:
                number = int(numbers[ends[len(ends) - left]])
                self.seek(Moment(record=number), now_s)
                return
            left -= len(ends)
        raise UsageError(f"there are fewer than {events} events of these books before")

    def pass_all(self, rows_max: int) -> Iterator[BookEvent]:
        """The events of the records that there are, whatever the clock shows.

        Args:
            rows_max: the most records of books, about; the next call goes on behind them.
        """
        while not self.has_ended and rows_max > 0:
            chunk = self._read()
            rows = chunk.numbers
            begin = int(rows.searchsorted(self.place))
            stop = chunk.end if begin + rows_max >= len(rows) else int(rows[begin + rows_max])
            rows_max -= int(rows.searchsorted(stop)) - begin
            yield from self._pass(chunk, stop)

    def go(self, place: int) -> None:
        """Go to a place: the books are as they were there; no events come of it."""
        self._go(place)

    # ------------------------------------------------------------------ reading

    def _find_end(self, events: int) -> int | None:
        """The place after the next events, or after the last one; None: there is none."""
        found, number = None, self.place
        for batch in self._records.read(self.place):
            keys = np.isin(record_keys(batch), list(self._cursors))
            ends = np.flatnonzero(keys & (batch.flags & F_LAST != 0))
            if len(ends):
                found = number + int(ends[:events][-1]) + 1
            events -= len(ends)
            number += len(batch.action)
            if events <= 0:
                break
        return found

    def _pass(self, chunk: _Chunk, stop: int) -> Iterator[BookEvent]:
        """Pass the records of a chunk up to a number; the events that end."""
        begin, self.place = self.place, stop
        day_start = chunk.first if chunk.starts_day and begin == chunk.first < stop else None
        streams = []
        for key, cursor in self._cursors.items():
            rows = chunk.rows[key]
            first, last = rows.numbers.searchsorted((begin, stop)).tolist()
            if first < last or day_start is not None:
                streams.append(cursor.take(rows.slice(first, last), day_start))
        yield from streams[0] if len(streams) == 1 else merge(*streams, key=_record)

    def _read(self) -> _Chunk:
        """The chunk with the record at the place."""
        if self._chunk is None or not self._chunk.first <= self.place < self._chunk.end:
            batch = next(self._records.read(self.place, self.place + CHUNK_RECORDS))
            due_ns = due_times(batch, self._due_ns(self.place))
            keys = record_keys(batch)
            wanted = {key: np.flatnonzero(keys == key) for key in self._cursors}
            self._chunk = _Chunk(
                self.place,
                due_ns,
                self.place + np.sort(np.concatenate([*wanted.values(), _NO_NUMBERS])),
                {
                    key: NumberedRows(
                        _plain(take_batch(batch, rows)), self.place + rows, due_ns[rows]
                    )
                    for key, rows in wanted.items()
                },
                isinstance(batch, DayStart),
            )
        return self._chunk

    def _go(self, place: int) -> None:
        """Go to a place: the books are read again from the checkpoint before it."""
        has_events = {key: cursor.has_events for key, cursor in self._cursors.items()}
        self.place, self._chunk = place, None
        self._cursors = self._load(list(self._cursors))
        for key, cursor in self._cursors.items():
            cursor.has_events = has_events[key]

    def _load(self, keys: list[int]) -> dict[int, BookCursor]:
        """Books as they are at the place."""
        if not keys:
            return {}
        engine, held = self._history.fold_until(self.place, keys)
        numbers = {
            publisher << 32 | instrument: book
            for book, (publisher, instrument) in enumerate(engine.keys())
        }
        held_keys = record_keys(held)
        found = {}
        for key in keys:
            own = take_batch(held, held_keys == key)
            rows = self._number_held(own, key)
            record = (int(rows.numbers[0]) if len(rows.numbers) else self.place) - 1
            own_engine = copy_book(engine, numbers[key]) if key in numbers else BookEngine()
            found[key] = BookCursor(key, own_engine, rows, record, self._due_ns(record + 1))
        return found

    def _number_held(self, held: MboBatch, key: int) -> NumberedRows:
        """The last records of a book before the place, which are of an open event, numbered."""
        missing = len(held.action)
        if missing == 0:
            return NO_ROWS
        places: list[NDArray[np.int64]] = []
        for _, numbers in self._records.read_back(self.place, [key]):
            places.insert(0, numbers[-missing:])
            missing -= len(places[0])
            if missing == 0:
                break
        found = np.concatenate(places)
        return NumberedRows(held, found, np.full(len(found), self._due_ns(int(found[-1]) + 1)))

    def _due_ns(self, count: int) -> int:
        """When the last of the first records is due; -1: none has a time."""
        return self._records.due_ns(count - 1) if count else -1


def _record(event: BookEvent) -> int:
    return event.record


def _plain(batch: MboBatch) -> MboBatch:
    """A batch that is no start of a day."""
    return MboBatch._make(batch)
