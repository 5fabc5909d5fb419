"""Measures of trades: sign, effective and realised spread, signed volume.

The rule here: a trade is measured against the book that it met, which the row of a T has, and by
the clock of its own book. Other books change nothing.

In the table, p is the price of the trade, m = (b + a) / 2 the mid of its row, and d its sign:

| column           | dtype   | definition                                                         |
|------------------|---------|--------------------------------------------------------------------|
| sign             | Int8    | d: 1 for side B, -1 for A (rule 12); for N by Lee and Ready        |
| mid              | Float64 | m, in 1e-9                                                         |
| effective_spread | Int64   | 2 d (p - m), in 1e-9                                               |
| realised_spread  | Int64   | 2 d (p - m at t + tau), in 1e-9                                    |
| signed_volume    | Int64   | d times the size                                                   |

Lee and Ready, "Inferring trade direction from intraday data" (1991): a trade above the mid is a buy
(1), and one below it a sell (-1). At the mid, or without a mid, the tick decides: 1 if the book's
last other trade price was lower, -1 if it was higher. A clear of the book (R, snapshot) forgets
these prices, and nothing else does. A trade that neither decides has no sign. The spreads are twice
the distance from a mid, as in SEC Rule 605, but measured at the time of the trade. Twice a mid is
b + a, so the spreads are exact integers.

Time is `ts_recv` and never runs backwards within a book: a row whose time is earlier, or orders
nothing (rule 16), has the time of the previous row. The mid at t + tau is the mid of
the book's last state at or before that moment; it is known when the book has a later row. It is
null if the book was cleared in between (the series restarted), if a side was empty, if t is not
known, or if the stream ended before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import polars as pl

from batonics.frames.columns.books import BOOK_KEY
from batonics.frames.columns.vendor import mbp_schema
from batonics.frames.measures.book_measures import (
    EVENT_COLUMNS,
    IS_CROSSED,
    IS_RESTART,
    IS_TRADE,
    RESTART_COLUMNS,
    TWICE_MID,
    mid_of,
)
from batonics.frames.measures.stateful_expressions import StatefulExpressions, check_mbp_columns
from batonics.frames.scan.clock import trusted_time
from batonics.frames.scan.derived_source import DerivationPlan, derived_source
from batonics.model.times import Duration, duration_ns

INPUT_COLUMNS = sorted(
    {*EVENT_COLUMNS, *RESTART_COLUMNS, "side", "price", "size", "bid_px_00", "ask_px_00"},
    key=list(mbp_schema(1)).index,
)
"""The columns of MBP rows that `annotate_rows` reads."""

_SERIES = [*BOOK_KEY, "series"]


def trade_measures_source(
    rows: pl.LazyFrame, *, tau: Duration | None = None, crossed: bool = False
) -> pl.LazyFrame:
    """The measures of every trade: one row for each T.

    Args:
        rows: MBP rows of any depth, in stream order, with the columns `INPUT_COLUMNS`.
        tau: the time from a trade to the mid of its realised spread, such as "5s".
        crossed: whether rows have the column `crossed` (Boolean) of the book that the trade met.

    Returns:
        An IO source of the columns `EVENT_COLUMNS`; `price` (Int64 of 1e-9), `size` (UInt32) and
        `side` of the trade; and the columns of the table above, `realised_spread` only with `tau`.
        Without `tau`, rows are in stream order. With `tau`, the row of a trade comes when its
        realised spread is known: rows are in the order of the rows that decide them, which for one
        book is stream order, and undecided rows come last. The trades of the last `tau` are kept
        in memory.

    Raises:
        UsageError: `tau` is not a duration, or a column is missing or has another dtype.
    """
    expected = mbp_schema(1)
    check_mbp_columns(rows.collect_schema(), expected, INPUT_COLUMNS)
    tau_ns = None if tau is None else duration_ns(tau)
    schema = trade_schema(realised=tau is not None)
    if crossed:
        schema["crossed"] = pl.Boolean()

    def plan(columns: Collection[str]) -> DerivationPlan:  # noqa: ARG001 - all are made together
        return DerivationPlan(
            INPUT_COLUMNS, lambda frames: trade_frames(frames, tau_ns, crossed=crossed)
        )

    return derived_source("MBP TRADE MEASURES", rows, schema, plan)


def trade_schema(*, realised: bool) -> pl.Schema:
    """The schema of trade measures."""
    expected = mbp_schema(1)
    schema = pl.Schema({name: expected[name] for name in (*EVENT_COLUMNS, "price", "size", "side")})
    schema |= {"sign": pl.Int8(), "mid": pl.Float64(), "effective_spread": pl.Int64()}
    if realised:
        schema["realised_spread"] = pl.Int64()
    schema["signed_volume"] = pl.Int64()
    return schema


def trade_frames(
    frames: Iterable[pl.DataFrame], tau_ns: int | None, *, crossed: bool = False
) -> Iterator[pl.DataFrame]:
    """Frames of `trade_schema`, perhaps with `crossed`, from frames that have `INPUT_COLUMNS`."""
    annotated = annotate_rows(frames)
    measures = {
        "mid": mid_of(pl.col("twice_mid")),
        "effective_spread": _spread_from("twice_mid"),
        "crossed": IS_CROSSED,
    }
    trades: Iterator[pl.DataFrame]
    if tau_ns is None:
        trades = (frame.filter(IS_TRADE) for frame in annotated)
    else:
        trades = _join_later_mids(annotated, tau_ns)
        measures["realised_spread"] = _spread_from("twice_mid_later")
    columns = [*trade_schema(realised=tau_ns is not None), *(["crossed"] if crossed else [])]
    for frame in trades:
        yield frame.with_columns(**measures).select(columns)


def _spread_from(twice_mid: str) -> pl.Expr:
    exact = (pl.col("price").cast(pl.Int128) * 2 - pl.col(twice_mid)) * pl.col("sign")
    return exact.cast(pl.Int64, strict=False)


def annotate_rows(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """MBP rows with the columns that measures of trades and of windows are made of.

    The columns added:
        row (Int64): the number of the row in the stream.
        clock_ns (Int64): the time of its book; null before the first known time.
        series (Int64): the number of clears of its book up to this row.
        twice_mid (Int128): twice the mid of the row's levels; null if a side is empty.
        sign (Int8), signed_volume (Int64): the sign and the signed volume of a trade; else null.
    """
    evaluate = StatefulExpressions(_add_running_values)
    row = 0
    for frame in frames:
        started = frame.with_columns(
            row=pl.int_range(row, row + frame.height, dtype=pl.Int64),
            clock_ns=trusted_time(),
            series=IS_RESTART.cast(pl.Int64),
            last_price=pl.when(IS_TRADE).then("price"),
            tick=pl.lit(None, pl.Int8),
        )
        row += frame.height
        yield _add_signs(evaluate(started)).drop("last_price", "tick")


def _add_running_values(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Add running values of each book: clock, series, and last price and tick in a series."""
    price = pl.col("last_price")
    tick = _compare(price, price.shift())
    return (
        rows.with_columns(
            pl.col("clock_ns").cum_max().forward_fill().over(BOOK_KEY),
            pl.col("series").cum_sum().over(BOOK_KEY),
        )
        .with_columns(price.forward_fill().over(_SERIES))
        .with_columns(pl.coalesce("tick", tick).forward_fill().over(_SERIES))
    )


