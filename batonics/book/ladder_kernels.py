"""Ladders: the sorted runs of levels. The last level of a run is the best, and is never empty.

`state.py` describes keys and runs. A level enters its run when it gets size, and leaves it when it
is popped or compacted away. Bit 0 of its OWNER word (`IN_RUN`) says whether it is in the run.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import (
    L_KEY,
    L_OWNER,
    L_SIZE,
    LADDER_BEST,
    LADDER_CAPACITY,
    LADDER_EMPTY,
    LADDER_LENGTH,
    LADDER_START,
    SLOT_WORDS,
    T_POOL,
    T_WIDEST,
    State,
)
from batonics.native import as_word, at, inlined, outlined

FIRST_CAPACITY = 16
"""Levels that a new run has room for."""
EMPTY_MIN = 16
"""A run is compacted when it has more empty levels than this plus half its length."""
IN_RUN = 1


@outlined
def insert_level(
    run_keys: NDArray[np.int64],
    run_slots: NDArray[np.int32],
    start: int,
    length: int,
    key: int,
    slot: int,
) -> None:
    """Put a level into a run, behind the best."""
    low, end = start, start + length
    high = end
    while high - low > 8:
        middle = (low + high) >> 1
        if run_keys[at(middle)] > key:
            high = middle
        else:
            low = middle + 1
    # No processor can predict the branches of a bisection; it can predict these.
    while low < high and run_keys[at(low)] < key:
        low += 1
    for i in range(end, low, -1):
        run_keys[at(i)] = run_keys[at(i - 1)]
        run_slots[at(i)] = run_slots[at(i - 1)]
    run_keys[at(low)] = key
    run_slots[at(low)] = slot


@outlined
def compact_run(
    run_keys: NDArray[np.int64],
    run_slots: NDArray[np.int32],
    levels: NDArray[np.int64],
    start: int,
    length: int,
) -> int:
    """Drop the empty levels of a run; its new length."""
    kept = start
    for i in range(start, start + length):
        base = as_word(run_slots[at(i)]) * SLOT_WORDS
        if levels[at(base + L_SIZE)] > 0:
            run_keys[at(kept)] = run_keys[at(i)]
            run_slots[at(kept)] = run_slots[at(i)]
            kept += 1
        else:
            levels[at(base + L_OWNER)] &= ~IN_RUN
    return kept - start


@outlined
def widen_run(
    books: NDArray[np.int64],
    run_keys: NDArray[np.int64],
    run_slots: NDArray[np.int32],
    totals: NDArray[np.int64],
    ladder: int,
) -> None:
    """Move a full run to the free end of the pool, with twice the capacity."""
    start, length, pool = (
        books[ladder + LADDER_START],
        books[ladder + LADDER_LENGTH],
        totals[T_POOL],
    )
    for i in range(length):
        run_keys[pool + i] = run_keys[start + i]
        run_slots[pool + i] = run_slots[start + i]
    capacity = 2 * books[ladder + LADDER_CAPACITY]
    books[ladder + LADDER_START] = pool
    books[ladder + LADDER_CAPACITY] = capacity
    totals[T_POOL] = pool + capacity
    totals[T_WIDEST] = max(totals[T_WIDEST], capacity)


@inlined
def enter_run(state: State, ladder: int, slot: int) -> None:
    """Put a level that was empty and has got size into its run, if it is not there still."""
    books, levels = state.books, state.levels
    base = slot * SLOT_WORDS
    if levels[at(base + L_OWNER)] & IN_RUN:
        books[at(ladder + LADDER_EMPTY)] -= 1
        return
    levels[at(base + L_OWNER)] |= IN_RUN
    length = books[at(ladder + LADDER_LENGTH)]
    if length == books[at(ladder + LADDER_CAPACITY)]:
        widen_run(books, state.run_keys, state.run_slots, state.totals, ladder)
    start = books[at(ladder + LADDER_START)]
    books[at(ladder + LADDER_LENGTH)] = length + 1
    key, end = levels[at(base + L_KEY)], start + length
    if length == 0 or state.run_keys[at(end - 1)] < key:
        state.run_keys[at(end)] = key
        state.run_slots[at(end)] = slot
        books[at(ladder + LADDER_BEST)] = slot
    else:
        insert_level(state.run_keys, state.run_slots, start, length, key, slot)


@inlined
def leave_run(state: State, ladder: int, slot: int, none: int) -> None:
    """Pop a level that has lost all its size, if it is the best; else it stays, empty, in the run.

    `none` is the slot that stands for the best level of an empty side.
    """
    books, levels = state.books, state.levels
    start, length = books[at(ladder + LADDER_START)], books[at(ladder + LADDER_LENGTH)]
    if books[at(ladder + LADDER_BEST)] == slot:
        i = start + length
        best = as_word(slot)
        while True:
            levels[at(best * SLOT_WORDS + L_OWNER)] &= ~IN_RUN
            i -= 1
            if i == start:
                best = as_word(none)
                break
            best = as_word(state.run_slots[at(i - 1)])
            if levels[at(best * SLOT_WORDS + L_SIZE)] > 0:
                break
            books[at(ladder + LADDER_EMPTY)] -= 1
        books[at(ladder + LADDER_LENGTH)] = i - start
        books[at(ladder + LADDER_BEST)] = best
    else:
        empty = books[at(ladder + LADDER_EMPTY)] + 1
        if empty > EMPTY_MIN + (length >> 1):
            books[at(ladder + LADDER_LENGTH)] = compact_run(
                state.run_keys, state.run_slots, levels, start, length
            )
            empty = 0
        books[at(ladder + LADDER_EMPTY)] = empty


@inlined
def open_run(books: NDArray[np.int64], ladder: int, none: int, pool: int) -> int:
    """Give a side of a new book its run at the free end of the pool; where that is then."""
    books[at(ladder + LADDER_START)] = pool
    books[at(ladder + LADDER_LENGTH)] = 0
    books[at(ladder + LADDER_CAPACITY)] = FIRST_CAPACITY
    books[at(ladder + LADDER_BEST)] = none
    books[at(ladder + LADDER_EMPTY)] = 0
    return pool + FIRST_CAPACITY
