"""What the handlers of all paths use."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from aiohttp import web

from batonics.server import metrics, payloads
from batonics.server.media_types import JSON_MEDIA
from batonics.server.query_params import ProblemError, parse_query
from batonics.server.service import WebService


class EncodedAnswer(NamedTuple):
    """An answer as bytes, and their media type."""

    body: bytes
    media: str = JSON_MEDIA


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

METRICS_UNITS = 5.0
"""Units (`request_rate`) of /metrics."""


def charge(service: WebService, request: web.Request, units: float) -> None:
    """Charge a request to its address; ProblemError 429 if the address has no units left."""
    now = asyncio.get_running_loop().time()
    wait_s = service.rate.take(request.remote or "", units, now)
    if wait_s > 0:
        service.metrics.refused.labels("rate").inc()
        again = {"Retry-After": str(math.ceil(wait_s))}
        raise ProblemError(
            429, "Too many requests", "this address asks for too much", headers=again
        )


def json_response(document: Any, status: int = 200) -> web.Response:
    """A document as JSON."""
    return web.Response(
        body=payloads.dumps(document), status=status, content_type="application/json"
    )


async def metrics_text(service: WebService, request: web.Request) -> web.Response:
    """The metrics, for Prometheus."""
    parse_query(request.query.items(), ())
    charge(service, request, METRICS_UNITS)
    text = service.metrics.text(asyncio.get_running_loop().time())
    return web.Response(body=text, headers={"Content-Type": metrics.CONTENT_TYPE})
