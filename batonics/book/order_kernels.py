"""What A, C and M do to their orders and levels (rules 7 to 10, 12 and 19).

The rule here: a record is either at fault, which is counted and changes nothing, or applied whole.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.level_kernels import (
    NO_FAULT,
    ONE,
    ZERO,
    add_to_level,
    count_anomaly,
    take_from_level,
)
from batonics.book.state import (
    A_BAD_SIDE,
    A_DUPLICATE_ADD,
    A_OVER_CANCEL,
    A_SIDE_MISMATCH,
    A_UNDEF_PRICE,
    A_UNDEF_SIZE,
    A_UNKNOWN_CANCEL,
    A_UNKNOWN_MODIFY,
    A_ZERO_SIZE,
    L_KEY,
    LADDER_FLOOR,
    O_ORDER_ID,
    O_OWNER,
    O_PACKED,
    O_PRIORITY,
    SLOT_WORDS,
    T_DELTAS,
    T_EVENT_ENDS,
    T_LEVELS,
    T_ORDERS,
    T_PRIORITY,
    Events,
    Outputs,
    State,
)
from batonics.book.table_kernels import SIZE_MASK, erase_order, find_level, find_order, ladder_base
from batonics.hash_kernels import Salt
from batonics.model.mbo import (
    ACTION_ADD,
    ACTION_MODIFY_PARTIAL,
    SIDE_ASK,
    SIDE_BID,
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
)
from batonics.native import as_word, at, inlined, outlined


class Tables(NamedTuple):
    """Masks, shifts and the salt of the tables of orders and levels."""

    order_mask: int
    order_shift: int
    level_mask: int
    level_shift: int
    salt: Salt


class Counts(NamedTuple):
    """Totals (`Total`) that change with most records. Outside of memory they stay in registers."""

    priority: int
    orders: int
    levels: int
    deltas: int
    event_ends: int


class Held(NamedTuple):
    """What the table of orders holds under a record's order id.

    A slot may still hold an order that a clear killed: such an order is not live.
    """

    base: int  # of the slot, be it taken or free
    is_taken: bool
    is_live: bool
    packed: int
    side: int


class Terms(NamedTuple):
    """Price, size and side that a record gives its order, and the anomaly that forbids it."""

    price: int
    size: int
    side_code: int
    fault: int  # or NO_FAULT


@inlined
def load_counts(totals: NDArray[np.int64]) -> Counts:
    """The counts of the state's totals."""
    return Counts(
        totals[T_PRIORITY],
        totals[T_ORDERS],
        totals[T_LEVELS],
        totals[T_DELTAS],
        totals[T_EVENT_ENDS],
    )


@inlined
def store_counts(totals: NDArray[np.int64], counts: Counts) -> None:
    """Bring the state's totals up to date."""
    totals[T_PRIORITY] = counts.priority
    totals[T_ORDERS] = counts.orders
    totals[T_LEVELS] = counts.levels
    totals[T_DELTAS] = counts.deltas
    totals[T_EVENT_ENDS] = counts.event_ends


@inlined
def look_up_order(state: State, tables: Tables, home: int, order_id: int, book: int) -> Held:
    """What the table of orders holds under an order id of a book."""
    orders = state.orders
    base = find_order(orders, tables.order_mask, home, order_id, book)
    if base < 0:
        return Held(~base, False, False, ZERO, ZERO)
    side = orders[at(base + O_OWNER)] & 1
    floor = state.books[at(ladder_base(book, side) + LADDER_FLOOR)]
    is_live = orders[at(base + O_PRIORITY)] >= floor
    return Held(base, True, is_live, orders[at(base + O_PACKED)], side)


@inlined
def apply_cancel(
    events: Events,
    state: State,
    out: Outputs,
    tables: Tables,
    counts: Counts,
    row: int,
    book: int,
    home: int,
) -> Counts:
    """C: take size from the order, which leaves at 0 (rule 8), at its own side (rule 12)."""
    order_id = as_word(events.order_id[at(row)])
    held = look_up_order(state, tables, home, order_id, book)
    order_count, delta_count = counts.orders, counts.deltas
    if held.is_live:
        size, left, count = as_word(events.size[at(row)]), held.packed & SIZE_MASK, ZERO
        if size < left:
            state.orders[at(held.base + O_PACKED)] = held.packed - size
        else:
            if size > left:
                count_anomaly(state, book, A_OVER_CANCEL)
            mask, shift = tables.order_mask, tables.order_shift
            erase_order(state.orders, mask, shift, tables.salt, held.base)
            order_count -= 1
            size, count = left, ONE
        delta_count = take_from_level(
            state, out, delta_count, row, book, held.side, held.packed >> 32, size, count
        )
    else:
        count_anomaly(state, book, A_UNKNOWN_CANCEL)
    return Counts(counts.priority, order_count, counts.levels, delta_count, counts.event_ends)


