"""The HTTP paths /, /book, /symbols, /healthz, /readyz and /metrics.

The rule here: a response is what was asked for, or a problem (RFC 9457) with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from aiohttp import web

from batonics.live.protocol import FeedState
from batonics.server import payloads
from batonics.server.handlers import Handler, charge, json_response, metrics_text
from batonics.server.ingest_link import BusyError
from batonics.server.query_params import (
    BOOKS_NAMED_MAX,
    DEPTH_DEFAULT,
    ProblemError,
    find_book,
    parse_depth,
    parse_flag,
    parse_query,
)
from batonics.server.replica import BookReplica
from batonics.server.service import Service
from batonics.server.symbol_pages import SymbolPages, parse_page

_NO_PATHS: Mapping[str, str] = MappingProxyType({})
INGEST_UNITS, ROWS_PER_UNIT = 20.0, 10
"""Units (`request_rate`) of a book that ingest answers; rows of /symbols in one unit."""


def routes(service: Service, other_paths: Mapping[str, str] = _NO_PATHS) -> list[web.RouteDef]:
    """The handler of each path.

    Args:
        service: the server.
        other_paths: what further paths answer, for the list at `/`.
    """
    pages = SymbolPages(service.replica)

    async def endpoints(service: Service, request: web.Request) -> web.Response:
        return await list_endpoints(service, request, {**ENDPOINTS, **other_paths})

    async def symbols(service: Service, request: web.Request) -> web.Response:
        return await symbols_page(service, request, pages)

    table: dict[str, Callable[[Service, web.Request], Awaitable[web.StreamResponse]]] = {
        "/": endpoints,
        "/book": book,
        "/symbols": symbols,
        "/healthz": healthz,
        "/readyz": readyz,
        "/metrics": metrics_text,
    }

    def bound(
        handler: Callable[[Service, web.Request], Awaitable[web.StreamResponse]],
    ) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            return await handler(service, request)

        return answer

    return [web.get(path, bound(handler)) for path, handler in table.items()]


ENDPOINTS = {
    "/book": "a book: symbol=, publisher_id=, instrument_id=, depth=N or all, orders=true",
    "/symbols": "the books: limit=, cursor=",
    "/ws/bbo": "WebSocket: best bid and offer of books as they change: symbol=",
    "/ws/snapshot": "WebSocket: levels of books as they change: symbol=, depth=",
    "/healthz": "whether the feed's process lives",
    "/readyz": "whether all books are right",
    "/metrics": "metrics for Prometheus",
}
"""What each path answers."""


async def list_endpoints(
    service: Service, request: web.Request, paths: Mapping[str, str]
) -> web.Response:
    """The paths of the server, and the feed."""
    parse_query(request.query.items(), ())
    replica = service.replica
    return json_response(
        {
            "feed": replica.feed,
            "source": replica.source,
            "books": replica.book_count,
            "endpoints": paths,
        }
    )


async def book(service: Service, request: web.Request) -> web.Response:
    """One book: `symbol=`, `publisher_id=`, `instrument_id=`; `depth=` N or all; `orders=true`."""
    params = parse_query(
        request.query.items(), ("symbol", "publisher_id", "instrument_id", "depth", "orders")
    )
    replica = service.replica
    number = find_book(replica, params)
    depth = parse_depth(params.get("depth"), min(DEPTH_DEFAULT, replica.depth))
    orders = parse_flag(params, "orders")
    name = replica.names[number]
    if depth is not None and depth <= replica.depth and not orders:
        displayed = payloads.display_book(replica, number)
        return json_response(payloads.replica_document(name, displayed, depth))
    charge(service, request, INGEST_UNITS)
    answer = await query_ingest(service, number, depth, orders=orders)
    return json_response(payloads.answer_document(name, answer, depth, replica))


async def query_ingest(
    service: Service, number: int, depth: int | None, *, orders: bool
) -> dict[str, Any]:
    """Ingest's answer about a book; ProblemError if it does not come in time."""
    limits = service.config.settings.limits
    try:
        async with asyncio.timeout(limits.query_timeout_s):
            answer = await service.link.query(number, depth, orders=orders)
    except TimeoutError:
        detail = f"ingest has not answered within {limits.query_timeout_s:g} s"
        raise ProblemError(504, "Timeout", detail) from None
    except BusyError:
        again = {"Retry-After": "1"}
        raise ProblemError(503, "Busy", "too many are asking", headers=again) from None
    except ConnectionError as error:
        raise ProblemError(503, "Gone", str(error)) from None
    if "error" in answer:
        raise ProblemError(502, "Not answered", str(answer["error"]))
    return answer


async def symbols_page(service: Service, request: web.Request, pages: SymbolPages) -> web.Response:
    """A row for each book: all, or `limit=` of them behind the book of `cursor=`."""
    params = parse_query(request.query.items(), ("limit", "cursor"))
    books = service.replica.book_count
    wanted = parse_page(params, books)
    charge(service, request, min(wanted.limit, books) / ROWS_PER_UNIT)
    page = await pages.page(wanted)
    headers = {}
    if page.next_cursor is not None:
        target = f"/symbols?limit={wanted.limit}&cursor={page.next_cursor}"
        headers["Link"] = f'<{target}>; rel="next"'
    return web.Response(body=page.body, content_type="application/json", headers=headers)


async def healthz(service: Service, request: web.Request) -> web.Response:
    """Whether ingest lives: it sends a message several times a second."""
    parse_query(request.query.items(), ())
    alive = not service.replica.is_silent
    document = {"status": "ok" if alive else "failing", "feed": service.replica.feed}
    return json_response(document, 200 if alive else 503)


async def readyz(service: Service, request: web.Request) -> web.Response:
    """Whether all books are right, and the reasons if not."""
    parse_query(request.query.items(), ())
    reasons, cold = readiness(service.replica)
    document = {
        "status": "not ready" if reasons else "ready",
        "feed": service.replica.feed,
        "reasons": reasons,
        "cold": cold,
    }
    return json_response(document, 503 if reasons else 200)


def readiness(replica: BookReplica) -> tuple[list[str], list[str]]:
    """The reasons why the server is not ready, and the cold books, which are no reason (rule 21).

    A cold book is a lower bound until its venue clears it, which may be never. A stale book is
    known to be wrong. At most BOOKS_NAMED_MAX books of each status are named.
    """
    reasons = []
    if replica.is_silent:
        reasons.append("ingest is silent")
    if replica.stats.feed != FeedState.LIVE:
        reasons.append(f"the feed is {FeedState(replica.stats.feed).name.lower()}")
    counts = replica.status_counts()
    cold, stale = (
        [book_name(replica, book) for book in replica.books_of_status(status, BOOKS_NAMED_MAX)]
        for status in ("cold", "stale")
    )
    if not replica.book_count:
        reasons.append("no book yet")
    if stale:
        more = counts["stale"] - len(stale)
        named = ", ".join(stale) + (f" and {more} more" if more else "")
        reasons.append(f"{counts['stale']} stale: {named}")
    return reasons, cold


def book_name(replica: BookReplica, number: int) -> str:
    """The name of a book in a sentence."""
    name = replica.names[number]
    return f"{name.symbol or name.instrument_id} ({name.publisher_id})"
