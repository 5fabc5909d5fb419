"""Books as a live gateway tells them to who joins late: as records flagged F_SNAPSHOT (rule 14).

The rule here: whoever folds a book's snapshot has the book: its orders, in their priority, and its
status. A book that is not whole (cold or stale) is told with F_MAYBE_BAD_BOOK on its R.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.state import Status
from batonics.model.mbo import (
    NO_CHANNEL,
    UNDEF_PRICE,
    Action,
    Flag,
    MboBatch,
    Side,
    concat_batches,
    empty_batch,
)

_FLAGS = int(Flag.SNAPSHOT | Flag.BAD_TS_RECV)
_LAST, _TOB, _SUSPECT = int(Flag.LAST), int(Flag.TOB), int(Flag.MAYBE_BAD_BOOK)


def snapshot_records(engine: BookEngine, ts_recv: int) -> MboBatch:
    """The books of an engine as records, book after book; without any, no row.

    Of each: R, its orders in the order of their priority, and a top-of-book record for each side
    that consists of one. Times of orders are not known: `ts_event` is that of the book's last
    record, `ts_recv` is given.
    """
    books = list(_books(engine, ts_recv))
    return concat_batches(books) if books else empty_batch(0)


def _books(engine: BookEngine, ts_recv: int) -> Iterator[MboBatch]:
    statuses, seen = engine.statuses(), engine.last_seen()
    for book, (publisher_id, instrument_id) in enumerate(engine.keys()):
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
        rows.flags[1:] |= np.where(tob, _TOB, 0).astype(np.uint8)
        if statuses[book] is not Status.SYNCED:
            rows.flags[0] |= _SUSPECT
        rows.flags[-1] |= _LAST
        yield rows


def _resting(
    engine: BookEngine, book: int
) -> tuple[
    NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64], NDArray[np.bool_]
]:
    """Side, price, size and id of what rests in a book, and whether it is a top-of-book record."""
    orders, levels = engine.orders(book), engine.levels(book)
    first = np.argsort(orders.priority, kind="stable")
    # What no order of a level accounts for is a top-of-book record's.
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
