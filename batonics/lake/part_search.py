"""Which parts of the catalog may have certain rows.

The rule here: the answer may have too many parts, never too few. The dates of a schema and the
entries of their parts (`catalog_tree.py`) leave out what an answer does not need; the list of a
part's symbols then decides.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from batonics.lake.catalog import Transaction
from batonics.lake.catalog_tree import (
    Day,
    PartEntry,
    read_days,
    read_entries,
    read_entry,
    read_schemas,
    read_symbols,
)
from batonics.lake.part import NO_ALIASES, Part
from batonics.model.times import enclosing_span


class RowFilter(NamedTuple):
    """The rows that a reader asks for; by default all rows.

    Attributes:
        symbols: only rows of these symbols; empty: of all symbols.
        start_ns: only rows of this time or later; None: no such limit.
        end_ns: only rows of earlier times; None: no such limit.
            A row without a time passes neither limit.
    """

    symbols: tuple[str, ...] = ()
    start_ns: int | None = None
    end_ns: int | None = None


NO_FILTER = RowFilter()
"""All rows."""


class PartConditions(NamedTuple):
    """Conditions on parts beside those of a `RowFilter`; by default none.

    Attributes:
        dates: only parts of these dates, and those without a date; None: of all dates.
        symbols: only parts whose rows have one of these symbols; empty: of all symbols.
        low_ns: only parts with this time or later ones, and those without times.
        high_ns: only parts with this time or earlier ones, and those without times.
    """

    dates: tuple[str, ...] | None = None
    symbols: tuple[str, ...] = ()
    low_ns: int = -(2**63)
    high_ns: int = 2**63 - 1


NO_CONDITIONS = PartConditions()
"""All parts."""


def find_parts(
    schema: str, row_filter: RowFilter = NO_FILTER, conditions: PartConditions = NO_CONDITIONS
) -> Transaction[list[Part]]:
    """The parts of a schema that may have rows of the filter, by date and load."""

    def run(connection: sqlite3.Connection) -> list[Part]:
        return list(_iterate_parts(connection, schema, row_filter, conditions))

    return run


def _iterate_parts(
    connection: sqlite3.Connection,
    schema: str,
    row_filter: RowFilter,
    conditions: PartConditions = NO_CONDITIONS,
) -> Iterator[Part]:
    dates = None if conditions.dates is None else {None, *conditions.dates}
    tests = [_SymbolTest(found) for found in (row_filter.symbols, conditions.symbols) if found]
    for day in read_days(connection, schema):
        is_on_date = dates is None or day.date in dates
        if not (is_on_date and _meets_times(day, row_filter, conditions)):
            continue
        for entry in read_entries(connection, day):
            if _meets_times(entry, row_filter, conditions) and all(
                test.may_pass(entry) for test in tests
            ):
                part = read_entry(connection, entry)
                if may_have_rows(part, row_filter):
                    yield part


def _meets_times(
    rows: Day | PartEntry, row_filter: RowFilter, conditions: PartConditions = NO_CONDITIONS
) -> bool:
    """Whether rows may be at the times of a filter and of conditions."""
    first, last = rows.ts_min, rows.ts_max
    if first is None or last is None:
        return row_filter.start_ns is None and row_filter.end_ns is None
    return (
        (row_filter.start_ns is None or last >= row_filter.start_ns)
        and (row_filter.end_ns is None or first < row_filter.end_ns)
        and first <= conditions.high_ns
        and last >= conditions.low_ns
    )


class _SymbolTest:
    """Whether a part may have rows of one of some symbols."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = sorted(symbols)
        self._as_json = [json.dumps(name) for name in symbols]

    def may_pass(self, entry: PartEntry) -> bool:
        """Whether the part of an entry may have such rows."""
        symbols, last = self._symbols, entry.last_symbol
        at = bisect_left(symbols, entry.first_symbol or "")
        if at < len(symbols) and last is not None and symbols[at] <= last:
            return True
        aliases = entry.aliases
        return aliases != NO_ALIASES and any(name in aliases for name in self._as_json)


