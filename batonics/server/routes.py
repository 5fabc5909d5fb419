"""The short paths: /book, /symbols, /healthz, /readyz, /metrics.

The rule here: an answer is either what was asked for or a problem (RFC 9457) that says why not; a
parameter that nobody knows is refused, so that a slip of the pen is not a wrong answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

from batonics.live.wire import Feed
from batonics.server import metrics, payloads
from batonics.server.link import BusyError
from batonics.server.mirror import Mirror
from batonics.server.service import Service

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
DEPTH_DEFAULT = 10
DEPTH_MAX = 1_000_000
BOOKS_NAMED_MAX = 20
"""Of books that an error names."""
_INT_MAX = 2**32


class ProblemError(Exception):
    """A request that gets a problem for an answer."""

    def __init__(
        self, status: int, title: str, detail: str, *, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail
        self.headers = headers or {}


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
    known = parameters(request, ("symbol", "publisher_id", "instrument_id", "depth", "orders"))
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
    parameters(request, ())
    return json_response(payloads.symbols_document(service.mirror))


async def healthz(service: Service, request: web.Request) -> web.Response:
    """Whether ingest lives: it says something several times a second."""
    parameters(request, ())
    alive = not service.mirror.silent
    document = {"status": "ok" if alive else "failing", "feed": service.mirror.feed}
    return json_response(document, 200 if alive else 503)


async def readyz(service: Service, request: web.Request) -> web.Response:
    """Whether books may be relied on, and if not, why."""
    parameters(request, ())
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
    parameters(request, ())
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
    books = mirror.books()
    if not books:
        reasons.append("no book yet")
    by_status: dict[str, list[str]] = {"cold": [], "stale": [], "synced": []}
    for number in books:
        by_status[mirror.shown(number).status].append(book_name(mirror, number))
    if stale := by_status["stale"]:
        more = len(stale) - BOOKS_NAMED_MAX
        reasons.append(
            f"{len(stale)} stale: {', '.join(stale[:BOOKS_NAMED_MAX])}"
            + (f" and {more} more" if more > 0 else "")
        )
    return reasons, by_status["cold"][:BOOKS_NAMED_MAX]


def book_name(mirror: Mirror, number: int) -> str:
    """A book in a sentence."""
    name = mirror.names[number]
    return f"{name.symbol or name.instrument_id} ({name.publisher_id})"


def parameters(request: web.Request, known: Sequence[str]) -> dict[str, str]:
    """The query's parameters; each of them known, and there once."""
    for key in request.query:
        if key not in known:
            expected = f"expected {', '.join(known)}" if known else "there are none"
            raise ProblemError(400, "Unknown parameter", f"{key[:100]!r}: {expected}")
        if len(request.query.getall(key)) > 1:
            raise ProblemError(400, "Repeated parameter", f"{key} is there more than once")
    return dict(request.query)


def the_book(mirror: Mirror, known: dict[str, str]) -> int:
    """The one book that parameters name."""
    given = [known.get(key) for key in ("symbol", "publisher_id", "instrument_id")]
    if given == [None, None, None]:
        raise ProblemError(400, "Which book?", "give symbol, or instrument_id")
    found = mirror.find(
        known.get("symbol"), whole(known, "publisher_id"), whole(known, "instrument_id")
    )
    if not found:
        raise ProblemError(404, "No such book", "no book of this name has been seen")
    if len(found) > 1:
        named = ", ".join(
            f"publisher_id={mirror.names[one].publisher_id}"
            f"&instrument_id={mirror.names[one].instrument_id}"
            for one in found[:BOOKS_NAMED_MAX]
        )
        raise ProblemError(400, "Which book?", f"{len(found)} books fit: {named}")
    return found[0]


def whole(known: dict[str, str], key: str) -> int | None:
    """A parameter that is a number, None if it is not there."""
    text = known.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < _INT_MAX):
        raise ProblemError(400, "Not a number", f"{key} must be a number below 2^32")
    return int(text)


def depth_of(text: str | None, default: int) -> int | None:
    """How many levels are wanted; None for all."""
    if text is None:
        return default
    if text == "all":
        return None
    depth = whole({"depth": text}, "depth") or 0
    if not 1 <= depth <= DEPTH_MAX:
        raise ProblemError(400, "Not a depth", f"depth must be 1 to {DEPTH_MAX}, or all")
    return depth


def flag(known: dict[str, str], key: str) -> bool:
    """A parameter that is true or false; false if it is not there."""
    text = known.get(key, "false")
    if text not in ("true", "false"):
        raise ProblemError(400, "Not a flag", f"{key} must be true or false")
    return text == "true"
