"""A plain order book to check the engine against: dicts in insertion order, sorted when asked.

It is written from the market-by-order rules alone and shares no code with the engine. The one
rule that must hold here: a level's orders stand in their dict in priority order, so going to the
back of the queue is always "delete, then insert", and nothing else ever reorders.

What a record does to its book, in this order:
1. without F_SNAPSHOT it first closes an open snapshot (and with it an event);
2. an A or R with F_SNAPSHOT opens a snapshot where none is open;
3. its action changes levels, or is counted as an anomaly and changes nothing;
4. F_MAYBE_BAD_BOOK makes the book stale; F_LAST closes the event, and the snapshot it is part of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from batonics.model.mbo import UNDEF_ORDER_SIZE, UNDEF_PRICE, Action, Flag, MboBatch, Side

Key = tuple[int, int]
"""A book: (publisher_id, instrument_id) (rule 1)."""
Quote = tuple[int, int, int]
"""Price in 1e-9, size, count of orders."""
LevelRow = tuple[int, int, int, list[tuple[int, int]]]
"""Price in 1e-9, size, count of orders, and (order_id, size) of each in priority order."""

COLD, SYNCED, STALE = "cold", "synced", "stale"

ANOMALIES = (
    "bad_side",
    "duplicate_add",
    "mbp_record",
    "over_cancel",
    "side_mismatch",
    "snapshot_replaced",
    "tob_cancel",
    "ts_recv_backwards",
    "undef_price",
    "undef_size",
    "unknown_cancel",
    "unknown_modify",
    "zero_size",
)
"""Every name that `ReferenceBooks.anomalies` may hold."""

# Plain ints: `flags & Flag.LAST` builds an enum member for every record.
_LAST, _TOB, _SNAPSHOT, _MBP, _MAYBE_BAD = (
    int(flag) for flag in (Flag.LAST, Flag.TOB, Flag.SNAPSHOT, Flag.MBP, Flag.MAYBE_BAD_BOOK)
)
_BAD_TS_RECV = int(Flag.BAD_TS_RECV)
_SIDES = (int(Side.BID), int(Side.ASK))


class Record(NamedTuple):
    """One MBO record as Python ints; `action` and `side` are their ASCII codes."""

    ts_recv: int
    ts_event: int
    publisher_id: int
    instrument_id: int
    action: int
    side: int
    price: int
    size: int
    channel_id: int
    order_id: int
    flags: int
    ts_in_delta: int
    sequence: int


def records(batch: MboBatch) -> Iterator[Record]:
    """The rows of a batch, in order."""
    return map(Record._make, zip(*(column.tolist() for column in batch), strict=True))


@dataclass(slots=True)
class _Level:
    orders: dict[int, int] = field(default_factory=dict)
    """order_id -> size, first in priority first."""
    tob_size: int = 0
    """The share of a top-of-book record, which is no order (rule 13)."""


class _Order(NamedTuple):
    side: int
    price: int
    size: int


class _Book:
    """One book: its two ladders, where each live order stands, and how far it can be trusted."""

    def __init__(self) -> None:
        self.ladders: dict[int, dict[int, _Level]] = {side: {} for side in _SIDES}
        self.places: dict[int, tuple[int, int]] = {}  # order_id -> (side, price)
        self.anomalies: Counter[str] = Counter()
        self.status = COLD
        self.snapshot_open = False
        self.event_open = False
        self.events = 0

    def apply(self, record: Record) -> None:
        if not record.flags & _SNAPSHOT:
            self.close_snapshot()
        elif not self.snapshot_open and record.action in (Action.ADD, Action.CLEAR):
            self.open_snapshot(record)
        self.change(record)
        if record.flags & _MAYBE_BAD:
            self.status = STALE
        self.event_open = not record.flags & _LAST
        if not self.event_open:
            self.events += 1
            self.snapshot_open = False

    def open_snapshot(self, record: Record) -> None:
        self.snapshot_open = True
        self.status = SYNCED
        if record.action == Action.ADD:
            if any(self.ladders.values()):
                self.anomalies["snapshot_replaced"] += 1
            self.clear()

    def close_snapshot(self) -> None:
        """The close that no record announces; the event it ends closes with it."""
        if self.snapshot_open:
            self.snapshot_open = self.event_open = False
            self.events += 1

    def change(self, record: Record) -> None:
        if record.action == Action.CLEAR:
            self.clear()
            self.status = SYNCED
        elif record.action not in (
            Action.ADD,
            Action.CANCEL,
            Action.MODIFY,
            Action.MODIFY_PARTIAL,
        ):
            return  # rule 6: T, F and N never change a book
        elif record.flags & _MBP:
            self.anomalies["mbp_record"] += 1
        elif record.flags & _TOB:
            self.change_top(record)
        elif record.action == Action.CANCEL:
            self.cancel(record)
        elif record.action == Action.MODIFY_PARTIAL:
            self.modify_partial(record)
        elif (anomaly := _anomaly(record)) is not None:
            self.anomalies[anomaly] += 1
        elif record.action == Action.ADD:
            self.add(record)
        else:
            self.modify(record)

    def clear(self) -> None:
        for side in _SIDES:
            self.clear_side(side)

    def clear_side(self, side: int) -> None:
        for level in self.ladders[side].values():
            for order_id in level.orders:
                del self.places[order_id]
        self.ladders[side].clear()

    def change_top(self, record: Record) -> None:
        empties = record.price == UNDEF_PRICE or record.size == 0
        if record.action == Action.CANCEL:
            self.anomalies["tob_cancel"] += 1
        elif record.side not in _SIDES:
            self.anomalies["bad_side"] += 1
        elif not empties and record.size == UNDEF_ORDER_SIZE:
            self.anomalies["undef_size"] += 1
        else:
            self.clear_side(record.side)
            if not empties:
                self.ladders[record.side][record.price] = _Level(tob_size=record.size)

    def add(self, record: Record) -> None:
        if record.order_id in self.places:
            self.anomalies["duplicate_add"] += 1
            self.remove(record.order_id)
        self.insert(record.order_id, _Order(record.side, record.price, record.size))

    def cancel(self, record: Record) -> None:
        old = self.order(record.order_id)
        if old is None:
            self.anomalies["unknown_cancel"] += 1
        elif record.size < old.size:
            self.resize(record.order_id, old.size - record.size)
        else:
            self.anomalies["over_cancel"] += record.size > old.size
            self.remove(record.order_id)

    def modify(self, record: Record) -> None:
        old = self.order(record.order_id)
        if old is None:
            self.anomalies["unknown_modify"] += 1
            if record.size > 0:
                self.insert(record.order_id, _Order(record.side, record.price, record.size))
            return
        self.anomalies["side_mismatch"] += record.side != old.side
        if record.size == 0:
            self.remove(record.order_id)
        elif record.price == old.price and record.size <= old.size:
            self.resize(record.order_id, record.size)
        else:
            self.remove(record.order_id)
            self.insert(record.order_id, _Order(old.side, record.price, record.size))

    def modify_partial(self, record: Record) -> None:
        """A modify of the NDJSON form: what it leaves out stays as the book has it."""
        old = self.order(record.order_id)
        if old is not None:
            side = record.side if record.side in _SIDES else old.side
            price = record.price if record.price != UNDEF_PRICE else old.price
            size = record.size if record.size != UNDEF_ORDER_SIZE else old.size
            self.modify(record._replace(side=side, price=price, size=size))
        elif _anomaly(record) is None:
            self.modify(record)
        else:
            self.anomalies["unknown_modify"] += 1

    def order(self, order_id: int) -> _Order | None:
        if order_id not in self.places:
            return None
        side, price = self.places[order_id]
        return _Order(side, price, self.ladders[side][price].orders[order_id])

    def insert(self, order_id: int, order: _Order) -> None:
        """At the back of its level."""
        self.places[order_id] = (order.side, order.price)
        self.ladders[order.side].setdefault(order.price, _Level()).orders[order_id] = order.size

    def resize(self, order_id: int, size: int) -> None:
        """In its place: assigning to a key that a dict holds does not move it."""
        side, price = self.places[order_id]
        self.ladders[side][price].orders[order_id] = size

    def remove(self, order_id: int) -> None:
        side, price = self.places.pop(order_id)
        level = self.ladders[side][price]
        del level.orders[order_id]
        if not level.orders and level.tob_size == 0:
            del self.ladders[side][price]

    def quote(self, side: int, price: int) -> Quote:
        level = self.ladders[side][price]
        return (price, level.tob_size + sum(level.orders.values()), len(level.orders))

    def best(self, side: int) -> Quote | None:
        prices = self.ladders[side]
        if not prices:
            return None
        return self.quote(side, max(prices) if side == Side.BID else min(prices))

    def check(self) -> None:
        standing: dict[int, tuple[int, int]] = {}
        for side, ladder in self.ladders.items():
            assert sum(level.tob_size > 0 for level in ladder.values()) <= 1, "two tops on a side"
            for price, level in ladder.items():
                assert level.orders or level.tob_size, f"empty level at {price}"
                assert price != UNDEF_PRICE, "a level at no price"
                for order_id, size in level.orders.items():
                    assert order_id not in standing, f"order {order_id} stands twice"
                    assert 0 < size < UNDEF_ORDER_SIZE, f"order {order_id} has size {size}"
                    standing[order_id] = (side, price)
        assert standing == self.places, "orders and levels disagree"
        assert self.anomalies.keys() <= set(ANOMALIES), "an anomaly without a name"
        assert self.event_open or not self.snapshot_open, "a snapshot outlived its event"


def _anomaly(record: Record) -> str | None:
    """What keeps an A or M out of a book (rules 7 and 19), in the order the checks are made."""
    if record.side not in _SIDES:
        return "bad_side"
    if record.price == UNDEF_PRICE:
        return "undef_price"
    if record.size == UNDEF_ORDER_SIZE:
        return "undef_size"
    if record.size == 0 and record.action == Action.ADD:
        return "zero_size"
    return None


class ReferenceBooks:
    """Every book of a stream. Asking for a book that no record has named is a KeyError."""

    def __init__(self) -> None:
        self._books: dict[Key, _Book] = {}
        self._latest_ns = 0

    def apply(self, record: Record) -> None:
        """Fold one record into its book; its key's first record, of any action, creates it."""
        key = (record.publisher_id, record.instrument_id)
        book = self._books.get(key)
        if book is None:
            book = self._books[key] = _Book()
        if not record.flags & _BAD_TS_RECV and record.ts_recv < 2**63:
            book.anomalies["ts_recv_backwards"] += self._latest_ns - record.ts_recv > 10**9
            self._latest_ns = max(self._latest_ns, record.ts_recv)
        book.apply(record)

    def mark_new_day(self) -> None:
        """Every book is cold until its next R or snapshot; what is in it stays."""
        for book in self._books.values():
            book.close_snapshot()
            book.status = COLD

    def books(self) -> list[Key]:
        """The books, in order of their first records."""
        return list(self._books)

    def levels(self, key: Key, side: int) -> list[LevelRow]:
        """One side's levels, the best first."""
        book = self._books[key]
        prices = sorted(book.ladders[side], reverse=side == Side.BID)
        return [
            (*book.quote(side, price), list(book.ladders[side][price].orders.items()))
            for price in prices
        ]

    def quotes(self, key: Key, side: int) -> list[Quote]:
        """One side's levels without their orders, the best first."""
        book = self._books[key]
        prices = sorted(book.ladders[side], reverse=side == Side.BID)
        return [book.quote(side, price) for price in prices]

    def bbo(self, key: Key) -> tuple[Quote | None, Quote | None]:
        """The best bid and the best ask."""
        book = self._books[key]
        return book.best(Side.BID), book.best(Side.ASK)

    def status(self, key: Key) -> str:
        """`cold`, `synced` or `stale`."""
        return self._books[key].status

    def anomalies(self, key: Key) -> dict[str, int]:
        """How often each of `ANOMALIES` was met, without those that never were."""
        return {name: count for name, count in self._books[key].anomalies.items() if count}

    def events(self, key: Key) -> int:
        """How many events have closed."""
        return self._books[key].events

    def event_open(self, key: Key) -> bool:
        """Whether the book is in the middle of an event, and so not to be read (rule 5)."""
        return self._books[key].event_open

    def invariants(self) -> None:
        """Check that every book is consistent in itself; AssertionError if not."""
        for book in self._books.values():
            book.check()
