"""The queues of levels, order by order: each order's life, its position, and what left ahead of it.

The rule here: what records do to a book is decided by the fold alone. The queues read its answer,
the record's *level deltas*. A record without deltas did nothing, unless it leaves the sums of its
level alone, such as a modify to the same price and size.

| record              | deltas                 | what happened to the order                        |
|---------------------|------------------------|---------------------------------------------------|
| C                   | (-taken, 0 or -1)      | it shrank, or left                                |
| M                   | (-old, -1)             | it left (rule 9)                                  |
| M                   | (-old, -1), (new, 1)   | it went to the back of another level              |
| M                   | (change, 0), or none   | it shrank in its place, or grew and went back;    |
|                     |                        | an M that undoes its fills is a refill: it grew   |
| A, M                | (new, 1)               | it was added; the fold did not know an M's order  |
| A                   | those of M             | it replaced another order of its id (rule 7)      |
| R, F_TOB            | (-size, -count) each   | all orders of these levels ended (rules 11, 13)   |
| R, A of a snapshot  | (-size, -count) each   | all are held until the snapshot ends (rule 14)    |

A clear names its levels, so no other book is visited. The host makes room before each call
(`queues.py`): a record adds one order at most. `queue_state.py` describes nodes and levels,
`queue_list_kernels.py` links them, `queue_order_kernels.py` changes orders, and
`queue_snapshot_kernels.py` holds them over a snapshot.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.book.queue_list_kernels import (
    display_size_of,
    find_id,
    find_queue_level,
    id_shift_of,
)
from batonics.book.queue_order_kernels import (
    QueueRecord,
    add_node,
    cancel_order,
    end_level,
    end_life,
    fill_order,
    modify_order,
    write_change,
    write_clear,
)
from batonics.book.queue_position_kernels import write_position
from batonics.book.queue_snapshot_kernels import (
    end_held,
    end_snapshot_lives,
    hold_level,
    restate_order,
)
from batonics.book.queue_state import (
    BOTH_SIDES,
    END_REPLACED,
    KIND_APPEARED,
    KIND_REMOVED,
    N_BEHIND,
    N_BOOK,
    N_LEVEL,
    N_ORDER_ID,
    N_PRICE,
    N_SERIAL,
    N_SIDE,
    N_SIZE,
    NO_LEVEL,
    NO_NODE,
    NODE_WORDS,
    QB_AGGRESSOR,
    QB_FILL_PRIORITY,
    QB_SEQUENCE,
    QB_SNAPSHOT_OPEN,
    QB_SNAPSHOT_ORDERS,
    QB_TS_EVENT,
    QB_TS_RECV,
    QL_FIRST,
    QL_OWNER,
    QL_PRICE,
    QT_LEVELS,
    QUEUE_BOOK_WORDS,
    QUEUE_LEVEL_WORDS,
    QueueEvents,
    QueueOutputs,
    Queues,
)
from batonics.book.rule_kernels import (
    CLEARS_BOOK,
    ENDS_SNAPSHOT,
    KEEPS_SNAPSHOT_OPEN,
    NAMES_NO_ORDER,
    REPLACES_SIDE,
    is_add_or_modify,
    read_effects,
)
from batonics.book.state import DELTA_COUNT, DELTA_PRICE, DELTA_SIDE, DELTA_SIZE, DELTA_WORDS
from batonics.book.table_kernels import find_book
from batonics.hash_kernels import read_salt
from batonics.model.mbo import (
    ACTION_ADD,
    ACTION_CANCEL,
    ACTION_FILL,
    ACTION_MODIFY_PARTIAL,
    ACTION_TRADE,
    F_LAST,
    F_SNAPSHOT,
    SIDE_ASK,
    SIDE_BID,
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
)
from batonics.native import as_word, at, inlined, kernel


@kernel
def start_queues_day(queues: Queues, out: QueueOutputs, book_count: int) -> None:
    """End open snapshots, and with each an event (rule 21); there is room for the rows."""
    id_shift = id_shift_of(queues.ids)
    for book in range(book_count):
        if queues.books[book * QUEUE_BOOK_WORDS + QB_SNAPSHOT_OPEN] != 0:
            queues.books[book * QUEUE_BOOK_WORDS + QB_SNAPSHOT_OPEN] = 0
            end_snapshot_lives(queues, out, id_shift, as_word(0), as_word(book))
            if len(out.positions) > 0:
                write_position(queues, out, book)


@kernel
def end_open_snapshots(queues: Queues, out: QueueOutputs, book_count: int) -> None:
    """End the lives of orders that open snapshots have not said again; there is room for rows.

    For a reader who knows that no further record belongs to these snapshots.
    """
    id_shift = id_shift_of(queues.ids)
    for book in range(book_count):
        end_snapshot_lives(queues, out, id_shift, as_word(0), as_word(book))


@inlined
def apply_snapshot(
    queues: Queues, out: QueueOutputs, id_shift: int, record: QueueRecord, effects: int
) -> None:
    """Open or end the snapshot of a book as a record's effects say (rule 14)."""
    book = record.book
    queues.books[at(book * QUEUE_BOOK_WORDS + QB_SNAPSHOT_OPEN)] = as_word(
        effects & KEEPS_SNAPSHOT_OPEN != 0
    )
    if effects & ENDS_SNAPSHOT:
        end_snapshot_lives(queues, out, id_shift, record.row, book)
        if len(out.positions) > 0:
            write_position(queues, out, book)


