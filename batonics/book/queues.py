"""The host of the queues: it makes room before each batch, and returns the rows that it came to.

One rule: whatever the sizes of the batches, the same records give the same rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book import queue_kernels
from batonics.book.engine import BookEngine
from batonics.book.queue_state import (
    NO_LEVEL,
    NODE_WORDS,
    QUEUE_BOOK_WORDS,
    QUEUE_LEVEL_WORDS,
    LifeEnd,
    LifeRow,
    Node,
    QueueBook,
    QueueChange,
    QueueEvents,
    QueueLevel,
    QueueOutputs,
    QueuePosition,
    Queues,
    QueueTotal,
)
from batonics.book.state import aligned_zeros, read_only
from batonics.model.hash_salt import hash_salt
from batonics.model.mbo import DayStart, MboBatch


class QueueResult(NamedTuple):
    """The rows of one batch: views of buffers that the next batch overwrites."""

    lives: NDArray[np.int64]  # (lives that ended, NODE_WORDS) as `LifeRow`, in order of their ends
    positions: NDArray[np.int64]  # (positions, len(QueuePosition))
    changes: NDArray[np.int64]  # (changes, len(QueueChange))


class FillOrder(NamedTuple):
    """How often the fills of a book kept to the order of its queues.

    Two fills of resting orders that follow each other at one level within one trade are compared.
    They are out of order if the second order stood ahead of the first. Venues that match by time
    have few of them; each shows a place in a queue that the records give wrongly.

    Attributes:
        compared: the number of fills that follow another one at their level in their trade.
        out_of_order: the number of these whose order stood ahead of the order filled before it.
    """

    compared: int
    out_of_order: int


class OrderQueues:
    """The queues of any number of books. Each batch is folded by the engine first.

    Args:
        lives: keep the lives that end in the batch just folded.
        watched_id: keep the positions of the orders with this id.
        changes: keep the changes of the batch just folded: size that left its place in a queue.
    """

    def __init__(
        self, *, lives: bool = False, watched_id: int | None = None, changes: bool = False
    ) -> None:
        self._keeps = lives, watched_id is not None, changes
        nothing = np.empty(0, np.int64)
        watched = np.uint64(watched_id or 0).astype(np.int64)
        self._out = QueueOutputs(nothing, nothing, nothing, int(watched))
        totals = np.zeros(len(QueueTotal), np.int64)
        totals[QueueTotal.FRESH] = 1  # node 0 is NO_NODE
        self._queues = Queues(
            nodes=aligned_zeros(NODE_WORDS << 8),
            ids=np.zeros(2 << 9, np.int64),
            levels=aligned_zeros(QUEUE_LEVEL_WORDS << 9),
            books=aligned_zeros(QUEUE_BOOK_WORDS << 6),
            totals=totals,
            salt=hash_salt(),
        )

    @property
    def priority(self) -> int:
        """The greatest priority given so far; orders that join a queue later have greater ones."""
        return int(self._queues.totals[QueueTotal.PRIORITY])

    def fold(self, batch: MboBatch, deltas: NDArray[np.int64], engine: BookEngine) -> QueueResult:
        """Apply a batch that the engine has just folded.

        Args:
            batch: the records.
            deltas: (deltas, len(Delta)), the level deltas of the batch.
            engine: it has folded the same records as these queues, and the batch.
        """
        records, day_starts = len(batch.action), isinstance(batch, DayStart)
        # At the start of a day each book may have a position, and may end lives.
        self._make_room(records + day_starts * engine.book_count, engine.book_count)
        totals = self._queues.totals
        totals[[QueueTotal.LIVES, QueueTotal.POSITIONS, QueueTotal.CHANGES]] = 0
        if day_starts:
            queue_kernels.start_queues_day(self._queues, self._out, engine.book_count)
        events = QueueEvents(
            ts_event=read_only(batch.ts_event.view(np.int64)),
            ts_recv=read_only(batch.ts_recv.view(np.int64)),
            deltas=read_only(deltas.reshape(-1)),
            book_index=read_only(engine.state.book_index),
            book_salt=read_only(engine.state.salt),
            **{name: read_only(getattr(batch, name)) for name in _COLUMNS},
        )
        queue_kernels.fold_queues(events, self._queues, self._out)
        out = self._out
        return QueueResult(
            lives=_rows(out.lives, NODE_WORDS, totals[QueueTotal.LIVES]),
            positions=_rows(out.positions, len(QueuePosition), totals[QueueTotal.POSITIONS]),
            changes=_rows(out.changes, len(QueueChange), totals[QueueTotal.CHANGES]),
        )

    def alive(self) -> NDArray[np.int64]:
        """The lives that have not ended, (lives, NODE_WORDS) as `LifeRow`, oldest first.

        Those that an open snapshot has not said again are "cleared" so far.
        """
        nodes = self._queues.nodes.reshape(-1, NODE_WORDS)
        rows = nodes[np.flatnonzero(nodes[:, Node.SERIAL])]
        rows = rows[np.argsort(rows[:, Node.SERIAL])]
        held = rows[:, Node.LEVEL] == NO_LEVEL
        hidden = rows[:, Node.PENDING] - rows[:, Node.SIZE]
        rows[:, LifeRow.ADDED] += np.maximum(hidden, 0)
        rows[:, LifeRow.SIZE] = np.maximum(-hidden, 0)
        rows[:, LifeRow.END] = np.where(held, LifeEnd.CLEARED, LifeEnd.ALIVE)
        times = rows[:, [Node.HELD_TS_EVENT, Node.HELD_TS_RECV]]
        rows[:, [LifeRow.END_TS_EVENT, LifeRow.END_TS_RECV]] = np.where(held[:, None], times, -1)
        return rows

    def end_open_snapshots(self, engine: BookEngine) -> None:
        """End the lives that open snapshots have not said again: no more records of them come."""
        self._make_room(0, engine.book_count)
        self._queues.totals[[QueueTotal.LIVES, QueueTotal.CHANGES]] = 0
        queue_kernels.end_open_snapshots(self._queues, self._out, engine.book_count)

    def fill_order(self, book: int) -> FillOrder:
        """How often fills in a book kept to the order of its queues, since the stream began."""
        words = self._queues.books[book * QUEUE_BOOK_WORDS : (book + 1) * QUEUE_BOOK_WORDS]
        if len(words) == 0:
            return FillOrder(0, 0)
        return FillOrder(
            int(words[QueueBook.FILLS_COMPARED]), int(words[QueueBook.FILLS_OUT_OF_ORDER])
        )

    def _make_room(self, records: int, book_count: int) -> None:
        """Make room for the orders, levels and rows that `records` records may add."""
        queues, totals = self._queues, self._queues.totals
        nodes, ids, levels, books = queues.nodes, queues.ids, queues.levels, queues.books
        if (totals[QueueTotal.FRESH] + records) * NODE_WORDS > len(nodes):
            nodes = _grown(nodes, 2 * (int(totals[QueueTotal.FRESH]) + records) * NODE_WORDS)
        live = int(totals[QueueTotal.LIVE]) + records
        if 4 * live > len(ids):
            ids = np.zeros(2 * _power_of_two(4 * live), np.int64)
            queue_kernels.rebuild_ids(nodes, int(totals[QueueTotal.FRESH]), ids, queues.salt)
        # A record may add a level; one that clears names levels that exist.
        if 2 * (totals[QueueTotal.LEVELS] + records) * QUEUE_LEVEL_WORDS > len(levels):
            taken = np.count_nonzero(levels[QueueLevel.FIRST :: QUEUE_LEVEL_WORDS])
            new = aligned_zeros(_power_of_two(4 * (int(taken) + records)) * QUEUE_LEVEL_WORDS)
            queue_kernels.rebuild_queue_levels(levels, new, totals, queues.salt, nodes)
            levels = new
        if book_count * QUEUE_BOOK_WORDS > len(books):
            books = _grown(books, 2 * book_count * QUEUE_BOOK_WORDS)
        self._queues = queues._replace(nodes=nodes, ids=ids, levels=levels, books=books)
        self._fit_rows(records, live)

    def _fit_rows(self, records: int, live: int) -> None:
        rows_max = (
            live * NODE_WORDS,
            2 * records * len(QueuePosition),
            # A snapshot's end may lose all orders that live.
            (4 * records + live) * len(QueueChange),
        )
        lives, positions, changes = (
            # A buffer that is kept never has length 0.
            np.empty(2 * words + 1, np.int64) if keeps and len(buffer) <= words else buffer
            for buffer, words, keeps in zip(self._out[:3], rows_max, self._keeps, strict=True)
        )
        self._out = self._out._replace(lives=lives, positions=positions, changes=changes)


_COLUMNS = [name for name in QueueEvents._fields if name in MboBatch._fields and name[:3] != "ts_"]


def _rows(buffer: NDArray[np.int64], words: int, count: int) -> NDArray[np.int64]:
    return buffer[: count * words].reshape(-1, words)


def _grown(array: NDArray[np.int64], words: int) -> NDArray[np.int64]:
    grown = aligned_zeros(words)
    grown[: len(array)] = array
    return grown


def _power_of_two(at_least: int) -> int:
    return 1 << max(9, (at_least - 1).bit_length())
