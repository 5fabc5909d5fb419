"""What clients get, as bytes of JSON.

The rule here: the same books give the same bytes. Keys have one order, prices are decimal text (and
integers of 1e-9 where named so), times are ISO text with nanoseconds, ids that a JavaScript number
cannot hold are text, and there is no float.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from zlib import crc32

import orjson

from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.model.prices import format_price
from batonics.model.times import format_time
from batonics.server.replica import BookName, BookReplica, BookState, PriceLevel

CHECKSUM_LEVELS = 10
"""The best levels of each side that a checksum covers."""
LevelChange = tuple[str, str | None, int, int]
"""Side (`bid`, `ask`), price, size and count; size 0 where the level has gone."""


class DisplayedBook(NamedTuple):
    """A book as somebody was shown it: what an update starts from."""

    shown: BookState
    status: str
    feed: str


def display_book(replica: BookReplica, book: int) -> DisplayedBook:
    """A book as it is to be shown now."""
    shown = replica.shown(book)
    return DisplayedBook(shown, replica.status(shown), replica.feed)


def dumps(document: Any) -> bytes:
    """Its JSON."""
    return orjson.dumps(document)


def book_document(name: BookName, seen: DisplayedBook, depth: int) -> dict[str, Any]:
    """What /book says from the mirror; `depth` levels of each side."""
    return {
        **_head(name, seen),
        "depth": depth,
        "bids": [_level(level) for level in seen.shown.bids[:depth]],
        "asks": [_level(level) for level in seen.shown.asks[:depth]],
    }


def answer_document(
    name: BookName, answer: dict[str, Any], depth: int | None, replica: BookReplica
) -> dict[str, Any]:
    """The same from an ANSWER of ingest; `depth` None: every level there is."""
    return {
        **name_document(name),
        "status": answer["status"] if replica.live else "stale",
        "feed": replica.feed,
        "seq": answer["seq"],
        "events": answer["events"],
        "ts_event": _time(answer["ts_event"]),
        "ts_recv": _time(answer["ts_recv"]),
        "sequence": answer["sequence"],
        "depth": "all" if depth is None else depth,
        **{side: [_answer_level(level) for level in answer[side]] for side in ("bids", "asks")},
    }


def symbols_document(replica: BookReplica) -> list[dict[str, Any]]:
    """What /symbols says: a row a book, by publisher and instrument."""
    rows = []
    for book, shown in replica.heads():
        head = _head(replica.names[book], DisplayedBook(shown, replica.status(shown), replica.feed))
        rows.append({key: value for key, value in head.items() if key != "feed"})
    return rows


def bbo_message(
    name: BookName, seen: DisplayedBook, before: DisplayedBook | None
) -> dict[str, Any]:
    """The best levels of a book, after `before`."""
    bids, asks = seen.shown.bids, seen.shown.asks
    return {
        **_message("bbo", "update" if before else "snapshot", name, seen, before),
        "bid": _level(bids[0]) if bids else None,
        "ask": _level(asks[0]) if asks else None,
    }


def snapshot_message(name: BookName, seen: DisplayedBook, depth: int) -> dict[str, Any]:
    """All that a client needs to begin, or to begin again."""
    return {
        **_message("snapshot", "snapshot", name, seen, None),
        "depth": depth,
        "bids": [_row(level) for level in seen.shown.bids[:depth]],
        "asks": [_row(level) for level in seen.shown.asks[:depth]],
        "checksum": levels_checksum(seen.shown, depth),
    }


def update_message(
    name: BookName, seen: DisplayedBook, before: DisplayedBook, depth: int
) -> dict[str, Any]:
    """What makes a client's book of `before` the book of now."""
    return {
        **_message("snapshot", "update", name, seen, before),
        "changes": find_changes(before.shown, seen.shown, depth),
        "checksum": levels_checksum(seen.shown, depth),
    }


def status_message(
    channel: str, name: BookName, seen: DisplayedBook, before: DisplayedBook
) -> dict[str, Any]:
    """That a book counts for less, or for more, than it did; its levels are those of `before`."""
    return _message(channel, "status", name, seen._replace(shown=before.shown), before)


