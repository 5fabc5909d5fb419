"""The published row of each book: its best levels as of the end of its last event.

The rule here: a row never has half an event (rule 5), nor a status that its levels do not have.
Within an open event it has the worse of the status before the event and the status now.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.results import PublishSpec
from batonics.book.state import BOOK_WORDS, Book, Status
from batonics.live.growing import with_room
from batonics.live.protocol import book_dtype
from batonics.model.mbo import UNDEF_PRICE, UNDEF_TIMESTAMP, MboBatch
from batonics.sinks.book_json import side_document


class PublishedBooks:
    """The published row of each book that an engine folds.

    Args:
        depth: levels of each side in a row.

    Attributes:
        rows: (books,) rows of `book_dtype(depth)`, by the book's number.
    """

    def __init__(self, depth: int) -> None:
        self._room = np.zeros(0, book_dtype(depth))
        self.rows = self._room
        self._words: NDArray[np.int64] = self.rows.view(np.int64)
        self._depth = depth

    def engine_spec(self) -> PublishSpec:
        """What the engine must keep for these rows."""
        return PublishSpec(self._depth)

    def update(self, batch: MboBatch, engine: BookEngine) -> tuple[NDArray[np.int64], int]:
        """Update the rows after the engine has folded a batch.

        Returns:
            The numbers of the books whose row changed, and how many events ended in the batch.
        """
        self._add_rows(engine.book_count)
        return engine.publish(self._words, batch)

    def load(self, engine: BookEngine) -> None:
        """Set the rows of all books of an engine that comes from a checkpoint."""
        self._add_rows(engine.book_count)
        levels, words = (
            engine.levels(),
            engine.state.books.reshape(-1, BOOK_WORDS)[: len(self.rows)],
        )
        # A book that was saved within an event has half of it until the event ends.
        is_within_event = words[:, Book.EVENTS] & 1 == 1
        self.rows["status"] = np.where(is_within_event, Status.STALE, words[:, Book.STATUS])
        self.rows["events"] = words[:, Book.EVENTS] >> 1
        self.rows["seq"] += 1
        for name, column in zip(
            ("ts_event", "ts_recv", "sequence"), engine.last_seen().T, strict=True
        ):
            self.rows[name] = column
        ladder = 2 * levels.book + levels.side
        rank = np.arange(len(ladder)) - np.searchsorted(ladder, ladder)  # 0: the best level
        for side, name in enumerate(("bids", "asks")):
            own = np.flatnonzero((levels.side == side) & (rank < self._depth))
            for field in ("price", "size", "count"):
                values = getattr(levels, field)[own]
                self.rows[name][field][levels.book[own], rank[own]] = values

    def update_statuses(self, engine: BookEngine) -> NDArray[np.int64]:
        """Update the status of every row, without an end of event; the books that changed."""
        count = len(self.rows)
        status = engine.state.books[Book.STATUS :: BOOK_WORDS][:count].astype(np.uint8)
        changed = np.flatnonzero(status != self.rows["status"])
        self.rows["status"][changed] = status[changed]
        self.rows["seq"][changed] += 1
        return changed

    def _add_rows(self, books: int) -> None:
        """Add rows up to this number of books: a new book is cold and empty."""
        known = len(self.rows)
        if books > known:
            self._room = with_room(self._room, books)
            self.rows = self._room[:books]
            new = self.rows[known:]
            new["book"] = np.arange(known, books)
            new["status"] = Status.COLD
            for name in ("bids", "asks"):
                new[name]["price"] = UNDEF_PRICE
            for name in ("ts_event", "ts_recv"):
                new[name] = UNDEF_TIMESTAMP
            self._words = self.rows.view(np.int64).reshape(len(self.rows), -1)


def response_document(
    engine: BookEngine, book: int, depth: int | None, *, orders: bool
) -> dict[str, Any]:
    """A book of any depth, as a RESPONSE has it; call it between two events of the book.

    Args:
        engine: the engine that folds the book.
        book: the book's number.
        depth: levels of each side; None: all.
        orders: whether each level has its queue, in priority order.
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
