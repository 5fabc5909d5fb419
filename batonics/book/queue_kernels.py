"""The queues of levels, order by order: each order's life, its place, and what changed ahead of it.

The rule here: what records do to a book is decided by the fold alone (`kernels.py`). Here its
answer is read: a record's *level deltas* are what its order did, and a record without any did
nothing, but for what leaves a level's sum alone, such as a modify to the same price and size.

| record              | deltas                 | what happened to the order                        |
|---------------------|------------------------|---------------------------------------------------|
| C                   | (-taken, 0 or -1)      | it shrank, or left                                |
| M                   | (-old, -1)             | it left (rule 9)                                  |
| M                   | (-old, -1), (new, 1)   | it went to the back of another level              |
| M                   | (change, 0), or none   | it shrank in its place, or grew and went back     |
| A, M                | (new, 1)               | it was born; of an M the fold had not known it    |
| A                   | as M's above           | another order of its id replaced it (rule 7)      |
| R, opening A, F_TOB | (-size, -count) each   | all orders of these levels ended (rules 11 to 14) |

A level is a doubly linked list of *nodes*, first in priority first, so that leaving and going to
the back are a few words; node 0 is nobody. Nodes are found by book and order id in a table, levels
by book, side and price in another, both as in `table_kernels.py`. A clear names its levels, so no
other book is looked at. A node holds the order's life; when that ends it is written out as it is.

*Pending* is what fills have taken of an order whose removal is still to come (rule 6: an F is
followed by the C or M that removes the size, at some publishers an event later). An order *shows*
its size less that, and a level sums what its orders show.

The host makes room before each call (`queues.py`): a record bears one order at the most.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import Delta
from batonics.book.table_kernels import MIX_ID, MIX_OWNER, find_book, order_home
from batonics.model import mbo
from batonics.model.mbo import Action, Flag, Side
from batonics.native import as_word, at, inlined, kernel, outlined


class LifeRow(IntEnum):
    """Words of a node, and of the row that is written when the order's life ends."""

    BOOK = 0
    ORDER_ID = 1
    SIDE = 2  # 0 bid, 1 ask
    PRICE = 3
    SIZE = 4  # in a row: what it showed at its end
    PENDING = 5  # filled, but not removed yet
    LEVEL = 6  # place of its level; in a row: `End`
    AHEAD = 7  # the node before it at its level; in a row: ts_event of its end
    BEHIND = 8  # the node after it; in a row: ts_recv of its end
    PRIORITY = 9  # the order of going to the back, over all books
    BORN = 10  # the order of births
    TS_EVENT = 11  # of its birth, as are the next three
    TS_RECV = 12
    FIRST_PRICE = 13
    FIRST_SIZE = 14
    ADDED = 15
    FILLED = 16
    CANCELLED = 17
    MODIFIES = 18
    REQUEUES = 19
    AHEAD_ORDERS = 20  # at its birth
    AHEAD_SIZE = 21
    FILL_TS_EVENT = 22  # of its first fill, as are the next two
    FILL_AHEAD_ORDERS = 23  # -1: never filled
    FILL_AHEAD_SIZE = 24
    LEFT_CENSORED = 25


class LifeEnd(IntEnum):
    """How a life ended."""

    FILLED = 0
    CANCELLED = 1
    CLEARED = 2
    REPLACED = 3
    ALIVE = 4


class QueueLevel(IntEnum):
    """Words of a level slot."""

    PRICE = 0
    OWNER = 1  # (book << 1 | side) + 1; 0 in a free slot
    FIRST = 2  # nodes
    LAST = 3
    ORDERS = 4  # that show something
    SIZE = 5  # that they show


class QueueBook(IntEnum):
    """Words of a book."""

    SNAPSHOT_OPEN = 0
    AGGRESSOR = 1  # order id of its last trade
    WATCHED = 2  # the node that is watched
    ENDED = 3  # the watched order ended in the open event
    TS_EVENT = 4  # of its last record, as are the next two
    TS_RECV = 5
    SEQUENCE = 6
    PRICE = 7  # the position last told, as are the next five
    SIZE = 8
    AHEAD_ORDERS = 9
    AHEAD_SIZE = 10
    BEHIND_ORDERS = 11
    BEHIND_SIZE = 12
    SIDE = 13


class QueueTotal(IntEnum):
    """Words of `totals`: counts over all books."""

    FREE = 0  # first of the freed nodes
    FRESH = 1  # the first node that was never used
    LIVE = 2
    LEVELS = 3  # slots taken
    PRIORITY = 4  # the last one given out
    BORN = 5
    LIVES = 6  # rows written in the call, as are the next two
    POSITIONS = 7
    CHANGES = 8


