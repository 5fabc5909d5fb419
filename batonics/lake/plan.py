"""Which files of a lake a query reads, by DuckDB's own planner.

The rule here: the answer may have too many files, never too few.

A query is planned, not run, on views over all files. For each scan the plan has the conditions on
date and symbol by which DuckDB pruned its files, and how many files were left, but not which view
the scan is of. So each planned view has one more file, and a condition on a column of its own that
excludes this file: it is among the conditions of each scan of that view, and identifies it. DuckDB
then applies the conditions to the list of files. If this does not give as many files as the plan
has, all files are read.

The additional file comes first and has no rows. DuckDB learns the columns from the first file, so
that planning opens no part, damaged or not. Its times are TIMESTAMP_NS, so that conditions on times
are in the plan too, and exclude files by the times in the catalog.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from batonics.frames.schemas.table import find_schema
from batonics.lake.connection import FileAccess, connect_duckdb
from batonics.lake.part_paths import HIVE_NULL, abbreviated_symbols, path_symbol
from batonics.lake.views import (
    HIVE_OPTIONS,
    read_parquet_call,
    sql_literal,
    view_name,
    view_statement,
)
from batonics.model.errors import OutputError
from batonics.model.prices import PriceUnit
from batonics.sinks.columnar import arrow_schema


class PlannedFile(NamedTuple):
    """A file on which queries are planned.

    Attributes:
        path: its path, hive-named.
        date: ISO date of its rows; None: no row has a time.
        symbol: symbol of its rows; None: there is none.
        ts_min: least time of its rows, in nanoseconds since the epoch; None: no row has a time.
        ts_max: greatest time of its rows, likewise.
    """

    path: str
    date: str | None
    symbol: str | None
    ts_min: int | None
    ts_max: int | None


class _Scan(NamedTuple):
    """What a plan has about a scan of Parquet files.

    Attributes:
        file_conditions: conditions on date and symbol, one behind the other.
        files: number of files left; -1 if the plan does not have it.
        row_conditions: conditions on the columns of rows.
    """

    file_conditions: str
    files: int
    row_conditions: list[str]


class Planner:
    """Plans queries on a DuckDB of its own, which runs none of them.

    Args:
        directory: directory for empty files. The planned files must be below it too, by way of
            links: DuckDB requires the same NAME=VALUE directories in all paths of a view.
        trusted: queries may name any file.
    """

    def __init__(self, directory: Path, *, trusted: bool = False) -> None:
        self._views: dict[str, tuple[list[str], PriceUnit]] = {}  # paths and unit of each view
        self._directory, self._trusted = directory, trusted
        self._paths: frozenset[str] = frozenset()  # files that the connection can open
        self._opened: duckdb.DuckDBPyConnection | None = None

    def files_read(
        self,
        sql: str,
        parameters: dict[str, object],
        files: Mapping[str, Sequence[PlannedFile]],
        prices: PriceUnit = "fixed",
    ) -> dict[str, set[str]]:
        """The paths of the files that a query reads, by schema.

        Args:
            sql: one SELECT.
            parameters: values of its parameters.
            files: all files of each schema that the query reads.
            prices: the unit of prices in the views.

        Raises:
            duckdb.Error: the query cannot be planned. OutputError: there is no room for the empty
            files.
        """
        paths = [file.path for schema_files in files.values() for file in schema_files]
        paths += [str(self._empty_file(schema)) for schema in files if files[schema]]
        if not self._paths.issuperset(paths):
            self._opened = None
            self._views.clear()
            self._paths = frozenset(paths)
        for schema, schema_files in files.items():
            self._make_view(schema, schema_files, prices)
        scans = self._plan(sql, parameters)
        markers = {schema: _marker(schema) for schema in files}
        if not all(_is_of_a_view(scan, markers.values()) for scan in scans):
            return {schema: {file.path for file in files[schema]} for schema in files}
        return {
            schema: self._files_of_scans(
                schema,
                schema_files,
                [scan for scan in scans if markers[schema] in scan.file_conditions],
            )
            for schema, schema_files in files.items()
        }

    @property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        if self._opened is None:
            access = FileAccess(sorted(self._paths), trusted=self._trusted)
            # Late materialization adds a scan without conditions, which reads rows by number.
            self._opened = connect_duckdb(access, ["disabled_optimizers = 'late_materialization'"])
        return self._opened

    def _make_view(self, schema: str, files: Sequence[PlannedFile], prices: PriceUnit) -> None:
        # Making a view of a thousand files takes as long as planning a query on it.
        paths = [file.path for file in files]
        if self._views.get(schema) != (paths, prices):
            self._connection.execute(self._view_statement(schema, files, prices))
            self._views[schema] = paths, prices

    def _empty_file(self, schema: str) -> Path:
        return self._directory / schema / f"date={HIVE_NULL}" / f"symbol={HIVE_NULL}" / "0"

    def _view_statement(
        self, schema: str, planned: Sequence[PlannedFile], prices: PriceUnit
    ) -> str:
        found = find_schema(schema)
        paths = [file.path for file in planned]
        if not paths:
            return view_statement(found, paths, prices=prices)
        empty = self._empty_file(schema)
        if not empty.exists():
            try:
                empty.parent.mkdir(parents=True)
                pq.write_table(_schema_without_zone(found.lake_columns).empty_table(), empty)
            except OSError as error:
                raise OutputError(f"{empty}: cannot be written: {error}") from None
        marker = _marker(schema)
        files = read_parquet_call([str(empty), *paths], f"filename = '{marker}', {HIVE_OPTIONS}")
        scan = f"(FROM {files} WHERE {marker} <> {sql_literal(str(empty))})"
        return view_statement(
            found,
            paths,
            scan=scan,
            has_zone=False,
            abbreviations=abbreviated_symbols(file.symbol for file in planned),
            prices=prices,
        )

    def _plan(self, sql: str, parameters: dict[str, object]) -> list[_Scan]:
        plan = self._connection.execute(f"EXPLAIN (FORMAT json) {sql}", parameters or None)
        return list(_scans(json.loads(plan.fetchall()[0][1])))

    def _files_of_scans(
        self, schema: str, files: Sequence[PlannedFile], scans: Sequence[_Scan]
    ) -> set[str]:
        """The paths of those files of a schema that its scans read."""
        paths: set[str] = set()
        if not scans or not files:
            return paths  # by the planner, no row of the schema can be in the result
        for scan in scans:
            left = self._apply_file_conditions(schema, files, scan.file_conditions)
            if len(left) != scan.files:
                return {file.path for file in files}
            low, high = self._time_span(schema, scan.row_conditions)
            paths.update(
                file.path
                for file in files
                if file.path in left
                and (file.ts_min is None or file.ts_min <= high)
                and (file.ts_max is None or file.ts_max >= low)
            )
        return paths

    def _apply_file_conditions(
        self, schema: str, files: Sequence[PlannedFile], text: str
    ) -> set[str]:
        """The paths of the files that meet conditions; none if the text is not SQL."""
        marker = _marker(schema)
        # Three lists: inserting a thousand rows one by one takes a third of a second.
        lists = {
            "paths": [file.path for file in files],
            "dates": [file.date for file in files],
            "symbols": [file.symbol and path_symbol(file.symbol) for file in files],
        }
        source = (
            f"(SELECT unnest($paths) AS {marker}, unnest($dates::DATE[]) AS date,"
            " unnest($symbols::VARCHAR[]) AS symbol)"
        )
        where = " AND ".join(split_conditions(text))
        try:
            found = self._connection.execute(f"FROM {source} SELECT {marker} WHERE {where}", lists)
            return {path for (path,) in found.fetchall()}
        except duckdb.Error:
            return set()

    def _time_span(self, schema: str, row_conditions: Sequence[str]) -> tuple[int, int]:
        """The first and last time, in nanoseconds, that rows may have under conditions."""
        low, high = _ALL_TIMES
        names = find_schema(schema).time.meta.root_names()
        if len(names) > 1:
            return low, high
        test = re.compile(rf"{names[0]} (?:IS NOT NULL|(<=|>=|<|>|=) ('[^']+'::TIMESTAMP_NS))")
        for condition in row_conditions:
            tests = [test.fullmatch(term) for term in re.sub(r"[()]", "", condition).split(" AND ")]
            # A plan has one condition for each column; only comparisons joined by AND are used.
            for found in filter(None, tests) if all(tests) else ():
                if found[1] is None:
                    continue
                ts_ns = self._evaluate_ts(found[2])
                if found[1] in {">", ">=", "="}:
                    low = max(low, _ALL_TIMES[0] if ts_ns is None else ts_ns)
                if found[1] in {"<", "<=", "="}:
                    high = min(high, _ALL_TIMES[1] if ts_ns is None else ts_ns)
        return low, high

    def _evaluate_ts(self, literal: str) -> int | None:
        """Nanoseconds of a literal of SQL; None for infinity."""
        try:
            found = self._connection.execute(f"SELECT epoch_ns({literal})").fetchone()
        except duckdb.Error:
            return None
        return found[0] if found else None


_ALL_TIMES = -(2**63), 2**63 - 1


def _schema_without_zone(columns: pl.Schema) -> pa.Schema:
    found = arrow_schema(columns, is_vendor=False)
    return pa.schema(
        field.with_type(pa.timestamp("ns")) if pa.types.is_timestamp(field.type) else field
        for field in found
    )


def _marker(schema: str) -> str:
    """The name of the column that identifies scans of a schema's view."""
    return f"batonics_file_of_{view_name(schema)}_"


def _is_of_a_view(scan: _Scan, markers: Iterable[str]) -> bool:
    return any(marker in scan.file_conditions for marker in markers)


def _scans(plan: Any) -> Iterator[_Scan]:
    """The scans of Parquet files within the nodes of a plan."""
    for node in plan:
        facts = node.get("extra_info", {})
        if facts.get("Function") == "READ_PARQUET":
            files = str(facts.get("Scanning Files", "")).partition("/")[0]
            row_conditions = facts.get("Filters", [])
            yield _Scan(
                str(facts.get("File Filters", "")),
                int(files) if files.isdecimal() else -1,
                [row_conditions] if isinstance(row_conditions, str) else list(row_conditions),
            )
        yield from _scans(node.get("children", []))


def split_conditions(text: str) -> list[str]:
    """The conditions that a plan writes one behind the other: `(a = 1)prefix(b, 'x')`."""
    found, depth, start, quote = [], 0, 0, ""
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
            if depth == 0:
                found.append(text[start : at + 1])
                start = at + 1
    rest = text[start:].strip()
    return [*found, rest] if rest else found
