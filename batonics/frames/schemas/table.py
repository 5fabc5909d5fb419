"""The one table of schemas: what can be derived from MBO records, by name.

The rule here: every fact about a schema stands in its entry, and its name says all there is to know
of its rows. Every command, lake, query and gateway session looks schemas up with `find_schema`.

| name           | rows                                                      | DBN record        |
|----------------|-----------------------------------------------------------|-------------------|
| mbo            | the records themselves                                    | yes               |
| trades         | each trade                                                | yes               |
| tbbo           | each trade, with the best bid and ask before it           | yes               |
| mbp-N          | each trade, and each change of the best N levels (1..255) | mbp-1, mbp-10     |
| states-N       | each trade, and the book after each event that changed    | no                |
|                | its best N levels; the vendor's mbp-N leaves some out     |                   |
| bbo-INTERVAL   | best bid and ask and last trade at an interval's end      | bbo-1s, -1m       |
| ohlcv-INTERVAL | bars of trades                                            | ohlcv-1s, -1m,    |
|                |                                                           | -1h, -1d          |
| depth-INTERVAL | the best 10 levels at an interval's end                   | no                |
| bbo            | best bid and ask after every event                        | no                |
| deltas         | every change of a level                                   | no                |
| orders         | the life of every order                                   | no                |

INTERVAL is a duration such as 100ms, 1s, 5m or 1d, in its shortest form: 1m, not 60s. To add a
schema, add an entry to `SCHEMAS` (or to `FAMILIES`, where the name has a parameter).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
import polars as pl

from batonics.codec.metadata import SCHEMA_NAMES
from batonics.codec.records import RECORD_LAYOUTS
from batonics.frames.columns.book_state import LAKE_STATE_SCHEMA, best_prices
from batonics.frames.columns.books import BBO_SCHEMA, DELTA_SCHEMA, ORDERS_SCHEMA, depth_schema
from batonics.frames.columns.mbo_frame import MBO_SCHEMA
from batonics.frames.columns.row_place import ROW_PLACE_SCHEMA
from batonics.frames.columns.vendor import (
    BBO_INTERVAL_SCHEMA,
    MBO_FILE_SCHEMA,
    OHLCV_SCHEMA,
    TRADES_SCHEMA,
    mbp_schema,
)
from batonics.frames.scan.complete_intervals import COMPLETE_SCHEMA, RowInterval
from batonics.model.errors import UsageError
from batonics.model.mbo import RTYPE_MBO
from batonics.model.times import NS_PER_DAY, duration_ns, format_duration

MBP_DEPTH_MAX = 255
"""The column `depth` of mbp-N is a UInt8."""
DEPTH_LEVELS = 10
"""Levels of each side in a row of depth-INTERVAL."""

Derivation = Callable[[pl.LazyFrame], pl.LazyFrame]
"""A LazyFrame of a schema's columns over a LazyFrame of MBO records."""


