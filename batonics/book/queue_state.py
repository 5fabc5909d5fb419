"""The memory of the queues: nodes, levels and books, and the rows that are written of them.

A *node* is one live order. The nodes of a level form a doubly linked list, first in priority first,
so that leaving a level and going to its back change a few words. Node 0 (`NO_NODE`) is none.
Tables find nodes by book and order id, and levels by book, side and price; they work as those of
`table_kernels.py`. The life of an order is kept in its node and written as a `LifeRow` at its end.

*Pending* is what fills have taken of an order whose removal is still to come (rule 6: an F is
followed by the C or M that removes the size, at some publishers an event later). An order *shows*
its size less that, and a level sums what its orders show.

A *held* node is that of an order which a snapshot has cleared and may have again
(`queue_snapshot_kernels.py`): it is in no level, but in a list of its book, by the same words.

All words are int64. As in `state.py`, each enum is followed by its members as integers, for numba:

| prefix | enum       | prefix | enum       | prefix    | enum          |
|--------|------------|--------|------------|-----------|---------------|
| N_     | Node       | QT_    | QueueTotal | POSITION_ | QueuePosition |
| QL_    | QueueLevel | QB_    | QueueBook  | CHANGE_   | QueueChange   |
| LIFE_  | LifeRow    | END_   | LifeEnd    | KIND_     | ChangeKind    |
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Node(IntEnum):
    """Words of a node."""

    BOOK = 0
    ORDER_ID = 1
    SIDE = 2  # 0: bid, 1: ask
    PRICE = 3
    SIZE = 4
    PENDING = 5  # filled, but not removed yet
    LEVEL = 6  # slot of its level; NO_LEVEL: it is held
    AHEAD = 7  # the node before it at its level
    BEHIND = 8  # the node after it; in a free node: the next free one
    PRIORITY = 9  # rises each time an order of any book goes to the back of a level
    SERIAL = 10  # rises with each order of any book; 0 in a free node
    TS_EVENT = 11  # of the record that added it
    TS_RECV = 12  # of the same record
    FIRST_PRICE = 13
    FIRST_SIZE = 14
    ADDED = 15
    FILLED = 16
    CANCELLED = 17
    MODIFIES = 18
    REQUEUES = 19
    AHEAD_ORDERS = 20  # as it was added
    AHEAD_SIZE = 21  # as it was added
    FILL_TS_EVENT = 22  # of its first fill
    FILL_AHEAD_ORDERS = 23  # at its first fill; -1: never filled
    FILL_AHEAD_SIZE = 24  # at its first fill
    LEFT_CENSORED = 25
    HELD_TS_EVENT = 26  # of the record that held it
    HELD_TS_RECV = 27  # of the same record


NODE_WORDS = 32
NO_NODE = 0
NO_LEVEL = -1
N_BOOK, N_ORDER_ID, N_SIDE, N_PRICE, N_SIZE, N_PENDING = (int(word) for word in list(Node)[:6])
N_LEVEL, N_AHEAD, N_BEHIND, N_PRIORITY, N_SERIAL = (int(word) for word in list(Node)[6:11])
N_TS_EVENT, N_TS_RECV, N_FIRST_PRICE, N_FIRST_SIZE = (int(word) for word in list(Node)[11:15])
N_ADDED, N_FILLED, N_CANCELLED, N_MODIFIES = (int(word) for word in list(Node)[15:19])
N_REQUEUES, N_AHEAD_ORDERS, N_AHEAD_SIZE = (int(word) for word in list(Node)[19:22])
N_FILL_TS_EVENT, N_FILL_AHEAD_ORDERS, N_FILL_AHEAD_SIZE, N_LEFT_CENSORED = (
    int(word) for word in list(Node)[22:26]
)
N_HELD_TS_EVENT, N_HELD_TS_RECV = (int(word) for word in list(Node)[26:])


class LifeRow(IntEnum):
    """Words of the row of an order's life: those of its node, but for the way it ended."""

    BOOK = Node.BOOK
    ORDER_ID = Node.ORDER_ID
    SIDE = Node.SIDE
    PRICE = Node.PRICE
    SIZE = Node.SIZE  # displayed at its end
    PENDING = Node.PENDING
    END = 6  # `LifeEnd`
    END_TS_EVENT = 7  # of the record that ended it; -1: none did
    END_TS_RECV = 8  # of the same record
    PRIORITY = Node.PRIORITY
    SERIAL = Node.SERIAL
    TS_EVENT = Node.TS_EVENT
    TS_RECV = Node.TS_RECV
    FIRST_PRICE = Node.FIRST_PRICE
    FIRST_SIZE = Node.FIRST_SIZE
    ADDED = Node.ADDED
    FILLED = Node.FILLED
    CANCELLED = Node.CANCELLED
    MODIFIES = Node.MODIFIES
    REQUEUES = Node.REQUEUES
    AHEAD_ORDERS = Node.AHEAD_ORDERS
    AHEAD_SIZE = Node.AHEAD_SIZE
    FILL_TS_EVENT = Node.FILL_TS_EVENT
    FILL_AHEAD_ORDERS = Node.FILL_AHEAD_ORDERS
    FILL_AHEAD_SIZE = Node.FILL_AHEAD_SIZE
    LEFT_CENSORED = Node.LEFT_CENSORED


