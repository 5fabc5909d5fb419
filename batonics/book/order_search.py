"""Orders of a book: some by their ids, and the queues of its best levels.

The rule here: `find_orders` costs what it looks for. The other functions visit the table of orders
once, by numpy.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book import order_search_kernels
from batonics.book.order_search_kernels import FOUND_WORDS
from batonics.book.reader import BookReader, live_order_bases
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


LevelQueues = list[tuple[PriceLevel, Queue]]
"""Levels of a side, each with its orders in priority order."""


def find_orders(
    engine: BookReader, order_ids: Collection[int], book: int = 0
) -> dict[int, OrderState]:
    """The live orders of a book among some ids.

    Args:
        engine: the books.
        order_ids: the ids, each below 2^64.
        book: the number of the book.
    """
    wanted = np.array(list(order_ids), np.uint64)
    found = np.empty(FOUND_WORDS * len(wanted), np.int64)
    order_search_kernels.find_orders(engine.state, book, wanted.view(np.int64), found)
    rows = zip(order_ids, found.reshape(-1, FOUND_WORDS).tolist(), strict=True)
    return {order_id: OrderState._make(row) for order_id, row in rows if row[0] >= 0}


def find_queues(
    engine: BookReader, bids: Sequence[PriceLevel], asks: Sequence[PriceLevel], book: int = 0
) -> tuple[LevelQueues, LevelQueues]:
    """The best levels of each side with their orders in priority order: bids, asks.

    Args:
        engine: the books.
        bids: the best bids, the best first (`BookReader.best_levels`).
        asks: the best asks likewise.
        book: the number of the book.
    """
    bases = _order_bases(engine, book)
    side, price = _sides_and_prices(engine, bases)
    found: list[LevelQueues] = []
    for number, levels in ((0, bids), (1, asks)):
        is_near = side == number
        if levels:  # from the best price to the worst one of these
            worst = levels[-1][0]
            is_near &= price <= worst if number else price >= worst
        near = bases[is_near]
        size, priority = _sizes_and_priorities(engine, near)
        # ~price sorts the best bid first without overflow.
        by = np.lexsort((priority, price[is_near] if number else ~price[is_near]))
        ids = engine.state.orders[near + O_ORDER_ID][by].view(np.uint64).tolist()
        queue = list(zip(ids, size[by].tolist(), strict=True))
        start, rows = 0, LevelQueues()
        for level in levels:
            rows.append((level, queue[start : start + level[2]]))
            start += level[2]
        found.append(rows)
    return found[0], found[1]


def has_only_orders(engine: BookReader, book: int = 0) -> bool:
    """Whether every level of a book consists of orders.

    A top-of-book publisher's does not (rule 13).
    """
    size, _ = _sizes_and_priorities(engine, _order_bases(engine, book))
    sides = engine.best_levels(book)
    return sum(level[1] for side in sides for level in side) == int(size.sum())


def _order_bases(engine: BookReader, book: int) -> NDArray[np.int64]:
    """Where the live orders of a book begin in `State.orders`."""
    bases = live_order_bases(engine.state)
    if engine.book_count > 1:
        bases = bases[engine.state.orders[bases + O_OWNER] >> 1 == book]
    return bases


def _sides_and_prices(
    engine: BookReader, bases: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    words = engine.state.orders
    side = words[bases + O_OWNER] & 1
    slots = words[bases + O_PACKED] >> 32
    return side, engine.state.levels[slots * SLOT_WORDS + L_KEY] ^ -side


def _sizes_and_priorities(
    engine: BookReader, bases: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    words = engine.state.orders
    return words[bases + O_PACKED] & 0xFFFFFFFF, words[bases + O_PRIORITY]
