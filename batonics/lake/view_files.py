"""The files of views: which parts a query reads, and by which paths DuckDB opens them.

The rule here: a row has one symbol in a view, one of those that the row filter asks for. Where rows
have several of these symbols (rule 2), a query may miss rows that it asks for by another of them.
So a query that may see symbols is planned as if each part were there under each of its symbols; if
it would read one of these, its result has a note.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import duckdb

from batonics.lake.catalog import Part, RowFilter
from batonics.lake.part_paths import part_directory
from batonics.lake.plan import PlannedFile, Planner
from batonics.lake.sql_tokens import without_comments, without_tokens
from batonics.lake.storage import Store
from batonics.lake.symlinks import SymlinkDirectory
from batonics.model.errors import LakeError
from batonics.model.prices import PriceUnit
from batonics.model.symbols import alias_note

PartsBySchema = Mapping[str, Sequence[Part]]
_WHERE = re.compile(r"\bwhere\b", re.IGNORECASE)
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


class _SymbolFile(NamedTuple):
    """The file of a part under one of its symbols.

    Attributes:
        part: the part.
        planned: the file.
        is_alias: the rows have another symbol in views.
    """

    part: Part
    planned: PlannedFile
    is_alias: bool


class ViewFiles:
    """The files of the views of a lake.

    Args:
        store: the lake.
        row_filter: the views have only these rows.
        trusted: queries may name any file.
    """

    def __init__(self, store: Store, row_filter: RowFilter, *, trusted: bool = False) -> None:
        self._store, self._symbols, self._trusted = store, row_filter.symbols, trusted
        self._symlinks: SymlinkDirectory | None = None
        self._planner: Planner | None = None

    def choose(
        self, sql: str, parameters: dict[str, object], parts: PartsBySchema, prices: PriceUnit
    ) -> ChosenParts:
        """The parts that a query reads, by its plan.

        Args:
            sql: one SELECT.
            parameters: values of its parameters.
            parts: all parts of each schema that the query names.
            prices: the unit of prices in the views.

        Raises:
            duckdb.Error: the query cannot be planned. OutputError: links cannot be made.
            LakeError: a file does not exist.
        """
        # A quoted name may be that of the column.
        sees_symbols = _SYMBOL.search(without_comments(sql)) is not None
        files = self._find_files(parts, with_aliases=sees_symbols)
        has_where = _WHERE.search(without_tokens(sql)) is not None
        if all(len(known) <= 1 for known in files.values()) and not has_where:
            return ChosenParts(parts)
        planned = {schema: [file.planned for file in known] for schema, known in files.items()}
        paths = self._plan(sql, parameters, planned, prices)
        read = {
            schema: [file for file in known if file.planned.path in paths[schema]]
            for schema, known in files.items()
        }
        own = {
            schema: [file.part for file in known if not file.is_alias]
            for schema, known in read.items()
        }
        return ChosenParts(own, self._find_note(chain.from_iterable(read.values())))

    def _find_note(self, files: Iterable[_SymbolFile]) -> str:
        """What a user has to know if a query would read files under other symbols, too."""
        for part, planned, is_alias in files:
            if is_alias:
                symbol = part.symbol_among(self._symbols)
                return alias_note(str(planned.symbol), symbol, part.date)
        return ""

    @property
    def spill_directory(self) -> Path:
        """The directory for temporary files of large queries; DuckDB makes it."""
        return self._open_symlinks().directory / "spill"

    def paths(self, parts: Sequence[Part]) -> list[str]:
        """The paths by which DuckDB opens parts that were fetched."""
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

    def _plan(
        self,
        sql: str,
        parameters: dict[str, object],
        files: Mapping[str, Sequence[PlannedFile]],
        prices: PriceUnit,
    ) -> dict[str, set[str]]:
        directory = self._open_symlinks().directory
        self._planner = self._planner or Planner(directory, trusted=self._trusted)
        try:
            return self._planner.files_read(sql, parameters, files, prices)
        except duckdb.PermissionException:
            # DuckDB says this of files that do not exist, too.
            for file in chain.from_iterable(files.values()):
                if not Path(file.path).exists():
                    raise LakeError(f"{os.path.realpath(file.path)}: does not exist") from None
            raise

    def _find_files(
        self, parts: PartsBySchema, *, with_aliases: bool
    ) -> dict[str, list[_SymbolFile]]:
        found: dict[str, list[_SymbolFile]] = {}
        for schema, schema_parts in parts.items():
            files = found[schema] = list[_SymbolFile]()
            paths = self._store.plan_paths(schema_parts)
            for path, part in zip(paths, schema_parts, strict=True):
                symbol, *aliases = part.symbols_among(self._symbols)
                files.append(self._file(path, part, symbol, is_alias=False))
                if with_aliases:
                    files += [self._file(path, part, alias, is_alias=True) for alias in aliases]
        return found

    def _file(
        self, path: str | Path, part: Part, symbol: str | None, *, is_alias: bool
    ) -> _SymbolFile:
        link = self._link(path, part, symbol)
        planned = PlannedFile(link, part.date, symbol, part.ts_min, part.ts_max)
        return _SymbolFile(part, planned, is_alias)

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
