"""The queues of the best levels of a book, kept event by event, and the checksum of l3.

The rule here: an event costs the orders that it changes, whatever the size of the book. What is
kept of a level is always the end of its queue: the orders that have joined it since it is kept. It
is the whole queue if it has as many orders as the level; if it does not, the queues of the best
levels are read from the engine, which visits all orders. That is rare, since more levels are read
and kept than a checksum covers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from zlib import crc32

from batonics.book.order_search import OrderState, find_queues
from batonics.book.reader import BookReader
from batonics.model.book_checksum import CHECKSUM_LEVELS, PriceLevel, level_bytes

READ_LEVELS = 2 * CHECKSUM_LEVELS
"""Levels of each side whose queues are read at once."""
KEPT_LEVELS_MAX = 4 * READ_LEVELS
"""Levels that are kept; beyond, those that no checksum covers are dropped."""

_Place = tuple[int, int]  # side and price


class KeptQueues:
    """The queues of a book's best levels.

    Args:
        engine: the books.
        book: the number of the book, in which every level consists of orders.
    """

    def __init__(self, engine: BookReader, book: int = 0) -> None:
        self._engine, self._book = engine, book
        self._queues: dict[_Place, dict[int, int]] = {}  # the size of each order, by id
        self._bytes: dict[_Place, bytes] = {}  # of whole queues, as the checksum has them

    def clear(self) -> None:
        """Forget all queues: the book has changed in another way than by `change`."""
        self._queues.clear()
        self._bytes.clear()

    def change(self, before: Mapping[int, OrderState], after: Mapping[int, OrderState]) -> None:
        """Follow an event.

        Args:
            before: the orders that it names, by id, as they were before it.
            after: those of them that are in the book after it.
        """
        for order_id, order in before.items():
            now = after.get(order_id)
            place = order.side, order.price
            queue = self._queues.get(place)
            if queue is None or order_id not in queue:
                continue
            self._bytes.pop(place, None)
            if now is not None and now.priority == order.priority:
                queue[order_id] = now.size
            else:
                del queue[order_id]
        for order_id, order in joined_orders(before, after):
            place = order.side, order.price
            self._queues.setdefault(place, {})[order_id] = order.size
            self._bytes.pop(place, None)

    def checksum(self, bids: Sequence[PriceLevel], asks: Sequence[PriceLevel]) -> int:
        """The checksum of levels and their queues (`queues_checksum`).

        Args:
            bids: the best bids, the best first; at least as many as a checksum covers.
            asks: the best asks likewise.
        """
        covered = [
            ((side, level[0]), level)
            for side, levels in enumerate((bids, asks))
            for level in levels[:CHECKSUM_LEVELS]
        ]
        found = [self._bytes.get(place) for place, _ in covered]
        if None in found:
            self._find_bytes(covered)
            found = [self._bytes[place] for place, _ in covered]
            if len(self._queues) > KEPT_LEVELS_MAX:
                self._drop_others({place for place, _ in covered})
        return crc32(b"".join(found))  # type: ignore[arg-type]  # none is None

    def _find_bytes(self, covered: Sequence[tuple[_Place, PriceLevel]]) -> None:
        """Make the bytes of levels that have none."""
        if any(len(self._queues.get(place, ())) != level[2] for place, level in covered):
            self.clear()
            best = self._engine.best_levels(self._book, READ_LEVELS)
            sides = find_queues(self._engine, *best, self._book)
            for side, levels in enumerate(sides):
                for level, queue in levels:
                    self._queues[side, level[0]] = dict(queue)
        for place, level in covered:
            if place not in self._bytes:
                self._bytes[place] = level_bytes(place[0], level, self._queues[place].items())

    def _drop_others(self, kept: set[_Place]) -> None:
        self._queues = {place: queue for place, queue in self._queues.items() if place in kept}
        self._bytes = {place: text for place, text in self._bytes.items() if place in kept}


def joined_orders(
    before: Mapping[int, OrderState], after: Mapping[int, OrderState]
) -> list[tuple[int, OrderState]]:
    """The orders that an event put to the back of a queue, in their order in it."""
    found = [
        (order.priority, order_id, order)
        for order_id, order in after.items()
        if order_id not in before or before[order_id].priority != order.priority
    ]
    return [(order_id, order) for _, order_id, order in sorted(found)]
