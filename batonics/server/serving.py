"""Puts a server together and runs it to its end.

The rule here: this is the one place that knows every part; the parts know `Service`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import signal
import socket
import sys
from collections.abc import Callable

from aiohttp import web

from batonics.server.app import build_app
from batonics.server.config import ListenAddress, ServerConfig
from batonics.server.connection_limit import ConnectionLimit
from batonics.server.fanout import HEARTBEAT_GROUPS, CloseReason, Fanout
from batonics.server.ingest_link import IngestLink
from batonics.server.metrics import Metrics
from batonics.server.replica import BookReplica
from batonics.server.service import Service
from batonics.server.websockets import WebSocketHandler
from batonics.sinks import logs

WATCH_S = 0.5
"""How often silence is looked for."""
BEAT_S = 1.0
GOING_AWAY, BROKEN = 1001, 1011
"""WebSocket close codes: all is well and over; ingest has vanished."""


async def serve(
    config: ServerConfig,
    token: str | None,
    listener: socket.socket | None,
    ready: Callable[[ListenAddress | None], None],
) -> None:
    """Serve until ingest ends or SIGTERM comes.

    Args:
        config: how.
        token: what clients have to know.
        listener: listens already; None without HTTP.
        ready: told once requests are answered, with the address.
    """
    # What is shown on a terminal is not to be written over.
    level = "critical" if config.view and sys.stderr.isatty() else "info"
    logs.configure(as_json=config.log_json, level=level)
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # its words are not structured
    replica = BookReplica()
    metrics = Metrics(lambda: replica.stats)
    fanout = Fanout(replica, metrics, config.limits)
    link = await IngestLink.open(
        socket.socket(fileno=config.fd),
        lambda: IngestLink(
            replica,
            changed=fanout.changed,
            feed_changed=fanout.feed_changed,
            asks_max=config.limits.asks,
        ),
    )
    address = None if listener is None else ListenAddress(*listener.getsockname()[:2])
    service = Service(config, token, address, replica, link, metrics, logs.logger("server"))
    sockets = WebSocketHandler(service, fanout)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        if listener is not None:
            await _start_http(stack, service, build_app(service, sockets.routes()), listener)
        beating = asyncio.create_task(_beat(fanout))
        stack.callback(beating.cancel)
        if config.view and sys.stdout.isatty():
            from batonics.server import terminal_view

            painting = asyncio.create_task(terminal_view.show_books(service, fanout))
            stack.push_async_callback(terminal_view.stop_showing, painting)
        ready(address)
        service.log.info("server_started", http=address and str(address))
        end = await _until_end(service, fanout, stop)
        await sockets.end(end)
        say = service.log.error if link.fault else service.log.info
        say("server_ended", reason=end.text)


async def _start_http(
    stack: contextlib.AsyncExitStack,
    service: Service,
    app: web.Application,
    listener: socket.socket,
) -> None:
    limits = service.config.limits
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=limits.header_s,
        lingering_time=0,
        auto_decompress=False,
        shutdown_timeout=limits.linger_s,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    assert runner.server is not None  # noqa: S101 - for mypy: that is what setup does
    door = ConnectionLimit(runner.server, limits, service.metrics.refused)
    accepting = await asyncio.get_running_loop().create_server(door.open, sock=listener)
    stack.callback(accepting.close)


async def _beat(fanout: Fanout) -> None:
    """A heartbeat a second for everybody."""
    for tick in itertools.count():
        await asyncio.sleep(BEAT_S / HEARTBEAT_GROUPS)
        fanout.beat(asyncio.get_running_loop().time(), tick)


async def _until_end(service: Service, fanout: Fanout, stop: asyncio.Event) -> CloseReason:
    """Watch over ingest until there is a reason to end; what clients are told of it."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.ensure_future(stop.wait())
    link, replica = service.link, service.replica
    while not (link.ended.done() or stopping.done()):
        await asyncio.wait(
            (link.ended, stopping), timeout=WATCH_S, return_when=asyncio.FIRST_COMPLETED
        )
        silent = loop.time() - link.last_message_at > service.config.limits.silent_s
        if silent != replica.silent:
            replica.silent = silent
            fanout.feed_changed()
    if not link.ended.done():
        return CloseReason(GOING_AWAY, "ended", "the server was asked to end")
    stopping.cancel()
    if reason := link.ended.result():
        return CloseReason(GOING_AWAY, "ended", reason)
    return CloseReason(BROKEN, "ended", link.fault or "ingest has ended without a word")
