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
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import polars as pl

from batonics.frames.scan.mbo_scan import SYMBOL
from batonics.frames.schemas.schema import Schema
from batonics.frames.schemas.table import find_schema
from batonics.lake import part_search
from batonics.lake.catalog import CATALOG_FILE
from batonics.lake.catalog_tree import read_schemas
from batonics.lake.lake import Lake
from batonics.lake.part import Part
from batonics.lake.part_paths import symbol_directory
from batonics.lake.part_search import NO_FILTER, RowFilter
from batonics.lake.parts import part_columns
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
        rows: parts of the lake with the rows, and their symbol in each part.
        bytes: the share of the parts' bytes that the rows have.
    """

    partition: DeltaPartition
    rows: list[tuple[Part, str | None]]
    bytes: int


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
                schema: part_search.find_parts(schema, row_filter)(connection)
                for schema in request.schemas or read_schemas(connection)
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
                self._advance(sum(part.bytes for part in parts))
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
                self._advance(export.bytes)
            return ExportResult(schema.name, rows, output.commit(kept_keys, digest))

    def _write(self, output: DeltaOutput, schema: Schema, export: PartitionExport) -> int:
        with output.file(export.partition) as file:
            for part, symbol in export.rows:
                for frame in self._frames(schema, part, symbol):
                    file.write(frame)
        return file.rows

    def _frames(self, schema: Schema, part: Part, symbol: str | None) -> Iterator[pl.DataFrame]:
        """The rows of a part and symbol within the filter, in frames."""
        store = self._lake.store
        store.fetch([part], self._lake.verifier)
        path = store.local_path(part)
        rows = pl.scan_parquet(
            path, schema=part_columns(schema), hive_partitioning=False, glob=False
        )
        try:
            of_symbol = rows.filter(pl.col(SYMBOL).eq_missing(pl.lit(symbol, pl.String)))
            date = pl.lit(part.date, pl.String).str.to_date()
            filtered = filter_rows(of_symbol.drop(SYMBOL), schema, self._row_filter, date)
            yield from filtered.collect_batches(lazy=True, maintain_order=True)
        except (OSError, pl.exceptions.PolarsError) as error:
            self._lake.verifier.check_unchanged(store.local_root, [part])
            reason = str(error).partition("\n")[0]
            raise LakeError(f"{path}: cannot be read: {reason}") from None
        self._lake.verifier.check_unchanged(store.local_root, [part])

    def _advance(self, count: int) -> None:
        if self.progress is not None:
            self.progress(count)


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
    """The rows of each date and symbol, in the order of the lake."""
    bounds = [row_filter.start_ns, row_filter.end_ns]

    groups: dict[tuple[str | None, str | None], list[tuple[Part, str | None]]] = {}
    sizes = Counter[tuple[str | None, str | None]]()
    for part in parts:
        for symbol, stored, _ in part.list_symbols().shown(row_filter.symbols):
            groups.setdefault((part.date, symbol), []).append((part, stored.symbol))
            sizes[part.date, symbol] += part.bytes * stored.rows // part.rows
    for (date, symbol), rows in groups.items():
        sources = [[part.digest, stored] for part, stored in rows]
        digest = _digest([EXPORT_FORMAT, date, symbol, *bounds, *sources])
        partition = DeltaPartition(digest, symbol_directory(date, symbol), date, symbol)
        yield PartitionExport(partition, rows, sizes[date, symbol])


def _digest(values: Sequence[object]) -> str:
    """A digest of values in hex, long enough to be unique."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]
