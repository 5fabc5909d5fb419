"""The JSON that clients get.

The rule here: the same books give the same bytes. Keys have one order, prices are decimal text (and
integers of 1e-9 where named so), times are ISO text with nanoseconds, ids that a JavaScript number
cannot hold are text, and there is no float.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from zlib import crc32

import orjson

from batonics.live.protocol import STATUSES
from batonics.model.answers import AnswerWarning, book_warnings
from batonics.model.book_checksum import CHECKSUM_LEVELS
from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.model.prices import format_price
from batonics.model.times import format_time
from batonics.server.replica import BookName, BookReplica, BookState, PriceLevel

LevelChange = tuple[str, str | None, int, int]
"""Side (`bid`, `ask`), price, size and count; a level of size 0 has gone."""


class DisplayedBook(NamedTuple):
    """A book as a client gets it; an update starts from the one that the client got before.

    Attributes:
        state: the levels, counts and times.
        status: the status to show, which the feed's state may worsen.
        feed: the feed's state.
    """

    state: BookState
    status: str
    feed: str


def display_book(replica: BookReplica, book: int) -> DisplayedBook:
    """A book as clients get it now."""
    state = replica.state(book)
    return DisplayedBook(state, replica.status(state), replica.feed)


def dumps(document: Any) -> bytes:
    """A document as JSON."""
    return orjson.dumps(document)


def replica_document(name: BookName, displayed: DisplayedBook, depth: int) -> dict[str, Any]:
    """The response of /book from the replica: `depth` levels of each side."""
    return {
        **_head(name, displayed.state, displayed.status, displayed.feed),
        "warnings": _warnings(displayed.status, displayed.state.bids, displayed.state.asks),
        "depth": depth,
        "bids": [_level(level) for level in displayed.state.bids[:depth]],
        "asks": [_level(level) for level in displayed.state.asks[:depth]],
    }


def answer_document(
    name: BookName, answer: dict[str, Any], depth: int | None, replica: BookReplica
) -> dict[str, Any]:
    """The response of /book from an answer of ingest. `depth` None: all levels."""
    status = answer["status"] if replica.is_live else "stale"
    best = [[(level["price_1e9"], 0, 0) for level in answer[side][:1]] for side in ("bids", "asks")]
    return {
        **name_document(name),
        "status": status,
        "feed": replica.feed,
        "seq": answer["seq"],
        "events": answer["events"],
        "ts_event": _time(answer["ts_event"]),
        "ts_recv": _time(answer["ts_recv"]),
        "sequence": answer["sequence"],
        "warnings": _warnings(status, *best),
        "depth": "all" if depth is None else depth,
        **{side: [_answer_level(level) for level in answer[side]] for side in ("bids", "asks")},
    }


class BookHead(NamedTuple):
    """What a row of /symbols has: names, counts and times, and the status to show."""

    name: BookName
    state: BookState
    status: str
    is_crossed: bool


def symbol_row(head: BookHead) -> dict[str, Any]:
    """A row of /symbols."""
    row = _head(head.name, head.state, head.status)
    return {**row, "warnings": _WARNINGS[head.status, head.is_crossed]}


def bbo_message(
    name: BookName, displayed: DisplayedBook, before: DisplayedBook | None
) -> dict[str, Any]:
    """The best levels of a book, after `before`."""
    bids, asks = displayed.state.bids, displayed.state.asks
    return {
        **_message("bbo", "update" if before else "snapshot", name, displayed, before),
        "bid": _level(bids[0]) if bids else None,
        "ask": _level(asks[0]) if asks else None,
    }


def snapshot_message(name: BookName, displayed: DisplayedBook, depth: int) -> dict[str, Any]:
    """A whole book, with which a client begins, or begins again."""
    return {
        **_message("snapshot", "snapshot", name, displayed, None),
        "depth": depth,
        "bids": [_row(level) for level in displayed.state.bids[:depth]],
        "asks": [_row(level) for level in displayed.state.asks[:depth]],
        "checksum": levels_checksum(displayed.state, depth),
    }


def update_message(
    name: BookName, displayed: DisplayedBook, before: DisplayedBook, depth: int
) -> dict[str, Any]:
    """The changes from the book that a client got before to the book now."""
    return {
        **_message("snapshot", "update", name, displayed, before),
        "changes": find_changes(before.state, displayed.state, depth),
        "checksum": levels_checksum(displayed.state, depth),
    }


def status_message(
    channel: str, name: BookName, displayed: DisplayedBook, before: DisplayedBook
) -> dict[str, Any]:
    """A change of status or of the feed; seq and levels stay those of `before`."""
    return _message(channel, "status", name, displayed._replace(state=before.state), before)


def heartbeat_message(
    replica: BookReplica, sent: Iterable[tuple[str, BookName, DisplayedBook]]
) -> dict[str, Any]:
    """A sign of life, with the `seq` that the client got last of each book."""
    return {
        "type": "heartbeat",
        "feed": replica.feed,
        "books": [
            {
                "channel": channel,
                **name_document(name),
                "status": displayed.status,
                "seq": displayed.state.seq,
            }
            for channel, name, displayed in sent
        ],
    }


def find_changes(before: BookState, after: BookState, depth: int) -> list[LevelChange]:
    """The levels in which two books differ within `depth` levels; bids first, best first.

    A level that is no longer among the best `depth` counts as gone.
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


