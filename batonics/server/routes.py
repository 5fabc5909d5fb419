"""The short paths: /book, /symbols, /healthz, /readyz, /metrics.

The rule here: an answer is either what was asked for or a problem (RFC 9457) that says why not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from batonics.live.wire import STATUSES, Feed
from batonics.server import metrics, payloads
from batonics.server.asked import (
    BOOKS_NAMED_MAX,
    DEPTH_DEFAULT,
    ProblemError,
    depth_of,
    flag,
    parameters,
    the_book,
)
from batonics.server.link import BusyError
from batonics.server.mirror import Mirror
from batonics.server.service import Service

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def routes(service: Service) -> list[web.RouteDef]:
    """Which handler answers what."""
    table: dict[str, Callable[[Service, web.Request], Awaitable[web.StreamResponse]]] = {
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


def json_response(document: Any, status: int = 200) -> web.Response:
    """A document as JSON."""
    return web.Response(
        body=payloads.dumps(document), status=status, content_type="application/json"
    )


async def book(service: Service, request: web.Request) -> web.Response:
    """One book: `symbol=`, `publisher_id=`, `instrument_id=`; `depth=` N or all; `orders=true`."""
    known = parameters(
        request.query.items(), ("symbol", "publisher_id", "instrument_id", "depth", "orders")
    )
    mirror = service.mirror
    number = the_book(mirror, known)
    depth = depth_of(known.get("depth"), min(DEPTH_DEFAULT, mirror.depth))
    orders = flag(known, "orders")
    name = mirror.names[number]
    if depth is not None and depth <= mirror.depth and not orders:
        seen = payloads.now_of(mirror, number)
        return json_response(payloads.book_document(name, seen, depth))
    answer = await asked(service, number, depth, orders=orders)
    return json_response(payloads.answer_document(name, answer, depth, mirror))


async def asked(
    service: Service, number: int, depth: int | None, *, orders: bool
) -> dict[str, Any]:
    """What ingest answers about a book, in time or not at all."""
    limits = service.config.limits
    try:
        async with asyncio.timeout(limits.ask_s):
            answer = await service.link.ask(number, depth, orders=orders)
    except TimeoutError:
        detail = f"ingest has not answered within {limits.ask_s:g} s"
        raise ProblemError(504, "Timeout", detail) from None
    except BusyError:
        again = {"Retry-After": "1"}
        raise ProblemError(503, "Busy", "too many are asking", headers=again) from None
    except ConnectionError as error:
        raise ProblemError(503, "Gone", str(error)) from None
    if "error" in answer:
        raise ProblemError(502, "Not answered", str(answer["error"]))
    return answer


async def symbols(service: Service, request: web.Request) -> web.Response:
    """Every book, a row each."""
    parameters(request.query.items(), ())
    return json_response(payloads.symbols_document(service.mirror))


async def healthz(service: Service, request: web.Request) -> web.Response:
    """Whether ingest lives: it says something several times a second."""
    parameters(request.query.items(), ())
    alive = not service.mirror.silent
    document = {"status": "ok" if alive else "failing", "feed": service.mirror.feed}
    return json_response(document, 200 if alive else 503)


async def readyz(service: Service, request: web.Request) -> web.Response:
    """Whether books may be relied on, and if not, why."""
    parameters(request.query.items(), ())
    reasons, cold = readiness(service.mirror)
    document = {
        "status": "not ready" if reasons else "ready",
        "feed": service.mirror.feed,
        "reasons": reasons,
        "cold": cold,
    }
    return json_response(document, 503 if reasons else 200)


async def metrics_text(service: Service, request: web.Request) -> web.Response:
    """For Prometheus."""
    parameters(request.query.items(), ())
    body = service.metrics.text()
    return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})


def readiness(mirror: Mirror) -> tuple[list[str], list[str]]:
    """Why we are not ready, and which books are cold, which is no reason (rule 21).

    A cold book is a lower bound until its venue clears it, which may be never: it is named, at most
    BOOKS_NAMED_MAX of them. A stale book is known to be wrong: no book may be.
    """
    reasons = []
    if mirror.silent:
        reasons.append("ingest is silent")
    if mirror.stats.feed != Feed.LIVE:
        reasons.append(f"the feed is {Feed(mirror.stats.feed).name.lower()}")
    books: dict[str, list[int]] = {status: [] for status in STATUSES}
    for number, shown in mirror.heads():
        books[shown.status].append(number)
    cold, stale = (
        [book_name(mirror, number) for number in books[status][:BOOKS_NAMED_MAX]]
        for status in ("cold", "stale")
    )
    if not any(books.values()):
        reasons.append("no book yet")
    if stale:
        more = len(books["stale"]) - len(stale)
        named = ", ".join(stale) + (f" and {more} more" if more else "")
        reasons.append(f"{len(books['stale'])} stale: {named}")
    return reasons, cold


def book_name(mirror: Mirror, number: int) -> str:
    """A book in a sentence."""
    name = mirror.names[number]
    return f"{name.symbol or name.instrument_id} ({name.publisher_id})"
