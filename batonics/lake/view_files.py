"""The files of views: which parts a query reads, and by which paths DuckDB opens them.

The rule here: a row has one symbol in a view, one of those that the row filter asks for. Where rows
have several of these symbols (rule 2), a query may miss rows that it asks for by another of them.
So the parts of a query that may see symbols are chosen as if each part were there under each of
them; if one of these is chosen, the result has a note.

The catalog finds the parts by the dates, symbols and times that the query's scans ask for
(`plan.py`), so a query costs what the parts cost that it reads. DuckDB decides which of their dates
and symbols meet the other conditions.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from batonics.lake.catalog import Part, PartConditions, RowFilter, find_dates, find_parts
from batonics.lake.part_paths import part_directory
from batonics.lake.plan import Planner, ScanConditions
from batonics.lake.sql_tokens import without_comments
from batonics.lake.storage import Store
from batonics.lake.symlinks import SymlinkDirectory
from batonics.model.prices import PriceUnit
from batonics.model.symbols import alias_note

PartsBySchema = Mapping[str, Sequence[Part]]
_SYMBOL = re.compile(
    r"\bsymbol\b|\bcolumns\b|\bnatural\b|\bpivot|\bsummarize\b|\btable\b"
    r"|(?:\bselect|\bdistinct|\ball|[,.])\s*\*|(?:^|\()\s*from\b",
    re.IGNORECASE,
)
"""The column `symbol` in a query, or all columns."""


class ChosenParts(NamedTuple):
    """The parts that a query reads.

    Attributes:
        parts: the parts of each schema.
        note: what a user has to know of rows that the query misses; empty: nothing.
    """

    parts: PartsBySchema
    note: str = ""


class _SymbolPart(NamedTuple):
    """A part under one of its symbols.

    Attributes:
        part: the part.
        symbol: the symbol; None: there is none.
        is_alias: the rows have another symbol in views.
    """

    part: Part
    symbol: str | None
    is_alias: bool


class ViewFiles:
    """The files of the views of a lake.

    Args:
        store: the lake.
        row_filter: the views have only these rows.
        trusted: queries may name any file.
    """

    def __init__(self, store: Store, row_filter: RowFilter, *, trusted: bool = False) -> None:
        self._store, self._row_filter, self._trusted = store, row_filter, trusted
        self._symbols = row_filter.symbols
        self._symlinks: SymlinkDirectory | None = None
        self._planner: Planner | None = None

    def choose(
        self,
        sql: str,
        parameters: Mapping[str, object],
        schemas: Sequence[str],
        prices: PriceUnit,
    ) -> ChosenParts:
        """The parts that a query reads, by its plan.

        Args:
            sql: one SELECT.
            parameters: values of its parameters.
            schemas: the schemas that the query names.
            prices: the unit of prices in the views.

        Raises:
            duckdb.Error: the query cannot be planned.
        """
        planner = self._planner = self._planner or Planner(trusted=self._trusted)
        scans = planner.find_scans(sql, parameters, schemas, prices)

        def run(connection: sqlite3.Connection) -> dict[str, list[_SymbolPart]]:
            return {
                schema: self._find_parts(connection, planner, schema, scans[schema])
                for schema in schemas
            }

        chosen = self._store.catalog.read(run)
        aliases = [found for parts in chosen.values() for found in parts if found.is_alias]
        note = ""
        # A quoted name may be that of the column.
        if aliases and _SYMBOL.search(without_comments(sql)):
            part, alias, _ = aliases[0]
            note = alias_note(str(alias), part.symbol_among(self._symbols), part.date)
        own = {
            schema: [found.part for found in parts if not found.is_alias]
            for schema, parts in chosen.items()
        }
        return ChosenParts(own, note)

    @property
    def spill_directory(self) -> Path:
        """The directory for temporary files of large queries; DuckDB makes it."""
        return self._open_symlinks().directory / "spill"

    def paths(self, parts: Sequence[Part]) -> list[str]:
        """The paths by which DuckDB opens parts that were fetched.

        Raises:
            OutputError: links cannot be made.
        """
        return [
            self._link(self._store.local_path(part), part, part.symbol_among(self._symbols))
            for part in parts
        ]

    def symbols(self, parts: PartsBySchema) -> list[str]:
        """All symbols of the views, in order."""
        found = {
            part.symbol_among(self._symbols)
            for schema_parts in parts.values()
            for part in schema_parts
        }
        return sorted(symbol for symbol in found if symbol is not None)

    def close(self) -> None:
        """Remove temporary files; a further query makes them again."""
        if self._symlinks is not None:
            self._symlinks.close()
        self._symlinks = self._planner = None

    def _find_parts(
        self,
        connection: sqlite3.Connection,
        planner: Planner,
        schema: str,
        scans: Sequence[ScanConditions],
    ) -> list[_SymbolPart]:
        """The parts that at least one of the scans reads, under each symbol that it may see."""
        if not scans:
            return []
        dates = find_dates(schema)(connection) if all(scan.keys for scan in scans) else None
        covering = _cover(planner, scans, dates)
        parts = find_parts(schema, self._row_filter, covering)(connection)
        named = [
            _SymbolPart(part, symbol, symbol != part.symbol_among(self._symbols))
            for part in parts
            for symbol in part.symbols_among(self._symbols)
        ]
        keys = [(part.date, symbol) for part, symbol, _ in named]
        read: set[int] = set()
        for scan in scans:
            matches = planner.find_matches(scan.keys, keys)
            read.update(at for at in matches if _meets_times(named[at].part, scan))
        return [named[at] for at in sorted(read)]

    def _link(self, path: str | Path, part: Part, symbol: str | None) -> str:
        """A path of the part that has this symbol."""
        view_path = None
        if symbol != part.symbol:
            directory = part_directory(part.schema, part.date, symbol)
            view_path = f"{directory}/{part.path.rpartition('/')[2]}"
        return self._open_symlinks().link(path, part.path, view_path)

    def _open_symlinks(self) -> SymlinkDirectory:
        self._symlinks = self._symlinks or SymlinkDirectory()
        return self._symlinks


def _cover(
    planner: Planner, scans: Sequence[ScanConditions], dates: Sequence[str] | None
) -> PartConditions:
    """Conditions that hold for the parts of all scans.

    Args:
        planner: decides which dates meet the conditions of scans.
        scans: the scans.
        dates: the dates of the schema; None: the scans have no conditions on them.
    """
    left: tuple[str, ...] | None = None
    if dates is not None:
        keys = [(date, None) for date in dates]
        matches = (planner.find_matches(scan.keys, keys, dates_only=True) for scan in scans)
        left = tuple(dates[at] for at in sorted(set().union(*matches)))
    symbols = [scan.symbols() for scan in scans]
    return PartConditions(
        left,
        tuple(name for names in symbols for name in names) if all(symbols) else (),
        min(scan.low_ns for scan in scans),
        max(scan.high_ns for scan in scans),
    )


def _meets_times(part: Part, scan: ScanConditions) -> bool:
    if part.ts_min is None or part.ts_max is None:
        return True
    return part.ts_min <= scan.high_ns and part.ts_max >= scan.low_ns
