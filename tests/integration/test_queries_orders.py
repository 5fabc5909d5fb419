"""Query files about orders, quotes, trades and records: by hand, and on real data.

The rule here: of real data an answer is worked out anew, from the frames of `.mbo`, in their own
order and without SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import batonics
from tests.support.query_tables import (
    MIDNIGHT_NS,
    NS_PER_S,
    ZONE,
    ZONE_NS,
    query_files,
    real_files,
    run_query,
)

T = MIDNIGHT_NS
HOUR_NS, DAY_NS = 3_600 * NS_PER_S, 86_400 * NS_PER_S
PRICE = 1_000_000_000
TOB, SNAPSHOT, MBP, BAD_TS_RECV = 64, 32, 16, 8
REAL = list(real_files(Path()))
BOOK = ["publisher_id", "instrument_id"]
GROUP = ["symbol", "publisher_id"]
IS_CROSSED = (pl.col("bid_price") >= pl.col("ask_price")).fill_null(value=False)
INCLUDES = pytest.mark.parametrize("include", [(), ("crossed", "closed")], ids=["open", "all"])
"""States that are left out, and all of them. No real data set here has a status of trading."""
Row = dict[str, Any]


def answer(name: str, tables: dict[str, list[Row]], *columns: str, **params: Any) -> list[Any]:
    """These columns of an answer, a tuple a row; times are nanoseconds of the epoch."""
    frame = run_query(name, tables, **params).select(columns or pl.all())
    return frame.with_columns(pl.selectors.datetime().dt.epoch("ns")).rows()


def order(end: str = "filled", **row: Any) -> Row:
    """The life of an order of size 1 that was filled at once, or as the row says."""
    filled = row.get("filled", 1 if end == "filled" else 0)
    return {
        "side": "B",
        "ts": T,
        "price_start": PRICE,
        "size_start": 1,
        "added": 1,
        "filled": filled,
        "cancelled": 1 - filled if end == "cancelled" else 0,
        "left": 0 if end in {"filled", "cancelled"} else 1,
        "modifies": 0,
        "requeues": 0,
        "ahead_orders": 0,
        "ahead_size": 0,
        "ts_first_fill": T if filled else None,
        "fill_ahead_orders": 0 if filled else None,
        "end": end,
        "left_censored": False,
        "right_censored": end in {"alive", "cleared"},
        **row,
    }


def state(ts: int, bid: int | None, ask_price: int | None, **row: Any) -> Row:
    """The best prices after an event, each of size 1."""
    return {
        "ts": ts,
        "bid_px_00": bid,
        "ask_px_00": ask_price,
        "bid_sz_00": bid is not None,
        "ask_sz_00": ask_price is not None,
        **row,
    }


def trade(ts: int, price: int | None, side: str = "B", size: int | None = 1, **row: Any) -> Row:
    return {"ts": ts, "action": "T", "price": price, "side": side, "size": size, **row}


def test_the_time_to_fill_is_that_of_filled_orders_and_the_others_are_counted() -> None:
    orders = [
        order(ts_first_fill=T + 30, ahead_size=4),
        order(ts_first_fill=T + 10, ahead_size=7),
        order("cancelled", filled=1, added=2, ts_first_fill=T + 20, ahead_size=5),
        order("cancelled", ahead_size=6),
        order("alive", ahead_size=6),
        order(ts_first_fill=T + 99, ahead_size=4, requeues=1),
        order(ts_first_fill=T + 99, ahead_size=4, left_censored=True),
        order("replaced", ahead_size=0),
        order(ts_first_fill=T + 40, ahead_size=8, symbol="Y"),
        order("cleared", ahead_size=8, publisher_id=2, symbol="Y"),
    ]
    assert answer("queue_time_to_fill", {"orders": orders}) == [
        ("X", 1, 0, 0, 1, 0, 1, 0, 0, 0.0, None, None, None),
        ("X", 1, 4, 7, 6, 3, 1, 1, 1, 0.6, 10, 20, 30),
        ("Y", 1, 8, 15, 1, 1, 0, 0, 0, 1.0, 40, 40, 40),
        ("Y", 2, 8, 15, 1, 0, 0, 1, 0, 0.0, None, None, None),
    ]


def test_orders_are_cancelled_and_filled_by_ticks_from_the_best_that_they_met() -> None:
    cent = PRICE // 100
    states = [
        state(T, 100 * cent, 103 * cent),
        # A trade shows the book before it: no state.
        trade(T + 5, 100 * cent, bid_px_00=1, ask_px_00=2),
        # Two events of one packet: the later one of the stream holds.
        state(T + 10, 98 * cent, None, sequence=9, ts_event=T + 9),
        state(T + 10, 99 * cent, None, sequence=9, ts_event=T + 8),
        state(T, 50 * cent, 60 * cent, symbol="Y"),
    ]
    orders = [
        order("cancelled", ts_recv_start=T + 6, price_start=98 * cent, added=4, cancelled=4),
        order(ts_recv_start=T + 10, price_start=98 * cent, added=2, filled=2),
        order("cancelled", ts_recv_start=T + 6, price_start=101 * cent + 1),
        order("cancelled", ts_recv_start=T + 11, price_start=99 * cent),
        order("alive", ts_recv_start=T + 11, side="A", price_start=105 * cent),
        # Before any state, and in another source.
        order(ts_recv_start=T, price_start=98 * cent),
        order(ts_recv_start=T + DAY_NS, price_start=98 * cent, source=1),
        order(ts_recv_start=T + 6, price_start=98 * cent, left_censored=True),
        order(ts_recv_start=T + 6, symbol="Y", price_start=20 * cent),
    ]
    assert answer("cancel_to_fill", {"orders": orders, "states_1": states}, most=5) == [
        ("X", 1, -2, 1, 1, 0, 1, 0, 0.0, 1.0, None, 0, False),
        ("X", 1, 0, 1, 1, 0, 1, 0, 0.0, 1.0, None, 0, False),
        ("X", 1, 2, 2, 6, 2, 4, 0, 2 / 6, 4 / 6, 2.0, 0, False),
        ("X", 1, None, 3, 3, 2, 0, 1, 2 / 3, 0.0, 0.0, 0, False),
        ("Y", 1, 5, 1, 1, 1, 0, 0, 1.0, 0.0, 0.0, 0, False),
    ]


def test_lives_are_those_whose_start_and_end_are_known() -> None:
    orders = [
        order("cancelled", ts_end=T + 10),
        order("cancelled", ts_end=T + 20),
        order("cancelled", ts_end=T + 30),
        order("cancelled", ts_end=T + 99, left_censored=True),
        order("cleared", ts_end=T + 50),
        order("alive", ts_end=None),
        order(ts_end=T - 5, symbol="Y"),
    ]
    assert answer("order_lifetimes", {"orders": orders}) == [
        ("X", 1, "alive", 1, 1, None, None, None, None, None, None),
        ("X", 1, "cancelled", 4, 1, 10, 10, 20, 30, 30, 30),
        ("X", 1, "cleared", 1, 1, None, None, None, None, None, None),
        ("Y", 1, "filled", 1, 0, -5, -5, -5, -5, -5, -5),
    ]


def test_a_quote_lives_while_its_price_is_the_best() -> None:
    states = [
        state(T, 100, 110),
        state(T + 10, 101, 110),
        # Another size, and a trade, change no quote.
        state(T + 15, 101, 110, bid_sz_00=7),
        trade(T + 16, 101, bid_px_00=1, ask_px_00=2),
        # Two events of one packet, in the order of the stream.
        state(T + 19, 100, 110, sequence=9, ts_event=T + 18),
        state(T + 19, 103, 110, sequence=9, ts_event=T + 17),
        state(T + 60, None, 110),
        state(T + 65, 100, 110),
        state(T + 70, 102, 112),
        # In another source nothing goes on.
        state(T + DAY_NS, 101, 110, source=1),
        state(T + DAY_NS + 3, 102, 110, source=1),
        state(T + HOUR_NS, 7, None, symbol="Y"),
        state(T + HOUR_NS + 1, 7, 9, symbol="Y"),
        state(T + HOUR_NS + 3, 7, 10, symbol="Y"),
    ]
    assert answer("quote_flicker", {"states_1": states}, shorter="10ns") == [
        # 101 for 9 ns, 100 for none, 103 for 41 ns, and, after an empty side, 100 for 5 ns.
        ("X", 1, "B", 0, "UTC", 4, 3, 1, 0.75, 5, 0, False),
        ("Y", 1, "A", 1, "UTC", 1, 1, 0, 1.0, 2, 0, False),
    ]


def test_a_candidate_is_filled_for_all_that_it_first_showed_and_had_more() -> None:
    orders = [
        order(order_id=1, size_start=5, added=20, filled=20, modifies=3, requeues=3),
        order(order_id=2, size_start=5, added=5, filled=5),
        # Made larger by hand, and not filled.
        order("cancelled", order_id=3, size_start=5, added=9, filled=4),
        order("alive", order_id=4, size_start=5, added=10, filled=5, symbol="Y"),
        order("alive", order_id=5, size_start=0, added=1, filled=0),
    ]
    columns = ("symbol", "order_id", "hidden", "filled_ratio", "modifies", "ended")
    found = answer("iceberg_candidates", {"orders": orders}, *columns)
    assert found == [("X", 1, 15, 4.0, 3, "filled"), ("Y", 4, 5, 1.0, 0, "alive")]
    assert answer("iceberg_candidates", {"orders": orders}, *columns, ratio=2) == found[:1]


def test_a_sweep_is_one_side_at_several_prices_within_a_moment() -> None:
    trades = [
        trade(T, 100, size=2),
        # Of no side: neither of the sweep nor its end.
        trade(T + 1, 90, "N"),
        trade(T + 10, 102, size=None),
        trade(T + 20, 101, size=3),
        trade(T + 25, 100, "A"),
        trade(T + 26, None, "A"),
        # Of another book, and so no end either.
        trade(T + 28, 200, "B", symbol="Y"),
        trade(T + 35, 99, "A", size=2**32 - 2),
        # Too late to belong to it.
        trade(T + 46, 98, "A"),
        trade(T + 47, 200, "A", symbol="Y"),
        trade(T + 47, 201, "A", symbol="Y"),
        trade(T + 47, 205, "A", symbol="Y", publisher_id=2),
    ]
    swept = [
        ("X", 1, "B", T, 20, 3, 3, 5, 100, 102),
        ("X", 1, "A", T + 25, 10, 2, 2, 2**32 - 1, 100, 99),
        ("Y", 1, "A", T + 47, 0, 2, 2, 2, 201, 200),
    ]
    assert answer("sweeps", {"trades": trades}, within="10ns") == swept
    assert answer("sweeps", {"trades": trades}, within="10ns", levels=3) == swept[:1]


def test_a_book_is_crossed_until_a_state_in_which_it_is_not() -> None:
    states = [
        state(T, 100, 101),
        state(T + 10, 101, 101),
        state(T + 20, 104, 101),
        trade(T + 25, 101, bid_px_00=1, ask_px_00=2),
        # Two events of one packet, in the order of the stream.
        state(T + 30, 104, 101, sequence=9, ts_event=T + 29),
        state(T + 30, 104, None, sequence=9, ts_event=T + 28),
        state(T + 40, 104, 102),
        state(T + DAY_NS, 104, 102, source=1),
        state(T + DAY_NS + 5, 104, 105, source=1),
        state(T + 7, 9, 8, symbol="Y"),
    ]
    assert answer("crossed_spells", {"states_1": states}) == [
        ("X", 1, T + 10, T + 30, 20, T + 30, 3, 3),
        ("X", 1, T + 40, None, None, T + 40, 1, 2),
        ("X", 1, T + DAY_NS, T + DAY_NS + 5, 5, T + DAY_NS, 1, 2),
        ("Y", 1, T + 7, None, None, T + 7, 1, 1),
    ]


def test_a_silence_knows_how_much_the_other_books_had_meanwhile() -> None:
    records: list[Row] = [
        {"ts": T, "symbol": "X"},
        {"ts": T, "symbol": "Y"},
        {"ts": T + 40, "symbol": "Y"},
        {"ts": T + 50, "symbol": "Y"},
        {"ts": T + 50, "symbol": "Z", "publisher_id": 2},
        {"ts": T + 90, "symbol": "X", "flags": BAD_TS_RECV},
        {"ts": T + 100, "symbol": "X"},
        {"ts": T + 100, "symbol": "Y"},
        {"ts": None, "symbol": "X", "date": None},
        {"ts": T + DAY_NS, "symbol": "X"},
    ]
    silent = [("X", 1, T, T + 100, 100, 2), ("Y", 1, T + 50, T + 100, 50, 0)]
    assert answer("gaps", {"mbo": records}, longer="40ns") == silent
    assert answer("gaps", {"mbo": records}, longer="50ns") == silent[:1]
    assert answer("gaps", {"mbo": records}, longer="40ns", others=1) == silent[:1]


def test_latency_is_that_of_records_whose_times_mean_something() -> None:
    delays = [*range(10, 110, 10), -7]
    records: list[Row] = [
        *({"ts_event": T, "ts_recv": T + delay, "symbol": "Y"} for delay in delays[:-1]),
        {"ts_event": T + HOUR_NS, "ts_recv": T + HOUR_NS + delays[-1]},
        {"ts_event": T, "ts_recv": T + 999, "flags": BAD_TS_RECV},
        {"ts_event": T - DAY_NS, "ts_recv": T, "flags": SNAPSHOT},
        {"ts_event": None, "ts_recv": T},
        {"ts_event": T, "ts_recv": None},
    ]
    assert answer("latency", {"mbo": records}) == [
        ("X", 1, 0, "UTC", 1, 1, -7, -7, -7, -7, -7, -7),
        ("Y", 1, 0, "UTC", 10, 0, 10, 50, 90, 100, 100, 100),
    ]


def test_what_was_bought_and_sold_is_summed_by_windows_that_include_their_end() -> None:
    trades = [
        trade(T, 100, "B", 5),
        trade(T + 1, 100, "A", 2),
        trade(T + 60 * NS_PER_S, 100, "B", 6),
        trade(T + 60 * NS_PER_S, None, "N", 9),
        trade(T + 60 * NS_PER_S + 1, 100, "N", None),
        trade(T + 60 * NS_PER_S, 100, "A", 2**32 - 2, symbol="Y"),
        trade(T + 60 * NS_PER_S, 100, "A", 2**32 - 2, symbol="Y"),
    ]
    both = 2 * (2**32 - 2)
    assert answer("trade_signs", {"trades": trades}) == [
        ("X", 1, T, 1, 5, 0, 0, 5, 1.0),
        ("X", 1, T + 60 * NS_PER_S, 3, 6, 2, 9, 4, 0.5),
        ("X", 1, T + 120 * NS_PER_S, 1, 0, 0, 0, 0, None),
        ("Y", 1, T + 60 * NS_PER_S, 2, 0, both, 0, -both, -1.0),
    ]


def test_messages_and_added_size_are_of_the_market_alone() -> None:
    records: list[Row] = [
        {"ts": T, "action": "A", "size": 10},
        {"ts": T, "action": "A", "size": 99, "flags": SNAPSHOT},
        {"ts": T, "action": "A", "size": 99, "flags": TOB},
        {"ts": T, "action": "A", "size": 99, "flags": MBP},
        {"ts": T, "action": "A", "size": None},
        {"ts": T, "action": "M", "size": 99},
        {"ts": T, "action": "C", "size": 99},
        {"ts": T, "action": "R"},
        {"ts": T, "action": "F", "size": 4},
        {"ts": T, "action": "T", "size": 4},
        {"ts": T + 1, "action": "T", "size": None},
        {"ts": T + HOUR_NS, "action": "A", "size": 3, "symbol": "Y"},
        {"ts": None, "action": "C", "symbol": "Y"},
    ]
    assert answer("quote_to_trade", {"mbo": records}) == [
        ("X", 1, 0, "UTC", 6, 2, 3.0, 10, 4, 2.5),
        # A record without a time has that of the book's record before it.
        ("Y", 1, 1, "UTC", 2, 0, None, 3, 0, None),
    ]


def test_turnover_is_by_the_size_that_stood_while_both_sides_did() -> None:
    states = [
        state(T + HOUR_NS - 10, 100, 101, bid_sz_00=3, ask_sz_00=1),
        trade(T + HOUR_NS - 5, 101, size=4, bid_px_00=100, ask_px_00=101, bid_sz_00=9),
        # It outlives its hour; of the two that follow it only the later one stands.
        state(T + HOUR_NS - 4, 100, 101, bid_sz_00=8, ask_sz_00=1),
        state(T + HOUR_NS + 6, 100, 101, bid_sz_00=1, ask_sz_00=9, sequence=7, ts_event=T),
        state(T + HOUR_NS + 6, None, 101, sequence=7, ts_event=T + 1),
        trade(T + HOUR_NS + 7, 101, size=18),
        state(T + HOUR_NS + 8, 100, 101, bid_sz_00=2, ask_sz_00=2),
        state(T + HOUR_NS + 10, 100, None),
        # What does not end in its source stands for no time.
        state(T + HOUR_NS + 20, 100, 101),
        state(T + DAY_NS, 100, 101, source=1),
        trade(T, 101, size=2**32 - 2, symbol="Y"),
        trade(T, 101, size=2**32 - 2, symbol="Y"),
        trade(T, 101, size=None, symbol="Z"),
    ]
    assert answer("turnover", {"states_1": states}) == [
        ("X", 1, 0, "UTC", 4, 5.0, 1.0, 4 / 6.0, 10 / 1e9, 0.0, False),
        ("X", 1, 1, "UTC", 18, 6.5, 1.25, 18 / 7.75, 8 / 1e9, 0.0, False),
        ("Y", 1, 0, "UTC", 2 * (2**32 - 2), None, None, None, 0.0, 0.0, False),
        ("Z", 1, 0, "UTC", 0, None, None, None, 0.0, 0.0, False),
    ]


def test_records_are_counted_by_action() -> None:
    records: list[Row] = [
        *({"ts": T, "action": action} for action in "AACMRTFF"),
        {"ts": T + 25 * HOUR_NS, "action": "A", "flags": SNAPSHOT},
        {"ts": T, "action": "T", "symbol": None, "instrument_id": 77, "publisher_id": 3},
        {"ts": None, "action": "N"},
    ]
    assert answer("book_events", {"mbo": records}) == [
        ("77", 3, 0, "UTC", 1, 0, 0, 0, 0, 1, 0, 0),
        ("X", 1, 0, "UTC", 8, 2, 1, 1, 1, 1, 2, 0),
        # A record without a time has that of the book's record before it.
        ("X", 1, 1, "UTC", 2, 1, 0, 0, 0, 0, 0, 1),
    ]


@pytest.fixture(scope="module", params=REAL)
def real(request: pytest.FixtureRequest, test_data: Path) -> Path:
    return real_files(test_data)[request.param]


def named(path: Path, frame: Callable[[Any], pl.LazyFrame]) -> pl.DataFrame:
    """A frame of `.mbo` of all records of a file, with symbols; its times as nanoseconds."""
    records = batonics.scan_mbo(path)
    names = records.select("instrument_id", "symbol").unique().collect()
    return (
        frame(records.mbo)  # type: ignore[attr-defined]
        .collect()
        .with_columns(pl.selectors.datetime().dt.epoch("ns"))
        .join(names, on="instrument_id", how="left", maintain_order="left")
    )


def records_of(path: Path) -> pl.DataFrame:
    frame = batonics.scan_mbo(path).collect()
    return frame.with_columns(pl.selectors.datetime().dt.epoch("ns"))


def assert_answers(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Equal in every column, in the order of the answer's own; rows in their order."""
    found = found.with_columns(pl.selectors.datetime().dt.epoch("ns"))
    assert_frame_equal(
        found, expected.select(found.columns), check_dtypes=False, check_exact=False, rel_tol=1e-12
    )