class QueuePosition(IntEnum):
    """Words of a position: where the watched order stood at the end of an event."""

    BOOK = 0
    TS_EVENT = 1
    TS_RECV = 2
    SEQUENCE = 3
    SIDE = 4
    PRICE = 5
    SIZE = 6  # that it showed
    AHEAD_ORDERS = 7  # -1: it has ended, as in the next three
    AHEAD_SIZE = 8
    BEHIND_ORDERS = 9
    BEHIND_SIZE = 10


class QueueChange(IntEnum):
    """Words of a change: what left a place in a queue."""

    ROW = 0  # of the batch
    BOOK = 1
    KIND = 2  # `Left`
    SIDE = 3
    PRICE = 4  # of the level
    SIZE = 5
    PRIORITY = 6  # of the order; BEHIND_ALL for what a fill took beyond what the order showed


class ChangeKind(IntEnum):
    """Why size left its place."""

    FILLED = 0  # while it rested
    TRADED = 1  # as the aggressor: the order moved into the other side
    REMOVED = 2  # cancelled, or gone to the back or to another level; less than 0: refilled
    CLEARED = 3  # with all of its side, or with the book (SIDE is BOTH)


class Queues(NamedTuple):
    """Everything that is remembered; words are int64."""

    nodes: NDArray[np.int64]  # NODE words a node
    ids: NDArray[np.int64]  # (order id, book << 32 | node) pairs, a power of two of them
    levels: NDArray[np.int64]  # QUEUE_LEVEL words a slot, a power of two of slots
    books: NDArray[np.int64]  # QUEUE_BOOK words a book, numbered as the fold's
    totals: NDArray[np.int64]


class QueueOutputs(NamedTuple):
    """Buffers of rows that the kernel writes; of length 0 where they are not wanted."""

    lives: NDArray[np.int64]  # NODE words a row
    positions: NDArray[np.int64]  # len(Position) words a row
    changes: NDArray[np.int64]  # len(Change) words a row
    watched_id: int  # whose positions are wanted


class QueueEvents(NamedTuple):
    """The columns of a batch that are read, and the fold's answer to it."""

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
    book_index: NDArray[np.int64]  # the fold's


NODE_WORDS, QUEUE_LEVEL_WORDS, QUEUE_BOOK_WORDS = 32, 8, 16
NOBODY = 0
BOTH_SIDES = 2
BEHIND_ALL = 2**62
NOTHING, ONE_SIDE, ALL = 0, 1, 2

# numba folds plain integers, not enum members, into the machine code.
BOOK, ORDER_ID, SIDE, PRICE, SIZE, PENDING, LEVEL, AHEAD, BEHIND, PRIORITY, BORN = range(11)
FIRST_PRICE, FIRST_SIZE, ADDED = LifeRow.FIRST_PRICE + 0, LifeRow.FIRST_SIZE + 0, LifeRow.ADDED + 0
FILLED, CANCELLED, MODIFIES = LifeRow.FILLED + 0, LifeRow.CANCELLED + 0, LifeRow.MODIFIES + 0
REQUEUES, AHEAD_ORDERS, AHEAD_SIZE = (
    LifeRow.REQUEUES + 0,
    LifeRow.AHEAD_ORDERS + 0,
    LifeRow.AHEAD_SIZE + 0,
)
TS_EVENT, TS_RECV, FILL_TS_EVENT = (
    LifeRow.TS_EVENT + 0,
    LifeRow.TS_RECV + 0,
    LifeRow.FILL_TS_EVENT + 0,
)
FILL_AHEAD_ORDERS, FILL_AHEAD_SIZE = LifeRow.FILL_AHEAD_ORDERS + 0, LifeRow.FILL_AHEAD_SIZE + 0
LEFT_CENSORED = int(LifeRow.LEFT_CENSORED)
END, END_TS_EVENT, END_TS_RECV = LEVEL, AHEAD, BEHIND
L_PRICE, L_OWNER, L_FIRST, L_LAST, L_ORDERS, L_SIZE = (int(word) for word in QueueLevel)
B_SNAPSHOT_OPEN, B_AGGRESSOR, B_WATCHED = 0, 1, 2
B_ENDED, B_TS_EVENT, B_TS_RECV, B_SEQUENCE, B_POSITION, B_SIDE = 3, 4, 5, 6, 7, 13
T_FREE, T_FRESH, T_LIVE, T_LEVELS, T_PRIORITY, T_BORN, T_LIVES, T_POSITIONS, T_CHANGES = range(9)
END_FILLED, END_CANCELLED = int(LifeEnd.FILLED), int(LifeEnd.CANCELLED)
END_CLEARED, END_REPLACED = int(LifeEnd.CLEARED), int(LifeEnd.REPLACED)
LEFT_FILLED, LEFT_TRADED = int(ChangeKind.FILLED), int(ChangeKind.TRADED)
LEFT_REMOVED, LEFT_CLEARED = int(ChangeKind.REMOVED), int(ChangeKind.CLEARED)
ADD, CANCEL, MODIFY = int(Action.ADD), int(Action.CANCEL), int(Action.MODIFY)
MODIFY_PARTIAL, CLEAR = int(Action.MODIFY_PARTIAL), int(Action.CLEAR)
TRADE, FILL = int(Action.TRADE), int(Action.FILL)
SIDE_BID, SIDE_ASK = int(Side.BID), int(Side.ASK)
F_LAST, F_TOB = int(Flag.LAST), int(Flag.TOB)
F_SNAPSHOT, F_MBP = int(Flag.SNAPSHOT), int(Flag.MBP)
UNDEF_PRICE, UNDEF_SIZE = mbo.UNDEF_PRICE, mbo.UNDEF_ORDER_SIZE
DELTA_WORDS, POSITION_WORDS, CHANGE_WORDS = len(Delta), len(QueuePosition), len(QueueChange)
D_SIDE, D_PRICE, D_SIZE, D_COUNT = (
    int(word) for word in (Delta.SIDE, Delta.PRICE, Delta.SIZE, Delta.COUNT)
)


