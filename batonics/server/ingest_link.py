"""The serving process's end of the socket to ingest.

The rule here: no client keeps this from reading. A message of ingest changes the replica at once,
and then marks what depends on it, which waits for nothing.
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
"""Interval between two reads. Ingest would pay for waking a reader that waits on the socket; a
reader that rests costs it nothing. Answers are as old as this at most."""


class BusyError(Exception):
    """Too many queries wait for their answer already."""


class IngestLink(asyncio.Protocol):
    """Applies ingest's messages to the replica, and sends queries to ingest.

    Args:
        replica: the books.
        changed: called with the books that a message has changed.
        feed_changed: called when the feed's state has changed.
        queries_max: how many queries may wait for their answer.

    Attributes:
        ended: done once no message will follow. Its result is the reason that ingest gave, or None.
        fault: what was wrong with ingest's last message, or None.
        last_message_at: when the last bytes arrived, by the loop's clock.
    """

    def __init__(
        self,
        replica: BookReplica,
        *,
        changed: Callable[[Sequence[int]], None],
        feed_changed: Callable[[], None],
        queries_max: int,
    ) -> None:
        self._replica, self._changed, self._feed_changed = replica, changed, feed_changed
        self._queries_max = queries_max
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._query_count = 0
        self._messages = MessageReader()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[str | None] = self._loop.create_future()
        self.fault: str | None = None
        self.last_message_at = self._loop.time()

    @classmethod
    async def open(cls, sock: socket.socket, make: Callable[[], IngestLink]) -> IngestLink:
        """Start reading from this process's end of the socket pair."""
        _, link = await asyncio.get_running_loop().create_connection(make, sock=sock)
        return link

    async def query(self, book: int, depth: int | None, *, orders: bool) -> dict[str, Any]:
        """Ingest's answer about a book; depth None: all levels.

        Raises:
            BusyError: too many queries wait already.
            ConnectionError: ingest has gone.
        """
        if len(self._answers) >= self._queries_max:
            raise BusyError
        return await self._ask({"book": book, "depth": depth, "orders": orders})

    async def request_checkpoint(self) -> int:
        """Have ingest write a checkpoint for readers of its log; the number of its bytes.

        Raises:
            ConnectionError: ingest has gone, or has no memory for it.
        """
        answer = await self._ask({"checkpoint": True})
        if "error" in answer:
            raise ConnectionError(str(answer["error"]))
        return int(answer["bytes"])

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._transport is None or self.ended.done():
            raise ConnectionError("ingest has gone")
        self._query_count += 1
        number = self._query_count
        answer: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._answers[number] = answer
        message = orjson.dumps({"id": number, **request})
        try:
            self._transport.write(encode_message(MessageKind.REQUEST, message))
            return await answer
        finally:
            del self._answers[number]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio calls this)."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for mypy
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Apply the messages that these bytes complete (asyncio calls this)."""
        self.last_message_at = self._loop.time()
        try:
            for kind, payload in self._messages.feed(data):
                self._apply(kind, payload)
        except (ValueError, KeyError, TypeError) as error:
            # Both ends are ours and of one version: this is a bug, and what follows means nothing.
            self._end(None, f"what ingest says makes no sense ({type(error).__name__}: {error})")
            return
        if self._transport is not None and not self.ended.done():
            self._transport.pause_reading()
            self._loop.call_later(READ_INTERVAL_S, self._resume_reading)

    def connection_lost(self, _: Exception | None) -> None:
        """End: ingest has closed its socket (asyncio calls this)."""
        self._end(None, None)

    def _resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _apply(self, kind: MessageKind, payload: bytes) -> None:
        if kind is MessageKind.BOOKS:
            if changed := self._replica.apply_books(payload):
                self._changed(changed)
        elif kind is MessageKind.STATS:
            if self._replica.apply_stats(parse_json(payload)):
                self._feed_changed()
        elif kind is MessageKind.RESPONSE:
            document = parse_json(payload)
            answer = self._answers.get(document["id"])
            if answer is not None and not answer.done():
                answer.set_result(document)
        elif kind is MessageKind.SYMBOLS:
            self._changed(self._replica.apply_names(parse_json(payload)))
        elif kind is MessageKind.HELLO:
            self._replica.apply_hello(parse_json(payload))
        elif kind is MessageKind.BYE:
            self._end(str(parse_json(payload)["reason"]), None)

    def _end(self, reason: str | None, fault: str | None) -> None:
        if self.ended.done():
            return
        self.fault = fault
        self.ended.set_result(reason)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError("ingest has gone"))
        if self._transport is not None:
            self._transport.abort()
