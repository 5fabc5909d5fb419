"""Batches as a LazyFrame: an IO source that does no more than the query needs.

The rule here: rows come in the order of the batches, and what a query leaves out costs nothing. A
column that is not wanted is not converted; a row that a predicate drops is never made; after the
last row of a limit no batch is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.io.plugins import register_io_source

from batonics.frames.columns.mbo_frame import MBO_SCHEMA, from_frame, to_frame
from batonics.frames.scan.symbols import SymbolTable
from batonics.model.mbo import MboBatch, slice_batch, take_batch
from batonics.model.symbols import SymbolMap

SYMBOL = "symbol"


def scan_batches(
    open_batches: Callable[[], Iterator[MboBatch]],
    *,
    symbols: Callable[[], SymbolMap] | None = None,
) -> pl.LazyFrame:
    """A LazyFrame of `MBO_SCHEMA` over batches; with `symbols`, and a column `symbol` (String).

    Args:
        open_batches: called at each collection. What it returns is iterated once, in order, and
            dropped as soon as no more rows are wanted. Batches may reuse their arrays. What it
            raises reaches the caller of `collect` as it is.
        symbols: the names of instruments, asked for after each batch is read if the query wants
            `symbol`. A map that has grown is seen if it is a new object. Rows without a name are
            null.
    """
    schema = pl.Schema(MBO_SCHEMA)
    if symbols is not None:
        schema[SYMBOL] = pl.String()
    reader = _BatchReader(open_batches, symbols or SymbolMap, list(schema))
    frame = register_io_source(
        reader.frames, schema=schema, validate_schema=True, explain_name="MBO"
    )
    setattr(frame, _BATCHES, open_batches)
    return frame


_BATCHES = "_batonics_batches"


def has_batches(records: pl.LazyFrame) -> bool:
    """Whether `batches_of` gives the batches that the frame was made of."""
    return hasattr(records, _BATCHES)


def batches_of(records: pl.LazyFrame, books: pl.Expr | None = None) -> Iterator[MboBatch]:
    """The batches of a frame of MBO records, in order; `channel_id` is not asked for.

    With `books`, a predicate on publisher_id and instrument_id, only their rows.

    Of a frame that `scan_batches` made, and that nothing was done to, they are its own: what books
    are made of does not become a frame first, which would cost more than the books.
    """
    own: Callable[[], Iterator[MboBatch]] | None = getattr(records, _BATCHES, None)
    if own is not None:
        for batch in own():
            yield batch if books is None else _of_books(batch, books)
        return
    if books is not None:
        records = records.filter(books)
    present = records.collect_schema().names()
    columns = [name for name in MBO_SCHEMA if name in present and name != "channel_id"]
    for frame in records.select(columns).collect_batches(lazy=True, maintain_order=True):
        yield from_frame(frame)


def _of_books(batch: MboBatch, books: pl.Expr) -> MboBatch:
    keys = to_frame(batch, ["publisher_id", "instrument_id"])
    kept = keys.with_columns(books.alias(_KEPT)).get_column(_KEPT)
    return take_batch(batch, kept.arg_true().to_numpy())


class _BatchReader:
    """What one LazyFrame reads from; each collection of it is one call of `frames`."""

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
        batch_size: int | None,  # noqa: ARG002 - a hint; the batches have their size
    ) -> Iterator[pl.DataFrame]:
        """The frames of one collection."""
        columns = self._columns if with_columns is None else with_columns
        convert = _Converter(self._symbols)
        for batch in _limited(self._open_batches, n_rows):
            if predicate is None:
                yield convert.copied(batch, columns, None)
                continue
            # A predicate may name no column: it is then as long as the batch by the first one.
            tested = convert(batch, dict.fromkeys(predicate.meta.root_names() or columns[:1]))
            kept = tested.with_columns(predicate.alias(_KEPT)).get_column(_KEPT)
            rows = kept.arg_true().to_numpy()
            if len(rows):
                yield convert.copied(batch, columns, rows if len(rows) < len(kept) else None)


_KEPT = "\0kept"


class _Converter:
    """Batches to frames of MBO columns and, for those who ask for it, the symbol."""

    def __init__(self, symbols: Callable[[], SymbolMap]) -> None:
        self._symbols = symbols
        self._seen: tuple[SymbolMap, SymbolTable] | None = None

    def __call__(self, batch: MboBatch, columns: Collection[str]) -> pl.DataFrame:
        """The columns asked for, sharing memory with the batch."""
        frame = to_frame(batch, [name for name in columns if name != SYMBOL])
        if SYMBOL not in columns:
            return frame
        names = self._table().names(batch.instrument_id, batch.ts_recv)
        return pl.DataFrame([*frame.get_columns(), names.alias(SYMBOL)]).select(list(columns))

    def copied(
        self, batch: MboBatch, columns: list[str], rows: NDArray[np.int64] | None
    ) -> pl.DataFrame:
        """The columns asked for, of these rows or all: a producer may reuse what it gave us."""
        read = {*columns, "instrument_id", "ts_recv"} if SYMBOL in columns else set(columns)
        owned = {
            name: getattr(batch, name)[rows] if rows is not None else getattr(batch, name).copy()
            for name in read - {SYMBOL}
        }
        return self(batch._replace(**owned), columns)

    def _table(self) -> SymbolTable:
        symbol_map = self._symbols()
        if self._seen is None or self._seen[0] is not symbol_map:
            self._seen = symbol_map, SymbolTable(symbol_map)
        return self._seen[1]


def _limited(
    open_batches: Callable[[], Iterator[MboBatch]], n_rows: int | None
) -> Iterator[MboBatch]:
    """The first `n_rows` rows; Polars counts them before it filters."""
    if n_rows is None:
        yield from open_batches()
    elif n_rows > 0:
        for batch in open_batches():
            first = slice_batch(batch, 0, n_rows)
            n_rows -= len(first.action)
            yield first
            if n_rows == 0:
                return
