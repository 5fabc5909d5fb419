"""The WebSocket path /v1/ws.

The rule here: the loop reads and writes; a worker thread makes the messages (`ChannelSession`). One
task for each client takes turns: it has a turn made, writes its messages, and waits until there is
more, or a request. The next turn is made when the client has taken the last one, so what a client
that does not read costs is one turn of messages. The processor time of its turns is charged to its
address.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from batonics.server.channel_session import ChannelSession, Turn
from batonics.server.channel_source import BookSource
from batonics.server.fanout import CONTROL, FLOOD, LOST, CloseReason
from batonics.server.guard import WEBSOCKET_PROTOCOL
from batonics.server.query_params import ProblemError, parse_query
from batonics.server.service import WebService
from batonics.server.websocket_closing import close_websocket

WEBSOCKET_PATH = "/v1/ws"
CHANNEL_WORKERS = 2
WRITE_BUFFER_BYTES = 1 << 14
"""Bytes that may wait in this process for a client before its task waits."""
EVENTS_WAIT_S = 1.0
"""How long the messages of a turn may wait for the client before l3 and trades are cut."""
TURNS_PER_S_MIN = 1.0
"""The longest wait for units of the client's address, a turn, in seconds."""
_NOT_READ = "messages waited for longer than a second: the client reads too slowly"