@inlined
def apply_clear(
    events: QueueEvents,
    queues: Queues,
    out: QueueOutputs,
    id_shift: int,
    record: QueueRecord,
    effects: int,
    delta: int,
) -> int:
    """End or hold the lives at the levels that a record clears; the word after their deltas."""
    deltas, row = events.deltas, record.row
    # A snapshot that opens with a top of book has no orders.
    holds = (
        effects & (CLEARS_BOOK | REPLACES_SIDE) == CLEARS_BOOK and record.flags & F_SNAPSHOT != 0
    )
    if holds:
        queues.books[at(record.book * QUEUE_BOOK_WORDS + QB_SNAPSHOT_ORDERS)] = 1
    elif len(out.changes) > 0:
        has_deltas = delta < len(deltas) and deltas[at(delta)] == row
        if effects & CLEARS_BOOK or has_deltas:  # a top-of-book record may be at fault
            side = as_word(
                BOTH_SIDES if effects & CLEARS_BOOK else events.side[at(row)] == SIDE_ASK
            )
            write_clear(queues.totals, out, row, record.book, side)
    while delta < len(deltas) and deltas[at(delta)] == row and deltas[at(delta + DELTA_SIZE)] <= 0:
        if deltas[at(delta + DELTA_COUNT)] < 0:  # a top-of-book level has no orders
            owner = (record.book << 1 | deltas[at(delta + DELTA_SIDE)]) + 1
            price = deltas[at(delta + DELTA_PRICE)]
            if holds:
                hold_level(queues, price, owner, record)
            else:
                end_level(queues, out, id_shift, price, owner, record)
        delta += DELTA_WORDS
    return delta


@inlined
def is_restated(
    events: QueueEvents, nodes: NDArray[np.int64], node: int, record: QueueRecord
) -> bool:
    """Whether an A or M gives a live order the price and size it has.

    An A or M without deltas is either that or at fault.
    """
    word, price = node * NODE_WORDS, events.price[at(record.row)]
    side_code = as_word(events.side[at(record.row)])
    partial = record.action == ACTION_MODIFY_PARTIAL
    same_price = price == nodes[at(word + N_PRICE)] or (partial and price == UNDEF_PRICE)
    same_size = record.size == nodes[at(word + N_SIZE)] or (
        partial and record.size == UNDEF_ORDER_SIZE
    )
    return same_price and same_size and (partial or side_code == SIDE_BID or side_code == SIDE_ASK)