@inlined
def shown_by(nodes: NDArray[np.int64], node: int) -> int:
    """What an order shows: its size less what fills have taken of it already."""
    left = nodes[at(node * NODE_WORDS + SIZE)] - nodes[at(node * NODE_WORDS + PENDING)]
    return as_word(max(left, 0))


@inlined
def add_to_sums(queues: Queues, node: int, sign: int) -> None:
    """Add what an order shows to its level's sums, or with -1 take it from them."""
    level, size = (
        queues.nodes[at(node * NODE_WORDS + LEVEL)] * QUEUE_LEVEL_WORDS,
        shown_by(queues.nodes, node),
    )
    queues.levels[at(level + L_SIZE)] += sign * size
    queues.levels[at(level + L_ORDERS)] += sign * as_word(size > 0)


@inlined
def link(queues: Queues, node: int) -> None:
    """Put a node at the back of its level (rule 10)."""
    nodes, levels, word = queues.nodes, queues.levels, node * NODE_WORDS
    level = nodes[at(word + LEVEL)] * QUEUE_LEVEL_WORDS
    last = levels[at(level + L_LAST)]
    nodes[at(word + AHEAD)], nodes[at(word + BEHIND)] = last, NOBODY
    if last == NOBODY:
        levels[at(level + L_FIRST)] = node
    else:
        nodes[at(last * NODE_WORDS + BEHIND)] = node
    levels[at(level + L_LAST)] = node
    priority = queues.totals[T_PRIORITY] + 1
    queues.totals[T_PRIORITY] = nodes[at(word + PRIORITY)] = priority


@inlined
def unlink(queues: Queues, node: int) -> None:
    """Take a node out of its level."""
    nodes, levels, word = queues.nodes, queues.levels, node * NODE_WORDS
    level = nodes[at(word + LEVEL)] * QUEUE_LEVEL_WORDS
    ahead, behind = nodes[at(word + AHEAD)], nodes[at(word + BEHIND)]
    if ahead == NOBODY:
        levels[at(level + L_FIRST)] = behind
    else:
        nodes[at(ahead * NODE_WORDS + BEHIND)] = behind
    if behind == NOBODY:
        levels[at(level + L_LAST)] = ahead
    else:
        nodes[at(behind * NODE_WORDS + AHEAD)] = ahead


@inlined
def find_id(ids: NDArray[np.int64], shift: int, order_id: int, book: int) -> int:
    """The order's pair, or ~pair of the free one where it would go."""
    mask, pair = len(ids) // 2 - 1, order_home(order_id, book, shift)
    while True:
        stored = ids[at(2 * pair + 1)]
        if stored == 0:
            return ~pair
        if ids[at(2 * pair)] == order_id and stored >> 32 == book:
            return pair
        pair = (pair + 1) & mask


@outlined
def erase_id(ids: NDArray[np.int64], shift: int, order_id: int, book: int) -> None:
    """Free an order's pair, and shift back the pairs after it that would no longer be found."""
    mask, hole = len(ids) // 2 - 1, find_id(ids, shift, order_id, book)
    pair = hole
    while True:
        pair = (pair + 1) & mask
        stored = ids[at(2 * pair + 1)]
        if stored == 0:
            break
        home = order_home(ids[at(2 * pair)], stored >> 32, shift)
        if ((pair - home) & mask) >= ((pair - hole) & mask):
            ids[at(2 * hole)], ids[at(2 * hole + 1)] = ids[at(2 * pair)], stored
            hole = pair
    ids[at(2 * hole + 1)] = 0


