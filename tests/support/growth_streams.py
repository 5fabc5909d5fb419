"""Long streams that outgrow every table, built column by column.

The rule: ids are never used twice, so that whatever a table does not forget makes it grow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import (
    MBO_DTYPE,
    UNDEF_PRICE,
    Action,
    Flag,
    MboBatch,
    Side,
    batch_from_records,
)
from tests.support.streams import TICK_1E9


def plain(rows: int) -> NDArray[np.void]:
    """Records of one book, each an event of its own, all adds of one lot to the bid at 0."""
    records = np.zeros(rows, MBO_DTYPE)
    records["publisher_id"] = records["instrument_id"] = records["size"] = 1
    records["action"], records["side"], records["flags"] = Action.ADD, Side.BID, Flag.LAST
    records["order_id"] = records["sequence"] = np.arange(rows)
    records["ts_recv"] = records["ts_event"] = np.arange(rows)
    return records


def churn(rows: int, *, first: int = 0, live: int = 100) -> MboBatch:
    """Orders come and go while prices drift: new ids, new levels, for ever.

    An add, then the cancel of the order added `live` adds before, and so on: `live + 1` stay.
    `first` is the row to begin with, so that one endless stream may be made in pieces.
    """
    records = plain(rows)
    number = (first + np.arange(rows)) // 2
    cancels = (first + np.arange(rows)) % 2 == 1
    records["action"] = np.where(cancels, Action.CANCEL, Action.ADD)
    records["order_id"] = np.where(cancels, np.maximum(number - live, 0), number + 1)
    side = records["order_id"] % 2
    records["side"] = np.where(side == 0, Side.BID, Side.ASK)
    records["price"] = (number // 50 + number % 37) * TICK_1E9
    return batch_from_records(records)


def clears(rows: int, *, first: int = 0, orders: int = 500) -> MboBatch:
    """Adds, and after every so many `orders` a R that leaves them all dead in the table."""
    records = plain(rows)
    number = first + np.arange(rows)
    records["order_id"] = number
    records["price"] = number % 701 * TICK_1E9
    clear = number % (orders + 1) == orders
    records["action"][clear], records["side"][clear] = Action.CLEAR, Side.NONE
    records["price"][clear], records["size"][clear] = UNDEF_PRICE, 0
    records["order_id"][clear] = 0
    return batch_from_records(records)


def wide(orders: int, levels: int, *, books: int = 3) -> MboBatch:
    """Books with many orders at many levels; then modifies of half and cancels of a third."""
    rng = np.random.default_rng(orders)
    adds = plain(orders)
    adds["order_id"] = rng.permutation(orders)
    adds["instrument_id"] = adds["order_id"] % books
    adds["side"] = np.where(adds["order_id"] // books % 2, Side.ASK, Side.BID)
    adds["price"] = rng.integers(0, levels, orders) * TICK_1E9
    adds["size"] = rng.integers(1, 50, orders)
    modifies = rng.permutation(adds)[: orders // 2]
    modifies["action"] = Action.MODIFY
    stay = rng.random(len(modifies)) < 0.5
    modifies["price"][~stay] = rng.integers(0, levels, (~stay).sum()) * TICK_1E9
    modifies["size"] = rng.integers(1, 50, len(modifies))
    cancels = rng.permutation(adds)[: orders // 3]
    cancels["action"] = Action.CANCEL
    return batch_from_records(np.concatenate([adds, modifies, cancels]))


def one_sided(levels: int, side: Side) -> MboBatch:
    """A level after the other on one side, then a R, which takes them all at once."""
    records = plain(levels + 1)
    records["side"], records["price"] = side, np.arange(levels + 1) * TICK_1E9
    records["action"][-1], records["side"][-1] = Action.CLEAR, Side.NONE
    records["price"][-1], records["size"][-1] = UNDEF_PRICE, 0
    return batch_from_records(records)


def ends(books: int) -> MboBatch:
    """For each book of `wide`: one record that replaces its bids by a top of book, and a R."""
    records = plain(2 * books)
    records["instrument_id"] = np.arange(2 * books) // 2
    records["flags"] |= np.where(np.arange(2 * books) % 2, 0, Flag.TOB).astype(np.uint8)
    records["action"][1::2], records["side"][1::2] = Action.CLEAR, Side.NONE
    records["price"][1::2], records["size"][1::2] = UNDEF_PRICE, 0
    return batch_from_records(records)
