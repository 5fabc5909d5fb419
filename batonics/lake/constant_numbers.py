"""The constant numbers that expressions of a query are.

An expression may be one of several numbers: `CASE WHEN ... THEN 1 ELSE 2 END` is 1 or 2.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product

NUMBERS_MAX = 64
"""Constant numbers that an expression is followed with; of more it is not known what they are."""

_FOLDS: Mapping[str, Callable[..., float]] = {
    "+": lambda *values: sum(values),
    "-": lambda *values: values[0] - values[1] if len(values) > 1 else -values[0],
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": math.fmod,
    "mod": math.fmod,
    "pow": math.pow,
    "power": math.pow,
    "**": math.pow,
    "^": math.pow,
    "abs": abs,
    "round": lambda value, decimals=0: round(value, int(decimals)),
    "floor": math.floor,
    "ceil": math.ceil,
    "ceiling": math.ceil,
    "trunc": math.trunc,
    "least": lambda *values: min(values),
    "greatest": lambda *values: max(values),
}
"""Functions whose value is known if their arguments are."""


def fold_numbers(name: str, arguments: Sequence[Sequence[float]]) -> list[float]:
    """The numbers that a function of constants may be; empty: they are not known.

    Args:
        name: the function.
        arguments: the numbers that each argument may be.
    """
    function = _FOLDS.get(name)
    choices = math.prod(map(len, arguments))
    if function is None or not arguments or not 1 <= choices <= NUMBERS_MAX:
        return []
    try:
        return [function(*each) for each in product(*arguments)]
    except (ArithmeticError, ValueError, TypeError):
        return []


def round_numbers(numbers: Iterable[float]) -> tuple[float, ...]:
    """Each number once, as 15 decimal digits."""
    # 60 + 4.8 is 64.8, not the nearest sum of two binary fractions.
    return tuple(dict.fromkeys(float(f"{number:.15g}") for number in numbers))


def parse_number(text: str) -> tuple[float, ...]:
    """The number that a text is; empty: it is none."""
    try:
        number = float(text)
    except ValueError:
        return ()
    return (number,) if math.isfinite(number) and number else ()
