"""Sorts rows by symbol, however many there are: runs in files, which are merged.

The rule here: the sort is stable, so that the rows of a symbol stay in the order of the stream; and
memory does not grow with the rows.

Rows wait in memory up to a limit, and are then written to a file as a sorted *run*, while the next
rows are derived. The keys of a run tell how many rows it has of each symbol. So the merge knows
which rows come next without comparing any: it takes the rows of the next few symbols from each run,
in the order of the runs, and each run is read once from its beginning to its end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import polars as pl
import pyarrow as pa

from batonics.frames.scan.mbo_scan import SYMBOL
from batonics.frames.schemas.row_keys import ALIASES, ROW_TIME
from batonics.lake.part import NO_ALIASES
from batonics.model.errors import OutputError
from batonics.model.times import enclosing_span
from batonics.sinks.columnar import open_file_stream

MERGED_ROWS = 65_536
"""Rows that are merged at once."""
RUN_BATCH_BYTES = 1 << 20
"""Size of the pieces of a run: what is in memory of each run while runs are merged."""


class RowKey(NamedTuple):
    """What rows are sorted by.

    Attributes:
        symbol: symbol; None, which comes first: there is none.
        aliases: their other symbols, as a JSON array.
    """

    symbol: str | None
    aliases: str = NO_ALIASES

    @property
    def order(self) -> tuple[bool, str, str]:
        """What is compared."""
        return self.symbol is not None, self.symbol or "", self.aliases


class KeyRows(NamedTuple):
    """Rows of a key that follow each other.

    Attributes:
        key: their key.
        rows: number of rows.
        ts_min: their least time, in nanoseconds since the epoch; None: none has a time.
        ts_max: their greatest time, likewise.
    """

    key: RowKey
    rows: int
    ts_min: int | None
    ts_max: int | None


class SortedBlock(NamedTuple):
    """Sorted rows, behind those of the block before.

    Attributes:
        keys: the keys of the rows, one behind the other.
        frame: the rows.
    """

    keys: list[KeyRows]
    frame: pl.DataFrame


class Run(Protocol):
    """Sorted rows that are read once."""

    @property
    def keys(self) -> Sequence[KeyRows]:
        """The keys of the rows, in order."""

    def take(self, rows: int) -> Iterator[pl.DataFrame]:
        """The next rows, in frames of at most `MERGED_ROWS`."""


class RowSorter:
    """Sorts rows with `_time`, `symbol` and perhaps `_aliases`.

    Args:
        directory: directory for files of runs; it is removed later with all of them.
        name: beginning of the names of these files.

    Attributes:
        bytes_in_memory: size of the rows that wait in memory.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.bytes_in_memory = 0
        self._directory, self._name = directory, name
        self._frames: list[pl.DataFrame] = []
        self._runs: list[FileRun] = []

    def add(self, frame: pl.DataFrame) -> None:
        """Take rows, which come after those before."""
        if ALIASES not in frame.columns:
            frame = frame.with_columns(pl.lit(NO_ALIASES).alias(ALIASES))
        self._frames.append(frame)
        self.bytes_in_memory += int(frame.estimated_size())

    def write_run(self) -> int:
        """Write the rows that wait in memory to a file; return its size.

        Raises:
            OutputError: there is no room for it.
        """
        if not self._frames:
            return 0
        path = self._directory / f"{self._name}-run-{len(self._runs):04}"
        self._runs.append(FileRun.write(path, self._sort_frames()))
        return path.stat().st_size

    def finish(self) -> tuple[Counter[RowKey], Iterator[SortedBlock]]:
        """How many rows each key has, and all rows, sorted; they can be read once."""
        runs: list[Run] = [*self._runs]
        if self._frames:
            runs.append(self._sort_frames())
        return count_rows(runs), merge_runs(runs)

    def close(self) -> None:
        """Remove the files of runs."""
        for run in self._runs:
            run.close()
        self._runs.clear()

    def _sort_frames(self) -> MemoryRun:
        frames, self._frames = self._frames, []
        self.bytes_in_memory = 0
        return MemoryRun(pl.concat(frames, rechunk=True, how="vertical"))


