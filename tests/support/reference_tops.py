"""Tops from the reference, record by record: what the engine's must equal.

The rule here: nothing is skipped for speed. Every record's book is compared before and after, and
at an event's end the best levels are compared with those last shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from batonics.book.engine import BookEngine
from batonics.book.results import TopsSpec
from batonics.book.state import LAST_ROW_BIT, TOP_LEVEL_WORDS, Top
from batonics.model.mbo import UNDEF_ORDER_SIZE, UNDEF_PRICE, Action, Flag, MboBatch, Side
from tests.support.reference_books import Key, Record, ReferenceBooks, records

SIDES = (int(Side.BID), int(Side.ASK))
BOOK_ACTIONS = (Action.ADD, Action.CANCEL, Action.MODIFY, Action.MODIFY_PARTIAL, Action.CLEAR)


Ladders = list[list[tuple[int, int, int]]]
"""Bids and asks, best first: price, size, count."""


class ReferenceTop(NamedTuple):
    """A top and the record that describes it.

    `position` is the place in the stream of the trade, or of the record that ended the event.
    """

    record: Record
    depth: int
    levels: list[int]
    position: int


class ReferenceTops:
    """Follows every book of a stream.

    Args:
        depth: the levels of a top.
        whole: keep the whole book of each top too, which takes gigabytes for a real day.
    """

    def __init__(self, depth: int, *, whole: bool = False) -> None:
        self.tops: list[ReferenceTop] = []
        self.ladders: list[Ladders] = []  # of each top, the whole book, if it is kept
        self._keeps_ladders = whole
        self._depth = depth
        self.books = ReferenceBooks()
        self._whole: dict[Key, Ladders] = {}  # of each book, after its last record
        self._shown: dict[Key, list[int]] = {}
        self._changed: set[Key] = set()
        self._noted: dict[Key, Record] = {}
        self._records = 0
        self._last: dict[Key, int] = {}  # of each book, the place of its last record

    def apply(self, record: Record) -> None:
        key = (record.publisher_id, record.instrument_id)
        known = key in self.books.books()
        # A record that ends an open snapshot without being of it: what it left stands before it.
        before = self._whole.get(key, [[], []])
        completed = self.books.events(key) if known else 0
        was_open = known and self.books.event_open(key)
        self.books.apply(record)
        after = self._whole[key] = self._ladders(key)
        ends = self.books.events(key) - completed
        last = bool(record.flags & Flag.LAST)
        if ends > last:
            assert was_open
            self._end(key, before)
        self._last[key] = self._records
        self._records += 1
        if record.action == Action.TRADE:
            self.tops.append(ReferenceTop(record, 0, self._best(after), self._last[key]))
            self._keep(after)
        if record.action in BOOK_ACTIONS:
            self._noted[key] = record
        if self._sets_up(record) or after != before:
            self._changed.add(key)
        if last:
            self._end(key, after)

    def _end(self, key: Key, ladders: Ladders) -> None:
        levels = self._best(ladders)
        changed = key in self._changed
        self._changed.discard(key)
        if not changed or self._shown.get(key) == levels:
            return
        self._shown[key] = levels
        record = self._noted[key]
        side = int(record.side == Side.ASK)
        prices = [p for p in levels[side::TOP_LEVEL_WORDS] if p != UNDEF_PRICE]
        better = sum(p < record.price if side else p > record.price for p in prices)
        depth = 0 if record.price == UNDEF_PRICE else better
        self.tops.append(ReferenceTop(record, depth, levels, self._last[key]))
        self._keep(ladders)

    def _keep(self, ladders: Ladders) -> None:
        if self._keeps_ladders:
            self.ladders.append(ladders)

    @staticmethod
    def _sets_up(record: Record) -> bool:
        """Whether the record says what a side is, even where that is nothing."""
        if record.action == Action.CLEAR:
            return True
        opens = record.flags & Flag.TOB and not record.flags & Flag.MBP
        adds = record.action in (Action.ADD, Action.MODIFY, Action.MODIFY_PARTIAL)
        sized = record.price == UNDEF_PRICE or record.size != UNDEF_ORDER_SIZE
        return bool(opens and adds and sized and record.side in SIDES)

    def _ladders(self, key: Key) -> Ladders:
        return [self.books.quotes(key, side) for side in SIDES]

    def levels(self, key: Key) -> list[int]:
        """The best levels of a book as it is now."""
        return self._best(self._ladders(key))

    def _best(self, ladders: Ladders) -> list[int]:
        absent = (UNDEF_PRICE, 0, 0)
        words = []
        for level in range(self._depth):
            bid, ask = (ladder[level] if level < len(ladder) else absent for ladder in ladders)
            words += [word for pair in zip(bid, ask, strict=True) for word in pair]
        return words


def reference_tops(batch: MboBatch, depth: int) -> list[ReferenceTop]:
    """Every top of a stream."""
    reference = ReferenceTops(depth)
    for record in records(batch):
        reference.apply(record)
    return reference.tops


def engine_tops(batches: Iterable[MboBatch], wanted: TopsSpec) -> list[ReferenceTop]:
    """Every top the engine gives, in the same shape."""
    engine = BookEngine(tops=wanted)
    tops = []
    for batch in batches:
        folded = engine.fold(batch)
        top_records = list(records(folded.top_records.take()))
        positions = folded.top_records.positions().tolist()
        for record, words, position in zip(
            top_records, folded.tops.tolist(), positions, strict=True
        ):
            depth = words[Top.DEPTH] % (1 << LAST_ROW_BIT)
            tops.append(ReferenceTop(record, depth, words[len(Top) :], position))
    return tops
