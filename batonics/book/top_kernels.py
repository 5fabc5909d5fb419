"""Tops: the best levels of a book at a trade, and at the end of an event that changed them.

The rule here: a top is written only where it may differ from the book's last one, and kept only if
it does. A change at a level worse than the worst one of the last top cannot be among the best
levels later in the event either: what lifts that level is itself a change of a better one. A new
book has no last top, so the first event that sets it up has one, even if the book is empty.

The last A, C, M or R of an event describes its top, as it describes the vendor's MBP.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import (
    B_CHANGED_SIDES,
    B_EVENTS,
    B_LAST_ROW,
    B_RECORD_KEY,
    B_RECORD_ROW,
    BEST_KEY,
    BOOK_WORDS,
    L_COUNT,
    L_SIZE,
    LADDER_LENGTH,
    LADDER_START,
    LAST_ROW_BIT,
    RECORD_BEFORE,
    SLOT_WORDS,
    T_TOPS,
    TOP_BOOK,
    TOP_DEPTH,
    TOP_EVENT,
    TOP_LEVEL_WORDS,
    TOP_ROW,
    TOP_WORDS,
    WORST_KEY,
    Outputs,
    State,
)
from batonics.book.table_kernels import ladder_base
from batonics.model.mbo import UNDEF_PRICE
from batonics.native import as_word, at, inlined, kernel, outlined

WORST_KEYS = 2
"""Words of a book in `Outputs.last_tops` before its levels: the worst key of each side."""
SIZE_WORD = 2
"""A word of a level, its bid size, that is never WORST_KEY. `Outputs.last_tops` begins as that."""
SIDE_BITS, RECORD_IS_ASK = 3, 4
"""Bits of `Book.CHANGED_SIDES`."""
BLOCK_TOPS = 128
"""Tops that are transposed at once: they stay in the second-level cache, and runs are long."""


@inlined
def mark_changed(state: State, out: Outputs, book: int, side: int, key: int) -> None:
    """A level changes: mark its side if the level may be among the best ones."""
    if len(out.last_tops) > 0:
        last = book * (WORST_KEYS + TOP_LEVEL_WORDS * out.depth)
        if key >= out.last_tops[at(last + side)]:
            state.books[at(book * BOOK_WORDS + B_CHANGED_SIDES)] |= 1 << side


@inlined
def note_record(state: State, book: int, row: int, side: int, price: int) -> None:
    """The record at a row describes its event, unless a later one does."""
    books, base = state.books, book * BOOK_WORDS
    key = price ^ -side
    if price == UNDEF_PRICE:
        key = BEST_KEY
    books[at(base + B_RECORD_ROW)] = row
    books[at(base + B_RECORD_KEY)] = key
    changed = books[at(base + B_CHANGED_SIDES)]
    books[at(base + B_CHANGED_SIDES)] = (changed & ~RECORD_IS_ASK) | side * RECORD_IS_ASK


@outlined
def write_trade_top(state: State, out: Outputs, book: int, row: int) -> None:
    """Write the book as it is at the trade of a row."""
    n = state.totals[T_TOPS]
    last_row = as_word(row) << LAST_ROW_BIT
    write_top_head(out, n, row, book, state.books[book * BOOK_WORDS + B_EVENTS] >> 1, last_row)
    for side in range(2):
        write_side(state, out.tops, first_level(out, n), out.depth, book, side)
    state.totals[T_TOPS] = n + 1


@outlined
def write_changed_top(state: State, out: Outputs, book: int) -> None:
    """An event has ended: write the book if it differs from its last top."""
    books, base = state.books, book * BOOK_WORDS
    changed = books[base + B_CHANGED_SIDES]
    books[base + B_CHANGED_SIDES] = 0
    record_row, record_key = books[base + B_RECORD_ROW], books[base + B_RECORD_KEY]
    books[base + B_RECORD_ROW] = RECORD_BEFORE
    if changed & SIDE_BITS == 0:
        return
    n, words = state.totals[T_TOPS], TOP_LEVEL_WORDS * out.depth
    last = book * (WORST_KEYS + words)
    if out.last_tops[last + WORST_KEYS + SIZE_WORD] == WORST_KEY:  # there is no last top
        changed |= SIDE_BITS
    to = first_level(out, n)
    for word in range(words):
        out.tops[to + word] = out.last_tops[last + WORST_KEYS + word]
    record_side = as_word(changed & RECORD_IS_ASK != 0)
    differs = False
    for side in range(2):
        if changed & (1 << side):
            write_side(state, out.tops, to, out.depth, book, side)
            differs |= keep_last_top(out, n, book, side)
    if differs:
        depth = count_better(out.tops, to, out.depth, record_side, record_key)
        depth |= books[base + B_LAST_ROW] << LAST_ROW_BIT
        write_top_head(out, n, record_row, book, books[base + B_EVENTS] >> 1, depth)
        state.totals[T_TOPS] = n + 1


@inlined
def write_top_head(out: Outputs, n: int, row: int, book: int, event: int, depth: int) -> None:
    """Write the words of a top before its levels: those of `Top`, or of `WindowTop`."""
    word = n * (TOP_WORDS + TOP_LEVEL_WORDS * out.depth)
    out.tops[word + TOP_ROW] = row
    out.tops[word + TOP_BOOK] = book
    out.tops[word + TOP_EVENT] = event
    out.tops[word + TOP_DEPTH] = depth


@outlined
def write_side(
    state: State, target: NDArray[np.int64], first: int, depth: int, book: int, side: int
) -> None:
    """Write the best levels of a side of a book, as it is now, to words from `first` on."""
    ladder = ladder_base(book, side)
    start = state.books[ladder + LADDER_START]
    i = start + state.books[ladder + LADDER_LENGTH] - 1
    to = first + side
    end = to + TOP_LEVEL_WORDS * depth
    while to < end and i >= start:
        base = as_word(state.run_slots[at(i)]) * SLOT_WORDS
        size = state.levels[at(base + L_SIZE)]
        if size > 0:
            target[at(to)] = state.run_keys[at(i)] ^ -side
            target[at(to + 2)] = size
            target[at(to + 4)] = state.levels[at(base + L_COUNT)]
            to += TOP_LEVEL_WORDS
        i -= 1
    while to < end:
        target[at(to)] = UNDEF_PRICE
        target[at(to + 2)] = 0
        target[at(to + 4)] = 0
        to += TOP_LEVEL_WORDS


@inlined
def first_level(out: Outputs, n: int) -> int:
    """The word at which the levels of a top begin."""
    words: int = TOP_WORDS + TOP_LEVEL_WORDS * out.depth
    return n * words + TOP_WORDS


@outlined
def keep_last_top(out: Outputs, n: int, book: int, side: int) -> bool:
    """Keep a side of a top as the book's last one; whether it differs from the one before."""
    words = TOP_LEVEL_WORDS * out.depth
    last = book * (WORST_KEYS + words)
    first = first_level(out, n)
    differs = False
    for word in range(side, words, 2):
        value = out.tops[at(first + word)]
        differs |= value != out.last_tops[at(last + WORST_KEYS + word)]
        out.last_tops[at(last + WORST_KEYS + word)] = value
    worst = out.tops[first + words - TOP_LEVEL_WORDS + side]
    out.last_tops[last + side] = WORST_KEY if worst == UNDEF_PRICE else worst ^ -side
    return differs


