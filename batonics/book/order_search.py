"""Orders of the only book of an engine, without a sort of all of them.

The rule here: an engine of these functions has one book. A search visits the table of orders once,
by numpy; that is far less than `BookReader.orders`, which sorts the book.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.reader import live_order_bases
from batonics.book.results import Levels
from batonics.book.state import L_KEY, O_ORDER_ID, O_OWNER, O_PACKED, O_PRIORITY, SLOT_WORDS
from batonics.model.book_checksum import PriceLevel, Queue


class OrderState(NamedTuple):
    """An order in a book.

    Attributes:
        side: 0: bid, 1: ask.
        price: in units of 1e-9.
        size: what is left of it.
        priority: its place in time: of two orders of a price, the one with the smaller is first.
    """

    side: int
    price: int
    size: int
    priority: int


def find_orders(engine: BookEngine, order_ids: NDArray[np.uint64]) -> dict[int, OrderState]:
    """The live orders among some ids."""
    words = engine.state.orders
    bases = live_order_bases(engine.state)
    ids = words[bases + O_ORDER_ID]
    wanted = order_ids.view(np.int64)
    is_wanted = ids == wanted[0] if len(wanted) == 1 else np.isin(ids, wanted)
    bases = bases[is_wanted]
    columns = (*_sides_and_prices(engine, bases), *_sizes_and_priorities(engine, bases))
    found = map(OrderState._make, zip(*(column.tolist() for column in columns), strict=True))
    return dict(zip(ids[is_wanted].view(np.uint64).tolist(), found, strict=True))


def best_queues(
    engine: BookEngine, levels: Levels, depth: int
) -> tuple[list[tuple[PriceLevel, Queue]], list[tuple[PriceLevel, Queue]]]:
    """The best levels of each side with their orders in priority order: bids, asks.

    Args:
        engine: an engine of one book.
        levels: all levels of the book.
        depth: the most levels of each side.
    """
    bases = live_order_bases(engine.state)
    side, price = _sides_and_prices(engine, bases)
    found: list[list[tuple[PriceLevel, Queue]]] = []
    for number, sign in ((0, 1), (1, -1)):
        best = np.flatnonzero(levels.side == number)[:depth]
        prices = levels.price[best]
        # From the best price to the worst one of these.
        is_near = side == number
        if len(prices):
            is_near &= price >= prices[-1] if sign > 0 else price <= prices[-1]
        near = bases[is_near]
        size, priority = _sizes_and_priorities(engine, near)
        by = np.lexsort((priority, ~price[is_near] if sign > 0 else price[is_near]))
        ids = engine.state.orders[near + O_ORDER_ID][by].view(np.uint64).tolist()
        queue = list(zip(ids, size[by].tolist(), strict=True))
        start, rows = 0, list[tuple[PriceLevel, Queue]]()
        columns = prices, levels.size[best], levels.count[best]
        for level in zip(*(column.tolist() for column in columns), strict=True):
            rows.append((level, queue[start : start + level[2]]))
            start += level[2]
        found.append(rows)
    return found[0], found[1]


def has_only_orders(levels: Levels, engine: BookEngine) -> bool:
    """Whether every level consists of orders: a top-of-book publisher's does not (rule 13)."""
    size, _ = _sizes_and_priorities(engine, live_order_bases(engine.state))
    return int(levels.size.sum()) == int(size.sum())


def _sides_and_prices(
    engine: BookEngine, bases: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    words = engine.state.orders
    side = words[bases + O_OWNER] & 1
    slots = words[bases + O_PACKED] >> 32
    return side, engine.state.levels[slots * SLOT_WORDS + L_KEY] ^ -side


def _sizes_and_priorities(
    engine: BookEngine, bases: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    words = engine.state.orders
    return words[bases + O_PACKED] & 0xFFFFFFFF, words[bases + O_PRIORITY]
