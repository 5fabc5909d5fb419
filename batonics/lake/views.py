"""The statements that make a view of each schema over Parquet files.

The rule here: the columns of a view have the same names and types over any files, and over none.
All prices of a view have one unit, so what a query computes from them has that unit too:

| unit    | type of a price | of (bid + ask) / 2 |
|---------|-----------------|--------------------|
| fixed   | BIGINT of 1e-9  | DOUBLE of 1e-9     |
| decimal | DECIMAL(19, 9)  | DOUBLE             |
| float   | DOUBLE          | DOUBLE             |
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import polars as pl

from batonics.frames.columns.book_state import (
    CLOSED,
    CROSSED,
    LEFT_OUT_KINDS,
    OPEN_STATUS,
    STATUS_END,
)
from batonics.frames.columns.prices import find_price_columns
from batonics.frames.schemas.schema import Schema
from batonics.lake.part_search import NO_FILTER, RowFilter
from batonics.model.prices import PriceUnit

_PRICES: dict[PriceUnit, str] = {
    "fixed": '"{0}"',
    "decimal": '("{0}"::DECIMAL(19, 0) * 0.000000001)::DECIMAL(19, 9) AS "{0}"',
    "float": '"{0}" / 1e9 AS "{0}"',
}
_PRICE_TYPES: dict[PriceUnit, str] = {
    "fixed": "BIGINT",
    "decimal": "DECIMAL(19, 9)",
    "float": "DOUBLE",
}


class FileGroup(NamedTuple):
    """Files of which a view has the rows of the same symbols.

    Attributes:
        paths: paths of the files, hive-named by date.
        symbols: only rows that have these symbols in the file; empty: all rows.
        renamed: the symbol in the view of those that have another one in the file.
    """

    paths: Sequence[str]
    symbols: Sequence[str] = ()
    renamed: Mapping[str, str] = {}


def view_name(schema: str) -> str:
    """The name of a schema's view: `mbp_10` for mbp-10."""
    return schema.replace("-", "_")


def view_schema(view: str) -> str:
    """The name of a view's schema: the inverse of `view_name`."""
    return view.lower().replace("_", "-")


def view_statement(  # noqa: PLR0913 - settings, by keyword
    schema: Schema,
    files: Sequence[FileGroup],
    row_filter: RowFilter = NO_FILTER,
    *,
    scan: str | None = None,
    symbols: Sequence[str] = (),
    include: Collection[str] = (),
    prices: PriceUnit = "fixed",
) -> str:
    """The statement that makes the view of a schema.

    Rows with quotes have a column `is_open` (BOOLEAN): whether the row is of an open market, so
    that averages count it. It is false if the book is crossed or locked, or if its status of
    trading is known and is not `trading`.

    Args:
        schema: the schema.
        files: its files.
        row_filter: only rows of these times.
        scan: the text after FROM; None: those files.
        symbols: all symbols; `symbol` is then an ENUM of them. Empty: it is VARCHAR.
        prices: the unit of the view's prices.
        include: what counts as open too, of `LEFT_OUT_KINDS`.
    """
    # A cast would use a calendar for each row, and take four times as long as the scan.
    time = 'make_timestamp_ns(epoch_ns("{0}")) AS "{0}"'
    price_columns = find_price_columns(schema.columns)
    # The end of a status divides no state where every status counts.
    unended = (STATUS_END,) if CLOSED in include else ()
    columns = ", ".join(
        (
            "NULL::TIMESTAMP_NS AS {0}"
            if name in unended
            else time
            if isinstance(dtype, pl.Datetime)
            else _PRICES[prices]
            if name in price_columns
            else '"{0}"'
        ).format(name)
        for name, dtype in schema.lake_columns.items()
    )
    if schema.has_quotes:
        columns += f", {_is_open(include)} AS is_open"
    symbol = f"symbol::ENUM({_literals(symbols)})" if symbols else "symbol"
    view = view_name(schema.name)
    head = f'CREATE OR REPLACE TEMP VIEW "{view}" AS SELECT {columns}, date, {symbol} AS symbol'
    scans = " UNION ALL ".join(map(_select_files, files)) or _empty_select(schema)
    return f"{head} FROM {scan or f'({scans})'}{_where(schema, row_filter)}"


