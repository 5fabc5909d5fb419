"""The host of the queues: makes room before each batch, and hands over what the kernel wrote.

One rule: whatever the sizes of the batches, the same records give the same rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book import queue_kernels
from batonics.book.engine import BookEngine
from batonics.book.queue_kernels import (
    NODE_WORDS,
    QUEUE_BOOK_WORDS,
    QUEUE_LEVEL_WORDS,
    LifeEnd,
    LifeRow,
    QueueChange,
    QueueEvents,
    QueueOutputs,
    QueuePosition,
    Queues,
    QueueTotal,
)
from batonics.book.state import aligned_zeros, read_only
from batonics.model.mbo import DayStart, MboBatch


class QueueResult(NamedTuple):
    """What one batch came to. Views into buffers that the next batch overwrites."""

    lives: NDArray[np.int64]  # (lives that ended, NODE), in order of their ends
    positions: NDArray[np.int64]  # (positions, len(Position))
    changes: NDArray[np.int64]  # (changes, len(Change))


class OrderQueues:
    """The queues of any number of books, batch after batch, behind the engine that folds them.

    Args:
        lives: keep the lives that end in the batch just folded.
        watched_id: keep the positions of the orders of this id.
        changes: keep what left its place in a queue.
    """

    def __init__(
        self, *, lives: bool = False, watched_id: int | None = None, changes: bool = False
    ) -> None:
        self._wants = lives, watched_id is not None, changes
        nothing = np.empty(0, np.int64)
        watched = np.uint64(watched_id or 0).astype(np.int64)
        self._rows = QueueOutputs(nothing, nothing, nothing, int(watched))
        totals = np.zeros(len(QueueTotal), np.int64)
        totals[QueueTotal.FRESH] = 1  # node 0 is nobody
        self._queues = Queues(
            nodes=aligned_zeros(NODE_WORDS << 8),
            ids=np.zeros(2 << 9, np.int64),
            levels=aligned_zeros(QUEUE_LEVEL_WORDS << 9),
            books=aligned_zeros(QUEUE_BOOK_WORDS << 6),
            totals=totals,
        )

    @property
    def priority(self) -> int:
        """The last priority given out: whoever joins a queue later has a greater one."""
        return int(self._queues.totals[QueueTotal.PRIORITY])

    def fold(self, batch: MboBatch, deltas: NDArray[np.int64], engine: BookEngine) -> QueueResult:
        """Apply a batch that the engine has just folded.

        Args:
            batch: the records.
            deltas: the engine's answer, (deltas, len(Delta)).
            engine: it has folded what these queues have, and this batch.
        """
        records, day_starts = len(batch.action), isinstance(batch, DayStart)
        # With a day each book may tell a position too.
        self._make_room(records + day_starts * engine.book_count, engine.book_count)
        totals = self._queues.totals
        totals[[QueueTotal.LIVES, QueueTotal.POSITIONS, QueueTotal.CHANGES]] = 0
        if day_starts:
            queue_kernels.start_queues_day(self._queues, self._rows, engine.book_count)
        events = QueueEvents(
            ts_event=read_only(batch.ts_event.view(np.int64)),
            ts_recv=read_only(batch.ts_recv.view(np.int64)),
            deltas=read_only(deltas.reshape(-1)),
            book_index=read_only(engine.state.book_index),
            **{name: read_only(getattr(batch, name)) for name in _COLUMNS},
        )
        queue_kernels.fold_queues(events, self._queues, self._rows)
        rows = self._rows
        return QueueResult(
            lives=_taken(rows.lives, NODE_WORDS, totals[QueueTotal.LIVES]),
            positions=_taken(rows.positions, len(QueuePosition), totals[QueueTotal.POSITIONS]),
            changes=_taken(rows.changes, len(QueueChange), totals[QueueTotal.CHANGES]),
        )

    def alive(self) -> NDArray[np.int64]:
        """The lives that have not ended, as rows (lives, NODE), in order of their births."""
        nodes = self._queues.nodes.reshape(-1, NODE_WORDS)
        rows = nodes[np.flatnonzero(nodes[:, LifeRow.BORN])]
        rows = rows[np.argsort(rows[:, LifeRow.BORN])]
        unseen = rows[:, LifeRow.PENDING] - rows[:, LifeRow.SIZE]
        rows[:, LifeRow.ADDED] += np.maximum(unseen, 0)
        rows[:, LifeRow.SIZE] = np.maximum(-unseen, 0)
        rows[:, LifeRow.LEVEL] = LifeEnd.ALIVE
        rows[:, [LifeRow.AHEAD, LifeRow.BEHIND]] = -1  # no end, and so no time of it
        return rows

    def _make_room(self, records: int, book_count: int) -> None:
        """For as many births, levels and rows as `records` records may bring."""
        queues, totals = self._queues, self._queues.totals
        nodes, ids, levels, books = queues.nodes, queues.ids, queues.levels, queues.books
        if (totals[QueueTotal.FRESH] + records) * NODE_WORDS > len(nodes):
            nodes = _grown(nodes, 2 * (int(totals[QueueTotal.FRESH]) + records) * NODE_WORDS)
        live = int(totals[QueueTotal.LIVE]) + records
        if 4 * live > len(ids):
            ids = np.zeros(2 * _power_of_two(4 * live), np.int64)
            queue_kernels.rebuild_ids(nodes, int(totals[QueueTotal.FRESH]), ids)
        # A record may bring a level; one that clears names levels that are there.
        if 2 * (totals[QueueTotal.LEVELS] + records) * QUEUE_LEVEL_WORDS > len(levels):
            taken = np.count_nonzero(levels[queue_kernels.L_FIRST :: QUEUE_LEVEL_WORDS])
            new = aligned_zeros(_power_of_two(4 * (int(taken) + records)) * QUEUE_LEVEL_WORDS)
            queue_kernels.rebuild_queue_levels(levels, new, totals, nodes)
            levels = new
        if book_count * QUEUE_BOOK_WORDS > len(books):
            books = _grown(books, 2 * book_count * QUEUE_BOOK_WORDS)
        self._queues = queues._replace(nodes=nodes, ids=ids, levels=levels, books=books)
        self._fit_rows(records, live)

    def _fit_rows(self, records: int, live: int) -> None:
        rows_max = (
            live * NODE_WORDS,
            2 * records * len(QueuePosition),
            3 * records * len(QueueChange),
        )
        lives, positions, changes = (
            # One that is wanted is never of length 0.
            np.empty(2 * words + 1, np.int64) if wanted and len(buffer) <= words else buffer
            for buffer, words, wanted in zip(self._rows[:3], rows_max, self._wants, strict=True)
        )
        self._rows = self._rows._replace(lives=lives, positions=positions, changes=changes)


_COLUMNS = [name for name in QueueEvents._fields if name in MboBatch._fields and name[:3] != "ts_"]


def _taken(buffer: NDArray[np.int64], words: int, count: int) -> NDArray[np.int64]:
    return buffer[: count * words].reshape(-1, words)


def _grown(array: NDArray[np.int64], words: int) -> NDArray[np.int64]:
    grown = aligned_zeros(words)
    grown[: len(array)] = array
    return grown


def _power_of_two(at_least: int) -> int:
    return 1 << max(9, (at_least - 1).bit_length())
