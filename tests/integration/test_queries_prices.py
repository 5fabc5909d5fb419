"""The queries on prices, quotes and trades: answers worked out by hand, and equal to `.mbo`'s.

The rule here: what a header says is what an answer has, of every query file there is.
"""

from __future__ import annotations

import math
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import batonics
from batonics.frames.namespace import MboNamespace
from batonics.frames.scan.exchange_sessions import find_sessions
from batonics.frames.scan.sessions import SessionHours
from batonics.frames.schemas.table import find_schema
from batonics.jobs.query import QueryRequest, query_frame
from batonics.lake.part_search import NO_FILTER, RowFilter
from batonics.model.errors import UsageError
from batonics.model.mbo import Action
from batonics.model.times import parse_time
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.lakes import load
from tests.support.query_tables import (
    MIDNIGHT_NS,
    NS_PER_S,
    QUERIES,
    ZONE,
    ZONE_NS,
    load_query,
    no_rows,
    query_lake,
    query_names,
    real_files,
    run_query,
    types_of,
)
from tests.support.sweep import sample

TEN_NS = MIDNIGHT_NS + 36_000 * NS_PER_S
DAY_S = 86_400
DTYPES = {
    "BIGINT": pl.Int64(),
    "BOOLEAN": pl.Boolean(),
    "DATE": pl.Date(),
    "DOUBLE": pl.Float64(),
    "MID": pl.Float64(),
    "PRICE": pl.Int64(),
    "PRICE_DOUBLE": pl.Float64(),
    "TIMESTAMP": pl.Datetime("ns", "UTC"),
    "UBIGINT": pl.UInt64(),
    "UINTEGER": pl.UInt32(),
    "USMALLINT": pl.UInt16(),
    "UTINYINT": pl.UInt8(),
    "VARCHAR": pl.String(),
}
"""What an answer's columns are in Polars."""

Row = dict[str, Any]


def ns(seconds: float) -> int:
    """So many seconds after ten o'clock of the first day."""
    return TEN_NS + round(seconds * NS_PER_S)


def quote(seconds: float, bid: int | None, ask: int | None, **more: Any) -> Row:
    """A state of a book."""
    return {"ts": ns(seconds), "bid_px_00": bid, "ask_px_00": ask, **more}


def sized(
    seconds: float, bid: tuple[int | None, int], ask: tuple[int | None, int], **more: Any
) -> Row:
    """A state of a book with sizes."""
    sizes = {"bid_sz_00": bid[1], "ask_sz_00": ask[1]}
    return quote(seconds, bid[0], ask[0], **sizes, **more)


def trade(seconds: float, side: str, price: int | None, size: int, **more: Any) -> Row:
    """A trade; in mbp_1 with the book that it met."""
    return {
        "ts": ns(seconds),
        "action": "T",
        "side": side,
        "price": price,
        "size": size,
        "flags": 0,
        **more,
    }


def met(bid: int | None, ask: int | None) -> Row:
    """The book that a trade met."""
    return {"bid_px_00": bid, "ask_px_00": ask}


ALL_STATES = ("crossed", "closed")


def counted(answer: pl.DataFrame) -> pl.DataFrame:
    """An answer without the columns that say what was left out, which is nothing."""
    left_out = answer.select(pl.selectors.starts_with("left_out").sum())
    assert set(left_out.row(0)) <= {0}
    return answer.select(~pl.selectors.matches("^(left_out.*|sessions_known)$"))


def times(frame: pl.DataFrame, column: str = "ts") -> list[float]:
    """A column of times, as seconds after ten o'clock."""
    return [(value - TEN_NS) / NS_PER_S for value in frame[column].cast(pl.Int64)]


# ------------------------------------------------------------------------ every query file


@pytest.mark.parametrize("name", query_names())
def test_a_header_is_complete(name: str) -> None:
    query = load_query(name)
    assert query.has_header
    assert all((query.title, query.question, query.reads, query.columns, query.source))
    assert query.question.endswith("?")
    assert all(param.default is not None and param.description for param in query.params)
    assert all(column.description for column in query.columns)
    assert len({column.name for column in query.columns}) == len(query.columns)
    assert all(f"${param.name}" in query.sql for param in query.params)


@pytest.mark.parametrize("name", query_names())
def test_a_query_over_no_rows_has_the_columns_of_its_header(name: str) -> None:
    in_duckdb = {
        "PRICE": "BIGINT",
        "MID": "DOUBLE",
        "PRICE_DOUBLE": "DOUBLE",
        "TIMESTAMP": "TIMESTAMP_NS",
    }
    declared = {
        column.name: in_duckdb.get(column.type, column.type) for column in load_query(name).columns
    }
    assert list(types_of(name, no_rows(name)).items()) == list(declared.items())
    assert list(run_query(name, no_rows(name)).columns) == list(declared)


@pytest.mark.parametrize("name", query_names())
def test_a_query_reads_each_view_that_it_names(name: str) -> None:
    tables = no_rows(name)
    for view in tables:
        others = {other: rows for other, rows in tables.items() if other != view}
        with pytest.raises(duckdb.CatalogException, match=f"{view} does not exist"):
            types_of(name, others)


