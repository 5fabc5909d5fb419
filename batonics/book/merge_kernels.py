"""Tops of single books merged into tops of an instrument over all its publishers (rule 1).

The rule here: sizes and counts at equal prices add up. Each book counts with its last top, which is
the book after its last event. The best n levels of an instrument are among the best n of its books:
a price that n others of its own book beat is beaten by them here too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import (
    CHANGE_ENDED_BY_TRADE,
    CHANGE_SNAPSHOT,
    LAST_ROW_BIT,
    TOP_BOOK,
    TOP_CHANGE,
    TOP_LEVEL_WORDS,
    TOP_WORDS,
)
from batonics.book.top_kernels import (
    SIZE_WORD,
    copy_words,
    describe_change,
    find_change,
    write_no_levels,
)
from batonics.model.mbo import ACTION_TRADE, UNDEF_PRICE
from batonics.native import as_word, at, kernel, outlined

NO_TOP = -1
"""The size in an instrument's last top if there is none."""


class InstrumentGroups(NamedTuple):
    """The books of each instrument, and the last tops of both."""

    group_of: NDArray[np.int64]  # by book: its instrument's number
    first: NDArray[np.int64]  # by instrument: where its books begin in `books`; one more at the end
    books: NDArray[np.int64]  # book numbers, by instrument
    book_tops: NDArray[np.int64]  # by book: the levels of its last top
    group_tops: NDArray[np.int64]  # by instrument: the levels of its last top, or NO_TOP
    group_rows: NDArray[np.int64]  # by instrument: the levels of its last row, if that is behind
    row_is_behind: NDArray[np.int64]  # by instrument: 1 if its last row is not its last top
    used: NDArray[np.int64]  # scratch, by entry of `books`: how many of its levels are merged


@kernel
def merge_tops(
    tops: NDArray[np.int64],
    rows: int,
    depth: int,
    action: NDArray[np.uint8],
    groups: InstrumentGroups,
    kept: NDArray[np.bool_],
) -> None:
    """Replace the levels of each top by those of its instrument, and mark the tops that have rows.

    Which tops have rows, and `Top.CHANGE`, follow the rules of single books (`top_kernels.py`), but
    by the levels of the instrument.

    Args:
        tops: (rows * (TOP_WORDS + TOP_LEVEL_WORDS * depth),).
        rows: how many tops there are.
        depth: levels of each side.
        action: (rows,), of the records that describe the tops.
        groups: all books; brought up to date.
        kept: (rows,), to be filled.
    """
    words = TOP_LEVEL_WORDS * depth
    for i in range(rows):
        first = i * (TOP_WORDS + words) + TOP_WORDS
        book = tops[first - TOP_WORDS + TOP_BOOK]
        group = groups.group_of[book]
        if action[i] == ACTION_TRADE:
            if groups.group_tops[group * words + SIZE_WORD] == NO_TOP:
                write_no_levels(tops, first, depth)
            else:
                copy_words(groups.group_tops, group * words, tops, first, words)
            groups.row_is_behind[group] = 0
            kept[i] = True
            continue
        copy_words(tops, first, groups.book_tops, book * words, words)
        for side in range(2):
            merge_side(tops, first, depth, groups, group, side)
        kept[i] = keep_group_top(tops, first, depth, groups, group)


@outlined
def keep_group_top(
    tops: NDArray[np.int64], first: int, depth: int, groups: InstrumentGroups, group: int
) -> bool:
    """Keep a change as the last top of an instrument, and describe it; whether it has a row.

    Args:
        tops: words of tops; `Top.CHANGE` is replaced.
        first: the word at which the levels of the instrument begin.
        depth: levels of each side.
        groups: all books; brought up to date.
        group: the instrument's number.
    """
    words = TOP_LEVEL_WORDS * depth
    last, change = group * words, tops[first - TOP_WORDS + TOP_CHANGE]
    by_trade = change & CHANGE_ENDED_BY_TRADE != 0
    was_behind = groups.row_is_behind[group] != 0
    is_new = groups.group_tops[last + SIZE_WORD] == NO_TOP
    if is_new:
        write_no_levels(groups.group_tops, last, depth)
    if by_trade and not was_behind:
        copy_words(groups.group_tops, last, groups.group_rows, last, words)
    bid = find_change(tops, first, groups.group_tops, last, depth, 0)
    ask = find_change(tops, first, groups.group_tops, last, depth, 1)
    is_changed = is_new or bid < depth or ask < depth
    if is_changed:
        copy_words(tops, first, groups.group_tops, last, words)
    if by_trade or was_behind:
        bid = find_change(tops, first, groups.group_rows, last, depth, 0)
        ask = find_change(tops, first, groups.group_rows, last, depth, 1)
    differs = bid < depth or ask < depth
    last_row = change >> LAST_ROW_BIT << LAST_ROW_BIT
    tops[first - TOP_WORDS + TOP_CHANGE] = last_row | describe_change(bid, ask, depth, change)
    groups.row_is_behind[group] = as_word(by_trade and differs)
    return not by_trade and (is_changed or differs or change & CHANGE_SNAPSHOT != 0)


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
