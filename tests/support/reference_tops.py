"""Tops from the reference, record by record: what the engine's must equal.

The rule here: nothing is skipped for speed. Every record's book is compared before and after. At an
event's end the best levels are compared with those after the last event and those of the last row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from batonics.book.engine import BookEngine
from batonics.book.results import TopsSpec
from batonics.book.state import (
    CHANGE_LEVEL_SHIFT,
    LAST_ROW_BIT,
    TOP_LEVEL_WORDS,
    ChangeBits,
    Top,
)
from batonics.model.mbo import UNDEF_ORDER_SIZE, UNDEF_PRICE, Action, Flag, MboBatch, Side
from tests.support.reference_books import Key, Record, ReferenceBooks, records

SIDES = (int(Side.BID), int(Side.ASK))
BOOK_ACTIONS = (Action.ADD, Action.CANCEL, Action.MODIFY, Action.MODIFY_PARTIAL, Action.CLEAR)


Ladders = list[list[tuple[int, int, int]]]
"""Bids and asks, best first: price, size, count."""


class ReferenceTop(NamedTuple):
    """A top and the record that describes it.

    Attributes:
        record: the record.
        kind: "trade"; "change"; "ended by trade" or "unchanged", where only we or only the vendor
            have a row.
        depth: the level that changed since the book's last row.
        side: the side that changed there, as a letter.
        is_snapshot: whether the top closes a snapshot.
        levels: price, size and count of each side, level by level.
        position: the place in the stream of the trade, or of the record that ended the event.
    """

    record: Record
    kind: str
    depth: int
    side: str
    is_snapshot: bool
    levels: list[int]
    position: int


class ReferenceTops:
    """Follows every book of a stream.

    Args:
        depth: the levels of a top.
        trades: whether trades have tops.
        whole: keep the whole book of each top too, which takes gigabytes for a real day.
    """

    def __init__(self, depth: int, *, trades: bool = True, whole: bool = False) -> None:
        self.tops: list[ReferenceTop] = []
        self.ladders: list[Ladders] = []  # of each top, the whole book, if it is kept
        self._keeps_ladders, self._trades = whole, trades
        self._depth = depth
        self.books = ReferenceBooks()
        self._whole: dict[Key, Ladders] = {}  # of each book, after its last record
        self._ended: dict[Key, Ladders] = {}  # of each book, after its last event
        self._rows: dict[Key, list[int]] = {}  # the levels of each book's last row
        self._set_up: set[Key] = set()  # books that an event has set up
        self._snapshot_open: set[Key] = set()
        self._events: dict[Key, _OpenEvent] = {}
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
            self._end(key, before, by_trade=False)
        self._last[key] = self._records
        self._records += 1
        if record.action == Action.TRADE and self._trades:
            ended = self._ended.get(key, [[], []])
            levels = self._rows[key] = self._best(ended)
            top = ReferenceTop(record, "trade", 0, "N", False, levels, self._last[key])
            self._add(top, ended)
        event = self._events.setdefault(key, _OpenEvent())
        if record.action in BOOK_ACTIONS or not self._trades:
            event.record = record
        event.clears |= record.action == Action.CLEAR
        if self._opens_snapshot(key, record):
            event.clears = event.is_snapshot = True
        event.changes |= self._sets_up(record) or after != before
        if last:
            self._end(key, after, by_trade=record.action == Action.TRADE)

    def _opens_snapshot(self, key: Key, record: Record) -> bool:
        """Whether the record is the first of a snapshot (rule 14)."""
        is_open = key in self._snapshot_open
        opens = record.action in (Action.ADD, Action.CLEAR)
        if not record.flags & Flag.SNAPSHOT or record.flags & Flag.LAST:
            self._snapshot_open.discard(key)
        elif opens:
            self._snapshot_open.add(key)
        return bool(record.flags & Flag.SNAPSHOT) and opens and not is_open

    def _end(self, key: Key, ladders: Ladders, *, by_trade: bool) -> None:
        event = self._events.pop(key)
        levels, row = self._best(ladders), self._rows.get(key, self._best([[], []]))
        ended = self._best(self._ended.get(key, [[], []]))
        changed = event.changes and (key not in self._set_up or levels != ended)
        self._ended[key] = ladders
        if event.changes:
            self._set_up.add(key)
        is_behind = levels != row and event.record is not None
        if not changed and (by_trade or not (is_behind or event.is_snapshot)):
            return
        kind = "ended by trade" if by_trade else "change" if changed else "unchanged"
        if not by_trade:
            self._rows[key] = levels
        assert event.record is not None
        depth, side = _describe(levels, row)
        side = "N" if event.clears else side
        top = ReferenceTop(
            event.record, kind, depth, side, event.is_snapshot, levels, self._last[key]
        )
        self._add(top, ladders)

    def _add(self, top: ReferenceTop, ladders: Ladders) -> None:
        self.tops.append(top)
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


@dataclass
class _OpenEvent:
    """What has happened to a book since its last event."""

    record: Record | None = None  # that describes it
    changes: bool = False
    clears: bool = False
    is_snapshot: bool = False


def _describe(levels: list[int], row: list[int]) -> tuple[int, str]:
    """The shallowest level that differs, and the side that differs there (rule 25)."""
    for level in range(len(levels) // TOP_LEVEL_WORDS):
        start = level * TOP_LEVEL_WORDS
        ours, theirs = (side[start : start + TOP_LEVEL_WORDS] for side in (levels, row))
        bid, ask = ours[::2] != theirs[::2], ours[1::2] != theirs[1::2]
        if bid or ask:
            return level, "N" if bid and ask else "B" if bid else "A"
    return 0, "N"


def reference_tops(batch: MboBatch, depth: int, *, trades: bool = True) -> list[ReferenceTop]:
    """Every top of a stream."""
    reference = ReferenceTops(depth, trades=trades)
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
            change, levels = words[Top.CHANGE] % (1 << LAST_ROW_BIT), words[len(Top) :]
            kind = _kind(record, change, trades=wanted.trades)
            side = {0: "N", ChangeBits.BID: "B", ChangeBits.ASK: "A"}[change & 3]
            is_snapshot, level = bool(change & ChangeBits.SNAPSHOT), change >> CHANGE_LEVEL_SHIFT
            tops.append(ReferenceTop(record, kind, level, side, is_snapshot, levels, position))
    return tops


def _kind(record: Record, change: int, *, trades: bool) -> str:
    if change & ChangeBits.ENDED_BY_TRADE:
        return "ended by trade"
    if change & ChangeBits.UNCHANGED:
        return "unchanged"
    return "trade" if trades and record.action == Action.TRADE else "change"
