"""Questions about books, answered from the state between two folds.

The rule here: nothing is changed. The answers are read from the words of the state, by numpy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.book.results import Levels, Orders
from batonics.book.state import (
    ASK_LADDER,
    B_KEY,
    BID_LADDER,
    BOOK_WORDS,
    LADDER_EMPTY,
    LADDER_LENGTH,
    LADDER_START,
    SLOT_WORDS,
    T_BOOKS,
    Anomaly,
    Book,
    Ladder,
    Level,
    Order,
    State,
    Status,
)
from batonics.model.book_checksum import PriceLevel

SideLevels = list[PriceLevel]
"""Levels of one side, the best first."""


class BookReader:
    """Reads books; they are numbered in order of appearance.

    Args:
        state: the books.
        seen: uint64 (books or more, 3), the columns of `last_seen`.
    """

    def __init__(self, state: State, seen: NDArray[np.uint64]) -> None:
        self.state = state
        self._seen = seen

    @property
    def book_count(self) -> int:
        """The number of books."""
        return int(self.state.totals[T_BOOKS])

    def keys(self, first: int = 0) -> list[tuple[int, int]]:
        """`(publisher_id, instrument_id)` of each book (rule 1), from the number `first` on."""
        keys = self._book_words()[first:, B_KEY].tolist()
        return [(key >> 32, key & 0xFFFFFFFF) for key in keys]

    def statuses(self) -> list[Status]:
        """The status of each book."""
        return [Status(status) for status in self.status_numbers().tolist()]

    def status_numbers(self) -> NDArray[np.int64]:
        """The `Status` of each book, as a number."""
        return self._book_words()[:, Book.STATUS]

    def events(self) -> NDArray[np.int64]:
        """The number of complete events of each book."""
        return self._book_words()[:, Book.EVENTS] >> 1

    def events_open(self) -> NDArray[np.bool_]:
        """Whether each book is within an event (rule 5)."""
        is_open: NDArray[np.bool_] = self._book_words()[:, Book.EVENTS] & 1 == 1
        return is_open

    def anomalies(self) -> NDArray[np.int64]:
        """Counts of anomalies: a row for each book, a column for each `Anomaly`."""
        return self.state.anomalies[: self.book_count * len(Anomaly)].reshape(-1, len(Anomaly))

    def last_seen(self) -> NDArray[np.uint64]:
        """The columns ts_event, ts_recv and sequence of each book's last record."""
        return self._seen[: self.book_count]

    def levels(self, book: int | None = None) -> Levels:
        """Every level of every book, or of one."""
        books = np.arange(self.book_count) if book is None else np.array([book])
        ladders = (books[:, None] * BOOK_WORDS + np.array([BID_LADDER, ASK_LADDER])).ravel()
        lengths = self.state.books[ladders + Ladder.LENGTH]
        ends = self.state.books[ladders + Ladder.START] + lengths
        # The best level is the last of its run, so each run is read from its end.
        offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        entries = np.repeat(ends, lengths) - 1 - offsets
        bases = self.state.run_slots[entries].astype(np.int64) * SLOT_WORDS
        side = np.repeat(np.tile([0, 1], len(books)), lengths)
        size = self.state.levels[bases + Level.SIZE]
        levels = Levels(
            book=np.repeat(np.repeat(books, 2), lengths),
            side=side,
            price=self.state.levels[bases + Level.KEY] ^ -side,
            size=size,
            count=self.state.levels[bases + Level.COUNT],
        )
        has_size = size > 0
        return Levels(*(column[has_size] for column in levels))

    def best_levels(self, book: int, depth: int | None = None) -> tuple[SideLevels, SideLevels]:
        """The best levels of a book, at a cost of their number: bids, asks, the best first.

        Args:
            book: the number of the book.
            depth: levels of each side; None: all.
        """
        words = self.state.books[book * BOOK_WORDS : (book + 1) * BOOK_WORDS].tolist()
        levels = self.state.levels.reshape(-1, SLOT_WORDS)
        found: list[SideLevels] = []
        for side, ladder in enumerate((BID_LADDER, ASK_LADDER)):
            length = words[ladder + LADDER_LENGTH]
            end = words[ladder + LADDER_START] + length
            if depth is not None:  # empty levels may stand between them
                length = min(length, depth + words[ladder + LADDER_EMPTY])
            # The best level is the last of its run.
            rows = levels[self.state.run_slots[end - length : end]].tolist()
            best = [(key ^ -side, size, count) for key, _, size, count in reversed(rows) if size]
            found.append(best[:depth])
        return found[0], found[1]

    def orders(self, book: int | None = None) -> Orders:
        """Every live order of every book, or of one; either way all orders are visited."""
        bases = live_order_bases(self.state)
        words = self.state.orders
        if book is not None:
            bases = bases[words[bases + Order.OWNER] >> 1 == book]
        owner, packed = words[bases + Order.OWNER], words[bases + Order.PACKED]
        key = self.state.levels[(packed >> 32) * SLOT_WORDS + Level.KEY]
        priority = words[bases + Order.PRIORITY]
        # ~key sorts the best level first without overflow.
        by = np.lexsort((priority, ~key, owner))
        owner, packed, key = owner[by], packed[by], key[by]
        return Orders(
            book=owner >> 1,
            side=owner & 1,
            price=key ^ -(owner & 1),
            order_id=words[bases + Order.ORDER_ID][by].view(np.uint64),
            size=packed & 0xFFFFFFFF,
            priority=priority[by],
        )

    def _book_words(self) -> NDArray[np.int64]:
        return self.state.books[: self.book_count * BOOK_WORDS].reshape(-1, BOOK_WORDS)


def live_order_bases(state: State) -> NDArray[np.int64]:
    """Where live orders begin in `State.orders`: in taken slots, not below their side's floor."""
    words = state.orders
    bases = np.flatnonzero(words[Order.OWNER :: SLOT_WORDS] >= 0) * SLOT_WORDS
    owner = words[bases + Order.OWNER]
    ladders = (owner >> 1) * BOOK_WORDS + BID_LADDER + (ASK_LADDER - BID_LADDER) * (owner & 1)
    floors = state.books[ladders + Ladder.FLOOR]
    live: NDArray[np.int64] = bases[words[bases + Order.PRIORITY] >= floors]
    return live
