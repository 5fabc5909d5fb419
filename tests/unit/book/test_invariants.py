"""Every invariant holds on irregular streams, and each way to break one is found and named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from batonics.book.engine import BookEngine
from batonics.book.invariants import INVARIANTS, Violation, find_violations
from batonics.book.state import (
    ASK_LADDER,
    BID_LADDER,
    NO_BID,
    SLOT_WORDS,
    Ladder,
    Level,
    Order,
    State,
)
from batonics.model.mbo import Action, Flag, Side
from tests.support.dbn_files import record
from tests.support.growth_streams import wide
from tests.support.stream_profiles import PROFILES
from tests.support.streams import batch_of

Change = Callable[[State], None]


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_is_found_in_a_sound_state(profile: str) -> None:
    engine = BookEngine()
    batch = PROFILES[profile](21, 6_000)
    engine.fold(batch)
    assert find_violations(engine.state) == []


def test_nothing_is_found_in_a_large_state_before_and_after_a_rebuild() -> None:
    engine = BookEngine()
    engine.fold(wide(60_000, 6_000))
    assert find_violations(engine.state, np.zeros(engine.book_count, np.bool_)) == []
    engine.rebuild()
    assert find_violations(engine.state, np.zeros(engine.book_count, np.bool_)) == []


def test_nothing_is_found_where_there_are_no_books() -> None:
    assert find_violations(BookEngine().state) == []


def two_books() -> BookEngine:
    """Each with two orders at each bid from 100 to 104; the first with an ask at 110 too."""
    rows = [
        record(
            Action.ADD, instrument_id=book, price=99 + number, order_id=number + add, size=number
        )
        for book in (1, 2)
        for add in (0, 10)
        for number in range(1, 6)
    ]
    rows.append(record(Action.ADD, side=Side.ASK, price=110, order_id=21))
    engine = BookEngine()
    engine.fold(batch_of(rows))
    return engine


def order(state: State, order_id: int, book: int = 0) -> int:
    """The word where the slot of an order begins."""
    slots = state.orders.reshape(-1, SLOT_WORDS)
    is_it = (slots[:, Order.ORDER_ID] == order_id) & (slots[:, Order.OWNER] >> 1 == book)
    return int(is_it.argmax()) * SLOT_WORDS


def level(state: State, order_id: int) -> int:
    """The word where the slot of an order's level begins."""
    return int(state.orders[order(state, order_id) + Order.PACKED] >> 32) * SLOT_WORDS


def lose_the_best(state: State) -> None:
    """As if the best had been popped from its ladder."""
    state.books[BID_LADDER + Ladder.LENGTH] -= 1
    end = state.books[BID_LADDER + Ladder.START] + state.books[BID_LADDER + Ladder.LENGTH]
    state.books[BID_LADDER + Ladder.BEST] = state.run_slots[end - 1]
    state.levels[level(state, 5) + Level.OWNER] &= ~1


def empty_the_best(state: State) -> None:
    """As if its orders had left, too."""
    state.levels[level(state, 5) + Level.SIZE] = 0
    lose_the_best(state)


def borrow_a_level(state: State) -> None:
    """The first book's ladder has the second's level of the same price."""
    place = int(state.books[BID_LADDER + Ladder.START])
    there = order(state, 1, book=1)
    state.run_slots[place] = state.orders[there + Order.PACKED] >> 32


def swap_levels(state: State) -> None:
    start = int(state.books[BID_LADDER + Ladder.START])
    state.run_keys[start : start + 2] = state.run_keys[start : start + 2][::-1].copy()
    state.run_slots[start : start + 2] = state.run_slots[start : start + 2][::-1].copy()