def quantile(column: str, per_mille: int) -> pl.Expr:
    """The least value that so many in a thousand do not exceed, by whole numbers."""
    value = pl.col(column).drop_nulls()
    rank = (value.len().cast(pl.Int64) * per_mille + 999) // 1000
    return value.sort().get(pl.max_horizontal(rank - 1, 0), null_on_oob=True)


def hour_of(column: str = "ts_recv") -> list[pl.Expr]:
    """The hour of the day of a time in `ZONE`, and that zone."""
    hour = (pl.col(column) + ZONE_NS) // HOUR_NS % 24
    return [hour.alias("hour"), pl.lit(ZONE).alias("tz")]


def count(condition: pl.Expr) -> pl.Expr:
    return condition.cast(pl.Int64).sum()


def test_times_to_fill_are_those_of_the_lives_of_orders(real: Path) -> None:
    lives = named(real, lambda mbo: mbo.orders()).filter(~pl.col("left_censored"))
    met = pl.col("requeues") == 0
    filled = pl.col("ts_first_fill").is_not_null()
    highest = pl.col("ahead_size").map_elements(
        lambda size: 1 << size.bit_length() >> 1, return_dtype=pl.Int64
    )
    expected = (
        lives.with_columns(
            highest.alias("ahead_from"),
            pl.when(met).then(pl.col("ts_first_fill") - pl.col("ts_start")).alias("wait_ns"),
        )
        .group_by(*GROUP, "ahead_from")
        .agg(
            pl.len().alias("orders"),
            count(met & filled).alias("filled"),
            count(met & ~filled & ~pl.col("right_censored")).alias("cancelled"),
            count(met & ~filled & pl.col("right_censored")).alias("still_open"),
            count(~met).alias("requeued"),
            *(quantile("wait_ns", part * 10).alias(f"p{part}_ns") for part in (10, 50, 90)),
        )
        .with_columns(
            pl.max_horizontal(2 * pl.col("ahead_from") - 1, 0).alias("ahead_to"),
            (
                pl.col("filled") / (pl.col("filled") + pl.col("cancelled") + pl.col("still_open"))
            ).alias("filled_share"),
        )
        .sort(*GROUP, "ahead_from")
    )
    assert_answers(query_files("queue_time_to_fill", real), expected)


