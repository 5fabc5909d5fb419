"""Depth at the ends of windows, rebuilt from a stream of level deltas.

The rule here: how the stream was cut into pieces shows nowhere. Carried from one flush to the next
are the levels that the closed events add up to, the latest window of each book, and the deltas of
events that have not ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.book.state import Delta
from batonics.frames.depth import (
    best_levels,
    empty_levels,
    level_states,
    slot_runs,
    wide,
    wide_columns,
)
from batonics.frames.folding import Ends, Piece
from batonics.frames.schema import TIME
from batonics.frames.windows import (
    ENDS_SCHEMA,
    EventWindows,
    TimeWindows,
    Windows,
    assign_slots,
    slots_of,
)
from batonics.model.mbo import Flag

FLUSH_DELTAS = 1 << 18
FLUSH_WINDOWS = 1 << 15
"""So many are gathered before books are rebuilt: a query's fixed cost is shared by many."""
FILL_ROWS = 1 << 15
"""So many rows are given at once where windows without events are filled in."""

_HEAD = {
    "ts": TIME,
    "ts_event": TIME,
    "ts_recv": TIME,
    "sequence": pl.UInt32(),
    "publisher_id": pl.UInt16(),
    "instrument_id": pl.UInt32(),
    "events": pl.Int64(),
}


def depth_schema(depth: int) -> pl.Schema:
    """The columns of depth frames."""
    return pl.Schema(_HEAD | dict.fromkeys(wide_columns(depth), pl.Int64()))


def depth_frames(
    pieces: Iterable[Piece], windows: Windows, depth: int, *, fill: bool
) -> Iterator[pl.DataFrame]:
    """Frames of `depth_schema`, a row a closed window, in the order in which they were closed."""
    builder = _Builder(windows, depth)
    # A window takes at least so many ends of events.
    ends_per_window = windows.length if isinstance(windows, EventWindows) else 1
    ends_max = min(FLUSH_WINDOWS * ends_per_window, FLUSH_DELTAS)
    for piece in pieces:
        builder.add(piece)
        if builder.ends >= ends_max or builder.deltas >= FLUSH_DELTAS:
            yield from _filled(builder.flush(), windows, fill=fill)
    yield from _filled(builder.flush(at_end=True), windows, fill=fill)


