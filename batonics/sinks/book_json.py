"""Writes books as JSON of one versioned schema.

The rule: the same books give the same bytes. Books come by publisher and instrument, bids before
asks, the best price first, orders by priority, keys in the order of the schema (`book.schema.json`,
next to this file). Integers are exact, prices are decimal text and integers of 1e-9; there are no
floats. Order ids are text, because many readers of JSON round integers above 2^53.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
import orjson

from batonics.book.engine import BookEngine
from batonics.book.results import Levels, Orders
from batonics.book.state import BOOK_WORDS, Anomaly, Book
from batonics.model.answers import END_OF_DATA, AnswerWarning, AsOf, book_warnings
from batonics.model.book_changes import TradingStatus
from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.model.prices import format_price
from batonics.model.symbols import SymbolMap
from batonics.model.times import format_time
from batonics.sinks.file_names import check_file_name, named_format

BOOK_JSON_SCHEMA = "batonics.book/2"
BookJsonFormat = Literal["json", "ndjson"]
StatusName = Literal["cold", "synced", "stale"]
_STATUS_NAMES: tuple[StatusName, ...] = "cold", "synced", "stale"
"""By `Status`."""
_ANOMALY_NAMES = [anomaly.name.lower() for anomaly in Anomaly]


def find_book_format(path: str | Path, book_format: BookJsonFormat | None = None) -> BookJsonFormat:
    """The format of a file of books.

    Args:
        path: the file's name.
        book_format: the format that is asked for; None: `ndjson` where the name ends so, else
            `json`.

    Raises:
        UsageError: the name says another format.
    """
    if book_format is None:
        book_format = "ndjson" if named_format(path) == "ndjson" else "json"
    check_file_name(path, book_format)
    return book_format


def write_books(  # noqa: PLR0913 - options, by keyword
    out: BinaryIO,
    engine: BookEngine,
    symbols: SymbolMap,
    *,
    book_format: BookJsonFormat = "json",
    depth: int | None = None,
    orders: bool = False,
    only: set[tuple[int, int]] | None = None,
    as_of: AsOf = END_OF_DATA,
) -> int:
    """Write books; return their number.

    Args:
        out: file to write to.
        engine: engine with the books.
        symbols: symbols of the instruments.
        book_format: `json`: one document; `ndjson`: one book a line.
        depth: limit of the levels of each side; None: all levels.
        orders: add the queue of each level, in priority order.
        only: keys of the books to write; None: all books.
        as_of: the time of the books, and the times of their data.
    """
    written = 0
    head = {"schema": BOOK_JSON_SCHEMA, **as_of.document()}
    if book_format == "json":
        out.write(orjson.dumps(head)[:-1] + b',"books":[')
    for book in book_documents(engine, symbols, depth=depth, orders=orders, only=only, as_of=as_of):
        if book_format == "ndjson":
            out.write(orjson.dumps({**head, **book}, option=orjson.OPT_APPEND_NEWLINE))
        else:
            out.write(b"\n" if written == 0 else b",\n")
            out.write(orjson.dumps(book))
        written += 1
    if book_format == "json":
        out.write(b"\n]}\n")
    return written


def book_documents(  # noqa: PLR0913 - options, by keyword
    engine: BookEngine,
    symbols: SymbolMap,
    *,
    depth: int | None = None,
    orders: bool = False,
    only: set[tuple[int, int]] | None = None,
    as_of: AsOf = END_OF_DATA,
) -> Iterator[dict[str, Any]]:
    """Each book as an object of the schema, by publisher and instrument."""
    keys, levels = engine.keys(), engine.levels()
    queues = engine.orders() if orders else None
    level_bounds = np.searchsorted(levels.book, np.arange(len(keys) + 1))
    order_bounds = np.searchsorted(queues.book, np.arange(len(keys) + 1)) if queues else None
    for book in sorted(range(len(keys)), key=keys.__getitem__):
        if only is not None and keys[book] not in only:
            continue
        own = Levels(*(column[level_bounds[book] : level_bounds[book + 1]] for column in levels))
        own_orders = None
        if queues is not None and order_bounds is not None:
            bounds = slice(order_bounds[book], order_bounds[book + 1])
            own_orders = Orders._make(column[bounds] for column in queues)
        yield _document(engine, book, symbols, as_of, BookSides(own, own_orders, depth))


def book_document(  # noqa: PLR0913 - options, by keyword
    engine: BookEngine,
    book: int,
    symbols: SymbolMap,
    *,
    depth: int | None = None,
    orders: bool = False,
    as_of: AsOf = END_OF_DATA,
) -> dict[str, Any]:
    """One book as an object of the schema; `book` is its number."""
    queues = engine.orders(book) if orders else None
    return _document(engine, book, symbols, as_of, BookSides(engine.levels(book), queues, depth))


class BookSides(NamedTuple):
    """What a document shows of a book: its levels, their queues, and the limit of levels."""

    levels: Levels
    queues: Orders | None
    depth: int | None


def _document(
    engine: BookEngine, book: int, symbols: SymbolMap, as_of: AsOf, sides: BookSides
) -> dict[str, Any]:
    words = engine.state.books[book * BOOK_WORDS : (book + 1) * BOOK_WORDS]
    key = int(words[Book.KEY])
    publisher_id, instrument_id = key >> 32, key & 0xFFFFFFFF
    ts_event, ts_recv, sequence = (int(value) for value in engine.last_seen()[book])
    status, market, trading, warnings = book_condition(
        engine, book, market_state(sides.levels), as_of
    )
    return {
        "publisher_id": publisher_id,
        "instrument_id": instrument_id,
        "symbol": symbols.symbol(instrument_id, min(ts_recv, UNDEF_TIMESTAMP - 1)),
        "status": status,
        "market": market,
        "trading_status": None if trading is None else trading.name.lower(),
        "warnings": warnings,
        "event_open": bool(words[Book.EVENTS] & 1),
        "events": int(words[Book.EVENTS]) >> 1,
        "ts_event": format_time(ts_event),
        "ts_recv": format_time(ts_recv),
        "sequence": sequence,
        "anomalies": dict(zip(_ANOMALY_NAMES, engine.anomalies()[book].tolist(), strict=True)),
        "bids": side_document(sides.levels, sides.queues, 0, sides.depth),
        "asks": side_document(sides.levels, sides.queues, 1, sides.depth),
    }


class BookCondition(NamedTuple):
    """How far a book may be trusted, and what its market does.

    Attributes:
        status: `cold`, `synced` or `stale`.
        market: as `market_state` says.
        trading: the trading status; None: it is not known.
        warnings: what makes answers about the book doubtful.
    """

    status: StatusName
    market: str
    trading: TradingStatus | None
    warnings: list[AnswerWarning]


def book_condition(engine: BookEngine, book: int, market: str, as_of: AsOf) -> BookCondition:
    """The state of a book, given its number and its `market_state`."""
    words = engine.state.books[book * BOOK_WORDS : (book + 1) * BOOK_WORDS]
    key = int(words[Book.KEY])
    publisher_id, instrument_id = key >> 32, key & 0xFFFFFFFF
    status = _STATUS_NAMES[int(words[Book.STATUS])]
    trading = as_of.trading.get((publisher_id, instrument_id))
    of_book = book_warnings(
        status,
        crossed=market == "crossed",
        trading=trading,
        renamed=instrument_id in as_of.renamed,
    )
    return BookCondition(status, market, trading, [*as_of.warnings(), *of_book])


def market_state(levels: Levels) -> str:
    """The state of one book's levels; crossed and locked are no errors (rule 22)."""
    bids, asks = (levels.price[levels.side == side][:1].tolist() for side in (0, 1))
    return market_of(bids, asks)


