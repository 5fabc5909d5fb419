"""Names of instruments by date: against a plain search through all intervals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batonics.model.symbols import MappingInterval, SymbolMap, day_start_ns
from batonics.model.times import NS_PER_DAY

INTERVALS = st.lists(
    st.builds(
        lambda start, length, number, symbol: MappingInterval(
            start, start + length, number, symbol
        ),
        st.integers(0, 20),
        st.integers(0, 10),
        st.integers(1, 3),
        st.sampled_from("ABC"),
    ),
    max_size=12,
)


def map_of(intervals: list[MappingInterval]) -> SymbolMap:
    symbols = SymbolMap()
    for interval in intervals:
        symbols.add(interval)
    return symbols


def plain_symbol(intervals: list[MappingInterval], number: int, ts_ns: int) -> str | None:
    """Of those that hold, the one that starts last, and of these the one added last."""
    holding = [
        (interval.start_ns, place, interval.symbol)
        for place, interval in enumerate(intervals)
        if interval.instrument_id == number and interval.start_ns <= ts_ns < interval.end_ns
    ]
    return max(holding)[2] if holding else None


@given(INTERVALS)
def test_a_name_is_that_of_its_moment(intervals: list[MappingInterval]) -> None:
    unique = list(dict.fromkeys(intervals))
    symbols = map_of(unique)
    for number in range(1, 4):
        for ts_ns in range(32):
            assert symbols.symbol(number, ts_ns) == plain_symbol(unique, number, ts_ns)
    assert symbols.intervals() == sorted(unique)
    assert symbols.symbols() == sorted({interval.symbol for interval in unique})
    for name in "ABC":
        expected = {i.instrument_id for i in unique if i.symbol == name}
        assert symbols.instrument_ids(name) == expected


@given(INTERVALS)
def test_adding_all_of_it_again_changes_no_name(intervals: list[MappingInterval]) -> None:
    once, twice = map_of(intervals), map_of(intervals + intervals)
    for number in range(1, 4):
        for ts_ns in range(32):
            assert once.symbol(number, ts_ns) == twice.symbol(number, ts_ns)


def test_a_day_starts_at_midnight_utc() -> None:
    assert day_start_ns(19700101) == 0
    assert day_start_ns(19700102) == NS_PER_DAY
    assert day_start_ns(20240301) - day_start_ns(20240228) == 2 * NS_PER_DAY


@pytest.mark.parametrize("number", [0, 20250230, 20251301, 99_999_999, 1])
def test_what_is_no_day_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        day_start_ns(number)
