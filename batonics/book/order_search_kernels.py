"""Finds orders by their ids, at a cost that does not grow with the book."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import (
    L_KEY,
    LADDER_FLOOR,
    O_OWNER,
    O_PACKED,
    O_PRIORITY,
    SLOT_WORDS,
    State,
)
from batonics.book.table_kernels import SIZE_MASK, find_order, ladder_base, order_home, shift_of
from batonics.hash_kernels import read_salt
from batonics.native import kernel

FOUND_WORDS = 4
"""Words of an order that was looked for: side, price, size and priority; side -1: not live."""


@kernel
def find_orders(
    state: State, book: int, order_ids: NDArray[np.int64], found: NDArray[np.int64]
) -> None:
    """Write FOUND_WORDS words for each id to `found`."""
    orders, levels, salt = state.orders, state.levels, read_salt(state.salt)
    mask = len(orders) // SLOT_WORDS - 1
    shift = shift_of(mask)
    for i in range(len(order_ids)):
        order_id, to = order_ids[i], FOUND_WORDS * i
        base = find_order(orders, mask, order_home(order_id, book, shift, salt), order_id, book)
        found[to] = -1
        if base < 0:
            continue
        side, priority = orders[base + O_OWNER] & 1, orders[base + O_PRIORITY]
        if priority < state.books[ladder_base(book, side) + LADDER_FLOOR]:
            continue
        packed = orders[base + O_PACKED]
        found[to] = side
        found[to + 1] = levels[(packed >> 32) * SLOT_WORDS + L_KEY] ^ -side
        found[to + 2] = packed & SIZE_MASK
        found[to + 3] = priority
