"""A client of /ws/snapshot and /ws/bbo that checks every message.

The rule here: it follows the documented protocol, and shares no code with the server.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from zlib import crc32

Level = tuple[int, int, int]


class ClientBook:
    """One book of one channel, rebuilt from messages; AssertionError where they do not fit.

    Attributes:
        seq: the `seq` of the last message; None before the first snapshot.
        bids: size and count of bid levels by price (1e-9).
        asks: size and count of ask levels by price (1e-9).
        updates: the number of updates.
        snapshots: the number of snapshots.
        statuses: the number of messages on status.
        skipped: the number of states that updates left out.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.seq: int | None = None
        self.status = self.feed = ""
        self.bids: dict[int, tuple[int, int]] = {}
        self.asks: dict[int, tuple[int, int]] = {}
        self.updates = self.snapshots = self.statuses = self.skipped = 0

    def take(self, message: dict[str, Any]) -> None:
        """Apply a message of this book."""
        kind = message["type"]
        if kind == "snapshot":
            assert message["prev_seq"] is None
            self.snapshots += 1
        else:
            assert message["prev_seq"] == self.seq, "a hole"
        if kind == "update":
            assert self.seq is not None
            assert message["seq"] > self.seq
            assert (message["status"], message["feed"]) == (self.status, self.feed)
            self.skipped += message["seq"] - self.seq - 1
            self.updates += 1
        if kind == "status":
            assert message["seq"] == self.seq
            assert (message["status"], message["feed"]) != (self.status, self.feed)
            self.statuses += 1
        else:
            self._levels(message)
        self.seq, self.status, self.feed = message["seq"], message["status"], message["feed"]

    def _levels(self, message: dict[str, Any]) -> None:
        if message["channel"] == "bbo":
            self.bids, self.asks = (_only(message[side]) for side in ("bid", "ask"))
            return
        if message["type"] == "snapshot":
            self.bids, self.asks = (
                {nanos(price): (size, count) for price, size, count in message[side]}
                for side in ("bids", "asks")
            )
        for side, price, size, count in message.get("changes", ()):
            levels = {"bid": self.bids, "ask": self.asks}[side]
            if size:
                assert levels.get(nanos(price)) != (size, count), "no change"
                levels[nanos(price)] = (size, count)
            else:
                del levels[nanos(price)]
        assert len(self.bids) <= self.depth
        assert len(self.asks) <= self.depth
        assert self.checksum() == message["checksum"]

    def levels(self) -> tuple[list[Level], list[Level]]:
        """Bids and asks, best first."""
        return (
            [(price, *self.bids[price]) for price in sorted(self.bids, reverse=True)],
            [(price, *self.asks[price]) for price in sorted(self.asks)],
        )

    def checksum(self) -> int:
        """The checksum that the documentation describes."""
        text = ""
        for side in self.levels():
            for price, size, count in side[:10]:
                text += f"{decimal(price)}:{size}:{count};"
        return crc32(text.encode())


class Listener:
    """All books of one connection.

    Attributes:
        books: the books by channel and symbol.
        other: the messages of no book, except heartbeats.
        heartbeats: the number of heartbeats.
    """

    def __init__(self, depth: int = 10) -> None:
        self.depth = depth
        self.books: dict[tuple[str, str], ClientBook] = {}
        self.other: list[dict[str, Any]] = []
        self.heartbeats = 0

    def take(self, data: str | bytes) -> dict[str, Any]:
        """Apply a message; the parsed message."""
        message: dict[str, Any] = json.loads(data)
        if message["type"] == "heartbeat":
            self.heartbeats += 1
            for told in message["books"]:
                book = self.books[told["channel"], told["symbol"]]
                assert (told["seq"], told["status"]) == (book.seq, book.status)
        elif "seq" in message:
            key = (message["channel"], message["symbol"])
            depth = 1 if message["channel"] == "bbo" else self.depth
            self.books.setdefault(key, ClientBook(depth)).take(message)
        else:
            self.other.append(message)
        return message


def nanos(price: str) -> int:
    """A price of 1e-9."""
    return int(Decimal(price).scaleb(9))


def decimal(price: int) -> str:
    """Its shortest text."""
    return f"{Decimal(price).scaleb(-9).normalize():f}"


def _only(level: dict[str, Any] | None) -> dict[int, tuple[int, int]]:
    if level is None:
        return {}
    assert nanos(level["price"]) == level["price_1e9"]
    return {level["price_1e9"]: (level["size"], level["count"])}
