"""Measures of trades: sign, effective and realised spread, signed volume.

The rule here: a trade is measured against the book that it met, which is what the row of a T
shows, and by the clock of its own book alone. What other books do changes nothing.

With p the trade's price, m = (b + a) / 2 the mid of its row, and d its sign:

| column           | dtype   | definition                                                         |
|------------------|---------|--------------------------------------------------------------------|
| sign             | Int8    | d: 1 for side B, -1 for A (rule 12); for N by Lee and Ready        |
| mid              | Float64 | m, in 1e-9                                                         |
| effective_spread | Int64   | 2 d (p - m), in 1e-9                                               |
| realised_spread  | Int64   | 2 d (p - m at t + tau), in 1e-9                                    |
| signed_volume    | Int64   | d times the size                                                   |

Lee and Ready, "Inferring trade direction from intraday data" (1991): a trade above the mid was
bought (1), one below it sold (-1); at the mid, or where there is none, it goes by the tick: 1 if
the last other price that the book traded at was lower, -1 if it was higher. A trade that neither
decides has no sign. The spreads are twice the distance from a mid, as in SEC Rule 605, but counted
from the time of the trade. Twice a mid is b + a, so they are integers and exact.

Time is `ts_recv` and never runs backwards within a book: a row whose time is earlier, undefined or
flagged F_BAD_TS_RECV (rule 16) has the time of the row before it. The mid at t + tau is that of the
book's last state at that moment or before; it is known once a row of the book is later. It is null
if the book was cleared in between (the series restarted), if a side was empty, if t has no time,
or if the stream ended before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import polars as pl

from batonics.frames.columns.vendor import mbp_schema
from batonics.frames.measures.book_measures import (
    EVENT_COLUMNS,
    IS_RESTART,
    IS_TRADE,
    RESTART_COLUMNS,
    TWICE_MID,
    mid_of,
)
from batonics.frames.measures.stateful_expressions import StatefulExpressions, check_mbp_columns
from batonics.frames.scan.derived_source import DerivationPlan, derived_source
from batonics.frames.scan.sources import BOOK_KEY
from batonics.model.mbo import Flag
from batonics.model.times import duration_ns

INPUT_COLUMNS = sorted(
    {*EVENT_COLUMNS, *RESTART_COLUMNS, "side", "price", "size", "bid_px_00", "ask_px_00"},
    key=list(mbp_schema(1)).index,
)
"""The columns of MBP rows that `tagged` reads."""

_SERIES = [*BOOK_KEY, "series"]


def trade_measures_source(rows: pl.LazyFrame, *, tau: str | None = None) -> pl.LazyFrame:
    """The measures of every trade: a row for each T.

    Args:
        rows: MBP rows of any depth (`TAG_COLUMNS` of `mbp_schema`), in stream order.
        tau: how long after the trade its realised spread is taken, such as "5s".

    Returns:
        An IO source of the columns of `HEAD`, `price` (Int64 of 1e-9), `size` (UInt32) and `side`
        of the trade, and those of the table above; `realised_spread` only with `tau`. Without
        `tau` rows are in stream order. With it a trade's row comes when its realised spread is
        known: in the order of the rows that decide it, which for one book is stream order, and
        those that the stream's end leaves undecided come last. Trades that wait are kept in
        memory: as many as there are within `tau`.

    Raises:
        UsageError: `tau` is no duration, a column is missing or has another dtype.
    """
    expected = mbp_schema(1)
    check_mbp_columns(rows.collect_schema(), expected, INPUT_COLUMNS)
    tau_ns = None if tau is None else duration_ns(tau)
    schema = trade_schema(realised=tau is not None)

    def plan(wanted: Collection[str]) -> DerivationPlan:  # noqa: ARG001 - they hang together
        return DerivationPlan(INPUT_COLUMNS, lambda frames: trade_frames(frames, tau_ns))

    return derived_source("MBP TRADE MEASURES", rows, schema, plan)


def trade_schema(*, realised: bool) -> pl.Schema:
    """The columns of trade measures."""
    expected = mbp_schema(1)
    schema = pl.Schema({name: expected[name] for name in (*EVENT_COLUMNS, "price", "size", "side")})
    schema |= {"sign": pl.Int8(), "mid": pl.Float64(), "effective_spread": pl.Int64()}
    if realised:
        schema["realised_spread"] = pl.Int64()
    schema["signed_volume"] = pl.Int64()
    return schema


def trade_frames(frames: Iterable[pl.DataFrame], tau_ns: int | None) -> Iterator[pl.DataFrame]:
    """Frames of `trade_schema` over frames that have `TAG_COLUMNS`."""
    tags = annotate_rows(frames)
    measures = {"mid": mid_of(pl.col("twice_mid")), "effective_spread": _spread_to("twice_mid")}
    trades: Iterator[pl.DataFrame]
    if tau_ns is None:
        trades = (frame.filter(IS_TRADE) for frame in tags)
    else:
        trades = _later(tags, tau_ns)
        measures["realised_spread"] = _spread_to("twice_mid_later")
    columns = list(trade_schema(realised=tau_ns is not None))
    for frame in trades:
        yield frame.with_columns(**measures).select(columns)


def _spread_to(twice_mid: str) -> pl.Expr:
    exact = (pl.col("price").cast(pl.Int128) * 2 - pl.col(twice_mid)) * pl.col("sign")
    return exact.cast(pl.Int64, strict=False)


def annotate_rows(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Rows with what the measures of trades and of windows start from.

    The columns added:
        row (Int64): the row's number in the stream.
        clock_ns (Int64): the time of its book, null before the first that is known.
        series (Int64): how often its book was cleared, this row included.
        twice_mid (Int128): of the levels shown; null where a side is empty.
        sign (Int8), signed_volume (Int64): of a trade, else null.
    """
    carry = StatefulExpressions(_run)
    row = 0
    for frame in frames:
        known_ns = pl.col("ts_recv").to_physical()
        is_bad = (pl.col("flags") & int(Flag.BAD_TS_RECV)) != 0
        started = frame.with_columns(
            row=pl.int_range(row, row + frame.height, dtype=pl.Int64),
            # A time beyond int64 is none.
            clock_ns=pl.when(~is_bad & (known_ns >= 0)).then(known_ns),
            series=IS_RESTART.cast(pl.Int64),
            last_price=pl.when(IS_TRADE).then("price"),
            tick=pl.lit(None, pl.Int8),
        )
        row += frame.height
        yield _signed(carry(started)).drop("last_price", "tick")


