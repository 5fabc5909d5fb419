"""What a WebSocket client asks for in its messages.

The rule here: each message gets one answer, which is what was done or an `error` that says why not.

    -> {"op": "subscribe", "channel": "snapshot", "symbols": ["CLX5"], "depth": 10, "id": 1}
    <- {"type": "subscribed", "channel": "snapshot", "books": [{"symbol": "CLX5", ...}], "id": 1}
    -> {"op": "resync", "symbols": ["CLX5"]}    begin again with a snapshot; no symbols: all of them
    -> {"op": "unsubscribe"}                    the same way
    <- {"type": "error", "detail": "...", "id": null}

`channel` is that of the path if it is left out; `id` comes back as it was.
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
    """Does what clients ask."""

    def __init__(self, replica: BookReplica, fanout: Fanout, limits: ServerLimits) -> None:
        self._mirror, self._fanout, self._limits = replica, fanout, limits

    def subscribe(self, client: WebSocketClient, wanted: dict[str, Any]) -> dict[str, Any]:
        """Subscribe to the channel of the client's path; ProblemError if that cannot be."""
        return self._subscribe(client, client.channel, wanted)

    def answer(self, client: WebSocketClient, text: str) -> dict[str, Any]:
        """What to answer to a client's message, having done what it asks."""
        number = None
        try:
            asked = _parsed(text)
            number = asked["id"]
            channel = asked.get("channel", client.channel)
            if asked["op"] == "subscribe":
                return self._subscribe(client, channel, asked)
            return self._again(client, channel, asked)
        except ProblemError as error:
            return {"type": "error", "detail": error.detail, "id": number}

    def _subscribe(
        self, client: WebSocketClient, channel: str, asked: dict[str, Any]
    ) -> dict[str, Any]:
        books = self._named(asked)
        if not books:
            raise _wrong("symbols must name one book at least")
        new = {(channel, book) for book in books} - client.subscriptions.keys()
        most = self._limits.subscriptions_max
        if len(client.subscriptions) + len(new) > most:
            raise _wrong(f"a client may be shown {most} books at the most")
        depth = 1 if channel == "bbo" else _depth(asked.get("depth"), self._mirror.depth)
        for book in books:
            self._fanout.subscribe(client, channel, book, depth)
        return self._done("subscribed", channel, books, asked)

    def _again(
        self, client: WebSocketClient, channel: str, asked: dict[str, Any]
    ) -> dict[str, Any]:
        """Unsubscribe, resync: from some of what the client is shown on a channel, or all."""
        mine = [one for one in client.subscriptions.values() if one.channel == channel]
        if "symbols" in asked:
            wanted = self._named(asked)
            mine = [one for one in mine if one.book in wanted]
        if asked["op"] == "resync":
            self._fanout.resync(client, mine)
            return self._done("resyncing", channel, _books(mine), asked)
        for one in mine:
            self._fanout.unsubscribe(client, one.channel, one.book)
        return self._done("unsubscribed", channel, _books(mine), asked)

    def _named(self, asked: dict[str, Any]) -> list[int]:
        """The books of the symbols asked for, each once."""
        symbols = asked.get("symbols")
        most = self._limits.symbols_max
        if not isinstance(symbols, list) or len(symbols) > most:
            raise _wrong(f"symbols must be a list of at most {most}")
        books: dict[int, None] = {}
        for symbol in symbols:
            found = self._mirror.find(symbol) if isinstance(symbol, str) else []
            if not found:
                raise ProblemError(404, "No such book", f"no book of {str(symbol)[:100]!r} yet")
            books.update(dict.fromkeys(found))
        return list(books)

    def _done(
        self, what: str, channel: str, books: list[int], asked: dict[str, Any]
    ) -> dict[str, Any]:
        names = [payloads.name_document(self._mirror.names[book]) for book in books]
        return {"type": what, "channel": channel, "books": names, "id": asked.get("id")}


def _parsed(text: str) -> dict[str, Any]:
    try:
        asked = orjson.loads(text)
    except ValueError:
        raise _wrong("not JSON") from None
    if not isinstance(asked, dict) or asked.get("op") not in _OPS:
        raise _wrong(f"expected an object with op {', '.join(_OPS)}")
    if asked.get("channel", CHANNELS[0]) not in CHANNELS:
        raise _wrong(f"no such channel; expected {' or '.join(CHANNELS)}")
    number = asked.get("id")
    return {**asked, "id": number if isinstance(number, str | int) else None}


def _depth(wanted: Any, most: int) -> int:
    if wanted is None:
        return min(DEPTH_DEFAULT, most)
    try:
        depth = parse_depth(str(wanted), most)
    except ProblemError as error:
        raise _wrong(error.detail) from None
    if depth is None or depth > most:
        raise _wrong(f"depth is at most {most} here; /book has all levels")
    return depth


def _books(subscriptions: list[ClientSubscription]) -> list[int]:
    return [one.book for one in subscriptions]


def _wrong(detail: str) -> ProblemError:
    return ProblemError(400, "Cannot subscribe", detail)
