"""Prices as int64 of 1e-9 and as exact decimal text. No float is involved (rule 20)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal, get_args

from batonics.model.arguments import Expected
from batonics.model.errors import UsageError
from batonics.model.mbo import PRICE_SCALE, UNDEF_PRICE

PriceUnit = Literal["fixed", "decimal", "float"]
"""The unit of prices in rows; `frames/columns/prices.py` has a table."""
PRICE_UNITS: tuple[PriceUnit, ...] = get_args(PriceUnit)
DIGITS_MAX = 100
"""The greatest exponent of a Decimal that is written out to be parsed."""
_DECIMAL = re.compile(r"([+-]?)(\d+)(?:\.(\d{1,9}))?")


def _advise_price(value: object) -> str:
    """The two ways to write a price that was given as a float."""
    if not isinstance(value, float):
        return ""
    exact = Decimal(repr(value))
    if not exact.is_finite() or exact != round(exact, 9):
        exact = Decimal("64.8")
    return f'write "{exact:f}" or {int(exact * PRICE_SCALE)}'


Price = Annotated[
    int | Decimal | str,
    Expected("a price: decimal text, a Decimal, or an int of 1e-9", _advise_price),
]
"""A price as callers write it. A float is none: it would be taken for units of 1e-9."""
Amount = Annotated[
    int | Decimal | str,
    Expected("an amount: decimal text, a Decimal, or an int of 1e-9", _advise_price),
]
"""An amount of money as callers write it. It may exceed any price."""


def check_price_unit(prices: str) -> PriceUnit:
    """The unit of that name.

    Raises:
        UsageError: there is no such unit.
    """
    for unit in PRICE_UNITS:
        if prices == unit:
            return unit
    raise UsageError(f"prices={prices!r}: expected one of {', '.join(PRICE_UNITS)}")


def price_1e9(price: Price) -> int:
    """The int64 of 1e-9 of a price: decimal text, a Decimal, or that int itself.

    Raises:
        UsageError: it does not fit exactly.
    """
    if isinstance(price, int):
        if not -(2**63) <= price < UNDEF_PRICE:
            raise UsageError(f"price {price} does not fit an int64 of 1e-9")
        return price
    return parse_price(decimal_text(price))


def decimal_text(number: Decimal | str) -> str:
    """A Decimal as digits without an exponent or trailing zeros; text stays as it is."""
    if isinstance(number, str):
        return number
    if not number.is_finite() or abs(number.adjusted()) > DIGITS_MAX:
        return str(number)
    digits = f"{number:f}"
    return digits.rstrip("0").removesuffix(".") if "." in digits else digits


def format_price(price_1e9: int) -> str | None:
    """The exact decimal text of a price, without trailing zeros: 65400000000 -> "65.4".

    UNDEF_PRICE has no text: None.
    """
    if price_1e9 == UNDEF_PRICE:
        return None
    whole, fraction = divmod(abs(price_1e9), PRICE_SCALE)
    sign = "-" if price_1e9 < 0 else ""
    digits = f"{fraction:09d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def parse_price(text: str) -> int:
    """The int64 of 1e-9 of decimal text; UsageError if the text is no price that fits exactly."""
    match = _DECIMAL.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"not a price: {text!r} (expected decimal digits, at most 9 decimals)")
    sign, whole, fraction = match.groups()
    price_1e9 = int(whole) * PRICE_SCALE + int((fraction or "").ljust(9, "0"))
    price_1e9 = -price_1e9 if sign == "-" else price_1e9
    if not -(2**63) <= price_1e9 < UNDEF_PRICE:
        raise UsageError(f"price {text!r} does not fit an int64 of 1e-9")
    return price_1e9
