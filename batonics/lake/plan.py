"""Which files of a lake a query reads, as DuckDB's own planner has it.

The rule here: what is told may be too much, never too little.

The query is planned, not run, on views over all files. A plan tells of each scan the conditions on
date and symbol that pruned its files, and how many were left, but not of which view it is. So each
planned view has one file more, and a condition that leaves it out by a column of the view's own:
that is among the conditions of each of its scans. They are then applied to the list of files by
DuckDB itself. What does not give the number that the plan says is no answer: then all files are
read.

That file comes first and has no rows, for the first is what DuckDB reads to know the columns: no
part of the lake is opened, be it damaged or not here. Its times are TIMESTAMP_NS, so conditions on
them stand in the plan too, and leave out files by what the catalog says of their rows' times.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from batonics.frames.schemas.table import find_schema
from batonics.lake.parts import HIVE_NULL
from batonics.lake.views import (
    HIVE_OPTIONS,
    read_parquet_call,
    sql_literal,
    view_name,
    view_statement,
)
from batonics.model.errors import OutputError
from batonics.sinks.columnar import arrow_schema


class PlannedFile(NamedTuple):
    """A file of a lake: its path, hive-named, and what the catalog says of its rows."""

    path: str
    date: str | None
    symbol: str | None
    ts_min: int | None
    ts_max: int | None


class _Scan(NamedTuple):
    """What a plan says of a scan of Parquet files."""

    conditions: str
    files: int
    of_rows: list[str]  # conditions on columns


class Planner:
    """A DuckDB that plans queries and never runs them.

    Args:
        directory: for empty files. The files of lakes must lie below it too, by way of links:
            DuckDB wants the same NAME=VALUE in all paths of a view.
    """

    def __init__(self, directory: Path) -> None:
        self._views: dict[str, list[str]] = {}
        self._directory = directory
        self._connection = connect_duckdb()
        # It reads rows of a scan again by their number: the second scan has no conditions.
        self._connection.execute("SET disabled_optimizers = 'late_materialization'")

    def files_read(
        self, sql: str, parameters: dict[str, object], files: Mapping[str, Sequence[PlannedFile]]
    ) -> dict[str, set[str]]:
        """By schema, the paths of files that the query reads.

        Args:
            sql: one SELECT.
            parameters: of it.
            files: by schema that it names, all its files.

        Raises:
            duckdb.Error: the query cannot be planned. OutputError: there is no room for its files.
        """
        cursor = self._connection
        for schema, of_schema in files.items():
            paths = [file.path for file in of_schema]
            # To make a view of a thousand files takes as long as to plan a query on it.
            if self._views.get(schema) != paths:
                cursor.execute(self._view(schema, paths))
                self._views[schema] = paths
        plan = cursor.execute(f"EXPLAIN (FORMAT json) {sql}", parameters or None).fetchall()
        scans = list(_scans(json.loads(plan[0][1])))
        markers = {schema: _marker(schema) for schema in files}
        if any(not any(marker in scan.conditions for marker in markers.values()) for scan in scans):
            return {schema: {file.path for file in files[schema]} for schema in files}
        return {
            schema: _read(
                cursor,
                schema,
                of_schema,
                [scan for scan in scans if markers[schema] in scan.conditions],
            )
            for schema, of_schema in files.items()
        }

    def _view(self, schema: str, paths: Sequence[str]) -> str:
        found = find_schema(schema)
        if not paths:
            return view_statement(found, paths)
        empty = self._directory / schema / f"date={HIVE_NULL}" / f"symbol={HIVE_NULL}" / "0"
        if not empty.exists():
            try:
                empty.parent.mkdir(parents=True)
                pq.write_table(_without_zone(found.columns).empty_table(), empty)
            except OSError as error:
                raise OutputError(f"{empty}: cannot be written: {error}") from None
        marker = _marker(schema)
        files = read_parquet_call([str(empty), *paths], f"filename = '{marker}', {HIVE_OPTIONS}")
        scan = f"(FROM {files} WHERE {marker} <> {sql_literal(str(empty))})"
        return view_statement(found, paths, scan=scan, has_zone=False)


def _without_zone(columns: pl.Schema) -> pa.Schema:
    found = arrow_schema(columns, is_vendor=False)
    return pa.schema(
        field.with_type(pa.timestamp("ns")) if pa.types.is_timestamp(field.type) else field
        for field in found
    )


def connect_duckdb() -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory, with its time in UTC and no reading of Python's variables."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET python_enable_replacements = false")
    # DuckDB takes few books for few rows, and would look for each trade in all quotes.
    connection.execute("SET asof_loop_join_threshold = 0")
    return connection


def _marker(schema: str) -> str:
    return f"batonics_file_of_{view_name(schema)}_"


def _scans(plan: Any) -> Iterator[_Scan]:
    for node in plan:
        facts = node.get("extra_info", {})
        if facts.get("Function") == "READ_PARQUET":
            left = str(facts.get("Scanning Files", "")).partition("/")[0]
            of_rows = facts.get("Filters", [])
            yield _Scan(
                str(facts.get("File Filters", "")),
                int(left) if left.isdecimal() else -1,
                [of_rows] if isinstance(of_rows, str) else list(of_rows),
            )
        yield from _scans(node.get("children", []))


def _read(
    cursor: duckdb.DuckDBPyConnection,
    schema: str,
    files: Sequence[PlannedFile],
    scans: Sequence[_Scan],
) -> set[str]:
    """The paths of a schema's files that its scans read."""
    read: set[str] = set()
    if not scans or not files:
        return read  # the planner has found that no row of them can be in the answer
    marker = _marker(schema)
    # As three lists: a thousand rows that are inserted one by one take a third of a second.
    listed = {
        "paths": [file.path for file in files],
        "dates": [file.date for file in files],
        "symbols": [file.symbol for file in files],
    }
    source = (
        f"(SELECT unnest($paths) AS {marker}, unnest($dates::DATE[]) AS date,"
        " unnest($symbols::VARCHAR[]) AS symbol)"
    )
    for scan in scans:
        where = " AND ".join(conditions(scan.conditions))
        try:
            found = cursor.execute(f"FROM {source} SELECT {marker} WHERE {where}", listed)
            named = {path for (path,) in found.fetchall()}
        except duckdb.Error:
            named = set()  # not all that a plan says is SQL
        if len(named) != scan.files:
            return {file.path for file in files}
        low, high = _span(cursor, schema, scan.of_rows)
        read.update(
            file.path
            for file in files
            if file.path in named
            and (file.ts_min is None or file.ts_min <= high)
            and (file.ts_max is None or file.ts_max >= low)
        )
    return read


