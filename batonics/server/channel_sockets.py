"""The WebSocket path /v1/ws.

The rule here: one task for each client takes turns (`ChannelSession.turn`): it makes a turn, writes
its messages at once, and waits until there is more, or a request. The next turn is made when the
client has taken the last one, so what a client that does not read costs is one turn of messages.
The processor time of its turns is charged to its address.

A turn without requests is short, and made by the loop: handing it to a thread would cost as much as
the turn, and two threads of Python wait for each other. A request may read many records (`seek`,
`step`, `subscribe`), so a worker thread carries it out.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import get_args

from aiohttp import WSMsgType, web

from batonics.server.channel_messages import Channel
from batonics.server.channel_session import ChannelSession, Turn
from batonics.server.channel_source import BookSource
from batonics.server.fanout import CONTROL, FLOOD, LOST, CloseReason
from batonics.server.guard import WEBSOCKET_PROTOCOL
from batonics.server.query_params import ProblemError, parse_query
from batonics.server.service import WebService
from batonics.server.websocket_closing import close_websocket

WEBSOCKET_PATH = "/v1/ws"
CHANNEL_WORKERS = 2
DRAIN_POLL_S = 0.002, 0.05
"""The first and the longest interval between two looks at whether a client has taken a turn."""
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
        self._sent = {
            name: service.metrics.sent.labels(name) for name in (*get_args(Channel), CONTROL)
        }
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
            if request.transport is None:
                raise ConnectionResetError
            client.task = asyncio.create_task(self._take_turns(client, request.transport))
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

    async def _take_turns(self, client: ChannelClient, transport: asyncio.WriteTransport) -> None:
        """Write the messages of turns until cancelled."""
        loop, stall_s = asyncio.get_running_loop(), self._limits.stall_timeout_s
        while True:
            client.wake.clear()
            requests = [client.requests.popleft() for _ in range(len(client.requests))]
            if requests:
                turn, seconds = await loop.run_in_executor(
                    self._workers, _timed_turn, client.session, requests, loop.time()
                )
            else:
                turn, seconds = _timed_turn(client.session, requests, loop.time())
            wait_s = turn.wait_s
            if turn.messages:
                self._write(turn, transport)
                del turn  # the messages wait in the transport, once
                started = loop.time()
                if transport.get_write_buffer_size():
                    await _drain(transport, stall_s)
                if loop.time() - started > stall_s:
                    stall = CloseReason(1013, "stalled", f"took nothing for {stall_s:g} s")
                    self._cut(client, stall)
                    return
                if loop.time() - started > EVENTS_WAIT_S:
                    client.session.cut_events(_NOT_READ)
            await self._pay(client, seconds * 1e3)
            if not client.requests:
                timer = loop.call_later(wait_s, client.wake.set)
                await client.wake.wait()
                timer.cancel()

    def _write(self, turn: Turn, transport: asyncio.WriteTransport) -> None:
        if transport.is_closing():
            raise ConnectionResetError
        transport.write(b"".join(text_frame(message) for _, message in turn.messages))
        for channel, count in Counter(channel for channel, _ in turn.messages).items():
            self._sent[channel or CONTROL].inc(count)

    async def _pay(self, client: ChannelClient, units: float) -> None:
        """Wait until the client's address has the units of its turn, a second at the most."""
        wait_s = self._service.rate.take(client.remote, units, asyncio.get_running_loop().time())
        if wait_s > 0:
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


async def _drain(transport: asyncio.WriteTransport, most_s: float) -> None:
    """Wait until a client has taken what was written, as long as that may last."""
    loop = asyncio.get_running_loop()
    until_s, (poll_s, longest_s) = loop.time() + most_s, DRAIN_POLL_S
    while transport.get_write_buffer_size() and loop.time() <= until_s:
        if transport.is_closing():
            raise ConnectionResetError
        await asyncio.sleep(poll_s)
        poll_s = min(2 * poll_s, longest_s)


def text_frame(message: bytes) -> bytes:
    """A text message of a server as a WebSocket frame (RFC 6455, 5.2).

    The frames of a turn are written at once, which is one system call.
    """
    size = len(message)
    if size < 126:
        return b"\x81%c%b" % (size, message)
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + message
    return b"\x81\x7f" + size.to_bytes(8, "big") + message


def _timed_turn(session: ChannelSession, requests: list[str], now_s: float) -> tuple[Turn, float]:
    """A turn, and the processor time that it took in seconds."""
    started = time.thread_time()
    turn = session.turn(requests, now_s)
    return turn, time.thread_time() - started
