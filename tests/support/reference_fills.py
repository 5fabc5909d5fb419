"""One hypothetical order: the orders ahead are a list of objects that is looked at anew.

Written from the rules in `frames/orders/fill_simulation.py`'s docstring; shares no code with it.
Queues are those of `reference_orders`, displayed levels those of `reference_books`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from batonics.model.mbo import UNDEF_ORDER_SIZE, UNDEF_TIMESTAMP, Action, Flag, Side
from tests.support.reference_books import Key, Record, ReferenceBooks
from tests.support.reference_orders import ADDS, Book, Order, time

Fill = tuple[int | None, int | None, int, int, str]
"""ts_event, ts_recv, price, size, by what."""


def entry_row(stream: Sequence[Record], at_ns: int) -> int:
    """How many records of one book come before the order."""
    now, complete = 0, 0
    for number, record in enumerate(stream):
        doubtful = record.flags & Flag.BAD_TS_RECV and not record.flags & Flag.SNAPSHOT
        if not doubtful and record.ts_recv != UNDEF_TIMESTAMP:
            now = max(now, record.ts_recv)
        if now > at_ns:
            break
        following = stream[number + 1 : number + 2]
        next_in_snapshot = bool(following) and bool(following[0].flags & Flag.SNAPSHOT)
        if record.flags & Flag.LAST or (record.flags & Flag.SNAPSHOT and not next_in_snapshot):
            complete = number + 1
    return complete


@dataclass
class ReferenceFill:
    """The order in its book."""

    key: Key
    side: int
    price: int
    size: int
    at_ns: int
    fills: list[Fill] = field(default_factory=list)
    ahead: list[Order] = field(default_factory=list)
    ahead_orders: int = 0
    ahead_size: int = 0
    ahead_filled: int = 0
    ahead_cancelled: int = 0
    ahead_lost: int = 0
    end: str = "open"

    def left(self) -> int:
        return self.size - sum(fill[3] for fill in self.fills)

    def run(self, stream: Sequence[Record]) -> None:
        """The order's life among the records of its book."""
        book, reference = Book(self.key), ReferenceBooks()
        entry, aggressor = entry_row(stream, self.at_ns), 0
        for number, record in enumerate(stream):
            if number == entry:
                self.enter(book, reference)
            if record.action == Action.TRADE:
                aggressor = record.order_id
            if number < entry:
                book.apply(record)
                reference.apply(record)
            elif self.end == "open":
                self.live_through(record, book, reference, aggressor)
        if entry == len(stream):
            self.enter(book, reference)

    def enter(self, book: Book, reference: ReferenceBooks) -> None:
        opposite = Side.ASK if self.side == Side.BID else Side.BID
        for price, size, _, _ in reference.levels(self.key, opposite):
            if price == self.price or (price < self.price) == (self.side == Side.BID):
                taken = min(size, self.left())
                if taken:
                    self.fills.append((self.at_ns, self.at_ns, price, taken, "marketable"))
        if not self.left():
            self.end = "filled"
            return
        # An order enters after a whole event, so an open snapshot has ended.
        still_open = book.snapshot_open
        book.close_snapshot()
        book.snapshot_open = still_open
        level = book.levels.get((self.side, self.price), [])
        self.ahead = [order for order in level if order.shows()]
        self.ahead_orders = len(self.ahead)
        self.ahead_size = sum(order.shows() for order in self.ahead)

    def live_through(
        self, record: Record, book: Book, reference: ReferenceBooks, aggressor: int
    ) -> None:
        if book.closes_snapshot(record):
            self.close_snapshot(book)
        if self.end == "open":
            self.live_on(record, book, reference, aggressor)
        if self.end == "open" and book.in_snapshot and not book.snapshot_open:
            self.close_snapshot(book)

    def close_snapshot(self, book: Book) -> None:
        if book.in_snapshot and not book.said_again:
            self.end = "cleared"
            return
        gone = [order for order in self.ahead if order in book.held.values()]
        self.ahead_lost += sum(order.shows() for order in gone)
        self.ahead = [order for order in self.ahead if order not in gone]
        book.close_snapshot()

    def live_on(
        self, record: Record, book: Book, reference: ReferenceBooks, aggressor: int
    ) -> None:
        before = [(order, order.shows(), order.place) for order in self.ahead]
        held = list(book.held.values())
        known = {
            id(order): (order, order.price, order.shows()) for order in (*held, *book.live.values())
        }
        was_open = book.snapshot_open
        had_levels = bool(reference.levels(self.key, self.side))
        if counts(record):
            self.fill(record, book, own_trade=record.order_id == aggressor != 0)
        book.change(record)
        reference.apply(record)
        top = record.flags & Flag.TOB and not record.flags & Flag.MBP and record.action in ADDS
        is_of_side = record.side == self.side
        has_levels = bool(reference.levels(self.key, self.side))
        undef = record.size == UNDEF_ORDER_SIZE and record.price != 2**63 - 1
        tops = top and is_of_side and not undef and (had_levels or has_levels)
        clears = record.action == Action.CLEAR and not record.flags & Flag.SNAPSHOT
        opens_with_top = top and record.flags & Flag.SNAPSHOT and not was_open
        if clears or tops or (opens_with_top and record.action == Action.ADD):
            self.end = "cleared"
            return
        for order, showed, place in before:
            if order not in book.held.values():
                self.follow(order, showed, place, record, book, said_again=order in held)
        added = book.order(record.order_id)
        if self.end == "open" and book.in_snapshot and added and record.action in ADDS:
            _, price, showed = known.get(id(added), (added, None, 0))
            moved = added in held and (price != added.price or added.shows() > showed)
            if (price is None or moved) and self.meets(added):
                self.end = "cleared"
        if self.end == "open" and not self.left():
            self.end = "filled"

    def meets(self, other: Order) -> bool:
        """Whether an order of the other side would trade with it."""
        crosses = (other.price < self.price) == (self.side == Side.BID)
        return other.side != self.side and (crosses or other.price == self.price)

    def follow(
        self,
        order: Order,
        showed: int,
        place: object,
        record: Record,
        book: Book,
        *,
        said_again: bool,
    ) -> None:
        """What a record did to an order ahead."""
        lives = book.live.get(order.order_id) is order
        stands = lives and order.place is place
        lost = showed - order.shows() if stands else showed
        if said_again:
            self.ahead_lost += lost
        elif record.action == Action.FILL:
            self.ahead_filled += lost
        else:
            self.ahead_cancelled += lost
        if not stands:
            self.ahead.remove(order)
        same = order.price == self.price and order.shows() <= showed
        if said_again and lives and same and not stands:
            self.end = "cleared"  # it is behind others now, and nobody knows who was first

    def fill(self, record: Record, book: Book, *, own_trade: bool) -> None:
        order = book.order(record.order_id)
        if order is None or order.side != self.side or own_trade:
            return
        volume = record.size
        if order in self.ahead:
            volume = max(record.size - order.shows(), 0)
        elif order.price != self.price and (order.price < self.price) != (self.side == Side.BID):
            return
        if own := min(volume, self.left()):
            by = "queue" if order.price == self.price else "through"
            self.fills.append((time(record.ts_event), time(record.ts_recv), self.price, own, by))


def counts(record: Record) -> bool:
    """Whether a record is a fill of an order."""
    is_fill = record.action == Action.FILL and 0 < record.size < UNDEF_ORDER_SIZE
    return is_fill and not record.flags & (Flag.TOB | Flag.MBP)
