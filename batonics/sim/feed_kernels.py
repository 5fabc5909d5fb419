"""The words that all instruments of the simulated exchange share, and how records are written.

The rule: random numbers and integers alone decide, and never the room that a batch has. So a stream
is the same on every machine and however it is cut.

One array of int64 words, `market`, holds the clock, the state of the random generator, the settings
and the tables. Two habits keep compilation short. Kernels take few arrays and no tuples of arrays:
to numba an array is seven arguments. And constants that are passed are Words, never literals.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import (
    F_BAD_TS_RECV,
    F_LAST,
    F_SNAPSHOT,
    SIDE_ASK,
    SIDE_BID,
    SIDE_NONE,
    UNDEF_PRICE,
    Action,
)
from batonics.native import kernel
from batonics.sim.book_kernels import (
    BID,
    BOOK_INSTRUMENT_ID,
    BOOK_LOW_TICKS,
    BOOK_SLOTS,
    BOOK_TICK_1E9,
    ORDER_ID,
    ORDER_OFFSET,
    ORDER_SIDE,
    ORDER_SIZE,
    ORDER_TIME_NS,
    Word,
    Words,
    list_orders,
    listing_start,
)

Records = NDArray[np.void]
"""A structured array of `MBO_DTYPE`."""

# Words of the market: the state of the stream ...
MARKET_NOW_NS = 0
MARKET_RECV_NS = 1
MARKET_IN_DELTA_NS = 2
MARKET_LAST_ORDER_ID = 3
MARKET_SEQUENCE = 4
MARKET_RANDOM = 5
MARKET_OPENED = 6  # instruments whose opening snapshot has begun
MARKET_BURST_BOOK = 7  # row of the book that has the present burst of events
MARKET_BURST_LEFT = 8
MARKET_SNAPSHOT_BOOK = 9
MARKET_SNAPSHOT_ROWS = 10
MARKET_SNAPSHOT_SENT = 11
# ... its settings ...
MARKET_BEGIN_NS = 12
MARKET_PUBLISHER_ID = 13
MARKET_CHANNEL_ID = 14
MARKET_TARGET_LIVE = 15  # orders of one instrument
MARKET_PAUSE_NS = 16  # mean time between bursts
MARKET_RECOVERY_ODDS = 17  # of an event, of 2**32
# ... and the tables that choices are drawn from. The last one, of activity, takes the rest.
TABLE_ROWS = 4096
ANY_ROW = TABLE_ROWS - 1
MARKET_DISTANCES_TICKS = 18
MARKET_SIZES = MARKET_DISTANCES_TICKS + TABLE_ROWS
MARKET_FILLS = MARKET_SIZES + TABLE_ROWS
MARKET_ACTIVITY = MARKET_FILLS + TABLE_ROWS

BURST_EVENTS_MAX = 8  # a power of 2

# Words, since numba compiles a kernel anew for each literal that it is given.
ADD = Word(Action.ADD)
CANCEL = Word(Action.CANCEL)
MODIFY = Word(Action.MODIFY)
CLEAR = Word(Action.CLEAR)
TRADE = Word(Action.TRADE)
FILL = Word(Action.FILL)
ZERO_WORD = Word(0)
SNAPSHOT_FLAGS = F_SNAPSHOT | F_BAD_TS_RECV

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_27 = np.uint64(27)
_30 = np.uint64(30)
_32 = np.uint64(32)


@kernel
def draw_bits(market: Words) -> Word:
    """Draw 32 random bits (the upper half of splitmix64)."""
    bits = np.uint64(market[MARKET_RANDOM]) + _STEP
    market[MARKET_RANDOM] = Word(bits)
    bits = (bits ^ (bits >> _30)) * _MIX_1
    bits = (bits ^ (bits >> _27)) * _MIX_2
    return Word(bits >> _32)


@kernel
def draw_below(market: Words, end: Word) -> Word:
    """Draw a random number in `[0, end)`; `end` is less than 2**31."""
    return (draw_bits(market) * end) >> 32


@kernel
def new_order_id(market: Words) -> Word:
    """The next order id. Ids rise over all instruments, with gaps."""
    bits = draw_bits(market)
    order_id: Word = market[MARKET_LAST_ORDER_ID] + (1 if bits & 1 else 1 + (bits >> 1 & 31))
    market[MARKET_LAST_ORDER_ID] = order_id
    return order_id


@kernel
def new_packet(market: Words, earliest_recv_ns: Word) -> None:
    """Set when the next packet is received: not before a given time, nor before the last packet."""
    bits = draw_bits(market)
    market[MARKET_IN_DELTA_NS] = 9_000 + (bits & 0x1FFF)
    market[MARKET_RECV_NS] = max(market[MARKET_RECV_NS] + ((bits >> 13) & 0x7F), earliest_recv_ns)


@kernel
def new_event(market: Words) -> Word:
    """Move the clock to the next event, of which there are bursts; the row of its book."""
    if market[MARKET_BURST_LEFT] > 0:
        market[MARKET_BURST_LEFT] -= 1
        market[MARKET_NOW_NS] += 1 + (draw_bits(market) & 0xFFF)
    else:
        market[MARKET_BURST_LEFT] = draw_bits(market) & (BURST_EVENTS_MAX - 1)
        market[MARKET_BURST_BOOK] = market[
            MARKET_ACTIVITY + draw_below(market, Word(len(market) - MARKET_ACTIVITY))
        ]
        # The product of two uniform draws has a mean of 1/4: many short pauses, a few long ones.
        bits = draw_bits(market)
        share = ((bits & 0xFFFF) * (bits >> 16)) >> 16
        market[MARKET_NOW_NS] += 1 + ((4 * market[MARKET_PAUSE_NS] * share) >> 16)
    bits = draw_bits(market)
    latency_ns = 75_000 + (bits & 0x1FFFF)
    if bits >> 24 == 0:
        latency_ns += bits
    new_packet(market, market[MARKET_NOW_NS] + latency_ns)
    market[MARKET_SEQUENCE] += draw_bits(market) & 3
    book_row: Word = market[MARKET_BURST_BOOK]
    return book_row


@kernel
def write_record(
    market: Words,
    book: Words,
    out: Records,
    row: Word,
    action: Word,
    side: Word,
    offset: Word,
    size: Word,
    order_id: Word,
) -> Word:
    """Write a record of the present event, without F_LAST; the next row."""
    record = out[row]
    record["publisher_id"] = market[MARKET_PUBLISHER_ID]
    record["instrument_id"] = book[BOOK_INSTRUMENT_ID]
    record["ts_event"] = market[MARKET_NOW_NS]
    record["order_id"] = order_id
    record["price"] = (book[BOOK_LOW_TICKS] + offset) * book[BOOK_TICK_1E9]
    record["size"] = size
    record["flags"] = 0
    record["channel_id"] = market[MARKET_CHANNEL_ID]
    record["action"] = action
    record["side"] = SIDE_BID if side == BID else SIDE_ASK
    record["ts_recv"] = market[MARKET_RECV_NS]
    record["ts_in_delta"] = market[MARKET_IN_DELTA_NS]
    record["sequence"] = market[MARKET_SEQUENCE]
    return row + 1


@kernel
def write_order(
    market: Words, book: Words, out: Records, row: Word, action: Word, order: Word, size: Word
) -> Word:
    """Write a record of an order with a size, without F_LAST; the next row."""
    side = book[order + ORDER_SIDE]
    offset = book[order + ORDER_OFFSET]
    order_id = book[order + ORDER_ID]
    return write_record(market, book, out, row, action, side, offset, size, order_id)


@kernel
def begin_snapshot(market: Words, books: NDArray[np.int64], book_row: Word) -> None:
    """Begin a snapshot: R and the book as it is now (rule 14)."""
    market[MARKET_SNAPSHOT_BOOK] = book_row
    market[MARKET_SNAPSHOT_ROWS] = 1 + list_orders(books[book_row])
    market[MARKET_SNAPSHOT_SENT] = 0


@kernel
def send_snapshot(market: Words, book: Words, out: Records, row: Word) -> Word:
    """Write as much of the snapshot as there is room for; the next row."""
    while market[MARKET_SNAPSHOT_SENT] < market[MARKET_SNAPSHOT_ROWS] and row < len(out):
        sent = market[MARKET_SNAPSHOT_SENT]
        if sent == 0:
            row = write_record(
                market, book, out, row, CLEAR, ZERO_WORD, ZERO_WORD, ZERO_WORD, ZERO_WORD
            )
            out[row - 1]["side"] = SIDE_NONE
            out[row - 1]["price"] = UNDEF_PRICE
        else:
            order = book[listing_start(book[BOOK_SLOTS]) + sent - 1]
            row = write_order(market, book, out, row, ADD, order, book[order + ORDER_SIZE])
            out[row - 1]["ts_event"] = book[order + ORDER_TIME_NS]
        market[MARKET_SNAPSHOT_SENT] = sent + 1
        closes = market[MARKET_SNAPSHOT_SENT] == market[MARKET_SNAPSHOT_ROWS]
        out[row - 1]["flags"] = SNAPSHOT_FLAGS | (F_LAST if closes else 0)
    return row
