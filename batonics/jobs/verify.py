"""A proof of the books on the user's own data.

What the fold has made is held against what every book must satisfy (`book/invariants.py`), and
against a second derivation from the records alone (`reference/books.py`).

The rule: one pass, constant memory. Books are compared at the ends of windows, those in the middle
of an event left out (rule 5); at the end of the input all of them, as `reconstruct` writes them.
Whatever is found, the whole input is read: one difference more or less is no reason to stop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.book import invariants
from batonics.book.engine import BookEngine
from batonics.book.state import Anomaly, Bbo
from batonics.frames.differences import (
    BOOK_KEYS,
    BOOK_VALUES,
    LEVEL_KEYS,
    LEVEL_VALUES,
    ORDER_KEYS,
    ORDER_VALUES,
    REFERENCE_SUFFIX,
    engine_books,
    engine_levels,
    engine_orders,
    find_differences,
    reference_orders,
)
from batonics.frames.scan.folding import FoldedPiece, book_keys, fold_pieces
from batonics.jobs.explanations import explain_anomaly, explain_status
from batonics.jobs.record_windows import RecordWindows, WindowLength
from batonics.jobs.symbol_selection import SymbolSelection
from batonics.model.mbo import UNDEF_TIMESTAMP, Flag, MboBatch, record_keys
from batonics.model.prices import format_price
from batonics.reference.books import DerivedBooks
from batonics.sources.stream import MboStream

REPORT_SCHEMA = "batonics.verify/1"
FINDINGS_MAX = 20
"""Differences, and broken invariants, that the report lists; the rest is counted."""

Progress = Callable[[MboStream], None]

WINDOW_DEFAULT = WindowLength(100_000, events=False)


@dataclass(frozen=True)
class VerifyRequest:
    """What is to be verified.

    Attributes:
        paths: files in the order of their time; `-` is standard input.
        every: how far apart books are compared.
        symbols: only these names (or instrument ids); empty: all.
        skip_bad: count and skip bad records where the framing survives.
    """

    paths: tuple[str, ...]
    every: WindowLength = WINDOW_DEFAULT
    symbols: tuple[str, ...] = ()
    skip_bad: bool = False


@dataclass
class _Findings:
    """What was found to be wrong: how often, and the first of it."""

    count: int = 0
    first: list[dict[str, Any]] = field(default_factory=list)

    def add(self, count: int, found: Iterator[dict[str, Any]]) -> None:
        self.count += count
        # Only what is shown is made.
        self.first += islice(found, FINDINGS_MAX - len(self.first))


class Verification:
    """One run of the job.

    Attributes:
        stream: the input.
        engine: the books.
        progress: called after each batch with the stream; set it before `run`.
    """

    def __init__(self, request: VerifyRequest) -> None:
        self.stream = MboStream(request.paths, skip_bad=request.skip_bad)
        self.engine = BookEngine(bbo=True, deltas=True)
        self.progress: Progress | None = None
        self._request = request
        self._selection = SymbolSelection(self.stream, request.symbols)
        self._witness = DerivedBooks()
        self._windows = RecordWindows(request.every)
        self._tallies = _Tallies()
        self._compared = Counter[str]()
        self._differences, self._violations = _Findings(), _Findings()
        self._broken = Counter[str]()

    def run(self) -> dict[str, Any]:
        """Read the whole input; the report, as JSON has it."""
        for piece in fold_pieces(self._batches(), bbo=True, engine=self.engine):
            self._witness.add(piece.batch)
            self._tallies.add(piece)
            if self._windows.ends_at(self._tallies.records):
                self._check(book_keys(self.engine)[self.engine.events_open()])
        if self._windows.begun(self._tallies.records) or self.engine.events_open().any():
            self._check(np.empty(0, np.int64))
        return self._report()

    def _batches(self) -> Iterator[MboBatch]:
        """The records, cut at the ends of windows."""
        for batch in self.stream.batches():
            self._selection.check()
            yield from self._windows.cut(self._selection.rows(batch))
            if self.progress is not None:
                self.progress(self.stream)
        self._selection.check(ended=True)

    # ------------------------------------------------------------------ checking

    def _check(self, left_out: NDArray[np.int64]) -> None:
        """Hold the state against the invariants, and books, but for some, against the witness's."""
        window = self._windows.close(self._tallies.records)
        self._check_invariants(window)
        wanted = ~pl.col("key").is_in(pl.Series(left_out).implode())
        engine, witness = self.engine, self._witness
        for what, ours, theirs, names, values in (
            ("books", engine_books(engine), witness.books(), BOOK_KEYS, BOOK_VALUES),
            ("levels", engine_levels(engine), witness.levels(), LEVEL_KEYS, LEVEL_VALUES),
            ("orders", engine_orders(engine), reference_orders(witness), ORDER_KEYS, ORDER_VALUES),
        ):
            ours_wanted = ours.filter(wanted)
            self._compared[what] += ours_wanted.height
            differ = find_differences(ours_wanted, theirs.filter(wanted), names, values)
            rows = (
                {"of": what.removesuffix("s"), **window, **self._difference(row, values)}
                for row in differ.iter_rows(named=True)
            )
            self._differences.add(differ.height, rows)

    def _difference(self, row: dict[str, Any], values: list[str]) -> dict[str, Any]:
        """One difference, as JSON has it."""
        names = [name for name in ("order_id", "side", "price") if name in row]
        place: dict[str, Any] = {name: row[name] for name in names if name not in values}
        found = {
            name: {value: row[f"{value}{end}"] for value in values}
            for name, end in (("engine", ""), ("witness", REFERENCE_SUFFIX))
        }
        return {
            **self._book(row["key"]),
            **_readable(place),
            # What is not there has no values at all.
            **{
                name: None if set(has.values()) == {None} else _readable(has)
                for name, has in found.items()
            },
        }

    def _check_invariants(self, window: dict[str, int]) -> None:
        has_tops = np.isin(book_keys(self.engine), self._tallies.top_of_book)
        broken = invariants.find_violations(self.engine.state, has_tops)
        keys = book_keys(self.engine).tolist()
        for violation in broken:
            self._broken[violation.invariant] += violation.times
        rows = (
            {
                "invariant": violation.invariant,
                "times": violation.times,
                **window,
                **self._book(keys[violation.book]),
                **_readable({"side": violation.side, "price": violation.price}),
                "found": violation.found,
            }
            for violation in broken
        )
        self._violations.add(sum(violation.times for violation in broken), rows)

    def _book(self, key: int) -> dict[str, Any]:
        publisher_id, instrument_id = key >> 32, key & 0xFFFFFFFF
        ts_recv = self._tallies.seen_ns.get(key, 0)
        symbol = self.stream.symbols.symbol(instrument_id, ts_recv)
        return {"publisher_id": publisher_id, "instrument_id": instrument_id, "symbol": symbol}

    # ------------------------------------------------------------------ reporting

    def _report(self) -> dict[str, Any]:
        length, events = self._request.every
        return {
            "schema": REPORT_SCHEMA,
            "proved": self._differences.count == 0 and self._violations.count == 0,
            "files": [
                {"name": file.name, "records": file.records, "skipped": file.skipped}
                for file in self.stream.files
            ],
            "records": self._tallies.records,
            "events": int(self.engine.events().sum()),
            "every": {"count": length, "of": "events" if events else "records"},
            "windows": self._windows.closed,
            "compared": {name: self._compared[name] for name in ("books", "levels", "orders")},
            "differences": {"count": self._differences.count, "first": self._differences.first},
            "violations": {"count": self._violations.count, "first": self._violations.first},
            "invariants": [
                {"name": name, "meaning": meaning, "violations": self._broken[name]}
                for name, meaning in invariants.INVARIANTS.items()
            ],
            "books": list(self._books()),
        }

    def _books(self) -> Iterator[dict[str, Any]]:
        """Each book: its status and why, how its sides stood, its anomalies and what they mean."""
        engine, tallies = self.engine, self._tallies
        keys, statuses = book_keys(engine).tolist(), engine.statuses()
        events, is_open, anomalies = engine.events(), engine.events_open(), engine.anomalies()
        witnessed = {row["key"]: row for row in self._witness.books().iter_rows(named=True)}
        for book in sorted(range(len(keys)), key=keys.__getitem__):
            seen = witnessed[keys[book]]
            incomplete = seen["was_cold"] or seen["was_stale"]
            yield {
                **self._book(keys[book]),
                "status": statuses[book].name.lower(),
                "reason": explain_status(statuses[book], seen["since"]),
                "records": tallies.records_of[keys[book]],
                "events": int(events[book]),
                "event_open": bool(is_open[book]),
                "crossed_events": int(tallies.crossed[book]),
                "locked_events": int(tallies.locked[book]),
                "anomalies": [
                    explain_anomaly(anomaly, int(anomalies[book, anomaly]), incomplete=incomplete)
                    for anomaly in Anomaly
                    if anomalies[book, anomaly]
                ],
            }


