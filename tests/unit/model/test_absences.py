"""Absences: times for which the records of an instrument are missing."""

from __future__ import annotations

import pytest

from batonics.model.absences import Absence, AbsenceFinder
from batonics.model.symbols import MappingInterval, SymbolMap

ROLLS_BACK = [(0, 10, 3, "X.v.0"), (10, 20, 4, "X.v.0"), (20, 30, 3, "X.v.0")]


def absences(intervals: list[tuple[int, int, int, str]], *names: str) -> list[Absence]:
    """The absences, found all at once; they are the same if found after each interval."""
    symbols, growing = SymbolMap(), SymbolMap()
    for interval in intervals:
        symbols.add(MappingInterval(*interval))
    found = sorted(AbsenceFinder(names).find(symbols).intervals())
    by_turns = AbsenceFinder(names)
    for interval in sorted(intervals):
        growing.add(MappingInterval(*interval))
        by_turns.find(growing)
    assert sorted(by_turns.find(growing).intervals()) == found
    return found


@pytest.mark.parametrize("names", [(), ("X.v.0",), ("X.v.0", "Y")])
def test_a_symbol_that_rolls_back_leaves_an_absence(names: tuple[str, ...]) -> None:
    others = [(0, 30, 7, "Y")]
    assert absences([*ROLLS_BACK, *others], *names) == [(10, 20, 3, "X.v.0")]


@pytest.mark.parametrize(
    ("intervals", "names"),
    [
        (ROLLS_BACK[:2], ()),  # it does not roll back
        (ROLLS_BACK, ("4",)),  # it is not read
        (ROLLS_BACK, ("X.v.0", "3")),  # the instrument is read whatever its symbol is
        ([(0, 10, 3, "AAA"), (20, 30, 3, "AAA")], ()),  # a weekend
        ([*ROLLS_BACK, (10, 20, 3, "X.v.1")], ()),  # another symbol has its records
        ([(0, 10, 3, "A"), (0, 10, 4, "A"), (10, 20, 3, "A"), (10, 20, 4, "A")], ()),
    ],
)
def test_other_times_without_a_symbol_are_none(
    intervals: list[tuple[int, int, int, str]], names: tuple[str, ...]
) -> None:
    assert absences(intervals, *names) == []


def test_another_symbol_that_is_read_shortens_an_absence() -> None:
    both = [*ROLLS_BACK, (12, 15, 3, "X.v.1")]
    assert absences(both) == [(10, 12, 3, "X.v.0"), (15, 20, 3, "X.v.0")]
    assert absences(both, "X.v.0") == [(10, 20, 3, "X.v.0")]
