"""The engine beside the reference: one shape for what both know, fed and compared as a pair.

The rule here: nothing is compared through the engine's own idea of what changed. After every
record the BBO, the levels its deltas name and the ends of events are held against the reference; at
the end of every batch all that both know of every book, down to each order in its queue.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

from batonics.book import checkpoint
from batonics.book.engine import BookEngine
from batonics.book.results import FoldResult
from batonics.book.state import Anomaly, Status
from batonics.model.mbo import UNDEF_PRICE, Flag, MboBatch, Side, slice_batch
from tests.support.reference_books import Key, LevelRow, Record, ReferenceBooks, records
from tests.support.state_checks import check_state
from tests.support.streams import DAY_START

NO_QUOTE = (UNDEF_PRICE, 0, 0)
SIDES = (int(Side.BID), int(Side.ASK))
"""By the engine's numbers: 0 bid, 1 ask."""

_LAST = int(Flag.LAST)


class BookL3(NamedTuple):
    """All that can be known of one book."""

    bids: list[LevelRow]
    asks: list[LevelRow]
    status: str
    anomalies: dict[str, int]
    events: int
    event_open: bool


def engine_l3(engine: BookEngine) -> dict[Key, BookL3]:
    """Every book of an engine, in order of appearance."""
    queues = defaultdict[tuple[int, int, int], list[tuple[int, int]]](list)
    orders = engine.orders()
    for book, side, price, order_id, size in zip(*(c.tolist() for c in orders[:5]), strict=True):
        queues[book, side, price].append((order_id, size))
    ladders = defaultdict[tuple[int, int], list[LevelRow]](list)
    for book, side, price, size, count in zip(*(c.tolist() for c in engine.levels()), strict=True):
        ladders[book, side].append((price, size, count, queues.pop((book, side, price), [])))
    assert not queues, f"orders at levels that are not there: {dict(queues)}"
    rest = zip(
        engine.keys(),
        engine.statuses(),
        engine.anomalies().tolist(),
        engine.events().tolist(),
        engine.events_open().tolist(),
        strict=True,
    )
    return {
        key: BookL3(
            bids=ladders[book, 0],
            asks=ladders[book, 1],
            status=Status(status).name.lower(),
            anomalies={Anomaly(a).name.lower(): n for a, n in enumerate(anomalies) if n},
            events=events,
            event_open=event_open,
        )
        for book, (key, status, anomalies, events, event_open) in enumerate(rest)
    }


def reference_l3(reference: ReferenceBooks) -> dict[Key, BookL3]:
    """Every book of an reference, in order of appearance."""
    return {
        key: BookL3(
            bids=reference.levels(key, Side.BID),
            asks=reference.levels(key, Side.ASK),
            status=reference.status(key),
            anomalies=reference.anomalies(key),
            events=reference.events(key),
            event_open=reference.event_open(key),
        )
        for key in reference.books()
    }


def first_difference(left: Any, right: Any, path: str = "") -> str:
    """Where two structures of dicts, lists and tuples differ first, or an empty string."""
    if left == right:
        return ""
    if isinstance(left, dict) and isinstance(right, dict) and list(left) == list(right):
        pairs = ((left[key], right[key], f"{path}[{key}]") for key in left)
        return next(found for pair in pairs if (found := first_difference(*pair)))
    if isinstance(left, BookL3):
        return first_difference(left._asdict(), right._asdict(), path)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        missing = "nothing"
        for index, (one, other) in enumerate(zip_longest(left, right, fillvalue=missing)):
            if missing in (one, other):
                return f"{path}[{index}]: {one} != {other}"
            if found := first_difference(one, other, f"{path}[{index}]"):
                return found
    return f"{path}: {left} != {right}"


def assert_same(engine: BookEngine, reference: ReferenceBooks, where: str) -> None:
    """AssertionError with the place and the first difference (engine != reference), if any."""
    ours, theirs = engine_l3(engine), reference_l3(reference)
    assert list(ours) == list(theirs), f"{where}: books {list(ours)} != {list(theirs)}"
    if ours != theirs:
        raise AssertionError(f"{where}: engine != reference at {first_difference(ours, theirs)}")


