"""Serves the books of files, or a lake, over HTTP, in this process, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import webbrowser
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from batonics.history.book_history import FileHistory
from batonics.lake.lake import Lake
from batonics.server.answer_encoding import AnswerTags
from batonics.server.api_contract import Endpoint, openapi_document
from batonics.server.app import build_app
from batonics.server.asyncapi import asyncapi_document
from batonics.server.bound_endpoints import bind_document, endpoint_route
from batonics.server.channel_sockets import WEBSOCKET_PATH, ChannelSockets
from batonics.server.config import ListenAddress, ServerConfig, check_config
from batonics.server.handlers import metrics_text
from batonics.server.heatmap_api import HeatmapApi
from batonics.server.history_answers import HistoryAnswers
from batonics.server.history_api import HistoryApi
from batonics.server.history_source import HistorySource
from batonics.server.listening import LoopErrors, limit_connections, open_listener, start_http
from batonics.server.metrics import Metrics
from batonics.server.one_time_code import OneTimeCode
from batonics.server.page_files import PageFiles
from batonics.server.query_api import QueryApi
from batonics.server.query_params import ProblemError
from batonics.server.queue_api import QueueApi
from batonics.server.request_rate import RequestRate
from batonics.server.series_api import SeriesApi
from batonics.sinks import logs

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

TITLE = "batonics: the books of files at any moment"
FILE_PATHS = (
    "/v1/symbols",
    "/v1/books/{symbol}",
    "/v1/orders/{order_id}",
    "/v1/queues/{symbol}",
    "/v1/trades",
    "/v1/records",
    "/v1/next",
    "/v1/previous",
    "/v1/heatmap/{symbol}",
    "/v1/bars/{symbol}",
    "/v1/coverage/{symbol}",
    "/v1/stats",
    WEBSOCKET_PATH,
)
"""The paths that need records: those of a server of files."""


@dataclass
class HistoryService:
    """One server of a history; see `WebService`."""

    config: ServerConfig
    metrics: Metrics
    log: FilteringBoundLogger
    rate: RequestRate


def open_history_listener(config: ServerConfig) -> tuple[ServerConfig, socket.socket]:
    """A listening socket, and the config with as many connections as the system permits.

    Raises:
        UsageError: the address is none, or must not be served without a token.
        OutputError: the address cannot be had.
    """
    check_config(config)
    listener = open_listener(config)
    if listener is None:
        raise AssertionError("the config of a history has an address")
    return limit_connections(config), listener


class Served(NamedTuple):
    """What is served: files, a lake, or both.

    Attributes:
        history: the books of files; None: there are none.
        lake: answers SQL; None: there is none.
    """

    history: FileHistory | None
    lake: Lake | None = None


def serve_history(
    config: ServerConfig, listener: socket.socket, served: Served, *, opens_browser: bool
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        config: the server.
        listener: a listening socket.
        served: what is served.
        opens_browser: whether a browser is started with the page, once it can be read.
    """
    asyncio.run(_serve(config, listener, served, opens_browser=opens_browser))


async def _serve(
    config: ServerConfig, listener: socket.socket, served: Served, *, opens_browser: bool
) -> None:
    settings = config.settings
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # `app` logs what its handlers raise
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(LoopErrors(settings.refusal_log_interval_s))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    rate = RequestRate(settings.limits.request_units_per_s)
    service = HistoryService(config, Metrics(None), logs.logger("server"), rate)
    async with contextlib.AsyncExitStack() as stack:
        endpoints, sockets = await _find_endpoints(stack, service, served)
        code = OneTimeCode(settings.token, loop.time()) if settings.token else None
        page = PageFiles(code if opens_browser else None)
        record_count = served.history.records.count if served.history is not None else 0
        routes = history_routes(service, endpoints, page, sockets, record_count)
        await start_http(stack, service, build_app(service, routes, page), listener)
        address = ListenAddress(*listener.getsockname()[:2])
        service.log.info("server_started", http=str(address), records=record_count)
        if opens_browser:
            fragment = f"#code={code.code}" if code is not None else ""
            await _open_browser(f"http://{address}/{fragment}", service)
        await stop.wait()
        if sockets is not None:
            await sockets.close()  # with a reason, before the connections are
        service.log.info("server_ended", reason="a signal")


