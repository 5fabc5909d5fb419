"""Tables of others in our columns: text, integers and zones, exact or refused."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from batonics.frames.columns.mbo_frame import TIME_TYPE
from batonics.frames.schemas.table import find_schema
from batonics.frames.schemas.vendor_tables import from_records, normalise_columns
from batonics.model.errors import InputError

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
NOON_NS = int(NOON.timestamp()) * 10**9


def price(text: str) -> int | None:
    frame = normalise_columns(pl.DataFrame({"price": [text]}), "trades")
    assert frame.schema["price"] == pl.Int64
    value: int | None = frame["price"][0]
    return value


@pytest.mark.parametrize(
    ("text", "price_1e9"),
    [
        ("101.250000000", 101_250_000_000),
        ("101.2500000000", 101_250_000_000),
        ("-0.5", -500_000_000),
        ("-3.000000001", -3_000_000_001),
        ("101250000000", 101_250_000_000),
        ("9223372036.854775806", 2**63 - 2),
        ("9223372036854775807", None),
    ],
)
def test_a_price_is_exact(text: str, price_1e9: int | None) -> None:
    assert price(text) == price_1e9


@pytest.mark.parametrize("dtype", [pl.Decimal(18, 9), pl.Decimal(38, 9), pl.Decimal(12, 2)])
@pytest.mark.parametrize("name", ["price", "bid_px_00", "ask_px_11"])
def test_decimals_are_exact(name: str, dtype: pl.DataType) -> None:
    prices = pl.Series(name, [Decimal("64.82"), None, Decimal("-0.01")], dtype=dtype)
    frame = normalise_columns(pl.DataFrame([prices]), "mbp-12")
    assert frame[name].to_list() == [64_820_000_000, None, -10_000_000]


@pytest.mark.parametrize(("name", "scale"), [("price", 10), ("size", 1)])
def test_decimals_beyond_those_of_a_column_are_refused(name: str, scale: int) -> None:
    column = pl.Series(name, [Decimal(1).scaleb(-scale)], dtype=pl.Decimal(38, scale))
    with pytest.raises(InputError, match=f"row 0: {name} is .*, which is not"):
        normalise_columns(pl.DataFrame([column]), "trades")


@pytest.mark.parametrize("text", ["101.2500000001", "99999999999.0", "9223372036.9", "x"])
def test_a_price_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="row 0: price is "):
        price(text)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([NOON_NS]),
        pl.Series([NOON_NS], dtype=pl.UInt64),
        pl.Series([str(NOON_NS)]),
        pl.Series(["2026-01-05T12:00:00.000000000Z"]),
        pl.Series([NOON_NS]).cast(TIME_TYPE),
        pl.Series([NOON_NS]).cast(TIME_TYPE).dt.convert_time_zone("America/Chicago"),
        pl.Series([NOON_NS]).cast(pl.Datetime("ns")),
    ],
    ids=["int", "uint", "digits", "iso", "utc", "zone", "naive"],
)
def test_a_time_is_the_same_however_it_is_written(column: pl.Series) -> None:
    frame = normalise_columns(pl.DataFrame({"ts_recv": column}), "trades")
    assert frame.schema["ts_recv"] == TIME_TYPE
    assert frame["ts_recv"].cast(pl.Int64).to_list() == [NOON_NS]


@pytest.mark.parametrize(
    ("name", "column", "words"),
    [
        ("ts_recv", pl.Series([NOON]).cast(pl.Datetime("us", "UTC")), "is in microseconds"),
        ("ts_recv", pl.Series(["2026-01-05T12:00:00.1234567891Z"]), "is not a time in nanoseconds"),
        ("ts_recv", pl.Series(["2026-01-05T12:00:00Z"]), "no digits of nanoseconds"),
        ("ts_recv", pl.Series(["2400-01-05T12:00:00.000000000Z"]), "not a time in nanoseconds"),
        ("ts_recv", pl.Series([2**63], dtype=pl.UInt64), "after the year 2262"),
        ("ts_recv", pl.Series([NOON_NS // 1_000]), "seems to be in microseconds"),
        ("price", pl.Series([8_388_608.5]), "do not tell 1e-9 apart"),
        ("price", pl.Series(["64", "64.5", "x"]), "row 2: price is 'x'"),
        ("size", pl.Series([-1]), "row 0: size is -1"),
        ("action", pl.Series(["Q"]), "column action is not what schema trades has there"),
    ],
)
def test_a_value_that_is_not_exact_is_refused(name: str, column: pl.Series, words: str) -> None:
    with pytest.raises(InputError, match=words):
        normalise_columns(pl.DataFrame({name: column}), "trades")


def test_any_value_may_be_missing_and_floats_are_exact() -> None:
    frame = pl.DataFrame({"price": [float("nan"), 64.82], "size": ["", "3"], "flags": [None, 128]})
    found = normalise_columns(frame, "trades")
    assert found.select("price", "size", "flags").rows() == [
        (None, None, None),
        (64_820_000_000, 3, 128),
    ]


def test_a_byte_that_is_no_letter_of_its_field_is_refused() -> None:
    records = np.zeros(2, find_schema("trades").record_dtype)
    records["action"], records["side"] = ord("T"), [ord("B"), ord("Q")]
    assert from_records(records[:1], "trades")["side"].to_list() == ["B"]
    with pytest.raises(InputError, match="column side holds byte 0x51, which is no letter of it"):
        from_records(records, "trades")
