"""Filters of rows by schema, symbol and time: how they are parsed, checked and applied.

The rule here: a schema, a symbol or times that the lake does not have are an error, never an empty
result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from batonics.frames.schemas.schema import Schema
from batonics.lake.catalog_tree import read_schemas
from batonics.lake.part import NO_ALIASES, Part
from batonics.lake.part_search import (
    RowFilter,
    find_time_span,
    find_unknown_symbol,
    has_rows,
    loaded_symbols,
)
from batonics.lake.storage import Store
from batonics.model.arguments import SymbolNames
from batonics.model.errors import UsageError
from batonics.model.symbols import alias_note, selected_names, suggest_symbols
from batonics.model.times import Time, describe_bounds, format_time, time_ns


def check_schema(store: Store, schema: str) -> None:
    """Raise UsageError unless a lake has the schema."""
    known = store.catalog.read(read_schemas)
    if schema not in known:
        there_are = ", ".join(known) or "none"
        raise UsageError(f"{store.name}: no schema {schema!r}; there are {there_are}")


def check_symbols(store: Store, names: Sequence[str], lake_name: str = "") -> None:
    """Raise UsageError unless a lake has rows of all these symbols.

    Args:
        store: the lake.
        names: the symbols.
        lake_name: name of the lake for messages; empty: its root.
    """
    name = store.catalog.read(find_unknown_symbol(names)) if names else None
    if name is not None:
        hint = suggest_symbols(name, store.catalog.read(loaded_symbols))
        raise UsageError(f"no symbol {name!r} in {lake_name or store.name}; {hint}")


def check_row_filter(store: Store, row_filter: RowFilter, lake_name: str = "") -> None:
    """Raise UsageError unless a lake has rows of these symbols, and of any schema at these times.

    Args:
        store: the lake.
        row_filter: the symbols and times.
        lake_name: name of the lake for messages; empty: its root.
    """
    check_symbols(store, row_filter.symbols, lake_name)
    of_symbols = row_filter._replace(start_ns=None, end_ns=None)
    if row_filter == of_symbols or store.catalog.read(has_rows(row_filter)):
        return
    span = store.catalog.read(find_time_span(of_symbols))
    if span is not None:
        first, last = map(format_time, span)
        bounds = describe_bounds(row_filter.start_ns, row_filter.end_ns)
        raise UsageError(
            f"{lake_name or store.name}: no rows {bounds}; the rows are from {first} to"
            f" {last}" + ("" if lake_name else ", and `batonics lake ls` shows them")
        )


def find_alias_note(parts: Iterable[Part], symbols: Sequence[str]) -> str:
    """What a user has to know of parts with several of the symbols asked for; empty: nothing.

    Args:
        parts: the parts that an answer has.
        symbols: the symbols asked for; empty: all.
    """
    for part in parts:
        if part.aliases != NO_ALIASES:
            for symbol, _, others in part.list_symbols().shown(symbols):
                if others:
                    return alias_note(others[0], symbol, part.date)
    return ""


def parse_row_filter(symbols: SymbolNames, start: Time | None, end: Time | None) -> RowFilter:
    """The filter for symbols and times as a user writes them.

    Raises:
        UsageError: a time is invalid, or the start is not before the end.
    """
    names = selected_names((symbols,) if isinstance(symbols, str) else symbols)
    start_ns = None if start is None else time_ns(start)
    end_ns = None if end is None else time_ns(end)
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        raise UsageError(
            f"the start, {format_time(start_ns)}, is not before the end, {format_time(end_ns)}"
        )
    return RowFilter(names, start_ns, end_ns)


def filter_rows(
    rows: pl.LazyFrame,
    schema: Schema,
    row_filter: RowFilter,
    date: pl.Expr | None = None,
) -> pl.LazyFrame:
    """The rows within the filter's times; a row without a time is within no limit.

    Args:
        rows: rows of the schema.
        schema: the schema.
        row_filter: the filter; its symbols are ignored.
        date: date of the rows; None: their column `date`.
    """
    time = schema.time_on(pl.col("date") if date is None else date)
    for bound, keeps in ((row_filter.start_ns, time.ge), (row_filter.end_ns, time.lt)):
        if bound is not None:
            bound_ns = pl.lit(min(bound, 2**63 - 1)).cast(pl.Datetime("ns", "UTC"))
            rows = rows.filter(keeps(bound_ns))
    return rows
