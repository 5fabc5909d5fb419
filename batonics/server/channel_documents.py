"""Makes the messages of /v1/ws about books, of the types of `channel_messages`.

The rule here: a message is made of a book as it is now, and of what the reader has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from batonics.book.kept_queues import joined_orders
from batonics.book.order_search import OrderState
from batonics.book.reader import SideLevels
from batonics.history.book_cursor import BookEvent
from batonics.model.book_checksum import (
    PriceLevel,
    levels_checksum,
    queues_checksum,
)
from batonics.model.mbo import (
    ACTION_FILL,
    ACTION_TRADE,
    UNDEF_ORDER_SIZE,
    MboBatch,
)
from batonics.model.prices import format_price
from batonics.model.times import format_time
from batonics.server.channel_messages import (
    BboSnapshot,
    BboUpdate,
    Fill,
    L2Snapshot,
    L2Update,
    L3Level,
    L3Snapshot,
    L3Update,
    LevelRow,
    MessageHead,
    NamedBook,
    OrderChange,
    Start,
    TradesSnapshot,
    TradeUpdate,
)
from batonics.server.channel_source import BookView

_SIDES = "BA"
Levels = tuple[SideLevels, SideLevels]
"""Bids and asks, best first."""


def book_head(name: NamedBook, view: BookView, prev_seq: int | None) -> MessageHead:
    """The head of a message about a book."""
    status, trading_status, warnings = view.condition
    ts_event, ts_recv = view.last_seen
    return {
        **name,
        "status": status,
        "trading_status": trading_status,
        "warnings": list(warnings),
        "seq": view.seq,
        "prev_seq": prev_seq,
        "events": view.events,
        "ts_event": ts_event,
        "ts_recv": ts_recv,
    }


def bbo_snapshot(head: MessageHead, levels: Levels, start: Start) -> BboSnapshot:
    """The best levels."""
    best = _Best(levels)
    return {
        "type": "snapshot",
        "channel": "bbo",
        **head,
        "start": start,
        "bid": best.bid,
        "ask": best.ask,
        "checksum": best.checksum,
    }


def bbo_update(head: MessageHead, levels: Levels) -> BboUpdate:
    """The best levels after a change."""
    best = _Best(levels)
    return {
        "type": "update",
        "channel": "bbo",
        **head,
        "bid": best.bid,
        "ask": best.ask,
        "checksum": best.checksum,
    }


def l2_snapshot(head: MessageHead, levels: Levels, depth: int | None, start: Start) -> L2Snapshot:
    """The levels of a book."""
    bids, asks = levels
    return {
        "type": "snapshot",
        "channel": "l2",
        **head,
        "start": start,
        "depth": depth,
        "bids": _rows(bids),
        "asks": _rows(asks),
        "checksum": levels_checksum(bids, asks, depth),
    }


def l2_update(head: MessageHead, levels: Levels, before: Levels, depth: int | None) -> L2Update:
    """The levels that differ from those that the reader has."""
    bids, asks = levels
    return {
        "type": "update",
        "channel": "l2",
        **head,
        "bids": _changed(before[0], bids),
        "asks": _changed(before[1], asks),
        "checksum": levels_checksum(bids, asks, depth),
    }


def l3_snapshot(head: MessageHead, view: BookView, start: Start) -> L3Snapshot:
    """All orders of a book."""
    bids, asks = view.queues()

    def rows(side: Sequence[tuple[PriceLevel, Any]]) -> list[L3Level]:
        return [
            {"price": _price(level[0]), "orders": [(str(id_), size) for id_, size in queue]}
            for level, queue in side
        ]

    return {
        "type": "snapshot",
        "channel": "l3",
        **head,
        "start": start,
        "bids": rows(bids),
        "asks": rows(asks),
        "checksum": queues_checksum(bids, asks),
    }


def l3_update(head: MessageHead, view: BookView, event: BookEvent) -> L3Update:
    """What an event did to the orders of a book."""
    return {
        "type": "update",
        "channel": "l3",
        **head,
        "changes": order_changes(event.before, event.after),
        "fills": _fills(event),
        "checksum": view.queues_checksum,
    }


def order_changes(
    before: Mapping[int, OrderState], after: Mapping[int, OrderState]
) -> list[OrderChange]:
    """The changes of orders, such that those that go to the back of a queue are in its order."""
    found: list[OrderChange] = []
    for order_id, order in before.items():
        now = after.get(order_id)
        if now is None:
            found.append(_change("removed", order_id, order))
        elif now.priority == order.priority and now != order:
            found.append(_change("kept", order_id, now))
    for order_id, order in joined_orders(before, after):
        found.append(_change("lost" if order_id in before else "added", order_id, order))
    return found


def trades_snapshot(head: MessageHead, start: Start) -> TradesSnapshot:
    """Where the trades of a book begin."""
    return {"type": "snapshot", "channel": "trades", **head, "start": start}


def trade_updates(head: MessageHead, event: BookEvent) -> list[TradeUpdate]:
    """The trades of an event; `head` has the `seq` that the reader has as `prev_seq`."""
    batch, found = event.rows.batch, []
    for row in _rows_of(batch, ACTION_TRADE):
        price, size = _price_and_size(event, row)
        record = int(event.rows.numbers[row])
        trade: TradeUpdate = {
            "type": "update",
            "channel": "trades",
            **head,
            "seq": record,
            "ts_event": format_time(int(batch.ts_event[row])),
            "ts_recv": format_time(int(batch.ts_recv[row])),
            "side": chr(batch.side[row]),  # type: ignore[typeddict-item]
            "order_id": str(batch.order_id[row]),
            "price": price,
            "size": size,
            "sequence": int(batch.sequence[row]),
        }
        found.append(trade)
        head = {**head, "prev_seq": record}
    return found


class _Best:
    """The best level of each side, None for an empty one, and their checksum."""

    def __init__(self, levels: Levels) -> None:
        self.bid, self.ask = (next(iter(_rows(side[:1])), None) for side in levels)
        self.checksum = levels_checksum(*levels, 1)


def _rows(levels: Sequence[PriceLevel]) -> list[LevelRow]:
    return [(_price(price), size, count) for price, size, count in levels]


@lru_cache(maxsize=1 << 14)
def _price(price: int) -> str:
    return format_price(price) or ""


def _changed(before: Sequence[PriceLevel], after: Sequence[PriceLevel]) -> list[LevelRow]:
    """The levels of a side that have changed, those that have gone first."""
    if before == after:
        return []
    had, prices = set(before), {level[0] for level in after}
    gone = [(level[0], 0, 0) for level in before if level[0] not in prices]
    return _rows([*gone, *(level for level in after if level not in had)])


def _change(change: Any, order_id: int, order: OrderState) -> OrderChange:
    return {
        "change": change,
        "order_id": str(order_id),
        "side": _SIDES[order.side],  # type: ignore[typeddict-item]
        "price": _price(order.price),
        "size": order.size,
    }


def _fills(event: BookEvent) -> list[Fill]:
    batch, found = event.rows.batch, []
    for row in _rows_of(batch, ACTION_FILL):
        price, size = _price_and_size(event, row)
        fill: Fill = {
            "order_id": str(batch.order_id[row]),
            "side": chr(batch.side[row]),  # type: ignore[typeddict-item]
            "price": price,
            "size": size,
        }
        found.append(fill)
    return found


def _rows_of(batch: MboBatch, action: int) -> list[int]:
    """The rows with an action; events have few rows, so a list is faster than an array."""
    return [row for row, found in enumerate(batch.action.tolist()) if found == action]


def _price_and_size(event: BookEvent, row: int) -> tuple[str | None, int | None]:
    price, size = int(event.rows.batch.price[row]), int(event.rows.batch.size[row])
    return (
        format_price(price),
        None if size == UNDEF_ORDER_SIZE else size,
    )
