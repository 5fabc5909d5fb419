"""A server's end of the link with an ingest, without a server behind it."""

from __future__ import annotations

import socket
from typing import Any

import numpy as np
import orjson

from batonics.live.protocol import MessageKind, MessageReader, book_dtype, encode_message
from batonics.live.server_link import ServerLink

DTYPE = book_dtype(10)


class FakeServer:
    """The other end of a link, read when the test wants it to be.

    Attributes:
        rows: the last row of each book, by number.
        feeds: states of the feed, as told.
        answers: by id.
        bye: the last word.
    """

    def __init__(self) -> None:
        ours, self.socket = socket.socketpair()
        ours.setblocking(False)
        self.link = ServerLink(ours)
        self.rows: dict[int, Any] = {}
        self.feeds: list[int] = []
        self.answers: dict[int, dict[str, Any]] = {}
        self.names: list[Any] = []
        self.bye: str | None = None
        self._messages = MessageReader()

    def read(self) -> bool:
        """Take what has arrived; False at the end."""
        data = self.socket.recv(1 << 20)
        for kind, payload in self._messages.feed(data):
            if kind is MessageKind.BOOKS:
                for row in np.frombuffer(payload, DTYPE):
                    before = self.rows.get(int(row["book"]))
                    assert before is None or row["seq"] > before["seq"]
                    self.rows[int(row["book"])] = row
            elif kind is MessageKind.STATS:
                self.feeds.append(orjson.loads(payload)["feed"])
            elif kind is MessageKind.RESPONSE:
                said = orjson.loads(payload)
                self.answers[said["id"]] = said
            elif kind is MessageKind.SYMBOLS:
                self.names = orjson.loads(payload)
            elif kind is MessageKind.BYE:
                self.bye = orjson.loads(payload)["reason"]
        return bool(data)

    def ask(self, number: int, book: int, depth: int | None, *, orders: bool = False) -> None:
        """Ask for a book."""
        question = {"id": number, "book": book, "depth": depth, "orders": orders}
        self.socket.sendall(encode_message(MessageKind.REQUEST, orjson.dumps(question)))

    def read_to_the_end(self) -> None:
        """Until the link is closed; then close this end."""
        with self.socket:
            while self.read():
                pass
