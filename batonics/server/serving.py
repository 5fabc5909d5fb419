"""The serving process from its start to its end: all parts are wired here.

The rule here: this is the one module that knows every part; the parts know `Service`. The process
ends when ingest does, and tells its clients why.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import signal
import socket
import sys

from batonics.model.errors import BatonicsError
from batonics.server.app import build_app
from batonics.server.config import ListenAddress, ServerConfig, check_config
from batonics.server.fanout import HEARTBEAT_GROUPS, CloseReason, Fanout
from batonics.server.ingest_link import IngestLink
from batonics.server.listening import LoopErrors, limit_connections, open_listener, start_http
from batonics.server.live_api import LiveApi
from batonics.server.live_books import LiveBooks
from batonics.server.metrics import Metrics
from batonics.server.replica import BookReplica
from batonics.server.request_rate import RequestRate
from batonics.server.routes import routes
from batonics.server.service import Service
from batonics.server.websockets import WebSocketHandler
from batonics.sinks import logs

SILENCE_POLL_S = 0.5
"""Interval between two checks that ingest is not silent."""
SIGTERM_GRACE_S = 1.0
"""The time that ingest has to end first: a signal to the group reaches it too."""
CHECKPOINT_TIMEOUT_S = 30.0
"""How long ingest may take for a checkpoint of its books."""
GOING_AWAY, BROKEN = 1001, 1011
"""WebSocket close codes: the server ends as intended; ingest has vanished."""


def run(config: ServerConfig) -> int:
    """Check, listen and serve until ingest ends; the exit code.

    A line of JSON on `config.ready_fd` has the address, or the error and its exit code.
    """
    try:
        check_config(config)
        listener = open_listener(config)
        config = limit_connections(config)
    except BatonicsError as error:
        _report_start(config, {"error": str(error), "exit_code": error.exit_code})
        return error.exit_code
    asyncio.run(_serve(config, listener))
    return 0


def _report_start(config: ServerConfig, document: dict[str, str | int | None]) -> None:
    with os.fdopen(config.ready_fd, "w") as ready:
        ready.write(json.dumps(document) + "\n")


async def _serve(config: ServerConfig, listener: socket.socket | None) -> None:
    """Wire the parts, report the start, and serve until ingest ends, or a while after SIGTERM."""
    # Logs would overwrite the books on a terminal.
    level = "error" if config.quiet else "info"
    if config.view and sys.stderr.isatty():
        level = "critical"
    logs.configure(as_json=config.log_json, level=level)
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # `app` logs what its handlers raise
    settings = config.settings
    errors = LoopErrors(settings.refusal_log_interval_s)
    asyncio.get_running_loop().set_exception_handler(errors)
    replica = BookReplica()
    metrics = Metrics(lambda: replica.stats)
    fanout = Fanout(replica, metrics, settings.limits)
    link = await IngestLink.open(
        socket.socket(fileno=config.fd),
        lambda: IngestLink(
            replica,
            changed=fanout.changed,
            feed_changed=fanout.feed_changed,
            queries_max=settings.limits.pending_queries_max,
        ),
    )
    address = None if listener is None else ListenAddress(*listener.getsockname()[:2])
    rate = RequestRate(settings.limits.request_units_per_s)
    service = Service(config, address, replica, link, metrics, logs.logger("server"), rate)
    websockets = WebSocketHandler(service, fanout)
    stop = asyncio.Event()
    _stop_after_signal(stop)
    async with contextlib.AsyncExitStack() as stack:
        live = _start_live_api(stack, service)
        if listener is not None:
            paths = {} if live is None else live.paths()
            handlers = [*routes(service, paths), *websockets.routes()]
            handlers += [] if live is None else live.routes()
            await start_http(stack, service, build_app(service, handlers), listener)
        heartbeats = asyncio.create_task(_send_heartbeats(fanout, settings.heartbeat_interval_s))
        stack.callback(heartbeats.cancel)
        if config.view and sys.stdout.isatty():
            from batonics.server import terminal_view

            showing = asyncio.create_task(terminal_view.show_books(service, fanout))
            stack.push_async_callback(terminal_view.stop_showing, showing)
        name = None if address is None else str(address)
        _report_start(config, {"http": name})
        service.log.info(
            "server_started", http=name, connections_max=settings.limits.connections_max
        )
        reason = await _wait_for_end(service, fanout, stop)
        if live is not None:
            await live.close()
        await websockets.close_all(reason)
        log = service.log.error if link.fault else service.log.info
        log("server_ended", reason=reason.text)


def _start_live_api(stack: contextlib.AsyncExitStack, service: Service) -> LiveApi | None:
    """Follow the log of ingest until the stack is closed; None: it has none."""
    config, link, replica = service.config, service.link, service.replica
    if config.log_fd < 0:
        return None
    loop = asyncio.get_running_loop()

    def request_checkpoint() -> int:
        asked = asyncio.run_coroutine_threadsafe(link.request_checkpoint(), loop)
        return asked.result(CHECKPOINT_TIMEOUT_S)

    def find_state() -> tuple[str, bool]:
        return replica.feed, replica.is_live

    books = LiveBooks(config, request_checkpoint, find_state, service.metrics)
    books.start()
    stack.push_async_callback(asyncio.to_thread, books.close)
    return LiveApi(service, books)


def _stop_after_signal(stop: asyncio.Event) -> None:
    """Set the event some time after SIGTERM, the one signal that is not left to ingest alone."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, loop.call_later, SIGTERM_GRACE_S, stop.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # `launch` has blocked it


async def _send_heartbeats(fanout: Fanout, interval_s: float) -> None:
    """A heartbeat to every client in each interval, one group of clients after the other."""
    for tick in itertools.count():
        await asyncio.sleep(interval_s / HEARTBEAT_GROUPS)
        fanout.send_heartbeats(asyncio.get_running_loop().time(), tick)


async def _wait_for_end(service: Service, fanout: Fanout, stop: asyncio.Event) -> CloseReason:
    """Watch ingest until it ends or the server must; the reason, for clients."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.ensure_future(stop.wait())
    link, replica = service.link, service.replica
    timeout_s = service.config.settings.limits.silence_timeout_s
    while not (link.ended.done() or stopping.done()):
        await asyncio.wait(
            (link.ended, stopping), timeout=SILENCE_POLL_S, return_when=asyncio.FIRST_COMPLETED
        )
        is_silent = loop.time() - link.last_message_at > timeout_s
        if replica.set_silent(is_silent=is_silent):
            fanout.feed_changed()
    if not link.ended.done():
        return CloseReason(GOING_AWAY, "ended", "the server was asked to end")
    stopping.cancel()
    if reason := link.ended.result():
        return CloseReason(GOING_AWAY, "ended", reason)
    return CloseReason(BROKEN, "ended", link.fault or "ingest has ended without a word")
