"""What happened to one book between two checkpoints: changes of levels, trades, statuses.

The rule here: a change is due when the record is due with which it shows. That is the next record
of the book with F_LAST or F_SNAPSHOT, from its own record on. So what the book had at the
checkpoint, and the changes that are due at a time or before, are the book that `FileHistory.at`
finds at this time.

    checkpoint ──▶ records of the book ──▶ fold, level deltas ──▶ BookSegment
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.state import Delta
from batonics.history.book_history import FileHistory
from batonics.history.record_file import DueRows
from batonics.model.mbo import (
    ACTION_CLEAR,
    ACTION_TRADE,
    F_LAST,
    F_MAYBE_BAD_BOOK,
    F_SNAPSHOT,
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
    DayStart,
    MboBatch,
    take_batch,
)

NO_BOOK = -1
"""In place of a `Status`: no event of the book has ended yet."""
BEFORE_ALL = -(2**63)
"""A time before all others."""
TRADE_DTYPE = np.dtype([("due_ns", "<i8"), ("price", "<i8"), ("size", "<i8"), ("side", "u1")])
"""A trade with a price and a size; `side` is that of the record (`Side`)."""
CHANGE_DTYPE = np.dtype([("due_ns", "<i8"), ("size", "<i8"), ("level", "<i8")])
"""A change of a level: when it is due, the change of the size, the number of the level."""
STATUS_DTYPE = np.dtype([("due_ns", "<i8"), ("status", "<i8")])
"""A `Status` of the book and when it begins to show."""


class BookSegment(NamedTuple):
    """What happened to a book between two checkpoints.

    Attributes:
        bid_prices: ascending, the prices of the bids that the book has or gets. They are the levels
            number 0 and on; those of the asks follow.
        ask_prices: the same of the asks.
        sizes: (levels,) the sizes of the levels at the beginning.
        changes: rows of `CHANGE_DTYPE`; `due_ns` never falls.
        trades: rows of `TRADE_DTYPE`; `due_ns` never falls.
        statuses: rows of `STATUS_DTYPE`; the first is the one at the beginning.
    """

    bid_prices: NDArray[np.int64]
    ask_prices: NDArray[np.int64]
    sizes: NDArray[np.int64]
    changes: NDArray[np.void]
    trades: NDArray[np.void]
    statuses: NDArray[np.void]

    @property
    def nbytes(self) -> int:
        """The number of bytes of the arrays."""
        return sum(array.nbytes for array in self)


def build_segment(history: FileHistory, segment: int, key: int) -> BookSegment:
    """What happened to a book in one of a history's segments.

    Args:
        history: the history.
        segment: the records from `history.segment_bounds[segment]` to the next bound.
        key: the key of the book (`record_keys`).
    """
    first, last = history.segment_bounds[segment : segment + 2].tolist()
    engine = BookEngine(deltas=True)
    held = history.load_checkpoint(first, key, engine)
    fold = _SegmentFold(engine, key)
    levels = fold.levels()
    fold.take(held)
    for rows in history.records.read_due(first, last, key):
        fold.take_due(rows)
    return _make_segment(levels, fold)


class _Levels(NamedTuple):
    """Sides (0: bid, 1: ask), prices and sizes of levels, or changes of them."""

    side: NDArray[np.int64]
    price: NDArray[np.int64]
    size: NDArray[np.int64]


class _SegmentFold:
    """Folds the records of a book and notes when what they change is due.

    Attributes:
        changes: the changes that are due, and when.
        trades: the trades.
        statuses: times and statuses.
    """

    def __init__(self, engine: BookEngine, key: int) -> None:
        self._engine, self._key = engine, (key >> 32, key & 0xFFFFFFFF)
        self._book = -1
        self._find_book()
        self._pending: list[_Levels] = []
        self.changes: list[tuple[NDArray[np.int64], _Levels]] = []
        self.trades: list[NDArray[np.void]] = []
        self.statuses = [(BEFORE_ALL, self._status)]

    def levels(self) -> _Levels:
        """The levels of the book now."""
        if self._book < 0:
            return _Levels(*np.empty((3, 0), np.int64))
        levels = self._engine.levels(self._book)
        return _Levels(levels.side, levels.price, levels.size)

    def take(self, rows: MboBatch) -> None:
        """Fold rows with which no change becomes due."""
        if len(rows.action):
            self._pending.append(self._fold(rows)[1])

    def take_due(self, rows: DueRows) -> None:
        """Fold the next rows."""
        if isinstance(rows.batch, DayStart):
            self._engine.fold(take_batch(rows.batch, np.empty(0, np.intp)))
            self._note_status(rows.start_ns)
        self._note_trades(rows)
        ends = np.flatnonzero(rows.batch.flags & (F_LAST | F_SNAPSHOT))
        start = 0
        for stop in _status_rows(rows.batch, is_new=self._book < 0):
            self._take_piece(rows, start, stop, ends)
            start = stop

    def _take_piece(self, rows: DueRows, start: int, stop: int, ends: NDArray[np.intp]) -> None:
        """Fold the rows `[start, stop)`, of which at most the last changes the status."""
        first_end = np.searchsorted(ends, start)
        if first_end < len(ends):  # what was folded before and was not due yet
            self._end_pending(int(rows.due_ns[ends[first_end]]))
        piece = MboBatch._make(column[start:stop] for column in rows.batch)
        row, changes = self._fold(piece)
        is_end = piece.flags & (F_LAST | F_SNAPSHOT) != 0
        # The number of the first end at each row or after it.
        end_of = (first_end + np.cumsum(is_end) - is_end)[row]
        due_ns = rows.due_ns[ends.take(end_of, mode="clip")] if len(ends) else row
        has_end = end_of < len(ends)
        self.changes.append((due_ns[has_end], _Levels._make(part[has_end] for part in changes)))
        if not has_end.all():
            self._pending.append(_Levels._make(part[~has_end] for part in changes))
        last_end = np.searchsorted(ends, stop - 1)
        if last_end < len(ends):
            self._note_status(int(rows.due_ns[ends[last_end]]))

    def _end_pending(self, due_ns: int) -> None:
        self._note_status(due_ns)
        for changes in self._pending:
            self.changes.append((np.full(len(changes.size), due_ns), changes))
        self._pending = []

    def _fold(self, rows: MboBatch) -> tuple[NDArray[np.int64], _Levels]:
        """The rows of the level deltas, and the deltas."""
        deltas = self._engine.fold(rows).deltas
        if self._book < 0:
            self._find_book()
        columns = [deltas[:, word].copy() for word in (Delta.SIDE, Delta.PRICE, Delta.SIZE)]
        return deltas[:, Delta.ROW].copy(), _Levels._make(columns)

    def _find_book(self) -> None:
        keys = self._engine.keys()
        self._book = keys.index(self._key) if self._key in keys else -1

    @property
    def _status(self) -> int:
        return NO_BOOK if self._book < 0 else int(self._engine.status_numbers()[self._book])

    def _note_status(self, due_ns: int) -> None:
        if self._status != self.statuses[-1][1]:
            self.statuses.append((due_ns, self._status))

    def _note_trades(self, rows: DueRows) -> None:
        batch = rows.batch
        is_cell = batch.action == ACTION_TRADE
        is_cell &= (batch.price != UNDEF_PRICE) & (batch.size != UNDEF_ORDER_SIZE)
        found = np.flatnonzero(is_cell)
        trades = np.empty(len(found), TRADE_DTYPE)
        trades["due_ns"] = rows.due_ns[found]
        for name in ("price", "size", "side"):
            trades[name] = getattr(batch, name)[found]
        self.trades.append(trades)


def _status_rows(batch: MboBatch, *, is_new: bool) -> Iterator[int]:
    """The ends of pieces of a batch of which the last row alone may change the book's status.

    That is the first row of a new book and, by rules 11, 14 and 17, an R, the first record of a
    snapshot, and F_MAYBE_BAD_BOOK.
    """
    flags, rows = batch.flags, len(batch.flags)
    if rows == 0:
        return
    may = batch.action == ACTION_CLEAR
    may[0] |= is_new
    rare = flags & (F_SNAPSHOT | F_MAYBE_BAD_BOOK)
    if rare.any():
        in_snapshot, is_bad = flags & F_SNAPSHOT != 0, flags & F_MAYBE_BAD_BOOK != 0
        goes_on = in_snapshot & (flags & F_LAST == 0)
        may |= in_snapshot & np.r_[True, ~goes_on[:-1]]
        may |= is_bad & np.r_[True, ~is_bad[:-1]]
    stops = np.flatnonzero(may) + 1
    yield from stops.tolist()
    if len(stops) == 0 or stops[-1] < rows:
        yield rows


def _make_segment(base: _Levels, fold: _SegmentFold) -> BookSegment:
    """A segment of what a fold has noted."""
    due_ns = np.concatenate([due for due, _ in fold.changes] or [np.empty(0, np.int64)])
    levels = [changes for _, changes in fold.changes]
    changed = _Levels._make(map(np.concatenate, zip(base, *levels, strict=True)))
    number = np.empty(len(changed.size), np.int64)
    bids, asks = (np.flatnonzero(changed.side == side) for side in (0, 1))
    bid_prices, number[bids] = _number_prices(changed.price[bids])
    ask_prices, number[asks] = _number_prices(changed.price[asks])
    number[asks] += len(bid_prices)
    sizes = np.zeros(len(bid_prices) + len(ask_prices), np.int64)
    sizes[number[: len(base.size)]] = base.size
    changes = np.empty(len(due_ns), CHANGE_DTYPE)
    changes["due_ns"] = due_ns
    changes["size"], changes["level"] = changed.size[len(base.size) :], number[len(base.size) :]
    return BookSegment(
        bid_prices,
        ask_prices,
        sizes,
        changes,
        np.concatenate(fold.trades or [np.empty(0, TRADE_DTYPE)]),
        np.array(fold.statuses, STATUS_DTYPE),
    )


def _number_prices(prices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The prices without repetition, ascending, and the place of each price among them."""
    # Most prices are among the first ones: a search is several times faster than sorting them all.
    known = np.unique(prices[:_FIRST_PRICES])
    places = np.searchsorted(known, prices)
    is_new = known.take(places, mode="clip") != prices if len(known) else np.ones(0, np.bool_)
    if is_new.any():
        first, known = known, np.union1d(known, prices[is_new])
        moved = np.searchsorted(known, first)
        places[~is_new] = moved[places[~is_new]]
        places[is_new] = np.searchsorted(known, prices[is_new])
    return known, places


_FIRST_PRICES = 1 << 14
