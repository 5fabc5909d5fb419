"""Measures of a book's state: mid, spread, depth, imbalance, order flow imbalance.

The rule here: a measure is one expression over the levels of a row and of its book's row before,
and it is null where a side that it needs is empty. No value stands for a price that is not there.

Rows are MBP rows (`mbp_schema`) in stream order, of several books. Those of trades show a book
that is about to change, so a state is every other row: the book after an event (rule 5).

A series restarts where a book is cleared: at an R, and at the row of a snapshot, which clears as
well (F_SNAPSHOT, rule 14). What is there then has no state before it.

With b, a the best bid and ask, q_b, q_a their sizes, D_b, D_a the sizes of the best k levels added
up, and primes for the state before:

| name         | columns                  | dtype   | definition                                   |
|--------------|--------------------------|---------|----------------------------------------------|
| mid          | mid                      | Float64 | (b + a) / 2, in 1e-9                         |
| spread       | spread                   | Int64   | a - b, in 1e-9; negative if crossed          |
| weighted_mid | weighted_mid             | Float64 | I a + (1 - I) b, I = q_b / (q_b + q_a)       |
| depth(k)     | depth_bid_k, depth_ask_k | Int64   | D_b, D_a; each null if its side is empty     |
| imbalance(k) | imbalance_k              | Float64 | D_b / (D_b + D_a)                            |
| ofi          | ofi                      | Int64   | e = 1{b>=b'} q_b - 1{b<=b'} q_b'             |
|              |                          |         | - 1{a<=a'} q_a + 1{a>=a'} q_a'               |
| ofi(k)       | ofi_00, ofi_01, up to k  | Int64   | e at each of the best k levels               |

ofi is the contribution e_n of one event in Cont, Kukanov and Stoikov, "The price impact of order
book events" (2014, arXiv:1011.6402); over a span of time it is summed. ofi(k) is the
same at every level, as in Xu, Gould and Howison, "Multi-level order-flow imbalance in a limit order
book" (2018, arXiv:1907.06230). The weighted mid is not Stoikov's micro-price (2018), which is an
estimated limit.

A mid is exact while b + a is below 2^53, that is up to 4,503,599.6, and rounded once beyond. A
spread that no int64 holds is null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import polars as pl

from batonics.frames.columns.vendor import mbp_schema
from batonics.frames.measures.stateful_expressions import StatefulExpressions, check_mbp_columns
from batonics.frames.scan.derived_source import DerivationPlan, derived_source
from batonics.frames.scan.sources import BOOK_KEY
from batonics.model.errors import UsageError
from batonics.model.mbo import Flag

EVENT_COLUMNS = ["ts_event", "ts_recv", "sequence", *BOOK_KEY]
"""The first columns of every row of measures: those of the MBP row it is taken from."""

IS_TRADE = pl.col("action") == "T"
IS_RESTART = (pl.col("action") == "R") | (~IS_TRADE & ((pl.col("flags") & int(Flag.SNAPSHOT)) != 0))
"""Where a series of states begins anew."""
RESTART_COLUMNS = ["action", "flags"]

TWICE_MID = pl.col("bid_px_00").cast(pl.Int128) + pl.col("ask_px_00")
"""b + a: as exact as the prices are, whatever they are."""


def measures_source(rows: pl.LazyFrame, names: Sequence[str], *, depth: int) -> pl.LazyFrame:
    """The measures of every state: a row for each MBP row that is not a trade's.

    Args:
        rows: has the columns of `mbp_schema(depth)`; those that no measure needs may be missing.
        names: of the measures, such as "mid" or "imbalance(5)"; see the table above.
        depth: how many levels a side the rows have.

    Returns:
        An IO source of the columns of `HEAD` and of the measures, in the order of `names`.

    Raises:
        UsageError: a name is unknown, a k is beyond the depth, a column is missing or has another
            dtype.
    """
    if not names:
        raise UsageError("no measure is named; there are mid, spread, ofi, imbalance(5) and others")
    columns = measure_columns(names, depth)
    expected = mbp_schema(depth)
    check_mbp_columns(rows.collect_schema(), expected, _reads({*EVENT_COLUMNS, *columns}, columns))
    empty = _evaluated(pl.LazyFrame(schema=expected), columns)
    schema = empty.select(*EVENT_COLUMNS, *columns).collect_schema()

    def plan(wanted: Collection[str]) -> DerivationPlan:
        exprs = {name: expr for name, expr in columns.items() if name in wanted}
        return DerivationPlan(_reads(wanted, exprs), lambda frames: measure_frames(frames, exprs))

    return derived_source("MBP MEASURES", rows, schema, plan)


def measure_columns(names: Sequence[str], depth: int) -> dict[str, pl.Expr]:
    """The columns of measures, by their names, as expressions for `measure_frames`.

    Raises:
        UsageError: a name is unknown, or a k is beyond the depth.
    """
    columns: dict[str, pl.Expr] = {}
    for name in names:
        columns |= _parsed(name, depth)
    return columns


def measure_frames(
    frames: Iterable[pl.DataFrame], columns: Mapping[str, pl.Expr]
) -> Iterator[pl.DataFrame]:
    """The frames' states, without their trades, and with these columns added."""
    measure = state_carry(columns)
    for frame in frames:
        yield measure(frame.filter(~IS_TRADE))


