"""Rebuilds books from files: the main job.

The rule: one pass, constant memory, and the same books however often a run was interrupted and
continued from its checkpoint.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from batonics.book import checkpoint
from batonics.book.doubtful_books import find_renamed
from batonics.book.engine import BookEngine
from batonics.book.event_cutoff import EventCutoff
from batonics.book.state import Anomaly
from batonics.frames.scan.trading_statuses import TradingStatuses
from batonics.jobs.progress import ReadProgress
from batonics.jobs.symbol_selection import SymbolSelection, warn_of_aliases
from batonics.model.answers import AsOf, DataSpan
from batonics.model.arguments import SymbolsOrIds, check_arguments, symbol_list
from batonics.model.errors import CheckpointError, DataWarning, UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP, MboBatch, slice_batch
from batonics.model.prices import PriceUnit
from batonics.model.symbols import SymbolMap
from batonics.model.times import Time, parse_date, time_ns
from batonics.settings.loader import current
from batonics.sinks.atomic import STDOUT, open_atomic
from batonics.sinks.book_json import BookJsonFormat, find_book_format, write_books
from batonics.sources.input_files import STDIN, head_of, input_size, is_read_once
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions
from batonics.sources.inputs import Inputs, find_inputs
from batonics.sources.statuses import read_statuses
from batonics.sources.stream import MboStream

if TYPE_CHECKING:
    from batonics.frames.depth.books import Books
    from batonics.frames.scan.mbo_scan import StreamFacts
    from batonics.frames.scan.sessions import SessionCalendar

CHECKPOINT_RECORDS = 50_000_000
"""Records between two checkpoints: some seconds of work."""
SNAPSHOT_DEPTH = 10
"""Levels of each side of a snapshot, where no depth is asked for."""


@dataclass(frozen=True)
class ReconstructRequest:
    """The records to rebuild books from.

    Attributes:
        paths: input files; `-` is standard input.
        symbols: symbols or instrument ids of the books; empty: all.
        at_ns: the time that the books are as of; None: the end of the input.
        options: how the files are read.
        checkpoint: the file that progress is saved to; a run continues from it if it exists.
        statuses: files of the schema status; empty: the status records of the input.
        sessions: the sessions of the market, for books without a status.
    """

    paths: tuple[str, ...]
    symbols: tuple[str, ...] = ()
    at_ns: int | None = None
    options: InputOptions = DEFAULT_OPTIONS
    checkpoint: str | None = None
    statuses: tuple[str, ...] = ()
    sessions: SessionCalendar | None = None


class BookOutput(NamedTuple):
    """The file that books are written to.

    Attributes:
        path: the file's name; `-` is standard output.
        book_format: the format; None: the name's ending says it, else JSON.
        depth: the number of levels of each side; None: all.
        orders: write the queue of orders of each level.
    """

    path: str
    book_format: BookJsonFormat | None = None
    depth: int | None = None
    orders: bool = False


class SnapshotOutput(NamedTuple):
    """The file that depth snapshots are written to.

    Attributes:
        path: the file's name, which says its format; `-` is standard output.
        every: the windows at whose ends snapshots are taken: `event`, a count of events, or a
            duration.
        depth: the number of levels of each side.
        prices: the unit of prices.
    """

    path: str
    every: str
    depth: int = SNAPSHOT_DEPTH
    prices: PriceUnit = "fixed"


def reconstruct_files(
    request: ReconstructRequest,
    *,
    books: BookOutput | None = None,
    snapshots: SnapshotOutput | None = None,
    progress: ReadProgress | None = None,
) -> Reconstruction:
    """Rebuild books and write them to files; the run, with its books.

    Args:
        request: the records.
        books: the file of the books at the end; None: none is written.
        snapshots: the file of depth snapshots; None: none is written.
        progress: called with the input after each batch.

    Raises:
        UsageError: an output makes no sense, or no file has a symbol.
        InputError: a file cannot be read, or is damaged.
        OutputError: an output cannot be written.
        CheckpointError: the checkpoint is of another run.
    """
    if books is not None and snapshots is not None and books.path == snapshots.path == STDOUT:
        raise UsageError("only one of --out and --snapshots can be -")
    if books is None:
        return _run(request, snapshots, progress)
    book_format = find_book_format(books.path, books.book_format)
    # The output is opened before the input, so a run finds at once that it cannot write.
    with open_atomic(books.path) as file:
        run = _run(request, snapshots, progress)
        run.warn_of_aliases()
        write_books(
            file,
            run.engine,
            run.symbols,
            book_format=book_format,
            depth=books.depth,
            orders=books.orders,
            as_of=run.as_of,
        )
    return run


def _run(
    request: ReconstructRequest, snapshots: SnapshotOutput | None, progress: ReadProgress | None
) -> Reconstruction:
    """Rebuild books, and write snapshots if there is a file for them."""
    if snapshots is None:
        run = Reconstruction(request)
        run.progress = progress
        run.run()
        return run
    from batonics.frames.scan.symbols import AliasWarning, FrameSymbols
    from batonics.jobs.snapshots import check_snapshots, write_snapshots

    check_snapshots(snapshots.path, snapshots.every)
    with open_atomic(snapshots.path) as file:
        run = Reconstruction(request, deltas=True)
        run.progress = progress
        write_snapshots(
            run.batches(),
            run.engine,
            FrameSymbols(run.stream.symbols, request.symbols, AliasWarning()),
            file,
            path=snapshots.path,
            every=snapshots.every,
            depth=snapshots.depth,
            prices=snapshots.prices,
            facts=run.facts(),
        )
    return run


class Reconstruction:
    """A reconstruction that runs once.

    Args:
        request: the records.
        deltas: the engine keeps level deltas and event ends of each batch.

    Attributes:
        engine: the books so far.
        stream: the input.
        data: the times of the records that were read so far.
        progress: called with the stream after each batch; set it before `run`.
    """

    def __init__(self, request: ReconstructRequest, *, deltas: bool = False) -> None:
        self.request = request
        self.stream = MboStream(request.paths, request.options)
        self.engine = BookEngine(deltas=deltas)
        self.data = DataSpan()
        self.progress: ReadProgress | None = None
        self._deltas = deltas
        self._until: EventCutoff | None = None
        self.engine.backwards_ns_max = current().input.ts_recv_backwards_ns
        if request.at_ns is not None:
            self._until = EventCutoff(request.at_ns, self.engine.backwards_ns_max)
            self.engine.backwards_ns_max = None
        self._selection = SymbolSelection(self.stream, request.symbols)
        try:
            known = read_statuses(request.statuses) if request.statuses else self.stream.statuses
            self._trading = TradingStatuses(known, request.sessions)
            self._saved_rows = self._resume()
        except BaseException:
            self.stream.close()
            raise

    @property
    def symbols(self) -> SymbolMap:
        """The names of the books' instruments: those asked for, or else all, as far as known."""
        return self._selection.symbols

    @property
    def as_of(self) -> AsOf:
        """The time of the books, their trading statuses then, and the times of their records."""
        stream = self.stream
        as_of = AsOf.of_records(
            self.request.at_ns, self.data, stream.doubtful_days, stream.coverage.holes()
        )
        return as_of._replace(
            trading=self._trading.at(self.engine.keys(), as_of.time_ns),
            renamed=find_renamed(self.engine, self.symbols, as_of),
            losses=self.stream.losses,
        )

    def warn_of_aliases(self) -> None:
        """Warn if the books show one of several symbols of an instrument."""
        last_ns = self.engine.last_seen()[:, 1].tolist()
        books = zip(self.engine.keys(), last_ns, strict=True)
        seen = ((key[1], min(ts_recv, UNDEF_TIMESTAMP - 1)) for key, ts_recv in books)
        warn_of_aliases(self.symbols, seen)

    def facts(self) -> StreamFacts:
        """What the stream knows of which times it has records for."""
        from batonics.frames.scan.mbo_scan import StreamFacts

        return StreamFacts(
            doubtful_days=self.stream.doubtful_days,
            find_holes=self.stream.coverage.holes,
            find_absences=self._selection.absences,
        )

    def run(self) -> None:
        """Fold the whole input."""
        for batch in self.batches():
            self.engine.fold(batch)

    def batches(self) -> Iterator[MboBatch]:
        """The batches to fold, in order; the caller folds each before it takes the next."""
        seen_rows = 0
        for batch in self.stream.batches():
            self._selection.check()
            self.data = self.data.extend(batch)
            rows = len(batch.action)
            first = min(rows, max(0, self._saved_rows - seen_rows))
            seen_rows += rows
            if first:
                for _ in self._selection.pieces(slice_batch(batch, 0, first)):
                    pass
            if first < rows:
                yield from self._select_rows(slice_batch(batch, first, rows))
                self._save(seen_rows)
            if self.progress is not None:
                self.progress(self.stream)
            if self._until is not None and self._until.done:
                break
        if self._until is not None and self.request.at_ns is not None:
            self.data.check_not_before(self.request.at_ns)
            yield self._until.finish()
            self.engine.count_anomalies(Anomaly.TS_RECV_BACKWARDS, self._until.late_keys)
        self._selection.check(ended=True)

    def _select_rows(self, batch: MboBatch) -> Iterator[MboBatch]:
        for rows in self._selection.pieces(batch):
            yield from [rows] if self._until is None else self._until.take(rows)

    # ------------------------------------------------------------------ checkpoints

    def _resume(self) -> int:
        """Load the checkpoint if there is one; the number of rows that it covers."""
        path = self.request.checkpoint
        if path is None:
            return 0
        if self._deltas or self._until is not None or STDIN in self.request.paths:
            raise UsageError("--checkpoint needs files, and does not go with --snapshots or --at")
        if self.stream.bytes_total is None or any(map(is_read_once, self.request.paths)):
            raise UsageError("--checkpoint needs files that can be read again, not pipes")
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
        try:
            engine, extra = checkpoint.load(data)
            self._check_input(extra.get("input"))
            (rows,) = checkpoint.read_integers(extra, "rows", 1)
            symbols = checkpoint.read_symbols(extra)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}; remove it to start again") from None
        engine.backwards_ns_max = self.engine.backwards_ns_max
        self.engine = engine
        for interval in symbols:
            self.stream.symbols.add(interval)
        return int(rows)

    def _check_input(self, identity: object) -> None:
        if identity != self._identity():
            raise CheckpointError("belongs to other input or options")

    def _save(self, rows: int) -> None:
        path = self.request.checkpoint
        if path is None or rows - self._saved_rows < CHECKPOINT_RECORDS:
            return
        self._saved_rows = rows
        extra: dict[str, Any] = {
            "input": self._identity(),
            "rows": [rows],
            "symbols": [list(interval) for interval in self.stream.symbols.intervals()],
        }
        data = checkpoint.save(self.engine, extra)
        with open_atomic(path) as file:
            file.write(data)

    def _identity(self) -> list[Any]:
        """The sizes and beginnings of the files, and the options: a checkpoint must match them."""
        files = []
        for path in self.request.paths:
            head = hashlib.sha256(head_of(path, 1 << 16)).hexdigest()
            files.append([input_size(path), head])
        return [files, list(self.request.symbols), list(self.request.options)]


