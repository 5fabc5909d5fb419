"""Derives the rows of a lake from a source, and writes them as parts.

The rule here: a source is read once, and folded once for each depth of levels, whatever number of
schemas derive from it. Each schema has a thread, and all of them get a batch before the next one is
read, so that no batch is copied, and what the stream knows of names and statuses grows between two
batches only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from typing import Protocol

import polars as pl

from batonics.book.engine import BookEngine
from batonics.book.results import TopsSpec
from batonics.frames.columns.book_state import LAKE_STATE_SCHEMA
from batonics.frames.columns.levels import count_clamped_rows
from batonics.frames.scan.book_changes import BookStatusTracker
from batonics.frames.scan.complete_intervals import CompleteIntervals
from batonics.frames.scan.folding import TopsPiece, fold_tops_pieces
from batonics.frames.scan.mbo_scan import StreamFacts, scan_batches
from batonics.frames.scan.row_extras import RowExtras
from batonics.frames.scan.sessions import SessionCalendar
from batonics.frames.scan.sources import pull_frames
from batonics.frames.scan.symbols import FrameSymbols
from batonics.frames.schemas.row_keys import ROW_TIME, RowKeys, RowPlaces, SourceStart
from batonics.frames.schemas.schema import Schema
from batonics.jobs.shared_items import CancelledError, SharedItems, call_before
from batonics.jobs.stream_end import StreamEnd
from batonics.jobs.symbol_selection import SymbolSelection
from batonics.lake.coverage import SourceCoverage, make_coverage
from batonics.lake.disk_room import SortRoom
from batonics.lake.load_selection import LoadSelection
from batonics.lake.parts import PartsWriter
from batonics.lake.spans import BookSpan, SpanRecorder
from batonics.lake.storage import StagingArea
from batonics.model.mbo import MboBatch
from batonics.sinks.background_write import write_in_background
from batonics.sinks.tables import FRAMES_QUEUED_MAX
from batonics.sources.input_options import InputOptions
from batonics.sources.statuses import read_statuses
from batonics.sources.stream import MboStream

LATEST_NS = 2**63 - 1
"""The latest time that a frame can have."""
GATHERED_ROWS = 32_768
"""Rows that are gathered before columns are added to them: each call has a cost of its own, and a
batch has few trades."""


class LoadProgress(Protocol):
    """What a load tells of its progress."""

    def update(self, stream: MboStream) -> None:
        """A batch of the source was read; `stream` knows how much of it."""

    def begin_step(self, name: str) -> None:
        """The source was read, and this is done now: sorting or publishing."""


class BatchProgress:
    """Tells of batches only.

    Args:
        report: called after each batch with the stream; None: nothing is.
    """

    def __init__(self, report: Callable[[MboStream], None] | None = None) -> None:
        self._report = report

    def update(self, stream: MboStream) -> None:
        """See `LoadProgress`."""
        if self._report is not None:
            self._report(stream)

    def begin_step(self, name: str) -> None:
        """See `LoadProgress`."""


class SharedRecords:
    """The records of a source, and their folds, for the threads of several schemas.

    Schemas that derive from the same best levels share a fold.

    Args:
        batches: the records; an array of a batch may be reused for the next one.
        schemas: the schemas, each of which has a thread.
    """

    def __init__(self, batches: Iterator[MboBatch], schemas: Sequence[Schema]) -> None:
        depths = Counter(schema.tops.depth for schema in schemas if schema.tops is not None)
        self._batches = SharedItems(batches, len(schemas) - depths.total() + len(depths))
        self._pieces = {
            depth: SharedItems(self._fold(depth), threads) for depth, threads in depths.items()
        }

    def batches(self) -> Iterator[MboBatch]:
        """The records, for a schema that derives from them only."""
        return self._batches.items()

    def pieces(self, depth: int) -> Iterator[TopsPiece]:
        """The records and the best levels of their books, for another schema."""
        return self._pieces[depth].items()

    def cancel(self) -> None:
        """Make the threads stop."""
        self._batches.cancel()
        for pieces in self._pieces.values():
            pieces.cancel()

    def _fold(self, depth: int) -> Iterator[TopsPiece]:
        engine = BookEngine(tops=TopsSpec(depth, trades=True))
        yield from fold_tops_pieces(self._batches.items(), engine)


class SourceReader:
    """Reads the files of a source for some schemas.

    Args:
        paths: paths of the files.
        options: how they are read.
        selection: the records and rows of the load.
        statuses: files of the schema status; empty: the status records of the source.
        sessions: the sessions of the market, for books without a status.
    """

    def __init__(
        self,
        paths: tuple[str, ...],
        options: InputOptions,
        selection: LoadSelection,
        statuses: tuple[str, ...],
        sessions: SessionCalendar | None,
    ) -> None:
        self._stream = MboStream(paths, options)
        self._selection = selection
        self._symbols = SymbolSelection(self._stream, selection.symbols)
        self._start = SourceStart(selection.start_ns)
        self._spans = SpanRecorder(selection.start_ns, selection.end_ns)
        self._tracker: BookStatusTracker | None = None
        known = read_statuses(statuses) if statuses else self._stream.statuses
        self._facts = StreamFacts(
            statuses=lambda: known,
            sessions=sessions,
            doubtful_days=self._stream.doubtful_days,
            find_holes=self._stream.coverage.holes,
            find_absences=self._symbols.absences,
        )

    def find_spans(self) -> list[BookSpan]:
        """When the source has records of which books, once it is read."""
        stream = self._stream
        return self._spans.spans(stream.symbols, by_symbol=stream.numbers_symbols)

    def find_coverage(self) -> SourceCoverage:
        """Which times the source covers, once it is read."""
        files = self._selection.clip_files(self._stream.coverage.spans())
        return make_coverage(files, self.find_spans(), self._start.ns or 0)

    def write_parts(
        self,
        schemas: Sequence[Schema],
        staging: StagingArea,
        clamped_rows: Counter[str],
        progress: LoadProgress,
    ) -> list[PartsWriter]:
        """Write the parts of each schema to the staging area.

        Args:
            schemas: the schemas.
            staging: the staging area.
            clamped_rows: by schema, the number of rows with a size of 32 bits that may be larger in
                the book; these rows are added.
            progress: is told what is done.
        """
        if any(schema.has_quotes for schema in schemas):
            self._tracker = BookStatusTracker()
        shared = SharedRecords(self._batches(progress, self._find_end(schemas)), schemas)
        memory_shares = (len(schemas) + 1) // 2
        room = SortRoom(staging.directory, self._find_share)

        def write(schema: Schema) -> PartsWriter:
            writer = PartsWriter(
                schema, staging.directory, staging.id, memory_shares=memory_shares, room=room
            )
            try:
                with write_in_background(writer.write, FRAMES_QUEUED_MAX) as enqueue:
                    for frame in self._frames(schema, shared):
                        clamped_rows[schema.name] += count_clamped_rows(frame)
                        enqueue(frame)
                writer.close()
            except BaseException:
                shared.cancel()
                writer.abandon()
                raise
            return writer

        with ThreadPoolExecutor(len(schemas), "batonics-load") as threads:
            futures = [threads.submit(write, schema) for schema in schemas]
            try:
                wait(futures)
            except BaseException:
                shared.cancel()
                raise
        _raise_first(futures)
        return [future.result() for future in futures]

    def _find_share(self) -> float:
        """The share of the source that was read; 0: not known."""
        total = self._stream.bytes_total
        return self._stream.bytes_read / total if total else 0.0

    def _find_end(self, schemas: Sequence[Schema]) -> StreamEnd | None:
        """What finds where the rest of the source has no rows of the selection; None: it has."""
        end_ns = self._selection.end_ns
        if end_ns is None or any(schema.time_depends_on_end for schema in schemas):
            return None
        return StreamEnd(end_ns + max(schema.interval_ns or 0 for schema in schemas))

    def _batches(self, progress: LoadProgress, end: StreamEnd | None) -> Iterator[MboBatch]:
        """The records of the selected symbols, to the end of the selected times."""
        with closing(self._stream.batches()) as batches:
            for batch in batches:
                self._symbols.check()
                for rows in self._symbols.pieces(batch):
                    self._start.note(rows)
                    self._spans.add(rows)
                    if self._tracker is not None:
                        self._tracker.note(rows)
                    yield rows
                progress.update(self._stream)
                if end is not None and end.is_past(batch):
                    break
        self._symbols.check(ended=True)
        progress.begin_step("sorting")

    def _frames(self, schema: Schema, shared: SharedRecords) -> Iterator[pl.DataFrame]:
        """The rows of a schema, with their states, places, times and symbols."""
        keys, places = RowKeys(schema), RowPlaces(schema, self._start)
        states = LakeStates(schema, self._facts, self._tracker)
        symbols = FrameSymbols(self._stream.symbols, self._selection.symbols)

        def note(batch: MboBatch) -> None:
            places.note(batch)
            states.note(batch)

        if schema.tops is None:
            records = scan_batches(lambda: call_before(note, shared.batches()))
            frames = pull_frames(schema.rows(records), places.columns)
        else:
            pieces = call_before(lambda piece: note(piece.batch), shared.pieces(schema.tops.depth))
            frames = schema.tops.derive(pieces)
        for frame in _gather(frames):
            keyed = keys.add_to(places.add_to(frame), symbols)
            yield states.add_to(_select_times(keyed, self._selection))


def _select_times(keyed: pl.DataFrame, selection: LoadSelection) -> pl.DataFrame:
    """The rows within the times of a selection; a row without a time is within no limit."""
    time = pl.col(ROW_TIME)
    if selection.start_ns is not None:
        keyed = keyed.filter(time >= min(selection.start_ns, LATEST_NS))
    if selection.end_ns is not None:
        keyed = keyed.filter(time < min(selection.end_ns, LATEST_NS))
    return keyed


def _gather(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The rows of small frames in larger ones."""
    waiting: list[pl.DataFrame] = []
    rows = 0
    for frame in frames:
        waiting.append(frame)
        rows += frame.height
        if rows >= GATHERED_ROWS:
            yield pl.concat(waiting, rechunk=True)
            waiting, rows = [], 0
    if rows:
        yield pl.concat(waiting, rechunk=True)