@dataclass(frozen=True)
class Schema:
    """Rows that derive from MBO records.

    Attributes:
        name: the name users give, such as mbp-10.
        columns: the columns of its frames, in their order.
        derive: makes the rows from MBO records.
        time: the time of a row. Rows are in its order, and it decides a row's date and symbol. Null
            where no time is known.
        rtype: the type of its DBN record; None: DBN has no record of it.
        layout: the name of that record's layout in `codec.records.RECORD_LAYOUTS`.
        interval_ns: the length of the interval that a row covers, if it covers one.
        time_is_interval_end: `time` is the end of that interval, not its start.
        derive_consolidated: as `derive`, with the levels of an instrument over all its publishers;
            None: there are no such rows.
        is_row_per_record: each row is made of one record alone. Otherwise `derive` gives a
            `frame_source`, which reads the next batch when it has given all rows of those before.
        has_record_positions: the source of `derive` gives the column `position` of a row's record
            to a reader that asks for it (`frames/columns/row_place.py`).
    """

    name: str
    columns: pl.Schema
    derive: Derivation = field(repr=False)
    time: pl.Expr = field(repr=False)
    rtype: int | None = None
    layout: str | None = None
    interval_ns: int | None = None
    time_is_interval_end: bool = False
    derive_consolidated: Derivation | None = field(default=None, repr=False)
    is_row_per_record: bool = False
    has_record_positions: bool = False

    @property
    def lake_columns(self) -> pl.Schema:
        """The columns of its rows in a lake.

        They are `columns`, the state of the book if the rows have quotes, `complete` if they cover
        intervals, and the place in the stream.
        """
        state = LAKE_STATE_SCHEMA if self.has_quotes else {}
        complete = COMPLETE_SCHEMA if self.interval_ns is not None else {}
        return pl.Schema({**self.columns, **state, **complete, **ROW_PLACE_SCHEMA})

    @property
    def row_interval(self) -> RowInterval | None:
        """The interval that a row covers; None: rows cover none."""
        if self.interval_ns is None:
            return None
        return RowInterval(self.interval_ns, self.time_is_interval_end)

    @property
    def has_quotes(self) -> bool:
        """Whether its rows have a best bid and ask."""
        return bool(best_prices(self.columns))

    @property
    def time_column(self) -> str:
        """The column that `time` reads first."""
        return self.time.meta.root_names()[0]

    @property
    def record_dtype(self) -> np.dtype:
        """One DBN record.

        Raises:
            UsageError: DBN has no record of this schema.
        """
        return RECORD_LAYOUTS[self.check_dbn()]

    @property
    def number(self) -> int:
        """The schema's number in DBN metadata.

        Raises:
            UsageError: DBN has no record of this schema.
        """
        self.check_dbn()
        return SCHEMA_NAMES.index(self.name)

    def check_dbn(self) -> str:
        """The layout of the DBN record; UsageError if DBN has no record of this schema."""
        if self.layout is None:
            raise UsageError(f"DBN has no record of schema {self.name}: choose another format")
        return self.layout

    @property
    def time_depends_on_end(self) -> bool:
        """Whether the time of some rows depends on where the stream ends."""
        return len(self.time.meta.root_names()) > 1

    def rows(self, records: pl.LazyFrame, *, consolidated: bool = False) -> pl.LazyFrame:
        """A LazyFrame of `columns` over MBO records.

        Args:
            records: a LazyFrame of `MBO_SCHEMA`.
            consolidated: the levels are an instrument's over all its publishers.

        Raises:
            UsageError: there are no consolidated rows of this schema.
        """
        if not consolidated:
            return self.derive(records)
        return self.check_consolidated()(records)

    def check_consolidated(self) -> Derivation:
        """What makes the consolidated rows; UsageError if there are none of this schema."""
        if self.derive_consolidated is None:
            raise UsageError(f"{self.name} is not consolidated; tbbo and mbp-N can be")
        return self.derive_consolidated

    def time_on(self, date: pl.Expr) -> pl.Expr:
        """`time` of rows that are known to fall on that date, each row by itself."""
        if not self.time_depends_on_end:
            return self.time
        return pl.coalesce(self.time_column, _day_end(date))


class SchemaFamily(NamedTuple):
    """Schemas that are named FAMILY-PARAMETER.

    Attributes:
        parameter: the parameter's name in messages.
        make: the schema of a parameter's text; None: the text is no such parameter.
        rtypes: the parameters of which DBN has a record, and its rtype.
    """

    parameter: str
    make: Callable[[str], Schema | None]
    rtypes: dict[str, int]


def find_schema(name: str) -> Schema:
    """The schema of that name.

    Raises:
        UsageError: there is none, or it has a shorter name.
    """
    if name in SCHEMAS:
        return SCHEMAS[name]
    family, _, parameter = name.partition("-")
    schema = _family_member(family, parameter) if family in FAMILIES else None
    if schema is None:
        raise UsageError(f"no schema {name!r}; there are {', '.join(schema_forms())}")
    if schema.name != name:
        raise UsageError(f"schema {name} is named {schema.name}")
    return schema


def find_schemas(names: Sequence[str], use: str) -> list[Schema]:
    """The schemas of these names, each once.

    Raises:
        UsageError: there is no such schema, or no name is given, so that there is nothing to `use`
            (a verb).
    """
    if not names:
        raise UsageError(f"no schemas to {use}; name some, such as mbp-10,trades")
    return [find_schema(name) for name in dict.fromkeys(names)]


