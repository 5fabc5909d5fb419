"""The state the fold carries from batch to batch: plain arrays, so that a checkpoint is a copy.

**Orders** are an open-addressing hash with linear probing, at most half full: slots of four words
(`Order`), 32 bytes, half a cache line. An order is alive when its priority is at least the *floor*
of its book and side: clearing a side raises its floor and touches no order. What a clear left
behind is dropped when the table is rebuilt.

**Levels** are a second such hash, by book, side and price (`Level`): size and order count are kept
up to date and never summed on read. An order points at its level, so a cancel finds it with no
search at all. Two slots stand for "no level": the best bid and the best ask of an empty side.

**A ladder** is one side's levels as a run of `(key, level slot)` sorted by key, the best price
*last*: the busy end is the cheap end, a stub quote at 0.01 or 199,999.99 costs nothing. A level
that empties behind the best stays in the run, empty, since prices come back; the best itself is
popped, with the empty ones next to it, so the last of a run is always alive. A run with too many
empty ones is compacted. Worst case: a new price far behind the best moves all that is better.

**A key** is the price for bids and its bitwise complement for asks: for both sides a larger key is
a better price, for every int64, and one piece of code serves both.

All words are int64; indices into the arrays are in words.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import UNDEF_PRICE

SLOT_WORDS = 4
"""Words of an order slot and of a level slot."""
BOOK_WORDS = 32
"""Words of a book's row: four cache lines, the second the bid's, the third the ask's, and the last
of use only where windows are wanted."""


class Order(IntEnum):
    """Words of an order slot."""

    ORDER_ID = 0
    OWNER = 1  # book << 1 | side (1 = ask); -1 in a free slot
    PRIORITY = 2
    PACKED = 3  # level slot << 32 | size


class Level(IntEnum):
    """Words of a level slot."""

    KEY = 0
    OWNER = 1  # ((book << 1 | side) + 1) << 1 | in a run; 0 in a free slot, -1 in the two NO_LEVELs
    SIZE = 2  # 0: empty
    COUNT = 3  # of orders; 0 for a top-of-book publisher's level (rule 13)


class Book(IntEnum):
    """Words of a book's row that belong to both sides."""

    KEY = 0  # publisher_id << 32 | instrument_id (rule 1)
    STATUS = 1
    SNAPSHOT_OPEN = 2
    EVENTS = 3  # completed, times two, plus one in the middle of an event
    LAST_ROW = 4  # the book's last row in the batch being folded, or -1
    # What follows is kept only where tops are wanted (`top_kernels.py`).
    TOUCHED = (
        5  # bits 1 << side: the open event may have changed the best; 4: NOTED_KEY is an ask's
    )
    NOTED_ROW = (
        6  # row of the record that describes a top to come; -1: of an earlier batch, or none
    )
    NOTED_KEY = 7  # the key of that record's price, or BEST_KEY where it has none
    EVENTS_IN = 24  # ends of events in the open window, kept only where windows are wanted


class Ladder(IntEnum):
    """Words of a side, from `BID` or `ASK` of a book's row on."""

    FLOOR = 0  # the least priority of a live order
    START = 1
    LENGTH = 2
    CAPACITY = 3
    BEST = 4  # level slot
    EMPTIES = 5  # empty levels inside the run


WORST_KEY, BEST_KEY = -(2**63), 2**63 - 1
"""No level's key is worse; none is better."""

BID_LADDER, ASK_LADDER = 8, 16
NO_BID, NO_ASK = 0, 1
"""Level slots of an empty side; their price reads UNDEF_PRICE, their size and count 0."""


class Total(IntEnum):
    """Words of `totals`: counts over all books."""

    PRIORITY = 0  # the last one given out
    ORDERS = 1  # slots taken, dead ones included
    LEVELS = 2
    BOOKS = 3
    POOL = 4  # words of the pool of runs given out
    DELTAS = 5
    CLOSINGS = 6
    WIDEST = 7  # the greatest capacity of a run
    TOPS = 8
    DIRTY = 9  # books with ends of events in the open window
    BOUND = 10  # bounds of the batch passed


class Status(IntEnum):
    """How far a book may be trusted (rules 17, 21, 23)."""

    COLD = 0
    SYNCED = 1
    STALE = 2


class Anomaly(IntEnum):
    """What is counted per book, never silently repaired (rules 7 to 9, 15)."""

    UNKNOWN_CANCEL = 0
    UNKNOWN_MODIFY = 1
    DUPLICATE_ADD = 2
    OVER_CANCEL = 3
    BAD_SIDE = 4
    UNDEF_PRICE = 5
    UNDEF_SIZE = 6
    ZERO_SIZE = 7
    SIDE_MISMATCH = 8
    MBP_RECORD = 9
    TOB_CANCEL = 10
    SNAPSHOT_REPLACED = 11


class FoldStop(IntEnum):
    """Why the fold stopped: all done, or what it lacks room in."""

    DONE = 0
    ORDERS = 1
    LEVELS = 2
    BOOKS = 3
    POOL = 4
    DELTAS = 5
    TOPS = 6


class State(NamedTuple):
    """Everything the fold remembers."""

    orders: NDArray[np.int64]  # SLOT words a slot, a power of two of slots
    levels: NDArray[np.int64]  # SLOT words a slot, a power of two of slots
    books: NDArray[np.int64]  # ROW words a book, in order of appearance
    book_index: NDArray[np.int64]  # (book key, book + 1) pairs: a hash of the books
    run_keys: NDArray[np.int64]  # the pool of runs
    run_slots: NDArray[np.int32]
    anomalies: NDArray[np.int64]  # len(Anomaly) words a book
    totals: NDArray[np.int64]


