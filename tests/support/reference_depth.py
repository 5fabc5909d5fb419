"""What depth frames must hold, read row by row from the fold's own ladder.

The rule here: nothing of `batonics.frames` is used. Windows are counted in Python, one event after
the other, and each snapshot is the ladder of an engine that was folded up to just that record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from batonics.book.engine import BookEngine
from batonics.book.results import Levels
from batonics.model.mbo import UNDEF_TIMESTAMP, Flag, MboBatch, slice_batch


class Row(NamedTuple):
    """One window's end, as in a depth frame but with times in ns (None: null)."""

    ts: int | None
    ts_event: int | None
    ts_recv: int | None
    sequence: int
    publisher_id: int
    instrument_id: int
    events: int
    levels: tuple[int | None, ...]


@dataclass
class _Window:
    number: int | None  # None: no time is known yet
    events: int = 0
    row: int = -1


@dataclass
class _Output:
    batch: MboBatch
    keys: list[tuple[int, int]]
    depth: int
    windows: list[tuple[int, int | None, _Window]] = field(default_factory=list)

    def close(self, book: int, label: int | None, window: _Window) -> None:
        self.windows.append((book, label, window))

    def rows(self) -> list[Row]:
        """One engine, folded on to each record at which some window ended."""
        ended: dict[int, set[int]] = {}
        for book, _, window in self.windows:
            ended.setdefault(window.row, set()).add(book)
        ladders: dict[tuple[int, int], tuple[int | None, ...]] = {}
        engine, done = BookEngine(), 0
        for row in sorted(ended):
            engine.fold(slice_batch(self.batch, done, row + 1))
            done = row + 1
            levels = engine.levels()
            for book in ended[row]:
                ladders[row, book] = self._levels(levels, book)
        return [
            Row(
                label,
                _time(self.batch.ts_event[window.row]),
                _time(self.batch.ts_recv[window.row]),
                int(self.batch.sequence[window.row]),
                *self.keys[book],
                window.events,
                ladders[window.row, book],
            )
            for book, label, window in self.windows
        ]

    def _levels(self, levels: Levels, book: int) -> tuple[int | None, ...]:
        ladders: list[list[tuple[int | None, int, int]]] = []
        for side in (0, 1):
            best = np.flatnonzero((levels.book == book) & (levels.side == side))[: self.depth]
            columns = (levels.price, levels.size, levels.count)
            found = zip(*(column[best].tolist() for column in columns), strict=True)
            ladders.append([*found, *[(None, 0, 0)] * (self.depth - len(best))])
        return tuple(
            value
            for bid, ask in zip(*ladders, strict=True)
            for pair in zip(bid, ask, strict=True)
            for value in pair
        )


def _time(ts_ns: int) -> int | None:
    return None if ts_ns == UNDEF_TIMESTAMP else int(ts_ns)


def _ends(batch: MboBatch) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """(row, book, event) of each event's end, and the books' keys."""
    engine = BookEngine(deltas=True)
    event_ends: list[list[int]] = engine.fold(batch).event_ends.tolist()
    return event_ends, engine.keys()


def event_depth(batch: MboBatch, length: int, depth: int) -> list[Row]:
    """Rows of windows of `length` events, in order."""
    ends, keys = _ends(batch)
    output = _Output(batch, keys, depth)
    for row, book, event in ends:
        if (event + 1) % length == 0:
            output.close(book, _time(batch.ts_recv[row]), _Window(None, length, row))
    return output.rows()


def time_depth(batch: MboBatch, every_ns: int, depth: int, *, fill: bool = False) -> list[Row]:
    """Rows of windows of a duration, in order."""
    ends, keys = _ends(batch)
    output = _Output(batch, keys, depth)
    windows: dict[int, _Window] = {}
    for row, book, _ in ends:
        window = windows.setdefault(book, _Window(None))
        # The record that ends the event: the book's next one after a snapshot without F_LAST.
        ending = row
        if not batch.flags[row] & Flag.LAST:
            key = keys[book]
            ending = next(
                later
                for later in range(row + 1, len(batch.action))
                if (batch.publisher_id[later], batch.instrument_id[later]) == key
            )
        ts_recv = int(batch.ts_recv[ending])
        flags = batch.flags[ending] & (Flag.BAD_TS_RECV | Flag.SNAPSHOT)
        if flags != Flag.BAD_TS_RECV and ts_recv < 2**63:
            number = -(-ts_recv // every_ns) * every_ns
            if window.number is None:
                window.number = number
            elif number > window.number:
                output.close(book, window.number, window)
                if fill:
                    for label in range(window.number + every_ns, number, every_ns):
                        output.close(book, label, _Window(None, 0, window.row))
                windows[book] = window = _Window(number)
        window.events += 1
        window.row = row
    for book in sorted(windows):
        output.close(book, windows[book].number, windows[book])
    return output.rows()
