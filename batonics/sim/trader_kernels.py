"""What traders do on the simulated exchange, each deed one event or the order that it is about.

The rule: an event's records change the book as they say, and the caller puts F_LAST on its last.
"""

from __future__ import annotations

import numpy as np

from batonics.native import kernel
from batonics.sim.book_kernels import (
    BEHIND,
    BEST_ASK,
    BEST_BID,
    BID,
    FAIR,
    LIVE,
    LOW_TICKS,
    NOBODY,
    OFFSET,
    SIDE,
    SIZE,
    SLOTS,
    TICK_1E9,
    TIME_NS,
    WINDOW_TICKS,
    Word,
    Words,
    add_order,
    join_queue,
    leave_queue,
    next_level,
    places_start,
    queue_of,
    remove_order,
)
from batonics.sim.feed_kernels import (
    ANY_ROW,
    CANCEL,
    DISTANCES_TICKS,
    FILL,
    FILLS,
    MODIFY,
    NOTHING,
    NOW_NS,
    RECV_NS,
    SEQUENCE,
    SIZES,
    TRADE,
    Records,
    draw_below,
    draw_bits,
    new_order_id,
    new_packet,
    write_order,
    write_record,
)

TRADE_FILLS_MAX = 17
EVENT_RECORDS_MAX = 3 * TRADE_FILLS_MAX
"""T, F and C for each order met: the most an event other than a snapshot has."""

# Shares of modifies, of 128: first these, then changes of price.
MODIFIES_DOWN = 26
MODIFIES_UP = 8

RECENT_ORDERS = Word(16)
STUB_LOW_TICKS = Word(1)
STUB_HIGH_1E9 = 200_000_000_000_000


@kernel
def choose_offset(market: Words, book: Words, side: Word) -> Word:
    """Where an order that does not trade at once is placed: never through the other side."""
    distance_ticks: Word = market[DISTANCES_TICKS + (draw_bits(market) & ANY_ROW)]
    nearest: Word = max(book[FAIR], book[BEST_BID]) + 1
    if side == BID:
        nearest = min(book[FAIR], book[BEST_ASK] - 1)
    return nearest + (2 * side - 1) * distance_ticks


@kernel
def choose_order(market: Words, book: Words) -> Word:
    """A live order: one of the recent, three times in four."""
    live = book[LIVE]
    if draw_bits(market) & 3:
        place = live - 1 - draw_below(market, min(live, RECENT_ORDERS))
    else:
        place = draw_below(market, live)
    order: Word = book[places_start(book[SLOTS]) + place]
    return order


@kernel
def stub_offset(book: Words, side: Word) -> Word:
    """The lowest bid and the highest ask there may be: 0.01 and 199,999.99 for a tick of 0.01."""
    ticks: Word = STUB_HIGH_1E9 // book[TICK_1E9] - 1
    if side == BID:
        ticks = STUB_LOW_TICKS
    offset: Word = ticks - book[LOW_TICKS]
    return offset


@kernel
def place_order(market: Words, book: Words) -> Word:
    """A new order comes to rest; returns it."""
    bits = draw_bits(market)
    side = bits & 1
    offset = choose_offset(market, book, side)
    if (bits >> 1) & 0x7FF == 0:
        offset = stub_offset(book, side)
    size = market[SIZES + (draw_bits(market) & ANY_ROW)]
    return add_order(book, new_order_id(market), market[NOW_NS], side, offset, size)


@kernel
def cancel(market: Words, book: Words, out: Records, row: Word, partial: np.bool) -> Word:
    """An order, or if `partial` and its size allows, a part of it, is taken back (rule 8)."""
    order = choose_order(market, book)
    taken = book[order + SIZE]
    if partial and taken > 1:
        taken = 1 + draw_below(market, taken - 1)
    row = write_order(market, book, out, row, CANCEL, order, taken)
    book[order + SIZE] -= taken
    if book[order + SIZE] == 0:
        remove_order(book, order)
    return row


@kernel
def modify(market: Words, book: Words, out: Records, row: Word) -> Word:
    """An order changes its price, or its size up or down, and its priority as rule 10 says."""
    order = choose_order(market, book)
    share = draw_bits(market) & 127
    if share < MODIFIES_DOWN and book[order + SIZE] > 1:
        book[order + SIZE] -= 1 + draw_below(market, book[order + SIZE] - 1)
        return write_order(market, book, out, row, MODIFY, order, book[order + SIZE])
    leave_queue(book, order)
    if share < MODIFIES_DOWN + MODIFIES_UP:
        book[order + SIZE] += 1 + (draw_bits(market) & 3)
    else:
        side = book[order + SIDE]
        offset = choose_offset(market, book, side)
        if offset == book[order + OFFSET]:
            offset += 2 * side - 1
        book[order + OFFSET] = offset
    book[order + TIME_NS] = market[NOW_NS]
    join_queue(book, order)
    return write_order(market, book, out, row, MODIFY, order, book[order + SIZE])


@kernel
def trade(market: Words, book: Words, out: Records, row: Word, side: Word) -> Word:
    """An aggressor meets resting orders of `side`, which must have some in the window.

    A T and its F's for each price it reaches, then a C, or an M for the rest of the last (rule 9),
    for each order it met.
    """
    first_row = row
    offset = book[BEST_BID + side]
    left = market[FILLS + (draw_bits(market) & ANY_ROW)]
    while left > 0 and 0 <= offset < WINDOW_TICKS:
        trade_row = row
        traded = 0
        row = write_record(market, book, out, row, TRADE, 1 - side, offset, NOTHING, NOTHING)
        order = book[queue_of(side, offset)]
        while left > 0 and order != NOBODY:
            left -= 1
            filled = book[order + SIZE]
            if left == 0 and filled > 1 and draw_bits(market) & 3:
                filled = 1 + draw_below(market, filled - 1)
            row = write_order(market, book, out, row, FILL, order, filled)
            traded += filled
            order = book[order + BEHIND]
        out[trade_row]["size"] = traded
        offset = next_level(book, side, offset + 2 * side - 1)
    market[SEQUENCE] += 1
    new_packet(market, market[RECV_NS])
    for fill_row in range(first_row, row):
        if out[fill_row]["action"] == FILL:
            row = settle(market, book, out, row, side, Word(out[fill_row]["size"]))
    return row


@kernel
def settle(market: Words, book: Words, out: Records, row: Word, side: Word, filled: Word) -> Word:
    """Take what was filled off the order that is first in the queue at the best price."""
    order = book[queue_of(side, book[BEST_BID + side])]
    book[order + SIZE] -= filled
    if book[order + SIZE] > 0:
        return write_order(market, book, out, row, MODIFY, order, book[order + SIZE])
    row = write_order(market, book, out, row, CANCEL, order, filled)
    remove_order(book, order)
    return row
