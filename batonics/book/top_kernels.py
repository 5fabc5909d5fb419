"""Tops: the best levels of a book at a trade, and at the end of an event that changed them.

The rule here: a top is written only where it may differ from the last one shown, and kept only if
it does. A change at a level worse than the worst one shown cannot show, however the event goes on:
what lifts that level among the best is itself a change there. Of a new book nothing is known to
have been shown, so the first event that sets it up shows, be the book empty.

A top is described by the last A, C, M or R of its event, as the vendor's MBP is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.book.ladder_kernels import LENGTH, START
from batonics.book.state import (
    ASK_LADDER,
    BEST_KEY,
    BID_LADDER,
    BOOK_WORDS,
    SLOT_WORDS,
    TOP_LEVEL_WORDS,
    WORST_KEY,
    Book,
    Outputs,
    State,
    Top,
    Total,
)
from batonics.book.table_kernels import L_COUNT, L_SIZE
from batonics.model import mbo
from batonics.native import as_word, at, inlined, kernel, outlined

TOUCHED, EVENTS = int(Book.TOUCHED), int(Book.EVENTS)
NOTED_ROW, NOTED_KEY = int(Book.NOTED_ROW), int(Book.NOTED_KEY)
T_TOPS = int(Total.TOPS)
T_ROW, T_BOOK, T_EVENT, T_DEPTH = (int(word) for word in Top)
FIRST_LEVEL = len(Top)
WORSTS = 2
"""Words of a book in `shown` before its levels: the worst key shown of each side."""
NEVER_WORST = 2
"""Of a level's words one, a size, that is never WORST_KEY, as which `shown` begins."""
BOTH_SIDES, NOTED_ASK = 3, 4
"""Bits of `Book.TOUCHED`."""
UNDEF_PRICE = mbo.UNDEF_PRICE
TURNED_ROWS = 128
"""Tops that are turned at once: they stay in the second-level cache, and runs are long."""


@inlined
def mark_changed(state: State, out: Outputs, book: int, side: int, key: int) -> None:
    """A level changes: note whether that may show."""
    if len(out.shown) > 0:
        shown = book * (WORSTS + TOP_LEVEL_WORDS * out.depth)
        if key >= out.shown[at(shown + side)]:
            state.books[at(book * BOOK_WORDS + TOUCHED)] |= 1 << side


@inlined
def note_record(state: State, book: int, i: int, side: int, price: int) -> None:
    """The record at row `i` describes its event, unless a later one does."""
    books, row = state.books, book * BOOK_WORDS
    key = price ^ -side
    if price == UNDEF_PRICE:
        key = BEST_KEY
    books[at(row + NOTED_ROW)] = i
    books[at(row + NOTED_KEY)] = key
    books[at(row + TOUCHED)] = (books[at(row + TOUCHED)] & ~NOTED_ASK) | side * NOTED_ASK


@outlined
def write_trade_top(state: State, out: Outputs, book: int, i: int) -> None:
    """Write the book as it stands at the trade of row `i`."""
    n = state.totals[T_TOPS]
    write_top_head(out, n, i, book, state.books[book * BOOK_WORDS + EVENTS] >> 1, 0)
    for side in range(2):
        write_side(state, out.tops, first_level(out, n), out.depth, book, side)
    state.totals[T_TOPS] = n + 1


@outlined
def write_changed_top(state: State, out: Outputs, book: int) -> None:
    """An event has ended: write the book where it differs from what was shown last."""
    books, row = state.books, book * BOOK_WORDS
    touched = books[row + TOUCHED]
    books[row + TOUCHED] = 0
    noted_row, noted_key = books[row + NOTED_ROW], books[row + NOTED_KEY]
    books[row + NOTED_ROW] = -1
    if touched & BOTH_SIDES == 0:
        return
    n, words = state.totals[T_TOPS], TOP_LEVEL_WORDS * out.depth
    shown = book * (WORSTS + words)
    if out.shown[shown + WORSTS + NEVER_WORST] == WORST_KEY:  # nothing was ever shown
        touched |= BOTH_SIDES
    to = first_level(out, n)
    for word in range(words):
        out.tops[to + word] = out.shown[shown + WORSTS + word]
    side_noted = as_word(touched & NOTED_ASK != 0)
    differs = False
    for side in range(2):
        if touched & (1 << side):
            write_side(state, out.tops, to, out.depth, book, side)
            differs |= keep_shown(out, n, book, side)
    if differs:
        depth = better_levels(out.tops, to, out.depth, side_noted, noted_key)
        write_top_head(out, n, noted_row, book, books[row + EVENTS] >> 1, depth)
        state.totals[T_TOPS] = n + 1


