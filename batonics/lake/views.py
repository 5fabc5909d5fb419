"""The text of a schema's view over Parquet files, as DuckDB takes it.

The rule here: a view's columns have the same names and types whatever files it is over, none
included.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from batonics.frames.schemas.table import Schema
from batonics.lake.catalog import RowFilter

NO_FILTER = RowFilter()
HIVE_OPTIONS = "hive_partitioning = true, hive_types = {'date': DATE, 'symbol': VARCHAR}"


def view_name(schema: str) -> str:
    """The name of a schema's view: `mbp_10`."""
    return schema.replace("-", "_")


def view_schema(view: str) -> str:
    """The name of the schema that a view of that name is of: the inverse of `view_of`."""
    return view.lower().replace("_", "-")


def view_statement(  # noqa: PLR0913 - settings, by keyword
    schema: Schema,
    paths: Sequence[str],
    wanted: RowFilter = NO_FILTER,
    *,
    scan: str | None = None,
    has_zone: bool = True,
    symbols: Sequence[str] = (),
) -> str:
    """The statement that makes the view of a schema.

    Args:
        schema: the schema of the rows.
        paths: of its files, hive-named.
        wanted: only rows of these times.
        scan: what stands behind FROM in the place of those files.
        has_zone: their times are TIMESTAMPTZ_NS; else they are TIMESTAMP_NS, as those of the view.
        symbols: all that there are: then `symbol` is an ENUM of them, not VARCHAR.
    """
    columns = ", ".join(
        # Not a cast, which would ask a calendar about each row: four times the time of a scan.
        f'make_timestamp_ns(epoch_ns("{name}")) AS "{name}"'
        if isinstance(dtype, pl.Datetime) and has_zone
        else f'"{name}"'
        for name, dtype in schema.columns.items()
    )
    symbol = (
        f"symbol::ENUM({', '.join(map(sql_literal, symbols))}) AS symbol" if symbols else "symbol"
    )
    view = view_name(schema.name)
    head = f'CREATE OR REPLACE TEMP VIEW "{view}" AS SELECT {columns}, date, {symbol}'
    files = read_parquet_call(paths) if paths else f"({_empty(schema)})"
    return f"{head} FROM {scan or files}{_where(schema, wanted)}"


def read_parquet_call(paths: Sequence[str], options: str = HIVE_OPTIONS) -> str:
    """The table function that reads these files."""
    return f"read_parquet([{', '.join(map(sql_literal, paths))}], {options})"


def sql_literal(value: str) -> str:
    """A value as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def _where(schema: Schema, wanted: RowFilter) -> str:
    time, *others = (f'"{name}"' for name in schema.time.meta.root_names())
    if others:
        # As `Schema.time_on`.
        day_end = "make_timestamp_ns(epoch_ns((date + 1)::TIMESTAMP) - 1)::TIMESTAMPTZ_NS"
        time = f"coalesce({time}, {day_end})"
    bounds = [
        # The last time of all is infinity to DuckDB.
        f"{time} {test} make_timestamp_ns({min(bound, 2**63 - 2)})::TIMESTAMPTZ_NS"
        for test, bound in ((">=", wanted.start_ns), ("<", wanted.end_ns))
        if bound is not None
    ]
    return f" WHERE {' AND '.join(bounds)}" if bounds else ""


def _empty(schema: Schema) -> str:
    """No rows, of the types that a part's columns have."""
    nulls = [f'NULL::{_sql_type(dtype)} AS "{name}"' for name, dtype in schema.columns.items()]
    return f"SELECT {', '.join(nulls)}, NULL::DATE AS date, NULL::VARCHAR AS symbol LIMIT 0"


_SQL_TYPES: dict[type[pl.DataType], str] = {
    pl.Int64: "BIGINT",
    pl.Int32: "INTEGER",
    pl.UInt64: "UBIGINT",
    pl.UInt32: "UINTEGER",
    pl.UInt16: "USMALLINT",
    pl.UInt8: "UTINYINT",
    pl.Boolean: "BOOLEAN",
    pl.Datetime: "TIMESTAMPTZ_NS",
    pl.Enum: "VARCHAR",
}


def _sql_type(dtype: pl.DataType) -> str:
    return _SQL_TYPES[dtype.base_type()]
