"""Notes on results whose prices may have another unit than the query means.

The rule here: a number beside a price means the unit of the prices. A number that is no price in
that unit, such as 64.8 beside integers of 1e-9, gets a note, whoever chose the unit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal

import duckdb

from batonics.lake.derivations import PriceNumber, Scale
from batonics.lake.query_file import QueryFile
from batonics.lake.sql_tokens import without_tokens
from batonics.model.prices import PriceUnit

UNIT_NOTE = (
    "prices are integers of 1e-9 in this query, since its rows depend on their unit:"
    " --prices decimal makes 64.82 of 64820000000, --prices fixed confirms the integers"
)
_NUMBER = re.compile(
    r"(?<![\w.$])(?<!\blimit )(?<!\boffset )(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?\b", re.IGNORECASE
)
"""A number in a statement; one of LIMIT or OFFSET is never beside a price."""

_SMALL = 1_000_000
"""Integers of 1e-9 below this are prices, or differences of prices, below 0.001."""
_WHOLE = 1_000_000_000
"""A fraction of more than this may be a mid in units of 1e-9; no price in whole units is larger."""


def number_note(numbers: Sequence[PriceNumber], unit: PriceUnit, *, has_header: bool) -> str:
    """The note on numbers beside prices that are no prices in a unit; empty if there are none.

    Args:
        numbers: the numbers that the query sets beside prices.
        unit: the unit in which it computes.
        has_header: it computes in this unit whatever unit is asked for. Its author knows that, so
            only fractions are wrong, except half a unit, which a mid may have.
    """
    wrong = [number for number in numbers if _is_of_another_unit(number, unit)]
    if not wrong and not has_header and any(math.isnan(beside.number) for beside in numbers):
        return (
            f"prices are {_describe_unit(unit)} in this query, and beside them is what"
            " a function makes of constants: it has to be in that unit too"
        )
    if has_header:
        wrong = [beside for beside in wrong if beside.number % 1 and abs(beside.number) != 0.5]
    if not wrong:
        return ""
    number = Decimal(repr(wrong[0].number))
    if wrong[0].beside is Scale.UNKNOWN:
        return (
            f"prices are integers of 1e-9 in this query, and {_plain(number)} is beside what a"
            " function makes of them: write a number for such prices, or ask for --prices decimal"
            " (in Python prices='decimal')"
        )
    if unit != "fixed":
        return (
            f"prices are in whole units in this query, and {_plain(number)} beside them means that"
            f" too: write {_plain(number / 10**9)}, or ask for --prices fixed (in Python"
            " prices='fixed')"
        )
    other = (
        "give it as a parameter of the type PRICE"
        if has_header
        else "ask for --prices decimal (in Python prices='decimal')"
    )
    return (
        f"prices are integers of 1e-9 in this query, and {_plain(number)} beside them means"
        f" {_plain(number / 10**9)}: write {_plain(number * 10**9)}, or {other}"
    )


def unfollowed_note(sql: str, parameters: Iterable[object], unit: PriceUnit) -> str:
    """The note on a query that `lineage` cannot follow; empty: it has no number to set beside one.

    Args:
        sql: the statement.
        parameters: the values of its parameters.
        unit: the unit in which it computes.
    """
    given = [number for number in parameters if isinstance(number, int | float | Decimal)]
    numbers = [*map(float, [*_NUMBER.findall(without_tokens(sql)), *given])]
    wrong = [n for n in numbers if _is_of_another_unit(PriceNumber(n, Scale.PRICE), unit)]
    if not wrong:
        return ""
    return (
        f"prices are {_describe_unit(unit)} in this query, and it cannot be told what is beside"
        f" them: a number such as {_plain(Decimal(repr(wrong[0])))} has to be in that unit there"
    )


def _describe_unit(unit: PriceUnit) -> str:
    return "integers of 1e-9" if unit == "fixed" else "in whole units"


def _is_of_another_unit(beside: PriceNumber, unit: PriceUnit) -> bool:
    size = abs(beside.number)
    if unit != "fixed":
        return beside.beside is Scale.PRICE and size >= _WHOLE
    return 0 < size < _SMALL or (size < _WHOLE and size != int(size))


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def undeclared_note(relation: duckdb.DuckDBPyRelation, header: QueryFile) -> str:
    """The note on numbers of a result whose unit the header does not say."""
    declared = {column.name for column in header.columns}
    numbers = [
        name
        for name, dtype in zip(relation.columns, relation.types, strict=True)
        if name not in declared and str(dtype).startswith(("BIGINT", "HUGEINT", "DOUBLE"))
    ]
    if not numbers:
        return ""
    return (
        f"the header of {header.name} does not say whether {', '.join(numbers)} are prices: they"
        " are as the query computes them, with prices as integers of 1e-9"
    )
