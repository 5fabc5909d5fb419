"""The client over a socket, for asyncio.

The rule here: a lost connection is made again, and goes on where the last one was; the caller sees
a snapshot of each book and no error, unless the server stays away.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from itertools import count
from typing import Any, Self

import aiohttp
import orjson

from batonics.client.books import LevelBook, OrderBook, TradesFeed
from batonics.client.tracker import AnyBook, BookId, BookTracker, ClientError
from batonics.model.secret import Secret

SILENCE_S = 5.0
"""A server sends a heartbeat each second; after this time without one the connection is lost."""
_WAITS_S = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)
"""How long to wait before each attempt to connect; the last one repeats."""
_LOST = (aiohttp.ClientError, ConnectionError, TimeoutError)


class AsyncClient:
    """A connection to /v1/ws: `async with`, then subscribe, then `async for`.

    Args:
        url: where the server is, such as `http://127.0.0.1:8080`.
        token: its token; None: it needs none.
        give_up_s: seconds after which a server that cannot be reached is an error.

    Attributes:
        reconnects: how often the connection was made again.

    Raises:
        ClientError: the server refuses a request, or cannot be reached.
    """

    def __init__(self, url: str, token: str | None = None, *, give_up_s: float = 60.0) -> None:
        self._url, self._give_up_s = f"{url.rstrip('/')}/v1/ws", give_up_s
        self._token = None if token is None else Secret(token)
        self._tracker, self._ids = BookTracker(), count(1)
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._read_before: deque[dict[str, Any]] = deque()
        self.reconnects = 0

    async def __aenter__(self) -> Self:
        headers = {}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.reveal()}"
        self._session = aiohttp.ClientSession(headers=headers)
        try:
            await self._connect()
        except BaseException:
            await self._session.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._session is not None:
            await self._session.close()

    # ------------------------------------------------------------------ books

    @property
    def books(self) -> dict[BookId, AnyBook]:
        """The books, as they are; see `is_current`."""
        return self._tracker.books

    @property
    def cut(self) -> dict[BookId, str]:
        """The subscriptions that the server has ended, and why."""
        return self._tracker.cut

    @property
    def kept(self) -> int:
        """The number of messages that came before a reply, which `async for` has still to give."""
        return len(self._read_before)

    @property
    def resyncs(self) -> int:
        """How often a book was asked for anew because a message did not fit it."""
        return self._tracker.resyncs

    def is_current(self, book: BookId) -> bool:
        """Whether a book is the server's: it does not wait for a snapshot."""
        return self._tracker.is_current(book)

    def levels(self, symbol: str, channel: str = "l2", publisher: int | None = None) -> LevelBook:
        """The one book of the symbol on bbo or l2; KeyError: no snapshot of it has come."""
        book = self._find(symbol, channel, publisher)
        assert isinstance(book, LevelBook)  # noqa: S101 - for mypy
        return book

    def orders(self, symbol: str, publisher: int | None = None) -> OrderBook:
        """The one book of the symbol on l3; KeyError: no snapshot of it has come."""
        book = self._find(symbol, "l3", publisher)
        assert isinstance(book, OrderBook)  # noqa: S101 - for mypy
        return book

    def trades(self, symbol: str, publisher: int | None = None) -> TradesFeed:
        """The one feed of trades of the symbol; KeyError: no snapshot of it has come."""
        book = self._find(symbol, "trades", publisher)
        assert isinstance(book, TradesFeed)  # noqa: S101 - for mypy
        return book

    def _find(self, symbol: str, channel: str, publisher: int | None) -> AnyBook:
        found = [
            book
            for key, book in self.books.items()
            if key.channel == channel
            and book.symbol == symbol
            and publisher in (None, key.publisher_id)
        ]
        if len(found) != 1:
            raise KeyError(f"{len(found)} books of {symbol!r} on {channel}")
        return found[0]

    # ------------------------------------------------------------------ requests

    async def subscribe(
        self,
        channel: str,
        symbols: list[str],
        *,
        publisher: int | None = None,
        depth: int | str | None = None,
        conflate_ms: int | None = None,
    ) -> list[BookId]:
        """Subscribe to books on a channel.

        Args:
            channel: `bbo`, `l2`, `l3` or `trades`.
            symbols: the symbols; one that ends with `*` stands for all that begin so.
            publisher: the publisher, where several have a symbol.
            depth: levels of each side of l2, or `all`; None: ten.
            conflate_ms: the least time between two messages of a book on bbo and l2; None: 50.

        Returns:
            The books.
        """
        options = {"publisher": publisher, "depth": depth, "conflate_ms": conflate_ms}
        given = {name: value for name, value in options.items() if value is not None}
        reply = await self.request(
            {"op": "subscribe", "channel": channel, "symbols": symbols, **given}
        )
        return [
            BookId(channel, book["publisher_id"], book["instrument_id"]) for book in reply["books"]
        ]

    async def unsubscribe(self, channel: str, symbols: list[str] | None = None) -> None:
        """End subscriptions of a channel: to some books, or to all."""
        given = {} if symbols is None else {"symbols": symbols}
        await self.request({"op": "unsubscribe", "channel": channel, **given})

    async def play(self, speed: float | None = None) -> dict[str, Any]:
        """Let the clock run, at a speed; what the clock shows."""
        given = {} if speed is None else {"speed": float(speed)}
        return await self.request({"op": "play", **given})

    async def pause(self) -> dict[str, Any]:
        """Stop the clock; what it shows."""
        return await self.request({"op": "pause"})

    async def seek(self, at: str) -> dict[str, Any]:
        """Go to a time, or to `record:NUMBER`; what the clock shows."""
        return await self.request({"op": "seek", "at": at})

    async def step(self, events: int = 1) -> dict[str, Any]:
        """Go on by some events of the books, below 0 back; what the clock shows."""
        return await self.request({"op": "step", "events": events})

    async def request(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its reply. Other messages are kept for `async for`."""
        while True:
            request = {**request, "id": f"batonics-{next(self._ids)}"}
            reconnects = self.reconnects
            await self._send(request)
            while reconnects == self.reconnects:
                message = await self._receive()
                if message is None:
                    continue
                if message.get("id") != request["id"]:
                    self._read_before.append(message)
                    continue
                if message["type"] == "error":
                    raise ClientError(message["detail"])
                self._tracker.note_request(request, message)
                return message

    # ------------------------------------------------------------------ messages

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        return self

    async def __anext__(self) -> dict[str, Any]:
        """The next message, after the books have taken it."""
        while True:
            message = self._read_before.popleft() if self._read_before else await self._receive()
            if message is not None:
                return message

    async def _receive(self) -> dict[str, Any] | None:
        """The next message; None: it is of no use to the caller."""
        socket = self._socket
        try:
            if socket is None:
                raise ConnectionError
            frame = await socket.receive(timeout=SILENCE_S)
            if frame.type is not aiohttp.WSMsgType.TEXT:
                raise ConnectionError
        except _LOST:
            await self._reconnect()
            return None
        message: dict[str, Any] = orjson.loads(frame.data)
        is_useful, requests = self._tracker.take(message)
        for one in requests:
            await self._send(one)
        return message if is_useful else None

    async def _send(self, request: dict[str, Any]) -> None:
        """Send a request; a connection that is lost is noticed by `_receive`."""
        if self._socket is not None:
            try:
                await self._socket.send_str(orjson.dumps(request).decode())
            except _LOST:
                await self._socket.close()

    async def _reconnect(self) -> None:
        if self._socket is not None:
            await self._socket.close()
        await self._connect()
        self.reconnects += 1
        for request in self._tracker.requests_to_resume():
            await self._send(request)

    async def _connect(self) -> None:
        """Connect, again and again until `give_up_s` has passed."""
        assert self._session is not None, "use `async with`"  # noqa: S101
        loop, attempts = asyncio.get_running_loop(), count()
        until_s = loop.time() + self._give_up_s
        while True:
            try:
                async with asyncio.timeout(SILENCE_S):
                    self._socket = await self._session.ws_connect(self._url, max_msg_size=0)
            except aiohttp.WSServerHandshakeError as error:
                if error.status < 500 and error.status != 429:
                    raise ClientError(f"{self._url}: refused with status {error.status}") from None
                reason = f"status {error.status}"
            except _LOST as error:
                reason = str(error) or type(error).__name__
            else:
                return
            wait_s = _WAITS_S[min(next(attempts), len(_WAITS_S) - 1)]
            if loop.time() + wait_s > until_s:
                raise ClientError(f"{self._url}: cannot be reached: {reason}")
            await asyncio.sleep(wait_s)