def share_a_level(state: State) -> None:
    """An order of the second book goes to the level of the first."""
    there = order(state, 1, book=1)
    size = state.orders[there + Order.PACKED] & 0xFFFFFFFF
    state.orders[there + Order.PACKED] = (level(state, 1) // SLOT_WORDS) << 32 | size


def share_a_priority(state: State) -> None:
    first = state.orders[order(state, 1) + Order.PRIORITY]
    state.orders[order(state, 11) + Order.PRIORITY] = first


def add(place: Callable[[State], int], amount: int) -> Change:
    def change(state: State) -> None:
        array = state.levels if place.__name__.startswith("level") else state.orders
        array[place(state)] += amount

    return change


def level_size(state: State) -> int:
    return level(state, 3) + Level.SIZE


def level_count(state: State) -> int:
    return level(state, 3) + Level.COUNT


def level_key(state: State) -> int:
    return level(state, 3) + Level.KEY


def order_size(state: State) -> int:
    return order(state, 3) + Order.PACKED


def order_priority(state: State) -> int:
    return order(state, 3) + Order.PRIORITY


def order_word_of_id(state: State) -> int:
    return order(state, 3) + Order.ORDER_ID


def point_nowhere(state: State) -> None:
    state.orders[order_size(state)] += 1 << 61


def leave_the_best(state: State) -> None:
    state.books[BID_LADDER + Ladder.BEST] = state.run_slots[state.books[BID_LADDER + Ladder.START]]


def empty_the_side(state: State) -> None:
    state.books[ASK_LADDER + Ladder.LENGTH] = 0


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (add(level_size, 1), {"level_size"}),
        (add(level_size, -1), {"level_size"}),
        (add(level_size, -100), {"level_size", "sizes"}),
        (add(level_count, 1), {"level_count"}),
        (add(level_key, 1), {"ladder"}),
        (add(order_size, 1), {"level_size"}),
        (add(order_size, -3), {"sizes", "level_size"}),
        (add(order_priority, 1 << 40), {"queue"}),
        (add(order_word_of_id, 10), {"order_id"}),
        (share_a_priority, {"queue"}),
        (lose_the_best, {"in_ladder"}),
        (empty_the_best, {"in_ladder", "level_size"}),
        (borrow_a_level, {"in_ladder", "owner"}),
        (swap_levels, {"ladder"}),
        (share_a_level, {"owner", "level_size", "level_count"}),
        (point_nowhere, {"in_ladder", "level_size", "level_count"}),
        (leave_the_best, {"best"}),
        (empty_the_side, {"in_ladder", "best"}),
    ],
)
def test_a_broken_state_is_found_and_named(change: Change, broken: set[str]) -> None:
    engine = two_books()
    no_tops = np.zeros(engine.book_count, np.bool_)
    assert find_violations(engine.state, no_tops) == []
    change(engine.state)
    found = {violation.invariant for violation in find_violations(engine.state, no_tops)}
    assert found == broken
    assert found <= set(INVARIANTS)


def test_a_violation_says_where_and_what() -> None:
    state = two_books().state
    state.levels[level_size(state)] += 1
    assert find_violations(state, np.zeros(2, np.bool_)) == [
        Violation("level_size", 1, 0, 0, 102 * 10**9, "its size is 7, that of its orders 6")
    ]


def test_a_level_may_be_larger_than_its_orders_where_a_top_may_stand() -> None:
    engine = two_books()
    engine.fold(batch_of([record(Action.ADD, price=120, size=9, flags=Flag.TOB | Flag.LAST)]))
    assert find_violations(engine.state, np.array([True, False])) == []
    (found,) = find_violations(engine.state, np.array([False, False]))
    assert (found.invariant, found.book, found.price) == ("level_size", 0, 120 * 10**9)


def test_a_top_that_is_in_no_ladder_is_found() -> None:
    engine = two_books()
    engine.fold(batch_of([record(Action.ADD, price=120, size=9, flags=Flag.TOB | Flag.LAST)]))
    engine.state.books[BID_LADDER + Ladder.LENGTH] = 0
    engine.state.books[BID_LADDER + Ladder.BEST] = NO_BID
    (found,) = find_violations(engine.state)
    assert (found.invariant, found.price, found.found) == (
        "in_ladder",
        120 * 10**9,
        "it is in no ladder",
    )


def test_a_side_has_one_top_at_the_most() -> None:
    state = two_books().state
    for order_id in (2, 3):
        state.levels[level(state, order_id) + Level.SIZE] += 1
    (found,) = find_violations(state)
    assert (found.invariant, found.times) == ("level_size", 2)
