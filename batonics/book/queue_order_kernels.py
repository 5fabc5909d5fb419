"""What records do to single orders and to their places in the queues of levels.

The rule here: a level's sums are what its orders show. Whatever changes what an order shows takes
it from the sums before, and adds it to them after.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.queue_list_kernels import (
    add_to_sums,
    display_size_of,
    erase_id,
    find_id,
    find_queue_level,
    link,
    sum_ahead,
    unlink,
)
from batonics.book.queue_state import (
    BEHIND_ALL,
    CHANGE_BOOK,
    CHANGE_KIND,
    CHANGE_PRICE,
    CHANGE_PRIORITY,
    CHANGE_ROW,
    CHANGE_SIDE,
    CHANGE_SIZE,
    CHANGE_WORDS,
    END_CANCELLED,
    END_CLEARED,
    END_FILLED,
    KIND_CLEARED,
    KIND_FILLED,
    KIND_REMOVED,
    KIND_TRADED,
    LIFE_ADDED,
    LIFE_END,
    LIFE_END_TS_EVENT,
    LIFE_END_TS_RECV,
    LIFE_SIZE,
    N_ADDED,
    N_AHEAD_ORDERS,
    N_AHEAD_SIZE,
    N_BEHIND,
    N_BOOK,
    N_CANCELLED,
    N_FILL_AHEAD_ORDERS,
    N_FILL_AHEAD_SIZE,
    N_FILL_TS_EVENT,
    N_FILLED,
    N_FIRST_PRICE,
    N_FIRST_SIZE,
    N_LEFT_CENSORED,
    N_LEVEL,
    N_MODIFIES,
    N_ORDER_ID,
    N_PENDING,
    N_PRICE,
    N_PRIORITY,
    N_REQUEUES,
    N_SERIAL,
    N_SIDE,
    N_SIZE,
    N_TS_EVENT,
    N_TS_RECV,
    NO_LEVEL,
    NO_NODE,
    NODE_WORDS,
    QB_ENDED,
    QB_FILL_PRICE,
    QB_FILL_PRIORITY,
    QB_FILL_SIDE,
    QB_FILLS_COMPARED,
    QB_FILLS_OUT_OF_ORDER,
    QB_PRICE,
    QB_SIDE,
    QB_WATCHED,
    QL_FIRST,
    QL_ORDERS,
    QL_SIZE,
    QT_CHANGES,
    QT_FREE,
    QT_FRESH,
    QT_LIVE,
    QT_LIVES,
    QT_SERIAL,
    QUEUE_BOOK_WORDS,
    QUEUE_LEVEL_WORDS,
    QueueOutputs,
    Queues,
)
from batonics.hash_kernels import read_salt
from batonics.native import as_word, at, inlined, outlined


class QueueRecord(NamedTuple):
    """A record of the batch."""

    row: int
    book: int
    action: int
    flags: int
    order_id: int
    size: int
    ts_event: int
    ts_recv: int


@outlined
def write_change(
    queues: Queues, out: QueueOutputs, row: int, node: int, kind: int, size: int
) -> None:
    """Write that size has left an order's place in its queue."""
    n, word = queues.totals[QT_CHANGES] * CHANGE_WORDS, node * NODE_WORDS
    nodes, to = queues.nodes, out.changes
    to[n + CHANGE_ROW], to[n + CHANGE_BOOK], to[n + CHANGE_KIND] = row, nodes[word + N_BOOK], kind
    to[n + CHANGE_SIDE], to[n + CHANGE_PRICE] = nodes[word + N_SIDE], nodes[word + N_PRICE]
    to[n + CHANGE_SIZE], to[n + CHANGE_PRIORITY] = size, nodes[word + N_PRIORITY]
    queues.totals[QT_CHANGES] += 1


@outlined
def write_clear(
    totals: NDArray[np.int64], out: QueueOutputs, row: int, book: int, side: int
) -> None:
    """Write that a side of a book, or BOTH_SIDES, was cleared."""
    n, to = totals[QT_CHANGES] * CHANGE_WORDS, out.changes
    for word in range(CHANGE_WORDS):
        to[n + word] = 0
    to[n + CHANGE_ROW], to[n + CHANGE_BOOK] = row, book
    to[n + CHANGE_KIND], to[n + CHANGE_SIDE] = KIND_CLEARED, side
    totals[QT_CHANGES] += 1


