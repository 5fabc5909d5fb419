"""The API of a live feed under /v1: that of files (`history_api.py`), over `LiveBooks`."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from batonics.server.answer_encoding import AnswerTags
from batonics.server.api_contract import openapi_document
from batonics.server.asyncapi import asyncapi_document
from batonics.server.bound_endpoints import bind_document, endpoint_route
from batonics.server.channel_sockets import WEBSOCKET_PATH, ChannelSockets
from batonics.server.history_api import HistoryApi
from batonics.server.live_books import LiveBooks
from batonics.server.live_source import LiveSource
from batonics.server.service import WebService

_TITLE = "batonics: the books of a live feed"


class LiveApi:
    """The handlers of /v1.

    Args:
        service: the server.
        books: the books of the feed.
    """

    def __init__(self, service: WebService, books: LiveBooks) -> None:
        self._answers = HistoryApi(service, lambda: books.answers)
        self._sockets = ChannelSockets(service, lambda: LiveSource(books))
        self._endpoints = [
            replace(endpoint, is_fixed=False) for endpoint in self._answers.endpoints()
        ]

    def paths(self) -> dict[str, str]:
        """What each path answers."""
        found = {endpoint.path: endpoint.summary for endpoint in self._endpoints}
        return found | {
            WEBSOCKET_PATH: "WebSocket: books and trades as they come",
            "/openapi.json": "the API under /v1, as OpenAPI 3.1",
            "/asyncapi.json": f"{WEBSOCKET_PATH}, as AsyncAPI 3",
        }

    def routes(self) -> list[web.RouteDef]:
        """The handler of each path. Answers change, so they have no ETag."""
        documents = {
            "/openapi.json": openapi_document(_TITLE, self._endpoints),
            "/asyncapi.json": asyncapi_document(_TITLE),
        }
        tags = AnswerTags()
        return [
            *(endpoint_route(endpoint, tags) for endpoint in self._endpoints),
            *(web.get(path, bind_document(document)) for path, document in documents.items()),
            web.get(WEBSOCKET_PATH, self._sockets.handle, allow_head=False),
        ]

    async def close(self) -> None:
        """End the connections and the workers."""
        await self._sockets.close()
        self._answers.close()