def schema_forms() -> tuple[str, ...]:
    """All names, families as mbp-N: for help and messages."""
    families = [f"{name}-{family.parameter}" for name, family in FAMILIES.items()]
    return (*SCHEMAS, *families)


def dbn_schemas() -> tuple[str, ...]:
    """The names of the schemas of which DBN has a record."""
    single = [name for name, schema in SCHEMAS.items() if schema.rtype is not None]
    members = [
        f"{name}-{parameter}" for name, family in FAMILIES.items() for parameter in family.rtypes
    ]
    return (*single, *members)


@cache
def _family_member(family: str, parameter: str) -> Schema | None:
    return FAMILIES[family].make(parameter)


def _day_end(date: pl.Expr) -> pl.Expr:
    """The last nanosecond of a date, UTC."""
    # In integers: a sum with a span of time is in microseconds.
    return ((date.cast(pl.Int64) + 1) * NS_PER_DAY - 1).cast(pl.Datetime("ns", "UTC"))


def _mbo_rows(records: pl.LazyFrame) -> pl.LazyFrame:
    rtype = pl.lit(RTYPE_MBO, pl.UInt8).alias("rtype")
    return records.select(list(MBO_SCHEMA)).select(
        rtype if name == "rtype" else pl.col(name) for name in MBO_FILE_SCHEMA
    )


# A derivation is imported when its rows are wanted: a command loads the kernels of one, not of all.


def _trades(records: pl.LazyFrame) -> pl.LazyFrame:
    from batonics.frames.schemas.trades import trades_source

    return trades_source(records, SCHEMAS["trades"].rtype)


def _tbbo(records: pl.LazyFrame, *, consolidated: bool = False) -> pl.LazyFrame:
    from batonics.frames.schemas.mbp_sources import mbp_source

    rtype = SCHEMAS["tbbo"].rtype
    return mbp_source(records, 1, rtype=rtype, changes=False, consolidated=consolidated)


def _bbo_events(records: pl.LazyFrame) -> pl.LazyFrame:
    from batonics.frames.depth.book_sources import bbo_source

    return bbo_source(records)


def _deltas(records: pl.LazyFrame) -> pl.LazyFrame:
    from batonics.frames.depth.book_sources import delta_source

    return delta_source(records)


def _orders(records: pl.LazyFrame) -> pl.LazyFrame:
    from batonics.frames.orders.order_lives import orders_source

    return orders_source(records)


def _levels(parameter: str) -> int | None:
    """The number of levels that a text says; None: it says none."""
    if re.fullmatch(r"[1-9][0-9]{0,2}", parameter) is None or int(parameter) > MBP_DEPTH_MAX:
        return None
    return int(parameter)


def _states(parameter: str) -> Schema | None:
    depth = _levels(parameter)
    if depth is None:
        return None

    def derive(records: pl.LazyFrame) -> pl.LazyFrame:
        from batonics.frames.schemas.mbp_sources import state_source

        return state_source(records, depth)

    return Schema(
        f"states-{depth}",
        mbp_schema(depth),
        derive,
        pl.col("ts_recv"),
        has_record_positions=True,
    )


def _mbp(parameter: str) -> Schema | None:
    depth, rtype = _levels(parameter), FAMILIES["mbp"].rtypes.get(parameter)
    if depth is None:
        return None

    def derive(records: pl.LazyFrame, *, consolidated: bool = False) -> pl.LazyFrame:
        from batonics.frames.schemas.mbp_sources import mbp_source

        return mbp_source(records, depth, rtype=rtype, consolidated=consolidated)

    return Schema(
        f"mbp-{depth}",
        mbp_schema(depth),
        derive,
        pl.col("ts_recv"),
        rtype=rtype,
        layout=None if rtype is None else f"mbp-{depth}",
        derive_consolidated=lambda records: derive(records, consolidated=True),
        has_record_positions=True,
    )


