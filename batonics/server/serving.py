"""Puts a server together and runs it to its end.

The rule here: this is the one place that knows every part; the parts know `Service`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable

from aiohttp import web

from batonics.server.app import build
from batonics.server.config import Address, ServerConfig
from batonics.server.link import Link
from batonics.server.metrics import Metrics
from batonics.server.mirror import Mirror
from batonics.server.service import Service
from batonics.sinks import logs

WATCH_S = 0.5
"""How often silence is looked for."""


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
    logs.configure(as_json=config.log_json)
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # its words are not structured
    mirror = Mirror()
    link = await Link.open(
        socket.socket(fileno=config.fd),
        lambda: Link(
            mirror,
            changed=lambda _: None,
            feed_changed=lambda: None,
            asks_max=config.limits.asks,
        ),
    )
    address = None if listener is None else Address(*listener.getsockname()[:2])
    service = Service(
        config, token, address, mirror, link, Metrics(lambda: mirror.stats), logs.logger("server")
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        if listener is not None:
            await _start_http(stack, service, listener)
        ready(address)
        service.log.info("server_started", http=str(address))
        reason = await _until_end(service, stop)
        service.log.info("server_ended", reason=reason)


async def _start_http(
    stack: contextlib.AsyncExitStack, service: Service, listener: socket.socket
) -> None:
    limits = service.config.limits
    runner = web.AppRunner(
        build(service),
        access_log=None,
        keepalive_timeout=limits.header_s,
        lingering_time=0,
        auto_decompress=False,
        shutdown_timeout=limits.linger_s,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener).start()


async def _until_end(service: Service, stop: asyncio.Event) -> str:
    """Watch over ingest until there is a reason to end; the reason."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.ensure_future(stop.wait())
    link, mirror = service.link, service.mirror
    while not (link.ended.done() or stopping.done()):
        await asyncio.wait(
            (link.ended, stopping), timeout=WATCH_S, return_when=asyncio.FIRST_COMPLETED
        )
        mirror.silent = loop.time() - link.heard_at > service.config.limits.silent_s
    if not link.ended.done():
        return "the server was asked to end"
    stopping.cancel()
    return link.ended.result() or link.fault or "ingest has ended without a word"
