"""Books of clients as documents of the API, and what the API says of the same moment."""

from __future__ import annotations

from typing import Any

from batonics.client import LevelBook, OrderBook, TradesFeed
from batonics.model.prices import format_price
from tests.support.serve import Server

Sides = dict[str, list[dict[str, Any]]]


def levels_of(book: LevelBook) -> Sides:
    """The levels of a client's book, as GET /v1/books has them."""
    return {
        name: [_level(*level) for level in levels]
        for name, levels in (("bids", book.bids), ("asks", book.asks))
    }


def orders_of(book: OrderBook) -> Sides:
    """The levels and queues of a client's book, as GET /v1/books?level=l3 has them."""
    return {
        name: [
            {
                **_level(*level),
                "orders": [{"order_id": str(order_id), "size": size} for order_id, size in queue],
            }
            for level, queue in levels
        ]
        for name, levels in (("bids", book.bids), ("asks", book.asks))
    }


def served(server: Server, book: LevelBook | OrderBook) -> tuple[Sides, dict[str, Any]]:
    """The sides of the book that the server has at `seq` of a client's, and all of it."""
    level = "l3" if isinstance(book, OrderBook) else "l2"
    depth = book.depth or "all" if isinstance(book, LevelBook) else "all"
    path = f"/v1/books/{book.symbol}?publisher={book.publisher_id}&at=record:{book.seq}"
    reply = server.get(f"{path}&level={level}&depth={depth}")
    assert reply.status == 200, reply.document
    return {name: reply.document[name] for name in ("bids", "asks")}, reply.document


def check_equal(server: Server, book: LevelBook | OrderBook | TradesFeed) -> None:
    """A client's book is the server's, in every level, order, status and time."""
    if isinstance(book, TradesFeed):  # which has no book
        return
    sides, document = served(server, book)
    assert (orders_of(book) if isinstance(book, OrderBook) else levels_of(book)) == sides
    assert (book.status, book.warnings) == (document["status"], document["warnings"])
    assert (book.ts_event, book.ts_recv) == (document["ts_event"], document["ts_recv"])
    if isinstance(book, LevelBook):
        assert book.checksum() == document["checksum"]


def _level(price: int, size: int, count: int) -> dict[str, Any]:
    return {"price": format_price(price), "price_1e9": price, "size": size, "count": count}
