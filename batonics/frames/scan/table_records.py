"""LazyFrames of MBO records from other writers, as LazyFrames of our own columns.

The rule here: `codec/mbo_columns.py` says what is taken, as for files; a frame is converted while
it is read, so nothing needs to fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from batonics.frames.columns.mbo_frame import BOOK_COLUMNS, MBO_SCHEMA
from batonics.frames.scan.mbo_scan import StreamFacts, has_batches, scan_batches
from batonics.model.errors import InputError, UsageError
from batonics.model.mbo import MboBatch
from batonics.model.symbols import SymbolMap


def as_mbo_records(records: pl.LazyFrame) -> pl.LazyFrame:
    """A LazyFrame of MBO columns; the same one if it has them, or is no table of records.

    Args:
        records: MBO records in any layout that files may have: other names of types, prices as
            decimals, floats or text, times as text. A column `symbol` becomes the names of
            instruments on the dates of its rows.

    Raises:
        UsageError: a column has a type that holds no such values, or is there twice.
    """
    if has_batches(records):
        return records
    schema = records.collect_schema()
    if all(schema.get(name) == MBO_SCHEMA[name] for name in BOOK_COLUMNS):
        return records
    if not {"order_id", "price"} <= set(schema):
        return records  # what it lacks is said by what needs it
    rows = _TableRows(records, schema)
    symbols = rows.symbols if "symbol" in schema else None
    facts = None if symbols is None else StreamFacts(symbols=symbols)
    return scan_batches(rows.batches, symbols=symbols, facts=facts)


class _TableRows:
    """The rows of a LazyFrame, converted at each collection."""

    def __init__(self, records: pl.LazyFrame, schema: pl.Schema) -> None:
        from batonics.codec.mbo_columns import TABLE_COLUMNS, MboColumns

        names = [name for name in schema if name in TABLE_COLUMNS]
        self._records = records.select(names)
        self._symbols = SymbolMap()
        empty = pl.DataFrame(schema={name: schema[name] for name in names}).to_arrow()
        self._schema = empty.schema
        try:
            MboColumns(self._schema).convert(empty.combine_chunks())
        except InputError as error:
            raise UsageError(f"{error}: books are built from MBO records") from None

    def symbols(self) -> SymbolMap:
        """The names so far."""
        return self._symbols

    def batches(self) -> Iterator[MboBatch]:
        """The batches of one collection."""
        from batonics.codec.column_notes import BadValueError
        from batonics.codec.mbo_columns import MboColumns

        columns = MboColumns(self._schema)
        symbols = self._symbols = SymbolMap()
        rows = 0
        for frame in self._records.collect_batches(lazy=True, maintain_order=True):
            try:
                batch = columns.convert(frame.to_arrow().combine_chunks())
            except BadValueError as error:
                raise InputError(f"row {rows + error.row}: {error.reason}") from None
            rows += frame.height
            for name in columns.new_names():
                symbols.add(name)
            yield batch
        columns.finish()
