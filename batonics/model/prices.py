"""Prices as int64 of 1e-9 and as exact decimal text. No float is involved (rule 20)."""

from __future__ import annotations

import re

from batonics.model.errors import UsageError
from batonics.model.mbo import PRICE_SCALE, UNDEF_PRICE

_DECIMAL = re.compile(r"([+-]?)(\d+)(?:\.(\d{1,9}))?")


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