def _select_files(group: FileGroup) -> str:
    """The SELECT of the rows of a group of files."""
    replaced = ""
    if group.renamed:
        pairs = group.renamed.items()
        cases = (f"WHEN {sql_literal(stored)} THEN {sql_literal(name)}" for stored, name in pairs)
        replaced = f" REPLACE (CASE symbol {' '.join(cases)} ELSE symbol END AS symbol)"
    where = f" WHERE symbol IN ({_literals(group.symbols)})" if group.symbols else ""
    paths, options = _literals(group.paths), "hive_partitioning = true, hive_types = {'date': DATE}"
    return f"SELECT *{replaced} FROM read_parquet([{paths}], {options}){where}"  # noqa: S608 - quoted


def _literals(values: Sequence[str]) -> str:
    return ", ".join(map(sql_literal, values))


def _is_open(include: Collection[str]) -> str:
    """Whether a row is of an open market."""
    tests = {CROSSED: "NOT crossed", CLOSED: f"coalesce(status = '{OPEN_STATUS}', true)"}
    return " AND ".join(tests[kind] for kind in LEFT_OUT_KINDS if kind not in include) or "true"


def empty_table_statement(schema: Schema, prices: PriceUnit = "fixed") -> str:
    """The statement that makes a table without rows, with the columns of the schema's view.

    Args:
        schema: the schema.
        prices: the unit of the view's prices.
    """
    columns = ", ".join(f'"{name}" {kind}' for name, kind in view_columns(schema, prices).items())
    return f'CREATE OR REPLACE TEMP TABLE "{view_name(schema.name)}" ({columns})'


def view_columns(schema: Schema, prices: PriceUnit = "fixed") -> dict[str, str]:
    """The names and the types in DuckDB of the columns of a schema's view, in their order."""
    price_columns = find_price_columns(schema.columns)
    columns = {
        name: _PRICE_TYPES[prices]
        if name in price_columns
        else _sql_type(dtype).replace("TIMESTAMPTZ", "TIMESTAMP")
        for name, dtype in schema.lake_columns.items()
    }
    if schema.has_quotes:
        columns["is_open"] = "BOOLEAN"
    return {**columns, "date": "DATE", "symbol": "VARCHAR"}


def sql_literal(value: str) -> str:
    """Text as a literal of SQL."""
    return "'" + value.replace("'", "''") + "'"


def _where(schema: Schema, row_filter: RowFilter) -> str:
    time, *others = (f'"{name}"' for name in schema.time.meta.root_names())
    if others:
        # The same as `Schema.time_on`.
        day_end = "make_timestamp_ns(epoch_ns((date + 1)::TIMESTAMP) - 1)::TIMESTAMPTZ_NS"
        time = f"coalesce({time}, {day_end})"
    bounds = [
        # 2^63 - 1 is infinity to DuckDB.
        f"{time} {test} make_timestamp_ns({min(bound, 2**63 - 2)})::TIMESTAMPTZ_NS"
        for test, bound in ((">=", row_filter.start_ns), ("<", row_filter.end_ns))
        if bound is not None
    ]
    return f" WHERE {' AND '.join(bounds)}" if bounds else ""


def _empty_select(schema: Schema) -> str:
    """A SELECT without rows, with the column types of a part."""
    nulls = [f'NULL::{_sql_type(dtype)} AS "{name}"' for name, dtype in schema.lake_columns.items()]
    return f"SELECT {', '.join(nulls)}, NULL::DATE AS date, NULL::VARCHAR AS symbol LIMIT 0"


_SQL_TYPES: dict[type[pl.DataType], str] = {
    pl.Int64: "BIGINT",
    pl.Int32: "INTEGER",
    pl.Int16: "SMALLINT",
    pl.Int8: "TINYINT",
    pl.UInt64: "UBIGINT",
    pl.UInt32: "UINTEGER",
    pl.UInt16: "USMALLINT",
    pl.UInt8: "UTINYINT",
    pl.Boolean: "BOOLEAN",
    pl.Float64: "DOUBLE",
    pl.Float32: "FLOAT",
    pl.String: "VARCHAR",
    pl.Date: "DATE",
    pl.Datetime: "TIMESTAMPTZ_NS",
    pl.Enum: "VARCHAR",
}


def _sql_type(dtype: pl.DataType) -> str:
    return _SQL_TYPES[dtype.base_type()]