@inlined
def write_top_head(out: Outputs, n: int, i: int, book: int, event: int, depth: int) -> None:
    """The words of a top before its levels."""
    word = n * (FIRST_LEVEL + TOP_LEVEL_WORDS * out.depth)
    out.tops[word + T_ROW] = i
    out.tops[word + T_BOOK] = book
    out.tops[word + T_EVENT] = event
    out.tops[word + T_DEPTH] = depth


@outlined
def write_side(
    state: State, target: NDArray[np.int64], first: int, depth: int, book: int, side: int
) -> None:
    """Write the best levels of a side of a book, as it stands now, to words from `first` on."""
    ladder = book * BOOK_WORDS + BID_LADDER + (ASK_LADDER - BID_LADDER) * side
    start = state.books[ladder + START]
    i = start + state.books[ladder + LENGTH] - 1
    to = first + side
    end = to + TOP_LEVEL_WORDS * depth
    while to < end and i >= start:
        slot = as_word(state.run_slots[at(i)]) * SLOT_WORDS
        size = state.levels[at(slot + L_SIZE)]
        if size > 0:
            target[at(to)] = state.run_keys[at(i)] ^ -side
            target[at(to + 2)] = size
            target[at(to + 4)] = state.levels[at(slot + L_COUNT)]
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
    words: int = FIRST_LEVEL + TOP_LEVEL_WORDS * out.depth
    return n * words + FIRST_LEVEL


@outlined
def keep_shown(out: Outputs, n: int, book: int, side: int) -> bool:
    """Keep a side of a top as what was shown last; whether it differs from that."""
    words = TOP_LEVEL_WORDS * out.depth
    shown = book * (WORSTS + words)
    first = first_level(out, n)
    differs = False
    for word in range(side, words, 2):
        value = out.tops[at(first + word)]
        differs |= value != out.shown[at(shown + WORSTS + word)]
        out.shown[at(shown + WORSTS + word)] = value
    worst = out.tops[first + words - TOP_LEVEL_WORDS + side]
    out.shown[shown + side] = WORST_KEY if worst == UNDEF_PRICE else worst ^ -side
    return differs


@inlined
def better_levels(tops: NDArray[np.int64], first: int, depth: int, side: int, key: int) -> int:
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
    """Turn the levels of tops into columns.

    Args:
        tops: (rows * (len(Top) + TOP_LEVEL * depth),).
        rows: how many tops there are.
        depth: levels of each side.
        prices: (2 * depth * rows,), to be filled: the column of each level's bid, then its ask.
        sizes: (4 * depth * rows,), to be filled: the columns of each level's bid size, ask size,
            bid count and ask count.
        size_max: what is greater becomes it.
    """
    words = FIRST_LEVEL + TOP_LEVEL_WORDS * depth
    for first in range(0, rows, TURNED_ROWS):
        last = min(first + TURNED_ROWS, rows)
        for level in range(depth):
            word = FIRST_LEVEL + TOP_LEVEL_WORDS * level
            for side in range(2):
                to = (2 * level + side) * rows
                for i in range(first, last):
                    prices[at(to + i)] = tops[at(i * words + word + side)]
            for value in range(4):
                to = (4 * level + value) * rows
                for i in range(first, last):
                    size = tops[at(i * words + word + 2 + value)]
                    sizes[at(to + i)] = min(size, size_max)
