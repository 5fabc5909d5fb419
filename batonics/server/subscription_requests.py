"""The messages of WebSocket clients: subscribe, unsubscribe, resync.

The rule here: each message gets one reply, which confirms what was done or is an `error` with the
reason.

    -> {"op": "subscribe", "channel": "snapshot", "symbols": ["CLX5"], "depth": 10, "id": 1}
    <- {"type": "subscribed", "channel": "snapshot", "books": [{"symbol": "CLX5", ...}], "id": 1}
    -> {"op": "resync", "symbols": ["CLX5"]}    new snapshots; without symbols, of all books
    -> {"op": "unsubscribe"}                    with or without symbols, as above
    <- {"type": "error", "detail": "...", "id": null}

`channel` defaults to the channel of the path. The reply repeats the `id`.
"""

from __future__ import annotations

from typing import Any

import orjson

from batonics.server import payloads
from batonics.server.fanout import CHANNELS, ClientSubscription, Fanout, WebSocketClient
from batonics.server.query_params import DEPTH_DEFAULT, ProblemError, parse_depth
from batonics.server.replica import BookReplica
from batonics.settings.table import ServerLimits

_OPS = ("subscribe", "unsubscribe", "resync")


class SubscriptionHandler:
    """Carries out the messages of clients."""

    def __init__(self, replica: BookReplica, fanout: Fanout, limits: ServerLimits) -> None:
        self._replica, self._fanout, self._limits = replica, fanout, limits

    def subscribe(self, client: WebSocketClient, request: dict[str, Any]) -> dict[str, Any]:
        """Subscribe to the channel of the client's path; the reply. ProblemError if refused."""
        return self._subscribe(client, client.channel, request)

    def reply(self, client: WebSocketClient, text: str) -> dict[str, Any]:
        """Carry out a client's message; the reply."""
        request_id = None
        try:
            request = _parse(text)
            request_id = request["id"]
            channel = request.get("channel", client.channel)
            if request["op"] == "subscribe":
                return self._subscribe(client, channel, request)
            return self._change(client, channel, request)
        except ProblemError as error:
            return {"type": "error", "detail": error.detail, "id": request_id}

    def _subscribe(
        self, client: WebSocketClient, channel: str, request: dict[str, Any]
    ) -> dict[str, Any]:
        books = self._find_books(request)
        if not books:
            raise _refuse("symbols must name one book at least")
        new = {(channel, book) for book in books} - client.subscriptions.keys()
        most = self._limits.subscriptions_max
        if len(client.subscriptions) + len(new) > most:
            raise _refuse(f"a client may be shown {most} books at the most")
        depth = 1 if channel == "bbo" else _parse_depth(request.get("depth"), self._replica.depth)
        for book in books:
            self._fanout.subscribe(client, channel, book, depth)
        return self._confirm("subscribed", channel, books, request)

    def _change(
        self, client: WebSocketClient, channel: str, request: dict[str, Any]
    ) -> dict[str, Any]:
        """Unsubscribe or resync: the client's subscriptions on a channel, all or some books."""
        chosen = [one for one in client.subscriptions.values() if one.channel == channel]
        if "symbols" in request:
            books = self._find_books(request)
            chosen = [one for one in chosen if one.book in books]
        if request["op"] == "resync":
            self._fanout.resync(client, chosen)
            return self._confirm("resyncing", channel, _books(chosen), request)
        for one in chosen:
            self._fanout.unsubscribe(client, one.channel, one.book)
        return self._confirm("unsubscribed", channel, _books(chosen), request)

    def _find_books(self, request: dict[str, Any]) -> list[int]:
        """The books of the request's symbols, each once."""
        symbols, most = request.get("symbols"), self._limits.symbols_max
        if not isinstance(symbols, list) or len(symbols) > most:
            raise _refuse(f"symbols must be a list of at most {most}")
        books: dict[int, None] = {}
        for symbol in symbols:
            found = self._replica.find(symbol) if isinstance(symbol, str) else []
            if not found:
                raise ProblemError(404, "No such book", f"no book of {str(symbol)[:100]!r} yet")
            books.update(dict.fromkeys(found))
        return list(books)

    def _confirm(
        self, message_type: str, channel: str, books: list[int], request: dict[str, Any]
    ) -> dict[str, Any]:
        names = [payloads.name_document(self._replica.names[book]) for book in books]
        return {
            "type": message_type,
            "channel": channel,
            "books": names,
            "id": request.get("id"),
        }


def _parse(text: str) -> dict[str, Any]:
    try:
        request = orjson.loads(text)
    except ValueError:
        raise _refuse("not JSON") from None
    if not isinstance(request, dict) or request.get("op") not in _OPS:
        raise _refuse(f"expected an object with op {', '.join(_OPS)}")
    if request.get("channel", CHANNELS[0]) not in CHANNELS:
        raise _refuse(f"no such channel; expected {' or '.join(CHANNELS)}")
    request_id = request.get("id")
    return {**request, "id": request_id if isinstance(request_id, str | int) else None}


def _parse_depth(value: Any, most: int) -> int:
    if value is None:
        return min(DEPTH_DEFAULT, most)
    try:
        depth = parse_depth(str(value), most)
    except ProblemError as error:
        raise _refuse(error.detail) from None
    if depth is None or depth > most:
        raise _refuse(f"depth is at most {most} here; /book has all levels")
    return depth


def _books(subscriptions: list[ClientSubscription]) -> list[int]:
    return [one.book for one in subscriptions]


def _refuse(detail: str) -> ProblemError:
    return ProblemError(400, "Cannot subscribe", detail)
