"""Room for more: states with larger or rebuilt arrays, which hold the same books."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from batonics.book import table_kernels
from batonics.book.reader import live_order_bases
from batonics.book.state import (
    BLOCK,
    SLOT_WORDS,
    FoldStop,
    Level,
    State,
    Total,
    aligned_zeros,
    empty_levels,
    empty_orders,
)


def make_room(state: State, stop: FoldStop) -> State:
    """The state with room in the array that stopped the fold."""
    if stop == FoldStop.ORDERS:
        return rebuild_orders(state)
    if stop == FoldStop.LEVELS:
        return rebuild_levels(state)
    if stop == FoldStop.BOOKS:
        return double_books(state)
    if stop == FoldStop.POOL:
        return state._replace(run_keys=doubled(state.run_keys), run_slots=doubled(state.run_slots))
    raise AssertionError(f"the state does not hold what stopped the fold: {stop}")


def rebuild_orders(state: State) -> State:
    """The state with a new table of the live orders, at a load of a quarter at most."""
    live = len(live_order_bases(state))
    slots = _power_of_two(4 * (live + BLOCK))
    orders = empty_orders(slots)
    state.totals[Total.ORDERS] = table_kernels.rebuild_orders(
        state.orders, orders, slots - 1, _shift(slots), state.salt, state.books
    )
    return state._replace(orders=orders)


def rebuild_levels(state: State) -> State:
    """The state with a new table of the levels in runs, at a load of a quarter at most."""
    in_runs = int(np.count_nonzero(state.levels[Level.OWNER :: SLOT_WORDS] & 1))
    slots = _power_of_two(4 * (in_runs + BLOCK))
    levels = empty_levels(slots)
    state.totals[Total.LEVELS] = table_kernels.rebuild_levels(
        state.levels,
        levels,
        slots - 1,
        _shift(slots),
        state.salt,
        state.orders,
        state.books,
        int(state.totals[Total.BOOKS]),
        state.run_slots,
        np.zeros(len(state.levels) // SLOT_WORDS, np.int64),
    )
    return state._replace(levels=levels)


def double_books(state: State) -> State:
    """The state with room for twice as many books."""
    books = aligned_zeros(2 * len(state.books))
    books[: len(state.books)] = state.books
    room = state._replace(books=books, anomalies=doubled(state.anomalies))
    return rebuild_index(room, 2 * len(state.book_index))


def rebuild_index(state: State, words: int) -> State:
    """The state with a new index of so many words."""
    index, books = np.zeros(words, np.int64), int(state.totals[Total.BOOKS])
    table_kernels.rebuild_index(index, state.salt, state.books, books)
    return state._replace(book_index=index)


def doubled(array: NDArray[Any]) -> NDArray[Any]:
    """The array with as many zeros behind it."""
    grown = np.zeros(2 * len(array), array.dtype)
    grown[: len(array)] = array
    return grown


def grown(array: NDArray[np.int64], length: int, fill: int) -> NDArray[np.int64]:
    """The array, filled up to a length."""
    longer = np.full(length, fill, np.int64)
    longer[: len(array)] = array
    return longer


def _power_of_two(at_least: int) -> int:
    return 1 << max(10, (at_least - 1).bit_length())


def _shift(slots: int) -> int:
    return 64 - (slots.bit_length() - 1)