LIFE_SIZE, LIFE_END = int(LifeRow.SIZE), int(LifeRow.END)
LIFE_END_TS_EVENT, LIFE_END_TS_RECV = int(LifeRow.END_TS_EVENT), int(LifeRow.END_TS_RECV)
LIFE_ADDED = int(LifeRow.ADDED)


class LifeEnd(IntEnum):
    """How a life ended."""

    FILLED = 0
    CANCELLED = 1
    CLEARED = 2
    REPLACED = 3
    ALIVE = 4


END_FILLED, END_CANCELLED, END_CLEARED, END_REPLACED = (int(end) for end in list(LifeEnd)[:4])


class QueueLevel(IntEnum):
    """Words of a level."""

    PRICE = 0
    OWNER = 1  # (book << 1 | side) + 1; 0 in a free slot
    FIRST = 2  # node
    LAST = 3  # node
    ORDERS = 4  # number of orders that show something
    SIZE = 5  # what they show


QUEUE_LEVEL_WORDS = 8
QL_PRICE, QL_OWNER, QL_FIRST, QL_LAST, QL_ORDERS, QL_SIZE = (int(word) for word in QueueLevel)


class QueueBook(IntEnum):
    """Words of a book."""

    SNAPSHOT_OPEN = 0
    AGGRESSOR = 1  # order id of its last trade
    WATCHED = 2  # the watched node
    ENDED = 3  # 1: the watched order ended in the open event
    TS_EVENT = 4  # of its last record
    TS_RECV = 5  # of the same record
    SEQUENCE = 6  # of the same record
    # The last position written: PRICE to BEHIND_SIZE of `QueuePosition`, then its side.
    PRICE = 7
    SIZE = 8
    AHEAD_ORDERS = 9
    AHEAD_SIZE = 10
    BEHIND_ORDERS = 11
    BEHIND_SIZE = 12
    SIDE = 13
    # The last fill of the open trade whose order rested; PRIORITY 0: there was none.
    FILL_SIDE = 14
    FILL_PRICE = 15
    FILL_PRIORITY = 16
    # Over the whole stream: fills that follow another at the same level in the same trade.
    FILLS_COMPARED = 17
    FILLS_OUT_OF_ORDER = 18  # of these, those of an order that stood ahead of the one before
    HELD_FIRST = 19  # node
    HELD_LAST = 20  # node
    SNAPSHOT_ORDERS = 21  # 1 and the orders that an open snapshot has again; 0: it has ended
    POSITION_WRITTEN = 22  # 1: a position has been written


QUEUE_BOOK_WORDS = 24
QB_SNAPSHOT_OPEN, QB_AGGRESSOR, QB_WATCHED, QB_ENDED = (int(word) for word in list(QueueBook)[:4])
QB_TS_EVENT, QB_TS_RECV, QB_SEQUENCE, QB_PRICE = (int(word) for word in list(QueueBook)[4:8])
QB_SIDE, QB_FILL_SIDE, QB_FILL_PRICE, QB_FILL_PRIORITY, QB_FILLS_COMPARED, QB_FILLS_OUT_OF_ORDER = (
    int(word) for word in list(QueueBook)[13:19]
)
QB_HELD_FIRST, QB_HELD_LAST, QB_SNAPSHOT_ORDERS, QB_POSITION_WRITTEN = (
    int(word) for word in list(QueueBook)[19:]
)


class QueueTotal(IntEnum):
    """Words of `Queues.totals`: counts over all books."""

    FREE = 0  # the first free node among those used before
    FRESH = 1  # the first node that was never used
    LIVE = 2
    LEVELS = 3  # taken slots
    PRIORITY = 4  # the greatest one given to a node
    SERIAL = 5  # the greatest one given to a node
    LIVES = 6  # rows of lives written in the call
    POSITIONS = 7  # rows of positions written in the call
    CHANGES = 8  # rows of changes written in the call


QT_FREE, QT_FRESH, QT_LIVE, QT_LEVELS, QT_PRIORITY = (int(word) for word in list(QueueTotal)[:5])
QT_SERIAL, QT_LIVES, QT_POSITIONS, QT_CHANGES = (int(word) for word in list(QueueTotal)[5:])


