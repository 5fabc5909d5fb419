"""The records of one schema for a session, derived from MBO, in pieces.

The rule here: the rows equal those of `batonics convert`. Books are built from the beginning of the
files, whatever part of them is asked for. Each subscription reads the files by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.snapshot import snapshot_records
from batonics.codec.dbn import encode_records
from batonics.frames.scan.mbo_scan import scan_batches
from batonics.frames.scan.sources import pull_frames
from batonics.frames.schemas.table import find_schema
from batonics.gateway.feed_pieces import FeedPiece
from batonics.model.errors import InputError
from batonics.model.mbo import MBO_DTYPE, MboBatch, due_times, slice_batch, take_batch
from batonics.model.record_times import RecordTimes
from batonics.model.symbol_intervals import IntervalFilter
from batonics.model.symbols import IntervalMap, MappingInterval
from batonics.sinks.dbn import to_records
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions
from batonics.sources.stream import MboStream

ReadBatches = Callable[[], Generator[MboBatch, None, None]]


@dataclass
class SessionRequest:
    """What a session asks for of one schema.

    Attributes:
        schema: the name of a schema that has a DBN record (`frames/schemas/table.py`).
        spans: when records of which instruments are sent; None: all records.
        start_ns: the time of the first records; None: the beginning of the files.
        snapshot: whether the books at the start come first; with schema mbo only.
    """

    schema: str
    spans: IntervalMap[MappingInterval] | None
    start_ns: int | None = None
    snapshot: bool = False


def record_pieces(
    paths: Sequence[str], request: SessionRequest, options: InputOptions = DEFAULT_OPTIONS
) -> Generator[FeedPiece, None, None]:
    """The records that a session asks for, in indexed pieces."""
    make = _mbo_pieces if request.schema == "mbo" else _row_pieces
    return make(lambda: _batches(MboStream(paths, options), request), request)


def _batches(stream: MboStream, request: SessionRequest) -> Generator[MboBatch, None, None]:
    selected = None if request.spans is None else IntervalFilter(request.spans)
    record_times = RecordTimes()
    with closing(stream.batches()) as batches:
        for batch in batches:
            if len(stream.files) > len(stream.paths):
                raise InputError(
                    f"{stream.files[-1].name}: begins behind another DBN file, and the gateway"
                    " knows the names at the beginning of an input; part the two"
                )
            if selected is None:
                yield batch
                continue
            times = record_times.find_times(batch.ts_recv, batch.flags)
            kept = selected.find_rows(batch.instrument_id, times)
            yield batch if kept.all() else take_batch(batch, kept)


def _mbo_pieces(read: ReadBatches, request: SessionRequest) -> Generator[FeedPiece, None, None]:
    start_ns, due_ns = request.start_ns, 0
    snapshot = _SnapshotAtStart(request)
    with closing(read()) as batches:
        for batch in batches:
            due = due_times(batch, due_ns)
            due_ns = int(due[-1]) if len(due) else due_ns
            first = 0 if start_ns is None else int(np.searchsorted(due, start_ns))
            yield from snapshot.pieces_before(batch, first, due)
            if first < len(due):
                live = slice_batch(batch, first, len(due))
                yield _piece(encode_records(live), MBO_DTYPE.itemsize, due[first:])


class _SnapshotAtStart:
    """Folds the records before the start of a session, and makes one snapshot of their books."""

    def __init__(self, request: SessionRequest) -> None:
        self._engine = BookEngine() if request.snapshot and request.start_ns else None
        self._due_ns = 0

    def pieces_before(
        self, batch: MboBatch, first: int, due: NDArray[np.int64]
    ) -> Iterator[FeedPiece]:
        """Fold the rows before `first`; the snapshot if the session starts at `first`."""
        if self._engine is None or len(due) == 0:
            return
        self._engine.fold(slice_batch(batch, 0, first))
        self._due_ns = int(due[first - 1]) if first else self._due_ns
        if first < len(due):
            records = snapshot_records(self._engine, self._due_ns)
            self._engine = None
            if len(records.action):
                due_ns = np.full(len(records.action), self._due_ns, np.int64)
                yield _piece(encode_records(records), MBO_DTYPE.itemsize, due_ns)


def _row_pieces(read: ReadBatches, request: SessionRequest) -> Generator[FeedPiece, None, None]:
    schema, due_ns = find_schema(request.schema), 0
    rows = schema.rows(scan_batches(read))
    # A row that covers an interval is known when the interval is over.
    lag_ns = 0 if schema.time_is_interval_end else schema.interval_ns or 0
    for frame in pull_frames(rows, schema.columns):
        records = to_records(frame, schema.name)
        times = records[schema.time_column].view(np.int64)
        if request.start_ns is not None:
            kept = times >= request.start_ns
            records, times = records[kept], times[kept]
        if len(records) == 0:
            continue
        due = times + lag_ns
        due[0] = max(int(due[0]), due_ns)
        due = np.maximum.accumulate(due)
        due_ns = int(due[-1])
        yield _piece(records.view(np.uint8).data, records.itemsize, due)


def _piece(data: Any, record_bytes: int, due_ns: NDArray[np.int64]) -> FeedPiece:
    ends = np.arange(1, len(due_ns) + 1, dtype=np.int64) * record_bytes
    return FeedPiece(data, ends, due_ns)