def _readable(values: dict[str, Any]) -> dict[str, Any]:
    """Sides as letters; a price as decimal text, beside the integer of 1e-9."""
    readable: dict[str, Any] = {}
    for name, value in values.items():
        if name == "side":
            readable[name] = None if value is None else "BA"[value]
        elif name == "price":
            readable[name] = None if value is None else format_price(value)
            readable["price_1e9"] = value
        else:
            readable[name] = value
    return readable


class _Tallies:
    """What is counted along the way.

    Attributes:
        records, records_of: in all, and by a book's key.
        seen_ns: by a book's key, a late ts_recv, to find its name by.
        top_of_book: keys of the books that top-of-book records came for.
        crossed, locked: by book, how many events have left it so (rule 22).
    """

    def __init__(self) -> None:
        self.records = 0
        self.records_of = Counter[int]()
        self.seen_ns: dict[int, int] = {}
        self.top_of_book = np.empty(0, np.int64)
        self.crossed = self.locked = np.zeros(0, np.int64)

    def add(self, piece: FoldedPiece) -> None:
        batch = piece.batch
        self.records += len(batch.action)
        keys = record_keys(batch)
        found, last, counts = np.unique(keys[::-1], return_index=True, return_counts=True)
        times = batch.ts_recv[::-1][last]
        for key, count, ts_recv in zip(
            found.tolist(), counts.tolist(), times.tolist(), strict=True
        ):
            self.records_of[key] += count
            if ts_recv != UNDEF_TIMESTAMP:
                self.seen_ns[key] = ts_recv
        tops = keys[batch.flags & Flag.TOB != 0]
        if len(tops):
            self.top_of_book = np.union1d(self.top_of_book, tops)
        self._add_ends(piece)

    def _add_ends(self, piece: FoldedPiece) -> None:
        """Count the states in which events have left their books."""
        ends = piece.copy_event_ends()
        bbo = ends.bbo
        both = (bbo[:, Bbo.BID_SIZE] > 0) & (bbo[:, Bbo.ASK_SIZE] > 0)
        bid, ask = bbo[:, Bbo.BID_PRICE], bbo[:, Bbo.ASK_PRICE]
        books = len(piece.keys)
        crossed = np.bincount(ends.book[both & (bid > ask)], minlength=books)
        locked = np.bincount(ends.book[both & (bid == ask)], minlength=books)
        crossed[: len(self.crossed)] += self.crossed
        locked[: len(self.locked)] += self.locked
        self.crossed, self.locked = crossed, locked
