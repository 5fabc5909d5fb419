"""Merges small parts of a lake.

The rule here: a merge changes no row, and no order of the rows of a symbol. It joins parts of one
load only, so that a source can still be replaced as a whole. Readers keep the old files until a
vacuum.

Each part is sorted by symbol, so a merge reads each of them once, from its beginning to its end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from sqlite3 import Connection
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from batonics.frames.schemas.table import find_schema
from batonics.lake.commits import Replacement, replace_parts
from batonics.lake.digest import Verifier
from batonics.lake.part import PART_COLUMNS, Part, read_part
from batonics.lake.part_symbols import PartSymbols
from batonics.lake.parts import PartFile, date_to_day, part_columns, part_rows_max
from batonics.lake.row_sort import (
    MERGED_ROWS,
    FrameReader,
    KeyRows,
    RowKey,
    count_rows,
    merge_runs,
)
from batonics.lake.storage import Store, open_store

MERGED_PARTS_MAX = 64
"""Parts that are merged at once: each of them is open."""
COMMIT_BYTES = 1 << 30
"""Size of the parts that one commit replaces: what a killed run has merged in vain."""
_PARTS_BY_LOAD = (
    f"SELECT load, {PART_COLUMNS}"  # noqa: S608 - no input
    " FROM part WHERE removed_ns IS NULL ORDER BY schema, date, load, id"
)


class CompactResult(NamedTuple):
    """The result of merging the parts of a lake.

    Attributes:
        parts_before: number of parts that were merged.
        parts_after: number of parts that they became.
    """

    parts_before: int
    parts_after: int


def compact_lake(lake: str | Path) -> CompactResult:
    """Merge small parts of each load and date whose symbols overlap.

    Args:
        lake: the lake's directory, or `s3://BUCKET/PREFIX`.

    Raises:
        LakeError: there is no lake, or a part is damaged. OutputError: it cannot be written to.
    """
    return LakeCompact(lake).run()


class LakeCompact:
    """One run of the job.

    Args:
        lake: the lake's directory, or `s3://BUCKET/PREFIX`.

    Attributes:
        progress: called with the size of each part once it is merged.
        bytes_total: size of the parts that are merged first; what becomes of them may be merged
            again.

    Raises:
        LakeError: there is no lake, or its catalog is damaged.
    """

    def __init__(self, lake: str | Path) -> None:
        self.progress: Callable[[int], None] | None = None
        self._store, self._verifier = open_store(lake), Verifier()
        self._store.catalog.check()
        self._found = self._store.catalog.read(_find_mergeable)
        self.bytes_total = sum(part.bytes for parts in self._found for part in parts)

    def run(self) -> CompactResult:
        """Merge until no parts are left that can be.

        Raises:
            LakeError: a part is damaged. OutputError: the lake cannot be written to; what was
            committed stays.
        """
        made: dict[str, int] = {}
        """How many parts each part was made of."""
        while self._found:
            merged = [pair for runs in _split_commits(self._found) for pair in self._merge(runs)]
            for parts, path in merged:
                made[path] = sum(made.pop(part.path, 1) for part in parts)
            if not merged:  # other processes replaced the parts meanwhile
                break
            self._found = self._store.catalog.read(_find_mergeable)
        return CompactResult(sum(made.values()), len(made))

    def _merge(self, runs: Sequence[list[Part]]) -> list[tuple[list[Part], str]]:
        """Merge the parts of each run, in one commit; the runs, and the path of what each became.

        A run of which the lake no longer has all parts is not among them.
        """
        store = self._store
        with store.stage() as staging:
            files, replacements = [], []
            for number, parts in enumerate(runs):
                store.fetch(parts, self._verifier)
                file = staging.directory / f"{number:04}.parquet"
                merged = _write_merged(store, parts, file, f"{staging.id}-{number:04}")
                self._verifier.check_unchanged(store.local_root, parts)
                files.append((file, merged.path))
                replacements.append(Replacement([part.path for part in parts], merged))
                if self.progress is not None:
                    self.progress(sum(part.bytes for part in parts))
            staging.publish(files)
            done = store.catalog.commit(replace_parts(replacements))
        pairs = zip(runs, replacements, done, strict=True)
        return [(parts, replacement.part.path) for parts, replacement, is_done in pairs if is_done]


def _split_commits(runs: Sequence[list[Part]]) -> Iterator[list[list[Part]]]:
    """The runs of each commit."""
    waiting: list[list[Part]] = []
    size = 0
    for parts in runs:
        waiting.append(parts)
        size += sum(part.bytes for part in parts)
        if size >= COMMIT_BYTES:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting


def _find_mergeable(connection: Connection) -> list[list[Part]]:
    """Lists of consecutive parts that become one part each."""
    rows = connection.execute(_PARTS_BY_LOAD).fetchall()
    by_load = groupby(((load, read_part(row)) for load, *row in rows), key=_place)
    return [
        run
        for _, group in by_load
        for run in _split_runs([part for _, part in group])
        if len(run) > 1
    ]


def _place(of_load: tuple[int, Part]) -> tuple[object, ...]:
    """What the parts that become one share."""
    load, part = of_load
    return load, part.schema, part.date


def _split_runs(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Consecutive parts whose rows fit into one part, and are not sorted as they are."""
    rows_max = part_rows_max(find_schema(parts[0].schema))
    run: list[Part] = []
    aliases: dict[str | None, tuple[str, ...]] = {}
    for part in parts:
        found = {entry.symbol: entry.aliases for entry in part.list_symbols()}
        fits = sum(earlier.rows for earlier in run) + part.rows <= rows_max
        is_alike = all(aliases.get(name, other) == other for name, other in found.items())
        is_full = len(run) >= MERGED_PARTS_MAX
        if (run and not (fits and is_alike and _overlap(run[-1], part))) or is_full:
            yield run
            run, aliases = [], {}
        run.append(part)
        aliases |= found
    yield run


