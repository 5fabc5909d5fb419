"""Batches of MBO records as a LazyFrame, and back.

The rule here: rows come in the order of the batches, and a query pays only for what it needs.
Columns that it does not select are not converted, rows that its predicate drops are not made, and
no batch is read after the last row of a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.io.plugins import register_io_source

from batonics.frames.columns.mbo_frame import MBO_SCHEMA, from_frame, to_frame
from batonics.frames.scan.sessions import SessionCalendar
from batonics.frames.scan.sources import mark_frame_source
from batonics.frames.scan.symbols import AliasWarning, GrowingSymbols
from batonics.model.absences import Absences
from batonics.model.book_changes import BookChanges
from batonics.model.coverage import Holes
from batonics.model.day_conditions import DoubtfulDays
from batonics.model.mbo import MboBatch, slice_batch, take_batch
from batonics.model.record_times import RecordTimes
from batonics.model.symbols import SymbolMap

SYMBOL = "symbol"


class StreamFacts(NamedTuple):
    """What a stream knows of its instruments, apart from its records.

    Attributes:
        symbols: returns the names of instruments so far. A map that has grown may be a new object.
        statuses: returns the trading statuses so far. They may grow as the stream is read.
        sessions: the sessions of the market, for books without statuses; None: not known.
        doubtful_days: the days that the vendor does not vouch for.
        find_holes: returns the times so far that no file covers (`model/coverage.py`).
        find_absences: returns the times so far for which records of an instrument are missing.
    """

    symbols: Callable[[], SymbolMap] = SymbolMap
    statuses: Callable[[], BookChanges] = BookChanges
    sessions: SessionCalendar | None = None
    doubtful_days: DoubtfulDays = ()
    find_holes: Callable[[], Holes] = tuple
    find_absences: Callable[[], Absences] = Absences


def scan_batches(
    open_batches: Callable[[], Iterator[MboBatch]],
    *,
    symbols: Callable[[], SymbolMap] | None = None,
    facts: StreamFacts | None = None,
) -> pl.LazyFrame:
    """A LazyFrame of `MBO_SCHEMA` over batches; with `symbols` it has a column `symbol` (String).

    Args:
        open_batches: called at each collection. The iterator that it returns is read once, in
            order, and dropped when no more rows are needed. Batches may reuse their arrays. An
            exception that it raises reaches the caller of `collect` unchanged.
        symbols: returns the names of instruments. It is called after each batch if the query
            selects `symbol`. A map that has grown must be a new object. Instruments without a name
            get null.
        facts: what extra columns of derived rows are made of; None: nothing is known.
    """
    schema = pl.Schema(MBO_SCHEMA)
    if symbols is not None:
        schema[SYMBOL] = pl.String()
    reader = _BatchReader(open_batches, symbols or SymbolMap, list(schema))
    frame = register_io_source(
        reader.frames, schema=schema, validate_schema=True, explain_name="MBO"
    )
    mark_frame_source(frame, lambda asked: reader.frames(list(asked.columns), None, None, None))
    setattr(frame, _BATCHES, open_batches)
    setattr(frame, _FACTS, facts)
    return frame


_BATCHES = "_batonics_batches"
_FACTS = "_batonics_facts"


def facts_of(records: pl.LazyFrame) -> StreamFacts | None:
    """The facts that `scan_batches` was given; None: none, or the frame is another."""
    facts: StreamFacts | None = getattr(records, _FACTS, None)
    return facts


def has_batches(records: pl.LazyFrame) -> bool:
    """Whether `batches_of` returns the batches that `scan_batches` was given."""
    return hasattr(records, _BATCHES)


def batches_of(records: pl.LazyFrame, books: pl.Expr | None = None) -> Iterator[MboBatch]:
    """The batches of a frame of MBO records, in order; `channel_id` may be left out.

    An unchanged frame of `scan_batches` gives its own batches: converting them to a frame and back
    would cost more than building the books.

    Args:
        records: MBO records, in their order.
        books: a predicate on publisher_id and instrument_id that the rows must meet; None: all
            rows.
    """
    own: Callable[[], Iterator[MboBatch]] | None = getattr(records, _BATCHES, None)
    if own is not None:
        for batch in own():
            yield batch if books is None else _filter_books(batch, books)
        return
    if books is not None:
        records = records.filter(books)
    present = records.collect_schema().names()
    columns = [name for name in MBO_SCHEMA if name in present and name != "channel_id"]
    for frame in records.select(columns).collect_batches(lazy=True, maintain_order=True):
        yield from_frame(frame)


def _filter_books(batch: MboBatch, books: pl.Expr) -> MboBatch:
    keys = to_frame(batch, ["publisher_id", "instrument_id"])
    kept = keys.with_columns(books.alias(_KEPT)).get_column(_KEPT)
    return take_batch(batch, kept.arg_true().to_numpy())


class _BatchReader:
    """The source of one LazyFrame; each collection is one call of `frames`."""

    def __init__(
        self,
        open_batches: Callable[[], Iterator[MboBatch]],
        symbols: Callable[[], SymbolMap],
        columns: list[str],
    ) -> None:
        self._open_batches = open_batches
        self._symbols = symbols
        self._columns = columns

    def frames(
        self,
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG002 - a hint; the batches have their own size
    ) -> Iterator[pl.DataFrame]:
        """The frames of one collection."""
        columns = self._columns if with_columns is None else with_columns
        # A predicate may name no column: the first column then gives the length.
        tested_columns = [] if predicate is None else predicate.meta.root_names() or columns[:1]
        convert = _Converter(self._symbols, {*columns, *tested_columns})
        tests_symbols = SYMBOL in tested_columns
        shows_symbols = SYMBOL in columns and not tests_symbols
        for batch in _limit_rows(self._open_batches, n_rows):
            times = convert.find_times(batch)
            if predicate is None:
                rows = None
            else:
                tested = convert(batch, times, dict.fromkeys(tested_columns))
                kept = _test(tested, predicate)
                if tests_symbols:
                    convert.warn_of_aliases(batch, times, partial(_test_aliases, tested, predicate))
                rows = None if kept.all() else kept.arg_true().to_numpy()
            if rows is None or len(rows):
                copied, copied_times = convert.copy(batch, times, columns, rows)
                if shows_symbols:
                    convert.warn_of_aliases(copied, copied_times)
                yield convert(copied, copied_times, columns)


_KEPT = "\0kept"


def _test(rows: pl.DataFrame, predicate: pl.Expr) -> pl.Series:
    """(rows,) Whether a predicate keeps each row (Boolean); null does not."""
    return rows.with_columns(predicate.alias(_KEPT)).get_column(_KEPT).fill_null(value=False)


def _test_aliases(
    rows: pl.DataFrame, predicate: pl.Expr, numbers: pl.Series, symbols: pl.Series
) -> pl.Series:
    """Whether a predicate would keep rows of these numbers if they had other symbols."""
    return _test(rows[numbers].with_columns(symbols.alias(SYMBOL)), predicate)


class _Converter:
    """Converts the batches of a stream to frames of MBO columns and, if selected, the symbol.

    Args:
        symbols: as `scan_batches` has it.
        columns: the columns that are selected or tested.
    """

    def __init__(self, symbols: Callable[[], SymbolMap], columns: Collection[str]) -> None:
        self._symbols = symbols
        self._times = RecordTimes() if SYMBOL in columns else None
        self._seen: tuple[SymbolMap, GrowingSymbols] | None = None
        self._alias_warning = AliasWarning()

    def find_times(self, batch: MboBatch) -> NDArray[np.uint64]:
        """The times of the next batch, which its symbols depend on."""
        if self._times is None:
            return batch.ts_recv
        return self._times.find_times(batch.ts_recv, batch.flags)

    def __call__(
        self, batch: MboBatch, times: NDArray[np.uint64], columns: Collection[str]
    ) -> pl.DataFrame:
        """The columns, sharing memory with the batch."""
        frame = to_frame(batch, [name for name in columns if name != SYMBOL])
        if SYMBOL not in columns:
            return frame
        symbols = self._growing().at_times(times).find_symbols(batch.instrument_id, times)
        return pl.DataFrame([*frame.get_columns(), symbols.alias(SYMBOL)]).select(list(columns))

    def copy(
        self,
        batch: MboBatch,
        times: NDArray[np.uint64],
        columns: list[str],
        rows: NDArray[np.int64] | None,
    ) -> tuple[MboBatch, NDArray[np.uint64]]:
        """What columns of some rows or of all are made of: the producer may reuse its arrays."""
        read = {*columns, "instrument_id"} if SYMBOL in columns else set(columns)
        owned = {
            name: getattr(batch, name)[rows] if rows is not None else getattr(batch, name).copy()
            for name in read - {SYMBOL}
        }
        return batch._replace(**owned), times if rows is None else times[rows]

    def warn_of_aliases(
        self,
        batch: MboBatch,
        times: NDArray[np.uint64],
        would_keep: Callable[[pl.Series, pl.Series], pl.Series] | None = None,
    ) -> None:
        """Warn of rows with several symbols, as `AliasWarning.check` does."""
        table = self._growing().at_times(times)
        self._alias_warning.check(table, batch.instrument_id, times, would_keep)

    def _growing(self) -> GrowingSymbols:
        symbol_map = self._symbols()
        if self._seen is None or self._seen[0] is not symbol_map:
            self._seen = symbol_map, GrowingSymbols(symbol_map)
        return self._seen[1]


def _limit_rows(
    open_batches: Callable[[], Iterator[MboBatch]], n_rows: int | None
) -> Iterator[MboBatch]:
    """The first `n_rows` rows. Polars counts rows before it filters them."""
    if n_rows is None:
        yield from open_batches()
    elif n_rows > 0:
        for batch in open_batches():
            first = slice_batch(batch, 0, n_rows)
            n_rows -= len(first.action)
            yield first
            if n_rows == 0:
                return
