"""The hash tables of the state: orders by (book, order id), levels by (book, side, key), books.

The rule here: there is room. The host makes it before each call of the fold (`growth.py`).

Hashes are salted, so no data make the searches long. Probing is linear, at a load of at most one
half. Erasing an order shifts the following ones back,
so there are no tombstones. Levels are never erased one by one, since prices come back; rebuilding
the table drops those that are in no run.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import (
    ASK_LADDER,
    B_KEY,
    BID_LADDER,
    BOOK_WORDS,
    L_KEY,
    L_OWNER,
    LADDER_BEST,
    LADDER_FLOOR,
    LADDER_LENGTH,
    LADDER_START,
    NO_ASK,
    O_ORDER_ID,
    O_OWNER,
    O_PACKED,
    O_PRIORITY,
    SLOT_WORDS,
)
from batonics.hash_kernels import Salt, mix, read_salt, slot_of, spread
from batonics.native import as_word, at, inlined, kernel

SIZE_MASK = 0xFFFFFFFF
"""The bits of `Order.PACKED` that hold the size."""


@inlined
def shift_of(mask: int) -> int:
    """How far a hash is shifted down to a slot: 64 less the bits of a table's mask."""
    bits = 0
    while mask >> bits:
        bits += 1
    return 64 - bits


@inlined
def ladder_base(book: int, side: int) -> int:
    """The index of the first word of a side of a book."""
    return book * BOOK_WORDS + BID_LADDER + (ASK_LADDER - BID_LADDER) * side


@inlined
def order_home(order_id: int, book: int, shift: int, salt: Salt) -> int:
    """The slot where the search for an order begins."""
    return slot_of(spread(order_id, book, salt), shift)


@inlined
def level_home(key: int, owner: int, shift: int, salt: Salt) -> int:
    """The slot where the search for a level begins."""
    return slot_of(mix(key, owner, salt), shift)


@inlined
def find_order(orders: NDArray[np.int64], mask: int, home: int, order_id: int, book: int) -> int:
    """The base of an order; where it is not in the table, ~base of the free slot for it."""
    slot = home
    while True:
        base = slot * SLOT_WORDS
        owner = orders[at(base + O_OWNER)]
        if orders[at(base + O_ORDER_ID)] == order_id and (owner >> 1) == book:
            return base
        if owner < 0:
            return ~base
        slot = (slot + 1) & mask


@inlined
def erase_order(orders: NDArray[np.int64], mask: int, shift: int, salt: Salt, base: int) -> None:
    """Free the slot at a base, and shift back those after it that a search would no longer find."""
    hole = base // SLOT_WORDS
    slot = hole
    while True:
        slot = (slot + 1) & mask
        word = slot * SLOT_WORDS
        owner = orders[at(word + O_OWNER)]
        if owner < 0:
            break
        home = order_home(orders[at(word + O_ORDER_ID)], owner >> 1, shift, salt)
        if ((slot - home) & mask) >= ((slot - hole) & mask):
            for field in range(SLOT_WORDS):
                orders[at(hole * SLOT_WORDS + field)] = orders[at(word + field)]
            hole = slot
    orders[at(hole * SLOT_WORDS + O_OWNER)] = -1


@inlined
def find_level(
    levels: NDArray[np.int64], mask: int, shift: int, salt: Salt, key: int, owner: int
) -> int:
    """The slot of a level; where it is not in the table, ~slot of a free one that it now takes.

    A level that is new in the table has size and count 0 and is in no run. The caller counts it.
    `owner` is (book << 1 | side) + 1.
    """
    slot = level_home(key, owner, shift, salt)
    while True:
        base = slot * SLOT_WORDS
        stored = levels[at(base + L_OWNER)]
        if levels[at(base + L_KEY)] == key and (stored >> 1) == owner:
            return slot
        if stored == 0:
            levels[at(base + L_KEY)] = key
            levels[at(base + L_OWNER)] = owner << 1
            return ~slot
        slot = (slot + 1) & mask


@inlined
def find_book(index: NDArray[np.int64], mask: int, salt: Salt, key: int) -> int:
    """The pair of a book's key in the index; where it is missing, ~pair of the free one for it."""
    pair = as_word(mix(key, 0, salt) >> np.uint64(32)) & mask
    while True:
        stored = index[at(2 * pair + 1)]
        if stored == 0:
            return ~pair
        if index[at(2 * pair)] == key:
            return pair
        pair = (pair + 1) & mask


@kernel
def rebuild_orders(
    old: NDArray[np.int64],
    new: NDArray[np.int64],
    mask: int,
    shift: int,
    salt_words: NDArray[np.uint64],
    books: NDArray[np.int64],
) -> int:
    """Copy the live orders to a new table; how many there are."""
    live, salt = 0, read_salt(salt_words)
    for base in range(0, len(old), SLOT_WORDS):
        owner = old[base + O_OWNER]
        if owner < 0:
            continue
        if old[base + O_PRIORITY] < books[ladder_base(owner >> 1, owner & 1) + LADDER_FLOOR]:
            continue
        order_id = old[base + O_ORDER_ID]
        home = order_home(order_id, owner >> 1, shift, salt)
        to = ~find_order(new, mask, home, order_id, owner >> 1)
        for field in range(SLOT_WORDS):
            new[to + field] = old[base + field]
        live += 1
    return live


@kernel
def rebuild_levels(
    old: NDArray[np.int64],
    new: NDArray[np.int64],
    mask: int,
    shift: int,
    salt_words: NDArray[np.uint64],
    orders: NDArray[np.int64],
    books: NDArray[np.int64],
    book_count: int,
    run_slots: NDArray[np.int32],
    moved: NDArray[np.int64],
) -> int:
    """Copy the levels that are in a run to a new table; how many slots of it are taken.

    Orders, runs and best levels then refer to the new slots. `moved` is scratch: a zero for each
    slot of the old table.
    """
    salt = read_salt(salt_words)
    moved[NO_ASK] = NO_ASK
    taken = NO_ASK + 1
    for slot in range(NO_ASK + 1, len(old) // SLOT_WORDS):
        owner = old[slot * SLOT_WORDS + L_OWNER]
        if owner & 1 == 0 or owner < 0:
            continue
        to = ~find_level(new, mask, shift, salt, old[slot * SLOT_WORDS + L_KEY], owner >> 1)
        for field in range(SLOT_WORDS):
            new[to * SLOT_WORDS + field] = old[slot * SLOT_WORDS + field]
        moved[slot] = to
        taken += 1
    for base in range(0, len(orders), SLOT_WORDS):
        packed = orders[base + O_PACKED]
        orders[base + O_PACKED] = moved[packed >> 32] << 32 | packed & SIZE_MASK
    for book in range(book_count):
        for side in range(2):
            ladder = ladder_base(book, side)
            books[ladder + LADDER_BEST] = moved[books[ladder + LADDER_BEST]]
            start = books[ladder + LADDER_START]
            for entry in range(start, start + books[ladder + LADDER_LENGTH]):
                run_slots[entry] = moved[run_slots[entry]]
    return taken


@kernel
def rebuild_index(
    index: NDArray[np.int64],
    salt_words: NDArray[np.uint64],
    books: NDArray[np.int64],
    book_count: int,
) -> None:
    """Fill an empty index with the books' keys."""
    mask, salt = len(index) // 2 - 1, read_salt(salt_words)
    for book in range(book_count):
        key = books[book * BOOK_WORDS + B_KEY]
        pair = ~find_book(index, mask, salt, key)
        index[2 * pair] = key
        index[2 * pair + 1] = book + 1
