"""Positions: where a watched order stands at the ends of events.

The rule here: a row is written only if it differs from the one before, or if the order ended.
"""

from __future__ import annotations

from batonics.book.queue_list_kernels import display_size_of, sum_ahead
from batonics.book.queue_state import (
    N_LEVEL,
    N_PRICE,
    N_SIDE,
    NO_NODE,
    NODE_WORDS,
    POSITION_AHEAD_ORDERS,
    POSITION_AHEAD_SIZE,
    POSITION_BEHIND_ORDERS,
    POSITION_BEHIND_SIZE,
    POSITION_BOOK,
    POSITION_PRICE,
    POSITION_SEQUENCE,
    POSITION_SIDE,
    POSITION_SIZE,
    POSITION_TS_EVENT,
    POSITION_TS_RECV,
    POSITION_WORDS,
    QB_ENDED,
    QB_POSITION_WRITTEN,
    QB_PRICE,
    QB_SEQUENCE,
    QB_SIDE,
    QB_TS_EVENT,
    QB_TS_RECV,
    QB_WATCHED,
    QL_ORDERS,
    QL_SIZE,
    QT_POSITIONS,
    QUEUE_BOOK_WORDS,
    QUEUE_LEVEL_WORDS,
    QueueOutputs,
    Queues,
)
from batonics.native import as_word, outlined


@outlined
def write_position(queues: Queues, out: QueueOutputs, book: int) -> None:
    """An event of a book has ended: write where its watched order stands, if that has changed."""
    books, base = queues.books, book * QUEUE_BOOK_WORDS
    node, ended = books[base + QB_WATCHED], books[base + QB_ENDED]
    books[base + QB_ENDED] = 0
    if node == NO_NODE and ended == 0:
        return
    n = queues.totals[QT_POSITIONS] * POSITION_WORDS
    to = out.positions
    to[n + POSITION_BOOK] = book
    to[n + POSITION_TS_EVENT] = books[base + QB_TS_EVENT]
    to[n + POSITION_TS_RECV] = books[base + QB_TS_RECV]
    to[n + POSITION_SEQUENCE] = books[base + QB_SEQUENCE]
    if node == NO_NODE:
        to[n + POSITION_SIDE], to[n + POSITION_PRICE] = (
            books[base + QB_SIDE],
            books[base + QB_PRICE],
        )
        to[n + POSITION_SIZE] = 0
        for word in range(POSITION_AHEAD_ORDERS, POSITION_WORDS):
            to[n + word] = -1
    else:
        nodes, word = queues.nodes, node * NODE_WORDS
        level, display_size = (
            nodes[word + N_LEVEL] * QUEUE_LEVEL_WORDS,
            display_size_of(nodes, node),
        )
        ahead_orders, ahead_size = sum_ahead(queues, node)
        to[n + POSITION_SIDE], to[n + POSITION_PRICE] = nodes[word + N_SIDE], nodes[word + N_PRICE]
        to[n + POSITION_SIZE] = display_size
        to[n + POSITION_AHEAD_ORDERS], to[n + POSITION_AHEAD_SIZE] = ahead_orders, ahead_size
        others = queues.levels[level + QL_ORDERS] - as_word(display_size > 0)
        to[n + POSITION_BEHIND_ORDERS] = others - ahead_orders
        to[n + POSITION_BEHIND_SIZE] = queues.levels[level + QL_SIZE] - display_size - ahead_size
    differs = ended != 0 or books[base + QB_POSITION_WRITTEN] == 0
    books[base + QB_POSITION_WRITTEN] = 1
    books[base + QB_SIDE] = to[n + POSITION_SIDE]
    for word in range(POSITION_WORDS - POSITION_PRICE):
        differs |= books[base + QB_PRICE + word] != to[n + POSITION_PRICE + word]
        books[base + QB_PRICE + word] = to[n + POSITION_PRICE + word]
    queues.totals[QT_POSITIONS] += as_word(differs)
