"""Appends an endless stream to a lake, with a commit at intervals.

The rule here: a commit has the rows of all schemas up to the same record, and is reported once it
is on the disk. Rows that a killed stream has not committed are not in the lake.

The reader passes each batch to one thread for each schema, which folds and writes it. At a commit
each thread completes its parts, which enter the lake together. Rows that a schema does not have
yet, such as that of an interval that has not ended, come with a later commit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from importlib.metadata import version
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Thread
from typing import NamedTuple

import polars as pl

from batonics.frames.scan.mbo_scan import StreamFacts, scan_batches
from batonics.frames.scan.sessions import SessionCalendar
from batonics.frames.scan.sources import pull_frames
from batonics.frames.scan.symbols import FrameSymbols
from batonics.frames.schemas.row_keys import RowKeys, RowPlaces
from batonics.frames.schemas.schema import Schema
from batonics.frames.schemas.table import find_schemas
from batonics.jobs.lake_load import DEFAULT_SCHEMAS
from batonics.jobs.lake_rows import LakeStates
from batonics.jobs.source_identity import describe_statuses
from batonics.lake.catalog import LoadedSource, SchemaLoad
from batonics.lake.commits import append_parts, check_statuses
from batonics.lake.coverage import SourceCoverage, make_coverage
from batonics.lake.overlap import check_overlap
from batonics.lake.part import Part
from batonics.lake.parts import PartsWriter
from batonics.lake.spans import SpanRecorder
from batonics.lake.storage import StagingArea, Store, open_store
from batonics.model.book_changes import BookChange, BookChanges
from batonics.model.mbo import MboBatch, copy_batch
from batonics.model.symbols import SymbolMap
from batonics.settings.table import LakeSettings
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions
from batonics.sources.statuses import read_statuses
from batonics.sources.stream import MboStream

BATCHES_QUEUED_MAX = 8
"""Batches that wait for a schema; at this limit the reader waits."""
THREAD_POLL_SECONDS = 0.05
"""Time between two checks whether a thread still runs."""

WrittenParts = list[tuple[Path, Part]]


@dataclass(frozen=True)
class AppendRequest:
    """What to append.

    Attributes:
        lake: the lake's directory, or `s3://BUCKET/PREFIX`; made if it does not exist.
        name: name of the source; rows are appended to those that it has.
        path: path of the stream; `-` is standard input.
        schemas: names of schemas (`frames/schemas/table.py`).
        commit_seconds: time between two commits.
        options: how the files are read.
        statuses: files of the schema status; empty: the status records of the stream.
        sessions: the sessions of the market, for books without a status.
    """

    lake: str
    name: str
    path: str = "-"
    schemas: tuple[str, ...] = DEFAULT_SCHEMAS
    commit_seconds: float = LakeSettings().commit_interval_s
    options: InputOptions = DEFAULT_OPTIONS
    statuses: tuple[str, ...] = ()
    sessions: SessionCalendar | None = None

    def __post_init__(self) -> None:
        find_schemas(self.schemas, "append")


class LakeAppend:
    """One run of the job.

    Attributes:
        on_commit: called after each commit with its loads.
    """

    def __init__(self, request: AppendRequest) -> None:
        self.on_commit: Callable[[list[SchemaLoad]], None] | None = None
        self._request = request
        self._statuses = read_statuses(request.statuses) if request.statuses else None
        self._statuses_place = describe_statuses(request.statuses, request.sessions)
        self._stream = MboStream((request.path,), request.options)
        self._spans, self._symbols = SpanRecorder(), SymbolMap()

    def run(self) -> None:
        """Append until the stream ends.

        Raises:
            InputError: the stream cannot be read, or is damaged; rows before that are in the lake.
            OutputError: the lake cannot be written to; committed rows stay.
            UsageError: the lake has the same books at the same times, or rows of the stream with
            other statuses or sessions; committed rows stay.
        """
        request = self._request
        store = open_store(request.lake, make=True)
        writers = [
            _SchemaWriter(schema, self._statuses, request.sessions)
            for schema in find_schemas(request.schemas, "append")
        ]
        reader = _StreamReader(self._stream)
        try:
            while not reader.ended:
                self._append_commit(store, reader, writers)
        finally:
            reader.cancel()
            for writer in writers:
                writer.cancel()
        if reader.error is not None:
            raise reader.error

    def _append_commit(
        self, store: Store, reader: _StreamReader, writers: list[_SchemaWriter]
    ) -> None:
        """Read until a commit is due, and commit."""
        with store.stage() as staging:
            for writer in writers:
                writer.begin(staging.directory, staging.id)
            try:
                self._read_batches(reader, writers)
                written = [writer.end(ended=reader.ended) for writer in writers]
            except BaseException:
                for writer in writers:
                    writer.cancel()  # the directory is about to be removed
                raise
            loads = [
                SchemaLoad(
                    writer.schema.name,
                    [part for _, part in files],
                    self._statuses_place if writer.schema.has_quotes else "",
                )
                for writer, files in zip(writers, written, strict=True)
            ]
            if not any(load.parts for load in loads):
                return
            self._commit(store, staging, loads, [file for files in written for file in files])
        if self.on_commit is not None:
            self.on_commit(loads)

    def _commit(
        self, store: Store, staging: StagingArea, loads: list[SchemaLoad], files: WrittenParts
    ) -> None:
        source = LoadedSource(self._request.name, None, "")
        may_overlap = self._request.options.in_this_order
        spans = self._spans.spans(self._symbols, by_symbol=self._stream.numbers_symbols)
        if not may_overlap:  # before anything enters the lake
            store.catalog.read(check_overlap(source, [load.schema for load in loads], spans))
        store.catalog.read(check_statuses(source, loads))
        staging.publish([(path, part.path) for path, part in files])
        store.catalog.commit(
            append_parts(
                source,
                loads,
                version("batonics"),
                spans=spans,
                coverage=self._coverage(),
                may_overlap=may_overlap,
            )
        )
        self._spans.commit()

    def _coverage(self) -> SourceCoverage:
        """What this run covers: a stream that names no symbols has a scope of its own."""
        files = self._stream.coverage.spans()
        scope = f"stream {self._request.name}"
        return make_coverage([file._replace(scope=file.scope or scope) for file in files], ())

    def _read_batches(self, reader: _StreamReader, writers: list[_SchemaWriter]) -> None:
        """Pass batches to the writers until a commit is due, or the stream ends."""
        deadline = time.monotonic() + self._request.commit_seconds
        while (seconds := deadline - time.monotonic()) > 0 and not reader.ended:
            if (item := reader.get(seconds)) is not None:
                self._spans.add(item.batch)
                self._symbols = item.symbols
                for writer in writers:
                    writer.write(item)


class _StreamBatch(NamedTuple):
    """A batch, the symbols that are known by then, and the trading statuses that came with it."""

    batch: MboBatch
    symbols: SymbolMap
    statuses: list[BookChange]


class _Signal(Enum):
    """Signals among the batches of a queue."""

    END_OF_COMMIT = auto()
    END_OF_STREAM = auto()


class _StreamReader:
    """Reads a stream in a thread, so that a commit does not wait for the next batch.

    Attributes:
        ended: whether all batches were returned.
        error: the error that ended the stream; None if there was none.
    """

    def __init__(self, stream: MboStream) -> None:
        self.ended = False
        self.error: BaseException | None = None
        self._stream, self._symbols = stream, SymbolMap()
        self._status_count = 0
        self._queue: Queue[_StreamBatch | None] = Queue(BATCHES_QUEUED_MAX)
        self._is_cancelled = False
        self._thread = Thread(target=self._run, name="batonics-append-reader", daemon=True)
        self._thread.start()

    def get(self, seconds: float) -> _StreamBatch | None:
        """The next batch; None if none arrives in time, or at the end."""
        try:
            item = self._queue.get(timeout=seconds)
        except Empty:
            return None
        self.ended = item is None
        return item

    def cancel(self) -> None:
        """Stop reading."""
        self._is_cancelled = True
        # Make room for the thread's next batch. A thread that waits for input is left behind.
        with suppress(Empty):
            while True:
                self._queue.get_nowait()

    def _run(self) -> None:
        try:
            with closing(self._stream.batches()) as batches:
                for batch in batches:
                    if self._is_cancelled:
                        break
                    symbols, statuses = self._known_symbols(), self._new_statuses()
                    self._queue.put(_StreamBatch(copy_batch(batch), symbols, statuses))
        except BaseException as error:  # noqa: BLE001 - raised again by the job
            self.error = error
        self._queue.put(None)

    def _known_symbols(self) -> SymbolMap:
        """The symbols so far; a new map if there are new ones, since other threads read the map."""
        if len(self._stream.symbols) != len(self._symbols):
            self._symbols = self._stream.symbols.copy()
        return self._symbols

    def _new_statuses(self) -> list[BookChange]:
        """The trading statuses since the last batch."""
        statuses = self._stream.statuses.all(self._status_count)
        self._status_count += len(statuses)
        return statuses


class _SchemaWriter:
    """Derives one schema of the stream in a thread, and writes the parts of each commit.

    Args:
        schema: the schema.
        statuses: the trading statuses; None: those that come with the batches.
        sessions: the sessions of the market, for books without a status.

    Attributes:
        schema: the schema.
    """

    def __init__(
        self, schema: Schema, statuses: BookChanges | None, sessions: SessionCalendar | None
    ) -> None:
        self.schema = schema
        self._queue: Queue[_StreamBatch | PartsWriter | _Signal] = Queue(BATCHES_QUEUED_MAX)
        self._written: Queue[WrittenParts | BaseException] = Queue()
        self._keys, self._places = RowKeys(schema), RowPlaces(schema)
        self._stream_statuses = BookChanges()
        known = self._stream_statuses if statuses is None else statuses
        self._states = LakeStates(schema, StreamFacts(statuses=lambda: known, sessions=sessions))
        self._writer: PartsWriter | None = None
        self._known_symbols = SymbolMap()
        self._symbols = FrameSymbols(self._known_symbols)
        self._thread = Thread(target=self._run, name=f"batonics-append-{schema.name}", daemon=True)
        self._thread.start()

    def begin(self, directory: Path, prefix: str) -> None:
        """Begin a commit, whose files are written to a directory."""
        self._put(PartsWriter(self.schema, directory, prefix, own_parts=False))

    def write(self, item: _StreamBatch) -> None:
        """Write the rows of a batch."""
        self._put(item)

    def end(self, *, ended: bool) -> WrittenParts:
        """Complete the parts of the commit, which are then on the disk.

        Args:
            ended: the stream has ended too, so that rows of open intervals are written.

        Raises:
            BaseException: the error of the thread.
        """
        self._put(_Signal.END_OF_STREAM if ended else _Signal.END_OF_COMMIT)
        written = self._written.get()
        if isinstance(written, BaseException):
            raise written
        return written

    def cancel(self) -> None:
        """End the thread, if it has not ended."""
        while self._thread.is_alive():
            self._put(_Signal.END_OF_STREAM)
            self._thread.join(THREAD_POLL_SECONDS)

    def _put(self, item: _StreamBatch | PartsWriter | _Signal) -> None:
        """Pass an item to the thread. If the thread has failed, `end` raises its error."""
        while self._thread.is_alive():
            with suppress(Full):
                self._queue.put(item, timeout=THREAD_POLL_SECONDS)
                return

    def _run(self) -> None:
        try:
            for frame in filter(len, self._frames()):
                keyed = self._keys.add_to(self._places.add_to(frame), self._symbols)
                self._open_writer().write(self._states.add_to(keyed))
            self._end_parts()
        except BaseException as error:  # noqa: BLE001 - raised again by the job
            if self._writer is not None:
                self._writer.abandon()
            self._written.put(error)

    def _frames(self) -> Iterator[pl.DataFrame]:
        """All rows; those of a batch come before the next batch is read."""
        if not self.schema.is_row_per_record:
            records = scan_batches(lambda: self._states.watch(self._batches()))
            yield from pull_frames(self.schema.rows(records), self._places.columns)
            return
        # Polars would read ahead, past the end of a commit.
        for batch in self._batches():
            yield self.schema.rows(scan_batches(partial(iter, [batch]))).collect()

    def _batches(self) -> Iterator[MboBatch]:
        """The batches; at the end of a commit its parts are completed.

        The caller reads the next batch once it has returned all rows of the last one.
        """
        while True:
            item = self._queue.get()
            if isinstance(item, PartsWriter):
                self._writer = item
            elif item is _Signal.END_OF_COMMIT:
                self._end_parts()
            elif item is _Signal.END_OF_STREAM:
                return
            else:
                for status in item.statuses:
                    self._stream_statuses.add(status)
                if item.symbols is not self._known_symbols:
                    self._known_symbols = item.symbols
                    self._symbols = FrameSymbols(item.symbols)
                self._places.note(item.batch)
                yield item.batch

    def _open_writer(self) -> PartsWriter:
        if self._writer is None:
            raise AssertionError("a commit begins with its writer")
        return self._writer

    def _end_parts(self) -> None:
        writer = self._open_writer()
        writer.close()
        self._written.put(writer.written)
        self._writer = None