@inlined
def add_node(
    queues: Queues,
    out: QueueOutputs,
    id_shift: int,
    record: QueueRecord,
    side: int,
    price: int,
    size: int,
    censored: int,
) -> None:
    """Begin the life of a record's order, at the back of its level."""
    nodes, totals, book = queues.nodes, queues.totals, record.book
    node = totals[QT_FREE]
    if node == NO_NODE:
        node = totals[QT_FRESH]
        totals[QT_FRESH] += 1
    else:
        totals[QT_FREE] = nodes[node * NODE_WORDS + N_BEHIND]
    word = node * NODE_WORDS
    for field in range(NODE_WORDS):
        nodes[at(word + field)] = 0
    slot = find_queue_level(
        queues.levels, totals, read_salt(queues.salt), price, (book << 1 | side) + 1
    )
    nodes[word + N_BOOK], nodes[word + N_ORDER_ID] = book, record.order_id
    nodes[word + N_SIDE], nodes[word + N_LEVEL] = side, slot
    nodes[word + N_PRICE] = nodes[word + N_FIRST_PRICE] = price
    nodes[word + N_SIZE] = nodes[word + N_FIRST_SIZE] = nodes[word + N_ADDED] = size
    nodes[word + N_TS_EVENT], nodes[word + N_TS_RECV] = record.ts_event, record.ts_recv
    nodes[word + N_AHEAD_ORDERS] = queues.levels[slot * QUEUE_LEVEL_WORDS + QL_ORDERS]
    nodes[word + N_AHEAD_SIZE] = queues.levels[slot * QUEUE_LEVEL_WORDS + QL_SIZE]
    nodes[word + N_FILL_TS_EVENT] = nodes[word + N_FILL_AHEAD_ORDERS] = -1
    nodes[word + N_FILL_AHEAD_SIZE] = -1
    nodes[word + N_LEFT_CENSORED] = censored
    totals[QT_SERIAL] += 1
    totals[QT_LIVE] += 1
    nodes[word + N_SERIAL] = totals[QT_SERIAL]
    link(queues, node)
    add_to_sums(queues, node, as_word(1))
    pair = ~find_id(queues.ids, id_shift, read_salt(queues.salt), record.order_id, book)
    queues.ids[2 * pair], queues.ids[2 * pair + 1] = record.order_id, book << 32 | node
    if len(out.positions) > 0 and record.order_id == out.watched_id:
        queues.books[book * QUEUE_BOOK_WORDS + QB_WATCHED] = node


@outlined
def end_life(
    queues: Queues,
    out: QueueOutputs,
    id_shift: int,
    node: int,
    end: int,
    ts_event: int,
    ts_recv: int,
) -> None:
    """End the life of an order by a record: leave the level, write the row, free the node.

    The times are those of the record.
    """
    nodes, totals, word = queues.nodes, queues.totals, node * NODE_WORDS
    book = nodes[word + N_BOOK]
    if nodes[word + N_LEVEL] != NO_LEVEL:
        add_to_sums(queues, node, as_word(-1))
        unlink(queues, node)
    erase_id(queues.ids, id_shift, read_salt(queues.salt), nodes[word + N_ORDER_ID], book)
    if len(out.lives) > 0:
        to = totals[QT_LIVES] * NODE_WORDS
        for field in range(NODE_WORDS):
            out.lives[at(to + field)] = nodes[at(word + field)]
        # What was filled beyond what it ever showed was added too, but hidden.
        hidden = max(nodes[word + N_PENDING] - nodes[word + N_SIZE], 0)
        out.lives[to + LIFE_ADDED] += hidden
        out.lives[to + LIFE_SIZE] = display_size_of(nodes, node)
        out.lives[to + LIFE_END] = end
        out.lives[to + LIFE_END_TS_EVENT] = ts_event
        out.lives[to + LIFE_END_TS_RECV] = ts_recv
        totals[QT_LIVES] += 1
    base = book * QUEUE_BOOK_WORDS
    if queues.books[base + QB_WATCHED] == node:
        queues.books[base + QB_WATCHED] = NO_NODE
        queues.books[base + QB_ENDED] = 1
        queues.books[base + QB_SIDE] = nodes[word + N_SIDE]
        queues.books[base + QB_PRICE] = nodes[word + N_PRICE]
    nodes[word + N_BEHIND] = totals[QT_FREE]
    nodes[word + N_SERIAL] = 0
    totals[QT_FREE] = node
    totals[QT_LIVE] -= 1


@outlined
def end_level(
    queues: Queues, out: QueueOutputs, id_shift: int, price: int, owner: int, record: QueueRecord
) -> None:
    """End the lives of all orders of a level that a record clears."""
    word = (
        find_queue_level(queues.levels, queues.totals, read_salt(queues.salt), price, owner)
        * QUEUE_LEVEL_WORDS
    )
    while queues.levels[word + QL_FIRST] != NO_NODE:
        node = queues.levels[word + QL_FIRST]
        end_life(queues, out, id_shift, node, as_word(END_CLEARED), record.ts_event, record.ts_recv)


