"""WebSockets: /ws/bbo and /ws/snapshot.

The rule here: what a client sends is a request that gets an answer, `subscribed` or `error`; what
it is sent comes from `fanout`, in a task of its own. A client that must go is told why in the close
frame, and is not waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from aiohttp import WSMsgType, web

from batonics.server import payloads
from batonics.server.fanout import (
    FLOOD,
    LOST,
    CloseReason,
    Fanout,
    WebSocketClient,
    write_messages,
)
from batonics.server.guard import WEBSOCKET_PROTOCOL
from batonics.server.query_params import ProblemError, parse_query
from batonics.server.service import Service
from batonics.server.subscription_requests import SubscriptionHandler

DRAIN_BYTES = 1 << 14
"""Sent to a client between two looks at whether it still takes them; more waits with `fanout`."""
FLUSH_POLL_S = 0.05
"""How often it is looked whether a client that is cut has taken its last bytes."""
_REASON_BYTES_MAX = 123  # of a close frame


class WebSocketHandler:
    """Answers both paths; knows which connections are being closed."""

    def __init__(self, service: Service, fanout: Fanout) -> None:
        self._service, self._fanout = service, fanout
        self._wishes = SubscriptionHandler(service.replica, fanout, service.config.settings.limits)
        self._closing: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        """Which handler answers what."""
        return [
            web.get("/ws/bbo", self._bbo, allow_head=False),
            web.get("/ws/snapshot", self._snapshot, allow_head=False),
        ]

    async def close_all(self, cut: CloseReason) -> None:
        """Tell every client why this is the end, and close it."""
        for client in list(self._fanout.clients):
            self._fanout.cut(client, cut)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _bbo(self, request: web.Request) -> web.WebSocketResponse:
        known = parse_query(request.query.items(), ("symbol",))
        return await self._talk(request, "bbo", {"symbols": _symbols(known)})

    async def _snapshot(self, request: web.Request) -> web.WebSocketResponse:
        known = parse_query(request.query.items(), ("symbol", "depth"))
        wanted = {"symbols": _symbols(known), "depth": known.get("depth")}
        return await self._talk(request, "snapshot", wanted)

    async def _talk(
        self, request: web.Request, channel: str, first: dict[str, Any]
    ) -> web.WebSocketResponse:
        limits, fanout = self._service.config.settings.limits, self._fanout
        self._refuse_more(request.remote or "")
        socket = web.WebSocketResponse(
            timeout=limits.close_timeout_s,
            autoping=False,
            compress=False,
            max_msg_size=limits.message_bytes_max,
            protocols=(WEBSOCKET_PROTOCOL,),
            writer_limit=DRAIN_BYTES,
        )
        if not socket.can_prepare(request):
            upgrade = {"Upgrade": "websocket"}
            raise ProblemError(426, "WebSocket", "this path speaks WebSocket", headers=upgrade)
        writing: asyncio.Task[None] | None = None

        def close(cut: CloseReason) -> None:
            if writing is not None:
                writing.cancel()
            self._close(request, socket, cut)

        client = WebSocketClient(request.remote or "", channel, close)
        answers = [self._wishes.subscribe(client, first)] if first["symbols"] else []
        fanout.add(client)
        try:
            await socket.prepare(request)
            for answer in answers:
                client.note(answer)
            writing = asyncio.create_task(
                write_messages(fanout, client, _sender(socket), socket.ping)
            )
            writing.add_done_callback(lambda task: self._after_writing(task, client))
            await self._read(socket, client)
        finally:
            fanout.remove(client)
            if writing is not None:
                writing.cancel()
        return socket

    def _refuse_more(self, remote: str) -> None:
        full = self._fanout.full(remote)
        if full is None:
            return
        self._service.metrics.refused.labels(f"full_{full}").inc()
        again = {"Retry-After": "5"}
        if full == "address":
            raise ProblemError(429, "Full", "too many clients of this address", headers=again)
        raise ProblemError(503, "Full", "too many clients", headers=again)

    def _after_writing(self, task: asyncio.Task[None], client: WebSocketClient) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if not isinstance(error, ConnectionError):
            self._service.log.error("client_writer_failed", error=repr(error))
        self._fanout.cut(client, LOST)

    async def _read(self, socket: web.WebSocketResponse, client: WebSocketClient) -> None:
        async for message in socket:
            client.unanswered_since = None
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                client.note(self._wishes.answer(client, message.data))
            elif message.type is WSMsgType.BINARY:
                client.note({"type": "error", "detail": "a message is text", "id": None})
            if len(client.notes) > self._service.config.settings.limits.replies_max:
                self._fanout.cut(client, FLOOD)
                return
            await asyncio.sleep(0)  # one message of a client's at a time: others have a turn

    def _close(self, request: web.Request, socket: web.WebSocketResponse, cut: CloseReason) -> None:
        """Say why, wait a little for the client to take it, and tear the connection down."""
        transport = request.transport  # gone from the request once the connection is
        if cut.reason != "ended":
            self._service.log.info("client_cut", remote=request.remote, reason=cut.reason)

        async def closing() -> None:
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(self._service.config.settings.limits.close_timeout_s):
                    if cut.reason == "ended":
                        bye = payloads.dumps({"type": "bye", "reason": cut.text})
                        await socket.send_frame(bye, WSMsgType.TEXT)
                    message = cut.text.encode()[:_REASON_BYTES_MAX].decode(errors="ignore")
                    await socket.close(code=cut.code, message=message.encode())
                    await _flushed(transport)
            if transport is not None:
                transport.abort()

        task = asyncio.create_task(closing())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _sender(socket: web.WebSocketResponse) -> Any:
    async def send(message: bytes) -> None:
        await socket.send_frame(message, WSMsgType.TEXT)

    return send


async def _flushed(transport: asyncio.WriteTransport | None) -> None:
    """Wait until what was written is on its way: `abort` would drop it."""
    while transport is not None and transport.get_write_buffer_size():  # noqa: ASYNC110 - no event
        await asyncio.sleep(FLUSH_POLL_S)


def _symbols(known: dict[str, str]) -> list[str]:
    return [symbol for symbol in known.get("symbol", "").split(",") if symbol]
