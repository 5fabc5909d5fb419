"""Which parts of the catalog may have certain rows.

The rule here: the answer may have too many parts, never too few. The index `part_live` finds parts
by schema, date and the range of their symbols; the list of a part's symbols then decides.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from batonics.lake.catalog import Transaction
from batonics.lake.part import PART_COLUMNS, Part, read_part
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
    where, values = ["removed_ns IS NULL", "schema = ?"], list[str | int]([schema])
    _select_rows(row_filter, where, values)
    _select_symbols(conditions.symbols, where, values)
    if (conditions.low_ns, conditions.high_ns) != NO_CONDITIONS[2:]:
        where.append("(ts_min IS NULL OR ts_min <= ? AND ts_max >= ?)")
        values += [conditions.high_ns, conditions.low_ns]
    # One search each: joined by OR, both would look at every part of the schema.
    searches = [(where, values)]
    if conditions.dates is not None:
        of_dates = "date IN (SELECT value FROM json_each(?))"
        searches = [
            ([*where, "date IS NULL"], values),
            ([*where, of_dates], [*values, json.dumps(conditions.dates)]),
        ]

    def run(connection: sqlite3.Connection) -> list[Part]:
        parts: list[Part] = []
        for tests, arguments in searches:
            text = f"SELECT {PART_COLUMNS} FROM part WHERE {' AND '.join(tests)}"  # noqa: S608 - no input
            rows = connection.execute(f"{text} ORDER BY date, load, id", arguments)
            parts += map(read_part, rows)
        return [part for part in parts if may_have_rows(part, row_filter)]

    return run


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
    where, values = ["removed_ns IS NULL"], list[str | int]()
    _select_rows(row_filter, where, values)
    text = f"SELECT {PART_COLUMNS} FROM part WHERE {' AND '.join(where)}"  # noqa: S608 - no input

    def run(connection: sqlite3.Connection) -> bool:
        parts = (read_part(row) for row in connection.execute(text, values))
        return any(may_have_rows(part, row_filter) for part in parts)

    return run


def find_time_span(
    row_filter: RowFilter, schemas: Sequence[str] = ()
) -> Transaction[tuple[int, int] | None]:
    """The least and greatest time of rows of the filter, by the catalog; None: there is none.

    Rows without times are not among them.

    Args:
        row_filter: the filter.
        schemas: the schemas of the rows; empty: all schemas.
    """
    where, values = ["removed_ns IS NULL", "ts_min IS NOT NULL"], list[str | int]()
    if schemas:
        where.append("schema IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(schemas))
    _select_rows(row_filter, where, values)
    columns = PART_COLUMNS if row_filter.symbols else "min(ts_min), max(ts_max)"
    text = f"SELECT {columns} FROM part WHERE {' AND '.join(where)}"  # noqa: S608 - no input

    def run(connection: sqlite3.Connection) -> tuple[int, int] | None:
        rows = connection.execute(text, values)
        if row_filter.symbols:
            edges = [pair for row in rows for pair in _times_of_rows(read_part(row), row_filter)]
        else:
            edges = list(rows)
        first, last = enclosing_span(edges)
        return None if first is None or last is None else (first, last)

    return run


def _select_rows(row_filter: RowFilter, where: list[str], values: list[str | int]) -> None:
    """Add the conditions for parts that may have rows of the filter, and their values."""
    _select_symbols(row_filter.symbols, where, values)
    for bound, test in ((row_filter.start_ns, "ts_max >= ?"), (row_filter.end_ns, "ts_min < ?")):
        if bound is not None:
            where.append(test)
            values.append(min(bound, 2**63 - 1))


def _select_symbols(symbols: Sequence[str], where: list[str], values: list[str | int]) -> None:
    """Add the condition for parts that may have rows of these symbols, and its values."""
    if symbols:
        where.append(
            "(EXISTS (SELECT 1 FROM json_each(?)"
            " WHERE value <= last_symbol AND (first_symbol IS NULL OR value >= first_symbol))"
            " OR aliases <> '[]' AND EXISTS (SELECT value FROM json_each(aliases)"
            " INTERSECT SELECT value FROM json_each(?)))"
        )
        values += [json.dumps(symbols)] * 2


def find_dates(schema: str) -> Transaction[list[str]]:
    """The dates of the parts of a schema, in order."""
    # Each step is one search in the index, however many parts a date has.
    text = """
        WITH RECURSIVE found (date) AS (
            SELECT min(date) FROM part WHERE removed_ns IS NULL AND schema = ?1
            UNION ALL
            SELECT (
                SELECT min(date) FROM part
                WHERE removed_ns IS NULL AND schema = ?1 AND part.date > found.date
            ) FROM found WHERE date IS NOT NULL
        )
        SELECT date FROM found WHERE date IS NOT NULL
    """

    def run(connection: sqlite3.Connection) -> list[str]:
        return [date for (date,) in connection.execute(text, [schema])]

    return run


def all_parts(connection: sqlite3.Connection) -> list[Part]:
    """Every part of the lake, by schema, date and load."""
    text = f"SELECT {PART_COLUMNS} FROM part WHERE removed_ns IS NULL"  # noqa: S608
    rows = connection.execute(f"{text} ORDER BY schema, date, load, id")
    return [read_part(row) for row in rows]


def loaded_symbols(connection: sqlite3.Connection) -> list[str]:
    """The symbols of all rows."""
    found: set[str | None] = set()
    for part in all_parts(connection):
        symbols = part.list_symbols()
        found.update(symbols.names, symbols.aliases)
    return sorted(name for name in found if name is not None)
