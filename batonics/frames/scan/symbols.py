"""Symbols for whole columns of instruments at once.

The rule here: the symbol of a row is what `SymbolMap.symbol` returns for its instrument at its
`ts_recv` (rule 2). A table here holds the same intervals, sorted for lookups of whole columns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Generic

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.frames.columns.books import BOOK_KEY
from batonics.frames.scan.derived_source import DerivationPlan, derived_source
from batonics.model.errors import UsageError
from batonics.model.symbols import IntervalMap, SymbolMap, TInterval, selected_names


class IntervalTable(Generic[TInterval]):
    """A copy of an `IntervalMap`, sorted for lookups of whole columns.

    Args:
        known: the intervals. Later additions to it are not seen.

    Attributes:
        values: by entry, the interval that holds; None where none does.
    """

    def __init__(self, known: IntervalMap[TInterval]) -> None:
        intervals = known.intervals()
        edges = {(i.instrument_id, edge) for i in intervals for edge in (i.start_ns, i.end_ns)}
        # Between two edges of an instrument one interval holds, or none.
        changes = sorted(edges)
        self._ids = np.unique(np.array([instrument_id for instrument_id, _ in changes], np.uint32))
        self._edges_ns = np.unique(np.array([edge for _, edge in changes], np.uint64))
        self._changes = self._places(
            np.array([instrument_id for instrument_id, _ in changes], np.uint32),
            np.array([edge for _, edge in changes], np.uint64),
        )
        # Entry 0 is the time before an instrument's first edge.
        self.values: list[TInterval | None] = [None, *(known.at(*change) for change in changes)]

    def entries(
        self, instrument_id: NDArray[np.uint32], ts_ns: NDArray[np.uint64]
    ) -> NDArray[np.intp]:
        """The entry in `values` of each row's instrument at its time."""
        if len(ts_ns) > 1 and self._has_one_entry(instrument_id, ts_ns):
            return self.entries(instrument_id[:1], ts_ns[:1]).repeat(len(ts_ns))
        entry = np.searchsorted(self._changes, self._places(instrument_id, ts_ns), side="right")
        at = np.searchsorted(self._ids, instrument_id)
        # The preceding entry belongs to another instrument if its own has none yet.
        own = np.searchsorted(self._changes, at.astype(np.uint64) << np.uint64(32))
        known = (at < len(self._ids)) & (entry > own)
        known &= self._ids.take(at, mode="clip") == instrument_id if len(self._ids) else False
        return np.where(known, entry, 0)

    def find_common_edges(self, ts_ns: NDArray[np.uint64]) -> int | None:
        """How many edges come up to all these times, which are one or more; None: they differ."""
        ends = np.array([ts_ns.min(), ts_ns.max()])
        first, last = np.searchsorted(self._edges_ns, ends, side="right").tolist()
        return first if first == last else None

    def entries_behind(self, edges: int) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
        """Every instrument of the table, and its entry once this many edges have come."""
        if edges == 0:
            return self._ids[:0], np.empty(0, np.intp)
        return self._ids, self.entries(self._ids, self._edges_ns[edges - 1].repeat(len(self._ids)))

    def _has_one_entry(self, instrument_id: NDArray[np.uint32], ts_ns: NDArray[np.uint64]) -> bool:
        """Whether all rows have one instrument and no edge lies between their times."""
        if instrument_id.min() != instrument_id.max():
            return False
        return self.find_common_edges(ts_ns) is not None

    def _places(
        self, instrument_id: NDArray[np.uint32], ts_ns: NDArray[np.uint64]
    ) -> NDArray[np.uint64]:
        """Ranks of instrument and time in one word. A time's rank counts the edges up to it."""
        at = np.searchsorted(self._ids, instrument_id).astype(np.uint64)
        edge = np.searchsorted(self._edges_ns, ts_ns, side="right").astype(np.uint64)
        return at << np.uint64(32) | edge


class IntervalFilter:
    """Selects the rows of instruments that fall into intervals.

    Args:
        known: the intervals. Later additions to it are not seen.
    """

    def __init__(self, known: IntervalMap[TInterval]) -> None:
        self._table = IntervalTable(known)
        self._holds = np.array([value is not None for value in self._table.values])
        self._ids_behind: dict[int, NDArray[np.uint32]] = {}

    def find_rows(
        self, instrument_id: NDArray[np.uint32], ts_ns: NDArray[np.uint64]
    ) -> NDArray[np.bool_]:
        """(rows,) Whether an interval of the row's instrument holds at its time."""
        if len(ts_ns) == 0:
            return np.zeros(0, np.bool_)
        edges = self._table.find_common_edges(ts_ns)
        if edges is None:
            return self._holds[self._table.entries(instrument_id, ts_ns)]
        # The usual batch: no interval begins or ends in it, so instruments alone decide.
        if edges not in self._ids_behind:
            ids, entries = self._table.entries_behind(edges)
            self._ids_behind[edges] = ids[self._holds[entries]]
        ids = self._ids_behind[edges]
        if len(ids) == 1:
            only: NDArray[np.bool_] = instrument_id == ids[0]
            return only
        return np.isin(instrument_id, ids)


class SymbolTable:
    """A copy of a `SymbolMap` for lookups of whole columns. Later additions are not seen."""

    def __init__(self, symbol_map: SymbolMap) -> None:
        self._table = IntervalTable(symbol_map)
        names = [value and value.symbol for value in self._table.values]
        self._symbols = pl.Series("symbol", names, pl.String)

    def find_symbols(
        self, instrument_id: NDArray[np.uint32], ts_recv: NDArray[np.uint64]
    ) -> pl.Series:
        """The symbol of each row (String); null where the map has none."""
        return self._symbols[self._table.entries(instrument_id, ts_recv)]


class FrameSymbols:
    """Symbols for the frames of a stream, from a map that grows as the stream is read.

    Args:
        symbol_map: the map.
        names: the symbols or instrument ids that the stream was selected by: rows have no other
            symbols. Empty: all symbols of the map.
    """

    def __init__(self, symbol_map: SymbolMap, names: Sequence[str] = ()) -> None:
        self._symbol_map, self._names = symbol_map, selected_names(names)
        self._interval_count = -1

    def find_symbols(self, frame: pl.DataFrame, time: str) -> pl.Series:
        """The symbol of each row's instrument at the time in a column (null: the epoch)."""
        if len(self._symbol_map) != self._interval_count:
            self._interval_count = len(self._symbol_map)
            known = self._symbol_map
            self._table = SymbolTable(known.select(self._names) if self._names else known)
        return self._table.find_symbols(frame["instrument_id"].to_numpy(), times_ns(frame, time))


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
        table = FrameSymbols(symbol_map)
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
