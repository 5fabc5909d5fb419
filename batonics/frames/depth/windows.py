"""The window of each event of each book, and when a window is closed.

The rule here: each book has its own windows. Events of one book neither close nor move a window of
another, so leaving out other books changes nothing. Windows contain whole events: an event is in
the window of its end (rule 5).

| windows        | an event's window                      | closed by                              |
|----------------|----------------------------------------|----------------------------------------|
| of N events    | event // N                             | the N-th event; else never             |
| of a duration  | the least multiple T >= its time       | the first event of a later window, or  |
|                |                                        | the end of the stream                  |

The time of an event is the `ts_recv` of the record that ends it: its last one, or the book's next
one after a snapshot without F_LAST (rule 14). It never runs backwards within a book: an event whose
`ts_recv` is earlier, or orders nothing (rule 16), is in the window of the event before it. Events
before a book's first known time are in its first window. A book without any known time has one
window, with a null label.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.frames.columns.mbo_frame import TIME_TYPE
from batonics.model.errors import UsageError
from batonics.model.times import Duration, duration_ns

EVENT_ENDS_SCHEMA = pl.Schema(
    {
        "book": pl.Int64(),
        "event": pl.Int64(),  # its number within the book
        "time_ns": pl.Int64(),  # null: not known
        "ts_event": TIME_TYPE,
        "ts_recv": TIME_TYPE,
        "sequence": pl.UInt32(),
        "events": pl.Int64(),  # 1
    }
)
"""Rows of the ends of events, in the order of the fold."""

_END_COLUMNS = ["ts_event", "ts_recv", "sequence"]


class SlotAssignment(NamedTuple):
    """Slots, and the slot of each delta.

    Attributes:
        slots: one row for each slot, sorted by book and window. Columns: slot (its number); book;
            ts_event, ts_recv and sequence of the window's last event; events (their count); ts (the
            label); next_ts (the label of the book's next window, or null); until (the end of the
            book's closed slots); place (the position of a closed slot in the order of closing, null
            for an open one).
        delta_slot: the slot of each delta, or -1 if its event has not ended.
    """

    slots: pl.DataFrame
    delta_slot: NDArray[np.int64]


class WindowAssigner(Protocol):
    """Assigns the events of a stream to windows, flush by flush."""

    def needed_ends(self, event: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """Which ends of events `assign` needs; None: all.

        Args:
            event: the number of each event within its book.
        """

    def assign(
        self,
        ends: pl.DataFrame,
        delta_book: NDArray[np.int64],
        delta_event: NDArray[np.int64],
        books: int,
        *,
        at_end: bool,
    ) -> SlotAssignment:
        """Number the windows since the last flush.

        Args:
            ends: rows of `EVENT_ENDS_SCHEMA` for the needed ends, in the order of the fold.
            delta_book: the book of each delta.
            delta_event: the event of each delta.
            books: the number of books.
            at_end: whether the stream has ended.
        """


@dataclass(frozen=True)
class EventWindows:
    """Windows of a number of events of a book.

    Attributes:
        length: the number of events of a window.
    """

    length: int

    def assigner(self) -> WindowAssigner:
        """An assigner for a new stream."""
        return _EventAssigner(self.length)


@dataclass(frozen=True)
class TimeWindows:
    """Windows `(T - length_ns, T]` with the label T.

    Attributes:
        length_ns: the length of a window in nanoseconds.
    """

    length_ns: int

    def assigner(self) -> WindowAssigner:
        """An assigner for a new stream."""
        return _TimeAssigner(self.length_ns)


Windows = EventWindows | TimeWindows


def parse_windows(every: int | Duration) -> Windows:
    """The windows of a length.

    Args:
        every: a number of events, "event" (1), or a duration such as "1s" (`parse_duration`).

    Raises:
        UsageError: `every` is none of these.
    """
    if isinstance(every, (str, timedelta)) and every != "event":
        return TimeWindows(duration_ns(every, "intervals"))
    length = every if isinstance(every, int) else 1
    if length < 1:
        raise UsageError(f"windows of {length} events, expected 1 or more")
    return EventWindows(length)


class _EventAssigner:
    """Assigns events by their numbers, whether they have ended or not.

    Deltas of an event that has not ended are in an open window, which makes no row.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._closed = np.empty(0, np.int64)  # by book: the number of its closed windows

    def needed_ends(self, event: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        return None if self._length == 1 else event % self._length == self._length - 1

    def assign(
        self,
        ends: pl.DataFrame,
        delta_book: NDArray[np.int64],
        delta_event: NDArray[np.int64],
        books: int,
        *,
        at_end: bool,  # noqa: ARG002 - a short window never closes
    ) -> SlotAssignment:
        first = np.zeros(books, np.int64)
        first[: len(self._closed)] = self._closed
        book = ends["book"].to_numpy()
        self._closed = first + np.bincount(book, minlength=books)
        touched = np.zeros(books, np.bool_)
        touched[book] = touched[delta_book] = True
        # Each book has its closed windows and one open window.
        height = (self._closed - first + 1) * touched
        until = np.cumsum(height) - 1
        shift = until - self._closed
        slot = ends["event"].to_numpy() // self._length + shift[book]
        rows = int(height.sum())
        place = np.full(rows, -1, np.int64)
        place[slot] = np.arange(len(slot))
        slots = (
            pl.DataFrame({"book": np.repeat(np.arange(books), height), "place": place})
            .with_columns(pl.when(pl.col("place") >= 0).then("place"))
            .with_columns(
                pl.lit(until).gather(pl.col("book")).alias("until"),
                *(pl.lit(ends[name]).gather(pl.col("place")) for name in _END_COLUMNS),
                slot=pl.int_range(pl.len()),
                events=pl.lit(self._length, pl.Int64),
                next_ts=pl.lit(None, TIME_TYPE),
            )
            .with_columns(ts="ts_recv")
        )
        return SlotAssignment(slots, delta_event // self._length + shift[delta_book])


class _TimeAssigner:
    """Assigns events by their times. The window of an event is known when the event ends."""

    def __init__(self, length_ns: int) -> None:
        self._length_ns = length_ns
        # The latest window of each book, as the row of its last event, by book.
        self._latest = pl.DataFrame(schema=pl.Schema({**EVENT_ENDS_SCHEMA, "window": pl.Int64()}))

    def needed_ends(self, event: NDArray[np.int64]) -> NDArray[np.bool_] | None:  # noqa: ARG002
        return None

    def assign(
        self,
        ends: pl.DataFrame,
        delta_book: NDArray[np.int64],
        delta_event: NDArray[np.int64],
        books: int,
        *,
        at_end: bool,
    ) -> SlotAssignment:
        is_touched = pl.repeat(at_end, books, dtype=pl.Boolean, eager=True).scatter(
            ends["book"].unique(), values=True
        )
        has_rows = pl.lit(is_touched).gather(pl.col("book"))
        assigned = self._by_book(self._latest.filter(has_rows), ends)
        slots = self._slots(assigned, at_end=at_end)
        self._latest = pl.concat(
            [
                self._latest.filter(~has_rows),
                slots.filter(pl.col("place").is_null()).select(self._latest.columns),
            ]
        )
        return SlotAssignment(slots, _slots_by_event(assigned, delta_book, delta_event, books))

    def _by_book(self, latest: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
        """The latest windows and the ends, by book. `end` is the row of an end, -1 for a window."""
        length_ns = self._length_ns
        # A time whose label exceeds int64 is unknown.
        time_ns = pl.when(pl.col("time_ns") < 2**63 - length_ns).then("time_ns")
        window = -(-time_ns // length_ns) * length_ns
        known = pl.col("window").cum_max().forward_fill().backward_fill()
        is_first = pl.any_horizontal(
            pl.col(name).ne_missing(pl.col(name).shift()) for name in ("book", "window")
        )
        return (
            pl.concat(
                [
                    latest.lazy().with_columns(end=pl.lit(-1, pl.Int64)),
                    ends.lazy().with_columns(window=window, end=pl.int_range(pl.len())),
                ]
            )
            .sort("book", maintain_order=True)
            .with_columns(known.over("book"))
            .with_columns(is_first=is_first)
            .with_columns(
                is_last=pl.col("is_first").shift(-1, fill_value=True),
                slot=pl.col("is_first").cum_sum().cast(pl.Int64) - 1,
            )
            .collect(engine="in-memory")
        )

    def _slots(self, assigned: pl.DataFrame, *, at_end: bool) -> pl.DataFrame:
        total = pl.col("events").cum_sum()
        slots = (
            assigned.lazy()
            .with_columns(total=total, closed_by=pl.when("is_first").then("end").shift(-1))
            .filter("is_last")
            .drop("is_first", "is_last", "end")
            .with_columns(
                events=pl.col("total") - pl.col("total").shift(fill_value=0),
                # The book's next window closes a window; the stream's end closes the latest one.
                is_latest=(pl.col("book") != pl.col("book").shift(-1)).fill_null(value=True),
                ts=pl.col("window").cast(TIME_TYPE),
            )
        )
        if at_end:
            closed_by = pl.when("is_latest").then(assigned.height).otherwise("closed_by")
        else:
            closed_by = pl.when(~pl.col("is_latest")).then("closed_by")
        is_open = pl.lit(not at_end) & pl.col("is_latest")
        return slots.with_columns(
            place=closed_by.rank("ordinal").cast(pl.Int64) - 1,
            next_ts=pl.when(~pl.col("is_latest")).then(pl.col("ts").shift(-1)),
            until=pl.when("is_latest").then(pl.col("slot") + 1 - is_open).backward_fill(),
        ).collect(engine="in-memory")


def _slots_by_event(
    assigned: pl.DataFrame,
    delta_book: NDArray[np.int64],
    delta_event: NDArray[np.int64],
    books: int,
) -> NDArray[np.int64]:
    ended = assigned.filter(pl.col("end") >= 0)
    # The ends of a book's events are adjacent, and none is missing.
    book, event = ended["book"].to_numpy(), ended["event"].to_numpy()
    first_rows = np.flatnonzero(np.diff(book, prepend=-1))
    last_rows = np.append(first_rows, len(book))[1:] - 1
    last, shift = np.full(books, -1, np.int64), np.zeros(books, np.int64)
    last[book[first_rows]] = event[last_rows]
    shift[book[first_rows]] = first_rows - event[first_rows]
    has_ended = delta_event <= last[delta_book]
    row = np.where(has_ended, delta_event + shift[delta_book], 0)
    # One more element, which exists even if no event has ended.
    slot = np.append(ended["slot"].to_numpy(), -1)
    return np.where(has_ended, slot[row], -1)
