"""The values of a query's answer in JSON.

The rule here: a reader that takes each JSON number for a double loses nothing. Integers of 64 bits
or more, decimals, and numbers that JSON lacks are text; so are dates and times.
"""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from batonics.model.errors import UsageError
from batonics.sinks.text import format_columns

_WIDE_INTEGERS = pl.Int64, pl.UInt64, pl.Int128, pl.UInt128


def column_type(dtype: pl.DataType) -> str:
    """The name of a type, such as int64, string, datetime or list."""
    return str(dtype.base_type()).lower()


def encode_rows(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    """The rows of a frame, in values that are exact in JSON.

    Raises:
        UsageError: JSON cannot hold a column.
    """
    for name, dtype in frame.schema.items():
        if "Binary" in repr(dtype):
            raise UsageError(
                f"column {name} is {dtype}, which JSON cannot hold; hex({name}) is text"
            )
    columns = (
        _encode_column(column, frame.schema[column.name]) for column in format_columns(frame)
    )
    return list(zip(*columns, strict=True)) if frame.width else []


def _encode_column(column: pl.Series, dtype: pl.DataType) -> list[Any]:
    """The values of a column after `format_columns`; `dtype` is its type before."""
    if isinstance(dtype, (pl.Duration, pl.Time, pl.Date, pl.Decimal, *_WIDE_INTEGERS)):
        return (column.to_physical() if dtype == pl.Duration else column).cast(pl.String).to_list()
    values = column.to_list()
    if dtype.is_float() or dtype.is_nested():
        return [_encode_value(value) for value in values]
    return values


def _encode_value(value: Any) -> Any:
    """A value within a list or struct, or a float."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {key: _encode_value(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_encode_value(one) for one in value]
    return value if value is None or isinstance(value, (str, bool)) else str(value)
