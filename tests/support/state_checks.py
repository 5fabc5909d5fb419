"""What must be true of the state's arrays between two batches, whatever the records were.

The rule: everything is recomputed here from the words alone, by numpy, with no kernel. Only the
layout (`state.py`) and the salt of the hash tables are taken from the engine.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import (
    ASK_LADDER,
    BID_LADDER,
    BOOK_WORDS,
    NO_ASK,
    NO_BID,
    SLOT_WORDS,
    Book,
    Ladder,
    Level,
    Order,
    State,
    Total,
)
from batonics.model.mbo import UNDEF_PRICE
from tests.support.salted_hashes import mixed_words, spread_words

Words = NDArray[np.int64]

NO_LEVELS = [[UNDEF_PRICE, -1, 0, 0], [~UNDEF_PRICE, -1, 0, 0]]


class Ladders(NamedTuple):
    """The words of every side of every book: rows 2 * book + side, in the order of `Ladder`."""

    floor: Words
    start: Words
    length: Words
    capacity: Words
    best: Words
    empties: Words


def check_state(state: State) -> None:
    """AssertionError if the state is not consistent in itself."""
    books = state.books[: state.totals[Total.BOOKS] * BOOK_WORDS].reshape(-1, BOOK_WORDS)
    sides = np.stack(
        [books[:, BID_LADDER : BID_LADDER + 8], books[:, ASK_LADDER : ASK_LADDER + 8]], axis=1
    ).reshape(-1, 8)
    ladders = Ladders(*(sides[:, word] for word in Ladder))
    orders = state.orders.reshape(-1, SLOT_WORDS)
    levels = state.levels.reshape(-1, SLOT_WORDS)

    assert (books[:, Book.LAST_ROW] == -1).all(), "a row of a batch that is over"
    _check_index(state.book_index.reshape(-1, 2), books[:, Book.KEY], state.salt)
    _check_order_table(orders, state.totals, state.salt)
    _check_level_table(levels, state.totals, state.salt)
    _check_runs(state, ladders, levels)
    _check_queues(orders, levels, ladders, state.totals)


def _check_index(index: Words, keys: Words, salt: NDArray[np.uint64]) -> None:
    places = np.flatnonzero(index[:, 1])
    assert sorted(index[places, 1].tolist()) == list(range(1, len(keys) + 1)), "books in the index"
    assert (index[places, 0] == keys[index[places, 1] - 1]).all(), "keys in the index"
    mixed = mixed_words(keys, np.zeros_like(keys), salt) >> np.uint64(32)
    home = mixed.astype(np.int64) & (len(index) - 1)
    place_of = np.zeros(len(keys), np.int64)
    place_of[index[places, 1] - 1] = places
    _check_probing("book", index[:, 1] != 0, home, place_of)


def _check_order_table(orders: Words, totals: Words, salt: NDArray[np.uint64]) -> None:
    taken = np.flatnonzero(orders[:, Order.OWNER] >= 0)
    assert len(taken) == totals[Total.ORDERS], "the count of order slots taken"
    book = orders[taken, Order.OWNER] >> 1
    assert book.size == 0 or book.max() < totals[Total.BOOKS], "an order of no book"
    names = np.stack([orders[taken, Order.ORDER_ID], book], axis=1)
    assert len(np.unique(names, axis=0)) == len(taken), "an order twice in the table"
    mixed = spread_words(orders[taken, Order.ORDER_ID], book, salt)
    _check_probing("order", orders[:, Order.OWNER] >= 0, _home(mixed, len(orders)), taken)


def _check_level_table(levels: Words, totals: Words, salt: NDArray[np.uint64]) -> None:
    assert levels[: NO_ASK + 1].tolist() == NO_LEVELS, "the levels of an empty side"
    owner = levels[:, Level.OWNER]
    taken = np.flatnonzero(owner > 0)
    assert len(taken) + len(NO_LEVELS) == totals[Total.LEVELS], "the count of level slots taken"
    names = np.stack([levels[taken, Level.KEY], owner[taken] >> 1], axis=1)
    assert len(np.unique(names, axis=0)) == len(taken), "a level twice in the table"
    mixed = mixed_words(levels[taken, Level.KEY], owner[taken] >> 1, salt)
    _check_probing("level", owner != 0, _home(mixed, len(levels)), taken)


def _home(mixed: NDArray[np.uint64], slots: int) -> Words:
    shift = 64 - (slots.bit_length() - 1)
    return (mixed >> np.uint64(shift)).astype(np.int64)


def _check_probing(what: str, taken: NDArray[np.bool_], home: Words, place: Words) -> None:
    """Linear probing from `home` reaches `place`: no free slot lies between. At most half full."""
    slots = len(taken)
    assert slots & (slots - 1) == 0, f"{what} table of {slots} slots"
    assert 2 * int(taken.sum()) <= slots, f"{what} table over half full"
    free_before = np.concatenate([[0], np.cumsum(np.tile(~taken, 2))])
    steps = (place - home) & (slots - 1)
    passed = free_before[home + steps + 1] - free_before[home]
    assert (passed == 0).all(), f"{what}: probing does not find it"


def _check_runs(state: State, ladders: Ladders, levels: Words) -> None:
    assert (ladders.length <= ladders.capacity).all(), "a run over its capacity"
    by_start = np.argsort(ladders.start)
    ends = (ladders.start + ladders.capacity)[by_start]
    assert (ends[:-1] <= ladders.start[by_start][1:]).all(), "runs overlap"
    assert ends.size == 0 or ends[-1] <= state.totals[Total.POOL], "a run beyond the pool's mark"
    # Runs double: what a run has left behind is less than what it has.
    assert state.totals[Total.POOL] <= 2 * ladders.capacity.sum(), "the pool is wasted"

    in_run = 0
    for number, (start, length) in enumerate(
        zip(ladders.start.tolist(), ladders.length.tolist(), strict=True)
    ):
        keys = state.run_keys[start : start + length]
        slots = state.run_slots[start : start + length]
        assert (keys[1:] > keys[:-1]).all(), f"run {number} is not sorted"
        assert (levels[slots, Level.KEY] == keys).all(), f"run {number} has keys of other levels"
        owners = (number + 1) << 1 | 1
        assert (levels[slots, Level.OWNER] == owners).all(), f"run {number} has others' levels"
        empties = int((levels[slots, Level.SIZE] == 0).sum())
        assert empties == ladders.empties[number], f"run {number} miscounts its empty levels"
        best = (NO_ASK if number & 1 else NO_BID) if length == 0 else slots[-1]
        assert ladders.best[number] == best, f"run {number} has another best than its last"
        assert length == 0 or levels[best, Level.SIZE] > 0, f"the best of run {number} is empty"
        in_run += length
    taken = levels[NO_ASK + 1 :]
    bits = taken[:, Level.OWNER] & 1
    assert int(bits.sum()) == in_run, "levels marked as in a run"
    assert not taken[bits == 0, Level.SIZE :].any(), "a level in no run has size or orders"


def _check_queues(orders: Words, levels: Words, ladders: Ladders, totals: Words) -> None:
    """Size and count of a level are those of its orders, but for a top-of-book share of size."""
    owner = orders[:, Order.OWNER]
    floors = np.append(ladders.floor, np.iinfo(np.int64).max)  # a free slot's owner is -1
    live = orders[orders[:, Order.PRIORITY] >= floors[owner]]
    place, size = live[:, Order.PACKED] >> 32, live[:, Order.PACKED] & 0xFFFFFFFF
    assert (size > 0).all(), "an order without size"
    assert (levels[place, Level.OWNER] == (live[:, Order.OWNER] + 1) << 1 | 1).all(), (
        "an order at a level of another side, or of none"
    )
    priorities = live[:, Order.PRIORITY]
    assert len(np.unique(priorities)) == len(live), "two orders of one priority"
    assert live.size == 0 or priorities.max() <= totals[Total.PRIORITY], "a priority never given"
    sums, counts = _by_level(place, size, len(levels)), _by_level(place, None, len(levels))
    assert (levels[:, Level.COUNT] == counts).all(), "a level's count is not its orders'"
    top = levels[:, Level.SIZE] - sums
    assert (top >= 0).all(), "a level is smaller than its orders"
    sides_with_top = levels[top > 0, Level.OWNER]
    assert len(np.unique(sides_with_top)) == len(sides_with_top), "two tops on a side"


def _by_level(place: Words, weights: Words | None, levels: int) -> Words:
    """Exact sums: `np.bincount` with weights would go through floats."""
    sums = np.zeros(levels, np.int64)
    weighed: Any = 1 if weights is None else weights
    np.add.at(sums, place, weighed)
    return sums