def state_carry(columns: Mapping[str, pl.Expr]) -> StatefulExpressions:
    """What adds these columns to the states of a stream."""
    return StatefulExpressions(lambda rows: _evaluated(rows, columns))


def _evaluated(rows: pl.LazyFrame, columns: Mapping[str, pl.Expr]) -> pl.LazyFrame:
    before = pl.when(~IS_RESTART).then(pl.col(_ROW).shift().over(BOOK_KEY))
    return (
        rows.with_columns(pl.int_range(pl.len()).alias(_ROW))
        .with_columns(before.alias(_BEFORE))
        .with_columns(**columns)
    )


_ROW, _BEFORE = "\0row", "\0before"


def _before(column: str) -> pl.Expr:
    """A column of the state before; null where a series begins."""
    return pl.col(column).gather(pl.col(_BEFORE))


def _reads(wanted: Collection[str], columns: Mapping[str, pl.Expr]) -> list[str]:
    """What the columns wanted are made from, and what tells the states and their books."""
    roots = {root for expr in columns.values() for root in expr.meta.root_names()}
    return sorted(
        {*BOOK_KEY, *RESTART_COLUMNS, *(set(EVENT_COLUMNS) & set(wanted)), *roots} - {_BEFORE}
    )


def _mid() -> dict[str, pl.Expr]:
    return {"mid": mid_of(TWICE_MID)}


def mid_of(twice: pl.Expr) -> pl.Expr:
    """The mid, Float64 of 1e-9, where twice the mid is known."""
    return twice.cast(pl.Float64) / 2


def _spread() -> dict[str, pl.Expr]:
    exact = pl.col("ask_px_00").cast(pl.Int128) - pl.col("bid_px_00")
    return {"spread": exact.cast(pl.Int64, strict=False)}


def _weighted_mid() -> dict[str, pl.Expr]:
    # As b + I (a - b): equal prices then give just that price.
    bid, ask = (pl.col(f"{side}_px_00") for side in _SIDES)
    bid_size, ask_size = (_size(side, 0) for side in _SIDES)
    share = bid_size / (bid_size + ask_size)
    return {"weighted_mid": bid + share * (ask.cast(pl.Float64) - bid)}


def _depth(levels: int) -> dict[str, pl.Expr]:
    return {f"depth_{side}_{levels}": _depth_of(side, levels) for side in _SIDES}


def _imbalance(levels: int) -> dict[str, pl.Expr]:
    bid, ask = (_depth_of(side, levels) for side in _SIDES)
    return {f"imbalance_{levels}": bid / (bid + ask)}


def _ofi() -> dict[str, pl.Expr]:
    return {"ofi": _ofi_of(0)}


def _ofi_levels(levels: int) -> dict[str, pl.Expr]:
    return {f"ofi_{level:02}": _ofi_of(level) for level in range(levels)}


_SIDES = ("bid", "ask")


def _size(side: str, level: int) -> pl.Expr:
    # The vendor's sizes have no sign.
    return pl.col(f"{side}_sz_{level:02}").cast(pl.Int64)


def _depth_of(side: str, levels: int) -> pl.Expr:
    total = pl.sum_horizontal(_size(side, level) for level in range(levels))
    return pl.when(pl.col(f"{side}_px_00").is_not_null()).then(total)


def _ofi_of(level: int) -> pl.Expr:
    terms = []
    for side in _SIDES:
        price, size = f"{side}_px_{level:02}", f"{side}_sz_{level:02}"
        now, then = pl.col(price), _before(price)
        stays, stood = (now >= then, now <= then) if side == "bid" else (now <= then, now >= then)
        # A comparison with a price that is not there is null, and so is its product.
        terms.append(stays * pl.col(size).cast(pl.Int64) - stood * _before(size).cast(pl.Int64))
    bid, ask = terms
    return bid - ask


_BEST: dict[str, Callable[[], dict[str, pl.Expr]]] = {
    "mid": _mid,
    "spread": _spread,
    "weighted_mid": _weighted_mid,
    "ofi": _ofi,
}
_DEEP: dict[str, Callable[[int], dict[str, pl.Expr]]] = {
    "depth": _depth,
    "imbalance": _imbalance,
    "ofi": _ofi_levels,
}
_NAME = re.compile(r"([a-z_]+)(?:\((\d+)\))?", re.ASCII)


def _parsed(name: str, depth: int) -> dict[str, pl.Expr]:
    """The columns of one measure, such as `ofi` or `depth(5)`."""
    match = _NAME.fullmatch(name)
    stem, levels = match.groups() if match else (name, None)
    if levels is None and stem in _BEST:
        return _BEST[stem]()
    if levels is not None and stem in _DEEP and 1 <= int(levels) <= depth:
        return _DEEP[stem](int(levels))
    known = ", ".join([*_BEST, *(f"{deep}(k)" for deep in _DEEP)])
    raise UsageError(f"measure {name!r} is unknown: there are {known} with k from 1 to {depth}")