def _run(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Running values of each book: its clock, its series, its last price and tick in a series."""
    price = pl.col("last_price")
    tick = _order(price, price.shift())
    return (
        rows.with_columns(
            pl.col("clock_ns").cum_max().forward_fill().over(BOOK_KEY),
            pl.col("series").cum_sum().over(BOOK_KEY),
        )
        .with_columns(price.forward_fill().over(_SERIES))
        .with_columns(pl.coalesce("tick", tick).forward_fill().over(_SERIES))
    )


def _order(left: pl.Expr, right: pl.Expr) -> pl.Expr:
    """1 where left is greater, -1 where right is; null where they are equal or one is null."""
    return pl.when(left > right).then(1).when(left < right).then(-1).cast(pl.Int8)


def _signed(rows: pl.DataFrame) -> pl.DataFrame:
    price = pl.col("price")
    by_quote = _order(price.cast(pl.Int128) * 2, pl.col("twice_mid"))
    lee_ready = pl.when(price.is_not_null()).then(pl.coalesce(by_quote, "tick"))
    by_side = pl.when(pl.col("side") == "B").then(1).when(pl.col("side") == "A").then(-1)
    sign = pl.when(IS_TRADE).then(pl.coalesce(by_side, lee_ready)).cast(pl.Int8)
    return (
        rows.with_columns(twice_mid=TWICE_MID)
        .with_columns(sign=sign)
        .with_columns(signed_volume=pl.col("sign") * pl.col("size").cast(pl.Int64))
    )


def _later(tags: Iterable[pl.DataFrame], tau_ns: int) -> Iterator[pl.DataFrame]:
    """Trades with `twice_mid_later`, twice the mid at t + tau, as soon as that is known."""
    waiting = states = None
    # Time has no beginning before a book's first known one.
    clock_ns = pl.col("clock_ns").fill_null(-1)
    # A moment that has no place in an int64 never comes.
    due_ns = pl.when(pl.col("clock_ns") < 2**63 - tau_ns).then(pl.col("clock_ns") + tau_ns)
    for frame in tags:
        moments = frame.select(*_SERIES, "row", "twice_mid", clock_ns=clock_ns)
        trades = frame.filter(IS_TRADE).with_columns(due_ns=due_ns)
        waiting = trades if waiting is None else pl.concat([waiting, trades])
        here = moments.filter(~frame.select(IS_TRADE).to_series())
        states = here if states is None else pl.concat([states, here])

        found = _joined(waiting, states, moments)
        is_decided = pl.col("decided_by").is_not_null()
        yield found.filter(is_decided).sort("decided_by", "row")
        waiting = waiting.filter(found.select(~is_decided).to_series())
        states = states.group_by(BOOK_KEY, maintain_order=True).tail(1).select(states.columns)
    if waiting is not None:
        yield waiting.with_columns(twice_mid_later=pl.lit(None, pl.Int128))


def _joined(waiting: pl.DataFrame, states: pl.DataFrame, moments: pl.DataFrame) -> pl.DataFrame:
    """The waiting trades, with the first row later than each is due, and the mid before that."""
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
            moments.select(*BOOK_KEY, "clock_ns", decided_by="row"),
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
            # What is never due is known to have no mid.
            pl.when(pl.col("due_ns").is_null())
            .then("row")
            .otherwise("decided_by")
            .alias("decided_by"),
        )
    )
