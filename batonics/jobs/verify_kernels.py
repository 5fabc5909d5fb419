"""Compares what has changed since the last check in the fold's state and in the reference.

The rule here: nothing is changed in the fold's state. Its levels are read from its ladders, as
every reader does, and an order's place in its queue is compared with its neighbours' alone: only
orders that changed can have come before or behind another one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import (
    B_EVENTS,
    B_STATUS,
    BOOK_WORDS,
    L_COUNT,
    L_KEY,
    L_OWNER,
    L_SIZE,
    LADDER_FLOOR,
    LADDER_LENGTH,
    LADDER_START,
    O_OWNER,
    O_PACKED,
    O_PRIORITY,
    SLOT_WORDS,
    State,
)
from batonics.book.table_kernels import (
    SIZE_MASK,
    find_book,
    find_order,
    ladder_base,
    order_home,
    shift_of,
)
from batonics.hash_kernels import read_salt
from batonics.native import as_word, at, inlined, kernel, outlined
from batonics.reference.node_kernels import (
    W_BOOK_WORDS,
    W_COUNT,
    W_ID,
    W_IN_CHECK,
    W_KEY,
    W_LEVEL,
    W_LEVEL_SIZE,
    W_LEVEL_WORDS,
    W_NEXT,
    W_ORDER_WORDS,
    W_OWNER,
    W_PREVIOUS,
    W_PRICE,
    W_SIZE,
    W_STATUS,
    W_TOP_PRICE,
    W_TOP_SIZE,
    W_TOUCHED,
    W_TOUCHED_BOOKS,
    W_TOUCHED_LEVELS,
    W_TOUCHED_ORDERS,
    Witness,
    release_book,
)

COMPARED_BOOKS, COMPARED_LEVELS, COMPARED_ORDERS, DIFFERING, DIFFERING_KEY = 0, 1, 2, 3, 4
COMPARED_WORDS = 5
"""Words of `compare_changes`: how much was compared, how much of it differs, the key of a book."""


@inlined
def find_live_order(state: State, book: int, order_id: int) -> int:
    """The base of an order of the fold; -1 if it is in no book."""
    mask = len(state.orders) // SLOT_WORDS - 1
    home = order_home(order_id, book, shift_of(mask), read_salt(state.salt))
    base = find_order(state.orders, mask, home, order_id, book)
    if base < 0:
        return as_word(-1)
    side = state.orders[at(base + O_OWNER)] & 1
    floor = state.books[at(ladder_base(book, side) + LADDER_FLOOR)]
    return as_word(base if state.orders[at(base + O_PRIORITY)] >= floor else -1)


@inlined
def find_in_ladder(state: State, book: int, side: int, price: int) -> int:
    """The base of a level of the fold; -1 if it is in no ladder."""
    ladder, key = ladder_base(book, side), price ^ -side
    start = state.books[at(ladder + LADDER_START)]
    low, high = start, start + state.books[at(ladder + LADDER_LENGTH)]
    while low < high:
        middle = (low + high) >> 1
        if state.run_keys[at(middle)] < key:
            low = middle + 1
        else:
            high = middle
    if low == start + state.books[at(ladder + LADDER_LENGTH)] or state.run_keys[at(low)] != key:
        return as_word(-1)
    return as_word(state.run_slots[at(low)]) * SLOT_WORDS


@outlined
def level_agrees(state: State, witness: Witness, node: int, book: int) -> bool:
    """Whether a level of the reference has the same size and count in the fold."""
    base = node * W_LEVEL_WORDS
    owner, price = witness.levels[base + W_OWNER], witness.levels[base + W_PRICE]
    side, size = owner & 1, witness.levels[base + W_LEVEL_SIZE]
    top = (owner >> 1) * W_BOOK_WORDS + side
    if witness.books[top + W_TOP_SIZE] and witness.books[top + W_TOP_PRICE] == price:
        size += witness.books[top + W_TOP_SIZE]
    found = find_in_ladder(state, book, side, price)
    if found < 0:
        return as_word(size) == 0
    if state.levels[found + L_SIZE] != size:
        return False
    return as_word(state.levels[found + L_COUNT]) == as_word(witness.levels[base + W_COUNT])


@outlined
def order_agrees(state: State, witness: Witness, node: int, book: int) -> bool:
    """Whether an order of the reference has the same level, size and neighbours in the fold."""
    orders, base = witness.orders, node * W_ORDER_WORDS
    found = find_live_order(state, book, orders[base + W_ID])
    if orders[base + W_SIZE] == 0 or found < 0:
        return as_word(orders[base + W_SIZE]) == 0 and found < 0
    side = orders[base + W_OWNER] & 1
    packed = state.orders[found + O_PACKED]
    level = (packed >> 32) * SLOT_WORDS
    price = witness.levels[orders[base + W_LEVEL] * W_LEVEL_WORDS + W_PRICE]
    if level < 0 or level >= len(state.levels):
        return False
    if (
        state.orders[found + O_OWNER] != book << 1 | side
        or packed & SIZE_MASK != orders[base + W_SIZE]
    ):
        return False
    if state.levels[level + L_OWNER] >> 1 != (book << 1 | side) + 1:
        return False
    if state.levels[level + L_KEY] != price ^ -side:
        return False
    priority = state.orders[found + O_PRIORITY]
    before, behind = orders[base + W_PREVIOUS], orders[base + W_NEXT]
    if before:
        other = find_live_order(state, book, orders[before * W_ORDER_WORDS + W_ID])
        if other < 0 or state.orders[other + O_PRIORITY] >= priority:
            return False
    if behind:
        other = find_live_order(state, book, orders[behind * W_ORDER_WORDS + W_ID])
        if other < 0 or state.orders[other + O_PRIORITY] <= priority:
            return False
    return True


@outlined
def compare_book(
    state: State, witness: Witness, number: int, book: int, compared: NDArray[np.int64]
) -> None:
    """Compare what has changed of a book, `number` in the reference and `book` in the fold."""
    first = number * W_BOOK_WORDS
    compared[COMPARED_BOOKS] += 1
    if witness.books[first + W_STATUS] != state.books[book * BOOK_WORDS + B_STATUS]:
        compared[DIFFERING] += 1
    node = as_word(witness.books[first + W_TOUCHED_LEVELS])
    while node:
        compared[COMPARED_LEVELS] += 1
        if not level_agrees(state, witness, node, book):
            compared[DIFFERING] += 1
        node = as_word(witness.levels[node * W_LEVEL_WORDS + W_TOUCHED])
    node = as_word(witness.books[first + W_TOUCHED_ORDERS])
    while node:
        compared[COMPARED_ORDERS] += 1
        if not order_agrees(state, witness, node, book):
            compared[DIFFERING] += 1
        node = as_word(witness.orders[node * W_ORDER_WORDS + W_TOUCHED])


@inlined
def find_engine_book(state: State, witness: Witness, number: int) -> int:
    """The book of the fold with the key of a book of the reference; -1: it has none."""
    index_mask, salt = len(state.book_index) // 2 - 1, read_salt(state.salt)
    pair = find_book(
        state.book_index, index_mask, salt, witness.books[number * W_BOOK_WORDS + W_KEY]
    )
    return as_word(-1) if pair < 0 else as_word(state.book_index[2 * pair + 1] - 1)


@inlined
def waits_for_event(state: State, book: int) -> bool:
    """Whether a book is in the middle of an event: the check after it compares it (rule 5)."""
    return as_word(state.books[book * BOOK_WORDS + B_EVENTS]) & 1 == 1


@kernel
def compare_changes(
    state: State, witness: Witness, first: int, step: int, compared: NDArray[np.int64]
) -> None:
    """Compare every `step`-th of the books that have changed, from `first` on.

    Nothing is changed but `compared`, so several threads share the books. Its words grow;
    DIFFERING_KEY is the key of a book that differs.
    """
    for position in range(first, witness.totals[W_TOUCHED_BOOKS], step):
        number = witness.touched_books[position]
        book, differing = find_engine_book(state, witness, number), compared[DIFFERING]
        if book < 0:
            compared[DIFFERING] += 1
        elif not waits_for_event(state, book):
            compare_book(state, witness, number, book, compared)
        if compared[DIFFERING] > differing:
            compared[DIFFERING_KEY] = witness.books[number * W_BOOK_WORDS + W_KEY]


@kernel
def forget_compared(state: State, witness: Witness) -> None:
    """Forget the changes of the books that `compare_changes` has compared."""
    for position in range(witness.totals[W_TOUCHED_BOOKS]):
        number = witness.touched_books[position]
        witness.books[number * W_BOOK_WORDS + W_IN_CHECK] = 0
        book = find_engine_book(state, witness, number)
        if book < 0 or not waits_for_event(state, book):
            release_book(witness, number)
    witness.totals[W_TOUCHED_BOOKS] = 0