@INCLUDES
def test_orders_meet_the_best_after_the_last_event_before_them(
    real: Path, include: tuple[str, ...]
) -> None:
    tick, most = PRICE // 100, 10
    # The state after each event, of events of one moment the last.
    states = (
        named(real, lambda mbo: mbo.bbo())
        .group_by(*BOOK, "ts_recv", maintain_order=True)
        .last()
        .sort("ts_recv")
    )
    lives = named(real, lambda mbo: mbo.orders()).filter(~pl.col("left_censored"))
    met = lives.sort("ts_recv_start").join_asof(
        states,
        left_on="ts_recv_start",
        right_on="ts_recv",
        by=BOOK,
        allow_exact_matches=False,
        check_sortedness=False,
    )
    sums = {"added": "added", "filled": "filled", "cancelled": "cancelled", "censored": "left"}
    distance = (
        pl.when(pl.col("side") == "B")
        .then(pl.col("bid_price") - pl.col("price_start"))
        .otherwise(pl.col("price_start") - pl.col("ask_price"))
    )
    is_left_out = IS_CROSSED if not include else pl.lit(value=False)
    expected = (
        met.with_columns(
            pl.when(~is_left_out).then((distance // tick).clip(-most, most)).alias("ticks"),
            is_left_out=is_left_out & distance.is_not_null(),
        )
        .group_by(*GROUP, "ticks")
        .agg(
            pl.len().alias("orders"),
            *(pl.sum(column).alias(name) for name, column in sums.items()),
            left_out=count(pl.col("is_left_out")),
        )
        .with_columns(
            (pl.col("filled") / pl.col("added")).alias("fill_ratio"),
            (pl.col("cancelled") / pl.col("added")).alias("cancel_ratio"),
            pl.when(pl.col("filled") > 0)
            .then(pl.col("cancelled") / pl.col("filled"))
            .alias("cancel_to_fill"),
            sessions_known=pl.lit(value=False),
        )
        .sort(*GROUP, "ticks", nulls_last=True)
    )
    found = query_files("cancel_to_fill", real, include=include)
    assert_answers(found, expected.select(found.columns))


def test_lifetimes_are_those_of_the_lives_of_orders(real: Path) -> None:
    censored = pl.col("left_censored") | pl.col("right_censored")
    quantiles = {"min": 0, "p10": 100, "p50": 500, "p90": 900, "p99": 990, "max": 1000}
    expected = (
        named(real, lambda mbo: mbo.orders())
        .with_columns(
            pl.col("end").cast(pl.String()).alias("ended"),
            pl.when(~censored).then(pl.col("ts_end") - pl.col("ts_start")).alias("life_ns"),
        )
        .group_by(*GROUP, "ended")
        .agg(
            pl.len().alias("orders"),
            count(censored).alias("censored"),
            *(quantile("life_ns", at).alias(f"{name}_ns") for name, at in quantiles.items()),
        )
        .sort(*GROUP, "ended")
    )
    assert_answers(query_files("order_lifetimes", real), expected)


def runs(values: Sequence[tuple[int, Any]]) -> Iterator[tuple[Any, int, int]]:
    """Each value that follows another one: with the times of its first and last row."""
    for value, rows in groupby(values, key=lambda row: row[1]):
        times = [ts for ts, _ in rows]
        yield value, times[0], times[-1]


@INCLUDES
def test_quotes_live_between_the_events_that_change_the_best_price(
    real: Path, include: tuple[str, ...]
) -> None:
    shorter_ns = 100 * NS_PER_S // 1000
    rows = []
    for (symbol, publisher), events in named(real, lambda mbo: mbo.bbo()).group_by(*GROUP):
        times = events["ts_recv"].to_list()
        crossed = events.select(IS_CROSSED).to_series().to_list()
        for side, column in (("B", "bid_price"), ("A", "ask_price")):
            spells = list(runs(list(enumerate(events[column].to_list()))))
            for before, (price, start, _), after in zip(
                spells, spells[1:], spells[2:], strict=False
            ):
                if price is not None:
                    returned = before[0] is not None and before[0] == after[0]
                    life_ns = times[after[1]] - times[start]
                    counts = bool(include) or not crossed[start]
                    spell = (times[start], life_ns, returned, counts)
                    rows.append((symbol, publisher, side, *spell))
    types = (pl.String, pl.Int64, pl.String, pl.Int64, pl.Int64, pl.Boolean, pl.Boolean)
    names = (*GROUP, "side", "ts", "life_ns", "returned", "counts")
    schema = dict(zip(names, types, strict=True))
    is_counted = pl.col("counts")
    short = is_counted & (pl.col("life_ns") < shorter_ns)
    expected = (
        pl.DataFrame(rows, schema=schema, orient="row")
        .with_columns(counted_ns=pl.when(is_counted).then("life_ns"))
        .group_by(*GROUP, "side", *hour_of("ts"))
        .agg(
            count(is_counted).alias("quotes"),
            count(short).alias("flickers"),
            count(short & pl.col("returned")).alias("returned"),
            short.filter(is_counted).mean().alias("flicker_share"),
            quantile("counted_ns", 500).alias("p50_ns"),
            left_out=count(~is_counted),
            sessions_known=pl.lit(value=False),
        )
        .sort(*GROUP, "side", "hour")
    )
    assert_answers(query_files("quote_flicker", real, include=include, tz=ZONE), expected)


def test_spells_hold_every_event_after_which_a_book_was_crossed(real: Path) -> None:
    events = named(real, lambda mbo: mbo.bbo()).with_columns(
        (pl.col("bid_price") >= pl.col("ask_price")).fill_null(value=False).alias("crossed")
    )
    expected = []
    for (symbol, publisher), rows in events.group_by(*GROUP, maintain_order=True):
        spells = list(runs(rows.select("ts_recv", "crossed").rows()))
        for (crossed, start, _), after in zip(spells, [*spells[1:], None], strict=True):
            if crossed:
                end = after and after[1]
                expected.append((symbol, publisher, start, end, end and end - start))
    found = query_files("crossed_spells", real).with_columns(pl.selectors.datetime().dt.epoch("ns"))
    columns = (*GROUP, "ts_start", "ts_end", "duration_ns")
    assert found.select(columns).rows() == sorted(expected)
    assert events["crossed"].sum() == 172 or "clx5" not in str(real)


def test_silences_lie_between_the_records_of_a_book(real: Path) -> None:
    records = records_of(real)
    expected = []
    for (symbol, publisher), rows in records.group_by(*GROUP):
        of_publisher = records.filter(pl.col("publisher_id") == publisher)["ts_recv"]
        for last, ts in pairwise(rows["ts_recv"]):
            if ts - last > 60 * NS_PER_S:
                others = of_publisher.is_between(last, ts, closed="none").sum()
                expected.append((symbol, publisher, last, ts, ts - last, others))
    found = query_files("gaps", real).with_columns(pl.selectors.datetime().dt.epoch("ns"))
    assert found.rows() == sorted(expected)
    assert expected or "clx5" not in str(real)


def test_latencies_are_those_of_all_records_by_hour(real: Path) -> None:
    names = {"min": 0, "p50": 500, "p90": 900, "p99": 990, "p999": 999, "max": 1000}
    expected = (
        records_of(real)
        .with_columns((pl.col("ts_recv") - pl.col("ts_event")).alias("ns"))
        .filter(pl.col("flags") & (SNAPSHOT | BAD_TS_RECV) == 0)
        .group_by(*GROUP, *hour_of())
        .agg(
            pl.len().alias("records"),
            count(pl.col("ns") < 0).alias("negative"),
            *(quantile("ns", at).alias(f"{name}_ns") for name, at in names.items()),
        )
        .sort(*GROUP, "hour")
    )
    assert_answers(query_files("latency", real, tz=ZONE), expected)


def test_sweeps_are_found_by_a_walk_over_the_trades(real: Path) -> None:
    within_ns, expected = NS_PER_S // 1000, []
    trades = named(real, lambda mbo: mbo.trades()).filter(pl.col("side") != "N")
    for (symbol, publisher), rows in trades.group_by(*GROUP, maintain_order=True):
        sweeps: list[list[Row]] = []
        for row in rows.iter_rows(named=True):
            last = sweeps[-1][-1] if sweeps else None
            if (
                last is None
                or last["side"] != row["side"]
                or row["ts_recv"] - last["ts_recv"] > within_ns
            ):
                sweeps.append([])
            sweeps[-1].append(row)
        for sweep in sweeps:
            prices = sorted({row["price"] for row in sweep}, reverse=sweep[0]["side"] == "A")
            if len(prices) > 1:
                start, size = sweep[0]["ts_recv"], sum(row["size"] for row in sweep)
                length = sweep[-1]["ts_recv"] - start
                ends = (len(sweep), len(prices), size, prices[0], prices[-1])
                expected.append((symbol, publisher, sweep[0]["side"], start, length, *ends))
    found = query_files("sweeps", real).with_columns(pl.selectors.datetime().dt.epoch("ns"))
    assert sorted(found.rows()) == sorted(expected)
    assert len(expected) == 13 or "clx5" not in str(real)


def test_all_that_was_traded_is_bought_sold_or_unknown(real: Path) -> None:
    every_ns = 60 * NS_PER_S
    expected = (
        named(real, lambda mbo: mbo.trades())
        .with_columns((-(-pl.col("ts_recv") // every_ns) * every_ns).alias("ts"))
        .group_by(*GROUP, "ts")
        .agg(
            pl.len().alias("trades"),
            *(
                pl.col("size").filter(pl.col("side") == side).cast(pl.Int64).sum().alias(name)
                for side, name in (("B", "bought"), ("A", "sold"), ("N", "unknown"))
            ),
        )
        .with_columns((pl.col("bought") - pl.col("sold")).alias("signed_volume"))
        .with_columns(
            pl.when(pl.col("bought") + pl.col("sold") > 0)
            .then(pl.col("signed_volume") / (pl.col("bought") + pl.col("sold")))
            .alias("imbalance")
        )
        .sort(*GROUP, "ts")
    )
    assert_answers(query_files("trade_signs", real), expected)


def test_messages_per_trade_are_is_countedof_records(real: Path) -> None:
    action, size = pl.col("action"), pl.col("size").cast(pl.Int64)
    orders = (action == "A") & (pl.col("flags") & (TOB | MBP) == 0)
    expected = (
        records_of(real)
        .filter(pl.col("flags") & SNAPSHOT == 0)
        .group_by(*GROUP, *hour_of())
        .agg(
            count(action.is_in(["A", "C", "M"])).alias("messages"),
            count(action == "T").alias("trades"),
            size.filter(orders).sum().alias("size_added"),
            size.filter(action == "T").sum().alias("size_traded"),
        )
        .with_columns(
            pl.when(pl.col(below) > 0).then(pl.col(above) / pl.col(below)).alias(name)
            for name, above, below in (
                ("messages_per_trade", "messages", "trades"),
                ("added_per_traded", "size_added", "size_traded"),
            )
        )
        .sort(*GROUP, "hour")
    )
    assert_answers(query_files("quote_to_trade", real, tz=ZONE), expected)


@INCLUDES
def test_turnover_is_by_sizes_that_stood_at_the_best_by_a_walk_over_events(
    real: Path, include: tuple[str, ...]
) -> None:
    stood: dict[tuple[Any, ...], list[int]] = {}
    sizes = ["ts_recv", "bid_price", "ask_price", "bid_size", "ask_size"]
    for (symbol, publisher), rows in named(real, lambda mbo: mbo.bbo()).group_by(*GROUP):
        # The last row of states-1 is the last change, after which no state has a known end.
        states = rows.select(sizes).rows()
        while len(states) > 1 and states[-1][1:] == states[-2][1:]:
            states.pop()
        for (ts, bid, ask_price, *both), (end, *_) in pairwise(states):
            while bid is not None and ask_price is not None and ts < end:
                hour = (ts + ZONE_NS) // HOUR_NS
                turn = min(end, (hour + 1) * HOUR_NS - ZONE_NS)
                at = stood.setdefault((symbol, publisher, hour % 24), [0, 0, 0, 0])
                is_left_out = not include and bid >= ask_price
                for place, value in enumerate((0, 0, 0, 1) if is_left_out else (1, *both, 0)):
                    at[place] += value * (turn - ts)
                ts = turn  # noqa: PLW2901 - the rest of the state
    traded: dict[tuple[Any, ...], int] = {}
    for symbol, publisher, ts, size in (
        named(real, lambda mbo: mbo.trades()).select(*GROUP, "ts_recv", "size").iter_rows()
    ):
        key = (symbol, publisher, (ts + ZONE_NS) // HOUR_NS % 24)
        traded[key] = traded.get(key, 0) + size
    expected = []
    for key in sorted({*stood, *traded}):
        ns, bid, ask_size, left_out_ns = stood.get(key, (0, 0, 0, 0))
        means = (bid / ns, ask_size / ns) if ns else (None, None)
        turnover = traded.get(key, 0) * ns / (bid + ask_size) if ns else None
        left_out = (left_out_ns / 1e9, False)
        expected.append((*key, ZONE, traded.get(key, 0), *means, turnover, ns / 1e9, *left_out))
    found = query_files("turnover", real, include=include, tz=ZONE)
    assert_answers(found, pl.DataFrame(expected, schema=found.schema, orient="row"))


def test_every_record_is_counted_once_by_its_action(real: Path) -> None:
    letters = {"A": "adds", "C": "cancels", "M": "modifies", "R": "clears", "T": "trades"}
    expected = (
        records_of(real)
        .group_by(*GROUP, *hour_of())
        .agg(
            pl.len().alias("records"),
            *(
                count(pl.col("action") == letter).alias(name)
                for letter, name in {**letters, "F": "fills"}.items()
            ),
            count(pl.col("flags") & SNAPSHOT != 0).alias("snapshot"),
        )
        .sort(*GROUP, "hour")
    )
    assert_answers(query_files("book_events", real, tz=ZONE), expected)


def test_candidates_for_icebergs_are_among_the_lives_of_orders(real: Path) -> None:
    lives = named(real, lambda mbo: mbo.orders())
    refilled = (pl.col("filled") > pl.col("size_start")) | (
        (pl.col("filled") == pl.col("size_start")) & (pl.col("added") > pl.col("filled"))
    )
    found = query_files("iceberg_candidates", real)
    assert sorted(found["order_id"]) == sorted(lives.filter(refilled)["order_id"])
    assert found["filled"].max() == 85 or "clx5" not in str(real)
