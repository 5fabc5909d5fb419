"""Prices in three units: exact in decimals, nearest in floats, and every price column known."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batonics
from batonics.frames.columns.levels import level_column_names
from batonics.frames.columns.prices import (
    PriceKind,
    convert_prices,
    convert_schema,
    decimal_prices,
    find_price_columns,
    scan_prices,
)
from batonics.frames.measures.bars import BARS_SCHEMA
from batonics.frames.namespace import MboNamespace
from batonics.frames.schemas.table import find_schema
from batonics.model.errors import UsageError
from batonics.model.prices import PRICE_UNITS, PriceUnit
from tests.support.command import SAMPLE

MBO = MboNamespace(batonics.scan_mbo(SAMPLE))
INT64 = st.integers(-(2**63), 2**63 - 1)


def test_decimal_text_is_exact_over_the_whole_range() -> None:
    prices = [-(2**63), -(2**63) + 1, 2**63 - 1, 2**63 - 2, 2**53 + 1, -(10**9), -1, 0, 1, None]
    found = decimal_prices(pl.Series("price", prices, pl.Int64)).cast(pl.String)
    assert found.name == "price"
    assert found.to_list() == [
        "-9223372036.854775808",
        "-9223372036.854775807",
        "9223372036.854775807",
        "9223372036.854775806",
        "9007199.254740993",
        "-1.000000000",
        "-0.000000001",
        "0.000000000",
        "0.000000001",
        None,
    ]


@given(st.lists(st.none() | INT64, min_size=1), st.integers(0, 3))
def test_prices_are_exact_in_decimals_and_nearest_in_floats(
    prices: list[int | None], skipped: int
) -> None:
    frame = pl.DataFrame({"price": prices}, schema={"price": pl.Int64})[skipped:]
    kinds = find_price_columns(frame.schema)
    exact = convert_prices(frame, kinds, "decimal")["price"].to_list()
    assert exact == [None if p is None else Decimal(p).scaleb(-9) for p in prices[skipped:]]
    floats = convert_prices(frame, kinds, "float")["price"].to_list()
    for price, found in zip(prices[skipped:], floats, strict=True):
        if price is None:
            assert found is None
        elif abs(price) < 2**53:
            assert found == float(Fraction(price, 10**9))
        else:  # the integer is rounded, then the quotient
            assert found == pytest.approx(price / 1e9, rel=2**-52)


@given(st.integers(-(2**53), 2**53), st.integers(-(2**53), 2**53))
def test_a_mid_has_ten_decimals_and_is_exact(bid: int, ask: int) -> None:
    mids = pl.DataFrame({"mid": [(bid + ask) / 2, None]})
    found = convert_prices(mids, {"mid": PriceKind.MID}, "decimal")["mid"]
    assert found.dtype == pl.Decimal(20, 10)
    fixed = Fraction((bid + ask) / 2)
    assert Fraction(found[0]) == fixed / 10**9
    assert found[1] is None


def test_a_mid_of_half_a_unit_is_not_rounded() -> None:
    mids = pl.DataFrame({"mid": [64_825_000_000.5, -0.5]})
    found = convert_prices(mids, {"mid": PriceKind.MID}, "decimal")["mid"].cast(pl.String)
    assert found.to_list() == ["64.8250000005", "-0.0000000005"]


def test_sums_of_amounts_keep_their_digits() -> None:
    amounts = pl.DataFrame({"dollar": pl.Series([10**37 + 1, None, -1], dtype=pl.Decimal(38, 0))})
    kinds = find_price_columns(amounts.schema)
    found = convert_prices(amounts[1:], kinds, "decimal")["dollar"].cast(pl.String).to_list()
    assert found == [None, "-0.000000001"]
    found = convert_prices(amounts, kinds, "decimal")["dollar"].cast(pl.String).to_list()
    assert found[0] == f"{10**28}.000000001"


def test_price_columns_are_known_by_name_and_type() -> None:
    prices = [name for name in level_column_names(255) if "_px_" in name]
    prices += ["price", "open", "high", "low", "close", "bid_price", "ask_price", "spread"]
    integers = pl.Schema(dict.fromkeys(prices, pl.Int64()))
    assert list(find_price_columns(integers)) == prices
    assert not find_price_columns(pl.Schema(dict.fromkeys(prices, pl.Float64())))
    others = ["size", "bid_sz_00", "bid_size", "count", "event", "ts_open", "volume", "sequence"]
    assert not find_price_columns(pl.Schema(dict.fromkeys(others, pl.Int64())))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (BARS_SCHEMA, {"open", "high", "low", "close", "vwap", "dollar"}),
        (find_schema("orders").columns, {"price_start", "price_end"}),
        (find_schema("bbo").columns, {"bid_price", "ask_price"}),
        (find_schema("deltas").columns, {"price"}),
        (find_schema("mbp-1").columns, {"price", "bid_px_00", "ask_px_00"}),
        (
            find_schema("depth-1s").columns,
            {f"{s}_px_{n:02}" for s in ("bid", "ask") for n in range(10)},
        ),
        (
            MBO.window_measures("1s").collect_schema(),
            {"mid_start", "mid_end", "mid_change", "kyle_lambda"},
        ),
        (
            MBO.trade_measures(tau="1s").collect_schema(),
            {"price", "mid", "effective_spread", "realised_spread"},
        ),
        (
            MBO.measures("mid", "spread", "weighted_mid").collect_schema(),
            {"mid", "spread", "weighted_mid"},
        ),
    ],
)
def test_every_frame_knows_its_prices(columns: pl.Schema, expected: set[str]) -> None:
    assert set(find_price_columns(columns)) == expected


@pytest.mark.parametrize("unit", PRICE_UNITS)
def test_a_lazy_frame_has_the_values_and_the_schema_of_its_frame(unit: PriceUnit) -> None:
    rows = MBO.trade_measures(tau="1s").head(50)
    frame = rows.collect()
    kinds = find_price_columns(frame.schema)
    lazy = scan_prices(rows, unit)
    assert lazy.collect_schema() == convert_schema(frame.schema, kinds, unit)
    assert lazy.collect().equals(convert_prices(frame, kinds, unit))


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(UsageError, match="prices='cents': expected one of fixed, decimal, float"):
        scan_prices(pl.LazyFrame({"price": [1]}), "cents")
