"""The two hash tables of the state: orders by (book, order_id), levels by (book, side, key).

Linear probing at a load of at most one half. Orders are erased by shifting back what follows, so
there are no tombstones. Levels are never erased one by one: prices come back; what is empty and in
no run is dropped when the table is rebuilt. The host makes room (`engine.py`); here is only room.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import (
    ASK_LADDER,
    BID_LADDER,
    BOOK_WORDS,
    NO_ASK,
    SLOT_WORDS,
    Book,
    Ladder,
    Level,
    Order,
)
from batonics.native import as_word, at, inlined, kernel

O_ID, O_OWNER = int(Order.ORDER_ID), int(Order.OWNER)
O_PRIORITY, O_PACKED = int(Order.PRIORITY), int(Order.PACKED)
L_KEY, L_OWNER, L_SIZE, L_COUNT = (int(word) for word in Level)
FLOOR, START, LENGTH, BEST = Ladder.FLOOR + 0, Ladder.START + 0, Ladder.LENGTH + 0, Ladder.BEST + 0
B_KEY = int(Book.KEY)
FIRST_LEVEL = NO_ASK + 1

# Odd 64-bit multipliers (golden ratio; xxHash's second prime): Knuth's multiplicative hashing.
MIX_ID = np.uint64(0x9E3779B97F4A7C15)
MIX_OWNER = np.uint64(0xC2B2AE3D27D4EB4F)


@inlined
def order_home(order_id: int, book: int, shift: int) -> int:
    """The slot where the search for an order begins."""
    mixed = np.uint64(order_id) * MIX_ID + np.uint64(book) * MIX_OWNER
    return as_word(mixed >> np.uint64(shift))


@inlined
def level_home(key: int, owner: int, shift: int) -> int:
    """The slot where the search for a level begins. Keys are multiples of a tick: fold them."""
    mixed = np.uint64(key) + np.uint64(owner) * MIX_OWNER
    mixed ^= mixed >> np.uint64(32)
    return as_word((mixed * MIX_ID) >> np.uint64(shift))


@inlined
def find_order(orders: NDArray[np.int64], mask: int, home: int, order_id: int, book: int) -> int:
    """The order's slot in words, or ~slot of the free one where it would go."""
    place = home
    while True:
        slot = place * SLOT_WORDS
        owner = orders[at(slot + O_OWNER)]
        if orders[at(slot + O_ID)] == order_id and (owner >> 1) == book:
            return slot
        if owner < 0:
            return ~slot
        place = (place + 1) & mask


@inlined
def erase_order(orders: NDArray[np.int64], mask: int, shift: int, slot: int) -> None:
    """Free a slot, and shift back the slots after it that would no longer be found."""
    hole = slot // SLOT_WORDS
    place = hole
    while True:
        place = (place + 1) & mask
        word = place * SLOT_WORDS
        owner = orders[at(word + O_OWNER)]
        if owner < 0:
            break
        home = order_home(orders[at(word + O_ID)], owner >> 1, shift)
        if ((place - home) & mask) >= ((place - hole) & mask):
            for field in range(SLOT_WORDS):
                orders[at(hole * SLOT_WORDS + field)] = orders[at(word + field)]
            hole = place
    orders[at(hole * SLOT_WORDS + O_OWNER)] = -1


@inlined
def find_level(levels: NDArray[np.int64], mask: int, shift: int, key: int, owner: int) -> int:
    """The level's slot, taken now if it was not there yet (its OWNER word then has no size)."""
    place = level_home(key, owner, shift)
    while True:
        slot = place * SLOT_WORDS
        stored = levels[at(slot + L_OWNER)]
        if levels[at(slot + L_KEY)] == key and (stored >> 1) == owner:
            return place
        if stored == 0:
            levels[at(slot + L_KEY)] = key
            levels[at(slot + L_OWNER)] = owner << 1
            return ~place
        place = (place + 1) & mask


@inlined
def find_book(index: NDArray[np.int64], mask: int, key: int) -> int:
    """The place of a book's key in the index, or ~place of the free one where it would go."""
    place = as_word((np.uint64(key) * MIX_ID) >> np.uint64(32)) & mask
    while True:
        stored = index[at(2 * place + 1)]
        if stored == 0:
            return ~place
        if index[at(2 * place)] == key:
            return place
        place = (place + 1) & mask


@kernel
def rebuild_orders(
    old: NDArray[np.int64], new: NDArray[np.int64], mask: int, shift: int, books: NDArray[np.int64]
) -> int:
    """Copy the live orders to a new table; how many they are."""
    alive = 0
    for slot in range(0, len(old), SLOT_WORDS):
        owner = old[slot + O_OWNER]
        if owner < 0:
            continue
        side = BID_LADDER + (ASK_LADDER - BID_LADDER) * (owner & 1)
        if old[slot + O_PRIORITY] < books[(owner >> 1) * BOOK_WORDS + side + FLOOR]:
            continue
        order_id = old[slot + O_ID]
        home = order_home(order_id, owner >> 1, shift)
        to = ~find_order(new, mask, home, order_id, owner >> 1)
        for field in range(SLOT_WORDS):
            new[to + field] = old[slot + field]
        alive += 1
    return alive


@kernel
def rebuild_levels(
    old: NDArray[np.int64],
    new: NDArray[np.int64],
    mask: int,
    shift: int,
    orders: NDArray[np.int64],
    books: NDArray[np.int64],
    book_count: int,
    run_slots: NDArray[np.int32],
    moved: NDArray[np.int64],
) -> int:
    """Copy the levels that are in a run to a new table and mend all that points at them.

    `moved` is scratch: a zero for each slot of the old table.
    """
    moved[NO_ASK] = NO_ASK
    taken = FIRST_LEVEL
    for place in range(FIRST_LEVEL, len(old) // SLOT_WORDS):
        owner = old[place * SLOT_WORDS + L_OWNER]
        if owner & 1 == 0 or owner < 0:
            continue
        to = ~find_level(new, mask, shift, old[place * SLOT_WORDS + L_KEY], owner >> 1)
        for field in range(SLOT_WORDS):
            new[to * SLOT_WORDS + field] = old[place * SLOT_WORDS + field]
        moved[place] = to
        taken += 1
    for slot in range(0, len(orders), SLOT_WORDS):
        packed = orders[slot + O_PACKED]
        orders[slot + O_PACKED] = moved[packed >> 32] << 32 | packed & 0xFFFFFFFF
    for book in range(book_count):
        for side in (BID_LADDER, ASK_LADDER):
            ladder = book * BOOK_WORDS + side
            books[ladder + BEST] = moved[books[ladder + BEST]]
            start = books[ladder + START]
            for place in range(start, start + books[ladder + LENGTH]):
                run_slots[place] = moved[run_slots[place]]
    return taken


@kernel
def rebuild_index(index: NDArray[np.int64], books: NDArray[np.int64], book_count: int) -> None:
    """Fill an empty index with the books' keys."""
    mask = len(index) // 2 - 1
    for book in range(book_count):
        place = ~find_book(index, mask, books[book * BOOK_WORDS + B_KEY])
        index[2 * place] = books[book * BOOK_WORDS + B_KEY]
        index[2 * place + 1] = book + 1
