"""Merges small parts of a lake.

The rule here: a merge changes no row and no order, and joins parts of one load only, so that a
source can still be replaced as a whole. Readers keep the old files until a vacuum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from sqlite3 import Connection
from typing import NamedTuple

import polars as pl

from batonics.frames.schemas.table import find_schema
from batonics.lake.catalog import PART_COLUMNS, Part, read_part
from batonics.lake.commits import replace_parts
from batonics.lake.digest import Verifier
from batonics.lake.parts import PART_ROWS_MAX, PartFile, PartKey, date_to_day
from batonics.lake.storage import Store, open_store

_PARTS_BY_LOAD = (
    f"SELECT load, {PART_COLUMNS}"  # noqa: S608 - no input
    " FROM part WHERE removed_ns IS NULL ORDER BY schema, date, symbol, load, id"
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
    """Merge the parts of each load, date and symbol, up to `PART_ROWS_MAX` rows each.

    Args:
        lake: the lake's directory, or `s3://BUCKET/PREFIX`.

    Raises:
        LakeError: there is no lake, or a part is damaged. OutputError: it cannot be written to.
    """
    store, verifier = open_store(lake), Verifier()
    before = after = 0
    for parts in store.catalog.read(_find_mergeable):
        store.fetch(parts, verifier)
        with store.stage() as staging:
            file, merged = _merge(store, parts, staging.directory, staging.id)
            verifier.check_unchanged(store.local_root, parts)
            staging.publish([(file, merged.path)])
            if store.catalog.commit(replace_parts([part.path for part in parts], [merged])):
                before, after = before + len(parts), after + 1
    return CompactResult(before, after)


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
    return load, part.schema, part.date, part.symbol, part.aliases


def _split_runs(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Consecutive parts with at most `PART_ROWS_MAX` rows in all."""
    run: list[Part] = []
    for part in parts:
        if run and sum(earlier.rows for earlier in run) + part.rows > PART_ROWS_MAX:
            yield run
            run = []
        run.append(part)
    yield run


def _merge(store: Store, parts: Sequence[Part], directory: Path, prefix: str) -> tuple[Path, Part]:
    schema = find_schema(parts[0].schema)
    key = PartKey(date_to_day(parts[0].date), parts[0].symbol, parts[0].aliases)
    merged = PartFile(directory / "part.parquet", schema, key)
    try:
        for part in parts:
            rows = pl.scan_parquet(store.local_path(part), schema=schema.lake_columns, glob=False)
            for frame in rows.collect_batches(lazy=True, maintain_order=True):
                merged.write(frame)
            merged.extend_times(part.ts_min, part.ts_max)
        return merged.close(f"{prefix}-0000")
    except BaseException:
        merged.abandon()
        raise
