"""What records do to the orders, tops and statuses of the reference.

The rule here: the rules are written anew from the numbered rules in ARCHITECTURE.md. Nothing is
shared with the fold, not even the numbers of books.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import (
    ACTION_ADD,
    ACTION_CANCEL,
    ACTION_CLEAR,
    ACTION_MODIFY,
    ACTION_MODIFY_PARTIAL,
    F_LAST,
    F_MAYBE_BAD_BOOK,
    F_MBP,
    F_SNAPSHOT,
    F_TOB,
    SIDE_ASK,
    SIDE_BID,
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
)
from batonics.native import as_word, at, inlined, kernel, outlined
from batonics.reference.node_kernels import (
    W_BOOK_WORDS,
    W_BOOKS,
    W_FIRST,
    W_HAS_TOPS,
    W_LAST_NS,
    W_LEVEL,
    W_LEVEL_SIZE,
    W_LEVEL_WORDS,
    W_LEVELS,
    W_ORDER_WORDS,
    W_OWNER,
    W_PRICE,
    W_RECORDS,
    W_SINCE,
    W_SIZE,
    W_SNAPSHOT_OPEN,
    W_STATUS,
    W_TOP_PRICE,
    W_TOP_SIZE,
    W_WAS_COLD,
    W_WAS_STALE,
    Witness,
    find_order_node,
    find_witness_book,
    join_queue,
    leave_queue,
    level_node,
    make_order_node,
    touch_book,
    touch_level,
    touch_order,
)

W_COLD, W_SYNCED, W_STALE = 0, 1, 2


class WitnessRecords(NamedTuple):
    """The columns that the reference reads."""

    ts_recv: NDArray[np.int64]
    publisher_id: NDArray[np.uint16]
    instrument_id: NDArray[np.uint32]
    action: NDArray[np.uint8]
    side: NDArray[np.uint8]
    price: NDArray[np.int64]
    size: NDArray[np.uint32]
    order_id: NDArray[np.uint64]
    flags: NDArray[np.uint8]


@outlined
def set_top(witness: Witness, owner: int, price: int, size: int) -> None:
    """The top-of-book level of a side (rule 13); size 0: there is none."""
    word = (owner >> 1) * W_BOOK_WORDS + (owner & 1)
    if witness.books[word + W_TOP_SIZE]:
        touch_level(witness, level_node(witness, owner, witness.books[word + W_TOP_PRICE]))
    witness.books[word + W_TOP_PRICE], witness.books[word + W_TOP_SIZE] = price, size
    if size:
        touch_level(witness, level_node(witness, owner, price))


@outlined
def empty_side(witness: Witness, owner: int) -> None:
    """Take all orders, and the top, from a side (rules 11, 13 and 14)."""
    first = (owner >> 1) * W_BOOK_WORDS + W_LEVELS + (owner & 1)
    while witness.books[first]:
        level = witness.books[first] * W_LEVEL_WORDS
        while witness.levels[level + W_FIRST]:
            leave_queue(witness, as_word(witness.levels[level + W_FIRST]))
    set_top(witness, owner, as_word(0), as_word(0))


@outlined
def follow_book(witness: Witness, records: WitnessRecords, row: int, book: int, since: int) -> None:
    """What a record does to its whole book: snapshot, status, clears, top (rules 11, 13 to 17)."""
    books, base = witness.books, book * W_BOOK_WORDS
    action, flags = as_word(records.action[row]), as_word(records.flags[row])
    price, size = records.price[row], as_word(records.size[row])
    in_snapshot = flags & F_SNAPSHOT != 0
    starts = in_snapshot and (action == ACTION_ADD or action == ACTION_CLEAR)
    opens = starts and books[base + W_SNAPSHOT_OPEN] == 0
    if not in_snapshot or flags & F_LAST:
        books[base + W_SNAPSHOT_OPEN] = 0
    elif starts:
        books[base + W_SNAPSHOT_OPEN] = 1
    if flags & F_MAYBE_BAD_BOOK:
        books[base + W_STATUS], books[base + W_SINCE] = W_STALE, since
        books[base + W_WAS_STALE] = 1
    elif opens or action == ACTION_CLEAR:
        books[base + W_STATUS], books[base + W_SINCE] = W_SYNCED, since
    if action == ACTION_CLEAR or opens:
        empty_side(witness, as_word(book << 1))
        empty_side(witness, as_word(book << 1 | 1))
    if flags & F_TOB == 0:
        return
    books[base + W_HAS_TOPS] = 1
    is_placed = action == ACTION_ADD or action == ACTION_MODIFY or action == ACTION_MODIFY_PARTIAL
    side_code = as_word(records.side[row])
    if flags & F_MBP or not is_placed or (side_code != SIDE_BID and side_code != SIDE_ASK):
        return
    empties = price == UNDEF_PRICE or size == 0
    if empties or size != UNDEF_ORDER_SIZE:
        owner = book << 1 | as_word(side_code == SIDE_ASK)
        empty_side(witness, owner)
        set_top(witness, owner, price, 0 if empties else size)


@inlined
def cancel_order(witness: Witness, order_id: int, book: int, size: int) -> None:
    """C takes size from an order (rule 8)."""
    node = find_order_node(witness, order_id, book)
    if node == 0:
        return
    word = node * W_ORDER_WORDS + W_SIZE
    left = witness.orders[at(word)] - size
    if witness.orders[at(word)] == 0:
        return
    if left <= 0:
        leave_queue(witness, node)
        return
    witness.orders[at(word)] = left
    level = as_word(witness.orders[at(node * W_ORDER_WORDS + W_LEVEL)])
    witness.levels[at(level * W_LEVEL_WORDS + W_LEVEL_SIZE)] -= size
    touch_order(witness, node)
    touch_level(witness, level)


@inlined
def place_order(
    witness: Witness, records: WitnessRecords, row: int, book: int, action: int, since: int
) -> None:
    """A and M give an order a price and a size (rules 7, 9, 10, 12 and 19)."""
    order_id, price = as_word(records.order_id[at(row)]), records.price[at(row)]
    size, side_code = as_word(records.size[at(row)]), as_word(records.side[at(row)])
    is_two_sided = side_code == SIDE_BID or side_code == SIDE_ASK
    is_complete = is_two_sided and price != UNDEF_PRICE and size != UNDEF_ORDER_SIZE
    is_add = action == ACTION_ADD
    if not is_complete and action != ACTION_MODIFY_PARTIAL:
        return
    if is_add and size == 0:
        return
    node = find_order_node(witness, order_id, book)
    base = node * W_ORDER_WORDS
    owner = book << 1 | as_word(side_code == SIDE_ASK)
    if node and witness.orders[at(base + W_SIZE)]:
        left = witness.orders[at(base + W_SIZE)]
        level = as_word(witness.orders[at(base + W_LEVEL)])
        old_price = witness.levels[at(level * W_LEVEL_WORDS + W_PRICE)]
        if not is_add:
            owner = witness.orders[at(base + W_OWNER)]
        if price == UNDEF_PRICE:
            price = old_price
        if size == UNDEF_ORDER_SIZE:
            size = left
        if not is_add and price == old_price and 0 < size <= left:
            witness.orders[at(base + W_SIZE)] = size
            witness.levels[at(level * W_LEVEL_WORDS + W_LEVEL_SIZE)] += size - left
            touch_order(witness, node)
            touch_level(witness, level)
            return
        leave_queue(witness, node)
    elif not is_complete:
        return
    if size > 0:
        if node == 0:
            node = make_order_node(witness, order_id, book)
        join_queue(witness, node, owner, price, size, since)


@kernel
def follow_records(
    witness: Witness, records: WitnessRecords, start: int, stop: int, rows_before: int
) -> None:
    """Apply the records of rows `start` to `stop`, for which there is room.

    `rows_before` is the number of records of the stream before row 0.
    """
    books = witness.books
    last_key, book = as_word(-1), as_word(0)
    for row in range(start, stop):
        key = as_word(records.publisher_id[at(row)]) << 32 | as_word(records.instrument_id[at(row)])
        if key != last_key:
            last_key, book = key, find_witness_book(witness, key)
            touch_book(witness, book)
        base = book * W_BOOK_WORDS
        books[at(base + W_RECORDS)] += 1
        if records.ts_recv[at(row)] != -1:
            books[at(base + W_LAST_NS)] = records.ts_recv[at(row)]
        action, flags = as_word(records.action[at(row)]), as_word(records.flags[at(row)])
        status, since = books[at(base + W_STATUS)], rows_before + row
        rare = flags & (F_TOB | F_SNAPSHOT | F_MAYBE_BAD_BOOK) or action == ACTION_CLEAR
        if rare or books[at(base + W_SNAPSHOT_OPEN)]:
            follow_book(witness, records, row, book, since)
        if status == W_COLD and books[at(base + W_STATUS)] == W_COLD:
            books[at(base + W_WAS_COLD)] = 1
        if flags & (F_TOB | F_MBP):
            continue
        if action == ACTION_CANCEL:
            size = as_word(records.size[at(row)])
            cancel_order(witness, as_word(records.order_id[at(row)]), book, size)
        elif action == ACTION_ADD or action == ACTION_MODIFY or action == ACTION_MODIFY_PARTIAL:
            place_order(witness, records, row, book, action, since)


@kernel
def start_witness_day(witness: Witness) -> None:
    """Begin the stream of a new day (rule 21): every book is cold, and open snapshots end."""
    for book in range(witness.totals[W_BOOKS]):
        base = book * W_BOOK_WORDS
        witness.books[base + W_SNAPSHOT_OPEN] = 0
        witness.books[base + W_STATUS], witness.books[base + W_SINCE] = W_COLD, -1
        touch_book(witness, book)
