"""The fold: records in, books out.

The rule here: nothing is ever half applied. `fold` stops before a record for which an array lacks
room, and says which one. The host makes room (`engine.py`) and calls again.

`fold` takes a batch in blocks of `BLOCK` records. A first pass finds each record's book and the
slot where the search for its order begins, and prefetches those cache lines. A second pass applies
the records one after the other, each in these steps:

| step            | rules      | records                        | file                |
|-----------------|------------|--------------------------------|---------------------|
| `apply_effects` | 11, 13-17  | R, rare flags, open snapshots  | `effect_kernels.py` |
| `apply_cancel`  | 8, 12      | C                              | `order_kernels.py`  |
| `apply_order`   | 7, 9-12    | A and M                        | `order_kernels.py`  |
| `end_record`    | 5          | all                            | `event_kernels.py`  |

"rule n" is number n of the market-by-order rules in ARCHITECTURE.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.effect_kernels import NO_ROOM, apply_effects
from batonics.book.event_kernels import end_record
from batonics.book.ladder_kernels import FIRST_CAPACITY, open_run
from batonics.book.level_kernels import ONE, ZERO
from batonics.book.order_kernels import (
    Counts,
    Tables,
    apply_cancel,
    apply_order,
    load_counts,
    store_counts,
)
from batonics.book.rule_kernels import is_add_or_modify
from batonics.book.state import (
    ASK_LADDER,
    B_KEY,
    B_LAST_ROW,
    B_RECORD_ROW,
    B_SNAPSHOT_OPEN,
    BID_LADDER,
    BLOCK,
    BOOK_WORDS,
    DELTA_WORDS,
    NO_ASK,
    NO_BID,
    O_ORDER_ID,
    O_PACKED,
    RECORD_BEFORE,
    SLOT_WORDS,
    STOP_BOOKS,
    STOP_DELTAS,
    STOP_DONE,
    STOP_LEVELS,
    STOP_ORDERS,
    STOP_POOL,
    STOP_TOPS,
    T_BOOKS,
    T_DELTAS,
    T_LEVELS,
    T_ORDERS,
    T_POOL,
    T_TOPS,
    T_WIDEST,
    TOP_LEVEL_WORDS,
    TOP_WORDS,
    Events,
    Outputs,
    State,
)
from batonics.book.table_kernels import find_book, level_home, order_home, shift_of
from batonics.book.window_kernels import (
    end_window,
    has_room_for_window,
    keep_levels_before,
    next_bound,
)
from batonics.hash_kernels import read_salt
from batonics.model.mbo import (
    ACTION_ADD,
    ACTION_CANCEL,
    ACTION_CLEAR,
    ACTION_MODIFY,
    F_MAYBE_BAD_BOOK,
    F_MBP,
    F_SNAPSHOT,
    F_TOB,
    SIDE_ASK,
)
from batonics.native import as_word, at, inlined, kernel, outlined, prefetch

LEVELS_IN_CACHE = 1 << 14
"""A table of fewer levels takes half a megabyte at most: it is in a cache, and not prefetched."""
RARE_FLAGS = F_TOB | F_SNAPSHOT | F_MBP | F_MAYBE_BAD_BOOK


class Scratch(NamedTuple):
    """What the first pass over a block finds, for the second; `BLOCK` words each."""

    books: NDArray[np.int64]  # by record of the block: its book
    homes: NDArray[np.int64]  # by record of the block: the slot where its order's search begins


@inlined
def find_lacking_room(state: State, out: Outputs) -> int:
    """The array that lacks room for a block of records, as a `FoldStop`, or STOP_DONE."""
    totals = state.totals
    if totals[T_BOOKS] + BLOCK > len(state.books) // BOOK_WORDS:
        return STOP_BOOKS
    if 2 * (totals[T_ORDERS] + BLOCK) > len(state.orders) // SLOT_WORDS:
        return STOP_ORDERS
    if 2 * (totals[T_LEVELS] + BLOCK) > len(state.levels) // SLOT_WORDS:
        return STOP_LEVELS
    # Each record may bring a book with two runs, or widen one.
    if totals[T_POOL] + 2 * BLOCK * (FIRST_CAPACITY + totals[T_WIDEST]) > len(state.run_keys):
        return STOP_POOL
    if len(out.deltas) > 0 and (totals[T_DELTAS] + 2 * BLOCK) * DELTA_WORDS > len(out.deltas):
        return STOP_DELTAS
    # Each record may end an open snapshot, and then be a trade and end its own event.
    top_words = TOP_WORDS + TOP_LEVEL_WORDS * out.depth
    if out.depth > 0 and (totals[T_TOPS] + 3 * BLOCK) * top_words > len(out.tops):
        return STOP_TOPS
    return STOP_DONE


@outlined
def add_book(
    index: NDArray[np.int64],
    books: NDArray[np.int64],
    totals: NDArray[np.int64],
    pair: int,
    key: int,
) -> int:
    """Give a key that is seen for the first time the next book; its number."""
    book = totals[T_BOOKS]
    base = book * BOOK_WORDS
    books[base + B_KEY] = key
    books[base + B_LAST_ROW] = -1
    books[base + B_RECORD_ROW] = RECORD_BEFORE
    totals[T_POOL] = open_run(books, base + BID_LADDER, as_word(NO_BID), totals[T_POOL])
    totals[T_POOL] = open_run(books, base + ASK_LADDER, as_word(NO_ASK), totals[T_POOL])
    totals[T_BOOKS] = book + 1
    index[2 * pair] = key
    index[2 * pair + 1] = book + 1
    return as_word(book)


@inlined
def may_hold_order(orders: NDArray[np.int64], base: int, order_id: int) -> bool:
    """Whether a slot seems to hold an order; good enough for a prefetch."""
    found: int = orders[at(base + O_ORDER_ID)]
    return found == as_word(order_id)


@inlined
def locate_block(
    events: Events, state: State, tables: Tables, first: int, length: int, scratch: Scratch
) -> None:
    """Find the books of a block's records and where the searches for their orders begin; prefetch.

    Levels that do not fit the cache are prefetched too: that of a new order by its price, that of a
    known one by the order's slot, which has arrived by then.
    """
    index_mask = len(state.book_index) // 2 - 1
    last_key, book = -ONE, ZERO
    for j in range(length):
        row = first + j
        key = as_word(events.publisher_id[at(row)]) << 32 | as_word(events.instrument_id[at(row)])
        if key != last_key:
            last_key = key
            pair = find_book(state.book_index, index_mask, tables.salt, key)
            if pair < 0:
                book = add_book(state.book_index, state.books, state.totals, ~pair, key)
            else:
                book = state.book_index[at(2 * pair + 1)] - 1
            prefetch(state.books, book * BOOK_WORDS)
            prefetch(state.books, book * BOOK_WORDS + BID_LADDER)
            prefetch(state.books, book * BOOK_WORDS + ASK_LADDER)
        scratch.books[at(j)] = book
        order_id = as_word(events.order_id[at(row)])
        home = order_home(order_id, book, tables.order_shift, tables.salt)
        scratch.homes[at(j)] = home
        prefetch(state.orders, home * SLOT_WORDS)
    if len(state.levels) < LEVELS_IN_CACHE * SLOT_WORDS:
        return
    for j in range(length):
        row, base = first + j, scratch.homes[at(j)] * SLOT_WORDS
        action = as_word(events.action[at(row)])
        if action == ACTION_ADD or action == ACTION_MODIFY:
            side = as_word(events.side[at(row)] == SIDE_ASK)
            owner = (scratch.books[at(j)] << 1 | side) + 1
            key = events.price[at(row)] ^ -side
            slot = level_home(key, owner, tables.level_shift, tables.salt)
            prefetch(state.levels, slot * SLOT_WORDS)
        if action != ACTION_ADD and may_hold_order(state.orders, base, events.order_id[at(row)]):
            prefetch(state.levels, (state.orders[at(base + O_PACKED)] >> 32) * SLOT_WORDS)


@kernel
def fold(
    events: Events,
    first: int,
    state: State,
    out: Outputs,
    scratch_arrays: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> tuple[int, int]:
    """Apply the rows of a batch from `first` on; the row it stopped before, and a `FoldStop`.

    `scratch_arrays` are those of a `Scratch`: numba types a plain tuple faster than a named one.
    """
    scratch = Scratch(*scratch_arrays)
    books, totals = state.books, state.totals
    order_mask = len(state.orders) // SLOT_WORDS - 1
    level_mask = len(state.levels) // SLOT_WORDS - 1
    shifts = shift_of(order_mask), shift_of(level_mask)
    tables = Tables(order_mask, shifts[0], level_mask, shifts[1], read_salt(state.salt))
    counts = load_counts(totals)
    rows, stop, bound = len(events.action), STOP_DONE, next_bound(state, out)
    while first < rows:
        store_counts(totals, counts)
        stop = find_lacking_room(state, out)
        if stop != STOP_DONE:
            break
        length = min(BLOCK, rows - first)
        locate_block(events, state, tables, first, length, scratch)
        for j in range(length):
            row, book, home = first + j, scratch.books[at(j)], scratch.homes[at(j)]
            action, flags = as_word(events.action[at(row)]), as_word(events.flags[at(row)])
            if row == bound:
                if not has_room_for_window(state, out):
                    first, length, stop = row, 0, STOP_TOPS
                    break
                end_window(state, out)
                bound = next_bound(state, out)
            snapshot_open = books[at(book * BOOK_WORDS + B_SNAPSHOT_OPEN)]
            if flags & RARE_FLAGS or snapshot_open or action == ACTION_CLEAR:
                store_counts(totals, counts)
                action = apply_effects(state, out, events, row, book)
                counts = load_counts(totals)
                if action == NO_ROOM:
                    first, length, stop = row, 0, STOP_DELTAS
                    break
            elif len(out.levels_before) > 0:
                keep_levels_before(state, out, book, flags)
            if action == ACTION_CANCEL:
                counts = apply_cancel(events, state, out, tables, counts, row, book, home)
            elif is_add_or_modify(action):
                counts = apply_order(events, state, out, tables, counts, row, book, home, action)
            ends = end_record(events, state, out, counts.event_ends, row, book, flags)
            counts = Counts(counts.priority, counts.orders, counts.levels, counts.deltas, ends)
        if stop != STOP_DONE:
            break
        first += length
    store_counts(totals, counts)
    return first, stop