def _compare(left: pl.Expr, right: pl.Expr) -> pl.Expr:
    """1 if left is greater, -1 if right is greater; null if they are equal or one is null."""
    return pl.when(left > right).then(1).when(left < right).then(-1).cast(pl.Int8)


def _add_signs(rows: pl.DataFrame) -> pl.DataFrame:
    price = pl.col("price")
    by_quote = _compare(price.cast(pl.Int128) * 2, pl.col("twice_mid"))
    lee_ready = pl.when(price.is_not_null()).then(pl.coalesce(by_quote, "tick"))
    by_side = pl.when(pl.col("side") == "B").then(1).when(pl.col("side") == "A").then(-1)
    sign = pl.when(IS_TRADE).then(pl.coalesce(by_side, lee_ready)).cast(pl.Int8)
    return (
        rows.with_columns(twice_mid=TWICE_MID)
        .with_columns(sign=sign)
        .with_columns(signed_volume=pl.col("sign") * pl.col("size").cast(pl.Int64))
    )


def _join_later_mids(annotated: Iterable[pl.DataFrame], tau_ns: int) -> Iterator[pl.DataFrame]:
    """Trades with `twice_mid_later`, twice the mid at t + tau, each when it is known."""
    waiting = states = None
    # Rows before a book's first known time are earlier than any time.
    clock_ns = pl.col("clock_ns").fill_null(-1)
    # A moment beyond int64 never comes.
    due_ns = pl.when(pl.col("clock_ns") < 2**63 - tau_ns).then(pl.col("clock_ns") + tau_ns)
    for frame in annotated:
        book_times = frame.select(*_SERIES, "row", "twice_mid", clock_ns=clock_ns)
        trades = frame.filter(IS_TRADE).with_columns(due_ns=due_ns)
        waiting = trades if waiting is None else pl.concat([waiting, trades])
        new_states = book_times.filter(~frame.select(IS_TRADE).to_series())
        states = new_states if states is None else pl.concat([states, new_states])

        found = _join_mids(waiting, states, book_times)
        is_decided = pl.col("decided_by").is_not_null()
        yield found.filter(is_decided).sort("decided_by", "row")
        waiting = waiting.filter(found.select(~is_decided).to_series())
        states = states.group_by(BOOK_KEY, maintain_order=True).tail(1).select(states.columns)
    if waiting is not None:
        yield waiting.with_columns(twice_mid_later=pl.lit(None, pl.Int128))


def _join_mids(
    waiting: pl.DataFrame, states: pl.DataFrame, book_times: pl.DataFrame
) -> pl.DataFrame:
    """The waiting trades with the first row after t + tau, and the mid before it."""
    is_same = pl.col("series") == pl.col("series_later")
    return (
        waiting.join_asof(
            states.rename({"series": "series_later", "twice_mid": "twice_mid_later"}).drop("row"),
            left_on="due_ns",
            right_on="clock_ns",
            by=BOOK_KEY,
            coalesce=False,
            suffix="_state",
            check_sortedness=False,
        )
        .join_asof(
            book_times.select(*BOOK_KEY, "clock_ns", decided_by="row"),
            left_on="due_ns",
            right_on="clock_ns",
            by=BOOK_KEY,
            strategy="forward",
            allow_exact_matches=False,
            coalesce=False,
            suffix="_decided",
            check_sortedness=False,
        )
        .with_columns(
            pl.when(is_same).then("twice_mid_later"),
            # A trade that is never due has no mid, and is decided at once.
            pl.when(pl.col("due_ns").is_null())
            .then("row")
            .otherwise("decided_by")
            .alias("decided_by"),
        )
    )
