"""The events of the simulated exchange, one after the other.

The rule: an event is written whole, and only its last record has F_LAST. Only a snapshot may be
cut by the end of a batch.

The proportions are those of a day of CLX5: A 39 %, C 42.5 %, M 7 %, T 4 %, F 7 % of the records.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import F_LAST
from batonics.native import kernel
from batonics.sim.book_kernels import (
    ASK,
    BID,
    BOOK_BEST_ASK,
    BOOK_BEST_BID,
    BOOK_FAIR,
    BOOK_LIVE,
    BOOK_SLOTS,
    ORDER_SIZE,
    WINDOW_TICKS,
    Word,
    Words,
)
from batonics.sim.feed_kernels import (
    ADD,
    MARKET_BEGIN_NS,
    MARKET_NOW_NS,
    MARKET_OPENED,
    MARKET_RECOVERY_ODDS,
    MARKET_SNAPSHOT_BOOK,
    MARKET_SNAPSHOT_ROWS,
    MARKET_SNAPSHOT_SENT,
    MARKET_TARGET_LIVE,
    ZERO_WORD,
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
BALANCE_MAX = 300  # the most that adds and cancels yield to each other, to keep the target


@kernel
def drift(market: Words, book: Words) -> None:
    """Move the fair price by a tick now and then, if the book has followed it so far."""
    bits = draw_bits(market)
    if bits & 0x1FF == 0 and book[BOOK_BEST_BID] <= book[BOOK_FAIR] < book[BOOK_BEST_ASK]:
        fair = book[BOOK_FAIR] + (1 if bits & 0x200 else -1)
        # At least a quarter of the window away from its ends, so that both sides have room.
        book[BOOK_FAIR] = max(WINDOW_TICKS // 4, min(fair, WINDOW_TICKS * 3 // 4))


@kernel
def choose_share(market: Words, book: Words) -> Word:
    """Draw a number that the shares of events divide: adds, cancels, modifies, trades."""
    if book[BOOK_LIVE] == 0:
        return ZERO_WORD
    if book[BOOK_LIVE] == book[BOOK_SLOTS]:
        return ADDS
    share = draw_bits(market) & 1023
    if share >= ADDS + CANCELS:
        return share
    # More cancels above the target number of orders, more adds below it.
    excess = (book[BOOK_LIVE] - market[MARKET_TARGET_LIVE]) * 1024 // market[MARKET_TARGET_LIVE]
    adds = ADDS - max(-BALANCE_MAX, min(excess, BALANCE_MAX))
    return ZERO_WORD if share < adds else ADDS


@kernel
def write_event(market: Words, book: Words, out: Records, row: Word) -> Word:
    """Write the next event of a book; the next row."""
    drift(market, book)
    share = choose_share(market, book)
    # An aggressor takes orders at a price better than the fair one; without any, of either side.
    side = draw_bits(market) & 1
    if book[BOOK_BEST_ASK] <= book[BOOK_FAIR]:
        side = ASK
    elif book[BOOK_BEST_BID] > book[BOOK_FAIR]:
        side = BID
    has_best = 0 <= book[BOOK_BEST_BID + side] < WINDOW_TICKS
    if share >= ADDS + CANCELS + PARTIAL_CANCELS + MODIFIES and has_best:
        row = trade(market, book, out, row, side)
    elif share >= ADDS + CANCELS + PARTIAL_CANCELS:
        row = modify(market, book, out, row)
    elif share >= ADDS:
        row = cancel(market, book, out, row, share >= ADDS + CANCELS)
    else:
        order = place_order(market, book)
        row = write_order(market, book, out, row, ADD, order, book[order + ORDER_SIZE])
    out[row - 1]["flags"] = F_LAST
    return row


@kernel
def open_market(market: Words, books: NDArray[np.int64]) -> None:
    """Add orders to every book up to its target, in the microseconds before the start."""
    market[MARKET_NOW_NS] = (
        market[MARKET_BEGIN_NS] - 1_000 * len(books) * market[MARKET_TARGET_LIVE]
    )
    for book_row in range(len(books)):
        book = books[book_row]
        for _ in range(market[MARKET_TARGET_LIVE]):
            market[MARKET_NOW_NS] += 1_000
            place_order(market, book)


@kernel
def run_market(market: Words, books: NDArray[np.int64], out: Records, rows: Word) -> Word:
    """Write events until `rows` records are written and the event is complete, or `out` is full.

    Opening snapshots come first. The number of rows written.
    """
    row = ZERO_WORD
    while row < rows or market[MARKET_SNAPSHOT_SENT] < market[MARKET_SNAPSHOT_ROWS]:
        if market[MARKET_SNAPSHOT_SENT] < market[MARKET_SNAPSHOT_ROWS]:
            row = send_snapshot(market, books[market[MARKET_SNAPSHOT_BOOK]], out, row)
            if row == len(out):
                break
        elif market[MARKET_OPENED] < len(books):
            begin_snapshot(market, books, market[MARKET_OPENED])
            market[MARKET_OPENED] += 1
        elif row + EVENT_RECORDS_MAX > len(out):
            break
        else:
            book_row = new_event(market)
            if draw_bits(market) < market[MARKET_RECOVERY_ODDS]:
                begin_snapshot(market, books, book_row)
            else:
                row = write_event(market, books[book_row], out, row)
    return row
