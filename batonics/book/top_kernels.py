"""Tops: the best levels of a book at a trade, and at the end of an event that changed them.

The rule here: a top is written only where it may differ from the book's last one, and kept only if
it does. A change at a level worse than the worst one after the last event cannot be among the best
levels later in the event either: what lifts that level is itself a change of a better one. A new
book has no last top, so the first event that sets it up has one, even if the book is empty.

The last A, C, M or R of an event describes its top, as it describes the vendor's MBP. Where tops of
trades are not kept, the last record of the event does.

`Top.CHANGE` says what changed since the book's last *row* (rules 24 and 25). A trade has a row,
with the book after the last event (rule 5). An event that ends with a T has no row but a top, which
is marked. The row then stays behind the book until the next row, and both are kept by book:

| words of a book in `Outputs.last_tops` | contents                                               |
|----------------------------------------|--------------------------------------------------------|
| 2                                      | the worst key of each side after the last event        |
| levels                                 | the best levels after the last event                   |
| levels                                 | those of the last row, where ROW_IS_BEHIND is set      |
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import (
    B_EVENTS,
    B_LAST_ROW,
    B_RECORD_ROW,
    B_TOP_BITS,
    BOOK_WORDS,
    CHANGE_CLEARED,
    CHANGE_ENDED_BY_TRADE,
    CHANGE_LEVEL_SHIFT,
    CHANGE_SNAPSHOT,
    CHANGE_UNCHANGED,
    L_COUNT,
    L_SIZE,
    LADDER_LENGTH,
    LADDER_START,
    LAST_ROW_BIT,
    NO_RECORD,
    SLOT_WORDS,
    T_TOPS,
    TOP_BOOK,
    TOP_CHANGE,
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
"""Words of a book in `Outputs.last_tops` before its levels."""
SIZE_WORD = 2
"""A word of a level, its bid size, that is never WORST_KEY. `Outputs.last_tops` begins as that."""
SIDE_BITS, ROW_IS_BEHIND = 3, 16
"""Bits of `Book.TOP_BITS`."""
BLOCK_TOPS = 128
"""Tops that are transposed at once: they stay in the second-level cache, and runs are long."""


@inlined
def last_top(out: Outputs, book: int) -> int:
    """The first word of a book in `Outputs.last_tops`."""
    return book * (WORST_KEYS + 2 * TOP_LEVEL_WORDS * out.depth)


@inlined
def mark_changed(state: State, out: Outputs, book: int, side: int, key: int) -> None:
    """A level changes: mark its side if the level may be among the best ones."""
    if len(out.last_tops) > 0 and key >= out.last_tops[at(last_top(out, book) + side)]:
        state.books[at(book * BOOK_WORDS + B_TOP_BITS)] |= 1 << side


@outlined
def write_trade_top(state: State, out: Outputs, book: int, row: int) -> None:
    """Write the book as it was after its last event, at the trade of a row (rule 5)."""
    n, words = state.totals[T_TOPS], TOP_LEVEL_WORDS * out.depth
    last_row = as_word(row) << LAST_ROW_BIT
    write_top_head(out, n, row, book, state.books[book * BOOK_WORDS + B_EVENTS] >> 1, last_row)
    to, last = first_level(out, n), last_top(out, book) + WORST_KEYS
    if len(out.last_tops) == 0:
        write_levels_before(state, out, to, book)
    elif out.last_tops[last + SIZE_WORD] == WORST_KEY:  # no event has ended
        write_no_levels(out.tops, to, out.depth)
    else:
        copy_words(out.last_tops, last, out.tops, to, words)
    state.books[book * BOOK_WORDS + B_TOP_BITS] &= ~ROW_IS_BEHIND
    state.totals[T_TOPS] = n + 1


@inlined
def write_levels_before(state: State, out: Outputs, to: int, book: int) -> None:
    """Write the levels of a book after its last event to the top that begins at a word."""
    words = TOP_LEVEL_WORDS * out.depth
    if state.books[book * BOOK_WORDS + B_EVENTS] & 1:
        copy_words(out.levels_before, book * words, out.tops, to, words)
    else:
        for side in range(2):
            write_side(state, out.tops, to, out.depth, book, side)


@outlined
def write_changed_top(state: State, out: Outputs, book: int, by_trade: bool) -> None:
    """An event has ended, perhaps with a T: write the book if it differs from its last top."""
    books, base = state.books, book * BOOK_WORDS
    bits, row = books[base + B_TOP_BITS], books[base + B_RECORD_ROW]
    if bits & SIDE_BITS == 0 and (by_trade or row == NO_RECORD):
        return
    books[base + B_RECORD_ROW] = NO_RECORD
    n, words, depth = state.totals[T_TOPS], TOP_LEVEL_WORDS * out.depth, as_word(out.depth)
    to, last = first_level(out, n), last_top(out, book) + WORST_KEYS
    is_new = out.last_tops[last + SIZE_WORD] == WORST_KEY
    if is_new:
        write_no_levels(out.last_tops, last, out.depth)
    if by_trade and not bits & ROW_IS_BEHIND:  # the row is the book before the event
        copy_words(out.last_tops, last, out.last_tops, last + words, words)
    copy_words(out.last_tops, last, out.tops, to, words)
    bid, ask = depth, depth
    if bits & 1:
        write_side(state, out.tops, to, out.depth, book, 0)
        bid = keep_last_top(out, n, book, 0)
    if bits & 2:
        write_side(state, out.tops, to, out.depth, book, 1)
        ask = keep_last_top(out, n, book, 1)
    is_changed = is_new or bid < depth or ask < depth
    if by_trade or bits & ROW_IS_BEHIND:
        bid = find_change(out.tops, to, out.last_tops, last + words, out.depth, 0)
        ask = find_change(out.tops, to, out.last_tops, last + words, out.depth, 1)
    differs = bid < depth or ask < depth
    books[base + B_TOP_BITS] = ROW_IS_BEHIND if by_trade and differs else 0
    if is_changed or (not by_trade and (differs or bits & CHANGE_SNAPSHOT)):
        change = describe_change(bid, ask, depth, bits)
        change |= CHANGE_ENDED_BY_TRADE * as_word(by_trade)
        change |= CHANGE_UNCHANGED * as_word(not is_changed)
        change |= books[base + B_LAST_ROW] << LAST_ROW_BIT
        write_top_head(out, n, row, book, books[base + B_EVENTS] >> 1, change)
        state.totals[T_TOPS] = n + 1


@inlined
def describe_change(bid: int, ask: int, depth: int, bits: int) -> int:
    """`Top.CHANGE` of an event, by where the book differs from its last row (rule 25).

    Args:
        bid: the best level at which the bids differ; `depth`: they do not.
        ask: that of the asks.
        depth: levels of each side.
        bits: CHANGE_CLEARED and CHANGE_SNAPSHOT, of the event.
    """
    change = bits & (CHANGE_CLEARED | CHANGE_SNAPSHOT)
    if bid != ask and not bits & CHANGE_CLEARED:
        change |= 1 if bid < ask else 2
    level = min(bid, ask)
    return change | (level << CHANGE_LEVEL_SHIFT if level < depth else 0)


@inlined
def write_top_head(out: Outputs, n: int, row: int, book: int, event: int, change: int) -> None:
    """Write the words of a top before its levels: those of `Top`, or of `WindowTop`."""
    word = n * (TOP_WORDS + TOP_LEVEL_WORDS * out.depth)
    out.tops[word + TOP_ROW] = row
    out.tops[word + TOP_BOOK] = book
    out.tops[word + TOP_EVENT] = event
    out.tops[word + TOP_CHANGE] = change


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
def keep_last_top(out: Outputs, n: int, book: int, side: int) -> int:
    """Keep a side of a top as the book's last one; the best level that differs from the one before.

    It is the depth of the top if none does.
    """
    words = TOP_LEVEL_WORDS * out.depth
    first, last = first_level(out, n), last_top(out, book)
    level = find_change(out.tops, first, out.last_tops, last + WORST_KEYS, out.depth, side)
    for word in range(TOP_LEVEL_WORDS * level + side, words, 2):
        out.last_tops[at(last + WORST_KEYS + word)] = out.tops[at(first + word)]
    worst = out.tops[first + words - TOP_LEVEL_WORDS + side]
    out.last_tops[last + side] = WORST_KEY if worst == UNDEF_PRICE else worst ^ -side
    return level


@inlined
def find_change(
    tops: NDArray[np.int64],
    first: int,
    others: NDArray[np.int64],
    other: int,
    depth: int,
    side: int,
) -> int:
    """The best level at which a side differs between two tops, or `depth`.

    Args:
        tops: words of tops.
        first: the word at which the levels of the one begin.
        others: words of tops, or of last tops.
        other: the word at which the levels of the other begin.
        depth: levels of each side.
        side: 0: bid, 1: ask.
    """
    level = as_word(0)
    while level < depth:
        word = TOP_LEVEL_WORDS * level + side
        if (
            tops[at(first + word)] != others[at(other + word)]
            or tops[at(first + word + 2)] != others[at(other + word + 2)]
            or tops[at(first + word + 4)] != others[at(other + word + 4)]
        ):
            break
        level += 1
    return level


@inlined
def copy_words(
    source: NDArray[np.int64], first: int, target: NDArray[np.int64], to: int, words: int
) -> None:
    """Copy words from one place to another."""
    for word in range(words):
        target[at(to + word)] = source[at(first + word)]


@inlined
def write_no_levels(target: NDArray[np.int64], first: int, depth: int) -> None:
    """Write the levels of an empty book."""
    for level in range(2 * depth):
        word = first + TOP_LEVEL_WORDS * (level >> 1) + (level & 1)
        target[at(word)] = UNDEF_PRICE
        target[at(word + 2)] = 0
        target[at(word + 4)] = 0


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
