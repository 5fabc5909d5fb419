"""Any schema that the vendor sells, from MBO, by its name.

The rule here: this is the one table of schemas; who wants one by name asks here.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from batonics.frames.columns.mbo_frame import MBO_SCHEMA
from batonics.frames.columns.vendor import MBO_FILE_SCHEMA, RTYPES, VENDOR_SCHEMAS, mbp_schema
from batonics.frames.measures.bars import ohlcv_source
from batonics.frames.schemas.mbp_sources import bbo_interval_source, mbp_source
from batonics.frames.schemas.trades import trades_source
from batonics.model.errors import UsageError
from batonics.model.times import NS_PER_S

SCHEMAS = tuple(VENDOR_SCHEMAS)
INDEX = dict.fromkeys(SCHEMAS, "ts_recv") | {
    name: "ts_event" for name in SCHEMAS if name.startswith("ohlcv")
}
"""The column by which a schema's rows are in order and selected, as the vendor does."""


def _mbo(records: pl.LazyFrame) -> pl.LazyFrame:
    rtype = pl.lit(RTYPES["mbo"], pl.UInt8).alias("rtype")
    return records.select(list(MBO_SCHEMA)).select(
        rtype if name == "rtype" else pl.col(name) for name in MBO_FILE_SCHEMA
    )


_BOOKS = ("tbbo", "mbp-1", "mbp-10")
"""Schemas of which there are consolidated rows."""

_DERIVED: dict[str, Callable[[pl.LazyFrame], pl.LazyFrame]] = {
    "mbo": _mbo,
    "trades": trades_source,
    "bbo-1s": lambda records: bbo_interval_source(records, NS_PER_S),
    "bbo-1m": lambda records: bbo_interval_source(records, 60 * NS_PER_S),
}


def derive(
    records: pl.LazyFrame,
    schema: str,
    depth: int | None = None,
    *,
    consolidated: bool = False,
) -> pl.LazyFrame:
    """A LazyFrame of the schema's columns (`columns_of`) over MBO records.

    Args:
        records: of `MBO_SCHEMA`.
        schema: one of SCHEMAS.
        depth: of mbp-10 another depth than 10.
        consolidated: the levels are an instrument's over all its publishers.

    Raises:
        UsageError: there is no such schema, or it has no depth or no consolidated rows.
    """
    check_schema(schema, depth, consolidated=consolidated)
    if schema in _BOOKS:
        levels = depth or (10 if schema == "mbp-10" else 1)
        return mbp_source(records, levels, changes=schema != "tbbo", consolidated=consolidated)
    if schema in _DERIVED:
        return _DERIVED[schema](records)
    return ohlcv_source(records, schema)


def columns_of(schema: str, depth: int | None = None) -> pl.Schema:
    """The columns of what `derive` gives; UsageError as there."""
    check_schema(schema, depth)
    return VENDOR_SCHEMAS[schema] if depth is None else mbp_schema(depth)


def check_schema(schema: str, depth: int | None = None, *, consolidated: bool = False) -> None:
    """UsageError if `derive` would raise it."""
    if schema not in SCHEMAS:
        raise UsageError(f"no schema {schema!r}; from mbo there are {', '.join(SCHEMAS)}")
    if depth is not None and schema != "mbp-10":
        raise UsageError(f"a depth goes with mbp-10, not with {schema}")
    if consolidated and schema not in _BOOKS:
        raise UsageError(f"{schema} is not consolidated; {', '.join(_BOOKS)} can be")
