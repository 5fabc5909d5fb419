"""The end of a record: event ends, tops, and the best bid and offer.

The rule here: a book is read only at the end of an event (rule 5), except for the best bid and
offer after every record, and for a trade's top.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import (
    ASK_LADDER,
    B_EVENTS,
    B_LAST_ROW,
    B_RECORD_ROW,
    B_SNAPSHOT_OPEN,
    B_STATUS,
    B_TOP_BITS,
    BBO_WORDS,
    BID_LADDER,
    BOOK_WORDS,
    EVENT_END_WORDS,
    L_COUNT,
    L_KEY,
    L_SIZE,
    LADDER_BEST,
    SLOT_WORDS,
    T_BOOKS,
    T_EVENT_ENDS,
    Events,
    Outputs,
    State,
)
from batonics.book.top_kernels import (
    ROW_IS_BEHIND,
    SIDE_BITS,
    write_changed_top,
    write_trade_top,
)
from batonics.book.window_kernels import count_event_end
from batonics.model.mbo import ACTION_FILL, ACTION_NONE, ACTION_TRADE, F_LAST
from batonics.native import as_word, at, inlined, kernel


@inlined
def write_event_end(
    books: NDArray[np.int64], event_ends: NDArray[np.int64], n: int, row: int, book: int
) -> int:
    """An event of the book ends with a row (rule 5); the number of event ends then."""
    event = books[at(book * BOOK_WORDS + B_EVENTS)] >> 1
    books[at(book * BOOK_WORDS + B_EVENTS)] = (event + 1) << 1
    if len(event_ends) == 0:
        return n
    word = n * EVENT_END_WORDS
    event_ends[at(word)] = row
    event_ends[at(word + 1)] = book
    event_ends[at(word + 2)] = event
    return n + 1


@inlined
def end_snapshot(state: State, out: Outputs, book: int) -> None:
    """End the open snapshot of a book, and its event, with the book's last record (rule 14)."""
    books, totals, base = state.books, state.totals, book * BOOK_WORDS
    row = books[base + B_LAST_ROW]
    if len(out.last_tops) > 0:
        write_changed_top(state, out, book, False)
    if len(out.changed_books) > 0:
        count_event_end(state, out, book, row)
    totals[T_EVENT_ENDS] = write_event_end(books, out.event_ends, totals[T_EVENT_ENDS], row, book)
    books[base + B_SNAPSHOT_OPEN] = 0


@kernel
def set_all_statuses(state: State, out: Outputs, status: int) -> None:
    """Give every book a status, and end open snapshots; their tops have room."""
    for book in range(state.totals[T_BOOKS]):
        if state.books[book * BOOK_WORDS + B_SNAPSHOT_OPEN]:
            end_snapshot(state, out, book)
        state.books[book * BOOK_WORDS + B_STATUS] = status


@inlined
def keep_tops(events: Events, state: State, out: Outputs, row: int, book: int) -> None:
    """Write the top of a trade, note the record of an event, and write the top of its end."""
    books, base = state.books, book * BOOK_WORDS
    action = as_word(events.action[at(row)])
    is_trade = action == ACTION_TRADE
    if is_trade and out.trades:
        write_trade_top(state, out, book, row)
    if len(out.last_tops) == 0:
        return
    if not (out.trades and (is_trade or action == ACTION_FILL or action == ACTION_NONE)):
        books[at(base + B_RECORD_ROW)] = row
    bits = books[at(base + B_TOP_BITS)]
    if events.flags[at(row)] & F_LAST and bits & (SIDE_BITS | ROW_IS_BEHIND):
        write_changed_top(state, out, book, is_trade)


@inlined
def write_bbo(state: State, bbo: NDArray[np.int64], row: int, book: int) -> None:
    """Write the best bid and offer of a book after the record of a row."""
    levels, base, word = state.levels, book * BOOK_WORDS, row * BBO_WORDS
    bid = state.books[at(base + BID_LADDER + LADDER_BEST)] * SLOT_WORDS
    ask = state.books[at(base + ASK_LADDER + LADDER_BEST)] * SLOT_WORDS
    bbo[at(word)] = levels[at(bid + L_KEY)]
    bbo[at(word + 1)] = levels[at(bid + L_SIZE)]
    bbo[at(word + 2)] = levels[at(bid + L_COUNT)]
    bbo[at(word + 3)] = ~levels[at(ask + L_KEY)]
    bbo[at(word + 4)] = levels[at(ask + L_SIZE)]
    bbo[at(word + 5)] = levels[at(ask + L_COUNT)]


@inlined
def end_record(
    events: Events, state: State, out: Outputs, event_ends: int, row: int, book: int, flags: int
) -> int:
    """Do what follows every record: events, tops, BBO; the number of event ends then."""
    books, base, last = state.books, book * BOOK_WORDS, flags >> 7
    books[at(base + B_LAST_ROW)] = row
    if len(out.changed_books) > 0:
        if last:
            count_event_end(state, out, book, row)
    elif out.depth > 0:
        keep_tops(events, state, out, row, book)
    if len(out.deltas) > 0 and last:
        event_ends = write_event_end(books, out.event_ends, event_ends, row, book)
    else:
        ended = books[at(base + B_EVENTS)]
        books[at(base + B_EVENTS)] = ((ended & ~1) + 2 * last) | (1 - last)
    if len(out.bbo) > 0:
        write_bbo(state, out.bbo, row, book)
    return event_ends
