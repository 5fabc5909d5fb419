"""Columns that say in which state the book of a row was (`frames/columns/book_state.py`).

The rule here: what a row's state is follows from the stream alone: its names, its status records,
its flags, the prices of the row. No file is read for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.frames.columns.book_state import (
    BOOK_STATUS,
    BOOK_STATUS_TYPE,
    CROSSED,
    EXTRA_SCHEMA,
    STATUS,
    STATUS_END,
    STATUS_TYPE,
    best_prices,
    is_crossed,
)
from batonics.frames.columns.mbo_frame import (
    MBO_SCHEMA,
    TIME_TYPE,
    category_series,
    from_frame,
)
from batonics.frames.scan.book_changes import NO_END, NO_VALUE, BookStatusTracker, ChangeTable
from batonics.frames.scan.mbo_scan import (
    SYMBOL,
    StreamFacts,
    batches_of,
    facts_of,
    scan_batches,
)
from batonics.frames.scan.sources import Projection, frame_source, pull_frames
from batonics.frames.scan.symbols import ROW_TIMES, AliasWarning, FrameSymbols, times_ns
from batonics.frames.scan.trading_statuses import TradingStatuses
from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP, MboBatch
from batonics.model.symbols import MappingInterval, SymbolMap


def check_extra(extra: Collection[str], rows: Collection[str] | None = None) -> tuple[str, ...]:
    """The names of extra columns in their order.

    Args:
        extra: the names that were asked for.
        rows: the columns of the rows that they are added to; None: not known yet.

    Raises:
        UsageError: there is no such column, or it needs prices that the rows do not have.
    """
    if isinstance(extra, str):
        extra = (extra,)
    for name in extra:
        if name not in EXTRA_SCHEMA:
            known = ", ".join(EXTRA_SCHEMA)
            raise UsageError(f"extra column {name!r} is unknown: there are {known}")
    if CROSSED in extra and rows is not None and CROSSED not in rows and not best_prices(rows):
        raise UsageError("extra column crossed: these rows have no best bid and ask")
    return tuple(name for name in EXTRA_SCHEMA if name in extra)


class RowExtras:
    """Adds extra columns to the frames of one stream.

    Args:
        names: the names of columns of `EXTRA_SCHEMA`, in the order of the result; and `STATUS_END`,
            the time at which the status ends (Datetime ns UTC), null where it is not known yet.
        facts: what the stream knows.
        tracker: follows the books of the stream for several of these; None: `watch` follows them.
    """

    def __init__(
        self,
        names: Collection[str],
        facts: StreamFacts,
        tracker: BookStatusTracker | None = None,
    ) -> None:
        self._names = names
        self._facts = facts
        self._symbol_map: SymbolMap | None = None
        self._alias_warning = AliasWarning()
        self._follows = tracker is None and BOOK_STATUS in names
        self._tracker = tracker or BookStatusTracker()
        self._book_status = ChangeTable(self._tracker.changes)
        self._statuses: TradingStatuses | None = None

    def watch(self, batches: Iterator[MboBatch]) -> Iterator[MboBatch]:
        """The batches of the stream, each noted before it is given."""
        return self._tracker.watch(batches) if self._follows else batches

    def note(self, batch: MboBatch) -> None:
        """Note the records of the next batch."""
        if self._follows:
            self._tracker.note(batch)

    def add_to(
        self, frame: pl.DataFrame, time: str, *, ends_interval: bool = False
    ) -> pl.DataFrame:
        """The next frame with the columns.

        Args:
            frame: rows with publisher_id and instrument_id.
            time: the column that has a row's time.
            ends_interval: the time is the end of the interval that the row covers: the statuses are
                those of the moment before.
        """
        added: list[pl.Series | pl.Expr] = []
        if SYMBOL in self._names:
            added.append(self._find_symbols(frame, time))
        if {STATUS, STATUS_END, BOOK_STATUS} & set(self._names):
            keys = frame["publisher_id"].cast(pl.Int64).to_numpy() << 32
            keys |= frame["instrument_id"].to_numpy()
            ts_ns = times_ns(frame, time)
            if ends_interval:
                ts_ns = ts_ns - (ts_ns > 0)
            added += self._find_statuses(keys, ts_ns)
        if CROSSED in self._names:
            added.append(is_crossed(frame.columns).alias(CROSSED))
        return frame.with_columns(added).select([*frame.columns, *self._names])

    def _find_symbols(self, frame: pl.DataFrame, time: str) -> pl.Series:
        symbol_map = self._facts.symbols()
        if symbol_map is not self._symbol_map:
            self._symbol_map = symbol_map
            self._symbols = FrameSymbols(symbol_map, alias_warning=self._alias_warning)
        return self._symbols.find_symbols(frame, time).alias(SYMBOL)

    def _find_statuses(
        self, keys: NDArray[np.int64], ts_ns: NDArray[np.uint64]
    ) -> Iterator[pl.Series]:
        if BOOK_STATUS in self._names:
            value = self._book_status.find(keys, ts_ns).value
            yield category_series(BOOK_STATUS, value.astype(np.uint8), BOOK_STATUS_TYPE)
        if not {STATUS, STATUS_END} & set(self._names):
            return
        if self._statuses is None:
            self._statuses = TradingStatuses(self._facts.statuses(), self._facts.sessions)
        value, end_ns = self._statuses.find(keys, ts_ns)
        for absence in self._facts.find_absences().intervals():
            is_own = (keys & 0xFFFFFFFF == absence.instrument_id) & (ts_ns < absence.start_ns)
            end_ns = np.where(is_own, np.minimum(end_ns, absence.start_ns), end_ns)
        if STATUS in self._names:
            # The codes of statuses begin with 1.
            codes = pl.Series(STATUS, (value - 1).astype(np.uint8))
            known = codes.set(pl.Series(value == NO_VALUE), None)
            yield known.cat.to(STATUS_TYPE)
        if STATUS_END in self._names:
            ends = pl.Series(STATUS_END, end_ns)
            yield ends.set(ends == NO_END, None).cast(TIME_TYPE)


@dataclass
class _NamedRecords:
    """The batches of records that a query made of a scan, and the names in their column `symbol`.

    Attributes:
        records: MBO records.
        symbols: the names so far.
    """

    records: pl.LazyFrame
    symbols: SymbolMap

    def batches(self) -> Iterator[MboBatch]:
        """The batches; the names of each are noted before it is given."""
        present = self.records.collect_schema().names()
        columns = [name for name in (*MBO_SCHEMA, SYMBOL) if name in present]
        for frame in self.records.select(columns).collect_batches(lazy=True, maintain_order=True):
            if SYMBOL in columns:
                self._note(frame)
            yield from_frame(frame)

    def _note(self, frame: pl.DataFrame) -> None:
        named = frame.unique(["instrument_id", SYMBOL], keep="first", maintain_order=True)
        for instrument_id, symbol, ts_ns in named.select(
            "instrument_id", SYMBOL, pl.col("ts_recv").to_physical().fill_null(0)
        ).rows():
            start_ns = ts_ns if instrument_id in self.symbols else 0
            if symbol is not None and self.symbols.symbol(instrument_id, ts_ns) != symbol:
                self.symbols.add(MappingInterval(start_ns, UNDEF_TIMESTAMP, instrument_id, symbol))


def with_extra(
    records: pl.LazyFrame,
    make_rows: Callable[[pl.LazyFrame], pl.LazyFrame],
    extra: Collection[str],
    *,
    ends_interval: bool = False,
) -> pl.LazyFrame:
    """Rows that derive from records, with extra columns after their own.

    Args:
        records: MBO records, in their order.
        make_rows: makes the rows from the records. They have publisher_id, instrument_id and a
            time.
        extra: the names of columns of `EXTRA_SCHEMA`.
        ends_interval: the time of a row is the end of the interval that it covers.

    Raises:
        UsageError: there is no such column, or what it needs is not known of these records.
    """
    plain = make_rows(records)
    if not extra:
        return plain
    schema = plain.collect_schema()
    names = [name for name in check_extra(extra, schema) if name not in schema]
    facts = facts_of(records)
    if facts is None and STATUS in names:
        raise UsageError(
            "extra column status: statuses are known of the records of scan_mbo as they are; select"
            " from the result instead"
        )
    if facts is None and SYMBOL in names and SYMBOL not in records.collect_schema():
        raise UsageError("extra column symbol: the records have no column symbol")
    time = next(name for name in ROW_TIMES if name in schema)

    def make_frames(projection: Projection) -> Iterator[pl.DataFrame]:
        wanted = [name for name in names if name in projection.columns]
        reads = (set(projection.columns) - set(names)) | {"publisher_id", "instrument_id", time}
        if CROSSED in wanted:
            reads |= set(best_prices(schema))
        named = _NamedRecords(records, SymbolMap())
        extras = RowExtras(wanted, facts or StreamFacts(lambda: named.symbols))
        open_batches = named.batches if facts is None else lambda: batches_of(records)
        rows = make_rows(scan_batches(lambda: extras.watch(open_batches()), facts=facts))
        if projection.book_filter is not None:
            rows = rows.filter(projection.book_filter)
        for frame in pull_frames(rows, [name for name in schema if name in reads]):
            yield extras.add_to(frame, time, ends_interval=ends_interval)

    return frame_source(
        "EXTRA COLUMNS", pl.Schema({**schema, **{n: EXTRA_SCHEMA[n] for n in names}}), make_frames
    )