class EnginePair:
    """An engine and an reference that see the same records.

    Args:
        name: says in every message what was fed: a file, or the seed of a stream.
        full_every: compare all of all books after the first batch end at which this many more
            records have been fed; 1: at every batch end.
    """

    def __init__(self, name: str, *, full_every: int = 1) -> None:
        self.engine = BookEngine(bbo=True, deltas=True)
        self.reference = ReferenceBooks()
        self.name = name
        self.rows = 0
        self._full_every = full_every
        self._full_at = 0
        self._numbers: dict[Key, int] = {}
        self._sums: dict[tuple[int, int, int], tuple[int, int]] = {}
        self._seen: dict[int, list[int]] = {}

    def feed(self, batch: MboBatch) -> None:
        """Fold a batch whole on the one side and record by record on the other, and compare."""
        folded = self.engine.fold(batch)
        self._follow(batch, folded)
        self.rows += len(batch.action)
        if self.rows >= self._full_at:
            self._full_at = self.rows + self._full_every
            self.check()

    def feed_in_batches(self, batch: MboBatch, batch_rows: int) -> None:
        """`feed` in batches of `batch_rows`, and a full comparison at the end."""
        for piece in pieces(batch, batch_rows):
            self.feed(piece)
        self.check()

    def check(self) -> None:
        """Compare all that both sides know, and look for faults inside the engine's state."""
        self.reference.invariants()
        assert_same(self.engine, self.reference, self._where(-1))
        check_state(self.engine.state)
        self._check_sums()
        assert self.engine.records == self.rows
        seen = self.engine.last_seen().tolist()
        assert seen == list(self._seen.values()), f"{self._where(-1)}: last seen {seen}"

    def start_day(self) -> None:
        """A new day starts on both sides; the engine tells the ends of open snapshots."""
        before = {key: self.reference.events(key) for key in self._numbers}
        event_ends = self.engine.fold(DAY_START).event_ends.tolist()
        self.reference.mark_new_day()
        assert event_ends == [
            [-1, book, before[key]]
            for key, book in self._numbers.items()
            if self.reference.events(key) > before[key]
        ]

    def restart(self) -> None:
        """Go on with an engine that was saved and loaded."""
        self.engine, extra = checkpoint.load(checkpoint.save(self.engine, {"rows": self.rows}))
        assert extra == {"rows": self.rows}

    def _where(self, row: int) -> str:
        return f"{self.name}, after row {self.rows + row}"

    def _follow(self, batch: MboBatch, folded: FoldResult) -> None:
        bbo, deltas = folded.bbo.tolist(), iter(folded.deltas.tolist())
        delta = next(deltas, None)
        ends: list[list[int]] = []
        last_rows: dict[int, int] = {}
        for row, record in enumerate(records(batch)):
            book, completed = self._apply(record, row, last_rows, ends)
            last_rows[book] = row
            self._seen[book] = [record.ts_event, record.ts_recv, record.sequence]
            while delta is not None and delta[0] == row:
                self._add_delta(delta, book, completed)
                delta = next(deltas, None)
            expected = self._quotes(record)
            assert bbo[row] == expected, f"{self._where(row)}: BBO {bbo[row]} != {expected}"
        assert delta is None, f"{self._where(-1)}: a delta out of order: {delta}"
        difference = first_difference(folded.event_ends.tolist(), ends, "closings")
        assert not difference, f"{self._where(-1)}: {difference}"

    def _apply(
        self, record: Record, row: int, last_rows: dict[int, int], ends: list[list[int]]
    ) -> tuple[int, int]:
        """Feed the reference, add the ends of events; the book, and its events before its own."""
        key = (record.publisher_id, record.instrument_id)
        known = key in self._numbers
        book = self._numbers.setdefault(key, len(self._numbers))
        before = self.reference.events(key) if known else 0
        self.reference.apply(record)
        after = self.reference.events(key)
        own = record.flags // _LAST
        if after - own > before:
            ends.append([last_rows.get(book, -1), book, before])
        if own:
            ends.append([row, book, after - 1])
        return book, after - own

    def _add_delta(self, delta: list[int], book: int, completed: int) -> None:
        row, delta_book, event, side, price, size, count = delta
        assert (delta_book, event) == (book, completed), f"{self._where(row)}: {delta}"
        level = book, side, price
        sums = self._sums.get(level, (0, 0))
        self._sums[level] = sums[0] + size, sums[1] + count

    def _quotes(self, record: Record) -> list[int]:
        bid, ask = self.reference.bbo((record.publisher_id, record.instrument_id))
        return [*(bid or NO_QUOTE), *(ask or NO_QUOTE)]

    def _check_sums(self) -> None:
        """The sum of a level's deltas is the level, and 0 where there is none."""
        standing = {
            (book, side, price): (size, count)
            for key, book in self._numbers.items()
            for side, code in enumerate(SIDES)
            for price, size, count, _ in self.reference.levels(key, code)
        }
        sums = {level: total for level, total in self._sums.items() if total != (0, 0)}
        self._sums = sums
        assert sums == standing, f"{self._where(-1)}: deltas {first_difference(sums, standing)}"


def pieces(batch: MboBatch, batch_rows: int) -> Iterator[MboBatch]:
    """The batch cut into pieces of `batch_rows`; the last may be shorter."""
    for start in range(0, len(batch.action), batch_rows):
        yield slice_batch(batch, start, start + batch_rows)


def cut_at(batch: MboBatch, rows: Iterable[int]) -> Iterator[MboBatch]:
    """The batch cut before each of `rows`, which rise; a piece may be empty."""
    start = 0
    for row in (*rows, len(batch.action)):
        yield slice_batch(batch, start, row)
        start = row