class _Builder:
    def __init__(self, windows: Windows, depth: int) -> None:
        self.ends = 0
        self.deltas = 0
        self._windows = windows
        self._depth = depth
        self._ends: list[pl.DataFrame] = [pl.DataFrame(schema=ENDS_SCHEMA)]
        self._deltas: list[pl.DataFrame] = [pl.DataFrame(schema=_DELTAS_SCHEMA)]
        self._keys: NDArray[np.int64] = np.empty(0, np.int64)
        self._levels = empty_levels()
        self._latest = pl.DataFrame(schema=pl.Schema({**ENDS_SCHEMA, "window": pl.Int64()}))

    def add(self, piece: Piece) -> None:
        """Take up a piece; it is copied."""
        self._ends.append(_ends_frame(piece.ends))
        self._deltas.append(_deltas_frame(piece.deltas))
        self._keys = piece.keys
        self.ends += len(piece.ends.book)
        self.deltas += len(piece.deltas)

    def flush(self, *, at_end: bool = False) -> pl.DataFrame:
        """The windows closed since the last flush; `next` is the window that the book has next."""
        ends = pl.concat(self._ends)
        touched = pl.repeat(at_end, len(self._keys), dtype=pl.Boolean, eager=True)
        is_touched = _at(touched.scatter(ends["book"].unique(), values=True), "book")
        assigned = assign_slots(ends, self._latest.filter(is_touched), self._windows)
        slots = slots_of(assigned, self._windows, at_end=at_end)
        deltas, still_open = _by_slot(pl.concat(self._deltas), assigned, len(self._keys))
        # What a book held before counts as a change in its first slot.
        first_slot = _by_book(slots.unique("book", keep="first"), "slot", len(self._keys))
        before = self._levels.filter(is_touched).select(
            _at(first_slot, "book").alias("slot"), "side", "key", "size", "count"
        )
        states = level_states(pl.concat([before, deltas]), slots)

        self._ends, self.ends = self._ends[:1], 0
        self._deltas, self.deltas = [self._deltas[0], still_open], still_open.height
        self._latest = pl.concat(
            [
                self._latest.filter(~is_touched),
                slots.filter(~pl.col("is_closed")).select(self._latest.columns),
            ]
        )
        alive = states.filter(pl.col("is_last") & (pl.col("size") > 0))
        self._levels = pl.concat(
            [self._levels.filter(~is_touched), alive.select(self._levels.columns)]
        )
        return self._rows(states, slots)

    def _rows(self, states: pl.DataFrame, slots: pl.DataFrame) -> pl.DataFrame:
        closed = slots.filter("is_closed").sort("place")
        best = best_levels(states, slot_runs(slots), self._depth)
        key = _at(pl.Series(self._keys), "book")
        head = closed.select(
            self._windows.label().alias("ts"),
            "ts_event",
            "ts_recv",
            "sequence",
            (key // 2**32).cast(pl.UInt16).alias("publisher_id"),
            (key % 2**32).cast(pl.UInt32).alias("instrument_id"),
            "events",
            "next",
        )
        return head.hstack(wide(best, states, slots["place"], closed.height, self._depth))


def _by_slot(
    deltas: pl.DataFrame, assigned: pl.DataFrame, books: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The deltas of ended events, with their slots, and those of events that have not ended."""
    ended = assigned.filter(pl.col("end") >= 0).with_row_index("row")
    # The ends of a book's events stand together, and none is missing.
    of_book = ended.group_by("book").agg(
        last=pl.col("event").last(),
        shift=pl.col("row").first().cast(pl.Int64) - pl.col("event").first(),
    )
    last, shift = _by_book(of_book, "last", books), _by_book(of_book, "shift", books)
    has_ended = (pl.col("event") <= _at(last, "book")).fill_null(value=False)
    row = pl.col("event") + _at(shift, "book")
    closed = deltas.lazy().filter(has_ended).select(
        _at(ended["slot"], row).alias("slot"), "side", "key", "size", "count"
    )
    return closed.collect(), deltas.filter(~has_ended)


def _by_book(rows: pl.DataFrame, name: str, books: int) -> pl.Series:
    """A column laid out by the number of the book, null where there is no row."""
    empty = pl.repeat(None, books, dtype=pl.Int64, eager=True)
    return empty.scatter(rows["book"], rows[name])


def _at(values: pl.Series, index: str | pl.Expr) -> pl.Expr:
    """Elements of a series, by position."""
    return pl.lit(values).gather(pl.col(index) if isinstance(index, str) else index)


_DELTAS_SCHEMA = pl.Schema(
    dict.fromkeys(["book", "event", "side", "key", "size", "count"], pl.Int64())
)


def _deltas_frame(deltas: NDArray[np.int64]) -> pl.DataFrame:
    words = (Delta.BOOK, Delta.EVENT, Delta.SIDE, Delta.PRICE, Delta.SIZE, Delta.COUNT)
    frame = pl.DataFrame(
        {
            name: np.ascontiguousarray(deltas[:, word])
            for name, word in zip(_DELTAS_SCHEMA, words, strict=True)
        },
        schema=_DELTAS_SCHEMA,
    )
    return frame.with_columns(key=pl.col("key") ^ -pl.col("side"))


def _ends_frame(ends: Ends) -> pl.DataFrame:
    ts_recv = ends.ts_recv.view(np.int64)
    known = (ts_recv >= 0) & (ends.flags & np.uint8(Flag.BAD_TS_RECV) == 0)
    frame = pl.DataFrame(
        {
            "book": ends.book,
            "event": ends.event,
            "time_ns": ts_recv,
            "ts_event": ends.ts_event.view(np.int64),
            "ts_recv": ts_recv,
            "sequence": ends.sequence,
        }
    )
    return frame.select(
        "book",
        "event",
        pl.when(pl.Series(known)).then("time_ns"),
        *(pl.when(pl.col(c) != -1).then(c).cast(TIME) for c in ("ts_event", "ts_recv")),
        "sequence",
        events=pl.lit(1, pl.Int64),
    )


def _filled(rows: pl.DataFrame, windows: Windows, *, fill: bool) -> Iterator[pl.DataFrame]:
    """The rows and, with `fill`, after each those of the windows up to the book's next one."""
    if not fill or isinstance(windows, EventWindows) or rows.is_empty():
        yield rows.drop("next")
        return
    label_ns = pl.col("ts").cast(pl.Int64)
    repeats = rows.select(
        ((pl.col("next") - label_ns) // windows.length_ns).fill_null(1)
    ).to_series().to_numpy()
    ends = np.cumsum(repeats)
    for start in range(0, int(ends[-1]), FILL_ROWS):
        place = np.arange(start, min(start + FILL_ROWS, int(ends[-1])))
        row = np.searchsorted(ends, place, side="right")
        step = pl.Series(place - (ends - repeats)[row])
        yield rows[row].drop("next").with_columns(
            ts=(label_ns + step * windows.length_ns).cast(TIME),
            events=pl.when(step == 0).then("events").otherwise(0),
        )