_ALWAYS = -(2**63), 2**63 - 1


def _span(
    cursor: duckdb.DuckDBPyConnection, schema: str, of_rows: Sequence[str]
) -> tuple[int, int]:
    """The first and last time, in nanoseconds, that rows may have under such conditions."""
    low, high = _ALWAYS
    names = find_schema(schema).time.meta.root_names()
    if len(names) > 1:
        return low, high
    test = re.compile(rf"{names[0]} (?:IS NOT NULL|(<=|>=|<|>|=) ('[^']+'::TIMESTAMP_NS))")
    for condition in of_rows:
        tests = [test.fullmatch(each) for each in re.sub(r"[()]", "", condition).split(" AND ")]
        # A plan has one condition a column; one that is not just comparisons and AND says nothing.
        for found in filter(None, tests) if all(tests) else ():
            if found[1] is None:
                continue
            ts_ns = _ts_ns(cursor, found[2])
            if found[1] in {">", ">=", "="}:
                low = max(low, _ALWAYS[0] if ts_ns is None else ts_ns)
            if found[1] in {"<", "<=", "="}:
                high = min(high, _ALWAYS[1] if ts_ns is None else ts_ns)
    return low, high


def _ts_ns(cursor: duckdb.DuckDBPyConnection, literal: str) -> int | None:
    try:
        found = cursor.execute(f"SELECT epoch_ns({literal})").fetchone()
    except duckdb.Error:
        return None  # infinity
    return found[0] if found else None


def conditions(text: str) -> list[str]:
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
