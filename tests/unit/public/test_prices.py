"""Units of prices in Python: every frame in each unit, and frames as pandas has them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

import batonics
from batonics.frames.columns.prices import find_price_columns
from batonics.frames.scan.definitions import add_definitions
from batonics.model.definitions import DefinitionMap
from batonics.model.errors import DataWarning
from batonics.model.prices import PriceUnit
from tests.support.command import SAMPLE

FRAMES: dict[str, tuple[Any, ...]] = {
    "bbo": (),
    "mbp": (2,),
    "tbbo": (),
    "trades": (),
    "ohlcv": ("1s",),
    "orders": (),
    "measures": ("mid", "spread", "weighted_mid", "depth(2)"),
    "trade_measures": (),
    "window_measures": ("1s",),
    "deltas": (),
    "book_at": ("2026-01-05T14:30:00.000075Z",),
    "depth": (2,),
}


@pytest.mark.parametrize("name", FRAMES)
def test_each_frame_has_its_prices_in_each_unit(name: str) -> None:
    mbo = batonics.scan_mbo(SAMPLE).head(2_000).mbo  # type: ignore[attr-defined]
    frames = {
        unit: getattr(mbo, name)(*FRAMES[name], prices=unit).collect()
        for unit in ("fixed", "decimal", "float")
    }
    kinds = find_price_columns(frames["fixed"].schema)
    assert kinds
    for column in frames["fixed"].columns:
        fixed, decimal, floats = (frames[unit][column] for unit in ("fixed", "decimal", "float"))
        if column not in kinds:
            assert fixed.equals(decimal)
            assert fixed.equals(floats)
            continue
        assert fixed.len() == decimal.len()
        for value, exact, nearest in zip(fixed, decimal, floats, strict=True):
            assert (value is None) == (exact is None) == (nearest is None)
            if value is not None:
                assert float(exact) == nearest == pytest.approx(value / 1e9, rel=1e-15, abs=0)


def test_methods_refuse_other_units_and_arguments() -> None:
    mbo = batonics.scan_mbo(SAMPLE).mbo  # type: ignore[attr-defined]
    with pytest.raises(batonics.UsageError, match="bbo: prices is the str 'cents', expected"):
        mbo.bbo(prices="cents")
    with pytest.raises(TypeError, match="price"):
        mbo.bbo(price="decimal")


def test_books_have_their_prices_in_each_unit() -> None:
    books = batonics.reconstruct(SAMPLE)
    for name in ("levels", "orders", "consolidated"):
        fixed, decimal = (getattr(books, name)(prices=unit) for unit in ("fixed", "decimal"))
        assert decimal["price"].dtype == pl.Decimal(19, 9)
        assert [int(price.scaleb(9)) for price in decimal["price"]] == fixed["price"].to_list()
    assert books.symbol_levels("SIM0", prices="float")["price"].dtype == pl.Float64


def test_records_and_lakes_have_their_prices_in_each_unit(tmp_path: Path) -> None:
    records = batonics.scan_mbo(SAMPLE, prices="decimal").select("price", "size").head(5)
    assert records.collect_schema()["price"] == pl.Decimal(19, 9)
    assert records.collect()["price"].dtype == pl.Decimal(19, 9)
    lake = batonics.load_lake(SAMPLE, tmp_path / "lake", schemas=["trades"])
    price = lake.scan("trades", prices="float").select(pl.max("price")).collect().item()
    sql = "SELECT max(price) AS p FROM trades"
    found = {unit: lake.sql(sql, prices=unit).item() for unit in ("fixed", "decimal", "float")}
    assert found == {"fixed": round(price * 1e9), "decimal": Decimal(str(price)), "float": price}
    assert lake.sql(sql).item() == found["fixed"]
    with pytest.raises(batonics.UsageError, match="prices is the str 'cents', expected"):
        lake.sql(sql, prices="cents")  # type: ignore[arg-type]


UNITS: tuple[PriceUnit, ...] = ("fixed", "decimal", "float")
FRAME = pl.DataFrame(
    {
        "ts_recv": pl.Series([1_700_000_000_000_000_001, 0]).cast(pl.Datetime("ns", "UTC")),
        "side": pl.Series(["A", "B"], dtype=pl.Enum(["A", "B", "N"])),
        "bid_price": pl.Series([64_820_000_000, 1], dtype=pl.Int64),
        "mid": [64_825_000_000.0, 1.5],
        "size": pl.Series([1, 2], dtype=pl.UInt32),
        "order_id": pl.Series([2**64 - 1, 1], dtype=pl.UInt64),
        "left_censored": [True, False],
    }
)
WITH_NULLS = pl.concat([FRAME, FRAME.clear(1)])
FIXED = {
    "ts_recv": "datetime64[ns, UTC]",
    "side": "category",
    "bid_price": "Int64",
    "mid": "float64",
    "size": "UInt32",
    "order_id": "UInt64",
    "left_censored": "boolean",
}


@pytest.mark.parametrize("frame", [FRAME, WITH_NULLS, FRAME.clear()])
@pytest.mark.parametrize(
    ("prices", "types"),
    [
        ("fixed", {}),
        (
            "decimal",
            {"bid_price": "decimal128(19, 9)[pyarrow]", "mid": "decimal128(20, 10)[pyarrow]"},
        ),
        ("float", {"bid_price": "float64"}),
    ],
)
def test_dtypes_of_pandas_do_not_depend_on_nulls(
    prices: PriceUnit, types: dict[str, str], frame: pl.DataFrame
) -> None:
    found = batonics.to_pandas(frame.lazy(), prices=prices)
    assert {name: str(dtype) for name, dtype in found.dtypes.items()} == FIXED | types
    assert len(found) == frame.height


def test_values_of_pandas_are_exact() -> None:
    found = batonics.to_pandas(WITH_NULLS, prices="decimal")
    assert found["ts_recv"][0] == pd.Timestamp(1_700_000_000_000_000_001, tz="UTC")
    assert found["bid_price"][0] == Decimal("64.82")
    assert found["mid"][1] == Decimal("0.0000000015")
    assert found["order_id"][0] == 2**64 - 1
    assert found.iloc[2].isna().all()
    assert batonics.to_pandas(FRAME)["bid_price"][0] == 64_820_000_000


def test_pandas_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(batonics.UsageError, match="pandas is not installed: pip install pandas"):
        batonics.to_pandas(FRAME)


def test_other_frames_are_refused() -> None:
    with pytest.raises(batonics.UsageError, match="rows is a pandas"):
        batonics.to_pandas(pd.DataFrame({"price": [1]}))
    with pytest.raises(batonics.UsageError, match="prices is the str 'cents', expected"):
        batonics.with_prices(FRAME, "cents")  # type: ignore[call-overload]


@pytest.mark.parametrize("unit", ["decimal", "float"])
def test_prices_are_converted_once(unit: PriceUnit) -> None:
    converted = batonics.with_prices(FRAME, unit)
    assert batonics.with_prices(converted, "fixed") is converted
    words = r"column bid_price is .*, expected Int64 of 1e-9: convert prices once"
    with pytest.raises(batonics.UsageError, match=words):
        batonics.with_prices(converted, "decimal")
    with pytest.raises(batonics.UsageError, match=words):
        batonics.to_pandas(converted, prices="float")
    rows = batonics.scan_mbo(SAMPLE).mbo.mbp(1, prices=unit)  # type: ignore[attr-defined]
    with pytest.raises(batonics.UsageError, match="column price is"):
        add_definitions(rows, DefinitionMap())


def test_a_join_knows_the_prices_of_both_sides(tmp_path: Path) -> None:
    lake = batonics.load_lake(SAMPLE, tmp_path / "lake", schemas=["trades", "mbp-1"])
    joined = {
        unit: lake.join_asof("trades", "mbp-1", prices=unit).head(50).collect() for unit in UNITS
    }
    for name in ("price", "price_right", "bid_px_00"):
        fixed = [None if price is None else price / 1e9 for price in joined["fixed"][name]]
        assert joined["float"][name].to_list() == fixed
        assert joined["decimal"][name].dtype == pl.Decimal(19, 9)


def test_numbers_that_a_header_does_not_declare_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text("-- title: Prices\nSELECT max(price) AS p FROM trades")
    lake = batonics.load_lake(SAMPLE, tmp_path / "lake", schemas=["trades"])
    with pytest.warns(DataWarning, match="does not say whether p are prices"):
        lake.sql(str(tmp_path / "q.sql"), prices="decimal")
