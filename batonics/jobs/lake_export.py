"""Rows of a lake as Delta tables, one for each schema, partitioned by date and symbol.

The rule here: a table is what one state of the lake's catalog has, in one commit; and what it has
already is not written again. The rows of a date and symbol are one data file, in the lake's order,
named by the digests of the parts that they come from. So an export after a day was loaded writes
that day, and one after nothing was loaded writes nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import polars as pl

from batonics.frames.schemas.table import Schema, find_schema
from batonics.lake import catalog
from batonics.lake.catalog import Part, RowFilter
from batonics.lake.directory_store import CATALOG_FILE
from batonics.lake.lake import Lake, check_schema, check_symbols, filter_rows, parse_row_filter
from batonics.model.errors import LakeError, OutputError, UsageError
from batonics.sinks.delta import (
    DeltaCommit,
    DeltaOutput,
    DeltaPartition,
    check_delta_target,
    open_delta,
)

DELTA = "delta"
EXPORT_FORMAT = 1
"""Of what is written for the same rows: types, names, partitions."""
_URL = re.compile("^[a-z0-9]+:/")
"""A `Path` that was made of one has one slash only."""


@dataclass(frozen=True)
class ExportRequest:
    """What is to be exported.

    Attributes:
        lake: a lake's directory, or `s3://BUCKET/PREFIX`.
        directory: where the tables go: `DIRECTORY/SCHEMA`.
        schemas: of the lake; none: all of them.
        wanted: only rows of these symbols and times.
        form: of the tables; there is `delta`.
    """

    lake: str
    directory: str
    schemas: tuple[str, ...] = ()
    wanted: RowFilter = field(default_factory=RowFilter)
    form: str = DELTA

    def __post_init__(self) -> None:
        if self.form != DELTA:
            raise UsageError(f"there is no format {self.form!r} of tables; there is {DELTA}")
        if _URL.match(self.directory):
            raise UsageError(f"{self.directory}: an export goes to a directory of this machine")
        if (Path(self.directory) / CATALOG_FILE).exists():
            raise OutputError(f"{self.directory}: is a lake; name another directory")


class ExportResult(NamedTuple):
    """What became of a schema.

    Attributes:
        schema: its name.
        rows: how many were written.
        committed: what the commit has done; None: the table had all of it.
    """

    schema: str
    rows: int = 0
    committed: DeltaCommit | None = None


class PartitionExport(NamedTuple):
    """The parts of a schema that are of one date and symbol, and where their rows go."""

    place: DeltaPartition
    parts: list[Part]


class LakeExport:
    """One run of the job.

    Attributes:
        bytes_total: of the parts that hold what is wanted.
        progress: called with the bytes of parts that are done.

    Raises:
        UsageError: the lake has no such schema or symbol, or deltalake is not installed.
        LakeError: there is no lake.
        OutputError: where a table is to be, there is something else.
    """

    def __init__(self, request: ExportRequest) -> None:
        self.progress: Callable[[int], None] | None = None
        self._directory, self._wanted = Path(request.directory), request.wanted
        self._lake = Lake(request.lake)
        for schema in request.schemas:
            check_schema(self._lake.store, schema)
        check_symbols(self._lake.store, request.wanted.symbols)
        self._parts = self._lake.store.catalog.read(
            lambda connection: {
                schema: catalog.find_parts(schema, request.wanted)(connection)
                for schema in request.schemas or catalog.schemas(connection)
            }
        )
        if not self._parts:
            raise UsageError(f"{self._lake.store.name}: has no schemas to export")
        for schema in self._parts:
            check_delta_target(self._directory / schema)
        self.bytes_total = sum(part.bytes for parts in self._parts.values() for part in parts)

    def run(self) -> Iterator[ExportResult]:
        """Export schema after schema; what became of each.

        Raises:
            LakeError: a part is damaged or missing. OutputError: a table cannot be written. Of
            that schema nothing has changed; those before it are on the disk.
        """
        for schema, parts in self._parts.items():
            yield self._exported(find_schema(schema), parts)

    def _exported(self, schema: Schema, parts: Sequence[Part]) -> ExportResult:
        units = list(_units(parts, self._wanted))
        digest = _digest([EXPORT_FORMAT, str(schema.columns), *(unit.place.key for unit in units)])
        with open_delta(self._directory / schema.name, schema.columns) as output:
            if output.digest == digest:
                output.sync()
                self._advance(parts)
                return ExportResult(schema.name)
            kept = [unit.place.key for unit in units if unit.place.key in output.kept]
            rows = 0
            for unit in units:
                if unit.place.key not in output.kept:
                    rows += self._write(output, schema, unit)
                self._advance(unit.parts)
            return ExportResult(schema.name, rows, output.commit(kept, digest))

    def _write(self, output: DeltaOutput, schema: Schema, unit: PartitionExport) -> int:
        with output.file(unit.place) as file:
            for frame in self._frames(schema, unit.parts):
                file.write(frame)
        return file.rows

    def _frames(self, schema: Schema, parts: Sequence[Part]) -> Iterator[pl.DataFrame]:
        """The rows of a date and symbol that are wanted, as they are read."""
        store = self._lake.store
        store.fetch(parts, self._lake.verifier)
        rows = pl.scan_parquet(
            [store.path(part) for part in parts],
            schema=schema.columns,
            hive_partitioning=False,
            glob=False,
        )
        try:
            date = pl.lit(parts[0].date, pl.String).str.to_date()
            wanted = filter_rows(rows, schema, self._wanted, date)
            yield from wanted.collect_batches(lazy=True, maintain_order=True)
        except OSError as error:
            raise LakeError(f"{store.path(parts[0])}: cannot be read: {error}") from None

    def _advance(self, parts: Sequence[Part]) -> None:
        if self.progress is not None:
            self.progress(sum(part.bytes for part in parts))


def export_lake(  # noqa: PLR0913 - settings, by keyword
    lake: str | Path,
    directory: str | Path,
    *,
    schemas: Sequence[str] = (),
    symbols: str | Sequence[str] = (),
    start: str | int | None = None,
    end: str | int | None = None,
) -> list[ExportResult]:
    """Write rows of a lake as Delta tables, as `batonics lake export` does.

    Args:
        lake: its directory, or `s3://BUCKET/PREFIX`.
        directory: of the tables: `directory/SCHEMA` is one, made anew by one commit if it is not
            what the lake has.
        schemas: of the lake; none: all of them.
        symbols: only of these.
        start: only of times from this on: ISO 8601 (UTC) or nanoseconds.
        end: only of times before this.

    Raises:
        UsageError: the lake has no such schema or symbol, or deltalake is not installed.
        LakeError: there is no lake, or a part is damaged. OutputError: a table cannot be written,
        or there is something else in its place.
    """
    wanted = parse_row_filter(symbols, start, end)
    return list(LakeExport(ExportRequest(str(lake), str(directory), tuple(schemas), wanted)).run())


def _units(parts: Sequence[Part], wanted: RowFilter) -> Iterator[PartitionExport]:
    """Parts, in the lake's order, by date and symbol."""
    bounds = [wanted.start_ns, wanted.end_ns]
    for (date, symbol), group in groupby(parts, key=lambda part: (part.date, part.symbol)):
        held = list(group)
        key = _digest([EXPORT_FORMAT, date, symbol, *bounds, *(part.digest for part in held)])
        # The directory is named as in the lake.
        directory = held[0].path.partition("/")[2].rpartition("/")[0]
        yield PartitionExport(DeltaPartition(key, directory, date, symbol), held)


def _digest(of: Sequence[object]) -> str:
    """So many hex digits that no two that differ have the same."""
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()[:32]
