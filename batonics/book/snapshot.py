"""Snapshots of books as records flagged F_SNAPSHOT (rule 14), as a live gateway sends them.

The rule here: folding the snapshot of a book gives the book, its orders in priority order, and its
status. The R of a cold or stale book has F_MAYBE_BAD_BOOK.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.state import BOOK_WORDS, Book, Status
from batonics.model.mbo import (
    F_BAD_TS_RECV,
    F_LAST,
    F_MAYBE_BAD_BOOK,
    F_SNAPSHOT,
    F_TOB,
    NO_CHANNEL,
    UNDEF_PRICE,
    Action,
    MboBatch,
    Side,
    concat_batches,
    empty_batch,
)

_FLAGS = F_SNAPSHOT | F_BAD_TS_RECV


def snapshot_records(engine: BookEngine, ts_recv: int) -> MboBatch:
    """The books of an engine as records, book after book.

    A book is an R, a top-of-book record for each side that has one, and its orders in priority
    order. The times of orders are not known: `ts_event` is that of the book's last record.

    Args:
        engine: the books.
        ts_recv: `ts_recv` of every record, in nanoseconds.
    """
    books = list(_books(engine, ts_recv))
    return concat_batches(books) if books else empty_batch(0)


def copy_book(engine: BookEngine, book: int) -> BookEngine:
    """An engine with one book of another, which goes on as it would there.

    Its priorities are others, in the same order. It counts no falling `ts_recv`.

    Args:
        engine: the books.
        book: the number of the book.
    """
    (rows,) = _books(engine, 0, [book])
    copied = BookEngine()
    copied.backwards_ns_max = None
    copied.fold(rows)
    words = engine.state.books[book * BOOK_WORDS : (book + 1) * BOOK_WORDS]
    for word in (Book.STATUS, Book.SNAPSHOT_OPEN, Book.EVENTS):
        copied.state.books[word] = words[word]
    copied.anomalies()[0] = engine.anomalies()[book]
    copied.last_seen()[0] = engine.last_seen()[book]
    return copied


def _books(
    engine: BookEngine, ts_recv: int, books: Iterable[int] | None = None
) -> Iterator[MboBatch]:
    """The records of books by their numbers, by default of all."""
    statuses, seen, keys = engine.statuses(), engine.last_seen(), engine.keys()
    for book in range(len(keys)) if books is None else books:
        publisher_id, instrument_id = keys[book]
        side, price, size, order_id, tob = _resting(engine, book)
        rows = empty_batch(1 + len(side))
        for column in rows:
            column[:] = 0
        rows.ts_recv[:] = ts_recv
        rows.ts_event[:], rows.sequence[:] = seen[book, 0], seen[book, 2]
        rows.publisher_id[:], rows.instrument_id[:] = publisher_id, instrument_id
        rows.channel_id[:] = NO_CHANNEL
        rows.action[0], rows.action[1:] = Action.CLEAR, Action.ADD
        rows.side[0], rows.side[1:] = Side.NONE, np.where(side == 0, Side.BID, Side.ASK)
        rows.price[0], rows.price[1:] = UNDEF_PRICE, price
        rows.size[1:], rows.order_id[1:] = size, order_id
        rows.flags[:] = _FLAGS
        rows.flags[1:] |= np.where(tob, F_TOB, 0).astype(np.uint8)
        if statuses[book] is not Status.SYNCED:
            rows.flags[0] |= F_MAYBE_BAD_BOOK
        rows.flags[-1] |= F_LAST
        yield rows


def _resting(
    engine: BookEngine, book: int
) -> tuple[
    NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64], NDArray[np.bool_]
]:
    """Side, price, size and id of what rests in a book, and whether it is a top-of-book record."""
    orders, levels = engine.orders(book), engine.levels(book)
    first = np.argsort(orders.priority, kind="stable")
    # Size beyond that of a level's orders is of a top-of-book record.
    left = levels.size.copy()
    np.subtract.at(left, np.repeat(np.arange(len(left)), levels.count), orders.size)
    tob = np.flatnonzero(left)
    return (
        np.concatenate((levels.side[tob], orders.side[first])),
        np.concatenate((levels.price[tob], orders.price[first])),
        np.concatenate((left[tob], orders.size[first])),
        np.concatenate((np.zeros(len(tob), np.uint64), orders.order_id[first])),
        np.arange(len(tob) + len(first)) < len(tob),
    )