@outlined
def find_queue_level(
    levels: NDArray[np.int64], totals: NDArray[np.int64], price: int, owner: int
) -> int:
    """The place of a level, taken now if it was not there yet."""
    mask = len(levels) // QUEUE_LEVEL_WORDS - 1
    # As `level_home`, masked instead of shifted: the upper bits of the product are the good ones.
    mixed = np.uint64(price) + np.uint64(owner) * MIX_OWNER
    mixed = (mixed ^ mixed >> np.uint64(32)) * MIX_ID
    place = as_word(mixed >> np.uint64(32)) & mask
    while True:
        word = place * QUEUE_LEVEL_WORDS
        stored = levels[at(word + L_OWNER)]
        if stored == 0:
            levels[at(word + L_PRICE)], levels[at(word + L_OWNER)] = price, owner
            totals[T_LEVELS] += 1
            return place
        if stored == owner and levels[at(word + L_PRICE)] == price:
            return place
        place = (place + 1) & mask


@outlined
def sum_ahead(queues: Queues, node: int) -> tuple[int, int]:
    """Orders and size shown ahead of an order at its level.

    It walks to both ends at once, so that it costs twice the way to the nearer one.
    """
    nodes, level = queues.nodes, queues.nodes[node * NODE_WORDS + LEVEL] * QUEUE_LEVEL_WORDS
    own = shown_by(nodes, node)
    ahead_orders, ahead_size = as_word(0), as_word(0)
    other_orders = queues.levels[level + L_ORDERS] - as_word(own > 0)
    other_size = queues.levels[level + L_SIZE] - own
    ahead = behind = as_word(node)
    while True:
        ahead = nodes[at(ahead * NODE_WORDS + AHEAD)]
        if ahead == NOBODY:
            return ahead_orders, ahead_size
        size = shown_by(nodes, ahead)
        ahead_orders += as_word(size > 0)
        ahead_size += size
        behind = nodes[at(behind * NODE_WORDS + BEHIND)]
        if behind == NOBODY:
            return other_orders, other_size
        size = shown_by(nodes, behind)
        other_orders -= as_word(size > 0)
        other_size -= size


@outlined
def write_change(
    queues: Queues, rows: QueueOutputs, i: int, node: int, kind: int, size: int
) -> None:
    """Write that so much size has left an order's place in its queue."""
    n, word = queues.totals[T_CHANGES] * CHANGE_WORDS, node * NODE_WORDS
    rows.changes[n], rows.changes[n + 1], rows.changes[n + 2] = i, queues.nodes[word + BOOK], kind
    rows.changes[n + 3], rows.changes[n + 4] = queues.nodes[word + SIDE], queues.nodes[word + PRICE]
    rows.changes[n + 5], rows.changes[n + 6] = size, queues.nodes[word + PRIORITY]
    queues.totals[T_CHANGES] += 1


@outlined
def write_clear(
    totals: NDArray[np.int64], rows: QueueOutputs, i: int, book: int, side: int
) -> None:
    """Write that a side of a book, or both, was cleared."""
    n = totals[T_CHANGES] * CHANGE_WORDS
    for field in range(CHANGE_WORDS):
        rows.changes[n + field] = 0
    rows.changes[n], rows.changes[n + 1] = i, book
    rows.changes[n + 2], rows.changes[n + 3] = LEFT_CLEARED, side
    totals[T_CHANGES] += 1


