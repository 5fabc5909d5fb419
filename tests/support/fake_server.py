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
    """The other end of a link; it reads when the test calls `read`.

    Attributes:
        link: ingest's end.
        socket: the server's end.
        rows: the last row of each book, by number.
        feeds: the states of the feed, in order.
        names: the names of books by number.
        name_rows: how many names were sent.
        answers: the responses, by id.
        bye: the reason of BYE; None before it.
    """

    def __init__(self) -> None:
        ingest_socket, self.socket = socket.socketpair()
        ingest_socket.setblocking(False)
        self.link = ServerLink(ingest_socket)
        self.rows: dict[int, Any] = {}
        self.feeds: list[int] = []
        self.answers: dict[int, dict[str, Any]] = {}
        self.names: dict[int, list[Any]] = {}
        self.name_rows = 0
        self.bye: str | None = None
        self._messages = MessageReader()

    def read(self) -> bool:
        """Wait for messages and take them; False at the end of the link."""
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
                response = orjson.loads(payload)
                self.answers[response["id"]] = response
            elif kind is MessageKind.SYMBOLS:
                rows = orjson.loads(payload)
                self.name_rows += len(rows)
                self.names.update((row[0], row) for row in rows)
            elif kind is MessageKind.BYE:
                self.bye = orjson.loads(payload)["reason"]
        return bool(data)

    def ask(self, number: int, book: int, depth: int | None, *, orders: bool = False) -> None:
        """Request a book."""
        self.ask_at_once({"id": number, "book": book, "depth": depth, "orders": orders})

    def ask_at_once(self, *requests: dict[str, Any]) -> None:
        """Send requests in one piece, so that ingest answers them all from one state."""
        messages = (encode_message(MessageKind.REQUEST, orjson.dumps(one)) for one in requests)
        self.socket.sendall(b"".join(messages))

    def read_to_the_end(self) -> None:
        """Read until ingest closes the link; then close this end."""
        with self.socket:
            while self.read():
                pass