def _raise_first(futures: Sequence[Future[PartsWriter]]) -> None:
    """Raise the error of a schema; those of schemas that were cancelled come last."""
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, CancelledError)):
        raise error


class LakeStates:
    """Adds the columns of a lake to frames with `_time`.

    They are those of `LAKE_STATE_SCHEMA` if a schema has quotes, and `complete` if its rows cover
    intervals.

    Args:
        schema: the schema.
        facts: what the stream knows.
        tracker: follows the books of the stream for several schemas; None: `note` follows them.
    """

    def __init__(
        self, schema: Schema, facts: StreamFacts, tracker: BookStatusTracker | None = None
    ) -> None:
        names = list(LAKE_STATE_SCHEMA) if schema.has_quotes else []
        self._extras = RowExtras(names, facts, tracker) if names else None
        interval = schema.row_interval
        self._complete = None if interval is None else CompleteIntervals(interval, facts)
        self._ends_interval = schema.time_is_interval_end

    def watch(self, batches: Iterator[MboBatch]) -> Iterator[MboBatch]:
        """The batches of the stream, each noted before it is given."""
        return call_before(self.note, batches)

    def note(self, batch: MboBatch) -> None:
        """Note the records of the next batch."""
        if self._complete is not None:
            self._complete.note(batch)
        if self._extras is not None:
            self._extras.note(batch)

    def add_to(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The next frame, with the columns that the schema has."""
        if self._complete is not None:
            frame = frame.with_columns(self._complete.find(frame, ROW_TIME))
        if self._extras is None:
            return frame
        return self._extras.add_to(frame, ROW_TIME, ends_interval=self._ends_interval)
