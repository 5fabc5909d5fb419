"""The fold's memory: its arrays, what each of their words means, and how a new one begins.

**Orders** are a hash table (`Order`), keyed by book and order id, with linear probing. Its load is
at most one half. An order is live while its priority is at or above the *floor* of its book and
side: clearing a side raises the floor and touches no order. Rebuilding the table drops dead orders.

**Levels** are a second such table (`Level`), keyed by book, side and price. Size and order count
are always up to date and never summed on read. An order holds the slot of its level, so a cancel
needs no search. Two slots stand for "no level": the best bid and the best ask of an empty side.

**A ladder** is one side's levels as a *run* of (key, level slot) pairs, sorted by key, the best
price *last*. Changes near the best price are the most frequent and the cheapest; a stub quote at
0.01 or 199,999.99 costs nothing. A level that becomes empty behind the best price stays in the run,
since prices come back. When the best level becomes empty, it is popped with the empty ones next to
it, so the last level of a run is never empty. A run with too many empty levels is compacted. Worst
case: a new price far behind the best moves all better ones.

**A key** is the price for bids and its bitwise complement for asks. For both sides a larger key is
a better price, for every int64, so one piece of code serves both.

All words are int64. A *slot* is the number of an entry in a table. A *base* is the index of an
entry's first word, so word `L_SIZE` of a level is `levels[base + L_SIZE]`. A *row* is always a row
of the batch.

numba compiles integers and no enum members. Below each enum its members stand as integers, under
the enum's prefix and their own name:

| prefix  | enum      | prefix | enum       | prefix    | enum       |
|---------|-----------|--------|------------|-----------|------------|
| O_      | Order     | T_     | Total      | DELTA_    | Delta      |
| L_      | Level     | A_     | Anomaly    | EVENT_END_| EventEnd   |
| B_      | Book      | STATUS_| Status     | TOP_      | Top        |
| CHANGE_ | ChangeBits|        |            |           |            |
| LADDER_ | Ladder    | STOP_  | FoldStop   | WINDOW_   | WindowTop  |
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.model.hash_salt import hash_salt
from batonics.model.mbo import UNDEF_PRICE

BLOCK = 32
"""Records that the fold applies between two checks for room."""
SLOT_WORDS = 4
"""Words of an order and of a level."""
BOOK_WORDS = 32
"""Words of a book: four cache lines. The second is the bid's, the third the ask's; the fourth is
used only for windows."""


class Order(IntEnum):
    """Words of an order."""

    ORDER_ID = 0
    OWNER = 1  # book << 1 | side (1: ask); -1 in a free slot
    PRIORITY = 2
    PACKED = 3  # level slot << 32 | size


O_ORDER_ID, O_OWNER, O_PRIORITY, O_PACKED = (int(word) for word in Order)


class Level(IntEnum):
    """Words of a level."""

    KEY = 0
    OWNER = 1  # ((book << 1 | side) + 1) << 1 | in a run; 0 in a free slot, -1 in NO_BID and NO_ASK
    SIZE = 2  # 0: empty
    COUNT = 3  # number of orders; 0 for a top-of-book publisher's level (rule 13)


L_KEY, L_OWNER, L_SIZE, L_COUNT = (int(word) for word in Level)


class Book(IntEnum):
    """Words of a book that concern both sides."""

    KEY = 0  # publisher_id << 32 | instrument_id (rule 1)
    STATUS = 1
    SNAPSHOT_OPEN = 2
    EVENTS = 3  # complete events, times two, plus one within an event
    LAST_ROW = 4  # the book's last row in the batch being folded, or -1
    # The next two are kept only for tops (`top_kernels.py`).
    TOP_BITS = 5  # of the open event: 1 << side where the best levels may have changed,
    #               CHANGE_CLEARED, CHANGE_SNAPSHOT; and ROW_IS_BEHIND
    RECORD_ROW = 6  # row of the record that describes the next top; RECORD_BEFORE, NO_RECORD
    WINDOW_EVENTS = 24  # events that ended in the open window; kept only for windows


B_KEY, B_STATUS, B_SNAPSHOT_OPEN, B_EVENTS, B_LAST_ROW = (int(word) for word in list(Book)[:5])
B_TOP_BITS, B_RECORD_ROW = (int(word) for word in list(Book)[5:7])
B_WINDOW_EVENTS = int(Book.WINDOW_EVENTS)


class Ladder(IntEnum):
    """Words of one side of a book, counted from `BID_LADDER` or `ASK_LADDER` in the book."""

    FLOOR = 0  # the least priority of a live order
    START = 1  # of the run, in the pool
    LENGTH = 2
    CAPACITY = 3
    BEST = 4  # level slot
    EMPTY = 5  # empty levels in the run


LADDER_FLOOR, LADDER_START, LADDER_LENGTH = (int(word) for word in list(Ladder)[:3])
LADDER_CAPACITY, LADDER_BEST, LADDER_EMPTY = (int(word) for word in list(Ladder)[3:])

BID_LADDER, ASK_LADDER = 8, 16
"""Where the words of a side begin in a book."""
NO_BID, NO_ASK = 0, 1
"""Level slots of an empty side; their price reads UNDEF_PRICE, their size and count 0."""
WORST_KEY = -(2**63)
"""No level's key is worse."""


