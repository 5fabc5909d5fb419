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

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from batonics.frames.columns.books import BBO_SCHEMA, DELTA_SCHEMA, ORDERS_SCHEMA, depth_schema
from batonics.frames.columns.mbo_frame import MBO_SCHEMA
from batonics.frames.columns.vendor import (
    BBO_INTERVAL_SCHEMA,
    MBO_FILE_SCHEMA,
    OHLCV_SCHEMA,
    TRADES_SCHEMA,
    mbp_schema,
)
from batonics.frames.schemas.schema import Schema, TopsDerivation, day_end
from batonics.model.errors import UsageError
from batonics.model.mbo import RTYPE_MBO
from batonics.model.times import duration_ns, format_duration

if TYPE_CHECKING:  # it loads the kernels of the fold
    from batonics.frames.scan.folding import TopsPiece

MBP_DEPTH_MAX = 255
"""The column `depth` of mbp-N is a UInt8."""
DEPTH_LEVELS = 10
"""Levels of each side in a row of depth-INTERVAL."""


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
        near = near_schema(name)
        advice = f"did you mean {near}? " if near is not None else ""
        raise UsageError(f"no schema {name!r}; {advice}there are {', '.join(schema_forms())}")
    if schema.name != name:
        raise UsageError(f"schema {name} is named {schema.name}")
    return schema


def near_schema(name: str) -> str | None:
    """The schema whose name is near to that one: `mbp-10` to `mbp10`; None if none is."""
    spaced = re.sub(r"(?<=[a-z])[-_]?(?=\d)", "-", name.lower())
    family, _, parameter = spaced.partition("-")
    schema = _family_member(family, parameter) if family in FAMILIES else None
    if schema is not None:
        return schema.name
    near = difflib.get_close_matches(name.lower(), SCHEMAS, n=1, cutoff=0.7)
    return near[0] if near else None


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

    def derive_tops(pieces: Iterator[TopsPiece]) -> Iterator[pl.DataFrame]:
        from batonics.frames.schemas.mbp import state_rows

        return state_rows(pieces, depth, positions=True)

    return Schema(
        f"states-{depth}",
        mbp_schema(depth),
        derive,
        pl.col("ts_recv"),
        tops=TopsDerivation(depth, derive_tops),
        has_record_positions=True,
    )


def _mbp(parameter: str) -> Schema | None:
    depth, rtype = _levels(parameter), FAMILIES["mbp"].rtypes.get(parameter)
    if depth is None:
        return None

    def derive(records: pl.LazyFrame, *, consolidated: bool = False) -> pl.LazyFrame:
        from batonics.frames.schemas.mbp_sources import mbp_source

        return mbp_source(records, depth, rtype=rtype, consolidated=consolidated)

    def derive_tops(pieces: Iterator[TopsPiece]) -> Iterator[pl.DataFrame]:
        from batonics.frames.schemas.mbp import mbp_rows

        return mbp_rows(pieces, depth, rtype=rtype, positions=True)

    return Schema(
        f"mbp-{depth}",
        mbp_schema(depth),
        derive,
        pl.col("ts_recv"),
        rtype=rtype,
        layout=None if rtype is None else f"mbp-{depth}",
        derive_consolidated=lambda records: derive(records, consolidated=True),
        tops=TopsDerivation(depth, derive_tops),
        has_record_positions=True,
    )


def _bbo(parameter: str) -> Schema:
    interval_ns, interval, rtype = _interval("bbo", parameter)

    def derive(records: pl.LazyFrame) -> pl.LazyFrame:
        from batonics.frames.schemas.mbp_sources import bbo_interval_source

        return bbo_interval_source(records, interval_ns, rtype)

    def derive_tops(pieces: Iterator[TopsPiece]) -> Iterator[pl.DataFrame]:
        from batonics.frames.schemas.bbo_intervals import bbo_interval_rows

        return bbo_interval_rows(pieces, interval_ns, rtype)

    return Schema(
        f"bbo-{interval}",
        BBO_INTERVAL_SCHEMA,
        derive,
        pl.col("ts_recv"),
        rtype=rtype,
        layout=None if rtype is None else "bbo",
        tops=TopsDerivation(1, derive_tops),
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
            pl.coalesce("ts_recv_end", day_end(pl.col("ts_recv_start").max().dt.date())),
        ),
    )
}
"""The schemas whose names have no parameter."""