@inlined
def fill_order(
    queues: Queues, out: QueueOutputs, record: QueueRecord, node: int, is_aggressor: bool
) -> None:
    """F: size of an order is taken; the record that removes it is still to come (rule 6)."""
    nodes, word, size = queues.nodes, node * NODE_WORDS, record.size
    if nodes[word + N_FILL_AHEAD_ORDERS] < 0:
        nodes[word + N_FILL_TS_EVENT] = record.ts_event
        ahead_orders, ahead_size = sum_ahead(queues, node)
        nodes[word + N_FILL_AHEAD_ORDERS] = ahead_orders
        nodes[word + N_FILL_AHEAD_SIZE] = ahead_size
    add_to_sums(queues, node, as_word(-1))
    if len(out.changes) > 0:
        kind = as_word(KIND_TRADED if is_aggressor else KIND_FILLED)
        display_size = display_size_of(nodes, node)
        write_change(queues, out, record.row, node, kind, min(size, display_size))
        if size > display_size:
            n = queues.totals[QT_CHANGES] * CHANGE_WORDS
            write_change(queues, out, record.row, node, kind, size - display_size)
            out.changes[n + CHANGE_PRIORITY] = BEHIND_ALL
    nodes[word + N_FILLED] += size
    nodes[word + N_PENDING] += size
    add_to_sums(queues, node, as_word(1))
    if not is_aggressor:
        compare_fills(queues.books, nodes, record.book * QUEUE_BOOK_WORDS, word)


@inlined
def compare_fills(books: NDArray[np.int64], nodes: NDArray[np.int64], base: int, word: int) -> None:
    """Count whether a fill keeps to its queue, against the fill before it in the same trade."""
    side, price = nodes[at(word + N_SIDE)], nodes[at(word + N_PRICE)]
    priority, before = nodes[at(word + N_PRIORITY)], books[at(base + QB_FILL_PRIORITY)]
    is_same_level = (
        side == books[at(base + QB_FILL_SIDE)] and price == books[at(base + QB_FILL_PRICE)]
    )
    if before != 0 and before != priority and is_same_level:
        books[at(base + QB_FILLS_COMPARED)] += 1
        books[at(base + QB_FILLS_OUT_OF_ORDER)] += as_word(priority < before)
    books[at(base + QB_FILL_SIDE)], books[at(base + QB_FILL_PRICE)] = side, price
    books[at(base + QB_FILL_PRIORITY)] = priority


@inlined
def cancel_order(
    queues: Queues,
    out: QueueOutputs,
    id_shift: int,
    record: QueueRecord,
    node: int,
    taken: int,
    leaves: bool,
) -> None:
    """C: size that fills have taken is removed first; only the rest is cancelled."""
    nodes, word = queues.nodes, node * NODE_WORDS
    display_size, filled = display_size_of(nodes, node), min(nodes[word + N_PENDING], taken)
    add_to_sums(queues, node, as_word(-1))
    nodes[word + N_SIZE] -= taken
    nodes[word + N_PENDING] -= filled
    nodes[word + N_CANCELLED] += taken - filled
    add_to_sums(queues, node, as_word(1))
    lost = display_size - display_size_of(nodes, node)
    if len(out.changes) > 0 and lost != 0:
        write_change(queues, out, record.row, node, as_word(KIND_REMOVED), lost)
    if leaves:
        end = as_word(END_FILLED if filled == taken else END_CANCELLED)
        end_life(queues, out, id_shift, node, end, record.ts_event, record.ts_recv)


@inlined
def modify_order(
    queues: Queues,
    out: QueueOutputs,
    id_shift: int,
    record: QueueRecord,
    node: int,
    price: int,
    size: int,
) -> None:
    """M: its size is what is left after the fills before it; at size 0 the order leaves.

    A size above what the fills left is a refill (of an iceberg): it goes to the back (rule 10),
    even where the size in the book is that of before.
    """
    nodes, word = queues.nodes, node * NODE_WORDS
    old, pending, display_size = (
        nodes[word + N_SIZE],
        nodes[word + N_PENDING],
        display_size_of(nodes, node),
    )
    moves = size > 0 and (price != nodes[word + N_PRICE] or size > display_size)
    add_to_sums(queues, node, as_word(-1))
    lost = display_size if moves else display_size - size
    if len(out.changes) > 0 and lost != 0:
        write_change(queues, out, record.row, node, as_word(KIND_REMOVED), lost)
    nodes[word + N_ADDED] += max(pending - old, 0) + max(size - display_size, 0)
    nodes[word + N_CANCELLED] += max(display_size - size, 0)
    nodes[word + N_SIZE], nodes[word + N_PENDING] = size, 0
    nodes[word + N_MODIFIES] += 1
    if moves:  # rule 10
        unlink(queues, node)
        if price != nodes[word + N_PRICE]:
            nodes[word + N_PRICE] = price
            owner = (nodes[word + N_BOOK] << 1 | nodes[word + N_SIDE]) + 1
            nodes[word + N_LEVEL] = find_queue_level(
                queues.levels, queues.totals, read_salt(queues.salt), price, owner
            )
        link(queues, node)
        nodes[word + N_REQUEUES] += 1
    add_to_sums(queues, node, as_word(1))
    if size == 0:
        end = as_word(END_FILLED if display_size == 0 else END_CANCELLED)
        end_life(queues, out, id_shift, node, end, record.ts_event, record.ts_recv)
