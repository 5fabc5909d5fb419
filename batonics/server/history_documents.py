"""The documents of the API over files, apart from books, whose schema is `batonics.book/2`.

The rule here: prices are decimal text and integers of 1e-9, times are ISO 8601 in UTC with nine
decimals, order ids are text, and there is no float. `record` is the number of a record: its place
in the stream, from 0.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import orjson
from typing_extensions import TypedDict

from batonics.live.protocol import FeedState
from batonics.model.answers import DataSpan
from batonics.model.book_checksum import (
    CHECKSUM_LEVELS,
    PriceLevel,
    Queue,
    levels_checksum,
    queues_checksum,
)
from batonics.model.mbo import UNDEF_ORDER_SIZE, UNDEF_PRICE, Action, MboBatch, Side
from batonics.model.prices import format_price
from batonics.model.times import format_time
from batonics.server.api_contract import COMPONENTS

Data = TypedDict("Data", {"from": str | None, "until": str | None})
"""The times of the first and of the last record; `from` is a keyword of Python."""


class BookRow(TypedDict):
    """A book, as at the end of the data."""

    symbol: str | None
    publisher_id: int
    instrument_id: int
    status: str
    events: int
    ts_recv: str | None


class SymbolsPage(TypedDict):
    """Books by publisher and instrument; `next` is the cursor of the next page."""

    data: Data
    record_count: int
    books: list[BookRow]
    next: str | None


class RecordRow(TypedDict):
    """A record."""

    record: int
    symbol: str | None
    publisher_id: int
    instrument_id: int
    ts_event: str | None
    ts_recv: str | None
    action: str
    side: str
    order_id: str
    price: str | None
    price_1e9: int | None
    size: int | None
    flags: int
    sequence: int


class RecordsPage(TypedDict):
    """Records in their order; `next` is the cursor of the next page, null at the end."""

    records: list[RecordRow]
    next: str | None


class QueuePlace(TypedDict):
    """What stands ahead of an order at its price."""

    orders: int
    size: int


class OrderLife(TypedDict):
    """An order of one book. What it is at the time is null if it is not in the book then.

    `status` and `warnings` are those of its book at the time: in a cold or stale book an order may
    have gone, and others may stand ahead of it. `priority` says whether the venue fills the orders
    of a price by time (`fifo`) or in an order that is not known; `ahead` means something only where
    it does.
    """

    order_id: str
    symbol: str | None
    publisher_id: int
    instrument_id: int
    status: str | None
    warnings: list[str]
    priority: str
    priority_rule: str
    is_live: bool
    side: str | None
    price: str | None
    price_1e9: int | None
    size: int | None
    ahead: QueuePlace | None
    records: list[RecordRow]
    more_records: int


class OrdersDocument(TypedDict):
    """The orders of an id, one for each book that has it, as of a time."""

    at: str | None
    data: Data
    warnings: list[str]
    orders: list[OrderLife]


def data_document(data: DataSpan) -> Data:
    """The times of records."""
    return {
        "from": None if data.from_ns is None else format_time(data.from_ns),
        "until": None if data.until_ns is None else format_time(data.until_ns),
    }


def record_row(record: int, batch: MboBatch, row: int, symbol: str | None) -> RecordRow:
    """A record of a batch."""
    price, size = int(batch.price[row]), int(batch.size[row])
    has_price, has_size = price != UNDEF_PRICE, size != UNDEF_ORDER_SIZE
    return {
        "record": record,
        "symbol": symbol,
        "publisher_id": int(batch.publisher_id[row]),
        "instrument_id": int(batch.instrument_id[row]),
        "ts_event": format_time(int(batch.ts_event[row])),
        "ts_recv": format_time(int(batch.ts_recv[row])),
        "action": chr(Action(int(batch.action[row]))),
        "side": chr(Side(int(batch.side[row]))),
        "order_id": str(batch.order_id[row]),
        "price": format_price(price) if has_price else None,
        "price_1e9": price if has_price else None,
        "size": size if has_size else None,
        "flags": int(batch.flags[row]),
        "sequence": int(batch.sequence[row]),
    }


def document_checksum(document: dict[str, Any], depth: int | None) -> int:
    """The checksum of a book as a document: that of l3 where it has queues, else that of l2."""
    sides = []
    for side in ("bids", "asks"):
        rows = document[side]
        levels = [(row["price_1e9"], row["size"], row["count"]) for row in rows[:CHECKSUM_LEVELS]]
        sides.append((levels, rows))
    (bids, bid_rows), (asks, ask_rows) = sides
    if not any("orders" in row for row in (*bid_rows, *ask_rows)):
        return levels_checksum(bids, asks, depth)
    return queues_checksum(_with_queues(bids, bid_rows), _with_queues(asks, ask_rows))


def _with_queues(
    levels: list[PriceLevel], rows: list[dict[str, Any]]
) -> list[tuple[PriceLevel, Queue]]:
    return [
        (level, [(int(order["order_id"]), order["size"]) for order in row["orders"]])
        for level, row in zip(levels, rows, strict=False)
    ]


def book_schema() -> dict[str, Any]:
    """The JSON Schema of one book as a document, with the types that it uses as `$defs`."""
    text = (files("batonics.sinks") / "book.schema.json").read_text()
    text = text.replace("#/properties/", f"{COMPONENTS}book_").replace("#/$defs/", COMPONENTS)
    schema = orjson.loads(text)
    book = schema["$defs"]["book"]
    book["properties"]["checksum"] = {
        "description": "The checksum of the levels here, ten of each side at most; docs/api.md.",
        "type": "integer",
        "minimum": 0,
        "maximum": 2**32 - 1,
    }
    book["properties"]["feed"] = {
        "description": "Of a live feed: its state; unless it is live or stalled, books are stale.",
        "enum": [*(state.name.lower() for state in FeedState), "silent", "behind"],
    }
    head = {f"book_{name}": each for name, each in schema["properties"].items() if name != "books"}
    return {"$ref": f"{COMPONENTS}book", "$defs": {**schema["$defs"], **head}}