class Total(IntEnum):
    """Words of `State.totals`: counts over all books."""

    PRIORITY = 0  # the greatest priority given to an order
    ORDERS = 1  # taken order slots, those of dead orders included
    LEVELS = 2  # taken level slots
    BOOKS = 3
    POOL = 4  # taken entries of the pool of runs
    DELTAS = 5
    EVENT_ENDS = 6
    WIDEST = 7  # the greatest capacity of a run
    TOPS = 8
    CHANGED_BOOKS = 9  # books in which an event ended in the open window
    WINDOWS = 10  # windows that ended in the batch
    LATEST_NS = 11  # the greatest trusted ts_recv so far


T_PRIORITY, T_ORDERS, T_LEVELS, T_BOOKS, T_POOL = (int(total) for total in list(Total)[:5])
T_DELTAS, T_EVENT_ENDS, T_WIDEST = (int(total) for total in list(Total)[5:8])
T_TOPS, T_CHANGED_BOOKS, T_WINDOWS = (int(total) for total in list(Total)[8:11])


class Status(IntEnum):
    """How far a book may be trusted (rules 17, 21, 23)."""

    COLD = 0
    SYNCED = 1
    STALE = 2


STATUS_COLD, STATUS_SYNCED, STATUS_STALE = (int(status) for status in Status)


class Anomaly(IntEnum):
    """What is counted per book and never silently repaired (rules 4, 7 to 9, 13 to 15, 19)."""

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
    TS_RECV_BACKWARDS = 12  # the engine counts it, not the fold


ANOMALIES = len(Anomaly)
A_UNKNOWN_CANCEL, A_UNKNOWN_MODIFY, A_DUPLICATE_ADD = (int(kind) for kind in list(Anomaly)[:3])
A_OVER_CANCEL, A_BAD_SIDE, A_UNDEF_PRICE = (int(kind) for kind in list(Anomaly)[3:6])
A_UNDEF_SIZE, A_ZERO_SIZE, A_SIDE_MISMATCH = (int(kind) for kind in list(Anomaly)[6:9])
A_MBP_RECORD, A_TOB_CANCEL, A_SNAPSHOT_REPLACED = (int(kind) for kind in list(Anomaly)[9:12])


class FoldStop(IntEnum):
    """Why the fold returns: all rows are done, or an array lacks room."""

    DONE = 0
    ORDERS = 1
    LEVELS = 2
    BOOKS = 3
    POOL = 4
    DELTAS = 5
    TOPS = 6


STOP_DONE, STOP_ORDERS, STOP_LEVELS, STOP_BOOKS = (int(stop) for stop in list(FoldStop)[:4])
STOP_POOL, STOP_DELTAS, STOP_TOPS = (int(stop) for stop in list(FoldStop)[4:])


class State(NamedTuple):
    """Everything the fold remembers."""

    orders: NDArray[np.int64]  # SLOT_WORDS words a slot, a power of two of slots
    levels: NDArray[np.int64]  # SLOT_WORDS words a slot, a power of two of slots
    books: NDArray[np.int64]  # BOOK_WORDS words a book, in order of appearance
    book_index: NDArray[np.int64]  # (book key, book + 1) pairs: a hash table of the books
    run_keys: NDArray[np.int64]  # the pool of runs
    run_slots: NDArray[np.int32]
    anomalies: NDArray[np.int64]  # len(Anomaly) words a book
    totals: NDArray[np.int64]
    salt: NDArray[np.uint64]  # of the three tables (`hash_salt`)


class Bbo(IntEnum):
    """Words of a row of `Outputs.bbo`. An empty side: UNDEF_PRICE, 0, 0."""

    BID_PRICE = 0
    BID_SIZE = 1
    BID_COUNT = 2
    ASK_PRICE = 3
    ASK_SIZE = 4
    ASK_COUNT = 5


BBO_WORDS = len(Bbo)


class Delta(IntEnum):
    """Words of a level delta. The sum of a level's deltas is the level, clears included."""

    ROW = 0  # of the batch
    BOOK = 1
    EVENT = 2  # the book's complete events before
    SIDE = 3  # 0: bid, 1: ask
    PRICE = 4
    SIZE = 5
    COUNT = 6


DELTA_WORDS = len(Delta)
DELTA_SIDE, DELTA_PRICE, DELTA_SIZE, DELTA_COUNT = (int(word) for word in list(Delta)[3:])


class EventEnd(IntEnum):
    """Words of an event's end (rule 5): a book may be read only there."""

    ROW = 0  # of the batch; -1: the book's last record before the batch
    BOOK = 1
    EVENT = 2  # its number within the book, from 0