@dataclass(eq=False)
class ChannelClient:
    """A connection.

    Attributes:
        remote: its IP address.
        session: what it has subscribed to.
        requests: its messages that no turn has carried out.
        wake: set when there are some.
        task: takes its turns.
    """

    remote: str
    session: ChannelSession
    requests: deque[str] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class ChannelSockets:
    """Serves /v1/ws, and closes its connections.

    Args:
        service: the server.
        new_source: makes the source of a connection's books.
    """

    def __init__(self, service: WebService, new_source: Callable[[], BookSource]) -> None:
        self._service, self._new_source = service, new_source
        self._limits = service.config.settings.limits
        self._workers = ThreadPoolExecutor(CHANNEL_WORKERS, "batonics-channels")
        self._clients: dict[ChannelClient, Callable[[CloseReason], None]] = {}
        self._per_address: Counter[str] = Counter()
        self._closing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End all connections, and the workers."""
        reason = CloseReason(1001, "ended", "the server was asked to end")
        for close in list(self._clients.values()):
            close(reason)
        if self._closing:
            await asyncio.wait(self._closing)
        self._workers.shutdown(cancel_futures=True)

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve a connection until it ends."""
        parse_query(request.query.items(), ())
        remote = request.remote or ""
        self._check_limits(remote)
        socket = web.WebSocketResponse(
            timeout=self._limits.close_timeout_s,
            heartbeat=self._limits.stall_timeout_s,
            compress=False,
            max_msg_size=self._limits.message_bytes_max,
            protocols=(WEBSOCKET_PROTOCOL,),
            writer_limit=WRITE_BUFFER_BYTES,
        )
        if not socket.can_prepare(request):
            upgrade = {"Upgrade": "websocket"}
            raise ProblemError(426, "WebSocket", "this path speaks WebSocket", headers=upgrade)
        loop = asyncio.get_running_loop()
        session = ChannelSession(self._new_source(), self._limits, loop.time())
        client = ChannelClient(remote, session)
        self._add(client, lambda reason: self._close(client, request, socket, reason))
        try:
            await socket.prepare(request)
            if request.transport is not None:
                request.transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
            client.task = asyncio.create_task(self._take_turns(client, socket))
            client.task.add_done_callback(lambda task: self._after(task, client))
            await self._read(client, socket)
        except ConnectionError:
            self._service.log.debug("client_gone", remote=remote)  # no fault of ours
        finally:
            self._remove(client)
            if client.task is not None:
                client.task.cancel()
        return socket

    # ------------------------------------------------------------------ one connection

    async def _read(self, client: ChannelClient, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                client.requests.append("")  # which is answered as what it is: no request
            elif message.type is WSMsgType.TEXT:
                client.requests.append(message.data)
            client.wake.set()
            if len(client.requests) > self._limits.replies_max:
                self._cut(client, FLOOD)
                return

    async def _take_turns(self, client: ChannelClient, socket: web.WebSocketResponse) -> None:
        """Write the messages of turns until cancelled."""
        loop, stall_s = asyncio.get_running_loop(), self._limits.stall_timeout_s
        while True:
            client.wake.clear()
            requests = [client.requests.popleft() for _ in range(len(client.requests))]
            turn, seconds = await loop.run_in_executor(
                self._workers, _timed_turn, client.session, requests, loop.time()
            )
            started = loop.time()
            try:
                async with asyncio.timeout(stall_s):
                    await self._write(turn, socket)
            except TimeoutError:
                stall = CloseReason(1013, "stalled", f"took nothing for {stall_s:g} s")
                self._cut(client, stall)
                return
            if loop.time() - started > EVENTS_WAIT_S:
                client.session.cut_events(_NOT_READ)
            await self._pay(client, seconds * 1e3)
            if turn.wait_s > 0 and not client.requests:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(turn.wait_s):
                        await client.wake.wait()

    async def _write(self, turn: Turn, socket: web.WebSocketResponse) -> None:
        for channel, message in turn.messages:
            await socket.send_frame(message, WSMsgType.TEXT)
            self._service.metrics.sent.labels(channel or CONTROL).inc()

    async def _pay(self, client: ChannelClient, units: float) -> None:
        """Wait until the client's address has the units of its turn, a second at the most."""
        loop = asyncio.get_running_loop()
        wait_s = self._service.rate.take(client.remote, units, loop.time())
        await asyncio.sleep(min(wait_s, TURNS_PER_S_MIN))

    # ------------------------------------------------------------------ all connections

    def _check_limits(self, remote: str) -> None:
        again = {"Retry-After": "5"}
        if len(self._clients) >= self._limits.clients_max:
            self._service.metrics.refused.labels("full_clients").inc()
            raise ProblemError(503, "Full", "too many clients", headers=again)
        if self._per_address[remote] >= self._limits.clients_per_address_max:
            self._service.metrics.refused.labels("full_address").inc()
            raise ProblemError(429, "Full", "too many clients of this address", headers=again)

    def _add(self, client: ChannelClient, close: Callable[[CloseReason], None]) -> None:
        self._clients[client] = close
        self._per_address[client.remote] += 1
        self._service.metrics.clients.labels("ws").inc()

    def _remove(self, client: ChannelClient) -> None:
        """Remove a client; harmless if it has been removed."""
        if self._clients.pop(client, None) is None:
            return
        self._per_address[client.remote] -= 1
        if not self._per_address[client.remote]:
            del self._per_address[client.remote]
        self._service.metrics.clients.labels("ws").dec()

    def _after(self, task: asyncio.Task[None], client: ChannelClient) -> None:
        """A task that makes turns has ended by itself: close its connection."""
        if task.cancelled() or task.exception() is None:
            return
        error = task.exception()
        if not isinstance(error, ConnectionError):
            self._service.log.error("client_writer_failed", error=repr(error))
        self._cut(client, LOST)

    def _cut(self, client: ChannelClient, reason: CloseReason) -> None:
        close = self._clients.get(client)
        if close is not None:
            self._service.metrics.cuts.labels(reason.label).inc()
            self._service.log.info("client_cut", remote=client.remote, reason=reason.label)
            close(reason)

    def _close(
        self,
        client: ChannelClient,
        request: web.Request,
        socket: web.WebSocketResponse,
        reason: CloseReason,
    ) -> None:
        self._remove(client)
        if client.task is not None and client.task is not asyncio.current_task():
            client.task.cancel()
        transport = request.transport  # gone from the request once the connection is
        closing = close_websocket(transport, socket, reason, self._limits.close_timeout_s)
        task = asyncio.create_task(closing)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _timed_turn(session: ChannelSession, requests: list[str], now_s: float) -> tuple[Turn, float]:
    """A turn, and the processor time that it took in seconds."""
    started = time.thread_time()
    turn = session.turn(requests, now_s)
    return turn, time.thread_time() - started
