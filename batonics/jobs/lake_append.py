"""A stream that goes on for ever, into a lake: what has come so far is committed again and again.

The rule here: a commit has the rows of all schemas up to the same record, and is said to be done
when it is on the disk. What a killed stream has not committed is not in the lake.

The reader hands each batch to a thread for each schema, which folds and writes it; at a commit each
of them ends its parts, and they become part of the lake together. Rows that a schema does not give
yet, such as an interval that is open, come with a later commit.
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

from batonics.frames.scan.mbo_scan import scan_batches
from batonics.frames.scan.sources import pull_frames
from batonics.frames.scan.symbols import FrameSymbols
from batonics.frames.schemas.row_keys import RowKeys
from batonics.frames.schemas.table import Schema, find_schemas
from batonics.jobs.lake_load import DEFAULT_SCHEMAS
from batonics.lake.catalog import LoadedSource, Part, SchemaLoad, append_parts
from batonics.lake.parts import PartsWriter
from batonics.lake.storage import Store, open_store
from batonics.model.mbo import MboBatch, copy_batch
from batonics.model.symbols import SymbolMap
from batonics.settings.table import LakeSettings
from batonics.sources.stream import MboStream

BATCHES_QUEUED_MAX = 8
"""Batches that wait for a schema: then the reader waits too."""
THREAD_POLL_SECONDS = 0.05
"""Between two looks whether a thread still runs."""

PartFiles = list[tuple[Path, Part]]


@dataclass(frozen=True)
class AppendRequest:
    """What is to be appended.

    Attributes:
        lake: the lake's directory; made if it is not there.
        name: of the source: what is appended under it goes behind what it has.
        path: of the stream; `-` is standard input.
        schemas: names of schemas (`frames/schemas/table.py`).
        commit_seconds: between two commits.
        skip_bad: count and skip bad records where the framing survives.
    """

    lake: str
    name: str
    path: str = "-"
    schemas: tuple[str, ...] = DEFAULT_SCHEMAS
    commit_seconds: float = LakeSettings().commit_interval_s
    skip_bad: bool = False

    def __post_init__(self) -> None:
        find_schemas(self.schemas, "append")


class LakeAppend:
    """One run of the job.

    Attributes:
        committed: called after each commit with its loads.
    """

    def __init__(self, request: AppendRequest) -> None:
        self.committed: Callable[[list[SchemaLoad]], None] | None = None
        self._request = request
        self._stream = MboStream((request.path,), skip_bad=request.skip_bad)

    def run(self) -> None:
        """Append until the stream ends.

        Raises:
            InputError: it cannot be read, or is damaged: what came before that is in the lake.
            OutputError: the lake cannot be written to; what was committed stays.
        """
        request = self._request
        store = open_store(request.lake, make=True)
        followers = [_SchemaWriter(schema) for schema in find_schemas(request.schemas, "append")]
        reader = _StreamReader(self._stream)
        try:
            while not reader.ended:
                self._interval(store, reader, followers)
        finally:
            reader.leave()
            for follower in followers:
                follower.leave()
        if reader.error is not None:
            raise reader.error

    def _interval(
        self, store: Store, reader: _StreamReader, followers: list[_SchemaWriter]
    ) -> None:
        """Take what comes until a commit is due, and commit it."""
        with store.loading() as loading:
            for follower in followers:
                follower.begin(loading.directory, loading.id)
            try:
                self._take(reader, followers)
                written = [follower.end(ended=reader.ended) for follower in followers]
            except BaseException:
                for follower in followers:
                    follower.leave()  # nobody writes to a directory that is about to go
                raise
            loads = [
                SchemaLoad(follower.schema.name, [part for _, part in files])
                for follower, files in zip(followers, written, strict=True)
            ]
            if not any(load.parts for load in loads):
                return
            loading.publish([(path, part.path) for files in written for path, part in files])
            source = LoadedSource(self._request.name, None, "")
            store.catalog.commit(append_parts(source, loads, version("batonics")))
        if self.committed is not None:
            self.committed(loads)

    def _take(self, reader: _StreamReader, followers: list[_SchemaWriter]) -> None:
        """Hand on what comes until a commit is due, or all has come."""
        due = time.monotonic() + self._request.commit_seconds
        while (left := due - time.monotonic()) > 0 and not reader.ended:
            if (item := reader.get(left)) is not None:
                for follower in followers:
                    follower.take(item)


class _Item(NamedTuple):
    """A batch, and the names that are known by then."""

    batch: MboBatch
    names: SymbolMap


class _Mark(Enum):
    """What is among the batches: the end of a commit, and the end of the stream."""

    CUT = auto()
    END = auto()


class _StreamReader:
    """Reads a stream in a thread, so that a commit need not wait for what comes next.

    Attributes:
        ended: all has been given.
        error: what ended the stream, if it was not its end.
    """

    def __init__(self, stream: MboStream) -> None:
        self.ended = False
        self.error: BaseException | None = None
        self._stream, self._names = stream, SymbolMap()
        self._queue: Queue[_Item | None] = Queue(BATCHES_QUEUED_MAX)
        self._left = False
        self._thread = Thread(target=self._run, name="batonics-append-reader", daemon=True)
        self._thread.start()

    def get(self, seconds: float) -> _Item | None:
        """The next batch; None if none comes in time, or at the end."""
        try:
            item = self._queue.get(timeout=seconds)
        except Empty:
            return None
        self.ended = item is None
        return item

    def leave(self) -> None:
        """Want no more of it."""
        self._left = True
        # Room for what it is about to give; it may wait for its input for ever, and is left there.
        with suppress(Empty):
            while True:
                self._queue.get_nowait()

    def _run(self) -> None:
        try:
            with closing(self._stream.batches()) as batches:
                for batch in batches:
                    if self._left:
                        break
                    self._queue.put(_Item(copy_batch(batch), self._known()))
        except BaseException as error:  # noqa: BLE001 - it is raised again by the job
            self.error = error
        self._queue.put(None)

    def _known(self) -> SymbolMap:
        """The names so far; a new map when there are new ones, for threads that look names up."""
        if len(self._stream.symbols) != len(self._names):
            self._names = self._stream.symbols.copy()
        return self._names


class _SchemaWriter:
    """Folds the stream for one schema, in a thread, into the parts of one commit after the other.

    Attributes:
        schema: the schema of the rows.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._queue: Queue[_Item | PartsWriter | _Mark] = Queue(BATCHES_QUEUED_MAX)
        self._written: Queue[PartFiles | BaseException] = Queue()
        self._keys = RowKeys(schema)
        self._writer: PartsWriter | None = None
        self._known = SymbolMap()
        self._names = FrameSymbols(self._known)
        self._thread = Thread(target=self._run, name=f"batonics-append-{schema.name}", daemon=True)
        self._thread.start()

    def begin(self, directory: Path, prefix: str) -> None:
        """What comes from now on is of another commit, whose files are written there."""
        self._put(PartsWriter(self.schema, directory, prefix))

    def take(self, item: _Item) -> None:
        """Take a batch."""
        self._put(item)

    def end(self, *, ended: bool) -> PartFiles:
        """End the commit's parts, once all that was taken is written; they are on the disk.

        Args:
            ended: the stream has, too: what the schema holds back comes out.

        Raises:
            BaseException: what went wrong in the thread.
        """
        self._put(_Mark.END if ended else _Mark.CUT)
        written = self._written.get()
        if isinstance(written, BaseException):
            raise written
        return written

    def leave(self) -> None:
        """End the thread, if it has not ended."""
        while self._thread.is_alive():
            self._put(_Mark.END)
            self._thread.join(THREAD_POLL_SECONDS)

    def _put(self, item: _Item | PartsWriter | _Mark) -> None:
        """Give the thread something; of one that has failed, `end` says why."""
        while self._thread.is_alive():
            with suppress(Full):
                self._queue.put(item, timeout=THREAD_POLL_SECONDS)
                return

    def _run(self) -> None:
        try:
            for frame in filter(len, self._frames()):
                self._open().write(self._keys.add_to(frame, self._names))
            self._end_parts()
        except BaseException as error:  # noqa: BLE001 - it is raised again by the job
            if self._writer is not None:
                self._writer.abandon()
            self._written.put(error)

    def _frames(self) -> Iterator[pl.DataFrame]:
        """All rows, those of a batch before the next batch is asked for."""
        if not self.schema.is_row_per_record:
            yield from pull_frames(
                self.schema.rows(scan_batches(self._batches)), self.schema.columns
            )
            return
        # A query engine would read ahead, past the end of a commit.
        for batch in self._batches():
            yield self.schema.rows(scan_batches(partial(iter, [batch]))).collect()

    def _batches(self) -> Iterator[MboBatch]:
        """The batches; the end of a commit is dealt with in between.

        Whoever folds asks for the next batch when it has given all rows of the last one.
        """
        while True:
            item = self._queue.get()
            if isinstance(item, PartsWriter):
                self._writer = item
            elif item is _Mark.CUT:
                self._end_parts()
            elif item is _Mark.END:
                return
            else:
                if item.names is not self._known:
                    self._known, self._names = item.names, FrameSymbols(item.names)
                yield item.batch

    def _open(self) -> PartsWriter:
        if self._writer is None:
            raise AssertionError("a commit begins with its writer")
        return self._writer

    def _end_parts(self) -> None:
        writer = self._open()
        writer.close()
        self._written.put(writer.written)
        self._writer = None
