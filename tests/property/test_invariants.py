"""The state is consistent in itself, and each way to break it is noticed.

That it holds is checked by `Pair.check` in every run of every test; here it is made to fail.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from batonics.book.engine import BookEngine
from batonics.book.state import BID_LADDER, SLOT_WORDS, Book, Ladder, Level, Order, State, Total
from batonics.model.mbo import batch_from_records
from tests.support.growth_streams import plain, wide
from tests.support.state_checks import check_state
from tests.support.stream_profiles import PROFILES
from tests.support.streams import TICK_1E9

LEVELS = 20


def engine_of_one_book() -> BookEngine:
    """One book of bids: two orders at each of its levels, the second level empty."""
    records = plain(2 * LEVELS + 2)
    records["price"] = records["order_id"] % LEVELS * TICK_1E9
    records["order_id"][-2:] = [LEVELS - 2, 2 * LEVELS - 2]
    records["action"][-2:] = ord("C")
    engine = BookEngine()
    engine.fold(batch_from_records(records))
    return engine


@pytest.mark.parametrize("profile", PROFILES)
def test_the_state_is_consistent(profile: str) -> None:
    engine = BookEngine()
    engine.fold(PROFILES[profile](11, 6_000))
    check_state(engine.state)


def test_a_large_state_is_consistent_before_and_after_a_rebuild() -> None:
    engine = BookEngine()
    engine.fold(wide(60_000, 6_000))
    check_state(engine.state)
    engine.rebuild()
    check_state(engine.state)


def order(state: State) -> int:
    """The word where the slot of the order with id 5 begins."""
    return int((state.orders[Order.ORDER_ID :: SLOT_WORDS] == 5).argmax()) * SLOT_WORDS


def best(state: State) -> int:
    """The word where the slot of the best bid begins."""
    return int(state.books[BID_LADDER + Ladder.BEST]) * SLOT_WORDS


def run_end(state: State) -> int:
    return int(state.books[BID_LADDER + Ladder.START] + state.books[BID_LADDER + Ladder.LENGTH])


def move_order(state: State) -> None:
    """To the free slot just before its own, where no probing begins for it."""
    at = order(state)
    state.orders[at - SLOT_WORDS : at] = state.orders[at : at + SLOT_WORDS]
    state.orders[at + Order.OWNER] = -1


def swap_keys(state: State) -> None:
    end = run_end(state)
    state.run_keys[end - 4 : end - 2] = state.run_keys[end - 4 : end - 2][::-1].copy()
    state.run_slots[end - 4 : end - 2] = state.run_slots[end - 4 : end - 2][::-1].copy()


def add(array: str, place: Callable[[State], int] | int, amount: int) -> Callable[[State], None]:
    def change(state: State) -> None:
        getattr(state, array)[place if isinstance(place, int) else place(state)] += amount

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (add("levels", lambda s: best(s) + Level.SIZE, -1), "smaller than its orders"),
        (add("levels", lambda s: best(s) + Level.COUNT, 1), "count is not its orders"),
        (
            add("levels", lambda s: best(s) + Level.KEY, 1),
            "level: probing does not find it|other levels",
        ),
        (add("levels", lambda s: best(s) + Level.OWNER, -1), "others' levels"),
        (add("levels", Level.SIZE, 1), "levels of an empty side"),
        (add("orders", lambda s: order(s) + Order.PACKED, -1), "an order without size"),
        (add("orders", lambda s: order(s) + Order.PACKED, 1 << 32), "at a level of another"),
        (add("orders", lambda s: order(s) + Order.PRIORITY, 1), "two orders of one priority"),
        (add("orders", lambda s: order(s) + Order.PRIORITY, 1 << 40), "priority never given"),
        (add("orders", lambda s: order(s) + Order.OWNER, 2), "an order of no book"),
        (move_order, "order: probing does not find it"),
        (swap_keys, "run 0 is not sorted"),
        (add("books", BID_LADDER + Ladder.EMPTY, 1), "miscounts its empty levels"),
        (add("books", BID_LADDER + Ladder.LENGTH, -1), "another best than its last"),
        (add("books", BID_LADDER + Ladder.CAPACITY, -30), "over its capacity"),
        (add("books", BID_LADDER + Ladder.START, 1), "a run beyond the pool's mark"),
        (add("books", Book.LAST_ROW, 4), "a row of a batch that is over"),
        (add("books", Book.KEY, 1), "keys in the index"),
        (add("totals", Total.ORDERS, 1), "order slots taken"),
        (add("totals", Total.LEVELS, 1), "level slots taken"),
        (add("totals", Total.POOL, -20), "beyond the pool's mark"),
        (add("totals", Total.POOL, 80), "the pool is wasted"),
    ],
)
def test_a_broken_state_is_noticed(change: Callable[[State], None], words: str) -> None:
    state = engine_of_one_book().state
    check_state(state)
    change(state)
    with pytest.raises(AssertionError, match=words):
        check_state(state)


def test_a_table_over_half_full_is_noticed() -> None:
    engine = engine_of_one_book()
    slots = 64
    small = engine.state._replace(orders=engine.state.orders[: slots * SLOT_WORDS].copy())
    small.orders[Order.OWNER :: SLOT_WORDS] = 0
    small.orders[Order.ORDER_ID :: SLOT_WORDS] = range(slots)
    small.totals[Total.ORDERS] = slots
    with pytest.raises(AssertionError, match="order table over half full"):
        check_state(small)
