"""The simulated exchange's market-wide words, its dice, and how it puts a book into MBO records.

The rule: a choice is made by the dice and by whole numbers alone, and never by how much room a
batch has, so that a stream is the same on every machine and however it is cut.

What the instruments share is one array of int64 words, `market`: clock, dice, settings, tables.
Two habits keep compilation short. Few arrays are passed, and no tuples of them: to numba an array
is seven arguments. And no literal is passed to a kernel, since numba would compile it anew for
each: constants that are passed are Words.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import UNDEF_PRICE, Action, Flag, Side
from batonics.native import kernel
from batonics.sim.book_kernels import (
    BID,
    INSTRUMENT_ID,
    LOW_TICKS,
    OFFSET,
    ORDER_ID,
    SIDE,
    SIZE,
    SLOTS,
    TICK_1E9,
    TIME_NS,
    Word,
    Words,
    list_orders,
    listing_start,
)

Records = NDArray[np.void]
"""A structured array of `MBO_DTYPE`."""

# Words of the market: where the stream is ...
NOW_NS = 0
RECV_NS = 1
IN_DELTA_NS = 2
LAST_ORDER_ID = 3
SEQUENCE = 4
DICE = 5
OPENED = 6  # instruments whose opening snapshot has begun
BURST_BOOK = 7  # row of the book in which the present burst of events is
BURST_LEFT = 8
SNAPSHOT_BOOK = 9
SNAPSHOT_ROWS = 10
SNAPSHOT_SENT = 11
# ... what it was set to ...
START_NS = 12
PUBLISHER_ID = 13
CHANNEL_ID = 14
TARGET_LIVE = 15  # orders of one instrument
PAUSE_NS = 16  # mean time between bursts
RECOVERY_ODDS = 17  # of an event, of 2**32
# ... and its habits, as tables to pick from. What is left is the table of activity.
TABLE_ROWS = 4096
ANY_ROW = TABLE_ROWS - 1
DISTANCES_TICKS = 18
SIZES = DISTANCES_TICKS + TABLE_ROWS
FILLS = SIZES + TABLE_ROWS
ACTIVITY = FILLS + TABLE_ROWS

BURST_EVENTS_MAX = 8  # a power of 2

ADD = Word(Action.ADD)
CANCEL = Word(Action.CANCEL)
MODIFY = Word(Action.MODIFY)
CLEAR = Word(Action.CLEAR)
TRADE = Word(Action.TRADE)
FILL = Word(Action.FILL)
NOTHING = Word(0)
F_LAST = int(Flag.LAST)
_SIDE_BID = int(Side.BID)
_SIDE_ASK = int(Side.ASK)
_SIDE_NONE = int(Side.NONE)
_SNAPSHOT = int(Flag.SNAPSHOT | Flag.BAD_TS_RECV)

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_27 = np.uint64(27)
_30 = np.uint64(30)
_32 = np.uint64(32)


@kernel
def draw_bits(market: Words) -> Word:
    """32 random bits (the upper half of splitmix64)."""
    bits = np.uint64(market[DICE]) + _STEP
    market[DICE] = Word(bits)
    bits = (bits ^ (bits >> _30)) * _MIX_1
    bits = (bits ^ (bits >> _27)) * _MIX_2
    return Word(bits >> _32)


@kernel
def draw_below(market: Words, end: Word) -> Word:
    """A random number in `[0, end)`; `end` is less than 2**31."""
    return (draw_bits(market) * end) >> 32


@kernel
def new_order_id(market: Words) -> Word:
    """The next order id: they run, with a gap here and there, through all instruments."""
    bits = draw_bits(market)
    order_id: Word = market[LAST_ORDER_ID] + (1 if bits & 1 else 1 + (bits >> 1 & 31))
    market[LAST_ORDER_ID] = order_id
    return order_id


@kernel
def new_packet(market: Words, earliest_recv_ns: Word) -> None:
    """The venue sends a packet, received no earlier than so and never before the last one."""
    bits = draw_bits(market)
    market[IN_DELTA_NS] = 9_000 + (bits & 0x1FFF)
    market[RECV_NS] = max(market[RECV_NS] + ((bits >> 13) & 0x7F), earliest_recv_ns)


@kernel
def new_event(market: Words) -> Word:
    """Move the clock to the next event; returns the row of its book. Events come in bursts."""
    if market[BURST_LEFT] > 0:
        market[BURST_LEFT] -= 1
        market[NOW_NS] += 1 + (draw_bits(market) & 0xFFF)
    else:
        market[BURST_LEFT] = draw_bits(market) & (BURST_EVENTS_MAX - 1)
        market[BURST_BOOK] = market[ACTIVITY + draw_below(market, Word(len(market) - ACTIVITY))]
        # The product of two uniform draws has a mean of 1/4: many short pauses, a few long ones.
        bits = draw_bits(market)
        share = ((bits & 0xFFFF) * (bits >> 16)) >> 16
        market[NOW_NS] += 1 + ((4 * market[PAUSE_NS] * share) >> 16)
    bits = draw_bits(market)
    latency_ns = 75_000 + (bits & 0x1FFFF)
    if bits >> 24 == 0:
        latency_ns += bits
    new_packet(market, market[NOW_NS] + latency_ns)
    market[SEQUENCE] += draw_bits(market) & 3
    book_row: Word = market[BURST_BOOK]
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
    """Write a record of the present event, not its last; returns the next row."""
    record = out[row]
    record["publisher_id"] = market[PUBLISHER_ID]
    record["instrument_id"] = book[INSTRUMENT_ID]
    record["ts_event"] = market[NOW_NS]
    record["order_id"] = order_id
    record["price"] = (book[LOW_TICKS] + offset) * book[TICK_1E9]
    record["size"] = size
    record["flags"] = 0
    record["channel_id"] = market[CHANNEL_ID]
    record["action"] = action
    record["side"] = _SIDE_BID if side == BID else _SIDE_ASK
    record["ts_recv"] = market[RECV_NS]
    record["ts_in_delta"] = market[IN_DELTA_NS]
    record["sequence"] = market[SEQUENCE]
    return row + 1


@kernel
def write_order(
    market: Words, book: Words, out: Records, row: Word, action: Word, order: Word, size: Word
) -> Word:
    """Write a record of `size` of an order, not the event's last; returns the next row."""
    side = book[order + SIDE]
    offset = book[order + OFFSET]
    order_id = book[order + ORDER_ID]
    return write_record(market, book, out, row, action, side, offset, size, order_id)


