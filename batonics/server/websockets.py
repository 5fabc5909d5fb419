"""The WebSocket paths /ws/bbo and /ws/snapshot.

The rule here: each message of a client gets a reply (`subscription_requests`) and costs its address
units, as a request does; where the address has none, its clients' next messages are read later. A
task of the client's own sends the messages of `fanout`. The close frame of a client that the server
closes has the reason, and the server does not wait for the client's own close.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import WSMsgType, web

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
from batonics.server.websocket_closing import close_websocket

DRAIN_BYTES = 1 << 14
"""Bytes that are written before the sender waits for the client to read; more stays in `fanout`."""
BOOKS_PER_UNIT = 5
"""Books of a client's message that cost its address one unit (`request_rate.py`)."""
PAY_POLL_S = 1.0
"""The longest wait until a client is known to be alive again, while its address has no units."""


class WebSocketHandler:
    """Serves both paths, and closes connections."""

    def __init__(self, service: Service, fanout: Fanout) -> None:
        self._service, self._fanout = service, fanout
        self._requests = SubscriptionHandler(
            service.replica, fanout, service.config.settings.limits
        )
        self._closing: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        """The handler of each path."""
        return [
            web.get("/ws/bbo", self._bbo, allow_head=False),
            web.get("/ws/snapshot", self._snapshot, allow_head=False),
        ]

    async def close_all(self, reason: CloseReason) -> None:
        """Close every client with a reason."""
        for client in list(self._fanout.clients):
            self._fanout.close(client, reason)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _bbo(self, request: web.Request) -> web.WebSocketResponse:
        params = parse_query(request.query.items(), ("symbol",))
        return await self._serve(request, "bbo", {"symbols": _symbols(params)})

    async def _snapshot(self, request: web.Request) -> web.WebSocketResponse:
        params = parse_query(request.query.items(), ("symbol", "depth"))
        first = {"symbols": _symbols(params), "depth": params.get("depth")}
        return await self._serve(request, "snapshot", first)

    async def _serve(
        self, request: web.Request, channel: str, first: dict[str, Any]
    ) -> web.WebSocketResponse:
        limits, fanout = self._service.config.settings.limits, self._fanout
        self._check_limits(request.remote or "")
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

        def close(reason: CloseReason) -> None:
            if writing is not None:
                writing.cancel()
            self._close(request, socket, reason)

        client = WebSocketClient(request.remote or "", channel, close)
        replies = [self._requests.subscribe(client, first)] if first["symbols"] else []
        fanout.add(client)
        try:
            await socket.prepare(request)
            for reply in replies:
                client.reply(reply)
            writing = asyncio.create_task(
                write_messages(fanout, client, _sender(socket), socket.ping)
            )
            writing.add_done_callback(lambda task: self._after_writing(task, client))
            await self._read(socket, client)
        except ConnectionError:
            self._service.log.debug("client_gone", remote=request.remote)  # no fault of ours
        finally:
            fanout.remove(client)
            if writing is not None:
                writing.cancel()
        return socket

    def _check_limits(self, remote: str) -> None:
        limit = self._fanout.exceeded_limit(remote)
        if limit is None:
            return
        self._service.metrics.refused.labels(f"full_{limit}").inc()
        again = {"Retry-After": "5"}
        if limit == "address":
            raise ProblemError(429, "Full", "too many clients of this address", headers=again)
        raise ProblemError(503, "Full", "too many clients", headers=again)

    def _after_writing(self, task: asyncio.Task[None], client: WebSocketClient) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if not isinstance(error, ConnectionError):
            self._service.log.error("client_writer_failed", error=repr(error))
        self._fanout.close(client, LOST)

    async def _read(self, socket: web.WebSocketResponse, client: WebSocketClient) -> None:
        async for message in socket:
            client.unanswered_since = None
            units = 1.0
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                reply = self._requests.reply(client, message.data)
                client.reply(reply)
                units += len(reply.get("books", ())) / BOOKS_PER_UNIT
            elif message.type is WSMsgType.BINARY:
                client.reply({"type": "error", "detail": "a message is text", "id": None})
            else:
                continue
            if len(client.replies) > self._service.config.settings.limits.replies_max:
                self._fanout.close(client, FLOOD)
                return
            await self._pay(client, units)

    async def _pay(self, client: WebSocketClient, units: float) -> None:
        """Wait until the client's address has the units of its message; others have a turn."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)
        while (wait_s := self._service.rate.take(client.remote, units, loop.time())) > 0:
            await asyncio.sleep(min(wait_s, PAY_POLL_S))
            client.unanswered_since = None  # its pong waits behind its next message

    def _close(
        self, request: web.Request, socket: web.WebSocketResponse, reason: CloseReason
    ) -> None:
        """Send the reason, give the client some time to read it, and abort the connection."""
        transport = request.transport  # gone from the request once the connection is
        if reason.label != "ended":
            self._service.log.info("client_cut", remote=request.remote, reason=reason.label)

        timeout_s = self._service.config.settings.limits.close_timeout_s
        closing = close_websocket(transport, socket, reason, timeout_s)
        task = asyncio.create_task(closing)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _sender(socket: web.WebSocketResponse) -> Any:
    async def send(message: bytes) -> None:
        await socket.send_frame(message, WSMsgType.TEXT)

    return send


def _symbols(params: dict[str, str]) -> list[str]:
    return [symbol for symbol in params.get("symbol", "").split(",") if symbol]