EVENT_END_WORDS = len(EventEnd)


class Top(IntEnum):
    """First words of a top: the best levels of a book at a trade, or at the end of an event.

    `TOP_LEVEL_WORDS` words a level follow, in the vendor's order: bid and ask price, size, count. A
    level that does not exist: UNDEF_PRICE, 0, 0.
    """

    ROW = 0  # of the record that describes it (`RECORD_BEFORE`: it is in an earlier batch)
    BOOK = 1
    EVENT = 2  # the book's complete events before
    CHANGE = 3  # `ChangeBits`, `CHANGE_LEVEL_SHIFT`, `LAST_ROW_BIT`


TOP_ROW, TOP_BOOK, TOP_EVENT, TOP_CHANGE = (int(word) for word in Top)


class ChangeBits(IntFlag):
    """Bits of `Top.CHANGE`. All are 0 in the top of a trade."""

    BID = 1  # the side that changed at the level; none: both sides or none, or a clear
    ASK = 2
    CLEARED = 4  # the event cleared the book
    SNAPSHOT = 8  # the event is a snapshot
    ENDED_BY_TRADE = 16  # the last record of the event is a T: the vendor has no row
    UNCHANGED = 32  # the book is as before the event: only the vendor has a row


CHANGE_CLEARED, CHANGE_SNAPSHOT, CHANGE_ENDED_BY_TRADE, CHANGE_UNCHANGED = (
    int(bit) for bit in list(ChangeBits)[2:]
)
CHANGE_LEVEL_SHIFT = 8
"""The bit of `Top.CHANGE` from which on its 8 bits have the level that changed."""
LAST_ROW_BIT = 16
"""The bit of `Top.CHANGE` from which on it has the row of the last record of the top: that of the
trade, or of the record that ended the event (-1: it is in an earlier batch)."""


class WindowTop(IntEnum):
    """First words of a top at the end of a window; the levels follow as those of `Top` do."""

    ROW = 0  # of the record that ended the last event; RECORD_BEFORE, or LAST_SEEN
    BOOK = 1
    EVENTS = 2  # of the book that ended in the window
    WINDOW = 3  # number of the window in the batch, from 0


WINDOW_ROW, WINDOW_BOOK, WINDOW_EVENTS, WINDOW_NUMBER = (int(word) for word in WindowTop)

RECORD_BEFORE = -1
"""In place of a row: the record is in an earlier batch, and was kept."""
LAST_SEEN = -2
"""In place of a row: the record is the book's last one before the batch."""
NO_RECORD = -3
"""In place of a row: no record since the book's last top describes a top."""
TOP_WORDS = len(Top)
"""Words of a top before its levels."""
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
    """Buffers that the fold writes rows of words to. A buffer of length 0 is not written."""

    bbo: NDArray[np.int64]  # len(Bbo) words a record
    deltas: NDArray[np.int64]  # len(Delta) words a delta
    event_ends: NDArray[np.int64]  # len(EventEnd) words an event's end
    tops: NDArray[np.int64]  # TOP_WORDS + TOP_LEVEL_WORDS * depth words a top
    depth: int  # levels of each side in a top; 0: no tops
    trades: bool  # a top is written at each trade
    # By book: the worst key of each side after its last event, then its levels after that event and
    # in its last row. Length 0: no tops are written at the ends of events.
    last_tops: NDArray[np.int64]
    # For windows, which exclude the tops above. Length 0 of `changed_books`: no windows.
    window_bounds: NDArray[np.int64]  # rows of the batch before which a window ends
    changed_books: NDArray[np.int64]  # numbers of books, room for all
    # By book: its levels before the open event, as in a top. For windows and for trades alone.
    levels_before: NDArray[np.int64]
    events_per_window: int  # a window ends with every so many events of its book; 0: at bounds


def aligned_zeros(words: int) -> NDArray[np.int64]:
    """int64 zeros that start on a cache line, so that no slot lies on two."""
    buffer = np.zeros(words + 8, np.int64)
    skip = (-buffer.ctypes.data // 8) % 8
    return buffer[skip : skip + words]


def read_only(column: NDArray[Any]) -> NDArray[Any]:
    """The column as a contiguous, read-only array.

    Kernels then have one signature, and are compiled once, whether the column is writable or not.
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
    """A table of free level slots, except for `NO_BID` and `NO_ASK`."""
    levels = aligned_zeros(slots * SLOT_WORDS)
    levels[NO_BID * SLOT_WORDS + Level.KEY] = UNDEF_PRICE
    levels[NO_ASK * SLOT_WORDS + Level.KEY] = ~UNDEF_PRICE
    levels[NO_BID * SLOT_WORDS + Level.OWNER] = levels[NO_ASK * SLOT_WORDS + Level.OWNER] = -1
    return levels


def new_state() -> State:
    """A state without books, in small tables that grow as needed."""
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
        salt=hash_salt(),
    )
