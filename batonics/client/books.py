"""Books as a client keeps them: snapshots replace them, updates change them, checksums prove them.

The rule here: a message applies to the book that it was made for, or `BookMismatchError` says why
not. docs/api.md describes the same steps in words.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nlargest, nsmallest
from typing import TYPE_CHECKING, Any

from batonics.model.book_checksum import (
    CHECKSUM_LEVELS,
    PriceLevel,
    Queue,
    levels_checksum,
    queues_checksum,
)
from batonics.model.prices import parse_price

if TYPE_CHECKING:
    import polars as pl

_SIDES = "BA"


class BookMismatchError(Exception):
    """A message does not fit the book that the client has: a message before it is missing."""


class ClientBook:
    """What every book of a client has.

    Attributes:
        symbol: the name of the book.
        publisher_id: its publisher.
        instrument_id: its instrument.
        status: `cold`, `synced` or `stale`, as of the last message.
        warnings: what makes answers about it doubtful.
        seq: the number of the record after which the server's book is this one; -1: before the
            first record; None: no snapshot has come.
        ts_event: `ts_event` of its last record, as text; None: it has none.
        ts_recv: `ts_recv` of its last record, as text; None: it has none.
        checked: the number of checksums that this book has equalled.
    """

    def __init__(self, head: dict[str, Any]) -> None:
        self.symbol: str = head["symbol"]
        self.publisher_id: int = head["publisher_id"]
        self.instrument_id: int = head["instrument_id"]
        self.status, self.warnings = "cold", list[str]()
        self.seq: int | None = None
        self.ts_event: str | None = None
        self.ts_recv: str | None = None
        self.checked = 0

    def apply(self, message: dict[str, Any]) -> bool:
        """Apply a message about this book; whether it was new.

        Raises:
            BookMismatchError: it does not fit, or the book after it is not the server's. The book
                is of no use until the next snapshot.
        """
        if message["type"] == "snapshot":
            self._replace(message)
        elif self.seq is None:
            raise BookMismatchError("an update before a snapshot")
        elif message["seq"] <= self.seq:
            return False  # it has come before
        elif message["prev_seq"] != self.seq:
            expected = f"the update follows {message['prev_seq']}, the book is at {self.seq}"
            raise BookMismatchError(expected)
        else:
            self._change(message)
        self.seq = message["seq"]
        self.status, self.warnings = message["status"], message["warnings"]
        self.ts_event, self.ts_recv = message["ts_event"], message["ts_recv"]
        if "checksum" in message:
            if self.checksum() != message["checksum"]:
                raise BookMismatchError(f"the checksum at {self.seq} differs")
            self.checked += 1
        return True

    def checksum(self) -> int:
        """The checksum of the book as it is."""
        raise NotImplementedError

    def _replace(self, message: dict[str, Any]) -> None:
        raise NotImplementedError

    def _change(self, message: dict[str, Any]) -> None:
        raise NotImplementedError

    def _frame(self, columns: dict[str, Any]) -> pl.DataFrame:
        """A frame with the columns that name the book first."""
        import polars as pl

        rows = len(columns["price"])
        keys = {
            "publisher_id": pl.repeat(self.publisher_id, rows, dtype=pl.UInt16, eager=True),
            "instrument_id": pl.repeat(self.instrument_id, rows, dtype=pl.UInt32, eager=True),
            "symbol": pl.repeat(self.symbol, rows, dtype=pl.String, eager=True),
        }
        types: dict[str, Any] = {
            "side": pl.Enum(list(_SIDES)),
            "level": pl.UInt32,
            "position": pl.UInt32,
            "order_id": pl.UInt64,
        }
        typed = {
            name: pl.Series(name, values, types.get(name, pl.Int64))
            for name, values in columns.items()
        }
        return pl.DataFrame({**keys, **typed})


class LevelBook(ClientBook):
    """The levels of a book, of the channels bbo and l2.

    Args:
        head: a message about the book.
        depth: levels of each side; None: all.

    Attributes:
        depth: levels of each side; None: all.
    """

    def __init__(self, head: dict[str, Any], depth: int | None) -> None:
        super().__init__(head)
        self.depth = depth
        self._levels: tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]] = ({}, {})

    @property
    def bids(self) -> list[PriceLevel]:
        """Price (1e-9), size and number of orders of each bid, best first."""
        return [(price, *self._levels[0][price]) for price in sorted(self._levels[0], reverse=True)]

    @property
    def asks(self) -> list[PriceLevel]:
        """Price (1e-9), size and number of orders of each ask, best first."""
        return [(price, *self._levels[1][price]) for price in sorted(self._levels[1])]

    def checksum(self) -> int:
        """The checksum of the book as it is."""
        return levels_checksum(self.bids, self.asks, self.depth)

    def frame(self) -> pl.DataFrame:
        """The levels as `Books.levels` of batonics has them; prices are Int64 of 1e-9."""
        rows = [
            (side, level, *row)
            for side, levels in zip(_SIDES, (self.bids, self.asks), strict=True)
            for level, row in enumerate(levels)
        ]
        names = ("side", "level", "price", "size", "count")
        return self._frame({name: [row[at] for row in rows] for at, name in enumerate(names)})

    def _replace(self, message: dict[str, Any]) -> None:
        self._levels = {}, {}
        self._set(message)

    def _change(self, message: dict[str, Any]) -> None:
        if message["channel"] == "bbo":
            self._levels = {}, {}
        self._set(message)

    def _set(self, message: dict[str, Any]) -> None:
        if message["channel"] == "bbo":
            sides = [[row] if row else [] for row in (message["bid"], message["ask"])]
        else:
            sides = [message["bids"], message["asks"]]
        for levels, rows in zip(self._levels, sides, strict=True):
            for price, size, count in rows:
                if size:
                    levels[parse_price(price)] = size, count
                else:
                    levels.pop(parse_price(price), None)


class OrderBook(ClientBook):
    """All orders of a book, of the channel l3.

    Args:
        head: a message about the book.
    """

    def __init__(self, head: dict[str, Any]) -> None:
        super().__init__(head)
        # By side and price: the size of each order, by id, in priority order.
        self._queues: tuple[dict[int, dict[int, int]], dict[int, dict[int, int]]] = ({}, {})
        self._places: dict[int, tuple[int, int]] = {}

    @property
    def bids(self) -> list[tuple[PriceLevel, Queue]]:
        """Each bid level and its orders, best first."""
        return self._side(0, sorted(self._queues[0], reverse=True))

    @property
    def asks(self) -> list[tuple[PriceLevel, Queue]]:
        """Each ask level and its orders, best first."""
        return self._side(1, sorted(self._queues[1]))

    def checksum(self) -> int:
        """The checksum of the book as it is."""
        return queues_checksum(
            self._side(0, nlargest(CHECKSUM_LEVELS, self._queues[0])),
            self._side(1, nsmallest(CHECKSUM_LEVELS, self._queues[1])),
        )

    def frame(self) -> pl.DataFrame:
        """The orders as `Books.orders` of batonics has them; prices are Int64 of 1e-9."""
        rows = [
            (side, level[0], position, order_id, size)
            for side, levels in zip(_SIDES, (self.bids, self.asks), strict=True)
            for level, queue in levels
            for position, (order_id, size) in enumerate(queue)
        ]
        names = ("side", "price", "position", "order_id", "size")
        return self._frame({name: [row[at] for row in rows] for at, name in enumerate(names)})

    def _side(self, side: int, prices: Iterable[int]) -> list[tuple[PriceLevel, Queue]]:
        found: list[tuple[PriceLevel, Queue]] = []
        for price in prices:
            queue = self._queues[side][price]
            found.append(((price, sum(queue.values()), len(queue)), list(queue.items())))
        return found

    def _replace(self, message: dict[str, Any]) -> None:
        self._queues, self._places = ({}, {}), {}
        for side, levels in enumerate((message["bids"], message["asks"])):
            for level in levels:
                price = parse_price(level["price"])
                for order_id, size in level["orders"]:
                    self._add(int(order_id), side, price, size)

    def _change(self, message: dict[str, Any]) -> None:
        for change in message["changes"]:
            order_id, kind = int(change["order_id"]), change["change"]
            place = self._places.get(order_id)
            if (place is None) != (kind == "added"):
                raise BookMismatchError(f"order {order_id} is {kind}, which does not fit")
            if kind == "kept" and place is not None:
                self._queues[place[0]][place[1]][order_id] = change["size"]
                continue
            if place is not None:
                self._remove(order_id, *place)
            if kind != "removed":
                side, price = _SIDES.index(change["side"]), parse_price(change["price"])
                self._add(order_id, side, price, change["size"])

    def _add(self, order_id: int, side: int, price: int, size: int) -> None:
        self._queues[side].setdefault(price, {})[order_id] = size
        self._places[order_id] = side, price

    def _remove(self, order_id: int, side: int, price: int) -> None:
        del self._places[order_id]
        queue = self._queues[side][price]
        del queue[order_id]
        if not queue:
            del self._queues[side][price]


class TradesFeed(ClientBook):
    """The trades of a book, of the channel trades: which was the last one.

    Args:
        head: a message about the book.

    Attributes:
        last: the message of the last trade; None: none has come since the snapshot.
    """

    def __init__(self, head: dict[str, Any]) -> None:
        super().__init__(head)
        self.last: dict[str, Any] | None = None

    def _replace(self, message: dict[str, Any]) -> None:  # noqa: ARG002 - it has none
        self.last = None

    def _change(self, message: dict[str, Any]) -> None:
        self.last = message