@check_arguments
def reconstruct(  # noqa: PLR0913 - settings, by keyword
    paths: Inputs,
    *,
    symbols: SymbolsOrIds = (),
    at: Time | None = None,
    skip_bad: bool = False,
    salvage: bool = False,
    in_this_order: bool = False,
    lossy: bool = False,
    session_date: str | date | None = None,
    verify_manifest: bool = False,
    statuses: Inputs = (),
    session: str | None = None,
) -> Books:
    """Rebuild the books of files: `batonics.reconstruct("day.dbn.zst").levels(depth=5)`.

    Args:
        paths: one file or several. Several are one stream, in the order of their time. An input is
            a path or URL, a directory, a pattern such as "2025/*.dbn.zst", a batch download or its
            zip archive, bytes, a DBNStore, or an open binary file.
        symbols: symbols or instrument ids of the books; empty: all.
        at: the time that the books are as of, after the last complete event at or before it:
            ISO 8601 (UTC), nanoseconds since the epoch or a datetime; None: the end of the input.
            A time after the last record is a `DataWarning`: the books are the last known ones.
            So is each kind of doubtful book, with their number: cold, stale, crossed, closed,
            renamed.
        skip_bad: count and skip bad records where the framing survives.
        salvage: keep the whole records of a file that ends within one; a LossWarning says what is
            lost.
        in_this_order: read the files as they are given, even if they repeat or overlap each other.
        lossy: take tables of which something was lost when they were written, such as times in
            microseconds; a LossWarning says what.
        session_date: the day in New York of an ITCH file whose name does not say it: 2019-01-30.
        verify_manifest: compare every file with its SHA-256 in the manifest of its batch download.
        statuses: files of the vendor's schema `status`. None: the status records of `paths`.
        session: hours such as "17:00-16:00 America/Chicago", or the calendar of an exchange such as
            "CMES" (the extra `calendar`), for books without a status. A book of a market that does
            not trade has the warning `closed`.

    Raises:
        InputError: a file cannot be read, or is damaged (DamagedInputError: where).
        UsageError: no file has a symbol, `at` is not a time or before the first record, `session`
            is neither hours nor a calendar, an argument has another type, or files repeat or
            overlap each other.
    """
    from batonics.frames.depth.books import Books
    from batonics.frames.scan.exchange_sessions import find_sessions

    request = ReconstructRequest(
        paths=find_inputs(paths, verify_manifest=verify_manifest),
        symbols=symbol_list(symbols),
        at_ns=None if at is None else time_ns(at),
        options=InputOptions(skip_bad, salvage, in_this_order, lossy, parse_date(session_date)),
        statuses=find_inputs(statuses),
        sessions=None if session is None else find_sessions(session),
    )
    run = Reconstruction(request)
    run.run()
    books = Books(run.engine, run.symbols, run.as_of)
    for line in books.describe_warnings():
        warnings.warn(line, DataWarning, stacklevel=3)  # the caller of `check_arguments`
    run.warn_of_aliases()
    return books