def market_of(bids: Sequence[int], asks: Sequence[int]) -> str:
    """The state of a market by its best prices, the best first."""
    if not bids or not asks:
        return "one_sided" if bids or asks else "empty"
    if bids[0] > asks[0]:
        return "crossed"
    return "locked" if bids[0] == asks[0] else "normal"


def side_document(
    levels: Levels, orders: Orders | None, side: int, depth: int | None
) -> list[dict[str, Any]]:
    """The levels of a side (0 bid, 1 ask) of one book, best first; with `orders`, their queues."""
    mine = np.flatnonzero(levels.side == side)[:depth]
    rows = [
        {"price": format_price(price), "price_1e9": price, "size": size, "count": count}
        for price, size, count in zip(
            levels.price[mine].tolist(),
            levels.size[mine].tolist(),
            levels.count[mine].tolist(),
            strict=True,
        )
    ]
    if orders is not None:
        _add_queues(rows, orders, side)
    return rows


def _add_queues(rows: list[dict[str, Any]], orders: Orders, side: int) -> None:
    """Add each level's orders, which are in the order of the levels already."""
    mine = np.flatnonzero(orders.side == side)
    ids, sizes = orders.order_id[mine].tolist(), orders.size[mine].tolist()
    start = 0
    for row in rows:
        stop = start + row["count"]
        row["orders"] = [
            {"order_id": str(order_id), "size": size}
            for order_id, size in zip(ids[start:stop], sizes[start:stop], strict=True)
        ]
        start = stop