def may_have_rows(part: Part, row_filter: RowFilter) -> bool:
    """Whether a part has a symbol of a filter at its times, by the times of the symbol's rows."""
    return not row_filter.symbols or bool(_times_of_rows(part, row_filter))


def _times_of_rows(part: Part, row_filter: RowFilter) -> list[tuple[int | None, int | None]]:
    """The least and greatest time of the rows of each symbol of a filter, if within its times."""
    stored = (found.stored for found in part.list_symbols().shown(row_filter.symbols))
    return [
        (entry.ts_min, entry.ts_max)
        for entry in stored
        if row_filter.start_ns is None
        or (entry.ts_max is not None and entry.ts_max >= row_filter.start_ns)
        if row_filter.end_ns is None
        or (entry.ts_min is not None and entry.ts_min < row_filter.end_ns)
    ]


def has_rows(row_filter: RowFilter) -> Transaction[bool]:
    """Whether there may be rows of a filter."""

    def run(connection: sqlite3.Connection) -> bool:
        schemas = read_schemas(connection)
        return any(
            any(True for _ in _iterate_parts(connection, schema, row_filter)) for schema in schemas
        )

    return run


def find_time_span(
    row_filter: RowFilter, schemas: Sequence[str] | None = None
) -> Transaction[tuple[int, int] | None]:
    """The least and greatest time of rows of the filter, by the catalog; None: there is none.

    Rows without times are not among them.

    Args:
        row_filter: the filter.
        schemas: the schemas of the rows; None: all schemas.
    """

    def run(connection: sqlite3.Connection) -> tuple[int, int] | None:
        names = read_schemas(connection) if schemas is None else schemas
        edges = (edge for name in names for edge in _find_edges(connection, name, row_filter))
        first, last = enclosing_span(edges)
        return None if first is None or last is None else (first, last)

    return run


def _find_edges(
    connection: sqlite3.Connection, schema: str, row_filter: RowFilter
) -> Iterator[tuple[int | None, int | None]]:
    """The least and greatest times of the parts of a filter, or of the rows of its symbols."""
    if row_filter.symbols:
        for part in _iterate_parts(connection, schema, row_filter):
            yield from _times_of_rows(part, row_filter)
        return
    for day in read_days(connection, schema):
        if not _meets_times(day, row_filter):
            continue
        if row_filter == NO_FILTER:
            yield day.ts_min, day.ts_max
            continue
        for entry in read_entries(connection, day):
            if _meets_times(entry, row_filter):
                yield entry.ts_min, entry.ts_max


def find_dates(schema: str) -> Transaction[list[str]]:
    """The dates of the parts of a schema, in order."""

    def run(connection: sqlite3.Connection) -> list[str]:
        return [day.date for day in read_days(connection, schema) if day.date is not None]

    return run


def all_parts(connection: sqlite3.Connection) -> list[Part]:
    """Every part of the lake, by schema, date and load."""
    return [
        part
        for schema in read_schemas(connection)
        for part in _iterate_parts(connection, schema, NO_FILTER)
    ]


def loaded_symbols(connection: sqlite3.Connection) -> list[str]:
    """The symbols of all rows."""
    found: set[str | None] = set()
    for schema in read_schemas(connection):
        symbols = read_symbols(connection, schema)
        found.update(symbols.names, symbols.aliases)
    return sorted(name for name in found if name is not None)


def find_unknown_symbol(names: Sequence[str]) -> Transaction[str | None]:
    """The first of some symbols of which no row is; None: there are rows of each."""

    def run(connection: sqlite3.Connection) -> str | None:
        left = dict.fromkeys(names)
        for schema in read_schemas(connection) if names else ():
            symbols = read_symbols(connection, schema)
            left = {
                name: None
                for name in left
                if name not in symbols.names and name not in symbols.aliases
            }
            if not left:
                break
        return next(iter(left), None)

    return run