@inlined
def add_node(
    queues: Queues,
    rows: QueueOutputs,
    shift: int,
    book: int,
    side: int,
    price: int,
    size: int,
    order_id: int,
    censored: int,
    ts_event: int,
    ts_recv: int,
) -> None:
    """An order's life begins, at the back of its level."""
    nodes, totals = queues.nodes, queues.totals
    node = totals[T_FREE]
    if node == NOBODY:
        node = totals[T_FRESH]
        totals[T_FRESH] += 1
    else:
        totals[T_FREE] = nodes[node * NODE_WORDS + BEHIND]
    word = node * NODE_WORDS
    for field in range(NODE_WORDS):
        nodes[at(word + field)] = 0
    place = find_queue_level(queues.levels, totals, price, (book << 1 | side) + 1)
    nodes[word + BOOK], nodes[word + ORDER_ID], nodes[word + SIDE] = book, order_id, side
    nodes[word + PRICE] = nodes[word + FIRST_PRICE] = price
    nodes[word + SIZE] = nodes[word + FIRST_SIZE] = nodes[word + ADDED] = size
    nodes[word + LEVEL] = place
    nodes[word + TS_EVENT], nodes[word + TS_RECV] = ts_event, ts_recv
    nodes[word + AHEAD_ORDERS] = queues.levels[place * QUEUE_LEVEL_WORDS + L_ORDERS]
    nodes[word + AHEAD_SIZE] = queues.levels[place * QUEUE_LEVEL_WORDS + L_SIZE]
    nodes[word + FILL_TS_EVENT] = nodes[word + FILL_AHEAD_ORDERS] = -1
    nodes[word + FILL_AHEAD_SIZE] = -1
    nodes[word + LEFT_CENSORED] = censored
    totals[T_BORN] += 1
    totals[T_LIVE] += 1
    nodes[word + BORN] = totals[T_BORN]
    link(queues, node)
    add_to_sums(queues, node, as_word(1))
    pair = ~find_id(queues.ids, shift, order_id, book)
    queues.ids[2 * pair], queues.ids[2 * pair + 1] = order_id, book << 32 | node
    if len(rows.positions) > 0 and order_id == rows.watched_id:
        queues.books[book * QUEUE_BOOK_WORDS + B_WATCHED] = node


@outlined
def end_life(
    queues: Queues, rows: QueueOutputs, shift: int, node: int, end: int, ts_event: int, ts_recv: int
) -> None:
    """An order's life ends: its row is written and its node freed. Its level still counts it."""
    nodes, totals, word = queues.nodes, queues.totals, node * NODE_WORDS
    book = nodes[word + BOOK]
    add_to_sums(queues, node, as_word(-1))
    unlink(queues, node)
    erase_id(queues.ids, shift, nodes[word + ORDER_ID], book)
    # Filled for more than it ever showed: that size was added too, but hidden.
    nodes[word + ADDED] += max(nodes[word + PENDING] - nodes[word + SIZE], 0)
    nodes[word + SIZE] = shown_by(nodes, node)
    nodes[word + END] = end
    nodes[word + END_TS_EVENT], nodes[word + END_TS_RECV] = ts_event, ts_recv
    if len(rows.lives) > 0:
        to = totals[T_LIVES] * NODE_WORDS
        for field in range(NODE_WORDS):
            rows.lives[at(to + field)] = nodes[at(word + field)]
        totals[T_LIVES] += 1
    if queues.books[book * QUEUE_BOOK_WORDS + B_WATCHED] == node:
        queues.books[book * QUEUE_BOOK_WORDS + B_WATCHED] = NOBODY
        queues.books[book * QUEUE_BOOK_WORDS + B_ENDED] = 1
        queues.books[book * QUEUE_BOOK_WORDS + B_SIDE] = nodes[word + SIDE]
        queues.books[book * QUEUE_BOOK_WORDS + B_POSITION] = nodes[word + PRICE]
    nodes[word + BEHIND] = totals[T_FREE]
    # Whoever reads the live nodes finds them by this word.
    nodes[word + BORN] = 0
    totals[T_FREE] = node
    totals[T_LIVE] -= 1


@outlined
def end_level(
    queues: Queues,
    rows: QueueOutputs,
    shift: int,
    price: int,
    owner: int,
    ts_event: int,
    ts_recv: int,
) -> None:
    """A level is cleared: the lives of all its orders end."""
    word = find_queue_level(queues.levels, queues.totals, price, owner) * QUEUE_LEVEL_WORDS
    while queues.levels[word + L_FIRST] != NOBODY:
        node = queues.levels[word + L_FIRST]
        end_life(queues, rows, shift, node, as_word(END_CLEARED), ts_event, ts_recv)


@inlined
def fill_order(
    queues: Queues, rows: QueueOutputs, i: int, node: int, size: int, ts_event: int, aggressor: bool
) -> None:
    """An F: so much of an order is taken; the record that removes it is still to come (rule 6)."""
    nodes, word = queues.nodes, node * NODE_WORDS
    if nodes[word + FILL_AHEAD_ORDERS] < 0:
        nodes[word + FILL_TS_EVENT] = ts_event
        orders_ahead, size_ahead = sum_ahead(queues, node)
        nodes[word + FILL_AHEAD_ORDERS], nodes[word + FILL_AHEAD_SIZE] = orders_ahead, size_ahead
    add_to_sums(queues, node, as_word(-1))
    if len(rows.changes) > 0:
        kind = as_word(LEFT_TRADED if aggressor else LEFT_FILLED)
        shown = shown_by(nodes, node)
        write_change(queues, rows, i, node, kind, min(size, shown))
        if size > shown:
            write_change(queues, rows, i, node, kind, size - shown)
            rows.changes[queues.totals[T_CHANGES] * CHANGE_WORDS - 1] = BEHIND_ALL
    nodes[word + FILLED] += size
    nodes[word + PENDING] += size
    add_to_sums(queues, node, as_word(1))