@outlined
def complete_modify(
    levels: NDArray[np.int64],
    packed: int,
    own_side: int,
    is_live: bool,
    price: int,
    size: int,
    side_code: int,
) -> tuple[int, int, int, int]:
    """Fill in what a partial modify leaves out from the book: price, size, side, and the anomaly.

    `packed` and `own_side` are the order's, if it is live; if it is not, nothing may be left out.
    """
    lacks_side = side_code != SIDE_BID and side_code != SIDE_ASK
    if not is_live:
        lacking = price == UNDEF_PRICE or size == UNDEF_ORDER_SIZE or lacks_side
        return price, size, side_code, A_UNKNOWN_MODIFY if lacking else NO_FAULT
    if price == UNDEF_PRICE:
        price = levels[(packed >> 32) * SLOT_WORDS + L_KEY] ^ -own_side
    if size == UNDEF_ORDER_SIZE:
        size = packed & SIZE_MASK
    if lacks_side:
        side_code = SIDE_ASK if own_side else SIDE_BID
    return price, size, side_code, NO_FAULT


@outlined
def find_fault(action: int, side_code: int, price: int, size: int) -> int:
    """Why an add or modify changes nothing (rules 7 and 19), or NO_FAULT."""
    if side_code != SIDE_BID and side_code != SIDE_ASK:
        return A_BAD_SIDE
    if price == UNDEF_PRICE:
        return A_UNDEF_PRICE
    if size == UNDEF_ORDER_SIZE:
        return A_UNDEF_SIZE
    if size == 0 and action == ACTION_ADD:
        return A_ZERO_SIZE
    return NO_FAULT


@inlined
def read_terms(events: Events, state: State, row: int, action: int, held: Held) -> Terms:
    """What an add or modify gives its order, a partial modify completed from the book."""
    price, size = events.price[at(row)], as_word(events.size[at(row)])
    side_code = as_word(events.side[at(row)])
    fault = NO_FAULT
    if action == ACTION_MODIFY_PARTIAL:
        price, size, side_code, fault = complete_modify(
            state.levels, held.packed, held.side, held.is_live, price, size, side_code
        )
    # One test for the usual case; the anomaly, if there is one, is found out of line.
    is_sided = side_code == SIDE_BID or side_code == SIDE_ASK
    if (
        not (is_sided and price != UNDEF_PRICE and 0 < size < UNDEF_ORDER_SIZE)
        and fault == NO_FAULT
    ):
        fault = find_fault(action, side_code, price, size)
    return Terms(price, size, side_code, fault)


@inlined
def apply_order(
    events: Events,
    state: State,
    out: Outputs,
    tables: Tables,
    counts: Counts,
    row: int,
    book: int,
    home: int,
    action: int,
) -> Counts:
    """A and M: an order gets a price and a size, or with size 0 it leaves (rules 7, 9 and 10)."""
    order_id = as_word(events.order_id[at(row)])
    held = look_up_order(state, tables, home, order_id, book)
    terms = read_terms(events, state, row, action, held)
    if terms.fault != NO_FAULT:
        count_anomaly(state, book, terms.fault)
        return counts
    side = as_word(terms.side_code == SIDE_ASK)
    if action == ACTION_ADD:
        if held.is_live:  # rule 7: it replaces the order
            count_anomaly(state, book, A_DUPLICATE_ADD)
    elif not held.is_live:  # rule 9: inserted as if A
        count_anomaly(state, book, A_UNKNOWN_MODIFY)
    elif side != held.side:  # rule 12
        count_anomaly(state, book, A_SIDE_MISMATCH)
        side = held.side
    return move_order(
        state, out, tables, counts, row, book, order_id, held, side, terms, action == ACTION_ADD
    )


@inlined
def move_order(
    state: State,
    out: Outputs,
    tables: Tables,
    counts: Counts,
    row: int,
    book: int,
    order_id: int,
    held: Held,
    side: int,
    terms: Terms,
    is_add: bool,
) -> Counts:
    """Move an order to its level, and write it; at size 0 remove it (rules 9 and 10)."""
    orders, size, new_level = state.orders, terms.size, -ONE
    priority, order_count = counts.priority, counts.orders
    level_count, delta_count = counts.levels, counts.deltas
    old_level, old_size = held.packed >> 32, held.packed & SIZE_MASK
    if size > 0:
        key, owner = terms.price ^ -side, (book << 1 | side) + 1
        mask, shift = tables.level_mask, tables.level_shift
        new_level = find_level(state.levels, mask, shift, tables.salt, key, owner)
        if new_level < 0:
            new_level = ~new_level
            level_count += 1
    added, count = size, ONE
    if held.is_live and new_level == old_level:
        added, count = size - old_size, ZERO
    elif held.is_live:
        delta_count = take_from_level(
            state, out, delta_count, row, book, held.side, old_level, old_size, ONE
        )
    if size == 0:
        if held.is_live:
            mask, shift = tables.order_mask, tables.order_shift
            erase_order(orders, mask, shift, tables.salt, held.base)
            order_count -= 1
    else:
        # Rule 10: to the back of the level, unless the order stays there and does not grow.
        if count == 1 or added > 0 or is_add:
            priority += 1
            orders[at(held.base + O_PRIORITY)] = priority
        if not held.is_taken:
            order_count += 1
            orders[at(held.base + O_ORDER_ID)] = order_id
        orders[at(held.base + O_OWNER)] = book << 1 | side
        orders[at(held.base + O_PACKED)] = new_level << 32 | size
        if added != 0:
            delta_count = add_to_level(
                state, out, delta_count, row, book, side, new_level, added, count
            )
    return Counts(priority, order_count, level_count, delta_count, counts.event_ends)
