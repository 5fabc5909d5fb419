"""Functions of SQL whose value is known if their arguments are constants: 60 + 4.8 is 64.8."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
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


def fold_numbers(name: str, arguments: Sequence[Sequence[float]]) -> list[float] | None:
    """The values of a function, one for each choice of its arguments.

    Args:
        name: the function.
        arguments: the numbers that each argument may be; empty: it is no constant.

    Returns:
        The values; None: they are not known.
    """
    function = _FOLDS.get(name)
    choices = math.prod(map(len, arguments))
    if function is None or not arguments or not 1 <= choices <= NUMBERS_MAX:
        return None
    try:
        return [function(*each) for each in product(*arguments)]
    except (ArithmeticError, ValueError, TypeError):
        return None
