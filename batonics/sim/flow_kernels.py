"""What happens on the simulated exchange, event by event, and for how long.

The rule: an event is written whole, and only its last record has F_LAST. Only a snapshot may be
cut by the end of a batch.

The proportions are those of a day of CLX5: A 39 %, C 42.5 %, M 7 %, T 4 %, F 7 % of the records.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.native import kernel
from batonics.sim.book_kernels import (
    ASK,
    BEST_ASK,
    BEST_BID,
    BID,
    FAIR,
    LIVE,
    SIZE,
    SLOTS,
    WINDOW_TICKS,
    Word,
    Words,
)
from batonics.sim.feed_kernels import (
    ADD,
    F_LAST,
    NOTHING,
    NOW_NS,
    OPENED,
    RECOVERY_ODDS,
    SNAPSHOT_BOOK,
    SNAPSHOT_ROWS,
    SNAPSHOT_SENT,
    START_NS,
    TARGET_LIVE,
    Records,
    begin_snapshot,
    draw_bits,
    new_event,
    send_snapshot,
    write_order,
)
from batonics.sim.trader_kernels import EVENT_RECORDS_MAX, cancel, modify, place_order, trade

# Shares of events, of 1024: first these, then trades.
ADDS = Word(482)
CANCELS = 408
PARTIAL_CANCELS = 10
MODIFIES = 72
SWAY_MAX = 300  # how far adds and cancels give way to each other, to keep the population


@kernel
def drift(market: Words, book: Words) -> None:
    """Now and then the fair price moves by a tick, once the book has followed it so far."""
    bits = draw_bits(market)
    if bits & 0x1FF == 0 and book[BEST_BID] <= book[FAIR] < book[BEST_ASK]:
        fair = book[FAIR] + (1 if bits & 0x200 else -1)
        # A quarter of the window away from its ends, so that both sides have room.
        book[FAIR] = max(WINDOW_TICKS // 4, min(fair, WINDOW_TICKS * 3 // 4))


@kernel
def choose_share(market: Words, book: Words) -> Word:
    """A random number that the shares of events divide: adds, cancels, modifies, trades."""
    if book[LIVE] == 0:
        return NOTHING
    if book[LIVE] == book[SLOTS]:
        return ADDS
    share = draw_bits(market) & 1023
    if share >= ADDS + CANCELS:
        return share
    # More cancels where there are too many orders, more adds where there are too few.
    excess = (book[LIVE] - market[TARGET_LIVE]) * 1024 // market[TARGET_LIVE]
    adds = ADDS - max(-SWAY_MAX, min(excess, SWAY_MAX))
    return NOTHING if share < adds else ADDS


@kernel
def write_event(market: Words, book: Words, out: Records, row: Word) -> Word:
    """The next event of a book; returns the next row."""
    drift(market, book)
    share = choose_share(market, book)
    # An aggressor takes what rests at a price better than fair, or else either side.
    side = draw_bits(market) & 1
    if book[BEST_ASK] <= book[FAIR]:
        side = ASK
    elif book[BEST_BID] > book[FAIR]:
        side = BID
    has_best = 0 <= book[BEST_BID + side] < WINDOW_TICKS
    if share >= ADDS + CANCELS + PARTIAL_CANCELS + MODIFIES and has_best:
        row = trade(market, book, out, row, side)
    elif share >= ADDS + CANCELS + PARTIAL_CANCELS:
        row = modify(market, book, out, row)
    elif share >= ADDS:
        row = cancel(market, book, out, row, share >= ADDS + CANCELS)
    else:
        order = place_order(market, book)
        row = write_order(market, book, out, row, ADD, order, book[order + SIZE])
    out[row - 1]["flags"] = F_LAST
    return row


@kernel
def open_market(market: Words, books: NDArray[np.int64]) -> None:
    """Fill every book to its target, in the microseconds before the start."""
    market[NOW_NS] = market[START_NS] - 1_000 * len(books) * market[TARGET_LIVE]
    for book_row in range(len(books)):
        book = books[book_row]
        for _ in range(market[TARGET_LIVE]):
            market[NOW_NS] += 1_000
            place_order(market, book)


@kernel
def run_market(market: Words, books: NDArray[np.int64], out: Records, rows: Word) -> Word:
    """Go on until `rows` records are written and the event is whole, or `out` is full.

    Opening snapshots come first. Returns the number of rows written.
    """
    row = NOTHING
    while row < rows or market[SNAPSHOT_SENT] < market[SNAPSHOT_ROWS]:
        if market[SNAPSHOT_SENT] < market[SNAPSHOT_ROWS]:
            row = send_snapshot(market, books[market[SNAPSHOT_BOOK]], out, row)
            if row == len(out):
                break
        elif market[OPENED] < len(books):
            begin_snapshot(market, books, market[OPENED])
            market[OPENED] += 1
        elif row + EVENT_RECORDS_MAX > len(out):
            break
        else:
            book_row = new_event(market)
            if draw_bits(market) < market[RECOVERY_ODDS]:
                begin_snapshot(market, books, book_row)
            else:
                row = write_event(market, books[book_row], out, row)
    return row
