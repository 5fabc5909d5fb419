"""Measures of a book's state: mid, spread, depth, imbalance, order flow imbalance.

The rule here: a measure is one expression over the levels of a row and of the previous row of its
book. It is null if a side that it needs is empty; no value replaces a missing price.

The input is MBP rows (`mbp_schema`) of any number of books, in stream order. The row of a trade has
a book that is about to change. A *state* is any other row: the book after an event (rule 5).

A series restarts where a book is cleared: at an R, and at the row of a snapshot, which clears too
(F_SNAPSHOT, rule 14). The first state of a series has no previous state.

In the table, b and a are the best bid and ask, q_b and q_a their sizes, D_b and D_a the sums of the
sizes of the best k levels, and primes mark the previous state:

| name         | columns                  | dtype   | definition                                   |
|--------------|--------------------------|---------|----------------------------------------------|
| mid          | mid                      | Float64 | (b + a) / 2, in 1e-9                         |
| spread       | spread                   | Int64   | a - b, in 1e-9; negative if crossed          |
| crossed      | crossed                  | Boolean | b >= a; false if a side is empty             |
| weighted_mid | weighted_mid             | Float64 | I a + (1 - I) b, I = q_b / (q_b + q_a)       |
| depth(k)     | depth_bid_k, depth_ask_k | Int64   | D_b, D_a; each null if its side is empty     |
| imbalance(k) | imbalance_k              | Float64 | D_b / (D_b + D_a)                            |
| ofi          | ofi                      | Int64   | e = 1{b>=b'} q_b - 1{b<=b'} q_b'             |
|              |                          |         | - 1{a<=a'} q_a + 1{a>=a'} q_a'               |
| ofi(k)       | ofi_00, ofi_01, up to k  | Int64   | e at each of the best k levels               |

ofi is the contribution e_n of one event in Cont, Kukanov and Stoikov, "The price impact of order
book events" (2014, arXiv:1011.6402); its sum is the order flow imbalance of a span of time. ofi(k)
is the same at every level, as in Xu, Gould and Howison, "Multi-level order-flow imbalance in a
limit order book" (2018, arXiv:1907.06230). The weighted mid is not Stoikov's micro-price (2018),
which is an estimated limit.

A mid is exact if b + a is below 2^53, that is up to 4,503,599.6, and rounded once otherwise. A
spread that does not fit an int64 is null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import polars as pl

from batonics.frames.columns.books import BOOK_KEY
from batonics.frames.columns.vendor import mbp_schema
from batonics.frames.measures.stateful_expressions import StatefulExpressions, check_mbp_columns
from batonics.frames.scan.derived_source import DerivationPlan, derived_source
from batonics.model.errors import UsageError
from batonics.model.mbo import Flag

EVENT_COLUMNS = ["ts_event", "ts_recv", "sequence", *BOOK_KEY]
"""The first columns of every row of measures, copied from its MBP row."""

IS_TRADE = pl.col("action") == "T"
IS_RESTART = (pl.col("action") == "R") | (~IS_TRADE & ((pl.col("flags") & int(Flag.SNAPSHOT)) != 0))
"""Whether a series of states restarts at the row."""
RESTART_COLUMNS = ["action", "flags"]

IS_CROSSED = (pl.col("bid_px_00") >= pl.col("ask_px_00")).fill_null(value=False)
"""Whether the best bid is at or above the best ask (rule 22)."""
TWICE_MID = pl.col("bid_px_00").cast(pl.Int128) + pl.col("ask_px_00")
"""b + a, which is exact for all prices."""


def measures_source(rows: pl.LazyFrame, names: Sequence[str], *, depth: int) -> pl.LazyFrame:
    """The measures of every state: one row for each MBP row that is not a trade.

    Args:
        rows: MBP rows. Columns of `mbp_schema(depth)` that no measure reads may be missing.
        names: the names of the measures, such as "mid" or "imbalance(5)"; see the table above.
        depth: the number of levels of each side of the rows.

    Returns:
        An IO source of the columns of `EVENT_COLUMNS` and of the measures, in the order of `names`.

    Raises:
        UsageError: a name is unknown, a k exceeds the depth, or a column is missing or has another
            dtype.
    """
    if not names:
        raise UsageError("no measure is named; there are mid, spread, ofi, imbalance(5) and others")
    columns = measure_columns(names, depth)
    expected = mbp_schema(depth)
    check_mbp_columns(
        rows.collect_schema(), expected, _find_reads({*EVENT_COLUMNS, *columns}, columns)
    )
    empty = _evaluate(pl.LazyFrame(schema=expected), columns)
    schema = empty.select(*EVENT_COLUMNS, *columns).collect_schema()

    def plan(selected: Collection[str]) -> DerivationPlan:
        exprs = {name: expr for name, expr in columns.items() if name in selected}
        return DerivationPlan(
            _find_reads(selected, exprs), lambda frames: measure_frames(frames, exprs)
        )

    return derived_source("MBP MEASURES", rows, schema, plan)


def measure_columns(names: Sequence[str], depth: int) -> dict[str, pl.Expr]:
    """The columns of measures by name, as expressions for `measure_frames`.

    Raises:
        UsageError: a name is unknown, or a k exceeds the depth.
    """
    columns: dict[str, pl.Expr] = {}
    for name in names:
        columns |= _parse_measure(name, depth)
    return columns


def measure_frames(
    frames: Iterable[pl.DataFrame], columns: Mapping[str, pl.Expr]
) -> Iterator[pl.DataFrame]:
    """The states of the frames, with these columns added; rows of trades are left out."""
    measure = state_expressions(columns)
    for frame in frames:
        yield measure(frame.filter(~IS_TRADE))


def state_expressions(
    columns: Mapping[str, pl.Expr], restarts: pl.Expr = IS_RESTART
) -> StatefulExpressions:
    """Stateful expressions that add these columns to the states of a stream.

    Args:
        columns: the columns of measures, by name.
        restarts: whether the series of states restarts at a state.
    """
    return StatefulExpressions(lambda rows: _evaluate(rows, columns, restarts))


def _evaluate(
    rows: pl.LazyFrame, columns: Mapping[str, pl.Expr], restarts: pl.Expr = IS_RESTART
) -> pl.LazyFrame:
    previous = pl.when(~restarts).then(pl.col(_ROW).shift().over(BOOK_KEY))
    return (
        rows.with_columns(pl.int_range(pl.len()).alias(_ROW))
        .with_columns(previous.alias(_PREVIOUS_ROW))
        .with_columns(**columns)
    )


_ROW, _PREVIOUS_ROW = "\0row", "\0previous"


def _previous(column: str) -> pl.Expr:
    """A column of the previous state; null at the first state of a series."""
    return pl.col(column).gather(pl.col(_PREVIOUS_ROW))


def _find_reads(selected: Collection[str], columns: Mapping[str, pl.Expr]) -> list[str]:
    """The columns that are read: those of the expressions, of the books and of restarts."""
    roots = {root for expr in columns.values() for root in expr.meta.root_names()}
    return sorted(
        {*BOOK_KEY, *RESTART_COLUMNS, *(set(EVENT_COLUMNS) & set(selected)), *roots}
        - {_PREVIOUS_ROW}
    )


def _mid() -> dict[str, pl.Expr]:
    return {"mid": mid_of(TWICE_MID)}


def mid_of(twice: pl.Expr) -> pl.Expr:
    """The mid, Float64 of 1e-9, from twice the mid."""
    return twice.cast(pl.Float64) / 2


def _spread() -> dict[str, pl.Expr]:
    exact = pl.col("ask_px_00").cast(pl.Int128) - pl.col("bid_px_00")
    return {"spread": exact.cast(pl.Int64, strict=False)}


def _crossed() -> dict[str, pl.Expr]:
    return {"crossed": IS_CROSSED}


def _weighted_mid() -> dict[str, pl.Expr]:
    # As b + I (a - b), which is exactly b if both prices are equal.
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
    # The vendor's sizes are unsigned.
    return pl.col(f"{side}_sz_{level:02}").cast(pl.Int64)


def _depth_of(side: str, levels: int) -> pl.Expr:
    total = pl.sum_horizontal(_size(side, level) for level in range(levels))
    return pl.when(pl.col(f"{side}_px_00").is_not_null()).then(total)


def _ofi_of(level: int) -> pl.Expr:
    terms = []
    for side in _SIDES:
        price, size = f"{side}_px_{level:02}", f"{side}_sz_{level:02}"
        now, then = pl.col(price), _previous(price)
        now_counts, previous_counts = (
            (now >= then, now <= then) if side == "bid" else (now <= then, now >= then)
        )
        # A comparison with a missing price is null, and so is its product.
        terms.append(
            now_counts * pl.col(size).cast(pl.Int64)
            - previous_counts * _previous(size).cast(pl.Int64)
        )
    bid, ask = terms
    return bid - ask


_BEST_LEVEL_MEASURES: dict[str, Callable[[], dict[str, pl.Expr]]] = {
    "mid": _mid,
    "spread": _spread,
    "crossed": _crossed,
    "weighted_mid": _weighted_mid,
    "ofi": _ofi,
}
_DEPTH_MEASURES: dict[str, Callable[[int], dict[str, pl.Expr]]] = {
    "depth": _depth,
    "imbalance": _imbalance,
    "ofi": _ofi_levels,
}
_NAME = re.compile(r"([a-z_]+)(?:\((\d+)\))?", re.ASCII)


def _parse_measure(name: str, depth: int) -> dict[str, pl.Expr]:
    """The columns of one measure, named like `ofi` or `depth(5)`."""
    match = _NAME.fullmatch(name)
    stem, levels = match.groups() if match else (name, None)
    if levels is None and stem in _BEST_LEVEL_MEASURES:
        return _BEST_LEVEL_MEASURES[stem]()
    if levels is not None and stem in _DEPTH_MEASURES and 1 <= int(levels) <= depth:
        return _DEPTH_MEASURES[stem](int(levels))
    known = ", ".join([*_BEST_LEVEL_MEASURES, *(f"{deep}(k)" for deep in _DEPTH_MEASURES)])
    raise UsageError(f"measure {name!r} is unknown: there are {known} with k from 1 to {depth}")
