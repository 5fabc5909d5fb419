"""The listening socket of a server, its connections, and errors of its loop.

The rule here: every server of this package listens, limits connections and reports errors of the
loop in one way.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import replace
from typing import Any

from aiohttp import web

from batonics.model.errors import OutputError
from batonics.server.config import ServerConfig
from batonics.server.connection_limit import ConnectionLimit
from batonics.server.service import WebService
from batonics.sinks import logs
from batonics.sources.connection_limits import limit_by_open_files

_BACKLOG = 512
_ACCEPTED_AT_ONCE = 32
"""Connections that the loop accepts before it looks up. One beyond the limits is closed then."""
_UNSENT_BYTES = 1 << 14
"""Bytes that the kernel takes of a connection before the network has taken those before them."""
_OTHER_FILES = 64 + _ACCEPTED_AT_ONCE


def open_listener(config: ServerConfig) -> socket.socket | None:
    """A listening socket, None without HTTP; OutputError if the address cannot be had."""
    address = config.address()
    if address is None:
        return None
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Connections inherit it. Bytes that wait in the kernel for a slow client are stale.
        buffer_bytes = config.settings.limits.send_buffer_bytes
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"cannot listen on {address}: {reason}") from None
    return listener


def limit_connections(config: ServerConfig) -> ServerConfig:
    """The config with no more connections than the limit of open files permits.

    Raises:
        OutputError: it permits none.
    """
    limits = config.settings.limits
    allowed = limit_by_open_files(limits.connections_max, reserved=_OTHER_FILES)
    if allowed < 1:
        raise OutputError(
            f"the limit of open files is too low to serve: {_OTHER_FILES + 1} or more are needed"
            " (ulimit -n)"
        )
    limits = replace(limits, connections_max=allowed)
    return replace(config, settings=replace(config.settings, limits=limits))


class LoopErrors:
    """Logs what goes wrong in the loop as one line; a client that has gone is no error."""

    def __init__(self, interval_s: float) -> None:
        self._log, self._throttle = logs.logger("server"), logs.LogThrottle(interval_s)

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle an exception of the loop."""
        error = context.get("exception")
        if isinstance(error, ConnectionError):
            return
        if not isinstance(error, OSError):
            self._log.error("loop_error", message=context.get("message"), exc_info=error)
        # Too many files are open for another connection; the loop tries again in a second.
        elif self._throttle.is_due("cannot_accept", loop.time()):
            self._log.error("cannot_accept", reason=error.strerror)


async def start_http(
    stack: contextlib.AsyncExitStack,
    service: WebService,
    app: web.Application,
    listener: socket.socket,
) -> None:
    """Accept connections until the stack is closed."""
    limits = service.config.settings.limits
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=limits.header_timeout_s,
        lingering_time=0,
        auto_decompress=False,
        shutdown_timeout=limits.close_timeout_s,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    assert runner.server is not None  # noqa: S101 - for mypy: that is what setup does
    limit = ConnectionLimit(runner.server, limits, service.metrics.refused)
    loop = asyncio.get_running_loop()
    accepting = await loop.create_server(
        limit.new_connection, sock=listener, backlog=_ACCEPTED_AT_ONCE
    )
    listener.listen(_BACKLOG)  # the loop has set it to what it accepts at once
    stack.callback(accepting.close)
