"""Exports rows of a lake as Delta tables, one for each schema, partitioned by date and symbol.

The rule here: one commit makes a table equal to one state of the lake's catalog, and files that the
table has already are not written again. The rows of a date and symbol are one data file, in the
order of the lake, whose name derives from the digests of their parts. So an export after a day was
loaded writes that day, and an export after nothing was loaded writes nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import polars as pl

from batonics.frames.schemas.schema import Schema
from batonics.frames.schemas.table import find_schema
from batonics.lake import catalog
from batonics.lake.catalog import CATALOG_FILE, NO_FILTER, Part, RowFilter
from batonics.lake.lake import Lake
from batonics.lake.part_paths import part_directory
from batonics.lake.row_filters import (
    check_row_filter,
    check_schema,
    filter_rows,
    find_alias_note,
    parse_row_filter,
)
from batonics.model.arguments import SchemaNames, SymbolNames, check_arguments
from batonics.model.errors import DataWarning, LakeError, OutputError, UsageError
from batonics.model.times import Time
from batonics.sinks.atomic import WRITTEN, add_output
from batonics.sinks.delta import (
    DeltaCommit,
    DeltaOutput,
    DeltaPartition,
    check_delta_target,
    open_delta,
)

DELTA = "delta"
EXPORT_FORMAT = 1
"""Version of the types, names and partitions that are written for rows."""
_URL = re.compile("^[a-z0-9]+:/")
"""The beginning of a URL. A `Path` made of a URL has one slash only."""


@dataclass(frozen=True)
class ExportRequest:
    """What to export.

    Attributes:
        lake: a lake's directory, or `s3://BUCKET/PREFIX`.
        directory: parent directory of the tables: `DIRECTORY/SCHEMA`.
        schemas: names of schemas; empty: all schemas of the lake.
        row_filter: only these rows are exported.
        table_format: format of the tables: `delta`.
    """

    lake: str
    directory: str
    schemas: tuple[str, ...] = ()
    row_filter: RowFilter = NO_FILTER
    table_format: str = DELTA

    def __post_init__(self) -> None:
        if self.table_format != DELTA:
            raise UsageError(
                f"there is no format {self.table_format!r} of tables; there is {DELTA}"
            )
        if _URL.match(self.directory):
            raise UsageError(f"{self.directory}: an export goes to a directory of this machine")
        if (Path(self.directory) / CATALOG_FILE).exists():
            raise OutputError(f"{self.directory}: is a lake; name another directory")


class ExportResult(NamedTuple):
    """The result of exporting a schema.

    Attributes:
        schema: name of the schema.
        rows: number of rows that were written.
        commit: the commit; None: the table was up to date.
    """

    schema: str
    rows: int = 0
    commit: DeltaCommit | None = None


class PartitionExport(NamedTuple):
    """The export of one date and symbol of a schema.

    Attributes:
        partition: partition of the table for the rows.
        parts: parts of the lake with the rows.
    """

    partition: DeltaPartition
    parts: list[Part]


class LakeExport:
    """One run of the job.

    Attributes:
        bytes_total: size of all parts to read.
        progress: called with the size of parts once they are done.

    Raises:
        UsageError: the lake has no such schema or symbol, or deltalake is not installed.
        LakeError: there is no lake.
        OutputError: the directory of a table has something else.
    """

    def __init__(self, request: ExportRequest) -> None:
        self.progress: Callable[[int], None] | None = None
        self._directory, self._row_filter = Path(request.directory), request.row_filter
        self._lake = Lake(request.lake)
        for schema in request.schemas:
            check_schema(self._lake.store, schema)
        row_filter = request.row_filter
        check_row_filter(self._lake.store, row_filter)
        self._parts = self._lake.store.catalog.read(
            lambda connection: {
                schema: catalog.find_parts(schema, row_filter)(connection)
                for schema in request.schemas or catalog.loaded_schemas(connection)
            }
        )
        if not self._parts:
            raise UsageError(f"{self._lake.store.name}: has no schemas to export")
        for schema in self._parts:
            check_delta_target(self._directory / schema)
        notes = (find_alias_note(parts, row_filter.symbols) for parts in self._parts.values())
        if note := next(filter(None, notes), ""):
            warnings.warn(note, DataWarning, stacklevel=2)
        self.bytes_total = sum(part.bytes for parts in self._parts.values() for part in parts)

    def run(self) -> Iterator[ExportResult]:
        """Export one schema after the other; a result is yielded once its table is committed.

        Raises:
            LakeError: a part is damaged or missing. OutputError: a table cannot be written. The
            table of that schema is unchanged; those before it are committed.
        """
        for schema, parts in self._parts.items():
            output = add_output(str(self._directory / schema))
            result = self._export_schema(find_schema(schema), parts)
            output.result = None if result.commit is None else WRITTEN
            yield result

    def _export_schema(self, schema: Schema, parts: Sequence[Part]) -> ExportResult:
        partitions = list(_partition_exports(parts, self._row_filter))
        digest = _digest(
            [
                EXPORT_FORMAT,
                str(schema.lake_columns),
                *(export.partition.key for export in partitions),
            ]
        )
        with open_delta(self._directory / schema.name, schema.lake_columns) as output:
            if output.digest == digest:
                output.sync()
                self._advance(parts)
                return ExportResult(schema.name)
            kept_keys = [
                export.partition.key
                for export in partitions
                if export.partition.key in output.reusable_keys
            ]
            rows = 0
            for export in partitions:
                if export.partition.key not in output.reusable_keys:
                    rows += self._write(output, schema, export)
                self._advance(export.parts)
            return ExportResult(schema.name, rows, output.commit(kept_keys, digest))

    def _write(self, output: DeltaOutput, schema: Schema, export: PartitionExport) -> int:
        with output.file(export.partition) as file:
            for frame in self._frames(schema, export.parts):
                file.write(frame)
        return file.rows

    def _frames(self, schema: Schema, parts: Sequence[Part]) -> Iterator[pl.DataFrame]:
        """The rows of a date and symbol within the filter, in frames."""
        store = self._lake.store
        store.fetch(parts, self._lake.verifier)
        rows = pl.scan_parquet(
            [store.local_path(part) for part in parts],
            schema=schema.lake_columns,
            hive_partitioning=False,
            glob=False,
        )
        try:
            date = pl.lit(parts[0].date, pl.String).str.to_date()
            filtered = filter_rows(rows, schema, self._row_filter, date)
            yield from filtered.collect_batches(lazy=True, maintain_order=True)
        except (OSError, pl.exceptions.PolarsError) as error:
            self._lake.verifier.check_unchanged(store.local_root, parts)
            reason = str(error).partition("\n")[0]
            raise LakeError(f"{store.local_path(parts[0])}: cannot be read: {reason}") from None
        self._lake.verifier.check_unchanged(store.local_root, parts)

    def _advance(self, parts: Sequence[Part]) -> None:
        if self.progress is not None:
            self.progress(sum(part.bytes for part in parts))


@check_arguments
def export_lake(  # noqa: PLR0913 - settings, by keyword
    lake: str | PathLike[str],
    directory: str | PathLike[str],
    *,
    schemas: SchemaNames = (),
    symbols: SymbolNames = (),
    start: Time | None = None,
    end: Time | None = None,
) -> list[ExportResult]:
    """Write rows of a lake as Delta tables, as `batonics lake export` does.

    Args:
        lake: its directory, or `s3://BUCKET/PREFIX`.
        directory: parent directory of the tables. One commit makes `directory/SCHEMA` equal to
            the lake, unless it is so already.
        schemas: names of schemas; empty: all schemas of the lake.
        symbols: only rows of these symbols.
        start: only rows from this time on: ISO 8601 (UTC) or nanoseconds.
        end: only rows before this time.

    Raises:
        UsageError: the lake has no such schema or symbol, or deltalake is not installed.
        LakeError: there is no lake, or a part is damaged. OutputError: a table cannot be written,
        or its directory has something else.
    """
    row_filter = parse_row_filter(symbols, start, end)
    request = ExportRequest(str(lake), str(directory), tuple(schemas), row_filter)
    return list(LakeExport(request).run())


def _partition_exports(parts: Sequence[Part], row_filter: RowFilter) -> Iterator[PartitionExport]:
    """The parts of each date and symbol, in the order of the lake."""
    bounds = [row_filter.start_ns, row_filter.end_ns]

    groups: dict[tuple[str | None, str | None], list[Part]] = {}
    for part in parts:
        key = part.date, part.symbol_among(row_filter.symbols)
        groups.setdefault(key, []).append(part)
    for (date, symbol), same_key in groups.items():
        digest = _digest(
            [EXPORT_FORMAT, date, symbol, *bounds, *(part.digest for part in same_key)]
        )
        # The directory is named as in the lake.
        directory = part_directory(same_key[0].schema, date, symbol)
        directory = directory.partition("/")[2]
        yield PartitionExport(DeltaPartition(digest, directory, date, symbol), same_key)


def _digest(values: Sequence[object]) -> str:
    """A digest of values in hex, long enough to be unique."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]
