"""What traders do on the simulated exchange: each kernel is one event, or chooses its order.

The rule: an event's records change the book as they say, and the caller puts F_LAST on its last.
"""

from __future__ import annotations

import numpy as np

from batonics.native import kernel
from batonics.sim.book_kernels import (
    BID,
    BOOK_BEST_ASK,
    BOOK_BEST_BID,
    BOOK_FAIR,
    BOOK_LIVE,
    BOOK_LOW_TICKS,
    BOOK_SLOTS,
    BOOK_TICK_1E9,
    NO_ORDER,
    ORDER_BEHIND,
    ORDER_OFFSET,
    ORDER_SIDE,
    ORDER_SIZE,
    ORDER_TIME_NS,
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
    FILL,
    MARKET_DISTANCES_TICKS,
    MARKET_FILLS,
    MARKET_NOW_NS,
    MARKET_RECV_NS,
    MARKET_SEQUENCE,
    MARKET_SIZES,
    MODIFY,
    TRADE,
    ZERO_WORD,
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
"""T, F and C for each order: the most records of an event other than a snapshot."""

# Shares of modifies, of 128: first these, then changes of price.
MODIFIES_DOWN = 26
MODIFIES_UP = 8

RECENT_ORDERS = Word(16)
STUB_LOW_TICKS = Word(1)
STUB_HIGH_1E9 = 200_000_000_000_000


@kernel
def choose_offset(market: Words, book: Words, side: Word) -> Word:
    """Choose the offset of an order that does not trade at once: never through the other side."""
    distance_ticks: Word = market[MARKET_DISTANCES_TICKS + (draw_bits(market) & ANY_ROW)]
    nearest: Word = max(book[BOOK_FAIR], book[BOOK_BEST_BID]) + 1
    if side == BID:
        nearest = min(book[BOOK_FAIR], book[BOOK_BEST_ASK] - 1)
    return nearest + (2 * side - 1) * distance_ticks


@kernel
def choose_order(market: Words, book: Words) -> Word:
    """Choose a live order: a recent one three times in four."""
    live = book[BOOK_LIVE]
    if draw_bits(market) & 3:
        place = live - 1 - draw_below(market, min(live, RECENT_ORDERS))
    else:
        place = draw_below(market, live)
    order: Word = book[places_start(book[BOOK_SLOTS]) + place]
    return order


@kernel
def stub_offset(book: Words, side: Word) -> Word:
    """The offset of the lowest bid or highest ask: 0.01 and 199,999.99 for a tick of 0.01."""
    ticks: Word = STUB_HIGH_1E9 // book[BOOK_TICK_1E9] - 1
    if side == BID:
        ticks = STUB_LOW_TICKS
    offset: Word = ticks - book[BOOK_LOW_TICKS]
    return offset


@kernel
def place_order(market: Words, book: Words) -> Word:
    """Add a new order to a book; the order."""
    bits = draw_bits(market)
    side = bits & 1
    offset = choose_offset(market, book, side)
    if (bits >> 1) & 0x7FF == 0:
        offset = stub_offset(book, side)
    size = market[MARKET_SIZES + (draw_bits(market) & ANY_ROW)]
    return add_order(book, new_order_id(market), market[MARKET_NOW_NS], side, offset, size)


@kernel
def cancel(market: Words, book: Words, out: Records, row: Word, partial: np.bool) -> Word:
    """Cancel an order, or with `partial` a part of it where its size allows (rule 8)."""
    order = choose_order(market, book)
    taken = book[order + ORDER_SIZE]
    if partial and taken > 1:
        taken = 1 + draw_below(market, taken - 1)
    row = write_order(market, book, out, row, CANCEL, order, taken)
    book[order + ORDER_SIZE] -= taken
    if book[order + ORDER_SIZE] == 0:
        remove_order(book, order)
    return row


@kernel
def modify(market: Words, book: Words, out: Records, row: Word) -> Word:
    """Modify the price of an order, or its size up or down; its priority follows rule 10."""
    order = choose_order(market, book)
    share = draw_bits(market) & 127
    if share < MODIFIES_DOWN and book[order + ORDER_SIZE] > 1:
        book[order + ORDER_SIZE] -= 1 + draw_below(market, book[order + ORDER_SIZE] - 1)
        return write_order(market, book, out, row, MODIFY, order, book[order + ORDER_SIZE])
    leave_queue(book, order)
    if share < MODIFIES_DOWN + MODIFIES_UP:
        book[order + ORDER_SIZE] += 1 + (draw_bits(market) & 3)
    else:
        side = book[order + ORDER_SIDE]
        offset = choose_offset(market, book, side)
        if offset == book[order + ORDER_OFFSET]:
            offset += 2 * side - 1
        book[order + ORDER_OFFSET] = offset
    book[order + ORDER_TIME_NS] = market[MARKET_NOW_NS]
    join_queue(book, order)
    return write_order(market, book, out, row, MODIFY, order, book[order + ORDER_SIZE])


@kernel
def trade(market: Words, book: Words, out: Records, row: Word, side: Word) -> Word:
    """Trade with resting orders of `side`, which must have some in the window.

    For each price: a T and an F for each order. Then for each order a C; for the last one an M if
    some of it is left (rule 9).
    """
    first_row = row
    offset = book[BOOK_BEST_BID + side]
    left = market[MARKET_FILLS + (draw_bits(market) & ANY_ROW)]
    while left > 0 and 0 <= offset < WINDOW_TICKS:
        trade_row = row
        traded = 0
        row = write_record(market, book, out, row, TRADE, 1 - side, offset, ZERO_WORD, ZERO_WORD)
        order = book[queue_of(side, offset)]
        while left > 0 and order != NO_ORDER:
            left -= 1
            filled = book[order + ORDER_SIZE]
            if left == 0 and filled > 1 and draw_bits(market) & 3:
                filled = 1 + draw_below(market, filled - 1)
            row = write_order(market, book, out, row, FILL, order, filled)
            traded += filled
            order = book[order + ORDER_BEHIND]
        out[trade_row]["size"] = traded
        offset = next_level(book, side, offset + 2 * side - 1)
    market[MARKET_SEQUENCE] += 1
    new_packet(market, market[MARKET_RECV_NS])
    for fill_row in range(first_row, row):
        if out[fill_row]["action"] == FILL:
            row = settle(market, book, out, row, side, Word(out[fill_row]["size"]))
    return row


@kernel
def settle(market: Words, book: Words, out: Records, row: Word, side: Word, filled: Word) -> Word:
    """Remove what was filled from the first order at the best price."""
    order = book[queue_of(side, book[BOOK_BEST_BID + side])]
    book[order + ORDER_SIZE] -= filled
    if book[order + ORDER_SIZE] > 0:
        return write_order(market, book, out, row, MODIFY, order, book[order + ORDER_SIZE])
    row = write_order(market, book, out, row, CANCEL, order, filled)
    remove_order(book, order)
    return row
