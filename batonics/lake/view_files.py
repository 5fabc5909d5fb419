"""The files of views: which parts a query reads, and by which paths DuckDB opens them.

The rule here: a row has one symbol in a view, one of those that the row filter asks for. Where rows
have several of these symbols (rule 2), a query may miss rows that it asks for by another of them.
So parts are chosen as if their rows were there under each of these symbols; if a query reads
symbols, and rows are chosen by another symbol than that of the view, its result has a note.

The catalog finds the parts by the dates, symbols and times that the query's scans ask for
(`plan.py`), so a query costs what the parts cost that it reads. DuckDB decides which of their dates
and symbols meet the other conditions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from batonics.lake.part import Part
from batonics.lake.part_search import PartConditions, RowFilter, find_dates, find_parts
from batonics.lake.part_symbols import SymbolRows
from batonics.lake.plan import DateSymbol, Planner, ScanConditions
from batonics.lake.row_filters import find_alias_note
from batonics.lake.storage import Store
from batonics.lake.symbol_groups import group_by_symbols
from batonics.lake.symlinks import SymlinkDirectory
from batonics.lake.views import FileGroup
from batonics.model.prices import PriceUnit
from batonics.model.symbols import alias_note

PartsBySchema = Mapping[str, Sequence[Part]]


class ChosenParts(NamedTuple):
    """The parts that a query reads.

    Attributes:
        parts: the parts of each schema.
        symbols: the query needs only rows with these symbols of a schema; empty: with any.
        note: what a user has to know of rows that the query misses; empty: nothing.
    """

    parts: PartsBySchema
    symbols: Mapping[str, Sequence[str]] = {}
    note: str = ""


class _NamedRows(NamedTuple):
    """Rows of a part under one of their symbols.

    Attributes:
        part: the part.
        symbol: the symbol; None: there is none.
        rows: the rows.
        shown: the symbol that they have in the view.
    """

    part: Part
    symbol: str | None
    rows: SymbolRows
    shown: str | None


class ViewFiles:
    """The files of the views of a lake.

    Args:
        store: the lake.
        row_filter: the views have only these rows.
        trusted: queries may name any file.
    """

    def __init__(self, store: Store, row_filter: RowFilter, *, trusted: bool = False) -> None:
        self._store, self._filter, self._trusted = store, row_filter, trusted
        self._symlinks: SymlinkDirectory | None = None
        self._planner: Planner | None = None

    def choose(
        self,
        connection: sqlite3.Connection,
        sql: str,
        parameters: Mapping[str, object],
        schemas: Sequence[str],
        prices: PriceUnit,
    ) -> ChosenParts:
        """The parts that a query reads, by its plan.

        Args:
            connection: the lake's catalog.
            sql: one SELECT.
            parameters: values of its parameters.
            schemas: the schemas that the query names.
            prices: the unit of prices in the views.

        Raises:
            duckdb.Error: the query cannot be planned.
        """
        planner = self._planner = self._planner or Planner(trusted=self._trusted)
        scans = planner.find_scans(sql, parameters, schemas, prices)
        chosen = {
            schema: _SchemaParts.find(connection, planner, schema, scans[schema], self._filter)
            for schema in schemas
        }
        notes = [found.note for found in chosen.values() if found.note]
        return ChosenParts(
            {schema: found.parts for schema, found in chosen.items()},
            {schema: found.symbols for schema, found in chosen.items()},
            notes[0] if notes else "",
        )

    @property
    def spill_directory(self) -> Path:
        """The directory for temporary files of large queries; DuckDB makes it."""
        self._symlinks = self._symlinks or SymlinkDirectory()
        return self._symlinks.directory / "spill"

    def groups(self, chosen: ChosenParts, schema: str) -> list[FileGroup]:
        """The files of a schema's view; its parts were fetched.

        Raises:
            OutputError: links cannot be made.
        """
        return [
            FileGroup(
                [self._link(part) for part in parts],
                symbols or chosen.symbols.get(schema, ()),
                renamed,
            )
            for parts, symbols, renamed in group_by_symbols(
                chosen.parts[schema], self._filter.symbols
            )
        ]

    def symbols(self, chosen: ChosenParts) -> list[str]:
        """All symbols of the views, in order."""
        found = {
            rows.symbol
            for schema, parts in chosen.parts.items()
            for part in parts
            for rows in part.list_symbols().shown(
                self._filter.symbols or chosen.symbols.get(schema, ())
            )
        }
        return sorted(symbol for symbol in found if symbol is not None)

    def close(self) -> None:
        """Remove temporary files; a further query makes them again."""
        if self._symlinks is not None:
            self._symlinks.close()
        self._symlinks = self._planner = None

    def _link(self, part: Part) -> str:
        self._symlinks = self._symlinks or SymlinkDirectory()
        return self._symlinks.link(self._store.local_path(part), part.path)


class _SchemaParts(NamedTuple):
    """The parts of a schema that a query reads.

    Attributes:
        parts: the parts, in the order of the catalog.
        symbols: the query needs only rows with these symbols; empty: with any.
        note: a note on rows that also have another symbol than the one in the view.
    """

    parts: list[Part]
    symbols: tuple[str, ...] = ()
    note: str = ""

    @classmethod
    def find(
        cls,
        connection: sqlite3.Connection,
        planner: Planner,
        schema: str,
        scans: Sequence[ScanConditions],
        row_filter: RowFilter,
    ) -> _SchemaParts:
        """The parts that at least one of some scans reads."""
        if not scans:
            return cls([])
        dates = find_dates(schema)(connection) if all(scan.keys for scan in scans) else None
        covering = _cover(planner, scans, dates)
        parts = find_parts(schema, row_filter, covering)(connection)
        read: set[str] = set()
        note = ""
        for scan in scans:
            if not scan.is_on_symbols:
                keys: list[DateSymbol] = [(part.date, None) for part in parts]
                places = planner.find_matches(scan.keys, keys, dates_only=True)
                chosen = [parts[at] for at in places if _meets_times(parts[at], scan)]
                read.update(part.path for part in chosen)
                if scan.reads_symbols:
                    note = note or find_alias_note(chosen, row_filter.symbols)
                continue
            named = _named_rows(parts, row_filter.symbols, covering.symbols)
            keys = [(found.part.date, found.symbol) for found in named]
            for at in planner.find_matches(scan.keys, keys):
                part, symbol, rows, shown = named[at]
                if not _meets_times(rows, scan):
                    continue
                if symbol == shown:
                    read.add(part.path)
                else:
                    note = note or alias_note(str(symbol), shown, part.date)
        symbols = () if row_filter.symbols else covering.symbols
        return cls([part for part in parts if part.path in read], symbols, note)


def _named_rows(
    parts: Iterable[Part], shown: Sequence[str], names: Sequence[str]
) -> list[_NamedRows]:
    """The rows of parts under each symbol that a query may ask for them by.

    Args:
        parts: the parts.
        shown: the views have only rows of these symbols, under these; empty: all rows.
        names: the query asks for no other symbols; empty: it may.
    """
    found = []
    for part in parts:
        for symbol, rows, others in part.list_symbols().shown(shown or names):
            own = symbol if shown else rows.symbol
            found.append(_NamedRows(part, own, rows, own))
            aliases = others if shown else rows.aliases
            found += [_NamedRows(part, alias, rows, own) for alias in aliases]
    return found


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


def _meets_times(rows: Part | SymbolRows, scan: ScanConditions) -> bool:
    if rows.ts_min is None or rows.ts_max is None:
        return True
    return rows.ts_min <= scan.high_ns and rows.ts_max >= scan.low_ns