def _overlap(part: Part, following: Part) -> bool:
    """Whether a part begins before the end of the part before it; a load's own parts do not."""
    first, last = following.first_symbol, part.last_symbol
    return first is None or (last is not None and first <= last)


class _PartRun:
    """The rows of a part, which are sorted.

    Attributes:
        keys: the keys, in order.
    """

    def __init__(self, path: Path, columns: pl.Schema, symbols: PartSymbols) -> None:
        self.keys = [
            KeyRows(RowKey(symbol, json.dumps(aliases)), rows, first, last)
            for symbol, rows, first, last, aliases in symbols
        ]
        self._path, self._columns = path, columns
        self._reader = FrameReader(self._frames())

    def _frames(self) -> Iterator[pl.DataFrame]:
        # Polars would run a query for each part, and they would wait for each other.
        with pq.ParquetFile(self._path) as file:
            for batch in file.iter_batches(MERGED_ROWS, use_threads=False):
                frame = pl.DataFrame(pa.Table.from_batches([batch]))
                yield frame.select(self._columns.names()).cast(self._columns)

    def take(self, rows: int) -> Iterator[pl.DataFrame]:
        """See `Run`."""
        return self._reader.take(rows)


def _write_merged(store: Store, parts: Sequence[Part], file: Path, name: str) -> Part:
    """Merge parts into a file; the part that it becomes, with that name."""
    schema = find_schema(parts[0].schema)
    columns = part_columns(schema)
    runs = [_PartRun(store.local_path(part), columns, part.list_symbols()) for part in parts]
    merged = PartFile(file, schema, date_to_day(parts[0].date), count_rows(runs))
    try:
        for block in merge_runs(runs):
            merged.write(block)
        _, part = merged.close(name)
    except BaseException:
        merged.abandon()
        raise
    return part
