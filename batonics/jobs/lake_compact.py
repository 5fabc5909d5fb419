"""Small parts of the same rows put together.

The rule here: compaction changes no row and no order, and mixes no loads: what a source brought
can still be replaced as one. Readers that have the old files keep them until a vacuum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from sqlite3 import Connection

import polars as pl

from batonics.frames.schemas.table import find_schema
from batonics.lake.catalog import Part, replace_parts
from batonics.lake.digest import Verifier
from batonics.lake.parts import PART_ROWS_MAX, PartFile, PartKey, date_to_day
from batonics.lake.storage import Store, open_store

_QUESTION = (
    "SELECT load, path, schema, date, symbol, digest, bytes, rows, ts_min, ts_max"
    " FROM part WHERE removed_ns IS NULL ORDER BY schema, date, symbol, load, id"
)


def compact_lake(lake: str | Path) -> tuple[int, int]:
    """Put the parts of each load, date and symbol together, up to `ROWS_MAX` rows each.

    Returns:
        How many parts were put together, and how many they became.

    Raises:
        LakeError: there is no lake, or a part is damaged; OutputError: it cannot be written to.
    """
    store, verifier = open_store(lake), Verifier()
    before = after = 0
    for parts in store.catalog.read(_runs):
        store.fetch(parts, verifier)
        with store.loading() as loading:
            made = _together(store, parts, loading.directory, loading.id)
            loading.publish([(made[0], made[1].path)])
            if store.catalog.commit(replace_parts([part.path for part in parts], [made[1]])):
                before, after = before + len(parts), after + 1
    return before, after


def _runs(connection: Connection) -> list[list[Part]]:
    """Parts that follow each other and make one together."""
    rows = connection.execute(_QUESTION).fetchall()
    of_load = groupby(rows, key=lambda row: (row[0], *row[2:5]))
    return [
        run
        for _, group in of_load
        for run in _cut([Part(*row[1:]) for row in group])
        if len(run) > 1
    ]


def _cut(parts: Sequence[Part]) -> Iterator[list[Part]]:
    run: list[Part] = []
    for part in parts:
        if run and sum(held.rows for held in run) + part.rows > PART_ROWS_MAX:
            yield run
            run = []
        run.append(part)
    yield run


def _together(
    store: Store, parts: Sequence[Part], directory: Path, prefix: str
) -> tuple[Path, Part]:
    schema = find_schema(parts[0].schema)
    key = PartKey(date_to_day(parts[0].date), parts[0].symbol)
    made = PartFile(directory / "part.parquet", schema, key)
    try:
        for part in parts:
            rows = pl.scan_parquet(store.path(part), schema=schema.columns, glob=False)
            for frame in rows.collect_batches(lazy=True, maintain_order=True):
                made.write(frame)
            made.span(part.ts_min, part.ts_max)
        return made.close(f"{prefix}-0000")
    except BaseException:
        made.abandon()
        raise
