"""The client for programs without asyncio: the same methods, which wait.

The rule here: nothing runs between two calls. A program that iterates slowly is a slow client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Self

from batonics.client.async_client import AsyncClient
from batonics.client.books import LevelBook, OrderBook, TradesFeed
from batonics.client.tracker import AnyBook, BookId


class Client:
    """A connection to /v1/ws: `with`, then subscribe, then `for`; see `AsyncClient`.

    Args:
        url: where the server is, such as `http://127.0.0.1:8080`.
        token: its token; None: it needs none.
        give_up_s: seconds after which a server that cannot be reached is an error.
    """

    def __init__(self, url: str, token: str | None = None, *, give_up_s: float = 60.0) -> None:
        self._client = AsyncClient(url, token, give_up_s=give_up_s)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._runner.__enter__()
        try:
            self._runner.run(self._client.__aenter__())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._runner.run(self._client.__aexit__(*error))
        finally:
            self._runner.close()

    @property
    def books(self) -> dict[BookId, AnyBook]:
        """The books, as they are; see `is_current`."""
        return self._client.books

    @property
    def cut(self) -> dict[BookId, str]:
        """The subscriptions that the server has ended, and why."""
        return self._client.cut

    def is_current(self, book: BookId) -> bool:
        """Whether a book is the server's: it does not wait for a snapshot."""
        return self._client.is_current(book)

    def levels(self, symbol: str, channel: str = "l2", publisher: int | None = None) -> LevelBook:
        """The one book of the symbol on bbo or l2; KeyError: no snapshot of it has come."""
        return self._client.levels(symbol, channel, publisher)

    def orders(self, symbol: str, publisher: int | None = None) -> OrderBook:
        """The one book of the symbol on l3; KeyError: no snapshot of it has come."""
        return self._client.orders(symbol, publisher)

    def trades(self, symbol: str, publisher: int | None = None) -> TradesFeed:
        """The one feed of trades of the symbol; KeyError: no snapshot of it has come."""
        return self._client.trades(symbol, publisher)

    def subscribe(
        self,
        channel: str,
        symbols: list[str],
        *,
        publisher: int | None = None,
        depth: int | str | None = None,
        conflate_ms: int | None = None,
    ) -> list[BookId]:
        """Subscribe to books on a channel; see `AsyncClient.subscribe`."""
        return self._runner.run(
            self._client.subscribe(
                channel, symbols, publisher=publisher, depth=depth, conflate_ms=conflate_ms
            )
        )

    def unsubscribe(self, channel: str, symbols: list[str] | None = None) -> None:
        """End subscriptions of a channel: to some books, or to all."""
        self._runner.run(self._client.unsubscribe(channel, symbols))

    def play(self, speed: float | None = None) -> dict[str, Any]:
        """Let the clock run, at a speed; what the clock shows."""
        return self._runner.run(self._client.play(speed))

    def pause(self) -> dict[str, Any]:
        """Stop the clock; what it shows."""
        return self._runner.run(self._client.pause())

    def seek(self, at: str) -> dict[str, Any]:
        """Go to a time, or to `record:NUMBER`; what the clock shows."""
        return self._runner.run(self._client.seek(at))

    def step(self, events: int = 1) -> dict[str, Any]:
        """Go on by some events of the books, below 0 back; what the clock shows."""
        return self._runner.run(self._client.step(events))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        """The next message, after the books have taken it."""
        return self._runner.run(self._client.__anext__())
