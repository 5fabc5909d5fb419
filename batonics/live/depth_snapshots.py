"""Depth snapshots of a live feed: each book as of T, if one of its events ended since the last T.

The rule here: time is the feed's time (`frames/scan/clock.py`), never the wall clock's. Batches are
split where an interval ends, so the rows equal those of `.mbo.depth(n, every=...)` for the same
records, however the feed was cut into batches. Rows go to files with `depth_schema`, `complete` and
`symbol`; each file appears whole or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.frames.columns.books import depth_schema
from batonics.frames.columns.levels import level_column_names
from batonics.frames.columns.mbo_frame import null_where, to_datetimes
from batonics.frames.scan.clock import UNKNOWN_TIME, StreamClock
from batonics.frames.scan.complete_intervals import COMPLETE, COMPLETE_SCHEMA
from batonics.frames.scan.folding import key_columns
from batonics.live.growing import with_room
from batonics.model.errors import BatonicsError, OutputError
from batonics.model.mbo import UNDEF_PRICE, MboBatch, slice_batch
from batonics.settings.table import LIVE_DEFAULTS, LiveSettings
from batonics.sinks.directory_lock import DirectoryLock
from batonics.sinks.logs import logger
from batonics.sinks.tables import open_table


class SnapshotIntervals:
    """Splits batches where an interval ends, and knows which books an interval changed.

    Args:
        length_ns: the length of an interval `(T - length, T]`; T is a multiple of the length since
            the epoch.
        rows: the published rows of the books at the start.

    Attributes:
        length_ns: the length of an interval.
    """

    def __init__(self, length_ns: int, rows: NDArray[np.void]) -> None:
        self.length_ns = length_ns
        self._clock = StreamClock(length_ns)
        self._changed = np.zeros(len(rows), np.bool_)
        self._events = rows["events"].copy()  # by book, as of the last T

    def split(self, batch: MboBatch) -> Iterator[tuple[MboBatch, int | None]]:
        """The parts of a batch, each with the T of the interval that ended before it, or None."""
        before = self._clock.latest_end_ns
        ends = self._clock.interval_ends(batch.ts_recv, batch.flags)
        previous = np.concatenate([[before], ends[:-1]])
        bounds = np.flatnonzero((ends != previous) & (previous != UNKNOWN_TIME)).tolist()
        starts = bounds if bounds and bounds[0] == 0 else [0, *bounds]
        for start, stop in zip(starts, [*starts[1:], len(ends)], strict=True):
            ended = int(previous[start]) if start in bounds else None
            yield slice_batch(batch, start, stop), ended

    def mark_changed(self, books: NDArray[np.int64], book_count: int) -> None:
        """Record that events of these books ended; `book_count` is the number of all books."""
        self._changed = with_room(self._changed, book_count)
        self._events = with_room(self._events, book_count)
        self._changed[books] = True

    def end_interval(self, rows: NDArray[np.void]) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """Copies of the rows that changed in the interval, and how many events ended in each."""
        books = np.flatnonzero(self._changed)
        changed = rows[books]
        events = changed["events"] - self._events[books]
        self._events[books] = changed["events"]
        self._changed[books] = False
        return changed, events

    @property
    def latest_end_ns(self) -> int:
        """The T of the open interval."""
        return self._clock.latest_end_ns


def depth_frame(  # noqa: PLR0913 - the rows, and what is known of them
    rows: NDArray[np.void],
    events: NDArray[np.int64],
    end_ns: int,
    keys: NDArray[np.int64],
    symbols: Sequence[str | None],
    *,
    complete: bool,
) -> pl.DataFrame:
    """The frame of published rows, by publisher and instrument.

    It has the columns of `depth_schema`, `complete` and `symbol`.

    Args:
        rows: (n,) rows of `protocol.book_dtype(depth)`.
        events: (n,) how many events of each book ended in the interval.
        end_ns: the T of the interval.
        keys: (books,) keys of all books.
        symbols: the symbol of each book at the T, by its number.
        complete: whether the feed covers the whole interval.
    """
    key = keys[rows["book"]]
    order = np.argsort(key)
    rows, events, key = rows[order], events[order], key[order]
    depth = rows["bids"].shape[1]
    columns = {
        "ts": to_datetimes(np.full(len(rows), end_ns, np.int64)),
        "ts_event": to_datetimes(rows["ts_event"].copy()),
        "ts_recv": to_datetimes(rows["ts_recv"].copy()),
        "sequence": rows["sequence"].copy(),
        **key_columns(key),
        "events": events,
    }
    names = iter(level_column_names(depth))
    for level in range(depth):
        for field in ("price", "size", "count"):
            for side in ("bids", "asks"):
                values = np.ascontiguousarray(rows[side][field][:, level])
                columns[next(names)] = null_where(values, values == UNDEF_PRICE)
    frame = pl.DataFrame(columns).select(list(depth_schema(depth)))
    of_rows = [symbols[book] for book in rows["book"].tolist()]
    return frame.with_columns(
        pl.lit(complete).alias(COMPLETE), pl.Series("symbol", of_rows, pl.String)
    )


class DepthSnapshotWriter:
    """Writes snapshots into Parquet files of a directory: depth-000001.parquet and so on.

    A file ends after the time or the rows of the settings; a thread writes it.

    Args:
        directory: the directory; it is made if it does not exist.
        depth: levels of each side.
        settings: the time and the rows of one file.

    Attributes:
        failure: why the writer has given up; None while it works.
    """

    def __init__(
        self, directory: str | Path, depth: int, settings: LiveSettings = LIVE_DEFAULTS
    ) -> None:
        self.failure: str | None = None
        self._settings = settings
        self._directory = Path(directory)
        self._lock = DirectoryLock(self._directory, "stream --snapshots")
        try:
            names = (path.stem.removeprefix("depth-") for path in self._directory.iterdir())
            self._number = max((int(name) for name in names if name.isdecimal()), default=0)
        except OSError as error:
            raise OutputError(f"{directory}: cannot be used: {error.strerror}") from None
        self._columns = pl.Schema({**depth_schema(depth), **COMPLETE_SCHEMA, "symbol": pl.String()})
        self._frames: list[pl.DataFrame] = []
        self._rows = 0
        self._file_end = time.monotonic() + self._settings.snapshot_file_interval_s
        self._thread = ThreadPoolExecutor(1, "batonics-snapshots")
        self._writing: list[Future[None]] = []

    def add(self, frame: pl.DataFrame) -> None:
        """Add rows to the current file."""
        self._frames.append(frame)
        self._rows += frame.height
        is_full = self._rows >= self._settings.snapshot_file_rows_max
        if is_full or time.monotonic() >= self._file_end:
            self._end_file()

    def close(self) -> None:
        """Write the last file."""
        self._end_file()
        self._thread.shutdown(wait=True)
        self._check_results(self._writing)
        self._lock.close()

    def _end_file(self) -> None:
        self._file_end = time.monotonic() + self._settings.snapshot_file_interval_s
        done = [future for future in self._writing if future.done()]
        self._writing = [future for future in self._writing if not future.done()]
        self._check_results(done)
        if self._rows and self.failure is None:
            self._number += 1
            path = self._directory / f"depth-{self._number:06}.parquet"
            self._writing.append(self._thread.submit(self._write, path, self._frames))
        self._frames, self._rows = [], 0

    def _write(self, path: Path, frames: list[pl.DataFrame]) -> None:
        self._lock.check()
        with open_table(path, self._columns, file_format="parquet") as table:
            for frame in frames:
                table.write(frame)

    def _check_results(self, done: list[Future[None]]) -> None:
        for future in done:
            try:
                future.result()
            except (OSError, BatonicsError) as error:
                self.failure = self.failure or str(error)
                logger("live").error("snapshots_failed", reason=str(error))
