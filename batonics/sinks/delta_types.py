"""Our types as types that a Delta table holds exactly.

The rule here: no value changes. Delta has no unsigned integers, no nanoseconds and no enums; what
its writers do with them is to cut, to refuse or to fail. So a type that it lacks becomes a wider
one, or text, and the way back gives the same rows.

| ours                  | Delta's         |                                        |
|-----------------------|-----------------|----------------------------------------|
| Datetime, nanoseconds | BIGINT          | nanoseconds since the epoch, UTC       |
| UInt8                 | SMALLINT        |                                        |
| UInt16                | INT             |                                        |
| UInt32                | BIGINT          |                                        |
| UInt64                | DECIMAL(20, 0)  | 2^64 - 1 has twenty digits             |
| Enum                  | STRING          |                                        |
| all else              | the same        | prices are BIGINT of 1e-9 before, too  |
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from batonics.model.errors import UsageError

PARTITIONS = {"date": pa.date32(), "symbol": pa.string()}
"""Columns that follow those of the rows. They are in the log and not in the files."""

_HELD: dict[type[pl.DataType], pl.DataType] = {
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
    """The columns of our frames as Delta holds them: the same names, in the same order.

    Raises:
        UsageError: a type that no type of Delta's is known for.
    """
    return pl.Schema({name: _held(name, dtype) for name, dtype in columns.items()})


def delta_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame's rows in the types of `delta_columns`; times are nanoseconds since the epoch."""
    return frame.cast(delta_columns(frame.schema))


def delta_schema(columns: pl.Schema) -> pa.Schema:
    """The schema of a table of our columns, in Arrow: with `date` and `symbol` after them."""
    rows = pl.DataFrame(schema=delta_columns(columns)).to_arrow().schema
    fields = [
        # Delta's text has no such distinction.
        field.with_type(pa.string()) if pa.types.is_large_string(field.type) else field
        for field in rows
    ]
    return pa.schema([*fields, *(pa.field(*item) for item in PARTITIONS.items())])


def time_columns(columns: pl.Schema) -> list[str]:
    """The names of the columns that are times with us."""
    return [name for name, dtype in columns.items() if dtype == _TIME]


def _held(name: str, dtype: pl.DataType) -> pl.DataType:
    kind = dtype.base_type()
    if dtype == _TIME:
        return pl.Int64()
    if kind in _HELD:
        return _HELD[kind]
    if kind in _EXACT:
        return dtype
    raise UsageError(f"column {name} is {dtype}, which Delta cannot hold exactly")
