"""Ladders: the sorted runs of levels. The last of a run is the best price and is always alive.

`key` and `run` are as `state.py` tells. A level is in a run from the moment it gets size until it
is popped or compacted away; bit 0 of its OWNER word says whether it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import SLOT_WORDS, Ladder, State, Total
from batonics.book.table_kernels import L_KEY, L_OWNER, L_SIZE
from batonics.native import as_word, at, inlined, outlined

START, LENGTH = int(Ladder.START), int(Ladder.LENGTH)
CAPACITY, BEST, EMPTIES = int(Ladder.CAPACITY), int(Ladder.BEST), int(Ladder.EMPTIES)
FIRST_CAPACITY = 16
"""Levels a new run has room for."""
EMPTIES_MIN = 16
"""A run is compacted when it has more empty levels than this plus half its length."""
IN_RUN = 1
T_POOL, T_WIDEST = int(Total.POOL), int(Total.WIDEST)


@outlined
def insert_level(
    run_keys: NDArray[np.int64],
    run_slots: NDArray[np.int32],
    start: int,
    length: int,
    key: int,
    place: int,
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
    # Each step of the bisection is a branch nobody can predict; these are.
    while low < high and run_keys[at(low)] < key:
        low += 1
    for i in range(end, low, -1):
        run_keys[at(i)] = run_keys[at(i - 1)]
        run_slots[at(i)] = run_slots[at(i - 1)]
    run_keys[at(low)] = key
    run_slots[at(low)] = place


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
        slot = as_word(run_slots[at(i)]) * SLOT_WORDS
        if levels[at(slot + L_SIZE)] > 0:
            run_keys[at(kept)] = run_keys[at(i)]
            run_slots[at(kept)] = run_slots[at(i)]
            kept += 1
        else:
            levels[at(slot + L_OWNER)] &= ~IN_RUN
    return kept - start


@outlined
def widen_run(
    books: NDArray[np.int64],
    run_keys: NDArray[np.int64],
    run_slots: NDArray[np.int32],
    totals: NDArray[np.int64],
    ladder: int,
) -> None:
    """Move a full run to the pool's mark, with twice the capacity."""
    start, length, pool = books[ladder + START], books[ladder + LENGTH], totals[T_POOL]
    for i in range(length):
        run_keys[pool + i] = run_keys[start + i]
        run_slots[pool + i] = run_slots[start + i]
    capacity = 2 * books[ladder + CAPACITY]
    books[ladder + START] = pool
    books[ladder + CAPACITY] = capacity
    totals[T_POOL] = pool + capacity
    totals[T_WIDEST] = max(totals[T_WIDEST], capacity)


@inlined
def raise_level(state: State, ladder: int, place: int) -> None:
    """A level that was empty has got size: see that it is in the run."""
    books, levels = state.books, state.levels
    slot = place * SLOT_WORDS
    if levels[at(slot + L_OWNER)] & IN_RUN:
        books[at(ladder + EMPTIES)] -= 1
        return
    levels[at(slot + L_OWNER)] |= IN_RUN
    length = books[at(ladder + LENGTH)]
    if length == books[at(ladder + CAPACITY)]:
        widen_run(books, state.run_keys, state.run_slots, state.totals, ladder)
    start = books[at(ladder + START)]
    books[at(ladder + LENGTH)] = length + 1
    key, end = levels[at(slot + L_KEY)], start + length
    if length == 0 or state.run_keys[at(end - 1)] < key:
        state.run_keys[at(end)] = key
        state.run_slots[at(end)] = place
        books[at(ladder + BEST)] = place
    else:
        insert_level(state.run_keys, state.run_slots, start, length, key, place)


@inlined
def drop_level(state: State, ladder: int, place: int, none: int) -> None:
    """A level has lost all its size: pop it if it was the best, or leave it empty in the run.

    `none` is the slot that stands for the best of an empty side.
    """
    books, levels = state.books, state.levels
    start, length = books[at(ladder + START)], books[at(ladder + LENGTH)]
    if books[at(ladder + BEST)] == place:
        i = start + length
        best = as_word(place)
        while True:
            levels[at(best * SLOT_WORDS + L_OWNER)] &= ~IN_RUN
            i -= 1
            if i == start:
                best = as_word(none)
                break
            best = as_word(state.run_slots[at(i - 1)])
            if levels[at(best * SLOT_WORDS + L_SIZE)] > 0:
                break
            books[at(ladder + EMPTIES)] -= 1
        books[at(ladder + LENGTH)] = i - start
        books[at(ladder + BEST)] = best
    else:
        empties = books[at(ladder + EMPTIES)] + 1
        if empties > EMPTIES_MIN + (length >> 1):
            books[at(ladder + LENGTH)] = compact_run(
                state.run_keys, state.run_slots, levels, start, length
            )
            empties = 0
        books[at(ladder + EMPTIES)] = empties


@inlined
def open_run(books: NDArray[np.int64], ladder: int, none: int, pool: int) -> int:
    """Give a new book's side its run at the pool's mark; the mark after it."""
    books[at(ladder + START)] = pool
    books[at(ladder + LENGTH)] = 0
    books[at(ladder + CAPACITY)] = FIRST_CAPACITY
    books[at(ladder + BEST)] = none
    books[at(ladder + EMPTIES)] = 0
    return pool + FIRST_CAPACITY
