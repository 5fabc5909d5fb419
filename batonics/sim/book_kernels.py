"""The books of the simulated exchange: every order in the queue of its level.

The rule: orders stand in a queue by priority (rule 10), and a book never crosses, so a price in the
window belongs to one side only.

A book is one row of int64 words. An order is known by the index of its first word; 0 is none:

    fields | queues: first and last order of each | orders, 8 words each | places | listing

An instrument trades in a *window* of ticks, as if by a day's price limits. A price is an *offset*
from the lowest price of the window. Orders outside the window rest in two more queues, one for each
side, in order of arrival. They never trade, so none of their prices must be found fast.

*Places* hold the live orders first, then the free ones, so a live order is drawn at random by its
place. The last order takes the place of one that leaves, so recent orders stay near the end. The
*listing* holds the orders of the book for a snapshot.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.native import kernel

Word = np.int64
Words = NDArray[Word]

WINDOW_TICKS = 1024
BID = Word(0)
ASK = Word(1)
NO_ORDER = 0

# A book's fields.
BOOK_INSTRUMENT_ID = 0
BOOK_TICK_1E9 = 1
BOOK_LOW_TICKS = 2  # the price of offset 0, in ticks
BOOK_FAIR = 3  # the fair offset of the best bid
BOOK_BEST_BID = 4  # offset; -1 for none in the window
BOOK_BEST_ASK = 5  # offset; WINDOW_TICKS for none in the window
BOOK_LIVE = 6  # how many orders
BOOK_SLOTS = 7  # how many there is room for
BOOK_QUEUES = 8
BOOK_ORDERS = BOOK_QUEUES + 2 * (WINDOW_TICKS + 2) + 4  # on a cache line if the row is

# An order's words, counted from its first.
ORDER_WORDS = 8
ORDER_ID = 0
ORDER_TIME_NS = 1  # when it took its place in the queue
ORDER_OFFSET = 2
ORDER_SIZE = 3
ORDER_SIDE = 4
ORDER_AHEAD = 5
ORDER_BEHIND = 6
ORDER_PLACE = 7


@kernel
def places_start(slots: Word) -> Word:
    """The word at which the places of a book with room for `slots` orders start."""
    return BOOK_ORDERS + ORDER_WORDS * slots


@kernel
def listing_start(slots: Word) -> Word:
    """The word at which the listing of a book with room for `slots` orders starts."""
    return places_start(slots) + slots


@kernel
def queue_of(side: Word, offset: Word) -> Word:
    """The two words (first, last) of the queue of an offset."""
    if 0 <= offset < WINDOW_TICKS:
        return BOOK_QUEUES + 2 * offset
    return BOOK_QUEUES + 2 * (WINDOW_TICKS + side)


@kernel
def next_level(book: Words, side: Word, offset: Word) -> Word:
    """The first offset from `offset` on, away from the market, that has orders of `side`.

    -1 or WINDOW_TICKS if there is none in the window.
    """
    step = 2 * side - 1
    while 0 <= offset < WINDOW_TICKS and book[BOOK_QUEUES + 2 * offset] == NO_ORDER:
        offset += step
    return offset


@kernel
def join_queue(book: Words, order: Word) -> None:
    """Put an order at the back of its level's queue."""
    side = book[order + ORDER_SIDE]
    offset = book[order + ORDER_OFFSET]
    queue = queue_of(side, offset)
    ahead = book[queue + 1]
    book[order + ORDER_AHEAD] = ahead
    book[order + ORDER_BEHIND] = NO_ORDER
    book[queue + 1] = order
    if ahead != NO_ORDER:
        book[ahead + ORDER_BEHIND] = order
        return
    book[queue] = order
    if 0 <= offset < WINDOW_TICKS:
        if side == BID:
            book[BOOK_BEST_BID] = max(book[BOOK_BEST_BID], offset)
        else:
            book[BOOK_BEST_ASK] = min(book[BOOK_BEST_ASK], offset)


@kernel
def leave_queue(book: Words, order: Word) -> None:
    """Take an order out of its level's queue."""
    side = book[order + ORDER_SIDE]
    offset = book[order + ORDER_OFFSET]
    queue = queue_of(side, offset)
    ahead = book[order + ORDER_AHEAD]
    behind = book[order + ORDER_BEHIND]
    if ahead != NO_ORDER:
        book[ahead + ORDER_BEHIND] = behind
    else:
        book[queue] = behind
    if behind != NO_ORDER:
        book[behind + ORDER_AHEAD] = ahead
    else:
        book[queue + 1] = ahead
    if book[queue] == NO_ORDER and offset == book[BOOK_BEST_BID + side]:
        book[BOOK_BEST_BID + side] = next_level(book, side, offset)


@kernel
def add_order(
    book: Words, order_id: Word, time_ns: Word, side: Word, offset: Word, size: Word
) -> Word:
    """Add a new order at the back of its level; the order. There must be a free slot."""
    place = places_start(book[BOOK_SLOTS]) + book[BOOK_LIVE]
    book[BOOK_LIVE] += 1
    order: Word = book[place]
    book[order + ORDER_ID] = order_id
    book[order + ORDER_TIME_NS] = time_ns
    book[order + ORDER_OFFSET] = offset
    book[order + ORDER_SIZE] = size
    book[order + ORDER_SIDE] = side
    book[order + ORDER_PLACE] = place
    join_queue(book, order)
    return order


@kernel
def remove_order(book: Words, order: Word) -> None:
    """Take an order out of its book; its slot is free."""
    leave_queue(book, order)
    book[BOOK_LIVE] -= 1
    last_place = places_start(book[BOOK_SLOTS]) + book[BOOK_LIVE]
    last_order = book[last_place]
    place = book[order + ORDER_PLACE]
    book[place] = last_order
    book[last_order + ORDER_PLACE] = place
    book[last_place] = order


@kernel
def list_orders(book: Words) -> Word:
    """Write the live orders to the listing, each level in order of priority; how many there are.

    Bids from the best, bids outside the window in order of arrival, then asks likewise.
    """
    start = listing_start(book[BOOK_SLOTS])
    end = start
    for side in (BID, ASK):
        offset = book[BOOK_BEST_BID + side]
        while True:
            offset = next_level(book, side, offset)
            order = book[queue_of(side, offset)]
            while order != NO_ORDER:
                book[end] = order
                end += 1
                order = book[order + ORDER_BEHIND]
            if not 0 <= offset < WINDOW_TICKS:
                break
            offset += 2 * side - 1
    return end - start
