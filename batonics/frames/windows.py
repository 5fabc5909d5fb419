"""Which window each event of each book falls in, and when a window is closed.

The rule here: windows are each book's own. What happens in one book neither closes nor moves a
window of another, so leaving other books out changes nothing. Only whole events are in windows: an
event is in the window of its end (rule 5).

| windows        | number of an event's window            | closed by                              |
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

import polars as pl

ENDS_SCHEMA = pl.Schema(
    {
        "book": pl.Int64(),
        "event": pl.Int64(),  # its number within the book
        "time_ns": pl.Int64(),  # null: not known
        "ts_event": pl.Datetime("ns", "UTC"),
        "ts_recv": pl.Datetime("ns", "UTC"),
        "sequence": pl.UInt32(),
        "events": pl.Int64(),  # 1
    }
)
"""Ends of events, in the order of the fold."""


@dataclass(frozen=True)
class EventWindows:
    """Windows of `length` events of a book."""

    length: int

    def window(self) -> pl.Expr:
        """The window's number, of a row of ends."""
        return pl.col("event") // self.length

    def is_closed(self, *, at_end: bool) -> pl.Expr:  # noqa: ARG002 - what is short stays open
        """Whether a slot's window is closed: it holds its N-th event."""
        return pl.col("event") % self.length == self.length - 1

    def closed_by(self) -> pl.Expr:
        """Which end closed a slot's window."""
        return pl.col("last_end")

    def label(self) -> pl.Expr:
        """The window's end, as a time."""
        return pl.col("ts_recv")


@dataclass(frozen=True)
class TimeWindows:
    """Windows `(T - length_ns, T]`; a window's number is its T, in nanoseconds since the epoch."""

    length_ns: int

    def window(self) -> pl.Expr:
        """The window's number, of a row of ends."""
        return -(-pl.col("time_ns") // self.length_ns) * self.length_ns

    def is_closed(self, *, at_end: bool) -> pl.Expr:
        """Whether a slot's window is closed: the book has a later one, or nothing follows."""
        return pl.col("is_latest").not_() | pl.lit(at_end)

    def closed_by(self) -> pl.Expr:
        """Which end closed a slot's window; those that the stream's end closes come last."""
        return pl.when("is_latest").then(pl.len() + pl.col("last_end").max()).otherwise(
            pl.col("first_end").shift(-1)
        )

    def label(self) -> pl.Expr:
        """The window's end, as a time."""
        return pl.col("window").cast(pl.Datetime("ns", "UTC"))


Windows = EventWindows | TimeWindows


def assign_slots(ends: pl.DataFrame, latest: pl.DataFrame, windows: Windows) -> pl.DataFrame:
    """Number the windows of each book, from its latest on.

    Args:
        ends: as `ENDS_SCHEMA`, in the order of the fold.
        latest: the rows of `slots` that were not closed before.
        windows: the kind.

    Returns:
        `ends` and, before those of its book, each of `latest`, sorted by book; with `end` (the row
        of `ends`; -1 for those of `latest`), `window` and `slot`.
    """
    known = pl.col("window").cum_max().forward_fill().backward_fill()
    changed = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(name).shift()) for name in ("book", "window")
    )
    own = list(ENDS_SCHEMA)
    numbered = ends.lazy().select(*own, windows.window().alias("window"), end=pl.int_range(pl.len()))
    earlier = latest.lazy().select(*own, "window", end=pl.lit(-1, pl.Int64))
    return (
        pl.concat([earlier, numbered])
        .sort("book", maintain_order=True)
        .with_columns(window=known.over("book"))
        .with_columns(slot=changed.cum_sum().cast(pl.Int64) - 1)
        .collect()
    )


def slots_of(assigned: pl.DataFrame, windows: Windows, *, at_end: bool) -> pl.DataFrame:
    """A row a slot.

    Args:
        assigned: as `assign_slots` gives it.
        windows: the kind.
        at_end: nothing follows.

    Returns:
        The columns of `ENDS_SCHEMA` of the window's last event, `events` summed; `window`;
        `is_closed`; `until`, the end of the book's closed slots; `place`, the row of a closed slot
        in the order in which they were closed, else null; `next`, the window of the book after
        this one, null where there is none.
    """
    last = [name for name in ENDS_SCHEMA if name != "events"]
    is_latest = (pl.col("book") != pl.col("book").shift(-1)).fill_null(value=True)
    return (
        assigned.lazy()
        .group_by("slot", maintain_order=True)
        .agg(
            pl.col(*last, "window").last(),
            pl.col("events").sum(),
            first_end=pl.col("end").first(),
            last_end=pl.col("end").last(),
        )
        .with_columns(is_latest=is_latest)
        .with_columns(
            is_closed=windows.is_closed(at_end=at_end),
            closed_by=windows.closed_by(),
            next=pl.when(pl.col("is_latest").not_()).then(pl.col("window").shift(-1)),
        )
        .with_columns(
            until=pl.col("slot").filter("is_closed").max().over("book") + 1,
            place=pl.when("is_closed").then("closed_by").rank("ordinal").cast(pl.Int64) - 1,
        )
        .with_columns(until=pl.col("until").fill_null(pl.col("slot").min().over("book")))
        .collect()
    )
