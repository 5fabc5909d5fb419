"""What a record does to its book apart from its order: snapshots, clears, top-of-book records.

The rule here: rules 11 and 13 to 17 act in this file; `rule_kernels.py` decides what they say.
"""

from __future__ import annotations

from batonics.book.event_kernels import end_snapshot
from batonics.book.level_kernels import NO_FAULT, clear_book, clear_side, count_anomaly, put_level
from batonics.book.rule_kernels import (
    CLEARS_BOOK,
    ENDS_SNAPSHOT,
    KEEPS_SNAPSHOT_OPEN,
    NAMES_NO_ORDER,
    OPENS_SNAPSHOT,
    REPLACES_SIDE,
    is_add_or_modify,
    read_effects,
    status_after,
)
from batonics.book.state import (
    A_BAD_SIDE,
    A_MBP_RECORD,
    A_SNAPSHOT_REPLACED,
    A_TOB_CANCEL,
    A_UNDEF_SIZE,
    ASK_LADDER,
    B_SNAPSHOT_OPEN,
    B_STATUS,
    B_TOP_BITS,
    BID_LADDER,
    BLOCK,
    BOOK_WORDS,
    CHANGE_CLEARED,
    CHANGE_SNAPSHOT,
    DELTA_WORDS,
    LADDER_LENGTH,
    T_DELTAS,
    Events,
    Outputs,
    State,
)
from batonics.book.window_kernels import keep_levels_before
from batonics.model.mbo import (
    ACTION_ADD,
    ACTION_CANCEL,
    ACTION_NONE,
    F_MBP,
    SIDE_ASK,
    SIDE_BID,
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
)
from batonics.native import as_word, inlined, outlined

NO_ROOM = -1
"""In place of an action: nothing was applied, since an array lacks room."""


@inlined
def has_room_to_clear(state: State, out: Outputs, book: int) -> bool:
    """Whether the deltas of clearing a book, and of a block after it, have room."""
    if len(out.deltas) == 0:
        return True
    base = book * BOOK_WORDS
    levels = (
        state.books[base + BID_LADDER + LADDER_LENGTH]
        + state.books[base + ASK_LADDER + LADDER_LENGTH]
    )
    needed: int = (state.totals[T_DELTAS] + levels + 2 * BLOCK + 2) * DELTA_WORDS
    return needed <= len(out.deltas)


@outlined
def apply_effects(state: State, out: Outputs, events: Events, row: int, book: int) -> int:
    """Apply all that a record does to its book apart from its order (rules 11 and 13 to 17).

    The action that is left to apply: the record's own, ACTION_NONE, or NO_ROOM, where nothing was
    applied.
    """
    base, books = book * BOOK_WORDS, state.books
    action, flags = as_word(events.action[row]), as_word(events.flags[row])
    if not has_room_to_clear(state, out, book):
        return NO_ROOM
    effects = read_effects(action, flags, books[base + B_SNAPSHOT_OPEN])
    if effects & ENDS_SNAPSHOT:
        end_snapshot(state, out, book)
    if len(out.levels_before) > 0:
        keep_levels_before(state, out, book, flags)
    books[base + B_SNAPSHOT_OPEN] = as_word(effects & KEEPS_SNAPSHOT_OPEN != 0)
    if effects & CLEARS_BOOK:
        is_snapshot = effects & OPENS_SNAPSHOT
        books[base + B_TOP_BITS] |= CHANGE_CLEARED | (CHANGE_SNAPSHOT if is_snapshot else 0)
        if clear_book(state, out, row, book) and action == ACTION_ADD:
            count_anomaly(state, book, A_SNAPSHOT_REPLACED)
    books[base + B_STATUS] = status_after(books[base + B_STATUS], effects, flags)
    if effects & NAMES_NO_ORDER and (action == ACTION_CANCEL or is_add_or_modify(action)):
        if effects & REPLACES_SIDE:
            fault = replace_side(state, out, events, row, book)
        else:
            fault = A_MBP_RECORD if flags & F_MBP else A_TOB_CANCEL
        if fault != NO_FAULT:
            count_anomaly(state, book, fault)
        return ACTION_NONE
    return action


@inlined
def replace_side(state: State, out: Outputs, events: Events, row: int, book: int) -> int:
    """Replace a side by a top-of-book record (rule 13); the anomaly, or NO_FAULT."""
    side_code, price = as_word(events.side[row]), events.price[row]
    size = as_word(events.size[row])
    if side_code != SIDE_BID and side_code != SIDE_ASK:
        return A_BAD_SIDE
    if size == UNDEF_ORDER_SIZE and price != UNDEF_PRICE:
        return A_UNDEF_SIZE
    side = as_word(side_code == SIDE_ASK)
    clear_side(
        state.levels, state.books, state.run_slots, state.totals, out.deltas, row, book, side
    )
    if price == UNDEF_PRICE or size == 0:
        return NO_FAULT
    put_level(state, out, row, book, side, price ^ -side, size)
    return NO_FAULT
