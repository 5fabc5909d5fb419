"""All that a lake or a query can ask of MBO records, by name: the vendor's schemas and our own.

The rule here: a name says all there is to know of its rows. So the same name is the same rows in
every lake, and two lakes can be compared.

| name                            | rows                                                        |
|---------------------------------|-------------------------------------------------------------|
| one of `frames.derive.SCHEMAS`  | the vendor's                                                |
| mbp-N                           | mbp of another depth: mbp-5                                 |
| depth-EVERY                     | `.mbo.depth(10, every=EVERY)`: depth-1s, depth-100ms        |
| orders                          | `.mbo.orders()`, without what can be made of its columns    |
| bbo, deltas                     | `.mbo.bbo()`, `.mbo.deltas()`                               |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import polars as pl

from batonics.frames.columns.vendor import mbp_schema
from batonics.frames.depth.book_sources import (
    BBO_SCHEMA,
    DELTA_SCHEMA,
    bbo_source,
    delta_source,
    depth_source,
)
from batonics.frames.depth.snapshots import depth_schema
from batonics.frames.depth.windows import TimeWindows
from batonics.frames.orders.order_lives import ORDERS_SCHEMA, orders_source
from batonics.frames.schemas.derive import INDEX, SCHEMAS, columns_of, derive
from batonics.frames.schemas.mbp_sources import mbp_source
from batonics.model.errors import UsageError
from batonics.model.times import NS_PER_DAY, duration_ns

DEPTH_LEVELS = 10
"""Of each side in a row of depth-EVERY."""
_MBP = re.compile(r"mbp-([1-9][0-9]{0,2})")
_DEPTH = re.compile(r"depth-(\w+)")
OWN = ("depth-1s", "orders", "bbo", "deltas")
"""Names of ours, one of each kind."""


class Product(NamedTuple):
    """Rows that can be derived from MBO.

    Attributes:
        name: as it is asked for.
        columns: of its frames.
        rows: a LazyFrame of them from one of MBO records.
        time: the time that a row is of, by which rows are in order and fall on a date; null where
            none is known.
        vendor: the vendor's schema that its rows are of, if they are.
        of_records: each row is made of one record alone. Else `rows` gives a `frame_source`, which
            asks for the next batch when it has given all that it makes of those before.
        is_interval: a row's time is the end of an interval that it is of.
    """

    name: str
    columns: pl.Schema
    rows: Callable[[pl.LazyFrame], pl.LazyFrame]
    time: pl.Expr
    vendor: str | None = None
    of_records: bool = False
    is_interval: bool = False

    def time_on(self, date: pl.Expr) -> pl.Expr:
        """`time` of rows that are known to fall on that date, of each by itself."""
        name, *others = self.time.meta.root_names()
        return pl.coalesce(name, _day_end(date)) if others else self.time


def _day_end(date: pl.Expr) -> pl.Expr:
    """The last nanosecond of a date, UTC."""
    # In integers: a sum with a span of time is in microseconds.
    return ((date.cast(pl.Int64) + 1) * NS_PER_DAY - 1).cast(pl.Datetime("ns", "UTC"))


def product_of(name: str) -> Product:
    """The product of that name.

    Raises:
        UsageError: there is none.
    """
    if name in SCHEMAS:
        return Product(
            name,
            columns_of(name),
            lambda records: derive(records, name),
            pl.col(INDEX[name]),
            vendor=name,
            of_records=name == "mbo",
            is_interval=name.startswith("bbo-"),
        )
    if name in _OURS:
        return _OURS[name]
    if (found := _MBP.fullmatch(name)) and (depth := int(found[1])) <= 255:
        return Product(
            name, mbp_schema(depth), lambda records: mbp_source(records, depth), pl.col("ts_recv")
        )
    if found := _DEPTH.fullmatch(name):
        return _depth(name, found[1])
    known = ", ".join((*SCHEMAS, *OWN))
    raise UsageError(f"no schema {name!r}; there are {known}, any mbp-N and depth-EVERY")


def products_of(names: Sequence[str], use: str) -> list[Product]:
    """The products of these names, each once.

    Raises:
        UsageError: there is no such product, or no name: nothing to `use`, a verb.
    """
    if not names:
        raise UsageError(f"no schemas to {use}; name some, such as mbp-10,trades")
    return [product_of(name) for name in dict.fromkeys(names)]


def _depth(name: str, every: str) -> Product:
    windows = TimeWindows(duration_ns(every, "intervals"))
    return Product(
        name,
        depth_schema(DEPTH_LEVELS),
        lambda records: depth_source(records, windows, DEPTH_LEVELS, fill=False),
        pl.col("ts"),
        is_interval=True,
    )


_OURS = {
    "orders": Product(
        "orders",
        ORDERS_SCHEMA,
        orders_source,
        # Orders that are alive come last, and together: they are of the end of the day of the last
        # that came, so that a row's time is known from the row and its date.
        pl.coalesce("ts_recv_end", _day_end(pl.col("ts_recv_start").max().dt.date())),
    ),
    "bbo": Product("bbo", BBO_SCHEMA, bbo_source, pl.col("ts_recv")),
    "deltas": Product("deltas", DELTA_SCHEMA, delta_source, pl.col("ts_recv")),
}
