"""The simulated exchange's own books: every order in its level's queue.

The rule: a queue's order is the priority (rule 10), and the books never cross, so that within the
window a price belongs to one side only.

A book is one row of int64 words, and an order is known by the word it starts at; 0 is nobody:

    fields | queues: first and last order of each | orders, 8 words each | places | lineup

An instrument trades in a *window* of ticks, as if by a day's price limits. A price is an *offset*
from the window's lowest. Orders outside rest in two more queues, one a side, that hold all their
prices in order of arrival: such orders never trade, so no price among them need be found fast.

*Places* hold the live orders first, then the free ones, so that a live order is drawn at random by
its place. One that leaves gives its place to the last: the recent stay near the end. The *lineup*
is the book's orders written down for a snapshot.
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
NOBODY = 0

# A book's fields.
INSTRUMENT_ID = 0
TICK_1E9 = 1
LOW_TICKS = 2  # the price of offset 0, in ticks
FAIR = 3  # the offset that the market deems right for the best bid
BEST_BID = 4  # offset; -1 for none in the window
BEST_ASK = 5  # offset; WINDOW_TICKS for none in the window
LIVE = 6  # how many orders
SLOTS = 7  # how many there is room for
QUEUES = 8
ORDERS = QUEUES + 2 * (WINDOW_TICKS + 2) + 4  # on a cache line if the row is

# An order's words, counted from its first.
ORDER_WORDS = 8
ORDER_ID = 0
TIME_NS = 1  # when it took its place in the queue
OFFSET = 2
SIZE = 3
SIDE = 4
AHEAD = 5
BEHIND = 6
PLACE = 7


@kernel
def places_start(slots: Word) -> Word:
    """The word at which the places of a book with room for `slots` orders start."""
    return ORDERS + ORDER_WORDS * slots


@kernel
def listing_start(slots: Word) -> Word:
    """The word at which the lineup of a book with room for `slots` orders starts."""
    return places_start(slots) + slots


@kernel
def queue_of(side: Word, offset: Word) -> Word:
    """The two words (first, last) of the queue in which such an order waits."""
    if 0 <= offset < WINDOW_TICKS:
        return QUEUES + 2 * offset
    return QUEUES + 2 * (WINDOW_TICKS + side)


@kernel
def next_level(book: Words, side: Word, offset: Word) -> Word:
    """The first offset from `offset` on, away from the market, that has orders of `side`.

    -1 or WINDOW_TICKS if there is none in the window.
    """
    step = 2 * side - 1
    while 0 <= offset < WINDOW_TICKS and book[QUEUES + 2 * offset] == NOBODY:
        offset += step
    return offset


@kernel
def join_queue(book: Words, order: Word) -> None:
    """Put an order at the back of its level's queue."""
    side = book[order + SIDE]
    offset = book[order + OFFSET]
    queue = queue_of(side, offset)
    ahead = book[queue + 1]
    book[order + AHEAD] = ahead
    book[order + BEHIND] = NOBODY
    book[queue + 1] = order
    if ahead != NOBODY:
        book[ahead + BEHIND] = order
        return
    book[queue] = order
    if 0 <= offset < WINDOW_TICKS:
        if side == BID:
            book[BEST_BID] = max(book[BEST_BID], offset)
        else:
            book[BEST_ASK] = min(book[BEST_ASK], offset)


@kernel
def leave_queue(book: Words, order: Word) -> None:
    """Take an order out of its level's queue."""
    side = book[order + SIDE]
    offset = book[order + OFFSET]
    queue = queue_of(side, offset)
    ahead = book[order + AHEAD]
    behind = book[order + BEHIND]
    if ahead != NOBODY:
        book[ahead + BEHIND] = behind
    else:
        book[queue] = behind
    if behind != NOBODY:
        book[behind + AHEAD] = ahead
    else:
        book[queue + 1] = ahead
    if book[queue] == NOBODY and offset == book[BEST_BID + side]:
        book[BEST_BID + side] = next_level(book, side, offset)


@kernel
def add_order(
    book: Words, order_id: Word, time_ns: Word, side: Word, offset: Word, size: Word
) -> Word:
    """Rest a new order at the back of its level; returns it. There must be a free slot."""
    place = places_start(book[SLOTS]) + book[LIVE]
    book[LIVE] += 1
    order: Word = book[place]
    book[order + ORDER_ID] = order_id
    book[order + TIME_NS] = time_ns
    book[order + OFFSET] = offset
    book[order + SIZE] = size
    book[order + SIDE] = side
    book[order + PLACE] = place
    join_queue(book, order)
    return order


@kernel
def remove_order(book: Words, order: Word) -> None:
    """Take an order out of its book; its slot is free."""
    leave_queue(book, order)
    book[LIVE] -= 1
    last_place = places_start(book[SLOTS]) + book[LIVE]
    last_order = book[last_place]
    place = book[order + PLACE]
    book[place] = last_order
    book[last_order + PLACE] = place
    book[last_place] = order


@kernel
def list_orders(book: Words) -> Word:
    """Write the live orders to the lineup, every level's in order of priority; returns how many.

    Bids from the best, bids outside the window in order of arrival, then asks likewise.
    """
    start = listing_start(book[SLOTS])
    end = start
    for side in (BID, ASK):
        offset = book[BEST_BID + side]
        while True:
            offset = next_level(book, side, offset)
            order = book[queue_of(side, offset)]
            while order != NOBODY:
                book[end] = order
                end += 1
                order = book[order + BEHIND]
            if not 0 <= offset < WINDOW_TICKS:
                break
            offset += 2 * side - 1
    return end - start
