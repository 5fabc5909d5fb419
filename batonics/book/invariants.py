"""What is true of every book between two batches, whatever the records are.

The rule here: everything is computed anew from the words of the state, by numpy and without
kernels; only the layout (`state.py`) is shared. A state may be damaged in any way: a slot that does
not exist is reported, and not followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import (
    ASK_LADDER,
    BID_LADDER,
    BOOK_WORDS,
    NO_ASK,
    NO_BID,
    SLOT_WORDS,
    Ladder,
    Level,
    Order,
    State,
    Total,
)

Words = NDArray[np.int64]
Mask = NDArray[np.bool_]

INVARIANTS = {
    "level_size": "a level has the size of its orders and of a top-of-book record",
    "level_count": "the count of a level is the number of its orders",
    "sizes": "every order has a size above 0, and no level has a size below 0",
    "in_ladder": "every level with a size or with orders is in its ladder",
    "ladder": "ladders are strictly sorted by the prices of their levels, best first",
    "best": "the best level of a side is the best of its ladder, and has a size",
    "queue": "no two orders have the same priority, and each priority was given",
    "owner": "the orders and levels of a side name that side and its book",
    "order_id": "an order is in its book once",
}
"""The checks, by name."""


class Violation(NamedTuple):
    """An invariant that does not hold, and the first place where it does not."""

    invariant: str  # a key of INVARIANTS
    times: int  # number of levels, orders or sides that break it
    book: int
    side: int  # 0: bid, 1: ask
    price: int | None  # int64 of 1e-9; None: a whole side
    found: str


class _View(NamedTuple):
    """The state as tables of levels, sides, live orders and entries of ladders.

    A *line* is a side of a book: 2 * book + side.
    """

    state: State
    levels: Words  # (slots, SLOT_WORDS)
    lines: Words  # (lines, words of a Ladder)
    orders: Words  # (live orders, SLOT_WORDS), of books that exist
    entries: Words  # index of each entry of a ladder in the pool of runs
    entry_line: Words
    entry_slot: Words  # of its level; NO_BID for a slot that does not exist

    def book_side(self, slot: int) -> tuple[int, int]:
        line = int(self.levels[slot, Level.OWNER] >> 1) - 1
        return line >> 1, line & 1

    def price(self, slot: int) -> int:
        return int(self.levels[slot, Level.KEY]) ^ -self.book_side(slot)[1]


def find_violations(state: State, top_of_book: Mask | None = None) -> list[Violation]:
    """Every invariant that does not hold, with its first place.

    Args:
        state: the state between two batches.
        top_of_book: by book, whether it may hold a top-of-book record; None: any book may. Such a
            record leaves only a level's size, so fewer checks apply.
    """
    view = _view(state)
    broken = [
        *_broken_orders(view),
        *_broken_ladders(view),
        *_broken_levels(view, top_of_book),
    ]
    merged: dict[str, Violation] = {}
    for violation in broken:
        first = merged.setdefault(violation.invariant, violation)
        if first is not violation:
            merged[first.invariant] = first._replace(times=first.times + violation.times)
    return list(merged.values())


def _view(state: State) -> _View:
    books = state.books[: state.totals[Total.BOOKS] * BOOK_WORDS].reshape(-1, BOOK_WORDS)
    width = len(Ladder)
    lines = np.stack(
        [books[:, BID_LADDER : BID_LADDER + width], books[:, ASK_LADDER : ASK_LADDER + width]],
        axis=1,
    )
    lines = lines.reshape(-1, width)
    levels, orders = state.levels.reshape(-1, SLOT_WORDS), state.orders.reshape(-1, SLOT_WORDS)
    orders = orders[(orders[:, Order.OWNER] >= 0) & (orders[:, Order.OWNER] < len(lines))]
    floors = lines[orders[:, Order.OWNER], Ladder.FLOOR]
    length = lines[:, Ladder.LENGTH]
    entry_line = np.repeat(np.arange(len(lines)), length)
    within = np.arange(len(entry_line)) - np.repeat(np.cumsum(length) - length, length)
    entries = lines[entry_line, Ladder.START] + within
    slots = state.run_slots[entries].astype(np.int64)
    return _View(
        state=state,
        levels=levels,
        lines=lines,
        orders=orders[orders[:, Order.PRIORITY] >= floors],
        entries=entries,
        entry_line=entry_line,
        entry_slot=np.where(_is_slot(slots, levels), slots, NO_BID),
    )


def _is_slot(slots: Words, levels: Words) -> Mask:
    """Whether the slots exist and may hold levels."""
    return (slots > NO_ASK) & (slots < len(levels))


# ---------------------------------------------------------------------- orders


def _broken_orders(view: _View) -> Iterator[Violation]:
    levels, orders = view.levels, view.orders
    owner, slot = orders[:, Order.OWNER], orders[:, Order.PACKED] >> 32
    is_slot = _is_slot(slot, levels)
    slot = np.where(is_slot, slot, NO_BID)

    def broken(invariant: str, mask: Mask, found: str) -> Iterator[Violation]:
        at = np.flatnonzero(mask)
        if len(at):
            first = at[0]
            book, side = int(owner[first]) >> 1, int(owner[first]) & 1
            price = int(levels[slot[first], Level.KEY]) ^ -side if is_slot[first] else None
            order_id = int(orders[first, Order.ORDER_ID]) & 0xFFFFFFFFFFFFFFFF
            size = int(orders[first, Order.PACKED]) & 0xFFFFFFFF
            text = found.format(order_id=order_id, size=size, priority=priority[first])
            yield Violation(invariant, len(at), book, side, price, text)

    priority = orders[:, Order.PRIORITY]
    in_ladder = np.zeros(len(levels), np.bool_)
    in_ladder[view.entry_slot] = True
    yield from broken("in_ladder", ~(is_slot & in_ladder[slot]), "order {order_id} is at no level")
    # The low bit of a level's owner says that it is in a run.
    foreign = is_slot & (levels[slot, Level.OWNER] >> 1 != owner + 1)
    yield from broken("owner", foreign, "order {order_id} is at a level of another book or side")
    yield from broken(
        "sizes", orders[:, Order.PACKED] & 0xFFFFFFFF == 0, "order {order_id} has size {size}"
    )
    given = view.state.totals[Total.PRIORITY]
    yield from broken(
        "queue",
        _repeated(priority) | (priority > given),
        f"order {{order_id}} has priority {{priority}} of {given}, not its own",
    )
    twice = _repeated(orders[:, Order.ORDER_ID], owner >> 1)
    yield from broken("order_id", twice, "order {order_id} stands twice")


def _repeated(*columns: Words) -> Mask:
    """The rows that equal an earlier one."""
    by = np.lexsort(columns[::-1])
    same = np.ones(max(len(by) - 1, 0), np.bool_)
    for column in columns:
        ordered = column[by]
        same &= ordered[1:] == ordered[:-1]
    repeated = np.zeros(len(by), np.bool_)
    repeated[by[1:][same]] = True
    return repeated


# ---------------------------------------------------------------------- ladders


def _broken_ladders(view: _View) -> Iterator[Violation]:
    state, levels, lines = view.state, view.levels, view.lines
    line, slot = view.entry_line, view.entry_slot
    keys = state.run_keys[view.entries]

    def broken(invariant: str, mask: Mask, found: str) -> Iterator[Violation]:
        at = np.flatnonzero(mask)
        if len(at):
            first = at[0]
            side = int(line[first]) & 1
            price = int(keys[first]) ^ -side
            yield Violation(invariant, len(at), int(line[first]) >> 1, side, price, found)

    rises = np.ones(len(keys), np.bool_)
    rises[1:] = (keys[1:] > keys[:-1]) | (line[1:] != line[:-1])
    yield from broken("ladder", ~rises, "a level is not better than the one behind it")
    is_level = slot != NO_BID
    other = ~is_level | (levels[slot, Level.KEY] != keys)
    yield from broken("ladder", other, "its level has another price, or is none")
    foreign = is_level & (levels[slot, Level.OWNER] != (line + 1) << 1 | 1)
    yield from broken("owner", foreign, "the level is of another book or side")

    length, best = lines[:, Ladder.LENGTH], lines[:, Ladder.BEST]
    none = np.where(np.arange(len(lines)) & 1, NO_ASK, NO_BID)
    last = none.copy()
    last[length > 0] = slot[(np.cumsum(length) - 1)[length > 0]]
    empty = (length > 0) & (levels[last, Level.SIZE] <= 0)
    wrong = np.flatnonzero((best != last) | empty)
    if len(wrong):
        first = int(wrong[0])
        found = "the best level that is kept is not the best that has size"
        yield Violation("best", len(wrong), first >> 1, first & 1, None, found)


# ---------------------------------------------------------------------- levels


def _broken_levels(view: _View, top_of_book: Mask | None) -> Iterator[Violation]:
    levels, orders = view.levels, view.orders
    slot = orders[:, Order.PACKED] >> 32
    known = _is_slot(slot, levels)
    sums, counts = np.zeros((2, len(levels)), np.int64)
    np.add.at(sums, slot[known], orders[known, Order.PACKED] & 0xFFFFFFFF)
    np.add.at(counts, slot[known], 1)
    size, count = levels[:, Level.SIZE], levels[:, Level.COUNT]
    line = (levels[:, Level.OWNER] >> 1) - 1
    of_book = (line >= 0) & (line < len(view.lines))

    def broken(invariant: str, mask: Mask, found: str) -> Iterator[Violation]:
        at = np.flatnonzero(mask & of_book)
        if len(at):
            first = int(at[0])
            values = {"size": size[first], "count": count[first]}
            text = found.format(**values, sum=sums[first], orders=counts[first])
            place = (*view.book_side(first), view.price(first))
            yield Violation(invariant, len(at), *place, text)

    top = size - sums
    may_have_top = np.ones(len(levels), np.bool_)
    if top_of_book is not None:
        may_have_top[of_book] = top_of_book[line[of_book] >> 1]
    # A side has at most one top-of-book record.
    tops = np.bincount(line[of_book & (top > 0)], minlength=len(view.lines))
    several = of_book & (top > 0)
    several[several] = tops[line[several]] > 1
    wrong = (top < 0) | several | ((top > 0) & ~may_have_top)
    yield from broken("level_size", wrong, "its size is {size}, that of its orders {sum}")
    yield from broken(
        "level_count", count != counts, "its count is {count}, it has {orders} orders"
    )
    yield from broken("sizes", size < 0, "its size is {size}")
    in_ladder = np.zeros(len(levels), np.bool_)
    in_ladder[view.entry_slot] = True
    yield from broken("in_ladder", (size != 0) & ~in_ladder, "it is in no ladder")
