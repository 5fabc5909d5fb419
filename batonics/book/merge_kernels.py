"""Tops of single books made into those of an instrument over all its publishers (rule 1).

The rule here: at equal price sizes and counts add up, and of each book what counts is its last top,
which is as it was after its last event. The best n of an instrument are among the best n of its
books: a price that n others of its own book beat is beaten by them here too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import TOP_LEVEL_WORDS, Top
from batonics.book.top_kernels import FIRST_LEVEL, better_levels
from batonics.model import mbo
from batonics.model.mbo import Action, Side
from batonics.native import as_word, at, kernel, outlined

T_BOOK, T_DEPTH = int(Top.BOOK), int(Top.DEPTH)
UNDEF_PRICE = mbo.UNDEF_PRICE
TRADE, SIDE_ASK = int(Action.TRADE), int(Side.ASK)
ABSENT = 2
"""Of the words of a level the one, a size, that is 0 where there is none."""


class InstrumentGroups(NamedTuple):
    """Which books are of one instrument, and what was last known of them."""

    group_of: NDArray[np.int64]  # by book: its instrument's number
    first: NDArray[np.int64]  # by instrument: where its books begin in `books`; one more at the end
    books: NDArray[np.int64]  # book numbers, by instrument
    latest: NDArray[np.int64]  # by book: the levels of its last top
    shown: NDArray[np.int64]  # by instrument: the levels of its last top
    places: NDArray[np.int64]  # scratch, by book: how far its levels are used


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
    """Replace the levels of each top by those of its instrument; say which tops to keep.

    A change is kept where the instrument's levels differ from its last top; a trade always.

    Args:
        tops: (rows * (len(Top) + TOP_LEVEL * depth),).
        rows: how many tops there are.
        depth: levels of each side.
        action: (rows,), as the next two of the records that describe the tops.
        side: (rows,).
        price: (rows,).
        groups: of all books; brought up to date.
        kept: (rows,), to be filled.
    """
    words = TOP_LEVEL_WORDS * depth
    for i in range(rows):
        first = i * (FIRST_LEVEL + words) + FIRST_LEVEL
        book = tops[first - FIRST_LEVEL + T_BOOK]
        is_trade = action[i] == TRADE
        if not is_trade:  # a trade may stand amid an event, where its book is not to be read
            for word in range(words):
                groups.latest[at(book * words + word)] = tops[at(first + word)]
        group = groups.group_of[book]
        for of_side in range(2):
            merge_side(tops, first, depth, groups, group, of_side)
        differs = False
        for word in range(words):
            differs |= tops[at(first + word)] != groups.shown[at(group * words + word)]
        if differs and not is_trade:
            for word in range(words):
                groups.shown[at(group * words + word)] = tops[at(first + word)]
        kept[i] = differs or is_trade
        better = 0
        if not is_trade and price[i] != UNDEF_PRICE:
            is_ask = as_word(side[i] == SIDE_ASK)
            better = better_levels(tops, first, depth, is_ask, price[i] ^ -is_ask)
        tops[first - FIRST_LEVEL + T_DEPTH] = better


@outlined
def merge_side(
    tops: NDArray[np.int64], first: int, depth: int, groups: InstrumentGroups, group: int, side: int
) -> None:
    """Write the best levels of a side of an instrument from word `first` on."""
    words = TOP_LEVEL_WORDS * depth
    begin, end = groups.first[group], groups.first[group + 1]
    for place in range(begin, end):
        groups.places[place] = 0
    for level in range(depth):
        best, size, count = as_word(UNDEF_PRICE), as_word(0), as_word(0)
        for place in range(begin, end):
            used = groups.places[place]
            if used < depth:
                at_level = groups.books[place] * words + TOP_LEVEL_WORDS * used + side
                if groups.latest[at(at_level + ABSENT)] == 0:
                    continue
                price = groups.latest[at(at_level)]
                if size == 0 or (price ^ -side) > (best ^ -side):
                    best, size, count = price, as_word(0), as_word(0)
                if price == best:
                    size += groups.latest[at(at_level + 2)]
                    count += groups.latest[at(at_level + 4)]
        to = first + TOP_LEVEL_WORDS * level + side
        tops[to], tops[to + 2], tops[to + 4] = best, size, count
        if size == 0:
            continue
        for place in range(begin, end):
            used = groups.places[place]
            if used < depth:
                at_level = groups.books[place] * words + TOP_LEVEL_WORDS * used + side
                if groups.latest[at(at_level)] == best and groups.latest[at(at_level + 2)] > 0:
                    groups.places[place] = used + 1
