"""Prices between int64 of 1e-9 and text: exact both ways, and no float in between."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_PRICE
from batonics.model.prices import format_price, parse_price

PRICES = st.integers(-(2**63), UNDEF_PRICE - 1)


@given(PRICES)
def test_text_is_the_exact_decimal_and_comes_back(price_1e9: int) -> None:
    text = format_price(price_1e9)
    assert text is not None
    assert Decimal(text) * 10**9 == price_1e9
    assert not text.endswith(".")
    assert "." not in text or not text.endswith("0")
    assert parse_price(text) == price_1e9


@pytest.mark.parametrize(
    ("price_1e9", "text"),
    [
        (65_400_000_000, "65.4"),
        (0, "0"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (-1_500_000_000, "-1.5"),
        (100_000_000_000, "100"),
        (2**63 - 2, "9223372036.854775806"),
        (-(2**63), "-9223372036.854775808"),
        (UNDEF_PRICE, None),
    ],
)
def test_known_prices(price_1e9: int, text: str | None) -> None:
    assert format_price(price_1e9) == text


@pytest.mark.parametrize(("text", "price_1e9"), [("+1.50", 15 * 10**8), (" 007 ", 7 * 10**9)])
def test_other_spellings_are_read(text: str, price_1e9: int) -> None:
    assert parse_price(text) == price_1e9


@pytest.mark.parametrize(
    "text", ["", "x", "1.", ".5", "1e3", "1_000", "1,5", "nan", "1.0000000001", "--1", "0x10"]
)
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a price"):
        parse_price(text)


@pytest.mark.parametrize("text", ["9223372036.854775807", "-9223372036.854775809", "1" * 20])
def test_what_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="does not fit an int64"):
        parse_price(text)