@inlined
def apply_add_or_modify(
    events: QueueEvents,
    queues: Queues,
    out: QueueOutputs,
    id_shift: int,
    record: QueueRecord,
    node: int,
    own: int,
    end: int,
) -> None:
    """A and M: the order is added, modified or replaced; its deltas are the words [own, end)."""
    nodes, deltas, word = queues.nodes, events.deltas, node * NODE_WORDS
    side, price, size = (
        nodes[at(word + N_SIDE)],
        nodes[at(word + N_PRICE)],
        nodes[at(word + N_SIZE)],
    )
    if own < end:
        # The last delta is that of the level where the order is now.
        last = end - DELTA_WORDS
        side, price = deltas[at(last + DELTA_SIDE)], deltas[at(last + DELTA_PRICE)]
        is_new_there = deltas[at(last + DELTA_COUNT)] > 0
        size = (0 if is_new_there else size) + deltas[at(last + DELTA_SIZE)]
    censored = as_word(record.action != ACTION_ADD or record.flags & F_SNAPSHOT != 0)
    if node != NO_NODE and nodes[at(word + N_LEVEL)] == NO_LEVEL:
        if side == nodes[at(word + N_SIDE)]:
            restate_order(queues, out, record, node, price, size)
            return
        end_held(queues, out, id_shift, record.row, node)
    elif node != NO_NODE and record.action != ACTION_ADD:
        modify_order(queues, out, id_shift, record, node, price, size)
        return
    elif node != NO_NODE:
        if len(out.changes) > 0:
            display_size = display_size_of(nodes, node)
            write_change(queues, out, record.row, node, as_word(KIND_REMOVED), display_size)
        end = as_word(END_REPLACED)
        end_life(queues, out, id_shift, node, end, record.ts_event, record.ts_recv)
    add_node(queues, out, id_shift, record, side, price, size, censored)
    if len(out.changes) > 0 and queues.books[record.book * QUEUE_BOOK_WORDS + QB_SNAPSHOT_ORDERS]:
        added = queues.ids[
            2 * find_id(queues.ids, id_shift, read_salt(queues.salt), record.order_id, record.book)
            + 1
        ]
        write_change(queues, out, record.row, added & 0xFFFFFFFF, as_word(KIND_APPEARED), size)


@inlined
def apply_record(
    events: QueueEvents,
    queues: Queues,
    out: QueueOutputs,
    id_shift: int,
    record: QueueRecord,
    own: int,
    end: int,
) -> None:
    """Apply a record to the order that it names; its deltas are the words [own, end)."""
    ids, deltas, action = queues.ids, events.deltas, record.action
    pair = find_id(ids, id_shift, read_salt(queues.salt), record.order_id, record.book)
    node = as_word(NO_NODE) if pair < 0 else ids[at(2 * pair + 1)] & 0xFFFFFFFF
    is_live = node != NO_NODE and queues.nodes[at(node * NODE_WORDS + N_LEVEL)] != NO_LEVEL
    if action == ACTION_FILL:
        if is_live and 0 < record.size < UNDEF_ORDER_SIZE:
            aggressor = queues.books[at(record.book * QUEUE_BOOK_WORDS + QB_AGGRESSOR)]
            is_aggressor = record.order_id != 0 and record.order_id == aggressor
            fill_order(queues, out, record, node, is_aggressor)
    elif action == ACTION_CANCEL:
        if own < end:
            taken, leaves = -deltas[at(own + DELTA_SIZE)], deltas[at(own + DELTA_COUNT)] < 0
            cancel_order(queues, out, id_shift, record, node, taken, leaves)
    elif own < end or (is_live and is_restated(events, queues.nodes, node, record)):
        apply_add_or_modify(events, queues, out, id_shift, record, node, own, end)


