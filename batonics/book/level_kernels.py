"""Levels: the size and count that orders add to them and take from them, each change a delta.

The rule here: size and count of a level change in this file alone, each time with a level delta
where deltas are kept. So the sum of a level's deltas is the level.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.book.ladder_kernels import IN_RUN, enter_run, leave_run
from batonics.book.state import (
    ANOMALIES,
    B_EVENTS,
    B_TOP_BITS,
    BOOK_WORDS,
    DELTA_WORDS,
    L_COUNT,
    L_KEY,
    L_OWNER,
    L_SIZE,
    LADDER_BEST,
    LADDER_EMPTY,
    LADDER_FLOOR,
    LADDER_LENGTH,
    LADDER_START,
    NO_ASK,
    NO_BID,
    SLOT_WORDS,
    T_DELTAS,
    T_LEVELS,
    T_PRIORITY,
    Outputs,
    State,
)
from batonics.book.table_kernels import find_level, ladder_base, shift_of
from batonics.book.top_kernels import mark_changed
from batonics.hash_kernels import read_salt
from batonics.native import as_word, at, inlined, outlined

# numba compiles a helper anew for each literal that it is given, but once for these.
ZERO: int = np.int64(0)  # type: ignore[assignment]  # to Python it is an int
ONE: int = np.int64(1)  # type: ignore[assignment]
NO_FAULT = -1
"""In place of an anomaly."""


@inlined
def count_anomaly(state: State, book: int, anomaly: int) -> None:
    """Count an anomaly of a book."""
    state.anomalies[book * ANOMALIES + anomaly] += 1


@inlined
def write_delta(
    deltas: NDArray[np.int64],
    n: int,
    row: int,
    book: int,
    event: int,
    side: int,
    key: int,
    size: int,
    count: int,
) -> int:
    """Write a level delta; the number of deltas then."""
    word = n * DELTA_WORDS
    deltas[at(word)] = row
    deltas[at(word + 1)] = book
    deltas[at(word + 2)] = event
    deltas[at(word + 3)] = side
    deltas[at(word + 4)] = key ^ -side
    deltas[at(word + 5)] = size
    deltas[at(word + 6)] = count
    return n + 1


@inlined
def take_from_level(
    state: State,
    out: Outputs,
    delta_count: int,
    row: int,
    book: int,
    side: int,
    slot: int,
    size: int,
    count: int,
) -> int:
    """Take an order's size from its level; the number of deltas then."""
    levels, base = state.levels, slot * SLOT_WORDS
    mark_changed(state, out, book, side, levels[at(base + L_KEY)])
    left = levels[at(base + L_SIZE)] - size
    levels[at(base + L_SIZE)] = left
    levels[at(base + L_COUNT)] -= count
    if len(out.deltas) > 0 and size > 0:
        key, event = levels[at(base + L_KEY)], state.books[at(book * BOOK_WORDS + B_EVENTS)] >> 1
        delta_count = write_delta(
            out.deltas, delta_count, row, book, event, side, key, -size, -count
        )
    if left == 0:
        leave_run(state, ladder_base(book, side), slot, NO_ASK if side else NO_BID)
    return delta_count


@inlined
def add_to_level(
    state: State,
    out: Outputs,
    delta_count: int,
    row: int,
    book: int,
    side: int,
    slot: int,
    size: int,
    count: int,
) -> int:
    """Add an order's size to its level; the number of deltas then."""
    levels, base = state.levels, slot * SLOT_WORDS
    mark_changed(state, out, book, side, levels[at(base + L_KEY)])
    before = levels[at(base + L_SIZE)]
    levels[at(base + L_SIZE)] = before + size
    levels[at(base + L_COUNT)] += count
    if len(out.deltas) > 0:
        key, event = levels[at(base + L_KEY)], state.books[at(book * BOOK_WORDS + B_EVENTS)] >> 1
        delta_count = write_delta(out.deltas, delta_count, row, book, event, side, key, size, count)
    if before == 0:
        enter_run(state, ladder_base(book, side), slot)
    return delta_count


@outlined
def clear_side(
    levels: NDArray[np.int64],
    books: NDArray[np.int64],
    run_slots: NDArray[np.int32],
    totals: NDArray[np.int64],
    deltas: NDArray[np.int64],
    row: int,
    book: int,
    side: int,
) -> bool:
    """Empty one side of a book, with a delta for each level; False if the side was empty."""
    ladder = ladder_base(book, side)
    start, n = books[ladder + LADDER_START], totals[T_DELTAS]
    found = False
    for i in range(start, start + books[ladder + LADDER_LENGTH]):
        base = as_word(run_slots[i]) * SLOT_WORDS
        if levels[base + L_SIZE] > 0:
            found = True
            if len(deltas) > 0:
                size, count = -levels[base + L_SIZE], -levels[base + L_COUNT]
                event = books[book * BOOK_WORDS + B_EVENTS] >> 1
                n = write_delta(
                    deltas, n, row, book, event, side, levels[base + L_KEY], size, count
                )
        levels[base + L_OWNER] &= ~IN_RUN
        levels[base + L_SIZE] = 0
        levels[base + L_COUNT] = 0
    totals[T_DELTAS] = n
    books[book * BOOK_WORDS + B_TOP_BITS] |= 1 << side
    books[ladder + LADDER_FLOOR] = totals[T_PRIORITY] + 1
    books[ladder + LADDER_LENGTH] = 0
    books[ladder + LADDER_EMPTY] = 0
    books[ladder + LADDER_BEST] = NO_ASK if side else NO_BID
    return found


@inlined
def clear_book(state: State, out: Outputs, row: int, book: int) -> bool:
    """Empty both sides of a book; False if it was empty."""
    found = False
    for side in range(2):
        found |= clear_side(
            state.levels, state.books, state.run_slots, state.totals, out.deltas, row, book, side
        )
    return found


@inlined
def put_level(
    state: State, out: Outputs, row: int, book: int, side: int, key: int, size: int
) -> None:
    """Put the level of a top-of-book record, which counts no orders (rule 13), on an empty side."""
    levels, totals = state.levels, state.totals
    mask = len(levels) // SLOT_WORDS - 1
    salt = read_salt(state.salt)
    slot = find_level(levels, mask, shift_of(mask), salt, key, (book << 1 | side) + 1)
    if slot < 0:
        slot = ~slot
        totals[T_LEVELS] += 1
    levels[slot * SLOT_WORDS + L_SIZE] = size
    enter_run(state, ladder_base(book, side), slot)
    if len(out.deltas) > 0:
        event = state.books[book * BOOK_WORDS + B_EVENTS] >> 1
        totals[T_DELTAS] = write_delta(
            out.deltas, totals[T_DELTAS], row, book, event, side, key, size, ZERO
        )
