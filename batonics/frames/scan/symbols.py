"""Names for whole columns of instruments at once.

The rule here: a row's name is what `SymbolMap.symbol` says for its instrument at its `ts_recv`
(rule 2). The map is only laid out differently, as a sorted table that a column is looked up in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Generic

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.frames.scan.derived_source import DerivationPlan, derived_source
from batonics.frames.scan.sources import BOOK_KEY
from batonics.model.errors import UsageError
from batonics.model.symbols import IntervalMap, SymbolMap, TInterval


class IntervalTable(Generic[TInterval]):
    """An `IntervalMap`, as it is when the table is made, for lookups of whole columns.

    Attributes:
        values: what may hold, by entry; None where nothing does.
    """

    def __init__(self, known: IntervalMap[TInterval]) -> None:
        intervals = known.intervals()
        edges = {(i.instrument_id, edge) for i in intervals for edge in (i.start_ns, i.end_ns)}
        # From one edge to the next the same holds for an instrument, or nothing.
        changes = sorted(edges)
        self._ids = np.unique(np.array([instrument_id for instrument_id, _ in changes], np.uint32))
        self._edges_ns = np.unique(np.array([edge for _, edge in changes], np.uint64))
        self._changes = self._places(
            np.array([instrument_id for instrument_id, _ in changes], np.uint32),
            np.array([edge for _, edge in changes], np.uint64),
        )
        # Entry 0 is for what comes before an instrument's first edge.
        self.values: list[TInterval | None] = [None, *(known.at(*change) for change in changes)]

    def entries(
        self, instrument_id: NDArray[np.uint32], ts_ns: NDArray[np.uint64]
    ) -> NDArray[np.intp]:
        """The entry of each row's instrument at its time."""
        if len(ts_ns) > 1 and self._are_alike(instrument_id, ts_ns):
            return self.entries(instrument_id[:1], ts_ns[:1]).repeat(len(ts_ns))
        entry = np.searchsorted(self._changes, self._places(instrument_id, ts_ns), side="right")
        at = np.searchsorted(self._ids, instrument_id)
        # The entry before a row's place is of another instrument if its own has none yet.
        own = np.searchsorted(self._changes, at.astype(np.uint64) << np.uint64(32))
        known = (at < len(self._ids)) & (entry > own)
        known &= self._ids.take(at, mode="clip") == instrument_id if len(self._ids) else False
        return np.where(known, entry, 0)

    def _are_alike(self, instrument_id: NDArray[np.uint32], ts_ns: NDArray[np.uint64]) -> bool:
        """Whether all rows are of one instrument, and no edge lies between their times."""
        ends = np.array([ts_ns.min(), ts_ns.max()])
        first, last = np.searchsorted(self._edges_ns, ends, side="right")
        return bool(first == last and instrument_id.min() == instrument_id.max())

    def _places(
        self, instrument_id: NDArray[np.uint32], ts_ns: NDArray[np.uint64]
    ) -> NDArray[np.uint64]:
        """Ranks of instrument and time in one word; a time's rank counts the edges up to it."""
        at = np.searchsorted(self._ids, instrument_id).astype(np.uint64)
        edge = np.searchsorted(self._edges_ns, ts_ns, side="right").astype(np.uint64)
        return at << np.uint64(32) | edge


class SymbolTable:
    """A `SymbolMap`, as it is when the table is made, for lookups of whole columns."""

    def __init__(self, symbol_map: SymbolMap) -> None:
        self._table = IntervalTable(symbol_map)
        names = [value and value.symbol for value in self._table.values]
        self._names = pl.Series("symbol", names, pl.String)

    def names(self, instrument_id: NDArray[np.uint32], ts_recv: NDArray[np.uint64]) -> pl.Series:
        """The name of each row (String), null where nothing names it."""
        return self._names[self._table.entries(instrument_id, ts_recv)]


class FrameSymbols:
    """Names for the frames of a stream, from a map that grows as the stream is read."""

    def __init__(self, symbol_map: SymbolMap) -> None:
        self._symbol_map = symbol_map
        self._intervals_known = -1

    def of(self, frame: pl.DataFrame, time: str) -> pl.Series:
        """The name of each row's instrument at the time in that column (null: the epoch)."""
        if len(self._symbol_map) != self._intervals_known:
            self._intervals_known = len(self._symbol_map)
            self._table = SymbolTable(self._symbol_map)
        return self._table.names(frame["instrument_id"].to_numpy(), times_ns(frame, time))


def times_ns(frame: pl.DataFrame, time: str) -> NDArray[np.uint64]:
    """A column of times, in nanoseconds since the epoch; null is the epoch."""
    physical = frame[time].cast(pl.Int64)
    known = physical.fill_null(0) if physical.null_count() else physical
    ts_ns: NDArray[np.uint64] = known.to_numpy().view(np.uint64)  # as it is, not converted
    return ts_ns


def add_symbols(rows: pl.LazyFrame, names: SymbolMap, *, time: str | None = None) -> pl.LazyFrame:
    """Rows of instruments, with a column `symbol` after their own; as `instrument_source`."""

    def make(time: str) -> AddColumns:
        table = FrameSymbols(names)
        return lambda frame: frame.with_columns(table.of(frame, time).alias("symbol"))

    return instrument_source("SYMBOLS", rows, pl.Schema({"symbol": pl.String()}), make, time=time)


ROW_TIMES = ("ts_recv", "ts", "ts_event", "ts_close", "ts_recv_end", "ts_recv_start")
"""Columns whose time is a row's, if none is named: the first of these that there is."""
AddColumns = Callable[[pl.DataFrame], pl.DataFrame]


def instrument_source(  # noqa: PLR0913 - one call a kind of column
    name: str,
    rows: pl.LazyFrame,
    added: pl.Schema,
    make: Callable[[str], AddColumns],
    reads: Sequence[str] = (),
    *,
    time: str | None = None,
) -> pl.LazyFrame:
    """Rows of instruments, as they are pulled, with columns that depend on instrument and time.

    Args:
        name: shown by `explain`.
        rows: have publisher_id, instrument_id and a time.
        added: the columns to be added.
        make: called at each collection with the name of the time; gives what adds them to a frame.
        reads: further columns that it needs.
        time: the column that tells a row's time; None: the first of `ROW_TIMES` that there is.

    Raises:
        UsageError: a column is missing, or is there already.
    """
    schema = rows.collect_schema()
    if time is None:
        time = next((column for column in ROW_TIMES if column in schema), ROW_TIMES[0])
    needed = {*BOOK_KEY, time, *reads}
    for column in sorted(needed - set(schema)):
        raise UsageError(f"column {column} is missing: rows of instruments and times are expected")
    for column in sorted(set(added) & set(schema)):
        raise UsageError(f"there is a column {column} already")

    def plan(wanted: Collection[str]) -> DerivationPlan:
        add = make(time)
        columns = sorted((set(wanted) - set(added)) | needed)
        return DerivationPlan(columns, lambda frames: (add(frame) for frame in frames))

    return derived_source(name, rows, pl.Schema({**schema, **added}), plan)
