"""MBO records as a Polars frame and back: the schema, and two lossless conversions.

The rule here: a null in a frame stands for a sentinel of the wire format, and for nothing else
(rule 19). Both directions are therefore exact, and a frame never shows a sentinel as a number.

| column                        | dtype              | unit, null                                  |
|-------------------------------|--------------------|---------------------------------------------|
| ts_recv, ts_event             | Datetime(ns, UTC)  | null: UNDEF_TIMESTAMP                       |
| publisher_id, instrument_id   | UInt16, UInt32     |                                             |
| action, side                  | Enum               | the one-letter codes of `Action` and `Side` |
| price                         | Int64              | 1e-9; null: UNDEF_PRICE                     |
| size                          | UInt32             | null: UNDEF_ORDER_SIZE                      |
| channel_id, order_id, flags   | UInt8, UInt64, UInt8 | channel_id 255: none                      |
| ts_in_delta                   | Int32              | nanoseconds                                 |
| sequence                      | UInt32             |                                             |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars._typing import PolarsDataType

from batonics.model.errors import UsageError
from batonics.model.mbo import (
    MBO_COLUMN_DTYPES,
    Action,
    MboBatch,
    Side,
)
from batonics.model.record_columns import NULL_VALUES, OPTIONAL_DEFAULTS

TIME_TYPE = pl.Datetime("ns", "UTC")
ACTION_TYPE = pl.Enum([chr(code) for code in Action])
SIDE_TYPE = pl.Enum([chr(code) for code in Side])
BOOK_SIDE_TYPE = pl.Enum(["B", "A"])
"""The type of a level's side: a level always has one."""

_COLUMNS: dict[str, PolarsDataType] = {
    "ts_recv": TIME_TYPE,
    "ts_event": TIME_TYPE,
    "publisher_id": pl.UInt16,
    "instrument_id": pl.UInt32,
    "action": ACTION_TYPE,
    "side": SIDE_TYPE,
    "price": pl.Int64,
    "size": pl.UInt32,
    "channel_id": pl.UInt8,
    "order_id": pl.UInt64,
    "flags": pl.UInt8,
    "ts_in_delta": pl.Int32,
    "sequence": pl.UInt32,
}
MBO_SCHEMA = pl.Schema(_COLUMNS)
"""The columns of MBO records, in the vendor's order."""

BOOK_COLUMNS = [name for name in MBO_SCHEMA if name not in OPTIONAL_DEFAULTS]
"""Columns that a frame needs for books to be built from it."""

NO_CATEGORY = 255
"""The category of a byte that is not a letter of its column."""


