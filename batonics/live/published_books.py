"""Books as they are published: a row each, as of the end of its last event.

The rule here: a row never shows half an event (rule 5), nor a status that its levels do not have.
Within an event that is still open, the worse of the status before and now is told.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.results import PublishSpec
from batonics.book.state import BOOK_WORDS, Book, Status
from batonics.live.protocol import book_dtype
from batonics.model.mbo import UNDEF_PRICE, UNDEF_TIMESTAMP, MboBatch
from batonics.sinks.book_json import side_document


class PublishedBooks:
    """The last row of each book that an engine folds.

    Attributes:
        rows: (books,) of `book_dtype(depth)`, by number.
    """

    def __init__(self, depth: int) -> None:
        self.rows = np.zeros(0, book_dtype(depth))
        self._words: NDArray[np.int64] = self.rows.view(np.int64)
        self._depth = depth

    def wanted(self) -> PublishSpec:
        """What the engine must keep."""
        return PublishSpec(self._depth)

    def take(self, batch: MboBatch, engine: BookEngine) -> tuple[NDArray[np.int64], int]:
        """Take what a batch came to: the books that it changed, and the events that ended in it."""
        self._fit(engine.book_count)
        return engine.publish(self._words, batch)

    def fill(self, engine: BookEngine) -> None:
        """Take every book of an engine that was saved between two batches."""
        self._fit(engine.book_count)
        levels, words = (
            engine.levels(),
            engine.state.books.reshape(-1, BOOK_WORDS)[: len(self.rows)],
        )
        # One that was saved within an event shows half of it, until that has ended.
        is_amid = words[:, Book.EVENTS] & 1 == 1
        self.rows["status"] = np.where(is_amid, Status.STALE, words[:, Book.STATUS])
        self.rows["events"] = words[:, Book.EVENTS] >> 1
        self.rows["seq"] += 1
        for name, column in zip(
            ("ts_event", "ts_recv", "sequence"), engine.last_seen().T, strict=True
        ):
            self.rows[name] = column
        ladder = 2 * levels.book + levels.side
        begins = np.searchsorted(ladder, ladder)
        position = np.arange(len(ladder)) - begins
        for side, name in enumerate(("bids", "asks")):
            own = np.flatnonzero((levels.side == side) & (position < self._depth))
            for field in ("price", "size", "count"):
                values = getattr(levels, field)[own]
                self.rows[name][field][levels.book[own], position[own]] = values

    def take_statuses(self, engine: BookEngine) -> NDArray[np.int64]:
        """Take the statuses of all books, where no event of theirs has ended; which changed."""
        count = len(self.rows)
        status = engine.state.books[Book.STATUS :: BOOK_WORDS][:count].astype(np.uint8)
        changed = np.flatnonzero(status != self.rows["status"])
        self.rows["status"][changed] = status[changed]
        self.rows["seq"][changed] += 1
        return changed

    def _fit(self, books: int) -> None:
        """Make room for new books, which were cold and empty before their first event."""
        known = len(self.rows)
        if books > known:
            new = np.zeros(books - known, self.rows.dtype)
            new["book"] = np.arange(known, books)
            new["status"] = Status.COLD
            for name in ("bids", "asks"):
                new[name]["price"] = UNDEF_PRICE
            for name in ("ts_event", "ts_recv"):
                new[name] = UNDEF_TIMESTAMP
            self.rows = np.concatenate([self.rows, new])
            self._words = self.rows.view(np.int64).reshape(len(self.rows), -1)


def book_document(
    engine: BookEngine, book: int, depth: int | None, *, orders: bool
) -> dict[str, Any]:
    """A book of any depth, as an ANSWER has it; between two of its events.

    Args:
        engine: that folds it.
        book: its number.
        depth: levels of each side; None: all.
        orders: each level with its queue, in priority order.
    """
    levels, words = (
        engine.levels(book),
        engine.state.books[book * BOOK_WORDS : (book + 1) * BOOK_WORDS],
    )
    queues = engine.orders(book) if orders else None
    ts_event, ts_recv, sequence = (int(value) for value in engine.last_seen()[book])
    return {
        "book": book,
        "status": Status(int(words[Book.STATUS])).name.lower(),
        "events": int(words[Book.EVENTS]) >> 1,
        "ts_event": None if ts_event == UNDEF_TIMESTAMP else ts_event,
        "ts_recv": None if ts_recv == UNDEF_TIMESTAMP else ts_recv,
        "sequence": sequence,
        "bids": side_document(levels, queues, 0, depth),
        "asks": side_document(levels, queues, 1, depth),
    }