@inlined
def cancel_order(
    queues: Queues,
    rows: QueueOutputs,
    shift: int,
    i: int,
    node: int,
    taken: int,
    leaves: bool,
    ts_event: int,
    ts_recv: int,
) -> None:
    """A C: what fills have taken already is removed first; only the rest is cancelled."""
    nodes, word = queues.nodes, node * NODE_WORDS
    shown, filled = shown_by(nodes, node), min(nodes[word + PENDING], taken)
    add_to_sums(queues, node, as_word(-1))
    nodes[word + SIZE] -= taken
    nodes[word + PENDING] -= filled
    nodes[word + CANCELLED] += taken - filled
    add_to_sums(queues, node, as_word(1))
    lost = shown - shown_by(nodes, node)
    if len(rows.changes) > 0 and lost != 0:
        write_change(queues, rows, i, node, as_word(LEFT_REMOVED), lost)
    if leaves:
        end = as_word(END_FILLED if filled == taken else END_CANCELLED)
        end_life(queues, rows, shift, node, end, ts_event, ts_recv)


@inlined
def modify_order(
    queues: Queues,
    rows: QueueOutputs,
    shift: int,
    i: int,
    node: int,
    price: int,
    size: int,
    ts_event: int,
    ts_recv: int,
) -> None:
    """An M: the size it gives is what is left after the fills before it; 0: the order leaves."""
    nodes, word = queues.nodes, node * NODE_WORDS
    old, pending, shown = nodes[word + SIZE], nodes[word + PENDING], shown_by(nodes, node)
    moves = size > 0 and (price != nodes[word + PRICE] or size > old)
    add_to_sums(queues, node, as_word(-1))
    lost = shown if moves else shown - size
    if len(rows.changes) > 0 and lost != 0:
        write_change(queues, rows, i, node, as_word(LEFT_REMOVED), lost)
    nodes[word + ADDED] += max(pending - old, 0) + max(size - shown, 0)
    nodes[word + CANCELLED] += max(shown - size, 0)
    nodes[word + SIZE], nodes[word + PENDING] = size, 0
    nodes[word + MODIFIES] += 1
    if moves:  # rule 10
        unlink(queues, node)
        if price != nodes[word + PRICE]:
            nodes[word + PRICE] = price
            owner = (nodes[word + BOOK] << 1 | nodes[word + SIDE]) + 1
            nodes[word + LEVEL] = find_queue_level(queues.levels, queues.totals, price, owner)
        link(queues, node)
        nodes[word + REQUEUES] += 1
    add_to_sums(queues, node, as_word(1))
    if size == 0:
        end = as_word(END_FILLED if shown == 0 else END_CANCELLED)
        end_life(queues, rows, shift, node, end, ts_event, ts_recv)


@outlined
def write_position(queues: Queues, rows: QueueOutputs, book: int) -> None:
    """An event of the book has ended: write where its watched order stands, if that is new."""
    books, row = queues.books, book * QUEUE_BOOK_WORDS
    node, ended = books[row + B_WATCHED], books[row + B_ENDED]
    books[row + B_ENDED] = 0
    if node == NOBODY and ended == 0:
        return
    n = queues.totals[T_POSITIONS] * POSITION_WORDS
    to = rows.positions
    for field in range(POSITION_WORDS):
        to[at(n + field)] = 0
    to[n], to[n + 1], to[n + 2] = book, books[row + B_TS_EVENT], books[row + B_TS_RECV]
    to[n + 3] = books[row + B_SEQUENCE]
    if node == NOBODY:
        to[n + 4], to[n + 5] = books[row + B_SIDE], books[row + B_POSITION]
        for field in range(7, POSITION_WORDS):
            to[n + field] = -1
    else:
        word = node * NODE_WORDS
        level, own = queues.nodes[word + LEVEL] * QUEUE_LEVEL_WORDS, shown_by(queues.nodes, node)
        orders_ahead, size_ahead = sum_ahead(queues, node)
        to[n + 4], to[n + 5] = queues.nodes[word + SIDE], queues.nodes[word + PRICE]
        to[n + 6], to[n + 7], to[n + 8] = own, orders_ahead, size_ahead
        to[n + 9] = queues.levels[level + L_ORDERS] - as_word(own > 0) - orders_ahead
        to[n + 10] = queues.levels[level + L_SIZE] - own - size_ahead
    differs = ended != 0
    books[row + B_SIDE] = to[n + 4]
    for field in range(POSITION_WORDS - 5):
        differs |= books[row + B_POSITION + field] != to[n + 5 + field]
        books[row + B_POSITION + field] = to[n + 5 + field]
    queues.totals[T_POSITIONS] += as_word(differs)


