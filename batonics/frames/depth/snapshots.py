"""Depth at the ends of windows, rebuilt from a stream of level deltas.

The rule here: the rows do not depend on how the stream was cut into pieces. From one flush to the
next, the builder keeps the levels that the ended events add up to, the latest window of each book,
and the deltas of events that have not ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.book.state import Delta, EventEnd
from batonics.frames.columns.mbo_frame import TIME_TYPE, null_where
from batonics.frames.depth.best_levels import (
    best_levels,
    slot_runs,
    widen_levels,
)
from batonics.frames.depth.level_states import (
    LEVEL_CHANGES_SCHEMA,
    LEVEL_TOTALS_SCHEMA,
    level_states,
    lookup_expr,
)
from batonics.frames.depth.windows import EVENT_ENDS_SCHEMA, EventWindows, WindowAssigner, Windows
from batonics.frames.scan.folding import EventEndColumns, FoldedPiece
from batonics.frames.scan.returns import are_absent
from batonics.model.absences import Absences

FLUSH_DELTAS = 1 << 19
FLUSH_ENDS = 1 << 16
"""Deltas and ends of events gathered before books are rebuilt, to share a query's fixed cost."""
FILL_ROWS = 1 << 15
"""Rows of a frame where windows without events are filled in."""


def depth_frames(
    pieces: Iterable[FoldedPiece], windows: Windows, depth: int, *, fill: bool
) -> Iterator[pl.DataFrame]:
    """Frames of `depth_schema(depth)`: a row for each closed window, in the order of closing."""
    builder = _DepthBuilder(windows.assigner(), depth)
    for piece in pieces:
        builder.add(piece)
        if builder.ends >= FLUSH_ENDS or builder.deltas >= FLUSH_DELTAS:
            yield from _fill_windows(builder.flush(), windows, fill=fill)
    yield from _fill_windows(builder.flush(at_end=True), windows, fill=fill)