@kernel
def begin_snapshot(market: Words, books: NDArray[np.int64], book_row: Word) -> None:
    """Line up R and the book as it is now (rule 14)."""
    market[SNAPSHOT_BOOK] = book_row
    market[SNAPSHOT_ROWS] = 1 + list_orders(books[book_row])
    market[SNAPSHOT_SENT] = 0


@kernel
def send_snapshot(market: Words, book: Words, out: Records, row: Word) -> Word:
    """Write as much of the snapshot as there is room for; returns the next row."""
    while market[SNAPSHOT_SENT] < market[SNAPSHOT_ROWS] and row < len(out):
        sent = market[SNAPSHOT_SENT]
        if sent == 0:
            row = write_record(market, book, out, row, CLEAR, NOTHING, NOTHING, NOTHING, NOTHING)
            out[row - 1]["side"] = _SIDE_NONE
            out[row - 1]["price"] = UNDEF_PRICE
        else:
            order = book[listing_start(book[SLOTS]) + sent - 1]
            row = write_order(market, book, out, row, ADD, order, book[order + SIZE])
            out[row - 1]["ts_event"] = book[order + TIME_NS]
        market[SNAPSHOT_SENT] = sent + 1
        closes = market[SNAPSHOT_SENT] == market[SNAPSHOT_ROWS]
        out[row - 1]["flags"] = _SNAPSHOT | (F_LAST if closes else 0)
    return row