class Bbo(IntEnum):
    """Words of a row of `Outputs.bbo`. An empty side: UNDEF_PRICE, 0, 0."""

    BID_PRICE = 0
    BID_SIZE = 1
    BID_COUNT = 2
    ASK_PRICE = 3
    ASK_SIZE = 4
    ASK_COUNT = 5


class Delta(IntEnum):
    """Words of a level delta. The sum of a level's deltas is the level, clears included."""

    ROW = 0  # of the batch
    BOOK = 1
    EVENT = 2  # how many events the book had completed before
    SIDE = 3  # 0 bid, 1 ask
    PRICE = 4
    SIZE = 5
    COUNT = 6


class EventEnd(IntEnum):
    """Words of an event's end (rule 5): the only moments at which a book may be read."""

    ROW = 0  # of the batch; -1: the book's last record before the batch
    BOOK = 1
    EVENT = 2  # its number within the book, from 0


class Top(IntEnum):
    """First words of a top: the best levels of a book at one moment.

    `TOP_LEVEL` words a level follow, in the vendor's order: bid and ask price, size, count. A level
    that is not there: UNDEF_PRICE, 0, 0.
    """

    # Of the batch: the trade; or the last A, C, M or R of the event; or the last end of an event in
    # the window. -1: as noted in an earlier batch. -2: the last record of the book in one.
    ROW = 0
    BOOK = 1
    EVENT = 2  # how many events the book had completed before; of a window: how many it has
    DEPTH = 3  # how many of its levels are better than the record's price; of a window: its bound


TOP_LEVEL_WORDS = 6


class Events(NamedTuple):
    """The columns of a batch that the fold reads (`MboBatch`)."""

    publisher_id: NDArray[np.uint16]
    instrument_id: NDArray[np.uint32]
    action: NDArray[np.uint8]
    side: NDArray[np.uint8]
    price: NDArray[np.int64]
    size: NDArray[np.uint32]
    order_id: NDArray[np.uint64]
    flags: NDArray[np.uint8]


class Outputs(NamedTuple):
    """Buffers the fold writes rows of words to; one that is not wanted has length 0."""

    bbo: NDArray[np.int64]  # len(Bbo) words a record
    deltas: NDArray[np.int64]  # len(Delta) words a delta
    event_ends: NDArray[np.int64]  # len(Closing) words an event's end
    tops: NDArray[np.int64]  # len(Top) + TOP_LEVEL * depth words a top
    # By book: the worst key shown of each side, and the levels of its last top. Length 0: tops at
    # the ends of events are not wanted.
    shown: NDArray[np.int64]
    depth: int  # levels of each side in a top; 0: no tops
    trades: bool  # whether tops at trades are wanted
    # Windows, in place of changes and trades. Length 0 of `dirty`: they are not wanted.
    bounds: NDArray[np.int64]  # rows of the batch before which a window ends
    dirty: NDArray[np.int64]  # numbers of books, room for all
    before: NDArray[np.int64]  # by book: its levels before the open event, TOP_LEVEL * depth words
    every: int  # a window ends with each so many-th event of its book; 0: at bounds


def aligned_zeros(words: int) -> NDArray[np.int64]:
    """int64 zeros that start on a cache line, so that no slot straddles two."""
    buffer = np.zeros(words + 8, np.int64)
    skip = (-buffer.ctypes.data // 8) % 8
    return buffer[skip : skip + words]


def read_only(column: NDArray[Any]) -> NDArray[Any]:
    """The column, contiguous, not to be written to.

    Kernels then have one signature whether it could be written to or not: one compilation.
    """
    flags = column.flags
    if flags.c_contiguous and not flags.writeable:
        return column
    view = np.ascontiguousarray(column).view()
    view.flags.writeable = False
    return view


def empty_orders(slots: int) -> NDArray[np.int64]:
    """A table of free order slots."""
    orders = aligned_zeros(slots * SLOT_WORDS)
    orders[Order.OWNER :: SLOT_WORDS] = -1
    return orders


def empty_levels(slots: int) -> NDArray[np.int64]:
    """A table of free level slots, but for the two that stand for an empty side."""
    levels = aligned_zeros(slots * SLOT_WORDS)
    levels[NO_BID * SLOT_WORDS + Level.KEY] = UNDEF_PRICE
    levels[NO_ASK * SLOT_WORDS + Level.KEY] = ~UNDEF_PRICE
    levels[NO_BID * SLOT_WORDS + Level.OWNER] = levels[NO_ASK * SLOT_WORDS + Level.OWNER] = -1
    return levels


def new_state() -> State:
    """No books yet; small tables that grow as needed."""
    totals = np.zeros(len(Total), np.int64)
    totals[Total.LEVELS] = 2
    return State(
        orders=empty_orders(1 << 12),
        levels=empty_levels(1 << 10),
        books=aligned_zeros(64 * BOOK_WORDS),
        book_index=np.zeros(2 * 256, np.int64),
        run_keys=np.zeros(1 << 12, np.int64),
        run_slots=np.zeros(1 << 12, np.int32),
        anomalies=np.zeros(64 * len(Anomaly), np.int64),
        totals=totals,
    )
