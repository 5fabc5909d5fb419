"""The life of each order: a level is a list, and a place in it is found by looking.

Written from the definitions alone; shares no code with the kernels. What a record does to the book
is decided here anew, by the rules, and not read from level deltas. The sums ahead are added up
whenever they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from batonics.model.mbo import UNDEF_ORDER_SIZE, UNDEF_PRICE, UNDEF_TIMESTAMP, Action, Flag, Side
from tests.support.reference_books import Key, Record

SIDES = (int(Side.BID), int(Side.ASK))
ADDS = (Action.ADD, Action.MODIFY, Action.MODIFY_PARTIAL)

Sums = tuple[int, int]
"""Orders and size."""
Row = tuple[object, ...]
BIRTHS = count()


@dataclass(eq=False)
class Order:
    """An order as it stands, and its life so far."""

    key: Key
    order_id: int
    side: int
    price: int
    size: int
    first: Record
    ahead: Sums
    left_censored: bool
    size_start: int
    pending: int = 0
    added: int = 0
    filled: int = 0
    cancelled: int = 0
    modifies: int = 0
    requeues: int = 0
    first_fill: tuple[Record, Sums] | None = None
    price_start: int = 0
    place: object = field(default_factory=object)  # another one each time it goes to the back
    # Over a snapshot: the record that took it out, who stood ahead then, whether it kept its place.
    held_by: Record | None = None
    stood_behind: list[Order] = field(default_factory=list)
    kept: bool = False
    number: int = field(default_factory=BIRTHS.__next__)

    def shows(self) -> int:
        return max(self.size - self.pending, 0)

    def row(self, end: str, last: Record | None) -> Row:
        """As `ORDERS_SCHEMA` has it, times as integers."""
        hidden = max(self.pending - self.size, 0)
        fill, fill_ahead = self.first_fill or (None, (None, None))
        return (
            *self.key,
            self.order_id,
            chr(self.side),
            time(self.first.ts_event),
            time(last.ts_event) if last else None,
            time(self.first.ts_recv),
            time(last.ts_recv) if last else None,
            self.price_start,
            self.price,
            self.size_start,
            self.added + hidden,
            self.filled,
            self.cancelled,
            self.shows(),
            self.modifies,
            self.requeues,
            *self.ahead,
            time(fill.ts_event) if fill else None,
            *fill_ahead,
            end,
            self.left_censored,
            end in ("alive", "cleared"),
            priority(self.key),
        )


def priority(key: Key) -> str:
    """Nasdaq's and three of Cboe's exchanges match by time; CME only if a definition says so."""
    return "fifo" if key[0] in (2, 3, 5, 6, 7) else "unknown"


def time(ts_ns: int) -> int | None:
    return None if ts_ns == UNDEF_TIMESTAMP else ts_ns


def sums(orders: Iterable[Order]) -> Sums:
    shown = [order.shows() for order in orders]
    return sum(size > 0 for size in shown), sum(shown)


@dataclass
class Book:
    """One book: a list of orders for each level, first in priority first."""

    key: Key
    levels: dict[tuple[int, int], list[Order]] = field(default_factory=dict)
    live: dict[int, Order] = field(default_factory=dict)
    held: dict[int, Order] = field(default_factory=dict)  # cleared by the open snapshot
    in_snapshot: bool = False  # from a snapshot's first record until its held lives are ended
    said_again: int = 0  # held orders that the snapshot had again
    snapshot_open: bool = False
    rows: list[Row] = field(default_factory=list)
    last: Record | None = None  # its last record
    ended: list[Order] = field(default_factory=list)  # in the open event

    def order(self, order_id: int) -> Order | None:
        return self.live.get(order_id)

    def queue(self, order: Order) -> list[Order]:
        return self.levels.setdefault((order.side, order.price), [])

    def ahead(self, order: Order) -> list[Order]:
        queue = self.queue(order)
        return queue[: queue.index(order)]

    def behind(self, order: Order) -> list[Order]:
        queue = self.queue(order)
        return queue[queue.index(order) + 1 :]

    # ------------------------------------------------------------------ records

    def closes_snapshot(self, record: Record) -> bool:
        """Whether a record ends an open snapshot, and its event, before it does anything."""
        return self.snapshot_open and not record.flags & Flag.SNAPSHOT

    def apply(self, record: Record) -> None:
        if self.closes_snapshot(record):
            self.close_snapshot()
        self.change(record)
        if self.in_snapshot and not self.snapshot_open:
            self.close_snapshot()

    def close_snapshot(self) -> None:
        """What the snapshot has not said again ended with it."""
        self.snapshot_open = self.in_snapshot = False
        for order in list(self.held.values()):
            self.end_held(order)

    def change(self, record: Record) -> None:
        action, flags = record.action, record.flags
        opens = (
            flags & Flag.SNAPSHOT
            and not self.snapshot_open
            and action in (Action.ADD, Action.CLEAR)
        )
        tops = flags & Flag.TOB and not flags & Flag.MBP and action in ADDS
        if (opens or (flags & Flag.SNAPSHOT and action == Action.CLEAR)) and not tops:
            self.hold(record)
        elif opens or action == Action.CLEAR:
            self.clear(record, SIDES)
        if opens:
            self.snapshot_open = True
        if flags & Flag.LAST:
            self.snapshot_open = False
        if flags & Flag.MBP:
            return
        if flags & Flag.TOB:
            empties = record.price == UNDEF_PRICE or record.size == 0
            sound = empties or record.size != UNDEF_ORDER_SIZE
            if action in ADDS and record.side in SIDES and sound:
                self.clear(record, (record.side,))
            return
        self.apply_to_order(record)

    def apply_to_order(self, record: Record) -> None:
        order = self.order(record.order_id)
        if record.action == Action.FILL and order and record.size != UNDEF_ORDER_SIZE:
            self.fill(order, record)
        elif record.action == Action.CANCEL and order:
            self.cancel(order, record)
        elif record.action in ADDS:
            if record.action == Action.MODIFY_PARTIAL and order:
                record = record._replace(
                    price=order.price if record.price == UNDEF_PRICE else record.price,
                    size=order.size if record.size == UNDEF_ORDER_SIZE else record.size,
                    side=order.side if record.side not in SIDES else record.side,
                )
            undefined = record.price == UNDEF_PRICE or record.size == UNDEF_ORDER_SIZE
            if undefined or record.side not in SIDES:
                return
            held = self.held.get(record.order_id)
            if held and record.size > 0:
                self.say_again(held, record)
            elif record.action == Action.ADD:
                self.add(order, record)
            elif order:
                self.modify(order, record)
            elif record.size > 0:
                self.insert(record, left_censored=True)

    def clear(self, record: Record, sides: tuple[int, ...]) -> None:
        for (side, _), level in self.levels.items():
            if side in sides:
                for order in list(level):
                    self.end(order, "cleared", record)

    def hold(self, record: Record) -> None:
        """A snapshot takes all orders out, and may say them again."""
        self.in_snapshot, self.said_again = True, 0
        for level in self.levels.values():
            for place, order in enumerate(level):
                order.held_by, order.stood_behind = record, level[:place]
                self.held[order.order_id] = self.live.pop(order.order_id)
            level.clear()

    def end_held(self, order: Order) -> None:
        self.rows.append(order.row("cleared", order.held_by))
        self.ended.append(self.held.pop(order.order_id))

    def say_again(self, order: Order, record: Record) -> None:
        if order.side != record.side:
            self.end_held(order)
            self.insert(record, left_censored=True)
            return
        del self.held[order.order_id]
        self.said_again += 1
        self.live[order.order_id] = order
        shown = order.shows()
        moved = record.price != order.price or record.size > shown
        order.price = record.price
        queue = self.queue(order)
        order.kept = not moved and all(one.kept and one in order.stood_behind for one in queue)
        if not order.kept:
            order.place = object()
        order.added += max(order.pending - order.size, 0) + max(record.size - shown, 0)
        order.cancelled += max(shown - record.size, 0)
        order.modifies += moved or record.size < shown
        order.requeues += moved
        order.size, order.pending = record.size, 0
        queue.append(order)

    def end(self, order: Order, how: str, record: Record) -> None:
        self.rows.append(order.row(how, record))
        self.queue(order).remove(order)
        del self.live[order.order_id]
        self.ended.append(order)

    def insert(self, record: Record, *, left_censored: bool) -> None:
        order = Order(
            self.key,
            record.order_id,
            record.side,
            record.price,
            record.size,
            record,
            (0, 0),
            left_censored,
            record.size,
            added=record.size,
            price_start=record.price,
        )
        queue = self.queue(order)
        order.ahead = sums(queue)
        queue.append(order)
        self.live[order.order_id] = order

    def add(self, order: Order | None, record: Record) -> None:
        if record.size == 0:
            return
        if order:
            self.end(order, "replaced", record)
        self.insert(record, left_censored=bool(record.flags & Flag.SNAPSHOT))

    def fill(self, order: Order, record: Record) -> None:
        if record.size == 0:
            return
        if order.first_fill is None:
            order.first_fill = record, sums(self.ahead(order))
        order.filled += record.size
        order.pending += record.size

    def cancel(self, order: Order, record: Record) -> None:
        removed = min(record.size, order.size)
        of_fills = min(removed, order.pending)
        order.pending -= of_fills
        order.cancelled += removed - of_fills
        leaves = removed == order.size
        order.size -= removed
        if leaves:
            self.end(order, "filled" if of_fills == removed else "cancelled", record)

    def modify(self, order: Order, record: Record) -> None:
        shown = order.shows()
        # More than the fills have left is a refill, and a refill goes to the back.
        back = record.price != order.price or record.size > shown
        order.added += max(order.pending - order.size, 0)
        order.added += max(record.size - shown, 0)
        order.cancelled += max(shown - record.size, 0)
        order.modifies += 1
        if record.size == 0:
            order.size = order.pending = 0
            self.end(order, "filled" if shown == 0 else "cancelled", record)
            return
        if back:
            order.requeues += 1
            order.place, order.kept = object(), False
            self.queue(order).remove(order)
            order.price = record.price
            self.queue(order).append(order)
        order.size, order.pending = record.size, 0


class ReferenceQueues:
    """Every book of a stream."""

    def __init__(self) -> None:
        self.books: dict[Key, Book] = {}

    def book(self, record: Record) -> Book:
        key = (record.publisher_id, record.instrument_id)
        return self.books.setdefault(key, Book(key))

    def apply(self, record: Record) -> Book:
        book = self.book(record)
        book.apply(record)
        book.last = record
        return book


def reference_lives(stream: Iterable[Record]) -> list[Row]:
    """Rows of `orders_source`: lives as they end, then those of the living as they began."""
    queues, rows = ReferenceQueues(), []
    for record in stream:
        book = queues.apply(record)
        rows += book.rows
        book.rows.clear()
    left = [
        (order, ends)
        for book in queues.books.values()
        for ends, orders in (("alive", book.live), ("cleared", book.held))
        for order in orders.values()
    ]
    left.sort(key=lambda pair: pair[0].number)
    return rows + [
        order.row(ends, order.held_by if ends == "cleared" else None) for order, ends in left
    ]


def reference_positions(stream: Iterable[Record], order_id: int) -> Iterator[Row]:
    """Rows of `queue_source`, times as integers."""
    queues = ReferenceQueues()
    told: dict[Key, Row] = {}
    for record in stream:
        book = queues.book(record)
        if book.closes_snapshot(record):
            book.close_snapshot()
            yield from changed_rows(book, order_id, told)
        queues.apply(record)
        if record.flags & Flag.LAST:
            yield from changed_rows(book, order_id, told)


def reference_fill_order(stream: Iterable[Record]) -> dict[Key, tuple[int, int]]:
    """By book: fills right behind another of their level in their trade, and those out of order."""
    queues = ReferenceQueues()
    counts: dict[Key, tuple[int, int]] = {}
    aggressors: dict[Key, int] = {}
    # The last fill of the trade: its level, its place, and the places ahead of it.
    before: dict[Key, tuple[tuple[int, int], object, list[object]]] = {}
    for record in stream:
        book = queues.book(record)
        counts.setdefault(book.key, (0, 0))
        order = book.order(record.order_id)
        if record.action == Action.TRADE:
            before.pop(book.key, None)
            aggressors[book.key] = record.order_id
        plain = not record.flags & (Flag.TOB | Flag.MBP) and 0 < record.size < UNDEF_ORDER_SIZE
        own = record.order_id == aggressors.get(book.key, 0) != 0
        if record.action == Action.FILL and order and plain and not own:
            level, (compared, wrong) = (order.side, order.price), counts[book.key]
            last_level, last_place, places_ahead = before.get(book.key, (None, None, []))
            if last_level == level and last_place is not order.place:
                counts[book.key] = compared + 1, wrong + (order.place in places_ahead)
            before[book.key] = level, order.place, [other.place for other in book.ahead(order)]
        queues.apply(record)
    return counts


def changed_rows(book: Book, order_id: int, told: dict[Key, Row]) -> Iterator[Row]:
    """The row of an event's end, if there is one."""
    gone = [order for order in book.ended if order.order_id == order_id]
    book.ended.clear()
    order, last = book.order(order_id), book.last
    assert last is not None
    if order:
        queue = (*sums(book.ahead(order)), *sums(book.behind(order)))
        position: Row = (chr(order.side), order.price, order.shows(), *queue)
    elif gone:
        position = (chr(gone[-1].side), gone[-1].price, 0, None, None, None, None)
    else:
        return
    if gone or told.get(book.key) != position:
        told[book.key] = position
        moment = time(last.ts_event), time(last.ts_recv), last.sequence
        yield (*moment, *book.key, *position, priority(book.key))