@pytest.fixture(scope="module")
def lakes(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A lake of each file, of all schemas that queries read."""
    views = {view for name in query_names() for view in load_query(name).reads}
    schemas = [find_schema(view.replace("_", "-")).name for view in sorted(views)]
    directory = tmp_path_factory.mktemp("lakes")
    for name, path in real_files(test_data).items():
        load(directory / name, path, schemas=schemas)
    return {name: directory / name for name in DATA_SETS}


DATA_SETS = list(real_files(Path()))
WITHOUT_TRADES = ("esh4_1",)
"""A day that is a snapshot."""


@pytest.fixture(params=DATA_SETS)
def data(
    request: pytest.FixtureRequest, lakes: dict[str, Path], test_data: Path
) -> tuple[Path, pl.LazyFrame]:
    """A lake, and the records that it was made of."""
    return lakes[request.param], batonics.scan_mbo(real_files(test_data)[request.param])


CASES = sample(product(query_names(), DATA_SETS), share=0.2, kind=lambda case: case[0])


@pytest.mark.sweep
@pytest.mark.parametrize(("name", "data"), CASES, indirect=["data"])
def test_a_query_over_a_lake_has_the_columns_of_its_header_and_one_answer(
    name: str, data: tuple[Path, pl.LazyFrame]
) -> None:
    answer = query_lake(name, data[0])
    expected = {column.name: DTYPES[column.type] for column in load_query(name).columns}
    assert list(answer.schema.items()) == list(expected.items())
    assert answer.equals(query_lake(name, data[0]))


# ------------------------------------------------------------------------ quotes


def test_spread_by_hour_weighs_each_spread_by_the_time_it_stood() -> None:
    rows = [
        quote(0, 100, 104),
        {**trade(5, "B", 104, 1), **met(100, 150)},  # no state
        quote(10, 100, 199),  # stands for no time: the next has the same time
        quote(10, 100, 102),
        quote(40, 100, None),
        quote(3585, 100, 106),  # over the turn of the hour
        quote(3615, 100, 108),  # the last: how long it stands is not known
        quote(0, 100, 105, symbol="Y"),
        quote(1, None, 105, symbol="Y"),
        quote(2, 100, 105, symbol="Y"),  # does not go on in another source
        quote(DAY_S, 100, 107, symbol="Y", source=1),
        quote(DAY_S + 1, None, None, symbol="Y", source=1),
    ]
    assert counted(run_query("spread_by_hour", {"states_1": rows})).rows() == [
        ("X", 1, 10, "UTC", pytest.approx(190 / 55), 2, 2, 6, 55.0),
        ("X", 1, 11, "UTC", 6.0, 6, 6, 6, 15.0),
        ("Y", 1, 10, "UTC", 6.0, 5, 5, 7, 2.0),
    ]


@pytest.mark.parametrize(("name", "view"), [("spread_by_hour", 1), ("depth_by_hour", 10)])
def test_what_stands_over_midnight_stands_in_both_hours(name: str, view: int) -> None:
    to_midnight_s = 14 * 3_600
    rows = [
        sized(to_midnight_s - 1_200, (100, 5), (101, 7)),
        sized(to_midnight_s + 1_801, (None, 0), (None, 0)),
    ]
    found = run_query(name, {f"states_{view}": rows})
    seconds = "seconds" if view == 1 else "seconds_bid"
    assert found.select("hour", seconds).rows() == [(0, 1_801.0), (23, 1_200.0)]


def test_a_time_that_orders_nothing_moves_no_state() -> None:
    rows = [
        quote(0, 100, 101),
        quote(7_000, 100, 102, flags=8 | 128),  # F_BAD_TS_RECV: at the time before it
        quote(10, 100, 103),
        quote(5, 100, 104),  # late: at the time before it
        quote(20, None, None),
    ]
    found = run_query("spread_by_hour", {"states_1": rows})
    assert found.select("spread", "spread_p05", "seconds").rows() == [(3.0, 2, 20.0)]


def test_depth_by_hour_adds_up_so_many_levels_of_each_side() -> None:
    bids = {"bid_px_00": 100, "bid_sz_00": 5, "bid_px_01": 99, "bid_sz_01": 3}
    deeper = {**bids, "bid_px_02": 98, "bid_sz_02": 9}
    asks = {"ask_px_00": 101, "ask_sz_00": 2}
    rows: list[Row] = [
        {"ts": ns(0), **deeper},
        {"ts": ns(10), **bids, **asks, "bid_sz_00": 1},
        {"ts": ns(40), **asks},
        {"ts": ns(50)},
        {"ts": ns(0), "symbol": "Y", "publisher_id": 2, **asks, "ask_sz_00": 4_000_000_000},
        {"ts": ns(3600), "symbol": "Y", "publisher_id": 2},
    ]
    answer = run_query("depth_by_hour", {"states_10": rows}, levels=2)
    assert counted(answer).rows() == [
        ("X", 1, 10, "UTC", (8 * 10 + 4 * 30) / 40, 2.0, 40.0, 40.0),
        ("Y", 2, 10, "UTC", None, 4e9, 0.0, 3600.0),
    ]
    all_levels = run_query("depth_by_hour", {"states_10": rows})
    assert all_levels["depth_bid"][0] == (17 * 10 + 4 * 30) / 40


def test_ofi_returns_is_the_line_through_windows() -> None:
    rows = [
        sized(1, (100, 5), (102, 5)),
        sized(11, (100, 8), (102, 5)),  # 3; the mid stays
        sized(21, (101, 2), (102, 5)),  # 2; up by a half
        sized(31, (101, 2), (103, 4)),  # 5; up by a half
        sized(41, (None, 0), (None, 0), action="R"),
        sized(51, (101, 2), (103, 4)),  # a new series: nothing before it
        sized(61, (101, 2), (None, 0)),  # no mid
        sized(1, (100, 5), (102, 5), symbol="Y"),
        sized(11, (100, 8), (102, 5), symbol="Y"),  # a line through one point is none
    ]
    answer = run_query("ofi_returns", {"states_1": rows}, every="10s")
    day = answer["date"][0]
    assert counted(answer).rows() == [
        ("X", 1, day, 3, pytest.approx(1 / 28), pytest.approx(3 / 14), pytest.approx(1 / 28)),
        ("Y", 1, day, 1, None, None, None),
    ]


def test_realised_variance_is_the_sum_of_squared_changes_of_the_logarithm() -> None:
    rows = [
        quote(10, 100, 100),
        quote(11, 400, 400),  # is passed over: 20 s is the interval's last
        quote(20, 200, 200),
        quote(30, 100, None),  # no mid
        quote(40, 100, 100),
        quote(10, 100, 100, symbol="Y"),
        quote(20, -300, 100, symbol="Y"),  # no logarithm
        quote(30, 100, 100, symbol="Y"),
        quote(DAY_S, 300, 300, symbol="Y"),  # a day of one mid has no change
    ]
    answer = run_query("realised_variance", {"bbo_1s": rows}, include=ALL_STATES, every="10s")
    assert answer.select("symbol", "publisher_id", "returns", "variance", "volatility").rows() == [
        ("X", 1, 2, pytest.approx(2 * math.log(2) ** 2), pytest.approx(2**0.5 * math.log(2))),
        ("Y", 1, 0, 0.0, 0.0),  # its mid does not change
    ]


TWO_PUBLISHERS = [
    sized(0, (100, 5), (104, 1)),
    sized(1, (101, 2), (104, 3), publisher_id=2),
    sized(2, (101, 4), (105, 1)),
    sized(3, (None, 0), (104, 3), publisher_id=2),
    sized(4, (101, 4), (106, 1)),  # changes nothing
    sized(0, (None, 0), (7, 3_000_000_000), symbol="Y"),
    sized(2, (None, 0), (7, 3_000_000_000), symbol="Y", publisher_id=2),
]


def test_consolidated_bbo_has_the_best_over_publishers() -> None:
    answer = run_query("consolidated_bbo", {"states_1": TWO_PUBLISHERS})
    assert times(answer) == [0, 0, 1, 2, 2, 3]
    assert answer.drop("ts").rows() == [
        ("X", 100, 5, 1, 104, 1, 1),
        ("Y", None, 0, 0, 7, 3_000_000_000, 1),
        ("X", 101, 2, 1, 104, 4, 2),
        ("X", 101, 6, 2, 104, 3, 1),
        ("Y", None, 0, 0, 7, 6_000_000_000, 2),
        ("X", 101, 4, 1, 104, 3, 1),
    ]


def test_who_sets_bbo_shares_the_time_among_those_at_the_best() -> None:
    answer = counted(run_query("who_sets_bbo", {"states_1": TWO_PUBLISHERS})).drop("date")
    assert answer.rows() == [
        ("X", 1, 0.75, 0.5, 0.5, 0.25, 0.25, 4.0, 4.0),
        ("X", 2, 0.5, 0.75, 0.25, 0.5, 0.5, 4.0, 4.0),
        ("Y", 1, None, 1.0, None, 1.0, None, 0.0, 2.0),
        ("Y", 2, None, 0.0, None, 0.0, None, 0.0, 2.0),
    ]


# ------------------------------------------------------------------------ trades and quotes


AFTER_TRADES = [
    quote(0, 100, 102),
    {**trade(1, "B", 102, 3), **met(100, 102)},
    {**trade(1, "A", 100, 1), **met(100, 102)},
    {**trade(1, "N", 102, 2), **met(100, 102)},  # above the mid: bought
    {**trade(1, "N", 101, 8), **met(100, 102)},  # at the mid, after a higher price: sold
    {**trade(1, "B", 102, 64), **met(None, 102)},  # met no mid
    quote(1.5, 102, 104),
    quote(3, 100, 102),
    quote(4, 100, 102),
    quote(0, 100, 102, symbol="Y"),
    {**trade(1, "B", 102, 3, symbol="Y"), **met(100, 102)},
    quote(1.5, None, None, action="R", symbol="Y"),
    quote(1.6, 102, 104, symbol="Y"),  # another series than the trade's
    {**trade(3, "A", 102, 3, symbol="Y"), **met(102, 104)},  # nothing is later
]


def test_trade_impact_is_the_signed_move_of_the_mid_by_size() -> None:
    answer = run_query("trade_impact", {"states_1": AFTER_TRADES}, horizon="1s")
    assert counted(answer).rows() == [
        ("X", 1, 1, 1, 1, 1, -2.0, pytest.approx(-2e4 / 101)),
        ("X", 1, 2, 3, 2, 5, 2.0, pytest.approx(2e4 / 101)),
        ("X", 1, 8, 15, 1, 8, -2.0, pytest.approx(-2e4 / 101)),
    ]


def test_realised_spread_and_impact_add_up_to_the_effective_spread() -> None:
    rows = [row for row in AFTER_TRADES if row.get("side") != "N"]
    answer = run_query("realised_spread", {"states_1": rows}, taus="1,2.0,2")
    assert counted(answer).rows() == [
        # Bought 3 at 102, sold 1 at 100; the mid was 101 and then 103.
        ("X", 1, NS_PER_S, 2, 4, 2.0, (3 * -2 + 6) / 4, (3 * 4 - 4) / 4),
        ("X", 1, 2 * NS_PER_S, 2, 4, 2.0, 2.0, 0.0),
    ]


def test_vpin_divides_trades_at_the_ends_of_buckets() -> None:
    rows = [
        trade(0, "N", 101, 5, **met(100, 102)),  # has no sign, so it is in no bucket
        trade(1, "B", 102, 6, **met(100, 102)),
        trade(2, "A", 100, 8, **met(100, 102)),
        trade(3, "B", 102, 6, **met(100, 102)),
        trade(DAY_S, "N", 102, 19, **met(100, 102)),  # by its quote a buy; a day ends no bucket
        trade(1, "B", 102, 9, symbol="Y"),
        trade(1, "B", 102, 10, symbol="Y", publisher_id=2),
    ]
    answer = run_query("vpin", {"states_1": rows}, bucket_volume=10, n=2)
    assert times(answer) == [2, 3, DAY_S, 1]
    assert answer.drop("ts").rows() == [
        ("X", 1, 0, 6, 4, None),
        ("X", 1, 1, 6, 4, 0.2),
        ("X", 1, 2, 10, 0, 0.6),
        ("Y", 2, 0, 10, 0, None),
    ]


def test_kyles_lambda_is_the_slope_from_trade_to_trade() -> None:
    rows = [
        quote(1, 100, 102),
        trade(2, "B", 102, 2, **met(100, 102)),  # 2 and up by 1
        quote(2, 101, 103),
        trade(3, "A", 101, 1, **met(101, 103)),  # -1 and down by 1
        quote(4, 100, 102),
        trade(5, "B", 102, 4, **met(100, 102)),  # 4 and up by 3, to the window's end
        quote(6, 103, 105),
        trade(15, "B", 105, 1, **met(103, 105)),
        quote(1, None, 102, symbol="Y"),
        quote(11, 100, 102, symbol="Y"),
        trade(12, "B", None, 3, symbol="Y", **met(None, 102)),
    ]
    answer = run_query("kyles_lambda", {"states_1": rows}, every="10s")
    assert times(answer) == [10, 10, 20, 20]
    assert answer["complete"].to_list() == [True, True, False, False]
    assert counted(answer).drop("ts", "complete").rows() == [
        ("X", 1, 3, 7, 5, None, 104.0, None, pytest.approx(15 / 19)),
        ("Y", 1, 0, 0, 0, None, None, None, None),
        ("X", 1, 1, 1, 1, 104.0, 104.0, 0.0, None),
        ("Y", 1, 1, 3, 3, None, 101.0, None, None),
    ]


def test_mid_at_trades_has_the_quote_strictly_before_each_trade() -> None:
    quotes = [
        sized(0, (100, 1), (102, 2)),
        sized(1, (90, 1), (92, 2)),  # the same time and another after it
        sized(1, (101, 3), (None, 0)),
        sized(0, (1, 1), (3, 1), symbol="Y", publisher_id=2),
    ]
    trades = [
        trade(1, "B", 102, 4),
        trade(1.000000001, "A", 101, 5),
        trade(1, "N", 2, 6, symbol="Y"),  # of another publisher
    ]
    answer = run_query("mid_at_trades", {"states_1": [*quotes, *trades]})
    assert answer.drop("ts_recv", "sequence").rows() == [
        ("X", 1, "B", 102, 4, 100, 1, 102, 2, 101.0, NS_PER_S, True),
        ("X", 1, "A", 101, 5, 101, 3, None, 0, None, 1, True),
        ("Y", 1, "N", 2, 6, None, None, None, None, None, None, None),
    ]
    older = run_query("mid_at_trades", {"states_1": [*quotes, *trades]}, delay="1s")
    assert older["mid"].to_list() == [101.0, 101.0, None]


# ------------------------------------------------------------------------ trades


TRADES = [
    trade(0, "B", 10, 2),
    trade(30, "A", 12, 1),
    trade(59, "N", None, 5),
    trade(60, "B", 11, 1),
    trade(60, "B", 7, 4_000_000_000, symbol="Y", publisher_id=2),
]


def test_time_bars_are_of_intervals_with_trades() -> None:
    answer = run_query("time_bars", {"trades": TRADES})
    assert times(answer) == [0, 60, 60]
    assert times(answer, "ts_open") == [0, 60, 60]
    assert times(answer, "ts_close") == [59, 60, 60]
    assert answer.drop("instrument_id", "ts", "ts_open", "ts_close").rows() == [
        ("X", 1, 10, 12, 10, 12, 8, 2, 1, 3, 32 / 3, True),
        ("X", 1, 11, 11, 11, 11, 1, 1, 0, 1, 11.0, False),
        ("Y", 2, 7, 7, 7, 7, 4_000_000_000, 4_000_000_000, 0, 1, 7.0, False),
    ]


def test_volume_bars_start_at_nothing_each() -> None:
    sizes = [6, 6, 3, 20, 4, 6, 1]
    rows = [trade(at, "BA"[at % 2], 10 + at, size) for at, size in enumerate(sizes)]
    rows.append(trade(0, "N", 5, 9, symbol="Y"))  # not full
    answer = run_query("volume_bars", {"trades": rows}, bar_volume=10)
    assert times(answer, "ts_close") == [1, 3, 5]
    assert answer.drop("ts_open", "ts_close").rows() == [
        ("X", 1, 0, 10, 11, 10, 11, 12, 6, 6, 2, 10.5),
        ("X", 1, 1, 12, 13, 12, 13, 23, 3, 20, 2, (3 * 12 + 20 * 13) / 23),
        ("X", 1, 2, 14, 15, 14, 15, 10, 4, 6, 2, 14.6),
    ]


def test_volume_profile_counts_downwards_below_zero_too() -> None:
    rows = [
        trade(0, "B", 12, 1),
        trade(1, "A", 18, 2),
        trade(2, "N", -3, 5),
        trade(3, "N", -10, 2),
        trade(4, "N", None, 50),
        trade(0, "B", 12, 1, symbol="Y"),
    ]
    answer = run_query("volume_profile", {"trades": rows}, width="0.000000010")
    assert answer.drop("date", "complete").rows() == [
        ("X", 1, -10, 7, 0, 0, 2, 0.7),
        ("X", 1, 10, 3, 1, 2, 2, 0.3),
        ("Y", 1, 10, 1, 1, 0, 1, 1.0),
    ]
    each = run_query("volume_profile", {"trades": rows})
    assert each["price"].to_list() == [-10, -3, 12, 18, 12]


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("time_bars", {"trades": TRADES}),
        ("trade_impact", {"states_1": AFTER_TRADES}),
        ("consolidated_bbo", {"states_1": TWO_PUBLISHERS}),
        ("spread_by_hour", {"states_1": TWO_PUBLISHERS}),
    ],
)
def test_an_instrument_without_a_symbol_goes_by_its_id(
    name: str, tables: dict[str, list[Row]]
) -> None:
    ids = {"X": 7, "Y": 8}
    unnamed = {
        view: [
            {**row, "symbol": None, "instrument_id": ids[row.get("symbol", "X")]} for row in rows
        ]
        for view, rows in tables.items()
    }
    named = run_query(name, tables).with_columns(pl.col("symbol").replace({"X": "7", "Y": "8"}))
    answer = run_query(name, unnamed)
    columns = [column for column in named.columns if column != "instrument_id"]
    assert answer.select(columns).equals(named.select(columns))


# ------------------------------------------------------------------------ equal to `.mbo`'s


def with_symbols(records: pl.LazyFrame, rows: pl.LazyFrame) -> pl.DataFrame:
    """Rows with their symbols."""
    names = records.select("instrument_id", "symbol").unique()
    return rows.join(names, on="instrument_id", how="left", maintain_order="left").collect()


HOURS = "17:00-16:00 America/Chicago"
"""Of CLX5. At 21:00 UTC trading ends; at 21:47 the pre-open begins to cross the book."""


@pytest.mark.parametrize(
    ("options", "seconds", "left_out", "known"),
    [
        ({}, 2839.747164115, 758.467470479, False),
        ({"sessions": SessionHours.parse(HOURS)}, 0.0, 3598.214634594, True),
        ({"include": ALL_STATES}, 3598.214634594, 0.0, False),
    ],
)
def test_a_market_that_is_not_open_is_in_no_spread(
    options: dict[str, Any], seconds: float, left_out: float, known: bool, test_data: Path
) -> None:
    path = str(real_files(test_data)["clx5"])
    query = str(QUERIES / "spread_by_hour.sql")
    answer = query_frame(QueryRequest(query, files=(path,), **options))
    # Hours are those of the exchange, if the session says its zone.
    hour, zone = (16, "America/Chicago") if "sessions" in options else (21, "UTC")
    assert set(answer["tz"]) == {zone}
    row = answer.filter(pl.col("hour") == hour).row(0, named=True)
    found = row["seconds"], row["left_out_seconds"]
    assert found == (pytest.approx(seconds), pytest.approx(left_out))
    assert row["sessions_known"] is known
    if seconds == 0:
        assert row["spread"] is None
    elif "include" in options:
        assert row["spread"] == pytest.approx(-66_886, abs=1)
    else:
        assert row["spread"] == pytest.approx(29_999_253, abs=1)
    assert answer.filter(pl.col("hour") < hour)["left_out_seconds"].to_list() == [0.0, 0.0]


def test_an_hour_is_that_of_the_zone_over_changes_of_its_clocks() -> None:
    """Clocks in Chicago go back from 2:00 to 1:00 on 2 November 2025, at 7:00 in UTC."""
    five = parse_time("2025-11-02T05:00:00Z")
    hour_ns = 3_600 * NS_PER_S
    rows = [
        sized(0, (100, 1), (104, 1), ts=five),
        sized(0, (100, 1), (106, 1), ts=five + 3 * hour_ns),
        sized(0, (100, 1), (106, 1), ts=five + 3 * hour_ns + hour_ns // 2),
    ]
    zone = "America/Chicago"
    spreads = run_query("spread_by_hour", {"states_1": rows}, tz=zone)
    assert spreads["hour", "tz", "spread", "seconds"].rows() == [
        (0, zone, 4.0, 3_600.0),
        (1, zone, 4.0, 7_200.0),  # is there twice
        (2, zone, 6.0, 1_800.0),
    ]
    depths = run_query("depth_by_hour", {"states_10": rows}, tz=zone)
    assert depths["hour", "seconds_bid"].rows() == [(0, 3_600.0), (1, 7_200.0), (2, 1_800.0)]
    records = [{"ts": row["ts"]} for row in rows]
    assert run_query("book_events", {"mbo": records}, tz=zone)["hour", "records"].rows() == [
        (0, 1),
        (2, 2),
    ]


def test_hours_follow_tz_and_then_the_session(test_data: Path) -> None:
    query = str(QUERIES / "latency.sql")
    path = (str(real_files(test_data)["clx5"]),)
    sessions = SessionHours.parse(HOURS)
    cases: list[tuple[dict[str, Any], str, set[int]]] = [
        ({}, "UTC", {19, 20, 21}),
        ({"sessions": sessions}, "America/Chicago", {14, 15, 16}),
        ({"sessions": sessions, "tz": "UTC"}, "UTC", {19, 20, 21}),
        ({"tz": "UTC", "parameters": {"tz": "Asia/Tokyo"}}, "Asia/Tokyo", {4, 5, 6}),
    ]
    for options, zone, hours in cases:
        answer = query_frame(QueryRequest(query, files=path, **options))
        assert set(answer["tz"]) == {zone}
        assert set(answer["hour"]) == hours


def test_a_zone_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="tz is 'Mars/Base', expected ZONE: no time zone"):
        run_query("spread_by_hour", {"states_1": []}, tz="Mars/Base")


def test_a_state_counts_until_its_status_ends() -> None:
    rows = [
        quote(0, 100, 104, status="trading", ts_status_end=ns(30)),
        quote(40, 100, 106, status="halt"),
        quote(50, 100, 107, status="trading"),
        quote(55, 107, 107, status="trading"),  # locked
        quote(60, None, None, status="trading"),
    ]
    columns = ("spread", "seconds", "left_out_seconds", "sessions_known")
    for include, expected in (
        ((), ((30 * 4 + 5 * 7) / 35, 35.0, 25.0, True)),
        (("crossed",), ((30 * 4 + 5 * 7) / 40, 40.0, 20.0, True)),
        (("closed",), ((40 * 4 + 10 * 6 + 5 * 7) / 55, 55.0, 5.0, True)),
    ):
        answer = run_query("spread_by_hour", {"states_1": rows}, include=include)
        assert answer.select(columns).rows() == [pytest.approx(expected)]
    deep = [{**row, "bid_sz_00": 2, "ask_sz_00": 4} for row in rows]
    depth = run_query("depth_by_hour", {"states_10": deep})
    assert depth["seconds_bid", "left_out_seconds", "sessions_known"].rows() == [(35.0, 25.0, True)]


@pytest.mark.parametrize("name", ["spread_by_hour", "depth_by_hour", "turnover"])
def test_the_last_state_counts_for_no_time_though_its_status_has_an_end(name: str) -> None:
    prices = {"status": "trading", "ts_status_end": ns(90)}
    rows = [sized(at, (100, 1), (104, 1), **prices) for at in (0, 10)]
    answer = run_query(name, dict.fromkeys(load_query(name).reads, rows))
    seconds = "seconds_bid" if name == "depth_by_hour" else "seconds"
    assert answer[seconds, "left_out_seconds"].rows() == [(10.0, 0.0)]


def test_a_holiday_of_the_exchange_is_in_no_spread(test_data: Path) -> None:
    path = str(real_files(test_data)["esh4_2"])
    query = str(QUERIES / "spread_by_hour.sql")
    # 25 December 2023: Globex opens at 17:00 in Chicago. Hours alone do not know the holiday.
    for session, open_hours in (("CMES", [17]), (HOURS, [*range(16), 17, *range(18, 24)])):
        request = QueryRequest(query, files=(path,), sessions=find_sessions(session))
        answer = query_frame(request)
        assert answer.filter(pl.col("seconds") > 0)["hour"].to_list() == open_hours
        assert answer["sessions_known"].all()
        total = answer.select(pl.sum("seconds") + pl.sum("left_out_seconds")).item()
        assert total == pytest.approx(86_400, abs=5)
        at_open = answer.filter(pl.col("hour") == 17)["spread"]
        assert at_open.to_list() == [pytest.approx(265_180_000, abs=10_000)]


def test_quotes_of_a_market_that_is_not_open_are_in_no_measure_of_trades() -> None:
    trading = {"status": "trading", "ts_status_end": ns(2)}
    halted = {"status": "halt"}
    rows = [
        quote(0, 100, 102, **trading),
        {**trade(0.5, "B", 102, 1, **trading), **met(100, 102)},
        {**trade(1.5, "B", 102, 2, **trading), **met(100, 102)},  # 1 s later trading is halted
        quote(5, 104, 104, status="trading"),
        {**trade(6, "B", 104, 4, status="trading"), **met(104, 104)},  # met a locked book
        quote(8, 104, 106, **halted),
        {**trade(9, "B", 106, 8, **halted), **met(104, 106)},
        quote(20, 104, 106, **halted),
    ]
    tables = {"states_1": rows}
    columns = ("trade_count", "volume", "left_out", "sessions_known")
    for name, params in (("realised_spread", {"taus": "1"}), ("trade_impact", {"horizon": "1s"})):
        for include, trades, left_out in (
            ((), 1, 3),
            (("crossed",), 2, 2),
            (("closed",), 3, 1),
            (ALL_STATES, 4, 0),
        ):
            found = run_query(name, tables, include=include, **params).select(columns)
            sums = found["trade_count"].sum(), found["left_out"].sum()
            assert sums == (trades, left_out)
            assert found["sessions_known"].all()
    mids = run_query("mid_at_trades", tables)
    assert mids["is_open"].to_list() == [True, True, False, False]
    turnover = run_query("turnover", tables)
    assert turnover["traded", "seconds", "left_out_seconds"].rows() == [(15, 2.0, 18.0)]
    setters = run_query("who_sets_bbo", tables)
    assert setters["bid_seconds", "left_out_seconds"].rows() == [(5.0, 15.0)]


@pytest.mark.parametrize("include", [(), ("crossed",)])
def test_windows_leave_out_the_same_in_frames_and_sql(
    include: tuple[str, ...], test_data: Path
) -> None:
    path = real_files(test_data)["clx5"]
    records = batonics.scan_mbo(path, session=HOURS)
    windows = MboNamespace(records).window_measures("1m", include=include, extra=["symbol"])
    request = QueryRequest(
        str(QUERIES / "kyles_lambda.sql"),
        {"every": "1m"},
        files=(str(path),),
        include=include,
        sessions=SessionHours.parse(HOURS),
    )
    answer = query_frame(request)
    expected = windows.rename({"trades": "trade_count"}).select(answer.columns).collect()
    assert_frame_equal(answer, expected.sort("ts"), check_exact=True)
    assert answer["left_out"].sum() == 8
    assert answer["sessions_known"].all()


@pytest.mark.parametrize("every", ["1s", "5m"])
def test_kyles_lambda_equals_window_measures(data: tuple[Path, pl.LazyFrame], every: str) -> None:
    lake, records = data
    windows = with_symbols(records, MboNamespace(records).window_measures(every))
    answer = query_lake("kyles_lambda", lake, every=every)
    expected = windows.rename({"trades": "trade_count"}).select(answer.columns)
    assert_frame_equal(answer, expected.sort("ts", "symbol", "publisher_id"), check_exact=True)


def test_vpin_equals_vpin(data: tuple[Path, pl.LazyFrame]) -> None:
    lake, records = data
    buckets = with_symbols(records, MboNamespace(records).vpin(bucket_volume=37, n=3))
    answer = query_lake("vpin", lake, bucket_volume=37, n=3)
    expected = buckets.rename({"ts_recv": "ts"}).select(answer.columns)
    # Polars divides by multiplying: the last bit may differ.
    assert_frame_equal(
        answer, expected.sort("symbol", "publisher_id", "bucket"), rel_tol=1e-15, abs_tol=0
    )
    assert answer.height > 0 or lake.name in WITHOUT_TRADES


@pytest.mark.parametrize("name", ["time_bars", "session_bars"])
def test_a_symbol_that_rolls_has_a_bar_of_each_instrument(name: str) -> None:
    rows = [trade(0, "B", 72, 1), {**trade(1, "B", 73, 22), "instrument_id": 9}]
    answer = run_query(name, {"trades": rows})
    assert answer.sort("open")["symbol", "open", "close", "volume"].rows() == [
        ("X", 72, 72, 1),
        ("X", 73, 73, 22),
    ]


@pytest.mark.parametrize("every", ["1s", "7m"])
def test_time_bars_equal_bars_of_a_time(data: tuple[Path, pl.LazyFrame], every: str) -> None:
    lake, records = data
    bars = with_symbols(records, MboNamespace(records).bars(time=every))
    answer = query_lake("time_bars", lake, every=every).drop("ts")
    expected = bars.rename({"trades": "trade_count"}).select(answer.columns)
    order = ["ts_open", "symbol", "publisher_id", "instrument_id"]
    assert_frame_equal(answer.sort(order), expected.sort(order), check_exact=True)


@pytest.mark.parametrize("session", ["CMES", "00:10-20:30 UTC sun-sat"])
def test_session_bars_equal_bars_of_sessions(data: tuple[Path, pl.LazyFrame], session: str) -> None:
    lake, records = data
    bars = with_symbols(records, MboNamespace(records).bars(session=session))
    answer = query_lake("session_bars", lake, sessions=session)
    expected = bars.rename(
        {
            "trades": "trade_count",
            "ts_session_open": "session_open",
            "ts_session_close": "session_close",
        }
    ).with_columns(pl.col("session_open", "session_close").dt.convert_time_zone("UTC"))
    order = ["ts_open", "symbol", "publisher_id", "instrument_id"]
    assert_frame_equal(
        answer.sort(order), expected.select(answer.columns).sort(order), check_exact=True
    )
    assert answer["trade_count"].sum() == trades_of(records)
    if (lake.name, session) == ("clx5", "00:10-20:30 UTC sun-sat"):
        assert answer["date"].null_count() > 0


def trades_of(records: pl.LazyFrame) -> int:
    """The number of trades."""
    return MboNamespace(records).trades().collect().height


def test_a_session_with_a_break_is_one_bar_and_what_is_outside_another() -> None:
    hours = [(1, 1), (13, 2), (13.5, 4), (19, 8), (24.5, 16)]
    rows = [trade(3_600 * (hour - 10), "B", 100, size) for hour, size in hours]
    answer = run_query("session_bars", {"trades": rows}, sessions="CMEGlobex_Grains")
    # 15 November 2023: 1:00 to 13:45 and 14:30 to 19:20, in UTC.
    days = [None if day is None else day.day for day in answer["date"]]
    assert list(zip(days, answer["volume"], strict=True)) == [(15, 15), (None, 16)]
    late = trade(3_600 * 4, "B", 100, 32)  # in the break
    answer = run_query("session_bars", {"trades": [late]}, sessions="CMEGlobex_Grains")
    assert answer["date", "session_open", "volume"].rows() == [(None, None, 32)]


@pytest.mark.parametrize("bar_volume", [1, 3, 500])
def test_volume_bars_equal_bars_of_a_volume(
    data: tuple[Path, pl.LazyFrame], bar_volume: int
) -> None:
    lake, records = data
    bars = with_symbols(records, MboNamespace(records).bars(volume=bar_volume))
    book = ["symbol", "publisher_id"]
    expected = bars.with_columns(bar=pl.int_range(pl.len()).over(book)).rename(
        {"trades": "trade_count"}
    )
    answer = query_lake("volume_bars", lake, bar_volume=bar_volume)
    expected = expected.select(answer.columns).sort(*book, "bar")
    assert_frame_equal(answer, expected, rel_tol=1e-15)
    if (lake.name, bar_volume) == ("esh4_2", 3):
        assert answer.height > 1_000


BOOK = ["publisher_id", "instrument_id"]
IS_CROSSED = (pl.col("bid_px_00") >= pl.col("ask_px_00")).fill_null(value=False)
INCLUDES = pytest.mark.parametrize("include", [(), ALL_STATES], ids=["open", "all"])
"""States that are left out, and all of them. No data set here has a status of trading."""


def measured(records: pl.LazyFrame, tau_ms: int, include: tuple[str, ...]) -> pl.DataFrame:
    """Trades with all that is known of them after tau, and twice their impact.

    `counts` says whether the book was neither crossed nor locked at the trade and after tau.
    """
    ts = pl.col("ts_recv").to_physical()
    states = MboNamespace(records).states(1).with_columns(ts=ts, crossed=IS_CROSSED).collect()
    later = (
        states.filter(pl.col("action") != "T")
        .with_columns(pl.col("ts").cum_max().over(BOOK))
        .sort("ts", maintain_order=True)
        .select("ts", *BOOK, crossed_later="crossed")
    )
    # Rows of one book are in the order of the stream; those of several books are in any order.
    met = states.filter(pl.col("action") == "T").sort(BOOK, maintain_order=True)
    measures = MboNamespace(records).trade_measures(tau=f"{tau_ms}ms")
    trades = with_symbols(records, measures).sort(BOOK, maintain_order=True)
    place = [*BOOK, "ts_recv", "sequence"]
    assert_frame_equal(met.select(place), trades.select(place))
    counts = pl.lit(value=True) if include else ~(pl.col("crossed") | pl.col("crossed_later"))
    trades = (
        trades.with_columns(met["crossed"], ts=ts + tau_ms * 1_000_000)
        .sort("ts", maintain_order=True)
        .join_asof(later, on="ts", by=BOOK)
        .with_columns(counts=counts)
    )
    return trades.drop_nulls(["effective_spread", "realised_spread"]).with_columns(
        pl.col("size").cast(pl.Int64),
        impact=pl.col("effective_spread") - pl.col("realised_spread"),
    )


@INCLUDES
@pytest.mark.parametrize("tau_s", [0.25, 30])
def test_realised_spread_equals_trade_measures(
    data: tuple[Path, pl.LazyFrame], tau_s: float, include: tuple[str, ...]
) -> None:
    lake, records = data
    answer = query_lake("realised_spread", lake, include=include, taus=tau_s)
    counts = pl.col("counts")
    size = pl.col("size").filter(counts)

    def mean(column: str) -> pl.Expr:
        total = (pl.col(column).filter(counts).cast(pl.Int128) * size).sum()
        return pl.when(size.sum() > 0).then(total / size.sum())

    expected = (
        measured(records, round(tau_s * 1000), include)
        .group_by("symbol", "publisher_id")
        .agg(
            pl.lit(round(tau_s * NS_PER_S), pl.Int64).alias("tau_ns"),
            counts.sum().cast(pl.Int64).alias("trade_count"),
            size.sum().alias("volume"),
            mean("effective_spread").alias("effective_spread"),
            mean("realised_spread").alias("realised_spread"),
            mean("impact").alias("price_impact"),
            left_out=(~counts).sum().cast(pl.Int64),
            sessions_known=pl.lit(value=False),
        )
        .sort("symbol", "publisher_id")
    )
    assert_frame_equal(answer, expected, check_exact=True)
    assert answer.height > 0 or lake.name in WITHOUT_TRADES


@pytest.mark.parametrize("mid", [100, -100])
def test_an_impact_has_the_sign_of_its_move_at_negative_mids_too(mid: int) -> None:
    rows = [
        quote(0, mid - 1, mid + 1),
        {**trade(1, "B", mid + 1, 1), **met(mid - 1, mid + 1)},
        quote(1, mid, mid + 2),
        quote(10, mid, mid + 2),
    ]
    found = run_query("trade_impact", {"states_1": rows})
    assert found.select("impact", "impact_bps").rows() == [(1.0, 100.0)]


@INCLUDES
def test_trade_impact_equals_trade_measures(
    data: tuple[Path, pl.LazyFrame], include: tuple[str, ...]
) -> None:
    lake, records = data
    answer = query_lake("trade_impact", lake, include=include, horizon="1s")
    counts = pl.col("counts")
    expected = (
        measured(records, 1_000, include)
        .with_columns(size_from=2 ** pl.col("size").log(2).floor().cast(pl.Int64))
        .group_by("symbol", "publisher_id", "size_from")
        .agg(
            counts.sum().cast(pl.Int64).alias("trade_count"),
            pl.col("size").filter(counts).sum().alias("volume"),
            (pl.col("impact").filter(counts).mean() / 2).alias("impact"),
            left_out=(~counts).sum().cast(pl.Int64),
            sessions_known=pl.lit(value=False),
        )
        .sort("symbol", "publisher_id", "size_from")
    )
    assert_frame_equal(answer.select(expected.columns), expected, check_dtypes=False)
    assert answer.height > 0 or lake.name in WITHOUT_TRADES


def test_ofi_returns_equals_a_line_through_window_measures(
    data: tuple[Path, pl.LazyFrame],
) -> None:
    lake, records = data
    windows = with_symbols(records, MboNamespace(records).window_measures("10s"))
    date = pl.from_epoch(pl.col("ts").to_physical() - 1, "ns").dt.date()
    known = windows.drop_nulls(["ofi", "mid_change"]).with_columns(date=date)
    answer = query_lake("ofi_returns", lake, every="10s")
    by_book = known.partition_by("symbol", "publisher_id", "date", as_dict=True)
    assert {row[:3] for row in answer.rows()} == set(by_book)
    for row in answer.iter_rows(named=True):
        of_book = by_book[row["symbol"], row["publisher_id"], row["date"]]
        if of_book["ofi"].n_unique() == 1:
            assert (row["windows"], row["slope"]) == (of_book.height, None)
            continue
        ofi, change = of_book["ofi"].to_numpy(), of_book["mid_change"].to_numpy()
        slope, intercept = np.polyfit(ofi, change, 1)
        assert row["windows"] == len(ofi)
        assert row["slope"] == pytest.approx(slope)
        assert row["intercept"] == pytest.approx(intercept)
        assert row["r2"] == pytest.approx(np.corrcoef(ofi, change)[0, 1] ** 2)


def test_consolidated_bbo_equals_the_consolidated_book(data: tuple[Path, pl.LazyFrame]) -> None:
    lake, records = data
    answer = query_lake("consolidated_bbo", lake)
    rows = with_symbols(records, MboNamespace(records).mbp(1, consolidated=True))
    names = ["bid_price", "bid_size", "ask_price", "ask_size"]
    states = (
        rows.filter(pl.col("action") != "T")
        .group_by("symbol", pl.col("ts_recv").alias("ts"), maintain_order=True)
        .last()
        .sort("ts")
        .rename(dict(zip(["bid_px_00", "bid_sz_00", "ask_px_00", "ask_sz_00"], names, strict=True)))
        .select("ts", "symbol", *names)
    )
    found = states.select("ts", "symbol").join_asof(answer.sort("ts"), on="ts", by="symbol")
    assert_frame_equal(found.select(states.columns), states, check_dtypes=False)


def test_mid_at_trades_equals_an_asof_join(data: tuple[Path, pl.LazyFrame]) -> None:
    lake, records = data
    states = MboNamespace(records).states(1).filter(pl.col("action") != "T").collect()
    book = ["publisher_id", "instrument_id"]
    expected = (
        with_symbols(records, MboNamespace(records).trades())
        .sort("ts_recv", maintain_order=True)
        .join_asof(
            states.select("ts_recv", *book, "bid_px_00", "ask_px_00", is_open=~IS_CROSSED).sort(
                "ts_recv", maintain_order=True
            ),
            on="ts_recv",
            by=book,
            allow_exact_matches=False,
        )
        .with_columns(mid=(pl.col("bid_px_00") + pl.col("ask_px_00")) / 2)
    )
    answer = query_lake("mid_at_trades", lake)
    order = ["ts_recv", "symbol", "publisher_id", "sequence"]
    assert_frame_equal(
        answer.select(*order, "mid", "is_open").sort(order, maintain_order=True),
        expected.select(*order, "mid", "is_open").sort(order, maintain_order=True),
        check_exact=True,
    )


def held(records: pl.LazyFrame, levels: int) -> pl.DataFrame:
    """The states of books, with the hour and the time of each part that stood in one hour.

    Hours are those of `ZONE`.
    """
    hour_ns = 3_600 * NS_PER_S
    ts = pl.col("ts_recv").to_physical() + ZONE_NS
    return (
        with_symbols(records, MboNamespace(records).states(levels))
        .filter(pl.col("action") != "T")
        .with_columns(ts=ts, until=ts.shift(-1).over("publisher_id", "instrument_id"))
        .filter(pl.col("until") > pl.col("ts"))
        .with_columns(
            turn=pl.int_ranges(pl.col("ts") // hour_ns, (pl.col("until") - 1) // hour_ns + 1)
        )
        .explode("turn")
        .with_columns(
            hour=pl.col("turn") % 24,
            ns=pl.min_horizontal("until", (pl.col("turn") + 1) * hour_ns)
            - pl.max_horizontal("ts", pl.col("turn") * hour_ns),
            tz=pl.lit(ZONE),
        )
    )


def weighed(value: pl.Expr) -> pl.Expr:
    """The mean of a value over the time for which it is known."""
    ns = pl.col("ns").filter(value.is_not_null())
    return (value.cast(pl.Int128) * pl.col("ns")).sum() / ns.sum()


def test_spreads_are_weighed_in_each_hour(data: tuple[Path, pl.LazyFrame]) -> None:
    lake, records = data

    def quantile(percent: int) -> pl.Expr:
        reached = pl.col("ns").cum_sum() * 100 >= pl.sum("ns") * percent
        return pl.col("spread").filter(reached).first().alias(f"spread_p{percent:02}")

    expected = (
        held(records, 1)
        .with_columns(spread=pl.col("ask_px_00") - pl.col("bid_px_00"))
        .drop_nulls("spread")
        .sort("spread", maintain_order=True)
        .group_by("symbol", "publisher_id", "hour", "tz")
        .agg(
            weighed(pl.col("spread")).alias("mean"),
            *map(quantile, (5, 50, 95)),
            seconds=pl.sum("ns") / NS_PER_S,
        )
        .rename({"mean": "spread"})
        .sort("symbol", "publisher_id", "hour")
    )
    answer = counted(query_lake("spread_by_hour", lake, include=ALL_STATES, tz=ZONE))
    assert_frame_equal(answer, expected.select(answer.columns), rel_tol=1e-12)


def test_depths_are_weighed_in_each_hour(data: tuple[Path, pl.LazyFrame]) -> None:
    lake, records = data
    sides = ("bid", "ask")
    totals = {
        side: pl.when(pl.col(f"{side}_px_00").is_not_null()).then(
            pl.sum_horizontal(pl.col(f"{side}_sz_{level:02}").cast(pl.Int64) for level in range(3))
        )
        for side in sides
    }
    known = {side: pl.col("ns").filter(pl.col(side).is_not_null()) for side in sides}
    expected = (
        held(records, 10)
        .with_columns(**totals)
        .filter(pl.col("bid").is_not_null() | pl.col("ask").is_not_null())
        .group_by("symbol", "publisher_id", "hour", "tz")
        .agg(
            *(weighed(pl.col(side)).alias(f"depth_{side}") for side in sides),
            *((known[side].sum() / NS_PER_S).alias(f"seconds_{side}") for side in sides),
        )
        .with_columns(pl.col("depth_bid", "depth_ask").fill_nan(None))
        .sort("symbol", "publisher_id", "hour")
    )
    answer = counted(query_lake("depth_by_hour", lake, include=ALL_STATES, levels=3, tz=ZONE))
    assert_frame_equal(answer, expected.select(answer.columns), rel_tol=1e-12)


def covers_day(records: pl.LazyFrame) -> pl.Expr:
    """Whether the records reach from the beginning to the end of the day in the column `date`."""
    time = pl.col("ts_recv").to_physical()
    timed = records.filter(pl.col("flags") & 40 != 8).select(time.min(), last=time.max())
    first_ns, last_ns = timed.collect().row(0)
    start_ns = pl.col("date").cast(pl.Datetime("ns")).to_physical()
    end_ns = start_ns + (24 * 3_600 * NS_PER_S - 1)
    return (start_ns >= pl.lit(first_ns)) & (end_ns <= pl.lit(last_ns))


def test_a_bar_of_a_part_of_its_session_is_not_complete(tmp_path: Path) -> None:
    """Whether the lake, its load or the query has a part only: one file, and several."""
    hour = 3_600 * NS_PER_S
    days = []
    for day in range(3):
        rows = [
            record(
                Action.TRADE if at % 2 else Action.ADD,
                order_id=100 * day + at,
                ts_recv=DAY_NS + day * 24 * hour + at * hour + (day == 0) * 6 * hour,
            )
            for at in range(18 if day == 0 else 24 if day == 1 else 12)
        ]
        days.append(tmp_path / f"{day}.dbn")
        start = DAY_NS + day * 24 * hour
        days[-1].write_bytes(metadata(start=start, end=start + 24 * hour) + encode(rows))
    lake = tmp_path / "lake"
    batonics.load_lake(days, lake, schemas=["trades"])

    def complete(row_filter: RowFilter = NO_FILTER, **params: str) -> list[bool | None]:
        request = QueryRequest(
            str(QUERIES / "session_bars.sql"), params, lake=str(lake), row_filter=row_filter
        )
        return query_frame(request)["complete"].to_list()

    expected = [False, True, False]
    assert complete() == expected
    bars = MboNamespace(batonics.scan_mbo(days)).bars(session="00:00-24:00 UTC mon-sun")
    assert bars.collect()["complete"].to_list() == expected
    assert complete(sessions="8:00-20:00 UTC mon-sun") == [None, True, None, True, None, False]
    day_2 = DAY_NS + 24 * hour
    assert complete(RowFilter(start_ns=day_2 + 1)) == [False, False]
    assert complete(RowFilter(end_ns=day_2 + 24 * hour - 1)) == [False, False]
    assert complete(RowFilter(start_ns=day_2, end_ns=day_2 + 24 * hour)) == [True]


@INCLUDES
def test_realised_variance_is_of_the_mids_of_intervals(
    data: tuple[Path, pl.LazyFrame], include: tuple[str, ...]
) -> None:
    lake, records = data
    every_ns = 300 * NS_PER_S
    twice_mid = pl.col("bid_px_00") + pl.col("ask_px_00")
    book = ["date", "symbol", "publisher_id"]
    change = pl.col("mid").log() - pl.col("mid").log().shift()
    mids = (
        with_symbols(records, MboNamespace(records).bbo(every="1s"))
        .with_columns(date=pl.col("ts_recv").dt.date(), mid=twice_mid)
        .filter(pl.col("mid") > 0)
        .with_columns(left_out=pl.lit(value=False) if include else IS_CROSSED)
    )
    left_out = mids.group_by(book).agg(pl.col("left_out").sum().cast(pl.Int64))
    expected = (
        mids.filter(~pl.col("left_out"))
        .group_by(*book, -(-pl.col("ts_recv").to_physical() // every_ns), maintain_order=True)
        .agg(pl.last("mid"))
        .with_columns(change=change.over(book))
        .group_by(book)
        .agg(
            (pl.col("change") != 0).sum().cast(pl.Int64).alias("returns"),
            pl.col("change").pow(2).sum().alias("variance"),
            pl.col("change").pow(2).sum().sqrt().alias("volatility"),
            known=pl.col("change").count(),
        )
        .join(left_out, on=book, how="right", coalesce=True)
        .filter((pl.col("known") > 0) | (pl.col("left_out") > 0))
        .with_columns(pl.col("returns").fill_null(0), sessions_known=pl.lit(value=False))
        .sort(book)
    )
    answer = query_lake("realised_variance", lake, include=include, every="5m")
    expected = expected.with_columns(complete=covers_day(records)).select(answer.columns)
    assert_frame_equal(answer, expected, rel_tol=1e-9)


def test_volume_profile_has_the_volume_of_each_price(data: tuple[Path, pl.LazyFrame]) -> None:
    lake, records = data
    size = pl.col("size").cast(pl.Int64)
    group = ["date", "symbol", "publisher_id"]
    expected = (
        with_symbols(records, MboNamespace(records).trades())
        .with_columns(date=pl.col("ts_recv").dt.date())
        .group_by(*group, "price")
        .agg(
            size.sum().alias("volume"),
            size.filter(pl.col("side") == "B").sum().alias("buy_volume"),
            size.filter(pl.col("side") == "A").sum().alias("sell_volume"),
            pl.len().cast(pl.Int64).alias("trade_count"),
        )
        .with_columns(share=pl.col("volume") / pl.col("volume").sum().over(group))
        .with_columns(complete=covers_day(records))
        .sort(*group, "price")
    )
    answer = query_lake("volume_profile", lake)
    assert_frame_equal(answer, expected, rel_tol=1e-15)


@INCLUDES
def test_who_sets_the_bbo_is_found_by_a_walk_over_the_states(
    data: tuple[Path, pl.LazyFrame], include: tuple[str, ...]
) -> None:
    lake, records = data
    states = with_symbols(records, MboNamespace(records).states(1)).filter(pl.col("action") != "T")
    names = ("bid", "ask", "bid_alone", "ask_alone", "both", "bids", "asks", "twos", "left_out")
    sums: dict[tuple[Any, ...], dict[str, int]] = {}
    for (symbol, date), rows in states.with_columns(date=pl.col("ts_recv").dt.date()).group_by(
        "symbol", "date"
    ):
        books: dict[int, tuple[Any, Any]] = dict.fromkeys(rows["publisher_id"], (None, None))
        moments = rows.select("ts_recv", "publisher_id", "bid_px_00", "ask_px_00").cast(
            {"ts_recv": pl.Int64}
        )
        totals = {publisher: dict.fromkeys(names, 0) for publisher in books}
        left_out = dict.fromkeys(books, False)
        sums |= {(date, symbol, publisher): totals[publisher] for publisher in books}
        ordered = moments.sort("ts_recv", maintain_order=True).rows()
        for (ts, publisher, bid, ask), (end, *_) in pairwise(ordered):
            is_crossed = bid is not None and ask is not None and bid >= ask
            left_out[publisher] = is_crossed and not include
            books[publisher] = (None, None) if left_out[publisher] else (bid, ask)
            bids = [price for price, _ in books.values() if price is not None]
            asks = [price for _, price in books.values() if price is not None]
            for other, (own_bid, own_ask) in books.items():
                at = totals[other]
                is_bid, is_ask = bids and own_bid == max(bids), asks and own_ask == min(asks)
                flags = (
                    *(is_bid, is_ask, is_bid and bids.count(own_bid) == 1),
                    *(is_ask and asks.count(own_ask) == 1, is_bid and is_ask),
                    *(bids, asks, bids and asks, left_out[other]),
                )
                for name, flag in zip(names, flags, strict=True):
                    at[name] += (end - ts) * bool(flag)

    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    expected = [
        (
            *key,
            share(at["bid"], at["bids"]),
            share(at["ask"], at["asks"]),
            share(at["bid_alone"], at["bids"]),
            share(at["ask_alone"], at["asks"]),
            share(at["both"], at["twos"]),
            at["bids"] / NS_PER_S,
            at["asks"] / NS_PER_S,
            at["left_out"] / NS_PER_S,
            False,
        )
        for key, at in sorted(sums.items())
    ]
    answer = query_lake("who_sets_bbo", lake, include=include)
    assert_frame_equal(
        answer, pl.DataFrame(expected, schema=answer.schema, orient="row"), rel_tol=1e-12
    )