def heartbeat_message(
    replica: BookReplica, sent: Iterable[tuple[str, BookName, DisplayedBook]]
) -> dict[str, Any]:
    """That the server lives; and up to which `seq` this client has been told of each book."""
    return {
        "type": "heartbeat",
        "feed": replica.feed,
        "books": [
            {
                "channel": channel,
                **name_document(name),
                "status": seen.status,
                "seq": seen.shown.seq,
            }
            for channel, name, seen in sent
        ],
    }


def find_changes(before: BookState, after: BookState, depth: int) -> list[LevelChange]:
    """The levels in which two books differ within `depth` levels; bids first, best first.

    A level that has left the best `depth` has gone, for whoever is shown no more than these.
    """
    found: list[LevelChange] = []
    sides: Sequence[tuple[str, tuple[PriceLevel, ...], tuple[PriceLevel, ...], bool]] = (
        ("bid", before.bids, after.bids, True),
        ("ask", before.asks, after.asks, False),
    )
    for side, were, are, best_is_highest in sides:
        if were[:depth] == are[:depth]:
            continue
        old = {level[0]: level for level in were[:depth]}
        new = {level[0]: level for level in are[:depth]}
        for price in sorted(old.keys() | new.keys(), reverse=best_is_highest):
            level = new.get(price, (price, 0, 0))
            if level != old.get(price):
                found.append((side, format_price(price), *level[1:]))
    return found


def levels_differ(before: BookState, after: BookState, depth: int) -> bool:
    """Whether two books differ within `depth` levels."""
    return before.bids[:depth] != after.bids[:depth] or before.asks[:depth] != after.asks[:depth]


def levels_checksum(shown: BookState, depth: int) -> int:
    """CRC32 over the best levels that are shown, at most 10 of each side.

    Of the ASCII text of the bids, best first, then the asks, each level `price:size:count;`.
    """
    most = min(depth, CHECKSUM_LEVELS)
    levels = (*shown.bids[:most], *shown.asks[:most])
    text = "".join(f"{format_price(price)}:{size}:{count};" for price, size, count in levels)
    return crc32(text.encode())


def problem(status: int, title: str, detail: str, **facts: Any) -> bytes:
    """An error as RFC 9457 has it; `facts` are members of its own."""
    return orjson.dumps(
        {"type": "about:blank", "title": title, "status": status, "detail": detail, **facts}
    )


def name_document(name: BookName) -> dict[str, Any]:
    """What a book is called."""
    return {
        "symbol": name.symbol,
        "publisher_id": name.publisher_id,
        "instrument_id": name.instrument_id,
    }


def _head(name: BookName, seen: DisplayedBook) -> dict[str, Any]:
    return {
        **name_document(name),
        "status": seen.status,
        "feed": seen.feed,
        "seq": seen.shown.seq,
        "events": seen.shown.events,
        "ts_event": format_time(seen.shown.ts_event),
        "ts_recv": format_time(seen.shown.ts_recv),
        "sequence": seen.shown.sequence,
    }


def _message(
    channel: str, kind: str, name: BookName, seen: DisplayedBook, before: DisplayedBook | None
) -> dict[str, Any]:
    return {
        "channel": channel,
        "type": kind,
        **name_document(name),
        "status": seen.status,
        "feed": seen.feed,
        "seq": seen.shown.seq,
        "prev_seq": before.shown.seq if before else None,
        "events": seen.shown.events,
        "ts_event": format_time(seen.shown.ts_event),
        "ts_recv": format_time(seen.shown.ts_recv),
    }


def _level(level: PriceLevel) -> dict[str, Any]:
    price, size, count = level
    return {"price": format_price(price), "price_1e9": price, "size": size, "count": count}


def _row(level: PriceLevel) -> list[Any]:
    return [format_price(level[0]), *level[1:]]


def _answer_level(level: dict[str, Any]) -> dict[str, Any]:
    found = _level((level["price_1e9"], level["size"], level["count"]))
    if "orders" in level:
        found["orders"] = [
            {"order_id": str(order["order_id"]), "size": order["size"]} for order in level["orders"]
        ]
    return found


def _time(ts_ns: int | None) -> str | None:
    return format_time(UNDEF_TIMESTAMP if ts_ns is None else ts_ns)