@kernel
def fold_queues(events: QueueEvents, queues: Queues, out: QueueOutputs) -> None:
    """Apply a batch to the queues; the fold has answered it with deltas.

    There must be room for one more order by each record, and for the rows: of lives as many as
    there are and can be added, of positions two a record, of changes that many and four a record.
    """
    books, deltas, delta = queues.books, events.deltas, as_word(0)
    id_shift = id_shift_of(queues.ids)
    index_mask, book_salt = len(events.book_index) // 2 - 1, read_salt(events.book_salt)
    last_key, book = as_word(-1), as_word(0)
    for row in range(len(events.action)):
        key = as_word(events.publisher_id[at(row)]) << 32 | as_word(events.instrument_id[at(row)])
        if key != last_key:
            last_key = key
            pair = find_book(events.book_index, index_mask, book_salt, key)
            # `verify` folds with an engine that may be at fault: it may lack a book.
            book = as_word(-1) if pair < 0 else events.book_index[at(2 * pair + 1)] - 1
        if book < 0:
            continue
        base = book * QUEUE_BOOK_WORDS
        record = QueueRecord(
            as_word(row),
            book,
            as_word(events.action[at(row)]),
            as_word(events.flags[at(row)]),
            as_word(events.order_id[at(row)]),
            as_word(events.size[at(row)]),
            events.ts_event[at(row)],
            events.ts_recv[at(row)],
        )
        action, flags = record.action, record.flags
        effects = read_effects(action, flags, books[at(base + QB_SNAPSHOT_OPEN)])
        apply_snapshot(queues, out, id_shift, record, effects)
        if effects & (CLEARS_BOOK | REPLACES_SIDE):
            delta = apply_clear(events, queues, out, id_shift, record, effects, delta)
        own = delta
        while delta < len(deltas) and deltas[at(delta)] == row:
            delta += DELTA_WORDS
        if action == ACTION_TRADE:
            books[at(base + QB_AGGRESSOR)] = record.order_id
            books[at(base + QB_FILL_PRIORITY)] = 0
        names_order = action == ACTION_CANCEL or action == ACTION_FILL or is_add_or_modify(action)
        if names_order and effects & NAMES_NO_ORDER == 0:
            apply_record(events, queues, out, id_shift, record, own, delta)
        if flags & F_SNAPSHOT and effects & KEEPS_SNAPSHOT_OPEN == 0:
            end_snapshot_lives(queues, out, id_shift, record.row, book)
        if len(out.positions) > 0:
            books[at(base + QB_TS_EVENT)] = record.ts_event
            books[at(base + QB_TS_RECV)] = record.ts_recv
            books[at(base + QB_SEQUENCE)] = as_word(events.sequence[at(row)])
            if flags & F_LAST:
                write_position(queues, out, book)


@kernel
def rebuild_ids(
    nodes: NDArray[np.int64], fresh: int, ids: NDArray[np.int64], salt_words: NDArray[np.uint64]
) -> None:
    """Fill an empty table with the live nodes."""
    id_shift, salt = id_shift_of(ids), read_salt(salt_words)
    for node in range(1, fresh):
        word = node * NODE_WORDS
        if nodes[word + N_SERIAL] > 0:
            order_id, book = nodes[word + N_ORDER_ID], nodes[word + N_BOOK]
            pair = ~find_id(ids, id_shift, salt, order_id, book)
            ids[2 * pair], ids[2 * pair + 1] = order_id, book << 32 | node


@kernel
def rebuild_queue_levels(
    old: NDArray[np.int64],
    new: NDArray[np.int64],
    totals: NDArray[np.int64],
    salt_words: NDArray[np.uint64],
    nodes: NDArray[np.int64],
) -> None:
    """Copy the levels that have orders to a new table, and their new slots to these orders."""
    salt = read_salt(salt_words)
    totals[QT_LEVELS] = 0
    for word in range(0, len(old), QUEUE_LEVEL_WORDS):
        node = old[word + QL_FIRST]
        if node == NO_NODE:
            continue
        slot = find_queue_level(new, totals, salt, old[word + QL_PRICE], old[word + QL_OWNER])
        for field in range(QUEUE_LEVEL_WORDS):
            new[slot * QUEUE_LEVEL_WORDS + field] = old[word + field]
        while node != NO_NODE:
            nodes[node * NODE_WORDS + N_LEVEL] = slot
            node = nodes[node * NODE_WORDS + N_BEHIND]
