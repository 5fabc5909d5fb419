"""The queues agree with the books, and their lists are consistent, after every batch."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.queue_state import (
    NO_LEVEL,
    NODE_WORDS,
    QUEUE_LEVEL_WORDS,
    LifeEnd,
    LifeRow,
    Node,
    QueueLevel,
    QueueTotal,
)
from batonics.book.queues import OrderQueues
from batonics.model.mbo import Action, MboBatch, slice_batch
from tests.support.streams import random_stream


def _ids(rows: NDArray[np.int64]) -> list[int]:
    ids: list[int] = rows[:, LifeRow.ORDER_ID].view(np.uint64).tolist()
    return ids


def check_agreement(queues: OrderQueues, engine: BookEngine, *, refills: bool) -> None:
    """The same orders, of the same sizes, in the same order within each level.

    Orders that an open snapshot has not added again are held, and in no book. A refill puts an
    order at the back of its queue; a book, which knows no fills, leaves it where it is.
    """
    rows, orders = queues.alive(), engine.orders()
    rows = rows[rows[:, LifeRow.END] == LifeEnd.ALIVE]
    key = rows[:, LifeRow.PRICE] ^ -rows[:, LifeRow.SIDE]
    levels = ~key, rows[:, LifeRow.BOOK] << 1 | rows[:, LifeRow.SIDE]
    rows = rows[np.lexsort((rows[:, LifeRow.PRIORITY], *levels))]
    found, listed = _ids(rows), orders.order_id.tolist()
    requeued = rows[rows[:, LifeRow.REQUEUES] > 0]
    moved = set(zip(requeued[:, LifeRow.BOOK].tolist(), _ids(requeued), strict=True))
    kept = [
        [one for one in zip(books.tolist(), ids, strict=True) if one not in moved]
        for books, ids in ((rows[:, LifeRow.BOOK], found), (orders.book, listed))
    ]
    assert kept[0] == kept[1]
    if not refills:
        assert found == listed
    assert rows[:, LifeRow.BOOK].tolist() == orders.book.tolist()
    assert rows[:, LifeRow.SIDE].tolist() == orders.side.tolist()
    assert rows[:, LifeRow.PRICE].tolist() == orders.price.tolist()
    nodes = queues._queues.nodes.reshape(-1, NODE_WORDS)
    live = nodes[(nodes[:, Node.SERIAL] > 0) & (nodes[:, Node.LEVEL] != NO_LEVEL)]
    sizes = dict(
        zip(
            zip(live[:, Node.BOOK].tolist(), live[:, Node.ORDER_ID].tolist(), strict=True),
            live[:, Node.SIZE].tolist(),
            strict=True,
        )
    )
    ids = orders.order_id.view(np.int64).tolist()
    expected = zip(orders.book.tolist(), ids, strict=True)
    assert [sizes[key] for key in expected] == orders.size.tolist()


def check_links(queues: OrderQueues) -> None:
    """Every level's list, forth and back, with its sums; every live node is in one, or held."""
    state = queues._queues
    nodes, levels = state.nodes.reshape(-1, NODE_WORDS), state.levels.reshape(-1, QUEUE_LEVEL_WORDS)
    met = 0
    for place in np.flatnonzero(levels[:, QueueLevel.OWNER]).tolist():
        level, before, sizes = levels[place], 0, []
        node = int(level[QueueLevel.FIRST])
        while node:
            row = nodes[node]
            assert row[Node.LEVEL] == place
            assert row[Node.AHEAD] == before
            assert before == 0 or nodes[before, Node.PRIORITY] < row[Node.PRIORITY]
            sizes.append(max(int(row[Node.SIZE] - row[Node.PENDING]), 0))
            before, node = node, int(row[Node.BEHIND])
        assert level[QueueLevel.LAST] == before
        assert level[QueueLevel.SIZE] == sum(sizes)
        assert level[QueueLevel.ORDERS] == np.count_nonzero(sizes)
        met += len(sizes)
    is_held = (nodes[:, Node.SERIAL] > 0) & (nodes[:, Node.LEVEL] == NO_LEVEL)
    met += int(np.count_nonzero(is_held))
    assert met == state.totals[QueueTotal.LIVE]
    assert np.count_nonzero(state.ids[1::2]) == met
    assert np.count_nonzero(levels[:, QueueLevel.OWNER]) == state.totals[QueueTotal.LEVELS]


def fold(batch: MboBatch, rows: int, *, refills: bool = True) -> tuple[OrderQueues, BookEngine]:
    queues, engine = OrderQueues(lives=True), BookEngine(deltas=True)
    for start in range(0, len(batch.action), rows):
        piece = slice_batch(batch, start, start + rows)
        queues.fold(piece, engine.fold(piece).deltas, engine)
        check_agreement(queues, engine, refills=refills)
    check_links(queues)
    return queues, engine


@pytest.mark.parametrize("seed", range(8))
def test_queues_hold_the_books_orders_in_priority_order(seed: int) -> None:
    stream = random_stream(seed, 3_000)
    fold(stream, 50)
    without_fills = np.where(stream.action == Action.FILL, Action.TRADE, stream.action)
    fold(stream._replace(action=without_fills.astype(np.uint8)), 50, refills=False)


def test_queues_hold_them_where_tables_are_rebuilt() -> None:
    batch = random_stream(
        1, 40_000, ids=9_000, ticks=3_000, clear_share=0.0002, snapshot_share=0, tob_books=0
    )
    queues, _ = fold(batch, 1_500)
    assert len(queues._queues.ids) > 2 << 12
    assert len(queues._queues.levels) > QUEUE_LEVEL_WORDS << 12


def test_freed_nodes_are_reused() -> None:
    batch = random_stream(2, 60_000, ids=64)
    queues, _ = fold(batch, 2_000)
    assert queues._queues.totals[QueueTotal.FRESH] < 400


def test_a_batch_without_records_changes_nothing() -> None:
    batch = random_stream(3, 500)
    queues, engine = fold(batch, 500)
    before = queues.alive()
    rows = queues.fold(slice_batch(batch, 0, 0), np.empty((0, 7), np.int64), engine)
    assert len(rows.lives) == 0
    assert np.array_equal(queues.alive(), before)