def levels_checksum(state: BookState, depth: int) -> int:
    """The CRC32 of the best `depth` levels of each side, 10 at most.

    The bytes are the ASCII text of the bids, best first, then of the asks, each level as
    `price:size:count;`.
    """
    most = min(depth, CHECKSUM_LEVELS)
    levels = (*state.bids[:most], *state.asks[:most])
    text = "".join(f"{format_price(price)}:{size}:{count};" for price, size, count in levels)
    return crc32(text.encode())


def problem(status: int, title: str, detail: str, **facts: Any) -> bytes:
    """A problem of RFC 9457; `facts` are its extension members."""
    return orjson.dumps(
        {"type": "about:blank", "title": title, "status": status, "detail": detail, **facts}
    )


def name_document(name: BookName) -> dict[str, Any]:
    """The names of a book."""
    return {
        "symbol": name.symbol,
        "publisher_id": name.publisher_id,
        "instrument_id": name.instrument_id,
    }


def _head(name: BookName, state: BookState, status: str, feed: str | None = None) -> dict[str, Any]:
    return {
        **name_document(name),
        "status": status,
        **({} if feed is None else {"feed": feed}),
        "seq": state.seq,
        "events": state.events,
        "ts_event": format_time(state.ts_event),
        "ts_recv": format_time(state.ts_recv),
        "sequence": state.sequence,
    }


_WARNINGS = {
    (status, crossed): book_warnings(status, crossed=crossed)
    for status in STATUSES
    for crossed in (False, True)
}
"""Made once: every message has them."""


def _warnings(
    status: str, bids: Sequence[PriceLevel], asks: Sequence[PriceLevel]
) -> list[AnswerWarning]:
    """The warnings of a book with these levels."""
    return _WARNINGS[status, bool(bids and asks) and bids[0][0] > asks[0][0]]


def _message(
    channel: str, kind: str, name: BookName, displayed: DisplayedBook, before: DisplayedBook | None
) -> dict[str, Any]:
    return {
        "channel": channel,
        "type": kind,
        **name_document(name),
        "status": displayed.status,
        "feed": displayed.feed,
        "seq": displayed.state.seq,
        "prev_seq": before.state.seq if before else None,
        "events": displayed.state.events,
        "ts_event": format_time(displayed.state.ts_event),
        "ts_recv": format_time(displayed.state.ts_recv),
        "warnings": _warnings(displayed.status, displayed.state.bids, displayed.state.asks),
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
            {"order_id": order["order_id"], "size": order["size"]} for order in level["orders"]
        ]
    return found


def _time(ts_ns: int | None) -> str | None:
    return format_time(UNDEF_TIMESTAMP if ts_ns is None else ts_ns)
