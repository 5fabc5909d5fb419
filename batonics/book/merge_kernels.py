"""Tops of single books merged into tops of an instrument over all its publishers (rule 1).

The rule here: sizes and counts at equal prices add up. Each book counts with its last top, which is
the book after its last event. The best n levels of an instrument are among the best n of its books:
a price that n others of its own book beat is beaten by them here too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import LAST_ROW_BIT, TOP_BOOK, TOP_DEPTH, TOP_LEVEL_WORDS, TOP_WORDS
from batonics.book.top_kernels import SIZE_WORD, count_better
from batonics.model.mbo import ACTION_TRADE, SIDE_ASK, UNDEF_PRICE
from batonics.native import as_word, at, kernel, outlined


class InstrumentGroups(NamedTuple):
    """The books of each instrument, and the last tops of both."""

    group_of: NDArray[np.int64]  # by book: its instrument's number
    first: NDArray[np.int64]  # by instrument: where its books begin in `books`; one more at the end
    books: NDArray[np.int64]  # book numbers, by instrument
    book_tops: NDArray[np.int64]  # by book: the levels of its last top
    group_tops: NDArray[np.int64]  # by instrument: the levels of its last top
    used: NDArray[np.int64]  # scratch, by entry of `books`: how many of its levels are merged


@kernel
def merge_tops(
    tops: NDArray[np.int64],
    rows: int,
    depth: int,
    action: NDArray[np.uint8],
    side: NDArray[np.uint8],
    price: NDArray[np.int64],
    groups: InstrumentGroups,
    kept: NDArray[np.bool_],
) -> None:
    """Replace the levels of each top by those of its instrument, and mark the tops to keep.

    A change is kept where the instrument's levels differ from its last top; a trade is always kept.

    Args:
        tops: (rows * (TOP_WORDS + TOP_LEVEL_WORDS * depth),).
        rows: how many tops there are.
        depth: levels of each side.
        action: (rows,), of the records that describe the tops.
        side: (rows,), of the same records.
        price: (rows,), of the same records.
        groups: all books; brought up to date.
        kept: (rows,), to be filled.
    """
    words = TOP_LEVEL_WORDS * depth
    for i in range(rows):
        first = i * (TOP_WORDS + words) + TOP_WORDS
        book = tops[first - TOP_WORDS + TOP_BOOK]
        is_trade = action[i] == ACTION_TRADE
        if not is_trade:  # a trade may be within an event, where its book is not to be read
            for word in range(words):
                groups.book_tops[at(book * words + word)] = tops[at(first + word)]
        group = groups.group_of[book]
        for of_side in range(2):
            merge_side(tops, first, depth, groups, group, of_side)
        differs = False
        for word in range(words):
            differs |= tops[at(first + word)] != groups.group_tops[at(group * words + word)]
        if differs and not is_trade:
            for word in range(words):
                groups.group_tops[at(group * words + word)] = tops[at(first + word)]
        kept[i] = differs or is_trade
        better = 0
        if not is_trade and price[i] != UNDEF_PRICE:
            is_ask = as_word(side[i] == SIDE_ASK)
            better = count_better(tops, first, depth, is_ask, price[i] ^ -is_ask)
        last_row = tops[first - TOP_WORDS + TOP_DEPTH] >> LAST_ROW_BIT << LAST_ROW_BIT
        tops[first - TOP_WORDS + TOP_DEPTH] = last_row | better


@outlined
def merge_side(
    tops: NDArray[np.int64], first: int, depth: int, groups: InstrumentGroups, group: int, side: int
) -> None:
    """Write the best levels of a side of an instrument from word `first` on."""
    words = TOP_LEVEL_WORDS * depth
    begin, end = groups.first[group], groups.first[group + 1]
    for i in range(begin, end):
        groups.used[i] = 0
    for level in range(depth):
        best, size, count = as_word(UNDEF_PRICE), as_word(0), as_word(0)
        for i in range(begin, end):
            used = groups.used[i]
            if used < depth:
                at_level = groups.books[i] * words + TOP_LEVEL_WORDS * used + side
                if groups.book_tops[at(at_level + SIZE_WORD)] == 0:
                    continue
                price = groups.book_tops[at(at_level)]
                if size == 0 or (price ^ -side) > (best ^ -side):
                    best, size, count = price, as_word(0), as_word(0)
                if price == best:
                    size += groups.book_tops[at(at_level + 2)]
                    count += groups.book_tops[at(at_level + 4)]
        to = first + TOP_LEVEL_WORDS * level + side
        tops[to], tops[to + 2], tops[to + 4] = best, size, count
        if size == 0:
            continue
        for i in range(begin, end):
            used = groups.used[i]
            if used < depth:
                at_level = groups.books[i] * words + TOP_LEVEL_WORDS * used + side
                if (
                    groups.book_tops[at(at_level)] == best
                    and groups.book_tops[at(at_level + 2)] > 0
                ):
                    groups.used[i] = used + 1
