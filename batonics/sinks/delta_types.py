"""The types of a Delta table that hold the types of frames exactly.

The rule here: no value changes. Delta has no unsigned integers, nanoseconds and enums; its writers
truncate, refuse or fail on them. So a type that Delta lacks becomes a wider one, or text, from
which the same rows can be restored.

| type of a frame       | type of Delta   |                                        |
|-----------------------|-----------------|----------------------------------------|
| Datetime, nanoseconds | BIGINT          | nanoseconds since the epoch, UTC       |
| UInt8                 | SMALLINT        |                                        |
| UInt16                | INT             |                                        |
| UInt32                | BIGINT          |                                        |
| UInt64                | DECIMAL(20, 0)  | 2^64 - 1 has twenty digits             |
| Enum                  | STRING          |                                        |
| any other             | the same        | prices are BIGINT of 1e-9 in both      |
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from batonics.model.errors import UsageError

PARTITIONS = {"date": pa.date32(), "symbol": pa.string()}
"""Partition columns, which follow the other columns. Their values are in the log, not in the
files."""

_WIDER: dict[type[pl.DataType], pl.DataType] = {
    pl.UInt8: pl.Int16(),
    pl.UInt16: pl.Int32(),
    pl.UInt32: pl.Int64(),
    pl.UInt64: pl.Decimal(20, 0),
    pl.Enum: pl.String(),
}
_EXACT = (
    pl.Int8,
    pl.Int16,
    pl.Int32,
    pl.Int64,
    pl.Float32,
    pl.Float64,
    pl.Boolean,
    pl.String,
    pl.Date,
)
_TIME = pl.Datetime("ns", "UTC")


def delta_columns(columns: pl.Schema) -> pl.Schema:
    """The columns of a table for the columns of frames: the same names, in the same order.

    Raises:
        UsageError: Delta has no type for a column.
    """
    return pl.Schema({name: _delta_type(name, dtype) for name, dtype in columns.items()})


def delta_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame in the types of `delta_columns`; times are nanoseconds since the epoch."""
    return frame.cast(delta_columns(frame.schema))


def delta_schema(columns: pl.Schema) -> pa.Schema:
    """The schema of a table in Arrow: its columns, then `date` and `symbol`."""
    rows = pl.DataFrame(schema=delta_columns(columns)).to_arrow().schema
    fields = [
        # Delta has one type of text.
        field.with_type(pa.string()) if pa.types.is_large_string(field.type) else field
        for field in rows
    ]
    return pa.schema([*fields, *(pa.field(*item) for item in PARTITIONS.items())])


def time_columns(columns: pl.Schema) -> list[str]:
    """The names of the columns that are times in a frame."""
    return [name for name, dtype in columns.items() if dtype == _TIME]


def _delta_type(name: str, dtype: pl.DataType) -> pl.DataType:
    kind = dtype.base_type()
    if dtype == _TIME:
        return pl.Int64()
    if kind in _WIDER:
        return _WIDER[kind]
    if kind in _EXACT:
        return dtype
    raise UsageError(f"column {name} is {dtype}, which Delta cannot hold exactly")
