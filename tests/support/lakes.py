"""Lakes in tests: how one is made, and what it must hold.

The rule here: what a lake must hold is derived anew from the files, without the lake's code.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

import batonics
from batonics.frames.columns.book_state import (
    BOOK_STATUS,
    CROSSED,
    LAKE_STATE_SCHEMA,
    STATUS,
    STATUS_END,
)
from batonics.frames.columns.mbo_frame import TIME_TYPE
from batonics.frames.columns.row_place import POSITION, ROW_PLACE_SCHEMA, SOURCE
from batonics.frames.scan.complete_intervals import COMPLETE
from batonics.frames.scan.row_extras import with_extra
from batonics.frames.scan.sources import pull_frames
from batonics.frames.schemas.schema import Schema
from batonics.frames.schemas.table import find_schema
from batonics.jobs.lake_load import LakeLoad, LoadRequest, LoadResult
from batonics.lake.catalog import LoadedSource, SchemaLoad
from batonics.lake.catalog_tree import make_root, make_row_digest, update_tree
from batonics.lake.commits import commit_load
from batonics.lake.directory_store import DirectoryStore
from batonics.lake.lake import Lake
from batonics.lake.part import PART_COLUMNS, Part
from batonics.lake.parts import PartsWriter
from batonics.sources.input_options import InputOptions

OWN_SCHEMAS = ("depth-1s", "orders", "bbo", "deltas", "states-2")
"""Schemas of which DBN has no record, one of each kind."""


def load(
    lake: Path, *files: Path, schemas: Sequence[str] = ("trades",), **more: Any
) -> list[LoadResult]:
    """Load files as the command does with `--in-this-order`, since tests load a day many times."""
    more.setdefault("options", InputOptions(in_this_order=True))
    return list(
        LakeLoad(LoadRequest(tuple(map(str, files)), str(lake), tuple(schemas), **more)).run()
    )


def reference_rows(files: Path | Sequence[Path], schema: str) -> pl.DataFrame:
    """The rows that a lake must hold of files that are one stream.

    With their place (`frames/columns/row_place.py`), `date` and `symbol`.
    """
    found = find_schema(schema)
    records = batonics.scan_mbo(files)
    rows = with_places(records, found)
    names = records.select("instrument_id", "symbol").unique().collect()
    assert names["instrument_id"].is_unique().all()
    return rows.with_columns(
        found.time.forward_fill().dt.date().alias("date"),
    ).join(names, on="instrument_id", how="left", maintain_order="left")


def with_places(records: pl.LazyFrame, schema: Schema) -> pl.DataFrame:
    """The rows of a schema with `source` and `position`; the records have trusted times.

    Rows with quotes have the state of the book too (`frames/columns/book_state.py`).
    """
    columns = list(schema.columns)
    if schema.has_record_positions:
        rows = pl.concat(pull_frames(schema.rows(records), [*columns, POSITION]))
    else:
        rows = schema.rows(records).collect().with_row_index(POSITION)
    start = records.select(pl.col("ts_recv").drop_nulls().first()).collect().to_series()
    states: list[pl.Series] = []
    if schema.has_quotes:
        extra = (STATUS, CROSSED, BOOK_STATUS)
        # Rows of depth have the time of their closing record too, and extra columns go by it.
        ends_interval = schema.time_is_interval_end and schema.time_column == "ts_recv"
        stated = with_extra(records, schema.rows, extra, ends_interval=ends_interval).collect()
        no_end = pl.Series(STATUS_END, [None], TIME_TYPE).new_from_index(0, rows.height)
        stated = stated.with_columns(no_end)
        states = [stated[name] for name in LAKE_STATE_SCHEMA]
    complete = [] if schema.interval_ns is None else [_complete_rows(records, rows, schema)]
    return rows.select(
        *columns,
        *states,
        *complete,
        start.new_from_index(0, rows.height).alias(SOURCE),
        pl.col(POSITION).cast(ROW_PLACE_SCHEMA[POSITION]),
    )


def _complete_rows(records: pl.LazyFrame, rows: pl.DataFrame, schema: Schema) -> pl.Series:
    """Whether the times of the records, which are trusted, cover the interval of each row."""
    times = records.select(pl.col("ts_recv").drop_nulls()).collect().to_series().to_physical()
    assert schema.interval_ns is not None
    found = []
    for time_ns in rows.select(schema.time).to_series().to_physical().to_list():
        last = time_ns if schema.time_is_interval_end else time_ns + schema.interval_ns - 1
        found.append(times.min() <= last - schema.interval_ns + 1 and last <= times.max())
    return pl.Series(COMPLETE, found, pl.Boolean)


def read_lake(lake: Path, schema: str, **wanted: Any) -> pl.DataFrame:
    """All rows of a schema, through the lake."""
    return Lake(lake).scan(schema, **wanted).collect()


def sort_by_part(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows in the order in which a lake of one load gives them: by date and symbol."""
    return rows.sort("date", "symbol", maintain_order=True)


