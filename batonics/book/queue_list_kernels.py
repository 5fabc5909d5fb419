"""The tables and lists of the queues: orders by id, levels by price, and the orders of a level.

The rule here: a level's sums are what its orders display (`add_to_sums`), and its list is in
priority order (`link`, rule 10).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.book.queue_state import (
    N_AHEAD,
    N_BEHIND,
    N_LEVEL,
    N_PENDING,
    N_PRIORITY,
    N_SIZE,
    NO_NODE,
    NODE_WORDS,
    QL_FIRST,
    QL_LAST,
    QL_ORDERS,
    QL_OWNER,
    QL_PRICE,
    QL_SIZE,
    QT_LEVELS,
    QT_PRIORITY,
    QUEUE_LEVEL_WORDS,
    Queues,
)
from batonics.book.table_kernels import level_home, order_home, shift_of
from batonics.hash_kernels import Salt
from batonics.native import as_word, at, inlined, outlined


@inlined
def id_shift_of(ids: NDArray[np.int64]) -> int:
    """How far a hash is shifted down to a pair of the table of ids."""
    return shift_of(len(ids) // 2 - 1)


@inlined
def find_id(ids: NDArray[np.int64], id_shift: int, salt: Salt, order_id: int, book: int) -> int:
    """The pair of an order; where it is not in the table, ~pair of the free one for it."""
    mask, pair = len(ids) // 2 - 1, order_home(order_id, book, id_shift, salt)
    while True:
        stored = ids[at(2 * pair + 1)]
        if stored == 0:
            return ~pair
        if ids[at(2 * pair)] == order_id and stored >> 32 == book:
            return pair
        pair = (pair + 1) & mask


@outlined
def erase_id(ids: NDArray[np.int64], id_shift: int, salt: Salt, order_id: int, book: int) -> None:
    """Free an order's pair, and shift back those after it that a search would no longer find."""
    mask, hole = len(ids) // 2 - 1, find_id(ids, id_shift, salt, order_id, book)
    pair = hole
    while True:
        pair = (pair + 1) & mask
        stored = ids[at(2 * pair + 1)]
        if stored == 0:
            break
        home = order_home(ids[at(2 * pair)], stored >> 32, id_shift, salt)
        if ((pair - home) & mask) >= ((pair - hole) & mask):
            ids[at(2 * hole)], ids[at(2 * hole + 1)] = ids[at(2 * pair)], stored
            hole = pair
    ids[at(2 * hole + 1)] = 0


@outlined
def find_queue_level(
    levels: NDArray[np.int64], totals: NDArray[np.int64], salt: Salt, price: int, owner: int
) -> int:
    """The slot of a level; where it is not in the table, a free one that it now takes."""
    mask = len(levels) // QUEUE_LEVEL_WORDS - 1
    slot = level_home(price, owner, shift_of(mask), salt)
    while True:
        word = slot * QUEUE_LEVEL_WORDS
        stored = levels[at(word + QL_OWNER)]
        if stored == 0:
            levels[at(word + QL_PRICE)], levels[at(word + QL_OWNER)] = price, owner
            totals[QT_LEVELS] += 1
            return slot
        if stored == owner and levels[at(word + QL_PRICE)] == price:
            return slot
        slot = (slot + 1) & mask


@inlined
def display_size_of(nodes: NDArray[np.int64], node: int) -> int:
    """What an order shows: its size less what fills have taken of it already."""
    left = nodes[at(node * NODE_WORDS + N_SIZE)] - nodes[at(node * NODE_WORDS + N_PENDING)]
    return as_word(max(left, 0))


@inlined
def add_to_sums(queues: Queues, node: int, sign: int) -> None:
    """Add what an order shows to its level's sums; with a sign of -1 take it from them."""
    level = queues.nodes[at(node * NODE_WORDS + N_LEVEL)] * QUEUE_LEVEL_WORDS
    display_size = display_size_of(queues.nodes, node)
    queues.levels[at(level + QL_SIZE)] += sign * display_size
    queues.levels[at(level + QL_ORDERS)] += sign * as_word(display_size > 0)


@inlined
def link(queues: Queues, node: int) -> None:
    """Put a node at the back of its level (rule 10)."""
    nodes, levels, word = queues.nodes, queues.levels, node * NODE_WORDS
    level = nodes[at(word + N_LEVEL)] * QUEUE_LEVEL_WORDS
    last = levels[at(level + QL_LAST)]
    nodes[at(word + N_AHEAD)], nodes[at(word + N_BEHIND)] = last, NO_NODE
    if last == NO_NODE:
        levels[at(level + QL_FIRST)] = node
    else:
        nodes[at(last * NODE_WORDS + N_BEHIND)] = node
    levels[at(level + QL_LAST)] = node
    priority = queues.totals[QT_PRIORITY] + 1
    queues.totals[QT_PRIORITY] = nodes[at(word + N_PRIORITY)] = priority


@inlined
def unlink(queues: Queues, node: int) -> None:
    """Take a node out of its level."""
    nodes, levels, word = queues.nodes, queues.levels, node * NODE_WORDS
    level = nodes[at(word + N_LEVEL)] * QUEUE_LEVEL_WORDS
    ahead, behind = nodes[at(word + N_AHEAD)], nodes[at(word + N_BEHIND)]
    if ahead == NO_NODE:
        levels[at(level + QL_FIRST)] = behind
    else:
        nodes[at(ahead * NODE_WORDS + N_BEHIND)] = behind
    if behind == NO_NODE:
        levels[at(level + QL_LAST)] = ahead
    else:
        nodes[at(behind * NODE_WORDS + N_AHEAD)] = ahead


@outlined
def sum_ahead(queues: Queues, node: int) -> tuple[int, int]:
    """Number and displayed size of the orders ahead of an order at its level.

    The walk goes to both ends at once, so it costs twice the way to the nearer one.
    """
    nodes = queues.nodes
    level, own = (
        nodes[node * NODE_WORDS + N_LEVEL] * QUEUE_LEVEL_WORDS,
        display_size_of(nodes, node),
    )
    ahead_orders, ahead_size = as_word(0), as_word(0)
    other_orders = queues.levels[level + QL_ORDERS] - as_word(own > 0)
    other_size = queues.levels[level + QL_SIZE] - own
    ahead = behind = as_word(node)
    while True:
        ahead = nodes[at(ahead * NODE_WORDS + N_AHEAD)]
        if ahead == NO_NODE:
            return ahead_orders, ahead_size
        size = display_size_of(nodes, ahead)
        ahead_orders += as_word(size > 0)
        ahead_size += size
        behind = nodes[at(behind * NODE_WORDS + N_BEHIND)]
        if behind == NO_NODE:
            return other_orders, other_size
        size = display_size_of(nodes, behind)
        other_orders -= as_word(size > 0)
        other_size -= size