class QueuePosition(IntEnum):
    """Words of a position: where the watched order stands at the end of an event."""

    BOOK = 0
    TS_EVENT = 1
    TS_RECV = 2
    SEQUENCE = 3
    SIDE = 4
    PRICE = 5
    SIZE = 6  # that it shows
    AHEAD_ORDERS = 7  # -1 in this word and all after it: the order has ended
    AHEAD_SIZE = 8
    BEHIND_ORDERS = 9
    BEHIND_SIZE = 10


POSITION_WORDS = len(QueuePosition)
POSITION_BOOK, POSITION_TS_EVENT, POSITION_TS_RECV, POSITION_SEQUENCE = (
    int(word) for word in list(QueuePosition)[:4]
)
POSITION_SIDE, POSITION_PRICE, POSITION_SIZE = (int(word) for word in list(QueuePosition)[4:7])
POSITION_AHEAD_ORDERS, POSITION_AHEAD_SIZE, POSITION_BEHIND_ORDERS, POSITION_BEHIND_SIZE = (
    int(word) for word in list(QueuePosition)[7:]
)


class QueueChange(IntEnum):
    """Words of a change: size that left its place in a queue, or whose place is not known."""

    ROW = 0  # of the batch
    BOOK = 1
    KIND = 2  # `ChangeKind`
    SIDE = 3
    PRICE = 4  # of the level
    SIZE = 5
    PRIORITY = 6  # of the order; BEHIND_ALL for what a fill took beyond what the order showed


CHANGE_WORDS = len(QueueChange)
CHANGE_ROW, CHANGE_BOOK, CHANGE_KIND, CHANGE_SIDE = (int(word) for word in list(QueueChange)[:4])
CHANGE_PRICE, CHANGE_SIZE, CHANGE_PRIORITY = (int(word) for word in list(QueueChange)[4:])
BEHIND_ALL = 2**62
BOTH_SIDES = 2
"""`QueueChange.SIDE` of a clear of the whole book."""


class ChangeKind(IntEnum):
    """Why size left its place."""

    FILLED = 0  # while it rested
    TRADED = 1  # as the aggressor: the order traded with the other side
    REMOVED = 2  # cancelled, or gone to the back or to another level
    CLEARED = 3  # with all of its side, or with the book (SIDE is BOTH_SIDES)
    # Known only by a snapshot (`queue_snapshot_kernels.py`):
    LOST = 4  # filled, cancelled or moved
    MISPLACED = 5  # not gone, but behind orders that were not ahead; PRIORITY is that of before
    APPEARED = 6  # came or moved: no size was there


KIND_FILLED, KIND_TRADED, KIND_REMOVED, KIND_CLEARED, KIND_LOST, KIND_MISPLACED, KIND_APPEARED = (
    int(kind) for kind in ChangeKind
)


class Queues(NamedTuple):
    """Everything that is remembered."""

    nodes: NDArray[np.int64]  # NODE_WORDS words a node
    ids: NDArray[np.int64]  # (order id, book << 32 | node) pairs, a power of two of them
    levels: NDArray[np.int64]  # QUEUE_LEVEL_WORDS words a slot, a power of two of slots
    books: NDArray[np.int64]  # QUEUE_BOOK_WORDS words a book, numbered as the fold's
    totals: NDArray[np.int64]
    salt: NDArray[np.uint64]  # of the tables of ids and levels (`hash_salt`)


class QueueOutputs(NamedTuple):
    """Buffers of rows. A buffer of length 0 is not written."""

    lives: NDArray[np.int64]  # NODE_WORDS words a row
    positions: NDArray[np.int64]  # len(QueuePosition) words a row
    changes: NDArray[np.int64]  # len(QueueChange) words a row
    watched_id: int  # the order id whose positions are written


class QueueEvents(NamedTuple):
    """The columns of a batch that the queues read, and the level deltas that it came to."""

    ts_event: NDArray[np.int64]  # ns; -1: undefined
    ts_recv: NDArray[np.int64]
    publisher_id: NDArray[np.uint16]
    instrument_id: NDArray[np.uint32]
    action: NDArray[np.uint8]
    side: NDArray[np.uint8]
    price: NDArray[np.int64]
    size: NDArray[np.uint32]
    order_id: NDArray[np.uint64]
    flags: NDArray[np.uint8]
    sequence: NDArray[np.uint32]
    deltas: NDArray[np.int64]  # len(Delta) words a delta, in order of rows
    book_index: NDArray[np.int64]  # `State.book_index`
    book_salt: NDArray[np.uint64]  # `State.salt`