def _tables(codes: type[Action | Side]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two tables: from ASCII code to category, and from category to ASCII code."""
    letters = np.array(list(codes), np.uint8)
    categories = np.full(256, NO_CATEGORY, np.uint8)
    categories[letters] = np.arange(len(letters))
    return categories, letters


_CODES = {"action": _tables(Action), "side": _tables(Side)}
CATEGORIES = {name: categories for name, (categories, _) in _CODES.items()}
"""By column: the category of each ASCII code, or `NO_CATEGORY`."""
LETTER_TYPES = {"action": ACTION_TYPE, "side": SIDE_TYPE}
"""By column: its dtype."""
LETTERS = {name: letters for name, (_, letters) in _CODES.items()}
"""By column: the ASCII code of each category."""


def to_frame(batch: MboBatch, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """A batch as a frame.

    A column without undefined values shares memory with the batch. The frame is valid until the
    batch's arrays change.

    Args:
        batch: MBO records.
        columns: names of columns of `MBO_SCHEMA`, in the order of the result. None: all of them.
    """
    names = MBO_SCHEMA if columns is None else columns
    return pl.DataFrame([_to_series(name, getattr(batch, name)) for name in names])


def _to_series(name: str, column: NDArray[Any]) -> pl.Series:
    if name in CATEGORIES:
        return category_series(name, CATEGORIES[name].take(column), LETTER_TYPES[name])
    if MBO_SCHEMA[name] == TIME_TYPE:
        return to_datetimes(column).alias(name)
    if name in NULL_VALUES:
        return null_where(column, column == NULL_VALUES[name]).alias(name)
    return pl.Series(name, column)


def category_series(name: str, codes: NDArray[np.uint8], dtype: pl.Enum) -> pl.Series:
    """A column of an Enum from the codes of its values; a code that is no category is an error."""
    # `cat.to` runs a query for it, which takes four times as long.
    return dtype.categories.cast(dtype)[codes].alias(name)


def side_series(side: NDArray[np.int64]) -> pl.Series:
    """The column `side` of levels and orders, from 0 for bid and 1 for ask."""
    return category_series("side", side.astype(np.uint8), BOOK_SIDE_TYPE)


def to_datetimes(ts_ns: NDArray[np.uint64] | NDArray[np.int64]) -> pl.Series:
    """Nanoseconds since the epoch as Datetimes; UNDEF_TIMESTAMP becomes null."""
    # As a signed word UNDEF_TIMESTAMP reads -1.
    signed = ts_ns.view(np.int64)
    return null_where(signed, signed == -1).cast(TIME_TYPE)


def null_where(column: NDArray[Any], undefined: NDArray[np.bool_]) -> pl.Series:
    """The column with nulls where `undefined` is true; without any it may share memory."""
    series = pl.Series(column)
    return series.set(pl.Series(undefined), None) if undefined.any() else series


def from_frame(frame: pl.DataFrame) -> MboBatch:
    """A frame as a batch: the exact inverse of `to_frame`.

    Columns are found by name, and other columns are ignored. Columns of `OPTIONAL_DEFAULTS` may be
    missing. The arrays may share memory with the frame and must not be written to.

    Raises:
        UsageError: a column is missing, has another dtype, or holds nulls without a meaning.
    """
    schema = frame.schema
    names = [name for name in MBO_SCHEMA if name in schema or name not in OPTIONAL_DEFAULTS]
    check_columns(schema, names)
    # One call for all columns: on a small frame each call costs more than its work.
    physical = frame.select([_PHYSICAL[name] for name in names])
    arrays = {name: _to_array(physical.get_column(name)) for name in names}
    for name in MBO_SCHEMA:
        if name not in arrays:
            arrays[name] = np.full(frame.height, OPTIONAL_DEFAULTS[name], MBO_COLUMN_DTYPES[name])
    return MboBatch(**arrays)


def _physical(name: str) -> pl.Expr:
    column = pl.col(name)
    if name in LETTERS:
        return column.to_physical()
    if MBO_SCHEMA[name] == TIME_TYPE:
        # As a signed word UNDEF_TIMESTAMP reads -1.
        return column.to_physical().fill_null(-1)
    return column.fill_null(NULL_VALUES[name]) if name in NULL_VALUES else column


_PHYSICAL = {name: _physical(name) for name in MBO_SCHEMA}


def _to_array(series: pl.Series) -> NDArray[Any]:
    name = series.name
    if series.null_count():
        raise UsageError(f"column {name} holds {series.null_count()} nulls, which mean nothing")
    array = series.to_numpy()
    if name in LETTERS:
        return LETTERS[name].take(array)
    return array.view(MBO_COLUMN_DTYPES[name])


def check_columns(
    found: pl.Schema,
    names: Iterable[str],
    *,
    expected: pl.Schema = MBO_SCHEMA,
    use: str = "books are built from MBO records",
) -> None:
    """Check that a frame has the columns that a derivation reads.

    Args:
        found: the frame's schema.
        names: the columns that must be there.
        expected: the dtype of each of these columns.
        use: the end of the message: what the columns are needed for.

    Raises:
        UsageError: a column of `names` is missing, or its dtype is not the expected one.
    """
    for name in names:
        if name not in found:
            raise UsageError(f"column {name} is missing: {use}")
        if found[name] != expected[name]:
            raise UsageError(f"column {name} is {found[name]}, expected {expected[name]}")
