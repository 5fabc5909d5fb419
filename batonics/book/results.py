"""What a fold keeps, the results of a fold, and what can be read of books between folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import LAST_ROW_BIT, LAST_SEEN, RECORD_BEFORE, Top
from batonics.model.mbo import MboBatch

SEEN_COLUMNS = ("ts_event", "ts_recv", "sequence")
"""The columns of `BookReader.last_seen`."""


class TopsSpec(NamedTuple):
    """Keep tops (`FoldResult.tops`): the best levels at trades and changes."""

    depth: int  # levels of each side
    # A top at the end of an event where the book differs from its last top or its last row, or
    # where a snapshot ends (`ChangeBits`).
    changes: bool = True
    trades: bool = False  # a top at a trade, as the book is after its last event


class WindowsSpec(NamedTuple):
    """Keep the best levels at the ends of windows (`FoldResult.tops`), and no other tops."""

    depth: int  # levels of each side
    events: int = 0  # events of a book in a window; 0: windows end at the bounds given to `fold`


class PublishSpec(NamedTuple):
    """Keep what `BookEngine.publish` needs."""

    depth: int  # levels of each side


class FoldResult(NamedTuple):
    """The rows of one batch. The arrays are views of buffers that the next fold overwrites."""

    bbo: NDArray[np.int64]  # (records, len(Bbo)): after each record
    deltas: NDArray[np.int64]  # (deltas, len(Delta))
    event_ends: NDArray[np.int64]  # (ends of events, len(EventEnd))
    tops: NDArray[np.int64]  # (tops, TOP_WORDS + TOP_LEVEL_WORDS * depth)
    top_records: TopRecords  # one record for each top


class TopRecords(NamedTuple):
    """The records that describe tops. They are looked up on demand, until the next fold.

    For tops of windows only ts_event, ts_recv and sequence are always right.
    """

    tops: NDArray[np.int64]
    batch: MboBatch
    kept: MboBatch  # by book: the record of an earlier batch (`RECORD_BEFORE`)
    seen: NDArray[np.uint64]  # by book: `SEEN_COLUMNS` of its last record before (`LAST_SEEN`)
    first_position: int  # the number of records folded before the batch
    last_positions: NDArray[np.int64]  # by book: the position of its last record before the batch

    def positions(self) -> NDArray[np.int64]:
        """The place in the stream, from 0, of the last record of each top of `TopsSpec`.

        It is that of the trade, or of the record that ended the event.
        """
        rows = last_rows(self.tops)
        before = np.flatnonzero(rows < 0)
        positions = rows + self.first_position
        positions[before] = self.last_positions[self.tops[before, Top.BOOK]]
        return positions

    def closing(self) -> NDArray[np.uint64]:
        """`SEEN_COLUMNS` of the last record of each top of `TopsSpec`; (tops, columns)."""
        rows = last_rows(self.tops)
        before = np.flatnonzero(rows < 0)
        moments = np.empty((len(rows), len(SEEN_COLUMNS)), np.uint64)
        for column, name in enumerate(SEEN_COLUMNS):
            moments[:, column] = getattr(self.batch, name).take(rows, mode="clip")
        moments[before] = self.seen[self.tops[before, Top.BOOK]]
        return moments

    def column(self, name: str) -> NDArray[Any]:
        """One column, for all tops."""
        return self._columns([name], self.tops)[0]

    def take(self, rows: NDArray[np.intp] | None = None) -> MboBatch:
        """All columns, for the tops in some rows or for all."""
        tops = self.tops if rows is None else self.tops[rows]
        return MboBatch._make(self._columns(MboBatch._fields, tops))

    def _columns(self, names: Sequence[str], tops: NDArray[np.int64]) -> list[NDArray[Any]]:
        rows = np.ascontiguousarray(tops[:, Top.ROW])
        # Rows below 0 are clipped to the first row, and replaced.
        columns = [getattr(self.batch, name).take(rows, mode="clip") for name in names]
        if (rows >= 0).all():
            return columns
        before, last = (np.flatnonzero(rows == mark) for mark in (RECORD_BEFORE, LAST_SEEN))
        for name, column in zip(names, columns, strict=True):
            column[before] = getattr(self.kept, name)[tops[before, Top.BOOK]]
            if name in SEEN_COLUMNS:
                column[last] = self.seen[tops[last, Top.BOOK], SEEN_COLUMNS.index(name)]
        return columns


def last_rows(tops: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row of the last record of each top of `TopsSpec`; -1: it is in an earlier batch."""
    return tops[:, Top.CHANGE] >> LAST_ROW_BIT


class Levels(NamedTuple):
    """Levels of books, by book, bids before asks, best first."""

    book: NDArray[np.int64]
    side: NDArray[np.int64]  # 0: bid, 1: ask
    price: NDArray[np.int64]
    size: NDArray[np.int64]
    count: NDArray[np.int64]  # type: ignore[assignment]  # hides tuple.count, which nobody needs

    def crossed_books(self) -> set[int]:
        """The numbers of the books whose best bid is above their best ask (rule 22)."""
        sides, first = np.unique(self.book << 1 | self.side, return_index=True)
        best = self.price[first]
        # A book with both sides has two neighbours here: its bid, then its ask.
        is_bid = (sides[:-1] & 1 == 0) & (sides[1:] == sides[:-1] + 1)
        return set((sides[:-1][is_bid & (best[:-1] > best[1:])] >> 1).tolist())


class Orders(NamedTuple):
    """Live orders of books, by book, bids before asks, best level first, in priority order."""

    book: NDArray[np.int64]
    side: NDArray[np.int64]  # 0: bid, 1: ask
    price: NDArray[np.int64]
    order_id: NDArray[np.uint64]
    size: NDArray[np.int64]
    priority: NDArray[np.int64]