def _bbo(parameter: str) -> Schema:
    interval_ns, interval, rtype = _interval("bbo", parameter)

    def derive(records: pl.LazyFrame) -> pl.LazyFrame:
        from batonics.frames.schemas.mbp_sources import bbo_interval_source

        return bbo_interval_source(records, interval_ns, rtype)

    return Schema(
        f"bbo-{interval}",
        BBO_INTERVAL_SCHEMA,
        derive,
        pl.col("ts_recv"),
        rtype=rtype,
        layout=None if rtype is None else "bbo",
        interval_ns=interval_ns,
        time_is_interval_end=True,
    )


def _ohlcv(parameter: str) -> Schema:
    interval_ns, interval, rtype = _interval("ohlcv", parameter)

    def derive(records: pl.LazyFrame) -> pl.LazyFrame:
        from batonics.frames.measures.bars import ohlcv_source

        return ohlcv_source(records, interval_ns, rtype)

    return Schema(
        f"ohlcv-{interval}",
        OHLCV_SCHEMA,
        derive,
        pl.col("ts_event"),
        rtype=rtype,
        layout=None if rtype is None else "ohlcv",
        interval_ns=interval_ns,
    )


def _depth(parameter: str) -> Schema:
    interval_ns, interval, _ = _interval("depth", parameter)

    def derive(records: pl.LazyFrame) -> pl.LazyFrame:
        from batonics.frames.depth.book_sources import depth_source
        from batonics.frames.depth.windows import TimeWindows

        return depth_source(records, TimeWindows(interval_ns), DEPTH_LEVELS, fill=False)

    return Schema(
        f"depth-{interval}",
        depth_schema(DEPTH_LEVELS),
        derive,
        pl.col("ts"),
        interval_ns=interval_ns,
        time_is_interval_end=True,
    )


def _interval(family: str, parameter: str) -> tuple[int, str, int | None]:
    """The length that an interval's text says, its shortest text, and the rtype of its rows."""
    interval_ns = duration_ns(parameter, "intervals")
    text = format_duration(interval_ns)
    return interval_ns, text, FAMILIES[family].rtypes.get(text)


FAMILIES: dict[str, SchemaFamily] = {
    "mbp": SchemaFamily("N", _mbp, {"1": 0x01, "10": 0x0A}),
    "states": SchemaFamily("N", _states, {}),
    "bbo": SchemaFamily("INTERVAL", _bbo, {"1s": 0xC3, "1m": 0xC4}),
    "ohlcv": SchemaFamily("INTERVAL", _ohlcv, {"1s": 0x20, "1m": 0x21, "1h": 0x22, "1d": 0x23}),
    "depth": SchemaFamily("INTERVAL", _depth, {}),
}

SCHEMAS: dict[str, Schema] = {
    schema.name: schema
    for schema in (
        Schema(
            "mbo",
            MBO_FILE_SCHEMA,
            _mbo_rows,
            pl.col("ts_recv"),
            rtype=RTYPE_MBO,
            layout="mbo",
            is_row_per_record=True,
        ),
        Schema(
            "trades",
            TRADES_SCHEMA,
            _trades,
            pl.col("ts_recv"),
            rtype=0x00,
            layout="trade",
            has_record_positions=True,
        ),
        Schema(
            "tbbo",
            mbp_schema(1),
            _tbbo,
            pl.col("ts_recv"),
            rtype=0x01,
            layout="mbp-1",
            derive_consolidated=lambda records: _tbbo(records, consolidated=True),
            has_record_positions=True,
        ),
        Schema("bbo", BBO_SCHEMA, _bbo_events, pl.col("ts_recv"), has_record_positions=True),
        Schema("deltas", DELTA_SCHEMA, _deltas, pl.col("ts_recv"), has_record_positions=True),
        Schema(
            "orders",
            ORDERS_SCHEMA,
            _orders,
            # Orders that are alive come last, and together. Their time is the end of the day of the
            # last order that came, so that a row's time is known from the row and its date.
            pl.coalesce("ts_recv_end", _day_end(pl.col("ts_recv_start").max().dt.date())),
        ),
    )
}
"""The schemas whose names have no parameter."""
