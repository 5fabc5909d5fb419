"""Symbols for whole columns of instruments at once.

The rule here: the symbol of a row is what `SymbolMap.symbol` returns for its instrument at its
`ts_recv` (rule 2). A table here holds the same intervals, sorted for lookups of whole columns.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Collection, Sequence
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.frames.columns.books import BOOK_KEY
from batonics.frames.scan.derived_source import DerivationPlan, derived_source
from batonics.model.errors import DataWarning, UsageError
from batonics.model.symbol_intervals import GrowingTable, IntervalTable
from batonics.model.symbols import MappingInterval, SymbolMap, alias_note, selected_names
from batonics.model.times import format_time


class SymbolTable:
    """A copy of a `SymbolMap` for lookups of whole columns. Later additions are not seen.

    Args:
        symbol_map: the symbols.
        table: the table of those that are looked up; None: of all.
    """

    def __init__(
        self, symbol_map: SymbolMap, table: IntervalTable[MappingInterval] | None = None
    ) -> None:
        self._symbol_map, self._table = symbol_map, table or IntervalTable(symbol_map)
        names = [value and value.symbol for value in self._table.values]
        self._symbols = pl.Series("symbol", names, pl.String)

    def find_symbols(
        self, instrument_id: NDArray[np.uint32], ts_recv: NDArray[np.uint64]
    ) -> pl.Series:
        """The symbol of each row (String); null where the map has none."""
        return self._symbols[self._table.entries(instrument_id, ts_recv)]

    def find_aliases(
        self, instrument_id: NDArray[np.uint32], ts_recv: NDArray[np.uint64]
    ) -> pl.Series:
        """The other symbols of each row (String, a JSON array); null where the map has none."""
        return self._aliases[self._table.entries(instrument_id, ts_recv)]

    @cached_property
    def has_aliases(self) -> bool:
        """Whether an instrument has several symbols at any time of the table."""
        if not self._symbol_map.may_have_aliases:
            return False
        return not self._aliases.is_in([None, "[]"], nulls_equal=True).all()

    @cached_property
    def _aliases(self) -> pl.Series:
        """The other symbols by entry of the table."""
        found: list[str | None] = [None]
        for change in self._table.changes:
            held = self._symbol_map.symbols_at(*change)
            found.append(json.dumps(held[1:]) if held else None)
        return pl.Series("aliases", found, pl.String)


class AliasWarning:
    """Warns that rows show one of several symbols of their instrument: once, as a DataWarning."""

    def __init__(self) -> None:
        self._is_given = False

    def check(
        self,
        table: SymbolTable,
        instrument_id: NDArray[np.uint32],
        ts_ns: NDArray[np.uint64],
        would_keep: Callable[[pl.Series, pl.Series], pl.Series] | None = None,
    ) -> None:
        """Warn if one of the rows of these instruments and times has several symbols.

        Args:
            table: the symbols.
            instrument_id: (rows,) the instruments.
            ts_ns: (rows,) the times, in nanoseconds since the epoch.
            would_keep: called with numbers of rows and other symbols of theirs; whether a query
                would keep each row under this symbol. None: it keeps all rows.
        """
        if self._is_given or not table.has_aliases or not len(ts_ns):
            return
        aliases = table.find_aliases(instrument_id, ts_ns)
        rows = (aliases != "[]").arg_true()
        if not len(rows):
            return
        names = aliases[rows].str.json_decode(pl.List(pl.String()))
        others = pl.DataFrame([rows.alias("row"), names.alias("alias")]).explode("alias")
        if would_keep is not None:
            others = others.filter(would_keep(others["row"], others["alias"]))
        if others.height:
            self._is_given = True
            row, alias = others.row(0)
            symbol = table.find_symbols(instrument_id[row : row + 1], ts_ns[row : row + 1])[0]
            date = str(format_time(int(ts_ns[row]))).partition("T")[0]
            warnings.warn(alias_note(alias, symbol, date), DataWarning, stacklevel=2)


class GrowingSymbols:
    """The symbols of a `SymbolMap` that grows as a stream is read, for its batches in turn."""

    def __init__(self, symbol_map: SymbolMap) -> None:
        self._symbol_map = symbol_map
        self._growing = GrowingTable(symbol_map)
        self._seen: tuple[IntervalTable[MappingInterval], SymbolTable] | None = None

    def at_times(self, ts_ns: NDArray[np.uint64]) -> SymbolTable:
        """The table for rows of these times; the same object until more is known."""
        table = self._growing.at_times(ts_ns)
        if self._seen is None or self._seen[0] is not table:
            self._seen = table, SymbolTable(self._symbol_map, table)
        return self._seen[1]


class FrameSymbols:
    """Symbols for the frames of a stream, from a map that grows as the stream is read.

    Args:
        symbol_map: the map.
        names: the symbols or instrument ids that the stream was selected by: rows have no other
            symbols. Empty: all symbols of the map.
        alias_warning: warns of rows with several symbols, whose others are lost; None: they are
            not.
    """

    def __init__(
        self,
        symbol_map: SymbolMap,
        names: Sequence[str] = (),
        alias_warning: AliasWarning | None = None,
    ) -> None:
        self._symbol_map, self._names = symbol_map, selected_names(names)
        self._alias_warning = alias_warning
        self._known = GrowingSymbols(symbol_map)
        self._selected_count = -1
        self._has_aliases = False

    def find_symbols(self, frame: pl.DataFrame, time: str) -> pl.Series:
        """The symbol of each row's instrument at the time in a column (null: the epoch)."""
        ts_ns, instrument_id = times_ns(frame, time), frame["instrument_id"].to_numpy()
        table = self._table(ts_ns)
        if self._alias_warning is not None:
            self._alias_warning.check(table, instrument_id, ts_ns)
        return table.find_symbols(instrument_id, ts_ns)

    def has_aliases(self, frame: pl.DataFrame, time: str) -> bool:
        """Whether an instrument has had several symbols at about the times in a column, so far."""
        self._has_aliases = self._has_aliases or self._table(times_ns(frame, time)).has_aliases
        return self._has_aliases

    def find_aliases(self, frame: pl.DataFrame, time: str) -> pl.Series:
        """The other symbols that hold then, as `SymbolTable.find_aliases`."""
        ts_ns = times_ns(frame, time)
        return self._table(ts_ns).find_aliases(frame["instrument_id"].to_numpy(), ts_ns)

    def _table(self, ts_ns: NDArray[np.uint64]) -> SymbolTable:
        if self._names and len(self._symbol_map) != self._selected_count:
            self._selected_count = len(self._symbol_map)
            self._known = GrowingSymbols(self._symbol_map.select(self._names))
        return self._known.at_times(ts_ns)