@inlined
def count_better(tops: NDArray[np.int64], first: int, depth: int, side: int, key: int) -> int:
    """How many levels of a side are better than a key; those of the top begin at word `first`."""
    better = 0
    while better < depth:
        price = tops[at(first + side + TOP_LEVEL_WORDS * better)]
        if price == UNDEF_PRICE or (price ^ -side) <= key:
            break
        better += 1
    return better


@kernel
def transpose_levels(
    tops: NDArray[np.int64],
    rows: int,
    depth: int,
    prices: NDArray[np.int64],
    sizes: NDArray[np.uint32] | NDArray[np.int64],
    size_max: int,
) -> None:
    """Write the levels of tops as columns.

    Args:
        tops: (rows * (TOP_WORDS + TOP_LEVEL_WORDS * depth),).
        rows: how many tops there are.
        depth: levels of each side.
        prices: (2 * depth * rows,), to be filled: for each level the column of its bid, then of its
            ask.
        sizes: (4 * depth * rows,), to be filled: for each level the columns of bid size, ask size,
            bid count and ask count.
        size_max: written in place of any greater size or count.
    """
    words = TOP_WORDS + TOP_LEVEL_WORDS * depth
    for first in range(0, rows, BLOCK_TOPS):
        last = min(first + BLOCK_TOPS, rows)
        for level in range(depth):
            word = TOP_WORDS + TOP_LEVEL_WORDS * level
            for side in range(2):
                to = (2 * level + side) * rows
                for i in range(first, last):
                    prices[at(to + i)] = tops[at(i * words + word + side)]
            for value in range(4):
                to = (4 * level + value) * rows
                for i in range(first, last):
                    size = tops[at(i * words + word + 2 + value)]
                    sizes[at(to + i)] = min(size, size_max)
