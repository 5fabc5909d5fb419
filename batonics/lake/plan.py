"""What a query asks of the date, the symbol and the time of the rows that it reads.

The rule here: the conditions that are found may let too many rows pass, never too few.

DuckDB plans the query on tables without rows, which have the columns of the views. It pushes each
condition down to the scans that it holds for, through joins, subqueries and UNIONs. So planning
knows no file, and takes as long for a lake of a million parts as for one of none.

A condition on `date` and `symbol` alone is kept as DuckDB writes it, and DuckDB decides which dates
and symbols of the catalog meet it. A comparison of a row's time with a constant becomes a limit.
All other conditions are left to the query itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import duckdb

from batonics.frames.schemas.table import find_schema
from batonics.lake.connection import NO_FILES, FileAccess, binding_connection, connect_duckdb
from batonics.lake.views import empty_table_statement, view_schema
from batonics.model.prices import PriceUnit

DateSymbol = tuple[str | None, str | None]
"""ISO date and symbol of rows; None: there is none."""

TIME_MIN_NS, TIME_MAX_NS = -(2**63), 2**63 - 1

_TEXT = re.compile(r"'(?:[^']|'')*'")
_KEY_COLUMNS = ("date", "symbol")
_EQUAL = r"\(symbol = '((?:[^']|'')*)'\)"
_SYMBOLS = re.compile(rf"{_EQUAL}|\({_EQUAL}(?: OR {_EQUAL})+\)")
"""A condition that a symbol is one of some."""
_OPTIMIZERS_OFF = (
    # It knows that the tables are empty, and would leave no scan of them.
    "statistics_propagation",
    # It adds a scan without conditions, which reads rows by number.
    "late_materialization",
)


class ScanConditions(NamedTuple):
    """What a scan of a view asks of its rows.

    Attributes:
        keys: conditions in SQL on `date` and `symbol`; all of them hold.
        low_ns: the rows have no earlier time, in nanoseconds since the epoch.
        high_ns: the rows have no later time.
        reads_symbols: the query needs the symbols of the rows, not only for these conditions.
    """

    keys: tuple[str, ...] = ()
    low_ns: int = TIME_MIN_NS
    high_ns: int = TIME_MAX_NS
    reads_symbols: bool = False

    @property
    def is_on_symbols(self) -> bool:
        """Whether a condition is on symbols."""
        return any("symbol" in _TEXT.sub("", condition) for condition in self.keys)

    def symbols(self) -> tuple[str, ...]:
        """The symbols of which the rows have one; empty: there may be others."""
        for condition in self.keys:
            if _SYMBOLS.fullmatch(condition):
                names = re.findall(_EQUAL, condition)
                return tuple(name.replace("''", "'") for name in names)
        return ()


class Planner:
    """Plans queries on a DuckDB of its own, which runs none of them and can open no file.

    Args:
        trusted: queries may name any file.
    """

    def __init__(self, *, trusted: bool = False) -> None:
        access = FileAccess(trusted=True) if trusted else NO_FILES
        settings = [f"disabled_optimizers = '{','.join(_OPTIMIZERS_OFF)}'"]
        self._connection = connect_duckdb(access, settings)
        self._units: dict[str, PriceUnit] = {}
        """The unit of prices in the table of each schema."""

    def find_scans(
        self,
        sql: str,
        parameters: Mapping[str, object],
        schemas: Iterable[str],
        prices: PriceUnit = "fixed",
    ) -> dict[str, list[ScanConditions]]:
        """The scans of each schema's view in the plan of a query.

        A schema without scans has no row that could be in the result.

        Args:
            sql: one SELECT.
            parameters: values of its parameters.
            schemas: the schemas whose views the query may read.
            prices: the unit of prices in the views.

        Raises:
            duckdb.Error: the query cannot be planned.
        """
        scans: dict[str, list[ScanConditions]] = {schema: [] for schema in schemas}
        for schema in scans:
            if self._units.get(schema) != prices:
                self._connection.execute(empty_table_statement(find_schema(schema), prices))
                self._units[schema] = prices
        plan = self._connection.execute(f"EXPLAIN (FORMAT json) {sql}", parameters or None)
        for scan in _scans(json.loads(plan.fetchall()[0][1]), ()):
            schema = view_schema(scan.table)
            if schema in scans:
                found = self._conditions(schema, scan.conditions)
                scans[schema].append(found._replace(reads_symbols="symbol" in scan.columns))
        return scans

    def find_matches(
        self, conditions: Sequence[str], rows: Sequence[DateSymbol], *, dates_only: bool = False
    ) -> list[int]:
        """The places of those dates and symbols that meet conditions.

        Args:
            conditions: conditions of `ScanConditions.keys`.
            rows: dates and symbols.
            dates_only: leave out conditions on symbols.
        """
        columns = "unnest($dates::DATE[]) AS date"
        lists = {"dates": [date for date, _ in rows]}
        if not dates_only:
            columns += ", unnest($symbols::VARCHAR[]) AS symbol"
            lists["symbols"] = [symbol for _, symbol in rows]
        source = f"(SELECT {columns}, unnest(range({len(rows)})) AS n)"
        left = set(range(len(rows)))
        for condition in conditions:
            try:
                found = self._connection.execute(
                    f"SELECT n FROM {source} WHERE {condition}",  # noqa: S608 - DuckDB's own text
                    lists,
                )
                left.intersection_update(n for (n,) in found.fetchall())
            except duckdb.Error:
                continue  # it is on other columns, or fails for a symbol: the query will tell
        return sorted(left)

    def _conditions(self, schema: str, texts: Sequence[str]) -> ScanConditions:
        low, high = TIME_MIN_NS, TIME_MAX_NS
        names = find_schema(schema).time.meta.root_names()
        keys = tuple(text for text in texts if self._is_on_keys(text))
        if len(names) == 1:
            for text in texts:
                first, last = self._time_span(names[0], text)
                low, high = max(low, first), min(high, last)
        return ScanConditions(keys, low, high)

    def _is_on_keys(self, text: str) -> bool:
        """Whether a condition may be one on dates and symbols alone, with one value at any time."""
        words = set(re.findall(r"\w+", _TEXT.sub("", text).lower()))
        return bool(words.intersection(_KEY_COLUMNS)) and not words & _inconsistent_functions()

    def _time_span(self, name: str, text: str) -> tuple[int, int]:
        """The first and last time, in nanoseconds, that rows may have under a condition."""
        low, high = TIME_MIN_NS, TIME_MAX_NS
        test = re.compile(rf"{name} (?:IS NOT NULL|(<=|>=|<|>|=) ('[^']+'::TIMESTAMP_NS))")
        tests = [test.fullmatch(term) for term in re.sub(r"[()]", "", text).split(" AND ")]
        # Only comparisons joined by AND are used.
        for found in filter(None, tests) if all(tests) else ():
            ts_ns = None if found[1] is None else self._evaluate_ts(found[2])
            if ts_ns is not None and found[1] in {">", ">=", "="}:
                low = max(low, ts_ns)
            if ts_ns is not None and found[1] in {"<", "<=", "="}:
                high = min(high, ts_ns)
        return low, high

    def _evaluate_ts(self, literal: str) -> int | None:
        """Nanoseconds of a literal of SQL; None for infinity."""
        try:
            found = self._connection.execute(f"SELECT epoch_ns({literal})").fetchone()
        except duckdb.Error:
            return None
        return found[0] if found else None


@cache
def _inconsistent_functions() -> frozenset[str]:
    """The functions that may have another value when a query runs."""
    found = binding_connection().execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability <> 'CONSISTENT'"
    )
    return frozenset(name for (name,) in found.fetchall())


class _TableScan(NamedTuple):
    """A scan of a table in a plan.

    Attributes:
        table: the name of the table.
        columns: the columns that the query needs, other than for conditions of the scan alone.
        conditions: the conditions on its rows.
    """

    table: str
    columns: Sequence[str]
    conditions: Sequence[str]


def _scans(plan: Any, above: Sequence[str]) -> Iterator[_TableScan]:
    """The scans of tables within the nodes of a plan.

    Args:
        plan: nodes of the plan.
        above: conditions of a filter whose only input the nodes are.
    """
    for node in plan:
        facts = node.get("extra_info", {})
        if "Table" in facts:
            own = [text for text in _texts(facts.get("Filters")) if not text.startswith("optional")]
            table = str(facts["Table"]).rpartition(".")[2].strip('"')
            yield _TableScan(table, _texts(facts.get("Projections")), [*own, *above])
        is_filter = node.get("name") == "FILTER"
        yield from _scans(
            node.get("children", []), _texts(facts.get("Expression")) if is_filter else ()
        )


def _texts(value: Any) -> list[str]:
    """What a plan has one or several of."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else [str(text) for text in value]
