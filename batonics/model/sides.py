"""The sides of an order, and the words for them."""

from __future__ import annotations

from batonics.model.errors import UsageError

_SIDES = {"buy": "B", "bid": "B", "b": "B", "sell": "A", "ask": "A", "a": "A"}
_EXPECTED = "expected buy, bid or B, or sell, ask or A"


def parse_side(text: str) -> str:
    """The letter of a side: "B" for buy, bid or B; "A" for sell, ask or A, in either case.

    Raises:
        UsageError: the text names no side.
    """
    side = _SIDES.get(text.lower())
    if side is None:
        raise UsageError(f"side {text!r}, {_EXPECTED}")
    return side