class _DepthBuilder:
    """Gathers pieces, and makes rows of the windows that are closed in them.

    Attributes:
        ends: the number of gathered ends of events.
        deltas: the number of gathered deltas.
    """

    def __init__(self, assigner: WindowAssigner, depth: int) -> None:
        self.ends = 0
        self.deltas = 0
        self._assigner = assigner
        self._depth = depth
        self._ends: list[EventEndColumns] = []
        self._deltas: list[NDArray[np.int64]] = []
        self._keys: NDArray[np.int64] = np.empty(0, np.int64)
        self._levels = pl.DataFrame(schema=LEVEL_TOTALS_SCHEMA)

    def add(self, piece: FoldedPiece) -> None:
        """Add a piece; it is copied."""
        ends = piece.copy_event_ends(
            self._assigner.needed_ends(piece.event_ends[:, EventEnd.EVENT])
        )
        self._ends.append(ends)
        self._deltas.append(piece.deltas.T[_DELTA_WORDS])
        self._keys = piece.keys
        self.ends += len(ends.book)
        self.deltas += len(piece.deltas)

    def flush(self, *, at_end: bool = False) -> pl.DataFrame:
        """Rows of the windows closed since the last flush."""
        books = len(self._keys)
        deltas = np.concatenate([np.empty((len(_DELTA_WORDS), 0), np.int64), *self._deltas], axis=1)
        ends = _ends_frame(self._ends)
        slots, delta_slot = self._assigner.assign(ends, deltas[0], deltas[1], books, at_end=at_end)

        # The levels that a book had before count as changes in its first slot.
        first_slot = pl.repeat(None, books, dtype=pl.Int64, eager=True).scatter(
            slots["book"].reverse(), slots["slot"].reverse()
        )
        is_touched = lookup_expr(first_slot, "book").is_not_null()
        before = self._levels.filter(is_touched).with_columns(slot=lookup_expr(first_slot, "book"))
        has_ended = delta_slot >= 0
        changes = pl.DataFrame([delta_slot, *deltas[2:]], schema=LEVEL_CHANGES_SCHEMA)
        if not has_ended.all():
            changes = changes.filter(pl.Series(has_ended))
        states = level_states(pl.concat([before.select(changes.columns), changes]), slots)

        self._ends, self.ends = [], 0
        self._deltas = [deltas[:, ~has_ended]]
        self.deltas = self._deltas[0].shape[1]
        alive = states.filter(pl.col("is_last") & (pl.col("size") > 0))
        self._levels = pl.concat(
            [self._levels.filter(~is_touched), alive.select(self._levels.columns)]
        )
        return self._rows(states, slots)

    def _rows(self, states: pl.DataFrame, slots: pl.DataFrame) -> pl.DataFrame:
        closed = slots.filter(pl.col("place").is_not_null()).sort("place")
        key = lookup_expr(pl.Series(self._keys), "book")
        head = closed.select(
            "ts",
            "ts_event",
            "ts_recv",
            "sequence",
            (key // 2**32).cast(pl.UInt16).alias("publisher_id"),
            (key % 2**32).cast(pl.UInt32).alias("instrument_id"),
            "events",
            "next_ts",
        )
        best = best_levels(states, slot_runs(slots), self._depth)
        return head.hstack(widen_levels(best, states, slots["place"], closed.height, self._depth))


_DELTA_WORDS = [
    int(w) for w in (Delta.BOOK, Delta.EVENT, Delta.SIDE, Delta.PRICE, Delta.SIZE, Delta.COUNT)
]


def _ends_frame(parts: list[EventEndColumns]) -> pl.DataFrame:
    if not parts:
        return pl.DataFrame(schema=EVENT_ENDS_SCHEMA)
    ends = EventEndColumns(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    frame = pl.DataFrame(
        {
            "book": ends.book,
            "event": ends.event,
            "ts_event": ends.ts_event.view(np.int64),
            "ts_recv": ends.ts_recv.view(np.int64),
            "sequence": ends.sequence,
        }
    )
    known_ns = null_where(ends.time_ns, ends.time_ns < 0).alias("time_ns")
    # UNDEF_TIMESTAMP is -1 as a signed word.
    times = [pl.when(pl.col(c) != -1).then(c).cast(TIME_TYPE) for c in ("ts_event", "ts_recv")]
    events = pl.lit(1, pl.Int64).alias("events")
    return frame.select("book", "event", known_ns, *times, "sequence", events)


def without_absences(
    frames: Iterable[pl.DataFrame], find_absences: Callable[[], Absences]
) -> Iterator[pl.DataFrame]:
    """The frames without the filled rows of books whose instrument is absent at their ends."""
    for frame in frames:
        absences = find_absences()
        if not len(absences):
            yield frame
            continue
        last_ns = frame["ts"].cast(pl.Int64).to_numpy() - 1
        is_filled = frame["events"].to_numpy() == 0
        ids = frame["instrument_id"].to_numpy()
        yield frame.filter(~(is_filled & are_absent(absences, ids, last_ns, last_ns)))


def _fill_windows(rows: pl.DataFrame, windows: Windows, *, fill: bool) -> Iterator[pl.DataFrame]:
    """The rows; with `fill`, each is followed by rows of the windows up to the book's next one."""
    if not fill or isinstance(windows, EventWindows) or rows.is_empty():
        yield rows.drop("next_ts")
        return
    label_ns = pl.col("ts").cast(pl.Int64)
    repeats = (
        rows.select(
            ((pl.col("next_ts").cast(pl.Int64) - label_ns) // windows.length_ns).fill_null(1)
        )
        .to_series()
        .to_numpy()
    )
    ends = np.cumsum(repeats)
    for start in range(0, int(ends[-1]), FILL_ROWS):
        place = np.arange(start, min(start + FILL_ROWS, int(ends[-1])))
        row = np.searchsorted(ends, place, side="right")
        step = pl.Series(place - (ends - repeats)[row])
        yield (
            rows[row]
            .drop("next_ts")
            .with_columns(
                ts=(label_ns + step * windows.length_ns).cast(TIME_TYPE),
                events=pl.when(step == 0).then("events").otherwise(0),
            )
        )