@kernel
def start_queues_day(queues: Queues, rows: QueueOutputs, book_count: int) -> None:
    """Rule 21: an open snapshot ends, and with it an event; there is room for its position."""
    for book in range(book_count):
        if queues.books[book * QUEUE_BOOK_WORDS + B_SNAPSHOT_OPEN] != 0:
            queues.books[book * QUEUE_BOOK_WORDS + B_SNAPSHOT_OPEN] = 0
            if len(rows.positions) > 0:
                write_position(queues, rows, book)


@inlined
def read_flags(
    queues: Queues, rows: QueueOutputs, book: int, action: int, flags: int
) -> tuple[int, bool]:
    """What a record clears, and whether it may change an order (rules 11 to 15)."""
    books, row = queues.books, book * QUEUE_BOOK_WORDS
    is_open = books[at(row + B_SNAPSHOT_OPEN)]
    adds = action == ADD or action == MODIFY or action == MODIFY_PARTIAL
    opens = False
    if is_open != 0 and flags & F_SNAPSHOT == 0:  # rule 14: which ends an event too
        books[at(row + B_SNAPSHOT_OPEN)] = 0
        if len(rows.positions) > 0:
            write_position(queues, rows, book)
    elif flags & F_SNAPSHOT:
        opens = is_open == 0 and (action == ADD or action == CLEAR)
        stays_open = (is_open != 0 or opens) and flags & F_LAST == 0
        books[at(row + B_SNAPSHOT_OPEN)] = as_word(stays_open)
    clears = NOTHING
    if action == CLEAR or opens:
        clears = ALL
    elif adds and flags & (F_TOB | F_MBP) == F_TOB:
        clears = ONE_SIDE
    return clears, flags & (F_TOB | F_MBP) == 0


@inlined
def changes_nothing(
    events: QueueEvents, i: int, nodes: NDArray[np.int64], node: int, action: int
) -> bool:
    """Whether an A or M gives a live order what it has; if not, one without deltas is at fault."""
    word, price, size = node * NODE_WORDS, events.price[at(i)], as_word(events.size[at(i)])
    side_code = as_word(events.side[at(i)])
    partial = action == MODIFY_PARTIAL
    same_price = price == nodes[at(word + PRICE)] or (partial and price == UNDEF_PRICE)
    same_size = size == nodes[at(word + SIZE)] or (partial and size == UNDEF_SIZE)
    return same_price and same_size and (partial or side_code == SIDE_BID or side_code == SIDE_ASK)


