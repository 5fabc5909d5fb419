"""Which window each event of each book falls in, and when a window is closed.

The rule here: windows are each book's own. What happens in one book neither closes nor moves a
window of another, so leaving other books out changes nothing. Only whole events are in windows: an
event is in the window of its end (rule 5).

| windows        | an event's window                      | closed by                              |
|----------------|----------------------------------------|----------------------------------------|
| of N events    | event // N                             | the N-th event; else never             |
| of a duration  | the least multiple T >= its time       | the first event of a later window, or  |
|                |                                        | the end of the stream                  |

The time of an event is the `ts_recv` of its closing record. It never runs backwards within a book:
an earlier one, or one that is undefined or flagged F_BAD_TS_RECV (rule 16), keeps the window of
the event before it. Events before a book's first known time are in its first window; a book whose
time never comes to be known has one window, with a null label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.frames.columns.mbo_frame import TIME_TYPE

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
"""Ends of events, in the order of the fold."""

_MOMENT = ["ts_event", "ts_recv", "sequence"]


class SlotAssignment(NamedTuple):
    """Slots, and which of them each delta falls in.

    Attributes:
        slots: a row a slot, sorted by book and window: slot, its number; book; ts_event, ts_recv
            and sequence of the window's last event; events, how many it has; ts, its label;
            next_ts, the label of the book's next window, or null; until, the end of the book's
            closed slots; place, the row of a closed slot in the order in which they were closed,
            null for one that is open.
        delta_slot: by delta, -1 where the event has not ended.
    """

    slots: pl.DataFrame
    delta_slot: NDArray[np.int64]


class WindowAssigner(Protocol):
    """Numbers the windows of a stream, flush by flush."""

    def wanted(self, event: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """Which ends of events must be told of, by their numbers within their books; None: all."""

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
            ends: of `ENDS_SCHEMA`: those wanted, in the order of the fold.
            delta_book: the book of each delta.
            delta_event: the event of each delta.
            books: how many books there are.
            at_end: nothing follows.
        """


@dataclass(frozen=True)
class EventWindows:
    """Windows of `length` events of a book."""

    length: int

    def assigner(self) -> WindowAssigner:
        """A new stream."""
        return _EventAssigner(self.length)


@dataclass(frozen=True)
class TimeWindows:
    """Windows `(T - length_ns, T]`; T is the label."""

    length_ns: int

    def assigner(self) -> WindowAssigner:
        """A new stream."""
        return _TimeAssigner(self.length_ns)


Windows = EventWindows | TimeWindows


class _EventAssigner:
    """An event's number says which window it is in, whether it has ended or not.

    Deltas of an event that has not ended are in an open window, or in none that a row is made of.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._closed = np.empty(0, np.int64)  # by book: how many windows

    def wanted(self, event: NDArray[np.int64]) -> NDArray[np.bool_] | None:
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
        # Each book has its closed windows and an open one.
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
                *(pl.lit(ends[name]).gather(pl.col("place")) for name in _MOMENT),
                slot=pl.int_range(pl.len()),
                events=pl.lit(self._length, pl.Int64),
                next_ts=pl.lit(None, TIME_TYPE),
            )
            .with_columns(ts="ts_recv")
        )
        return SlotAssignment(slots, delta_event // self._length + shift[delta_book])


class _TimeAssigner:
    """An event's window is known when it ends."""

    def __init__(self, length_ns: int) -> None:
        self._length_ns = length_ns
        # The latest window of each book, as its last event, by book.
        self._latest = pl.DataFrame(schema=pl.Schema({**EVENT_ENDS_SCHEMA, "window": pl.Int64()}))

    def wanted(self, event: NDArray[np.int64]) -> NDArray[np.bool_] | None:  # noqa: ARG002 - all
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
        here = pl.lit(is_touched).gather(pl.col("book"))
        assigned = self._by_book(self._latest.filter(here), ends)
        slots = self._slots(assigned, at_end=at_end)
        self._latest = pl.concat(
            [
                self._latest.filter(~here),
                slots.filter(pl.col("place").is_null()).select(self._latest.columns),
            ]
        )
        return SlotAssignment(slots, _slots_by_event(assigned, delta_book, delta_event, books))

    def _by_book(self, latest: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
        """The ends, each book's after its latest window, with their row (`end`, else -1)."""
        length_ns = self._length_ns
        # A time whose label has no place in an int64 is none.
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
                # Windows are closed by the book's next one; the stream's end closes the others.
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
    # The ends of a book's events stand together, and none is missing.
    book, event = ended["book"].to_numpy(), ended["event"].to_numpy()
    first_rows = np.flatnonzero(np.diff(book, prepend=-1))
    last_rows = np.append(first_rows, len(book))[1:] - 1
    last, shift = np.full(books, -1, np.int64), np.zeros(books, np.int64)
    last[book[first_rows]] = event[last_rows]
    shift[book[first_rows]] = first_rows - event[first_rows]
    has_ended = delta_event <= last[delta_book]
    row = np.where(has_ended, delta_event + shift[delta_book], 0)
    # A row more, so that there is one where no event has ended.
    slot = np.append(ended["slot"].to_numpy(), -1)
    return np.where(has_ended, slot[row], -1)
