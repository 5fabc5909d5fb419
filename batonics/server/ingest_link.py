"""The socket to ingest, read a thousand times a second.

The rule here: nothing that a client does keeps this from reading. What ingest says goes into the
mirror at once; who wants to know is told after that, and may not wait.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from batonics.live.protocol import MessageKind, MessageReader, encode_message
from batonics.server.replica import BookReplica, parse_json

READ_INTERVAL_S = 0.001
"""Between two reads. A process that waits is woken by each message, at the writer's cost; one that
rests is not. It is what an answer may be old."""


class BusyError(Exception):
    """Too many questions wait for their answer already."""


class IngestLink(asyncio.Protocol):
    """Reads ingest's messages into a mirror and asks for what the mirror lacks.

    Attributes:
        ended: done when nothing more will come; its result is ingest's last word, None if there
            was none.
        heard_at: when ingest last said something, by the loop's clock.
    """

    def __init__(
        self,
        replica: BookReplica,
        *,
        changed: Callable[[Sequence[int]], None],
        feed_changed: Callable[[], None],
        queries_max: int,
    ) -> None:
        self._mirror, self._changed, self._feed_changed = replica, changed, feed_changed
        self._queries_max = queries_max
        self._asks: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._asked = 0
        self._messages = MessageReader()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[str | None] = self._loop.create_future()
        self.fault: str | None = None
        self.last_message_at = self._loop.time()

    @classmethod
    async def open(cls, end: socket.socket, make: Callable[[], IngestLink]) -> IngestLink:
        """Start reading from our end of the pair."""
        _, link = await asyncio.get_running_loop().create_connection(make, sock=end)
        return link

    async def ask(self, book: int, depth: int | None, *, orders: bool) -> dict[str, Any]:
        """A book of any depth; None: all levels.

        Raises:
            BusyError: too many are asking.
            ConnectionError: ingest has gone.
        """
        if self._transport is None or self.ended.done():
            raise ConnectionError("ingest has gone")
        if len(self._asks) >= self._queries_max:
            raise BusyError
        self._asked += 1
        number = self._asked
        answer: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._asks[number] = answer
        question = {"id": number, "book": book, "depth": depth, "orders": orders}
        try:
            self._transport.write(encode_message(MessageKind.REQUEST, orjson.dumps(question)))
            return await answer
        finally:
            del self._asks[number]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for mypy
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Of asyncio: what has arrived, whole messages or not."""
        self.last_message_at = self._loop.time()
        try:
            for kind, payload in self._messages.feed(data):
                self._take(kind, payload)
        except (ValueError, KeyError, TypeError) as error:
            # Both ends are ours and of one version: this is a bug, and what follows means nothing.
            self._end(None, f"what ingest says makes no sense ({type(error).__name__}: {error})")
            return
        if self._transport is not None and not self.ended.done():
            self._transport.pause_reading()
            self._loop.call_later(READ_INTERVAL_S, self._go_on)

    def _go_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, _: Exception | None) -> None:
        """Of asyncio: ingest has ended."""
        self._end(None, None)

    def _take(self, kind: MessageKind, payload: bytes) -> None:
        if kind is MessageKind.BOOKS:
            if changed := self._mirror.apply_books(payload):
                self._changed(changed)
        elif kind is MessageKind.STATS:
            if self._mirror.apply_stats(parse_json(payload)):
                self._feed_changed()
        elif kind is MessageKind.RESPONSE:
            said = parse_json(payload)
            answer = self._asks.get(said["id"])
            if answer is not None and not answer.done():
                answer.set_result(said)
        elif kind is MessageKind.SYMBOLS:
            self._changed(self._mirror.apply_names(parse_json(payload)))
        elif kind is MessageKind.HELLO:
            self._mirror.apply_hello(parse_json(payload))
        elif kind is MessageKind.BYE:
            self._end(str(parse_json(payload)["reason"]), None)

    def _end(self, reason: str | None, fault: str | None) -> None:
        if self.ended.done():
            return
        self.fault = fault
        self.ended.set_result(reason)
        for answer in self._asks.values():
            if not answer.done():
                answer.set_exception(ConnectionError("ingest has gone"))
        if self._transport is not None:
            self._transport.abort()
