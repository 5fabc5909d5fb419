"""SQL over a lake, by DuckDB: a view for each schema, over files that were verified.

The rule here: a query reads one state of the catalog, and DuckDB opens no file before its bytes
were verified. It can open no other files than parts of the schemas that the query names
(`connection.py`), unless the query is trusted. After the last row the files are looked at again: a
part that has changed meanwhile is an error.

A query goes this way: the text names views, hence schemas; its plan tells which dates, symbols and
times it asks for (`plan.py`); the catalog has the parts of these (`view_files.py`); they are
fetched and verified; views are made over them (`views.py`); the query runs on the views
(`query_result.py`).

Views have the schema's columns, their place in the stream (`source`, `position`), `date` (DATE,
UTC) and `symbol` (VARCHAR). Their names have `_` for `-`: `mbp_10`. Times are TIMESTAMP_NS in UTC,
since DuckDB has few functions for TIMESTAMPTZ_NS; enums are text. `lineage.py` tells which times of
a result are still in UTC.

Prices have the unit that is asked for (`views.py`). A query with a header computes with integers of
1e-9 whatever the unit; the columns that the header declares are converted.

Views with quotes have the state of the book too, and `is_open`, whether averages count the row
(`frames/columns/book_state.py`, `views.py`).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import NamedTuple

import duckdb

from batonics.frames.columns.book_state import BOOK_STATUS, check_include
from batonics.frames.scan.complete_intervals import COMPLETE
from batonics.frames.schemas.table import find_schema
from batonics.lake.catalog_tree import read_schemas
from batonics.lake.connection import (
    FileAccess,
    QueryLimits,
    binding_connection,
    connect_duckdb,
    sql_errors,
)
from batonics.lake.coverage import (
    SourceCoverage,
    describe_coverage,
    find_lake_holes,
    read_coverage,
    replace_coverage,
)
from batonics.lake.digest import Verifier
from batonics.lake.lineage import find_lineage
from batonics.lake.part import Part
from batonics.lake.part_search import NO_FILTER, RowFilter, find_time_span
from batonics.lake.query_file import QueryFile
from batonics.lake.query_result import QueryResult, check_after_error, join_notes
from batonics.lake.row_filters import check_row_filter
from batonics.lake.select_check import check_select
from batonics.lake.session_spans import replace_sessions
from batonics.lake.sql_tokens import without_comments, without_tokens
from batonics.lake.storage import Store, open_store
from batonics.lake.unit_notes import UNIT_NOTE, number_note, undeclared_note, unfollowed_note
from batonics.lake.view_files import ChosenParts, PartsBySchema, ViewFiles
from batonics.lake.views import view_name, view_statement
from batonics.model.answers import AnswerWarning
from batonics.model.coverage import describe_holes
from batonics.model.prices import PriceUnit
from batonics.model.times import enclosing_span, format_time

_ASOF = re.compile(r"\basof\b", re.IGNORECASE)
"""A join for which symbols become an ENUM. DuckDB 2.0 loses rows of an ASOF join by date and symbol
alone, if one is VARCHAR; with ENUM it keeps all rows, and is faster."""
TRUSTED_NOTE = "the query was trusted: it could read any file and URL, not the lake alone"


class _AskedUnit(NamedTuple):
    """The unit of prices that is asked for.

    Attributes:
        prices: the unit.
        is_default: nobody asked for it.
        has_header: the header of the query declares its prices.
    """

    prices: PriceUnit
    is_default: bool
    has_header: bool


class _PlannedQuery(NamedTuple):
    """What is known of a query before it runs.

    Attributes:
        values: values of its parameters.
        instants: whether each column of the result is a time in UTC; empty: not known.
        prices: the unit of prices in the result.
        view_prices: the unit of prices in the views.
        chosen: the parts that it reads.
        note: what a user has to know of the result; empty: nothing.
    """

    values: Mapping[str, object]
    instants: Sequence[bool]
    prices: PriceUnit
    view_prices: PriceUnit
    chosen: ChosenParts
    note: str


class LakeDatabase:
    """A DuckDB in which the schemas of a lake are views.

    Args:
        store: the lake.
        verifier: verifies its files, and knows those that are verified.
        row_filter: the views have only these rows.
        include: what `is_open` of the views counts as open too (`views.py`).
        trusted: queries may read any file and URL.
        limits: what a query may take of the machine; None: all of it, and temporary files.

    Attributes:
        files_read: how many parts the last query was given.
    """

    def __init__(  # noqa: PLR0913 - settings, by keyword
        self,
        store: Store,
        verifier: Verifier,
        row_filter: RowFilter = NO_FILTER,
        include: Collection[str] = (),
        *,
        trusted: bool = False,
        limits: QueryLimits | None = None,
    ) -> None:
        check_include(include)
        self._include, self._trusted, self._limits = include, trusted, limits
        self.files_read = 0
        self._store, self._verifier, self._row_filter = store, verifier, row_filter
        self._files = ViewFiles(store, row_filter, trusted=trusted)

    def query(  # noqa: PLR0913 - settings, by keyword
        self,
        sql: str,
        parameters: Mapping[str, object] | None = None,
        *,
        header: QueryFile | None = None,
        prices: PriceUnit = "fixed",
        is_default: bool = False,
        tz: str = "UTC",
    ) -> QueryResult:
        """Run one SELECT.

        Args:
            sql: the statement.
            parameters: value of each `$name` in it.
            header: the query, whose header may declare the columns of its result.
            prices: the unit of prices.
            is_default: nobody asked for this unit. A query whose rows depend on the unit then has
                prices of 1e-9, and its result has a note.
            tz: the time zone of the result's times in UTC.

        Raises:
            UsageError: DuckDB refuses the statement; the message is DuckDB's. LakeError: a file is
            damaged or missing.
        """
        with sql_errors():
            trusted = FileAccess(trusted=True)
            binder = connect_duckdb(trusted) if self._trusted else binding_connection()
            check_select(binder, sql, trusted=self._trusted)
            declared = header if header is not None and header.has_header else None
            unit = _AskedUnit(prices, is_default, declared is not None)
            planned = self._store.catalog.read(
                lambda connection: self._plan(connection, binder, sql, parameters or {}, unit)
            )
            prices, values, chosen = planned.prices, planned.values, planned.chosen
            parts_read = _flatten(chosen.parts)
            note = join_notes(planned.note, _default_sessions_note(header, parameters or {}))
            self.files_read = len(parts_read)
            self._store.fetch(parts_read, self._verifier)
            check = partial(self._verifier.check_unchanged, self._store.local_root, parts_read)
            with check_after_error(check):
                connection = self._open_views(sql, planned)
                note = join_notes(note, _cold_note(connection, sql, chosen))
                relation = connection.sql(sql, params=values or None)
                columns = zip(relation.columns, planned.instants, strict=False)
                utc_columns = {name for name, is_instant in columns if is_instant}
                if declared is not None:
                    utc_columns.update(declared.time_columns())
                    if prices != "fixed":
                        note = join_notes(note, undeclared_note(relation, declared))
                return QueryResult(
                    relation,
                    utc_columns=utc_columns,
                    tz=tz,
                    price_columns=declared and declared.price_columns(),
                    prices=prices,
                    note=note,
                    check=check,
                )

    def close(self) -> None:
        """Remove temporary files of queries; a further query makes them again."""
        self._files.close()

    def _plan(
        self,
        connection: sqlite3.Connection,
        binder: duckdb.DuckDBPyConnection,
        sql: str,
        parameters: Mapping[str, object],
        unit: _AskedUnit,
    ) -> _PlannedQuery:
        """What is known of a query before it runs, by one state of the catalog."""
        schemas = find_named_schemas(sql, read_schemas(connection))
        values = replace_sessions(parameters, lambda: self._find_times(connection, schemas))
        covered = read_coverage(schemas)(connection)
        values = replace_coverage(values, lambda: describe_coverage(covered, self._row_filter))
        lineage = find_lineage(binder, sql, values, schemas)
        prices, unit_note = unit.prices, ""
        if unit.is_default and not unit.has_header and lineage.depends_on_unit:
            prices, unit_note = "fixed", UNIT_NOTE
        views: PriceUnit = "fixed" if unit.has_header else prices
        if not lineage.is_followed and not unit.has_header:
            unit_note = unit_note or unfollowed_note(sql, values.values(), views)
        unit_note = number_note(lineage.numbers, views, has_header=unit.has_header) or unit_note
        chosen = self._files.choose(connection, sql, values, schemas, views)
        is_empty = not any(chosen.parts.values())
        missing = self._describe_missing(connection, schemas) if is_empty else ""
        trusted_note = TRUSTED_NOTE if self._trusted else ""
        hole_note = _hole_note(sql, covered, chosen)
        note = join_notes(trusted_note, unit_note, missing, chosen.note, hole_note)
        return _PlannedQuery(values, lineage.instants, prices, views, chosen, note)

    def _open_views(self, sql: str, planned: _PlannedQuery) -> duckdb.DuckDBPyConnection:
        """A DuckDB with the views of a query over parts that were fetched.

        Each query has one of its own: it can open its parts alone, and later queries do not change
        its result.
        """
        files, chosen = self._files, planned.chosen
        symbols = files.symbols(chosen) if _ASOF.search(without_tokens(sql)) else []
        groups = {schema: files.groups(chosen, schema) for schema in chosen.parts}
        paths = [path for found in groups.values() for group in found for path in group.paths]
        spill = files.spill_directory if self._limits is None else None
        settings = [] if self._limits is None else self._limits.settings()
        connection = connect_duckdb(FileAccess(paths, spill, self._trusted), settings)
        for schema, found in groups.items():
            statement = view_statement(
                find_schema(schema),
                found,
                self._row_filter,
                symbols=symbols,
                prices=planned.view_prices,
                include=self._include,
            )
            connection.execute(statement)
        return connection

    def views(self) -> list[str]:
        """The names of all views."""
        return [view_name(schema) for schema in self._store.catalog.read(read_schemas)]

    def _find_times(
        self, connection: sqlite3.Connection, schemas: Sequence[str]
    ) -> tuple[int, ...]:
        """The least and the greatest time of the rows of schemas; empty: no row has a time."""
        return find_time_span(self._row_filter, schemas)(connection) or () if schemas else ()

    def _describe_missing(self, connection: sqlite3.Connection, schemas: Sequence[str]) -> str:
        """Why a query of these schemas reads no part: it asks for what the lake does not have.

        That a schema has no rows at all is an answer.
        """
        views, times = ", ".join(map(view_name, schemas)), self._find_times(connection, schemas)
        if times:
            return (
                f"{views}: no row can meet the conditions of the query; the rows are from"
                f" {format_time(times[0])} to {format_time(times[1])}"
            )
        is_filtered = bool(schemas) and self._row_filter != NO_FILTER
        return f"{views}: no rows of the symbols and times" if is_filtered else ""


@contextmanager
def open_lake_database(  # noqa: PLR0913 - settings, by keyword
    root: str,
    row_filter: RowFilter = NO_FILTER,
    lake_name: str = "",
    include: Collection[str] = (),
    *,
    trusted: bool = False,
    limits: QueryLimits | None = None,
) -> Iterator[LakeDatabase]:
    """A database over a lake, until the block ends.

    Args:
        root: the lake's directory, or `s3://BUCKET/PREFIX`.
        row_filter: the views have only these rows.
        lake_name: name of the lake for messages; empty: its root.
        include: what `is_open` of the views counts as open too (`views.py`).
        trusted: queries may read any file and URL.
        limits: what a query may take of the machine; None: all of it, and temporary files.

    Raises:
        UsageError: the lake has none of these symbols, or no rows at these times. LakeError: there
        is no lake.
    """
    store = open_store(root)
    check_row_filter(store, row_filter, lake_name)
    database = LakeDatabase(store, Verifier(), row_filter, include, trusted=trusted, limits=limits)
    with closing(database):
        yield database


def find_named_schemas(sql: str, schemas: Iterable[str]) -> list[str]:
    """The schemas whose views a query names: as a word, whatever that means in its place."""
    words = set(re.findall(r"\w+", without_comments(sql).lower()))
    return sorted(schema for schema in schemas if view_name(schema) in words)


def _cold_note(connection: duckdb.DuckDBPyConnection, sql: str, chosen: ChosenParts) -> str:
    """A note that rows which the query can read are of cold books; empty: none, or it asks itself.

    The statistics of row groups exclude files without such rows.
    """
    if re.search(rf"\b{BOOK_STATUS}\b", sql, re.IGNORECASE):
        return ""
    cold = [
        view_name(schema)
        for schema, parts in chosen.parts.items()
        if parts
        and BOOK_STATUS in find_schema(schema).lake_columns
        and _has_cold_rows(connection, view_name(schema))
    ]
    if not cold:
        return ""
    return f"cold: rows of {', '.join(cold)}: {AnswerWarning.COLD.meaning} ({BOOK_STATUS})"


def _has_cold_rows(connection: duckdb.DuckDBPyConnection, view: str) -> bool:
    """Whether a view has rows of cold books."""
    sql = f"SELECT 1 FROM {view} WHERE {BOOK_STATUS} = '{AnswerWarning.COLD}' LIMIT 1"  # noqa: S608
    # A result that is not fetched whole would block the connection.
    return bool(connection.execute(sql).fetchall())


def _hole_note(sql: str, covered: Sequence[SourceCoverage], chosen: ChosenParts) -> str:
    """A note that no source covers a time between rows; empty: all is covered, or it asks itself.

    A row before such a time says nothing of it, though it may be the last row before a later one.
    """
    if re.search(rf"\b{COMPLETE}\b", sql, re.IGNORECASE):
        return ""
    edges = ((part.ts_min, part.ts_max) for part in _flatten(chosen.parts))
    first_ns, last_ns = enclosing_span(edges)
    if first_ns is None or last_ns is None:
        return ""
    holes = [
        hole
        for hole in find_lake_holes(covered)
        if first_ns < hole.start_ns and hole.end_ns <= last_ns
    ]
    text = describe_holes(holes)
    return f"{AnswerWarning.UNCOVERED}: {text}" if text else ""


def _default_sessions_note(header: QueryFile | None, values: Mapping[str, object]) -> str:
    """What stands in for the sessions that nobody gave; empty: they were given."""
    for param in header.params if header is not None else ():
        given = getattr(values.get(param.name), "name", None)
        if param.type == "SESSIONS" and given is not None and given == param.default:
            return (
                f"the parameter {param.name} is not given, and {given} stands in for the sessions"
                f" of the market: give it, such as {param.name}=CMES"
            )
    return ""


def _flatten(parts: PartsBySchema) -> list[Part]:
    return [part for schema_parts in parts.values() for part in schema_parts]