def parquet_files(lake: Path) -> set[str]:
    """Every Parquet file that lies in a lake's directory, hidden ones included."""
    return {path.relative_to(lake).as_posix() for path in lake.rglob("*.parquet")}


def lake_digest(lake: Path) -> tuple[tuple[str, int, int], ...]:
    """What a lake holds, whatever its files are called: rows of each schema, and a hash of them."""
    opened = Lake(lake)
    found = []
    for schema in opened.schemas():
        rows = opened.scan(schema).collect()
        hashes = rows.hash_rows(seed=1).sort() if rows.width and rows.height else pl.Series([0])
        found.append((schema, rows.height, hash(tuple(hashes.to_list()))))
    return tuple(found)


@contextmanager
def many_parts(rows: int = 2) -> Iterator[None]:
    """Within the block, loads make a part of each few rows, as commits of a live feed do."""

    def write(self: PartsWriter, frame: pl.DataFrame) -> None:
        for piece in frame.iter_slices(rows):
            write_rows(self, piece)
            self.close()

    write_rows = PartsWriter.write
    PartsWriter.write = write  # type: ignore[method-assign]
    try:
        yield
    finally:
        PartsWriter.write = write_rows  # type: ignore[method-assign]


def write_frames(root: Path, schema: str, source: str, frames: Iterable[pl.DataFrame]) -> None:
    """Frames, with `_time` and `symbol`, into a lake, as a load of a source of that name."""
    store = DirectoryStore(root, make=True)
    with store.stage() as staging:
        writer = PartsWriter(find_schema(schema), staging.directory, staging.id)
        for frame in frames:
            writer.write(frame)
        writer.close()
        staging.publish([(path, part.path) for path, part in writer.written])
        load = SchemaLoad(schema, [part for _, part in writer.written])
        store.catalog.commit(commit_load(LoadedSource(source, source, ""), [load], "test"))


def rewrite_digests(connection: sqlite3.Connection) -> None:
    """Make the digests of a catalog fit what it has, as somebody can who changes it on purpose."""
    rows = connection.execute(
        f"SELECT id, {PART_COLUMNS} FROM part WHERE removed_ns IS NULL"
    ).fetchall()
    parts = [Part(*row) for _, *row in rows]
    connection.executemany(
        "UPDATE part SET row_digest = ? WHERE id = ?",
        [(make_row_digest(part), row[0]) for row, part in zip(rows, parts, strict=True)],
    )
    for schema in {part.schema for part in parts}:
        connection.execute(
            "INSERT INTO load (source, schema, version, rows, at_ns, statuses)"
            " SELECT min(id), ?, '', 0, 0, '' FROM source WHERE true"
            " ON CONFLICT (source, schema) DO NOTHING",
            [schema],
        )
    for table in ("root", "schema", "day"):
        connection.execute(f"DELETE FROM {table}")
    make_root(connection)
    update_tree(connection, parts, ())