async def _find_endpoints(
    stack: contextlib.AsyncExitStack, service: HistoryService, served: Served
) -> tuple[list[Endpoint], ChannelSockets | None]:
    """The endpoints of what is served, and its WebSockets; the stack ends what they have begun.

    Raises:
        OutputError: the process for SQL queries does not start.
    """
    endpoints: list[Endpoint] = []
    sockets = None
    if served.history is not None:
        history = served.history
        answers = HistoryAnswers(history)
        books, heatmaps = (
            HistoryApi(service, lambda: answers),
            HeatmapApi(service, answers, history),
        )
        stack.callback(books.close)
        stack.callback(heatmaps.close)
        series = SeriesApi(service, answers, history, heatmaps.segments, heatmaps.worker)
        queues = QueueApi(service, answers, history)
        stack.callback(queues.close)
        endpoints += [
            *books.endpoints(),
            *queues.endpoints(),
            *heatmaps.endpoints(),
            *series.endpoints(),
        ]
        sockets = ChannelSockets(service, lambda: HistorySource(history, answers))
    if served.lake is not None:
        lake_queries = QueryApi(service, served.lake)
        stack.callback(lake_queries.close)
        await lake_queries.processes.start()
        endpoints += lake_queries.endpoints()
    return endpoints, sockets


async def _open_browser(url: str, service: HistoryService) -> None:
    """Show the page in the browser of this machine, or say that there is none."""
    if not await asyncio.to_thread(webbrowser.open, url):
        service.log.warning("no_browser", text="no browser was found; open the address yourself")


def history_routes(
    service: HistoryService,
    endpoints: list[Endpoint],
    page: PageFiles,
    sockets: ChannelSockets | None,
    record_count: int,
) -> list[web.RouteDef]:
    """The routes of the API, its contract, the page, and the paths that every server has."""
    listed = {endpoint.path: endpoint.summary for endpoint in endpoints}
    listed["/openapi.json"] = "this API, as OpenAPI 3.1"
    documents: dict[str, object] = {
        "/openapi.json": openapi_document(TITLE, endpoints),
        "/healthz": {"status": "ok"},
        "/readyz": {"status": "ready"},
    }
    more: list[web.RouteDef] = []
    if sockets is None:
        more = [web.get(path, _refuse_without_files) for path in FILE_PATHS]
    else:
        listed[WEBSOCKET_PATH] = "WebSocket: books and trades as a clock of your own goes"
        listed["/asyncapi.json"] = f"{WEBSOCKET_PATH}, as AsyncAPI 3"
        documents["/asyncapi.json"] = asyncapi_document(TITLE)
        more = [web.get(WEBSOCKET_PATH, sockets.handle, allow_head=False)]

    show_list = bind_document({"records": record_count, "endpoints": listed})

    async def show_root(request: web.Request) -> web.StreamResponse:
        show = page.show_index if page.is_page_request(request) else show_list
        return await show(request)

    async def show_metrics(request: web.Request) -> web.StreamResponse:
        return await metrics_text(service, request)

    tags = AnswerTags()
    return [
        *(endpoint_route(endpoint, tags) for endpoint in endpoints),
        *(web.get(path, bind_document(document)) for path, document in documents.items()),
        web.get("/", show_root),
        *page.routes(),
        web.get("/metrics", show_metrics),
        *more,
    ]


async def _refuse_without_files(request: web.Request) -> web.StreamResponse:
    """Answer what needs records where only a lake is served."""
    del request
    detail = (
        "a lake has rows, and no records: give the files too, batonics serve FILES --lake LAKE;"
        " POST /v1/query asks the lake"
    )
    raise ProblemError(409, "No files", detail)
