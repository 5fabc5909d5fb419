"""What a value of a query derives from: a time in UTC, a power of the unit of prices, constants.

The rule here: what is not known is no time in UTC, and if it comes from prices, it may be one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import IntEnum, auto
from typing import Any, NamedTuple

from batonics.lake.constant_numbers import NUMBERS_MAX, parse_number, round_numbers

Node = Mapping[str, Any]
"""An object of the plan's JSON."""

_FACTORS_MAX = 1_000_000
_SHARES = (0.25, 0.5)


class Scale(IntEnum):
    """What a number of the unit of prices is, the best known first."""

    NONE = auto()
    """It is not in this unit."""
    PRICE = auto()
    """It is one of prices, or their mean or difference."""
    AMOUNT = auto()
    """It is computed from prices in another way: it may be a sum, or have sizes as factors."""

    UNKNOWN = auto()
    """It comes from prices by a function that is not known here."""


class PriceNumber(NamedTuple):
    """A number that a query sets beside a price: it adds or compares them, or chooses one.

    Attributes:
        number: the number; NaN: one that is computed from constants in a way that is not followed.
        beside: what is beside it: a price, an amount of money, or what nobody knows of prices.
    """

    number: float
    beside: Scale


class Derivation(NamedTuple):
    """What a column or an expression derives from.

    Attributes:
        degree: its power of the unit of prices; None: any, as of null and of 0.
        is_instant: it is a time in UTC.
        numbers: the numbers that it, or an element of it, may be; empty: it is no constant.
        scale: whether its number is in the unit of prices.
        fields: what the values of a row derive from, as of `(price, size)`; empty: it is no row.
        is_opaque: it is a constant number, or numbers, of which it is not known which.
    """

    degree: float | None = 0
    is_instant: bool = False
    numbers: tuple[float, ...] = ()
    scale: Scale = Scale.NONE
    fields: tuple[Derivation, ...] = ()
    is_opaque: bool = False

    @property
    def is_constant(self) -> bool:
        """Whether it derives from constants alone."""
        return bool(self.numbers) or self.degree is None or self.is_opaque


class UnknownPlanError(Exception):
    """The plan has something that `lineage` does not know."""


def number_derivation(numbers: Iterable[float]) -> Derivation:
    """One of some constant numbers."""
    known = round_numbers(numbers)
    return Derivation(0 if any(known) else None, numbers=known)


def join_numbers(values: Sequence[Derivation]) -> tuple[float, ...]:
    """The numbers that one of several values may be; empty: one of them is no constant number."""
    # Null is no number, but none beside the others either.
    if not all(value.numbers or value.degree is None for value in values):
        return ()
    numbers = tuple(dict.fromkeys(number for value in values for number in value.numbers))
    return numbers if len(numbers) <= NUMBERS_MAX else ()


def extract_field(call: Node, fields: Sequence[Derivation]) -> Derivation:
    """A field of a row, by its name or its place from 1 on.

    Args:
        call: the call of the function that extracts it.
        fields: what the fields of the row derive from.

    Raises:
        UnknownPlanError: it is not known which field it is.
    """
    key = call["children"][1]
    while key["type"] == "OPERATOR_CAST":
        key = key["children"][0]
    value = key.get("value", {}).get("value")
    if isinstance(value, str):
        names = [child["first"] for child in call["arguments"][0]["type_info"]["child_types"]]
        value = [name.lower() for name in ("", *names)].index(value.lower())
    if not isinstance(value, int):
        raise UnknownPlanError(call["type"])
    return fields[value - 1]


def one_scale(scales: Collection[Scale]) -> Scale:
    """The scale of one of several values of these scales."""
    return max(scales, default=Scale.NONE)


def as_amount(scale: Scale) -> Scale:
    """The scale of a sum of numbers of a scale."""
    return Scale.NONE if scale is Scale.NONE else max(scale, Scale.AMOUNT)


def product_scale(left: Derivation, right: Derivation) -> Scale:
    """The scale of a product or a quotient."""
    scale = one_scale({left.scale, right.scale} - {Scale.NONE})
    numbers = [*left.numbers, *right.numbers]
    if not numbers:
        return as_amount(scale)
    return scale if all(map(is_plain, numbers)) else Scale.NONE


def derive_constant(value: Node, dtype: Node | None = None) -> Derivation:
    """What a constant derives from; `dtype` is its type if the constant is an element of a list."""
    if value.get("is_null"):
        return Derivation(None)
    dtype = value.get("type") or dtype or {}
    number = value["value"]
    if isinstance(number, str):  # DuckDB casts a text beside a price to a number
        return Derivation(numbers=parse_number(number))
    if isinstance(number, dict) and dtype.get("id") in {"LIST", "ARRAY"}:
        element = (dtype.get("type_info") or {}).get("child_type")
        found = [derive_constant(child, element) for child in number.get("children") or ()]
        return Derivation(numbers=join_numbers(found))
    if isinstance(number, dict) and dtype.get("id") in {"STRUCT", "TUPLE"}:
        types = (child["second"] for child in dtype["type_info"]["child_types"])
        pairs = zip(number["children"], types, strict=True)
        return Derivation(
            fields=tuple(derive_constant(child, child_type) for child, child_type in pairs)
        )
    if isinstance(number, bool) or not isinstance(number, int | float):
        return Derivation()
    if dtype.get("id") == "DECIMAL":
        number /= 10 ** dtype["type_info"]["scale"]
    return Derivation(0 if number else None, numbers=(number,))


def is_plain(factor: float) -> bool:
    """Whether a factor is a count or a share, which means the same in any unit."""
    return abs(factor) in _SHARES or (abs(factor) < _FACTORS_MAX and factor == int(factor))
