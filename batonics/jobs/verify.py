"""Verifies the books that a user's records make.

The job checks the state of the fold against the invariants of every book (`book/invariants.py`),
and compares the books with a second derivation from the records alone (`reference/books.py`).

The rule: one pass, constant memory, and a cost in proportion to the records, whatever the number of
books. At the end of a window the job compares what has changed since the last comparison, without
books in the middle of an event (rule 5). It compares everything whenever that costs little beside
the records since the last time, where a window shows a difference, and at the end of the input, as
`reconstruct` writes the books. It reads the whole input, whatever it finds.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from batonics.book import invariants
from batonics.book.engine import BookEngine
from batonics.book.queues import OrderQueues
from batonics.book.state import Anomaly
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
from batonics.frames.scan.folding import book_keys, fold_pieces
from batonics.jobs.comparison import compare_with_file, find_other_schema
from batonics.jobs.convert import ConvertRequest
from batonics.jobs.event_tallies import EventTallies
from batonics.jobs.explanations import explain_anomaly, explain_status
from batonics.jobs.findings import Findings, format_values
from batonics.jobs.progress import ProgressBars, ReadProgress
from batonics.jobs.record_windows import RecordWindows, WindowLength
from batonics.jobs.symbol_selection import SymbolSelection, warn_of_aliases
from batonics.jobs.verify_kernels import (
    COMPARED_BOOKS,
    COMPARED_LEVELS,
    COMPARED_ORDERS,
    COMPARED_WORDS,
    DIFFERING,
    DIFFERING_KEY,
    compare_changes,
    forget_compared,
)
from batonics.model.mbo import MboBatch
from batonics.reference.books import DerivedBooks
from batonics.reference.node_kernels import W_TOUCHED_NODES
from batonics.settings.loader import current
from batonics.sinks.atomic import open_atomic
from batonics.sinks.file_names import check_file_name
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions
from batonics.sources.stream import MboStream

REPORT_SCHEMA = "batonics.verify/1"

WHOLE_RECORDS_MIN = 1 << 19
"""Records between two comparisons of everything, at least."""
WHOLE_RECORDS_RATIO = 16
"""Records between two comparisons of everything, at least, by the orders and levels that live."""
THREAD_ROWS_MIN = 4_096
"""Records, or changes, that are worth handing to another thread."""

WINDOW_DEFAULT = WindowLength(100_000, events=False)


@dataclass(frozen=True)
class VerifyRequest:
    """The records to verify.

    Attributes:
        paths: input files; `-` is standard input.
        every: the length of the windows at whose ends books are compared.
        symbols: symbols or instrument ids of the books; empty: all.
        options: how the files are read.
        against: another program's file of a schema of the same records; None: there is none.
        against_schema: the schema of `against`; None: the file says it.
    """

    paths: tuple[str, ...]
    every: WindowLength = WINDOW_DEFAULT
    symbols: tuple[str, ...] = ()
    options: InputOptions = DEFAULT_OPTIONS
    against: str | None = None
    against_schema: str | None = None


class VerifyResult(NamedTuple):
    """What a verification has found.

    Attributes:
        report: the report, as JSON has it.
        seconds: how long the verification took, without the comparison with `against`.
    """

    report: dict[str, Any]
    seconds: float


def verify_files(
    request: VerifyRequest, *, out: str | None, progress_bars: ProgressBars
) -> VerifyResult:
    """Verify the books of files, and write the report.

    Args:
        request: the records.
        out: the file of the report, as JSON; `-` is standard output; None: none is written.
        progress_bars: opens a progress bar for each time that the input is read.

    Raises:
        UsageError: the request makes no sense, or no file has a symbol.
        InputError: a file cannot be read, or is damaged.
        OutputError: the report cannot be written.
    """
    if out is not None:
        check_file_name(out, "json")
    schema = find_other_schema(request.against, request.against_schema, request.paths)
    with ExitStack() as stack:
        # The output is opened first, so a run finds at once that it cannot write.
        file = stack.enter_context(open_atomic(out)) if out is not None else None
        verification = Verification(request)
        start_s = time.monotonic()
        with progress_bars("verify") as progress:
            verification.progress = progress
            report = verification.run()
        seconds = time.monotonic() - start_s
        if request.against is not None and schema is not None:
            conversion = ConvertRequest(
                request.paths, schema, symbols=request.symbols, options=request.options
            )
            with progress_bars(f"against {schema}") as progress:
                report["against"] = compare_with_file(conversion, request.against, progress)
        if file is not None:
            file.write(orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return VerifyResult(report, seconds)


class Verification:
    """A verification that runs once.

    Attributes:
        stream: the input.
        engine: the books.
        progress: called with the stream after each batch; set it before `run`.
    """

    def __init__(self, request: VerifyRequest) -> None:
        self.stream = MboStream(request.paths, request.options)
        self.engine = BookEngine(bbo=True, deltas=True)
        self.engine.backwards_ns_max = current().input.ts_recv_backwards_ns
        self.progress: ReadProgress | None = None
        self._request = request
        self._selection = SymbolSelection(self.stream, request.symbols)
        self._queues = OrderQueues()
        self._reference = DerivedBooks()
        self._windows = RecordWindows(request.every)
        self._tallies = EventTallies()
        self._compared = Counter[str]()
        self._differences, self._violations = Findings(), Findings()
        self._broken = Counter[str]()
        self._is_window_over = False
        self._whole_at = 0  # records when everything was compared last
        self._last_ns: dict[int, int] = {}  # a late ts_recv of each book by key, for its symbol

    def run(self) -> dict[str, Any]:
        """Read the whole input and return the report, as JSON has it."""
        with (
            ThreadPoolExecutor(1, "batonics-witness") as thread,
            closing(self._batches(thread)) as batches,
        ):
            for piece in fold_pieces(batches, bbo=True, deltas=True, engine=self.engine):
                self._queues.fold(piece.batch, piece.deltas, self.engine)
                self._tallies.add(piece)
        if self._windows.is_open(self._tallies.records):
            self._check_all(self._windows.close(self._tallies.records), np.empty(0, np.int64))
        return self._report()

    def _batches(self, thread: ThreadPoolExecutor) -> Generator[MboBatch, None, None]:
        """The batches, cut at the ends of windows.

        The thread applies each of them to the reference while the caller folds it.
        """
        for batch in self.stream.batches():
            self._selection.check()
            for piece in self._selection.pieces(batch):
                for rows in self._windows.cut(piece):
                    # The last window of the input ends with the comparison of everything.
                    if self._is_window_over and len(rows.action):
                        self._check_window(thread)
                    if len(rows.action) < THREAD_ROWS_MIN:
                        self._reference.add(rows)
                        yield rows
                    else:
                        applied = thread.submit(self._reference.add, rows)
                        yield rows
                        applied.result()
                    self._is_window_over = self._windows.ends_at(self._tallies.records)
            if self.progress is not None:
                self.progress(self.stream)
        self._selection.check(ended=True)

    # ------------------------------------------------------------------ checking

    def _check_window(self, thread: ThreadPoolExecutor) -> None:
        """End a window: compare what has changed, or everything if that is due."""
        window = self._windows.close(self._tallies.records)
        pause = max(WHOLE_RECORDS_MIN, WHOLE_RECORDS_RATIO * self._reference.live_nodes)
        is_due = self._reference.has_forgotten or self._tallies.records >= self._whole_at + pause
        changes = self._compare_changes(thread)
        differing = int(changes[DIFFERING])
        if is_due or (differing and not self._differences.is_full):
            # The comparison of everything also describes what differs.
            found = self._differences.count + self._violations.count
            self._check_all(window, book_keys(self.engine)[self.engine.events_open()])
            if not differing or self._differences.count + self._violations.count > found:
                return
        for what, word in _COMPARED_WORDS.items():
            self._compared[what] += int(changes[word])
        if differing:
            book = self._book(int(changes[DIFFERING_KEY]))
            row = {"of": "book", **window, **book, "engine": None, "witness": None}
            self._differences.add(differing, iter([row]))

    def _compare_changes(self, thread: ThreadPoolExecutor) -> NDArray[np.int64]:
        """Compare what has changed, but for books within an event; the words of the kernel.

        The thread compares half of the books, if there are many changes.
        """
        state, witness = self.engine.state, self._reference.witness
        self._reference.has_forgotten = False
        found, of_thread = np.zeros((2, COMPARED_WORDS), np.int64)
        if witness.totals[W_TOUCHED_NODES] < THREAD_ROWS_MIN:
            compare_changes(state, witness, 0, 1, found)
        else:
            half = thread.submit(compare_changes, state, witness, 1, 2, of_thread)
            compare_changes(state, witness, 0, 2, found)
            half.result()
        forget_compared(state, witness)
        key = (found if found[DIFFERING] else of_thread)[DIFFERING_KEY]
        found += of_thread
        found[DIFFERING_KEY] = key
        return found

    def _check_all(self, window: dict[str, int], open_keys: NDArray[np.int64]) -> None:
        """Check the invariants, and compare all books, but for some, with the reference books."""
        engine, reference = self.engine, self._reference
        books = reference.books()
        self._last_ns = dict(books.select("key", "last_ns").iter_rows())
        self._check_invariants(window, books.filter("has_tops")["key"].to_numpy())
        is_compared = ~pl.col("key").is_in(pl.Series(open_keys).implode())
        orders = reference_orders(reference)
        for what, ours, theirs, names, values in (
            ("books", engine_books(engine), books, BOOK_KEYS, BOOK_VALUES),
            ("levels", engine_levels(engine), reference.levels(), LEVEL_KEYS, LEVEL_VALUES),
            ("orders", engine_orders(engine), orders, ORDER_KEYS, ORDER_VALUES),
        ):
            compared = ours.filter(is_compared)
            self._compared[what] += compared.height
            differing = find_differences(compared, theirs.filter(is_compared), names, values)
            rows = (
                {"of": what.removesuffix("s"), **window, **self._describe_difference(row, values)}
                for row in differing.iter_rows(named=True)
            )
            self._differences.add(differing.height, rows)
        self._whole_at = self._tallies.records

    def _describe_difference(self, row: dict[str, Any], values: list[str]) -> dict[str, Any]:
        """One difference, as JSON has it."""
        names = [name for name in ("order_id", "side", "price") if name in row]
        location: dict[str, Any] = {name: row[name] for name in names if name not in values}
        sides = {
            name: {value: row[f"{value}{end}"] for value in values}
            for name, end in (("engine", ""), ("witness", REFERENCE_SUFFIX))
        }
        return {
            **self._book(row["key"]),
            **format_values(location),
            # A side that lacks the row has null in every column.
            **{
                name: None if set(side.values()) == {None} else format_values(side)
                for name, side in sides.items()
            },
        }

    def _check_invariants(self, window: dict[str, int], keys_with_tops: NDArray[np.int64]) -> None:
        has_tops = np.isin(book_keys(self.engine), keys_with_tops)
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
                **format_values({"side": violation.side, "price": violation.price}),
                "found": violation.found,
            }
            for violation in broken
        )
        self._violations.add(sum(violation.times for violation in broken), rows)

    def _book(self, key: int) -> dict[str, Any]:
        publisher_id, instrument_id = key >> 32, key & 0xFFFFFFFF
        ts_recv = self._last_ns.get(key, 0)
        symbol = self._selection.symbols.symbol(instrument_id, ts_recv)
        return {"publisher_id": publisher_id, "instrument_id": instrument_id, "symbol": symbol}

    # ------------------------------------------------------------------ reporting

    def _report(self) -> dict[str, Any]:
        self._last_ns = dict(self._reference.books().select("key", "last_ns").iter_rows())
        seen = ((key & 0xFFFFFFFF, ts_ns) for key, ts_ns in self._last_ns.items() if ts_ns)
        warn_of_aliases(self._selection.symbols, seen)
        length, events = self._request.every
        return {
            "schema": REPORT_SCHEMA,
            "proved": self._differences.count == 0 and self._violations.count == 0,
            "files": [
                {
                    "name": file.name,
                    "records": file.records,
                    "skipped": file.skipped,
                    "lost": file.loss,
                }
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
        """A document for each book: its status, its events and its anomalies."""
        engine, tallies = self.engine, self._tallies
        keys, statuses = book_keys(engine).tolist(), engine.statuses()
        events, is_open, anomalies = engine.events(), engine.events_open(), engine.anomalies()
        references = {row["key"]: row for row in self._reference.books().iter_rows(named=True)}
        for book in sorted(range(len(keys)), key=keys.__getitem__):
            reference = references[keys[book]]
            incomplete = reference["was_cold"] or reference["was_stale"]
            yield {
                **self._book(keys[book]),
                "status": statuses[book].name.lower(),
                "reason": explain_status(statuses[book], reference["since"]),
                "records": reference["records"],
                "events": int(events[book]),
                "event_open": bool(is_open[book]),
                "crossed_events": int(tallies.crossed[book]),
                "locked_events": int(tallies.locked[book]),
                "fill_order": self._queues.fill_order(book)._asdict(),
                "anomalies": [
                    explain_anomaly(anomaly, int(anomalies[book, anomaly]), incomplete=incomplete)
                    for anomaly in Anomaly
                    if anomalies[book, anomaly]
                ],
            }


_COMPARED_WORDS = {
    "books": COMPARED_BOOKS,
    "levels": COMPARED_LEVELS,
    "orders": COMPARED_ORDERS,
}
