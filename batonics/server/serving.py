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

from batonics.server.app import build
from batonics.server.config import Address, ServerConfig
from batonics.server.door import Door
from batonics.server.fanout import BEAT_PARTS, Cut, Fanout
from batonics.server.link import Link
from batonics.server.metrics import Metrics
from batonics.server.mirror import Mirror
from batonics.server.service import Service
from batonics.server.sockets import Sockets
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
    ready: Callable[[Address | None], None],
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
    mirror = Mirror()
    metrics = Metrics(lambda: mirror.stats)
    fanout = Fanout(mirror, metrics, config.limits)
    link = await Link.open(
        socket.socket(fileno=config.fd),
        lambda: Link(
            mirror,
            changed=fanout.changed,
            feed_changed=fanout.feed_changed,
            asks_max=config.limits.asks,
        ),
    )
    address = None if listener is None else Address(*listener.getsockname()[:2])
    service = Service(config, token, address, mirror, link, metrics, logs.logger("server"))
    sockets = Sockets(service, fanout)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        if listener is not None:
            await _start_http(stack, service, build(service, sockets.routes()), listener)
        beating = asyncio.create_task(_beat(fanout))
        stack.callback(beating.cancel)
        if config.view and sys.stdout.isatty():
            from batonics.server import view

            painting = asyncio.create_task(view.paint(service, fanout))
            stack.push_async_callback(view.end, painting)
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
    door = Door(runner.server, limits, service.metrics.refused)
    accepting = await asyncio.get_running_loop().create_server(door.open, sock=listener)
    stack.callback(accepting.close)


async def _beat(fanout: Fanout) -> None:
    """A heartbeat a second for everybody."""
    for tick in itertools.count():
        await asyncio.sleep(BEAT_S / BEAT_PARTS)
        fanout.beat(asyncio.get_running_loop().time(), tick)


async def _until_end(service: Service, fanout: Fanout, stop: asyncio.Event) -> Cut:
    """Watch over ingest until there is a reason to end; what clients are told of it."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.ensure_future(stop.wait())
    link, mirror = service.link, service.mirror
    while not (link.ended.done() or stopping.done()):
        await asyncio.wait(
            (link.ended, stopping), timeout=WATCH_S, return_when=asyncio.FIRST_COMPLETED
        )
        silent = loop.time() - link.heard_at > service.config.limits.silent_s
        if silent != mirror.silent:
            mirror.silent = silent
            fanout.feed_changed()
    if not link.ended.done():
        return Cut(GOING_AWAY, "ended", "the server was asked to end")
    stopping.cancel()
    if reason := link.ended.result():
        return Cut(GOING_AWAY, "ended", reason)
    return Cut(BROKEN, "ended", link.fault or "ingest has ended without a word")
