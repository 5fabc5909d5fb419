"""Records at which something happens to a book: it becomes crossed, or trades sweep its levels.

The rule here: a mark is the record that ends an event (F_LAST), since a book may be read only there
(rule 5). The marks of a segment depend on its records and on the books before them alone.

| kind    | the event                                                                             |
|---------|---------------------------------------------------------------------------------------|
| crossed | the best bid is above the best ask after it, and was not after the event before       |
| sweep   | its trades (T) of one aggressor, B or A, have two prices or more: they took that many |
|         | levels                                                                                |
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.state import Bbo
from batonics.history.book_history import FileHistory
from batonics.model.mbo import (
    ACTION_TRADE,
    F_LAST,
    SIDE_ASK,
    SIDE_BID,
    UNDEF_PRICE,
    MboBatch,
)

MARK_KINDS = ("crossed", "sweep")
MARKS_KEPT = 1 << 22
"""Marks that are kept for later searches, at most; a segment counts as one more."""


class RecordSearch:
    """Finds marks of books. Not for several threads at once.

    Args:
        history: the history.
    """

    def __init__(self, history: FileHistory) -> None:
        self._history, self._bounds = history, history.segment_bounds
        self._kept: OrderedDict[tuple[int, int], dict[str, NDArray[np.int64]]] = OrderedDict()
        self._count = 0

    def find_next(self, key: int, kind: str, first: int) -> int | None:
        """The number of the first mark of a book from a record on; None: there is none."""
        for segment in range(self._segment(first), len(self._bounds) - 1):
            marks = self._marks(key, segment)[kind]
            place = int(np.searchsorted(marks, first))
            if place < len(marks):
                return int(marks[place])
        return None

    def find_previous(self, key: int, kind: str, stop: int) -> int | None:
        """The number of the last mark of a book before a record; None: there is none."""
        for segment in range(self._segment(stop), -1, -1):
            marks = self._marks(key, segment)[kind]
            place = int(np.searchsorted(marks, stop)) - 1
            if place >= 0:
                return int(marks[place])
        return None

    def _segment(self, record: int) -> int:
        place = int(np.searchsorted(self._bounds, record, side="right")) - 1
        return min(place, len(self._bounds) - 2)

    def _marks(self, key: int, segment: int) -> dict[str, NDArray[np.int64]]:
        if (key, segment) not in self._kept:
            marks = _find_marks(self._history, segment, key)
            self._kept[key, segment] = marks
            self._count += _weight(marks)
            while self._count > MARKS_KEPT and len(self._kept) > 1:
                self._count -= _weight(self._kept.popitem(last=False)[1])
        self._kept.move_to_end((key, segment))
        return self._kept[key, segment]


def _weight(marks: dict[str, NDArray[np.int64]]) -> int:
    return 1 + sum(map(len, marks.values()))


def _find_marks(history: FileHistory, segment: int, key: int) -> dict[str, NDArray[np.int64]]:
    """The numbers of the marks of a book in a segment, by kind."""
    first, last = history.segment_bounds[segment : segment + 2].tolist()
    engine = BookEngine(bbo=True)
    held = history.load_checkpoint(first, key, engine)
    crossed, sweeps = _CrossedMarks(engine, key), _SweepMarks()
    found: dict[str, list[NDArray[np.int64]]] = {kind: [] for kind in MARK_KINDS}
    no_numbers = np.full(len(held.action), -1)
    crossed.take(held, no_numbers)
    sweeps.take(held, no_numbers)
    for rows in history.records.read_due(first, last, key):
        found["crossed"].append(crossed.take(rows.batch, rows.numbers))
        found["sweep"].append(sweeps.take(rows.batch, rows.numbers))
    none = np.empty(0, np.int64)
    return {kind: np.concatenate([none, *parts]) for kind, parts in found.items()}


class _CrossedMarks:
    """Finds the events with which a book becomes crossed.

    Args:
        engine: the books before the first records; it keeps the best prices.
        key: the key of the book.
    """

    def __init__(self, engine: BookEngine, key: int) -> None:
        self._engine, self._is_crossed = engine, False
        keys = engine.keys()
        if (key >> 32, key & 0xFFFFFFFF) in keys:
            levels = engine.levels(keys.index((key >> 32, key & 0xFFFFFFFF)))
            bids, asks = (levels.price[levels.side == side] for side in (0, 1))
            self._is_crossed = bool(len(bids) and len(asks) and bids[0] > asks[0])

    def take(self, batch: MboBatch, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The marks among the next records of the book, of which the numbers are given."""
        bbo = self._engine.fold(batch).bbo
        ends = np.flatnonzero(batch.flags & F_LAST)
        bid, ask = bbo[ends, Bbo.BID_PRICE], bbo[ends, Bbo.ASK_PRICE]
        is_crossed = (bid > ask) & (bid != UNDEF_PRICE)
        before = np.r_[self._is_crossed, is_crossed]
        self._is_crossed = bool(before[-1])
        marks: NDArray[np.int64] = numbers[ends[is_crossed & ~before[:-1]]]
        return marks


class _SweepMarks:
    """Finds the events whose trades have several prices."""

    def __init__(self) -> None:
        self._open: dict[int, set[int]] = {SIDE_BID: set(), SIDE_ASK: set()}

    def take(self, batch: MboBatch, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The marks among the next records of the book, of which the numbers are given."""
        ends = np.flatnonzero(batch.flags & F_LAST)
        is_sweep = np.zeros(len(ends) + 1, np.bool_)
        is_trade = (batch.action == ACTION_TRADE) & (batch.price != UNDEF_PRICE)
        for side, prices in list(self._open.items()):
            rows = np.flatnonzero(is_trade & (batch.side == side))
            event, price = np.searchsorted(ends, rows), batch.price[rows]
            # The trades of the event that was open before come first.
            event = np.r_[np.zeros(len(prices), np.int64), event]
            price = np.r_[np.array(sorted(prices), np.int64), price]
            is_next = (event[1:] == event[:-1]) & (price[1:] != price[:-1])
            is_sweep[event[1:][is_next]] = True
            self._open[side] = set(price[event == len(ends)].tolist())
        marks: NDArray[np.int64] = numbers[ends[is_sweep[:-1]]]
        return marks