@kernel
def fold_queues(events: QueueEvents, queues: Queues, rows: QueueOutputs) -> None:
    """Apply a batch, which the fold has answered with deltas, to the queues.

    There must be room for a birth in each record, and for the rows: of lives as many as live and
    are born, of positions two a record, of changes three a record.
    """
    nodes, ids, books, totals = queues.nodes, queues.ids, queues.books, queues.totals
    deltas, delta, delta_end = events.deltas, as_word(0), len(events.deltas)
    shift, pairs = as_word(64), len(ids) // 2
    while pairs > 1:
        pairs >>= 1
        shift -= 1
    index_mask = len(events.book_index) // 2 - 1
    last_key, book = as_word(-1), as_word(0)
    for i in range(len(events.action)):
        key = as_word(events.publisher_id[at(i)]) << 32 | as_word(events.instrument_id[at(i)])
        if key != last_key:
            last_key = key
            place = find_book(events.book_index, index_mask, key)
            book = events.book_index[at(2 * place + 1)] - 1
        row = book * QUEUE_BOOK_WORDS
        action, flags = as_word(events.action[at(i)]), as_word(events.flags[at(i)])
        ts_event, ts_recv = events.ts_event[at(i)], events.ts_recv[at(i)]
        order_id, size = as_word(events.order_id[at(i)]), as_word(events.size[at(i)])
        clears, of_order = read_flags(queues, rows, book, action, flags)
        if clears != NOTHING and len(rows.changes) > 0:
            changed = delta < delta_end and deltas[at(delta)] == i
            if clears == ALL or changed:  # a top-of-book record may be at fault
                side = as_word(BOTH_SIDES if clears == ALL else events.side[at(i)] == SIDE_ASK)
                write_clear(totals, rows, i, book, side)
        # The record's deltas: those of levels that it clears, and at the end its order's own.
        while clears != NOTHING and delta < delta_end and deltas[at(delta)] == i:
            if deltas[at(delta + D_SIZE)] > 0:
                break
            if deltas[at(delta + D_COUNT)] < 0:  # a top-of-book level has no orders
                owner = (book << 1 | deltas[at(delta + D_SIDE)]) + 1
                end_level(
                    queues, rows, shift, deltas[at(delta + D_PRICE)], owner, ts_event, ts_recv
                )
            delta += DELTA_WORDS
        own = delta
        while delta < delta_end and deltas[at(delta)] == i:
            delta += DELTA_WORDS

        if action == TRADE:
            books[at(row + B_AGGRESSOR)] = order_id
        if of_order and (
            action == CANCEL
            or action == FILL
            or action == ADD
            or action == MODIFY
            or action == MODIFY_PARTIAL
        ):
            pair = find_id(ids, shift, order_id, book)
            node = as_word(NOBODY) if pair < 0 else ids[at(2 * pair + 1)] & 0xFFFFFFFF
            if action == FILL:
                if node != NOBODY and 0 < size < UNDEF_SIZE:
                    aggressor = order_id != 0 and order_id == books[at(row + B_AGGRESSOR)]
                    fill_order(queues, rows, i, node, size, ts_event, aggressor)
            elif action == CANCEL:
                if own < delta:
                    taken, leaves = -deltas[at(own + D_SIZE)], deltas[at(own + D_COUNT)] < 0
                    cancel_order(queues, rows, shift, i, node, taken, leaves, ts_event, ts_recv)
            elif own < delta or (
                node != NOBODY and changes_nothing(events, i, nodes, node, action)
            ):
                # What the order comes to: its level's last delta, and what it had before that.
                side, price = (
                    nodes[at(node * NODE_WORDS + SIDE)],
                    nodes[at(node * NODE_WORDS + PRICE)],
                )
                size = nodes[at(node * NODE_WORDS + SIZE)]
                if own < delta:
                    to = delta - DELTA_WORDS
                    side, price = deltas[at(to + D_SIDE)], deltas[at(to + D_PRICE)]
                    stays = deltas[at(to + D_COUNT)] <= 0
                    size = (size if stays else 0) + deltas[at(to + D_SIZE)]
                if action != ADD and node != NOBODY:
                    modify_order(queues, rows, shift, i, node, price, size, ts_event, ts_recv)
                else:
                    if node != NOBODY:
                        if len(rows.changes) > 0:
                            left = shown_by(nodes, node)
                            write_change(queues, rows, i, node, as_word(LEFT_REMOVED), left)
                        end_life(
                            queues, rows, shift, node, as_word(END_REPLACED), ts_event, ts_recv
                        )
                    censored = as_word(action != ADD or flags & F_SNAPSHOT != 0)
                    add_node(
                        queues, rows, shift, book, side, price, size, order_id, censored,
                        ts_event, ts_recv,
                    )  # fmt: skip
        if len(rows.positions) > 0:
            books[at(row + B_TS_EVENT)], books[at(row + B_TS_RECV)] = ts_event, ts_recv
            books[at(row + B_SEQUENCE)] = as_word(events.sequence[at(i)])
            if flags & F_LAST:
                write_position(queues, rows, book)


@kernel
def rebuild_ids(nodes: NDArray[np.int64], fresh: int, ids: NDArray[np.int64]) -> None:
    """Fill an empty table with the live nodes."""
    shift, pairs = as_word(64), len(ids) // 2
    while pairs > 1:
        pairs >>= 1
        shift -= 1
    for node in range(1, fresh):
        word = node * NODE_WORDS
        if nodes[word + BORN] > 0:
            order_id, book = nodes[word + ORDER_ID], nodes[word + BOOK]
            pair = ~find_id(ids, shift, order_id, book)
            ids[2 * pair], ids[2 * pair + 1] = order_id, book << 32 | node


@kernel
def rebuild_queue_levels(
    old: NDArray[np.int64],
    new: NDArray[np.int64],
    totals: NDArray[np.int64],
    nodes: NDArray[np.int64],
) -> None:
    """Copy the levels that have orders to a new table, and tell these orders where they are."""
    totals[T_LEVELS] = 0
    for word in range(0, len(old), QUEUE_LEVEL_WORDS):
        node = old[word + L_FIRST]
        if node == NOBODY:
            continue
        place = find_queue_level(new, totals, old[word + L_PRICE], old[word + L_OWNER])
        for field in range(QUEUE_LEVEL_WORDS):
            new[place * QUEUE_LEVEL_WORDS + field] = old[word + field]
        while node != NOBODY:
            nodes[node * NODE_WORDS + LEVEL] = place
            node = nodes[node * NODE_WORDS + BEHIND]
