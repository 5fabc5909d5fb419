"""The page: the files of `server/page`, which a browser loads without a token.

The rule here: a request chooses one of the files that were read at the start, by its name; no path
comes from a request. The files have no data: the page reads all data from the API, with the token.
"""

from __future__ import annotations

import asyncio
import hashlib
from importlib.resources import files
from typing import NamedTuple

from aiohttp import hdrs, web

from batonics.server.handlers import json_response
from batonics.server.one_time_code import OneTimeCode
from batonics.server.query_params import ProblemError, parse_query

PAGE_PREFIX = "/page/"
CODE_PATH = "/page/token"
"""Where the page changes a one-time code for the token."""
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; script-src 'self';"
    " style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class PageFile(NamedTuple):
    """A file of the page: its bytes, media type and entity tag."""

    content: bytes
    kind: str
    etag: str


class PageFiles:
    """The files of the page, by name.

    Args:
        code: the code of the browser that `--open` started; None: there is none.
    """

    def __init__(self, code: OneTimeCode | None = None) -> None:
        self._files = {}
        self._code = code
        for path in files("batonics.server").joinpath("page").iterdir():
            kind = _TYPES.get(path.name.rpartition(".")[2])
            if kind is not None:
                content = path.read_bytes()
                digest = hashlib.sha256(content).hexdigest()[:32]
                self._files[path.name] = PageFile(content, kind, digest)

    def is_page_request(self, request: web.Request) -> bool:
        """Whether a request is for a file of the page, and so needs no token."""
        if request.path == "/":
            return "text/html" in request.headers.get(hdrs.ACCEPT, "")
        return request.path == CODE_PATH or request.path.removeprefix(PAGE_PREFIX) in self._files

    def routes(self) -> list[web.RouteDef]:
        """The routes of the files, apart from the page itself."""
        return [
            web.get(CODE_PATH, self._hand_over),
            web.get(PAGE_PREFIX + "{name}", self._show_file),
        ]

    async def show_index(self, request: web.Request) -> web.Response:
        """The page itself."""
        parse_query(request.query.items(), ())
        return self._respond(request, "index.html")

    async def _hand_over(self, request: web.Request) -> web.Response:
        """The token, for the one-time code."""
        parse_query(request.query.items(), ())
        now = asyncio.get_running_loop().time()
        given = request.headers.get(hdrs.AUTHORIZATION, "")
        token = self._code.redeem(given, now) if self._code is not None else None
        if token is None:
            raise ProblemError(403, "Not a code", "the code was used before, or is none of ours")
        return json_response({"token": token.reveal()})

    async def _show_file(self, request: web.Request) -> web.Response:
        """A module or a style sheet of the page."""
        parse_query(request.query.items(), ())
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound
        return self._respond(request, name)

    def _respond(self, request: web.Request, name: str) -> web.Response:
        content, kind, etag = self._files[name]
        headers = {
            "Cache-Control": "no-cache",  # asked for again each time, and sent if it has changed
            "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
            "ETag": f'"{etag}"',
            "Vary": "Accept",
        }
        if any(tag.value == etag for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        response = web.Response(body=content, content_type=kind, charset="utf-8", headers=headers)
        response.enable_compression()
        return response
