"""The web application: every request and every response passes here.

The rule here: no handler sees a request before `guard` has allowed it, and every response has the
headers that forbid a browser to cache, frame or guess at it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiohttp import hdrs, web

from batonics.server import payloads
from batonics.server.guard import Refusal, RequestFacts, Rules, check_request, is_listed_origin
from batonics.server.handlers import Handler, charge
from batonics.server.page_files import PageFiles
from batonics.server.query_params import ProblemError
from batonics.server.service import WebService
from batonics.sinks.logs import LogThrottle

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PREFLIGHT = {
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Allow-Methods": "GET, HEAD, POST",
    "Access-Control-Max-Age": "600",
}
_TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    413: "Too large",
    415: "Unsupported encoding",
}


def build_app(
    service: WebService, routes: Sequence[web.RouteDef], page: PageFiles | None = None
) -> web.Application:
    """The application with these routes.

    Args:
        service: the server.
        routes: what it answers.
        page: the page, whose files need no token; None: there is none.
    """
    settings = service.config.settings
    rules = Rules(settings.token, settings.allowed_hosts, settings.allowed_origins)
    app = web.Application(middlewares=[_guard_and_count(service, rules, page)], client_max_size=1)
    app.add_routes(routes)
    app.on_response_prepare.append(_add_headers(rules))
    return app


def problem_response(
    status: int, detail: str, *, title: str | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    """An error as a problem of RFC 9457."""
    return web.Response(
        body=payloads.problem(status, title or _TITLES.get(status, "Error"), detail),
        status=status,
        content_type="application/problem+json",
        headers=headers,
    )


def _guard_and_count(service: WebService, rules: Rules, page: PageFiles | None) -> Any:
    """A middleware: guard, count and time requests, and turn errors into problems."""
    counts = service.metrics
    throttle = LogThrottle(service.config.settings.refusal_log_interval_s)

    @web.middleware
    async def guard_and_count(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = asyncio.get_running_loop().time()
        is_page = page is not None and page.is_page_request(request)
        facts = _request_facts(request, is_page=is_page)
        refused = check_request(facts, rules)
        response: web.StreamResponse
        if refused is not None:
            counts.refused.labels(refused.reason).inc()
            if throttle.is_due(refused.reason, started):
                reason, remote = refused.reason, request.remote
                service.log.info("request_refused", reason=reason, remote=remote)
            response = _refuse(refused)
        elif facts.is_preflight:
            response = web.Response(status=204, headers=_PREFLIGHT)
        else:
            response = await _answer(request, handler, service)
        route = _route(request)
        counts.requests.labels(route, str(response.status)).inc()
        if response.status != 101:
            seconds = asyncio.get_running_loop().time() - started
            counts.request_seconds.labels(route).observe(seconds)
        return response

    return guard_and_count


async def _answer(
    request: web.Request, handler: Handler, service: WebService
) -> web.StreamResponse:
    try:
        charge(service, request, 1.0)
        return await handler(request)
    except ProblemError as error:
        return problem_response(
            error.status, error.detail, title=error.title, headers=error.headers
        )
    except web.HTTPException as error:
        if error.status == 404:
            return problem_response(404, "there is no such path; GET / lists them")
        allow = {key: value for key, value in error.headers.items() if key == hdrs.ALLOW}
        return problem_response(error.status, error.reason, headers=allow)
    except Exception:
        service.log.exception("request_failed", path=request.path)
        return problem_response(500, "a bug in batonics; its log has more", title="Bug")


def _request_facts(request: web.Request, *, is_page: bool) -> RequestFacts:
    headers = request.headers
    name = request.get_extra_info("sockname") or ("", 0)
    return RequestFacts(
        target=request.raw_path,
        parameters=tuple(request.query),
        hosts=headers.getall(hdrs.HOST, []),
        origins=headers.getall(hdrs.ORIGIN, []),
        authorizations=headers.getall(hdrs.AUTHORIZATION, []),
        protocols=headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, []),
        encodings=headers.getall(hdrs.CONTENT_ENCODING, []),
        has_body=request.body_exists,
        # Only what reads a body has a route for POST.
        takes_body=request.method == hdrs.METH_POST and request.match_info.http_exception is None,
        local=(str(name[0]), int(name[1])),
        is_preflight=request.method == hdrs.METH_OPTIONS
        and hdrs.ORIGIN in headers
        and hdrs.ACCESS_CONTROL_REQUEST_METHOD in headers,
        is_page=is_page,
    )


def _refuse(refused: Refusal) -> web.Response:
    headers = {"WWW-Authenticate": 'Bearer realm="batonics"'} if refused.status == 401 else {}
    return problem_response(refused.status, refused.detail, headers=headers)


def _route(request: web.Request) -> str:
    """The route as a label; a path without a route is `other`, so that no client makes labels."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "other"


def _add_headers(rules: Rules) -> Any:
    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.popall(hdrs.SERVER, None)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and is_listed_origin(origin, rules):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers.add("Vary", "Origin")

    return add_headers