def times_ns(frame: pl.DataFrame, time: str) -> NDArray[np.uint64]:
    """A column of times in nanoseconds since the epoch; null becomes the epoch."""
    physical = frame[time].cast(pl.Int64)
    known = physical.fill_null(0) if physical.null_count() else physical
    ts_ns: NDArray[np.uint64] = known.to_numpy().view(np.uint64)  # a view: no conversion
    return ts_ns


def add_symbols(
    rows: pl.LazyFrame, symbol_map: SymbolMap, *, time: str | None = None
) -> pl.LazyFrame:
    """Rows of instruments with a column `symbol` after their own; see `instrument_source`."""

    def make(time: str) -> AddColumns:
        table = FrameSymbols(symbol_map, alias_warning=AliasWarning())
        return lambda frame: frame.with_columns(table.find_symbols(frame, time).alias("symbol"))

    return instrument_source("SYMBOLS", rows, pl.Schema({"symbol": pl.String()}), make, time=time)


ROW_TIMES = ("ts_recv", "ts", "ts_event", "ts_close", "ts_recv_end", "ts_recv_start")
"""The columns that may hold a row's time. The first one that a frame has is the default."""

AddColumns = Callable[[pl.DataFrame], pl.DataFrame]


def instrument_source(  # noqa: PLR0913 - each kind of column has one call of it
    name: str,
    rows: pl.LazyFrame,
    added: pl.Schema,
    make: Callable[[str], AddColumns],
    reads: Sequence[str] = (),
    *,
    time: str | None = None,
) -> pl.LazyFrame:
    """Rows of instruments with further columns that depend on the instrument and the time.

    Args:
        name: the name that `explain` shows.
        rows: rows with the columns publisher_id and instrument_id, and a time.
        added: the schema of the columns to add.
        make: called at each collection with the name of the time column. It returns a function that
            adds the columns to a frame.
        reads: names of other columns that this function reads.
        time: the column that has a row's time; None: the first of `ROW_TIMES` that `rows` has.

    Raises:
        UsageError: a column is missing, or a column to add is there already.
    """
    schema = rows.collect_schema()
    if time is None:
        time = next((column for column in ROW_TIMES if column in schema), ROW_TIMES[0])
    needed = {*BOOK_KEY, time, *reads}
    for column in sorted(needed - set(schema)):
        raise UsageError(f"column {column} is missing: rows of instruments and times are expected")
    for column in sorted(set(added) & set(schema)):
        raise UsageError(f"there is a column {column} already")

    def plan(columns: Collection[str]) -> DerivationPlan:
        add = make(time)
        read = sorted((set(columns) - set(added)) | needed)
        return DerivationPlan(read, lambda frames: (add(frame) for frame in frames))

    return derived_source(name, rows, pl.Schema({**schema, **added}), plan)
