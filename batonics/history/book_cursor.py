"""One book of a history that is read forward, event by event.

The rule here: a book is at the end of an event, or further (rule 5). Records of an event that is
open wait until its end comes, as those that `EventCutoff` holds do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.kept_queues import KeptQueues
from batonics.book.order_search import OrderState, find_orders
from batonics.model.mbo import (
    ACTION_CLEAR,
    ACTION_FILL,
    ACTION_NONE,
    ACTION_TRADE,
    F_LAST,
    F_SNAPSHOT,
    DayStart,
    MboBatch,
    concat_batches,
    empty_batch,
    slice_batch,
    take_batch,
)

_CHANGES_NO_ORDER = frozenset((ACTION_TRADE, ACTION_FILL, ACTION_NONE))
_FEW_ROWS = 16


class NumberedRows(NamedTuple):
    """Records of a book.

    Attributes:
        batch: the records.
        numbers: (rows,) their places in the stream.
        due_ns: (rows,) when each is due (`RecordFile.due_ns`).
    """

    batch: MboBatch
    numbers: NDArray[np.int64]
    due_ns: NDArray[np.int64]

    def take(self, rows: NDArray[np.intp]) -> Self:
        """Some of the rows."""
        return self._replace(
            batch=take_batch(self.batch, rows), numbers=self.numbers[rows], due_ns=self.due_ns[rows]
        )

    def slice(self, start: int, stop: int) -> Self:
        """Rows `[start, stop)`, as views."""
        return self._replace(
            batch=slice_batch(self.batch, start, stop),
            numbers=self.numbers[start:stop],
            due_ns=self.due_ns[start:stop],
        )


NO_ROWS = NumberedRows(empty_batch(0), np.empty(0, np.int64), np.empty(0, np.int64))


class BookEvent(NamedTuple):
    """An event of a book, or several where nobody asks for each.

    Attributes:
        key: the key of the book (`record_keys`).
        record: the number of its last record; for the start of a day the first one of the day.
        due_ns: when that record is due; -1: no record with a time has come.
        rows: its records; none where a day starts.
        is_reset: whether it may have changed orders that its records do not name: it has an R, or
            is a snapshot.
        before: the orders that it names, by id, as they were before. Empty for a reset.
        after: those of them that are in the book after it.
    """

    key: int
    record: int
    due_ns: int
    rows: NumberedRows
    is_reset: bool
    before: dict[int, OrderState] = {}  # noqa: RUF012 - never changed
    after: dict[int, OrderState] = {}  # noqa: RUF012


class BookCursor:
    """A book that is read forward.

    Args:
        key: the key of the book.
        engine: an engine of this book alone, or of none where the book has not begun.
        held: the records so far of the event that is open.
        record: a number after which the book is as it is now; -1: before the first one.
        due_ns: when that record is due; -1: no record with a time has come.

    Attributes:
        queues: its queues, where each event is asked for; else None.
    """

    def __init__(
        self, key: int, engine: BookEngine, held: NumberedRows, record: int, due_ns: int
    ) -> None:
        self.key, self.engine, self.record, self.due_ns = key, engine, record, due_ns
        self.queues: KeptQueues | None = None
        self._held = held

    @property
    def has_events(self) -> bool:
        """Whether each event is asked for."""
        return self.queues is not None

    @has_events.setter
    def has_events(self, has_events: bool) -> None:
        if has_events != self.has_events:
            self.queues = KeptQueues(self.engine) if has_events else None

    def take(self, rows: NumberedRows, day_start: int | None = None) -> Iterator[BookEvent]:
        """The events that end in further records; the book is as after each when it comes.

        Args:
            rows: the next records of this book.
            day_start: the number of the first record of the stream in these, where a later day
                starts with it (rule 21). None: no day starts.
        """
        if day_start is not None:
            # A snapshot that the day before left open ends.
            ended = _end_rows(self._held.batch, is_whole=True)
            yield from self._events(self._held, ended)
        held = self._held
        if len(held.numbers):
            rows = NumberedRows(
                concat_batches([held.batch, rows.batch]),
                np.concatenate((held.numbers, rows.numbers)),
                np.concatenate((held.due_ns, rows.due_ns)),
            )
        ends = _end_rows(rows.batch, is_whole=False)
        if day_start is not None and not (len(ends) and rows.numbers[ends[0]] <= day_start):
            yield self._start_day(day_start)
            day_start = None
        yield from self._events(rows, ends, starts_day=day_start is not None)

    def _events(
        self, rows: NumberedRows, ends: NDArray[np.intp], *, starts_day: bool = False
    ) -> Iterator[BookEvent]:
        """Fold the events of some rows that end with these; hold the rows behind them."""
        start = 0
        begin = int(ends[-1]) + 1 if len(ends) else 0
        self._held = NO_ROWS
        if begin < len(rows.numbers):
            self._held = rows.take(np.arange(begin, len(rows.numbers)))
        for end in ends.tolist() if self.has_events else ends[-1:].tolist():
            yield self._fold(rows.slice(start, end + 1), starts_day=starts_day)
            start, starts_day = end + 1, False

    def _fold(self, rows: NumberedRows, *, starts_day: bool) -> BookEvent:
        batch = DayStart._make(rows.batch) if starts_day else rows.batch
        self.record, self.due_ns = int(rows.numbers[-1]), int(rows.due_ns[-1])
        queues, named = self.queues, None
        if queues is not None:
            named = _named_orders(batch)
        if queues is None or named is None:
            self.engine.fold(batch)
            if queues is not None:
                queues.clear()
            return BookEvent(self.key, self.record, self.due_ns, rows, is_reset=True)
        before = find_orders(self.engine, named) if named else {}
        self.engine.fold(batch)
        after = find_orders(self.engine, named) if named else {}
        queues.change(before, after)
        return BookEvent(
            self.key, self.record, self.due_ns, rows, is_reset=False, before=before, after=after
        )

    def _start_day(self, record: int) -> BookEvent:
        self.engine.fold(DayStart._make(empty_batch(0)))
        self.record = record
        return BookEvent(self.key, record, self.due_ns, NO_ROWS, is_reset=False)


def _named_orders(batch: MboBatch) -> set[int] | None:
    """The orders that an event may change; None: it may change others that it does not name."""
    actions, named = batch.action.tolist(), set[int]()
    if ACTION_CLEAR in actions or any(flags & F_SNAPSHOT for flags in batch.flags.tolist()):
        return None
    for action, order_id in zip(actions, batch.order_id.tolist(), strict=True):
        if action not in _CHANGES_NO_ORDER:
            named.add(order_id)
    return named


def _end_rows(batch: MboBatch, *, is_whole: bool) -> NDArray[np.intp]:
    """The rows of one book that end events (rules 5, 14).

    Args:
        batch: the rows.
        is_whole: whether a snapshot at the end of the rows has ended with them.
    """
    if len(batch.flags) <= _FEW_ROWS:  # for which arrays take longer
        flags = batch.flags.tolist()
        if not any(one & F_SNAPSHOT for one in flags):
            return np.array([row for row, one in enumerate(flags) if one & F_LAST], np.intp)
    in_snapshot = batch.flags & F_SNAPSHOT != 0
    next_in_snapshot = np.append(in_snapshot[1:], not is_whole)
    return np.flatnonzero((batch.flags & F_LAST != 0) | (in_snapshot & ~next_in_snapshot))