class MemoryRun:
    """Rows in memory, which are sorted by their row numbers.

    Args:
        rows: the rows, with `_time`, `symbol` and `_aliases`.

    Attributes:
        keys: the keys, in order.
        rows: the argument.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        number = pl.int_range(pl.len(), dtype=pl.UInt32).alias("row")
        groups = (
            rows.lazy()
            .select(SYMBOL, ALIASES, ROW_TIME, number)
            .group_by(SYMBOL, ALIASES)
            .agg("row", pl.min(ROW_TIME).alias("first"), pl.max(ROW_TIME).alias("last"))
            .collect()
        )
        # Python and Polars sort texts alike, by code points.
        groups = groups.sort(SYMBOL, ALIASES, nulls_last=False)
        columns = groups.select(SYMBOL, ALIASES, pl.col("row").list.len(), "first", "last")
        self.keys = [
            KeyRows(RowKey(symbol, aliases), *facts) for symbol, aliases, *facts in columns.rows()
        ]
        self.rows, self._place = rows, 0
        self._order = groups["row"].explode()

    def take(self, rows: int) -> Iterator[pl.DataFrame]:
        """See `Run`."""
        for piece in _pieces(rows, MERGED_ROWS):
            order = self._order.slice(self._place, piece)
            self._place += piece
            yield self.rows[order]


class FrameReader:
    """Cuts the frames of a sorted source into the pieces that a merge asks for.

    Args:
        frames: the frames, in order.
    """

    def __init__(self, frames: Iterator[pl.DataFrame]) -> None:
        self._frames = frames
        self._rest: pl.DataFrame | None = None

    def take(self, rows: int) -> Iterator[pl.DataFrame]:
        """See `Run`."""
        while rows:
            frame = next(self._frames) if self._rest is None else self._rest
            piece, self._rest = frame, None
            if frame.height > rows:
                piece, self._rest = frame[:rows], frame[rows:]
            rows -= piece.height
            yield piece


class FileRun:
    """A run in a file of Arrow's stream format.

    Attributes:
        keys: the keys, in order.
    """

    def __init__(self, path: Path, schema: pl.Schema, keys: Sequence[KeyRows]) -> None:
        self.keys = keys
        self._path, self._schema = path, schema
        self._file: Any = None
        self._reader = FrameReader(self._frames())

    @classmethod
    def write(cls, path: Path, run: MemoryRun) -> FileRun:
        """Write a run to a file.

        Raises:
            OutputError: there is no room for it.
        """
        row_bytes = 1 + int(run.rows.estimated_size()) // run.rows.height
        batch_rows = max(1_024, RUN_BATCH_BYTES // row_bytes)
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        arrow_schema = _to_arrow(run.rows[:0]).schema
        try:
            with (
                open_file_stream(path) as stream,
                pa.ipc.new_stream(stream, arrow_schema, options=options) as writer,
            ):
                for frame in run.take(run.rows.height):
                    writer.write_table(_to_arrow(frame), max_chunksize=batch_rows)
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be written: {error.strerror or error}; sorting the rows by symbol"
                " needs room for them here"
            ) from None
        return cls(path, run.rows.schema, run.keys)

    def take(self, rows: int) -> Iterator[pl.DataFrame]:
        """See `Run`."""
        return self._reader.take(rows)

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()
        self._path.unlink(missing_ok=True)

    def _frames(self) -> Iterator[pl.DataFrame]:
        self._file = pa.OSFile(str(self._path))
        with pa.ipc.open_stream(self._file) as batches:
            for batch in batches:
                yield pl.DataFrame(pa.Table.from_batches([batch])).cast(self._schema)


def count_rows(runs: Sequence[Run]) -> Counter[RowKey]:
    """How many rows all runs have of each key."""
    totals = Counter[RowKey]()
    for run in runs:
        totals.update({found.key: found.rows for found in run.keys})
    return totals


def merge_runs(runs: Sequence[Run]) -> Iterator[SortedBlock]:
    """The rows of all runs, sorted; those of one key in the order of the runs."""
    where: dict[RowKey, list[tuple[int, KeyRows]]] = {}
    for number, run in enumerate(runs):
        for found in run.keys:
            where.setdefault(found.key, []).append((number, found))
    waiting: list[list[tuple[int, KeyRows]]] = []
    rows_waiting = 0
    for key in sorted(where, key=lambda key: key.order):
        rows = sum(found.rows for _, found in where[key])
        if waiting and rows_waiting + rows > MERGED_ROWS:
            yield _merge_keys(runs, waiting)
            waiting, rows_waiting = [], 0
        if rows > MERGED_ROWS:
            for number, found in where[key]:
                for frame in runs[number].take(found.rows):
                    yield SortedBlock([_piece_rows(found, frame)], frame)
            continue
        waiting.append(where[key])
        rows_waiting += rows
    if waiting:
        yield _merge_keys(runs, waiting)


def _merge_keys(runs: Sequence[Run], keys: Sequence[Sequence[tuple[int, KeyRows]]]) -> SortedBlock:
    """The next rows of all runs: those of some keys, which are next in each run."""
    counts = np.zeros((len(runs), len(keys)), np.int64)
    for place, parts in enumerate(keys):
        for number, found in parts:
            counts[number, place] = found.rows
    numbers: list[int] = np.flatnonzero(counts.any(axis=1)).tolist()
    frames = [frame for run in numbers for frame in runs[run].take(int(counts[run].sum()))]
    frame = pl.concat(frames, rechunk=True)
    if len(numbers) > 1:
        places = np.arange(len(keys), dtype=np.uint16)  # numpy sorts 16 bits by radix
        ranks = np.concatenate([np.repeat(places, counts[run]) for run in numbers])
        frame = frame[np.argsort(ranks, kind="stable")]
    return SortedBlock([_join_rows([found for _, found in parts]) for parts in keys], frame)


def _piece_rows(found: KeyRows, frame: pl.DataFrame) -> KeyRows:
    """The rows of a frame, which are some of those of a key."""
    if ROW_TIME not in frame.columns:
        return found._replace(rows=frame.height)
    times = frame[ROW_TIME]
    return KeyRows(found.key, frame.height, _integer(times.min()), _integer(times.max()))


def _join_rows(parts: Sequence[KeyRows]) -> KeyRows:
    """The rows of one key in several runs."""
    rows = sum(part.rows for part in parts)
    return KeyRows(
        parts[0].key, rows, *enclosing_span((part.ts_min, part.ts_max) for part in parts)
    )


def _pieces(rows: int, limit: int) -> Iterator[int]:
    while rows > 0:
        yield min(rows, limit)
        rows -= limit


def _to_arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None
