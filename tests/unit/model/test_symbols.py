"""Names of instruments by date: against a plain search through all intervals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batonics.model.symbols import (
    ALL_SYMBOLS,
    OPEN_END_NS,
    MappingInterval,
    SymbolMap,
    day_start_ns,
    selected_names,
    suggest_symbols,
)
from batonics.model.times import NS_PER_DAY


def in_order(intervals: list[MappingInterval]) -> list[MappingInterval]:
    """The intervals; those without an end begin one after the other, as in a stream."""
    return [
        interval._replace(start_ns=2 * place) if interval.end_ns == OPEN_END_NS else interval
        for place, interval in enumerate(intervals)
    ]


INTERVALS = st.lists(
    st.builds(
        lambda start, length, number, symbol: MappingInterval(
            start, start + length if length < 10 else OPEN_END_NS, number, symbol
        ),
        st.integers(0, 20),
        st.integers(0, 12),
        st.integers(1, 3),
        st.sampled_from("ABC"),
    ),
    max_size=12,
).map(in_order)


def map_of(intervals: list[MappingInterval]) -> SymbolMap:
    symbols = SymbolMap()
    for interval in intervals:
        symbols.add(interval)
    return symbols


def normalized(intervals: list[MappingInterval]) -> list[MappingInterval]:
    """Each once; of those without an end, the first of an instrument begins with time.

    One that says the symbol of the one before it is left out.
    """
    live: dict[int, str] = {}
    found = []
    for interval in intervals:
        if interval.end_ns == OPEN_END_NS:
            before = live.get(interval.instrument_id)
            live[interval.instrument_id] = interval.symbol
            if before == interval.symbol:
                continue
            found.append(interval if before else interval._replace(start_ns=0))
            continue
        found.append(interval)
    return list(dict.fromkeys(found))


def plain_symbols(intervals: list[MappingInterval], number: int, ts_ns: int) -> list[str]:
    """Of those that hold, the one that starts last first, and of equal starts the one added last.

    Those without an end hold where none with an end does, and only the last of them.
    """
    holding = sorted(
        (interval.end_ns != OPEN_END_NS, interval.start_ns, place, interval.symbol)
        for place, interval in enumerate(intervals)
        if interval.instrument_id == number and interval.start_ns <= ts_ns < interval.end_ns
    )
    dated = [symbol for is_dated, *_, symbol in reversed(holding) if is_dated]
    return dated or [symbol for *_, symbol in holding[-1:]]


def plain_symbol(intervals: list[MappingInterval], number: int, ts_ns: int) -> str | None:
    return next(iter(plain_symbols(intervals, number, ts_ns)), None)


@given(INTERVALS)
def test_a_name_is_that_of_its_moment(intervals: list[MappingInterval]) -> None:
    symbols, unique = map_of(intervals), normalized(intervals)
    for number in range(1, 4):
        for ts_ns in range(32):
            assert symbols.symbol(number, ts_ns) == plain_symbol(unique, number, ts_ns)
        of_number = [i for i in unique if i.instrument_id == number]
        assert symbols.intervals_of(number) == sorted(of_number, key=lambda i: i.start_ns)
        assert symbols.copy().intervals_of(number) == symbols.intervals_of(number)
    assert sorted(symbols.intervals()) == sorted(unique)
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


@given(INTERVALS)
def test_a_selected_name_holds_while_it_is_one_of_its_instruments(
    intervals: list[MappingInterval],
) -> None:
    symbols, unique = map_of(intervals), normalized(intervals)
    for names in (["A"], ["A", "C"], ["B", "2"]):
        spans, selected = symbols.find_spans(names), symbols.select(names)
        for number in range(1, 4):
            for ts_ns in range(34):
                holding = plain_symbols(unique, number, ts_ns)
                assert [i.symbol for i in symbols.holding(number, ts_ns)] == holding
                is_selected = any(name in holding for name in names) or str(number) in names
                assert (spans.at(number, ts_ns) is not None) == is_selected
                symbol = selected.symbol(number, ts_ns)
                if str(number) not in names:
                    assert (symbol is not None) == is_selected
                    assert symbol is None or symbol in {*names} & {*holding}


def test_of_two_names_of_one_id_each_can_be_selected() -> None:
    both = [MappingInterval(0, 9, 5, name) for name in ("CL.c.0", "CL.v.0")]
    symbols = map_of(both)
    for interval in both:
        assert symbols.spans(interval.symbol) == [interval]
        assert symbols.select([interval.symbol]).symbol(5, 3) == interval.symbol
    assert symbols.symbol(5, 3) == "CL.v.0"


def test_a_selection_of_all_symbols_has_no_names() -> None:
    assert selected_names(["CLX5", ALL_SYMBOLS]) == ()
    assert selected_names(["CLX5"]) == ("CLX5",)


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("CL", ["CL.FUT", "ES.FUT"], "did you mean CL.FUT?"),
        ("CL", ["CL.c.0", "NG.c.0"], "did you mean CL.c.0?"),
        ("CLX5", ["CL.c.0", "NG.c.0"], "did you mean CL.c.0?"),
        ("CL.c.1", ["CL.FUT", "XX"], "did you mean CL.FUT?"),
        ("CL.FUT", ["CLX5", "CLZ5", "ESZ5"], "did you mean CLX5, CLZ5?"),
        ("clx5", ["AAA", "CLX5"], "did you mean CLX5?"),
        ("CLX6", ["CLX5", "QQQ"], "did you mean CLX5?"),
        ("Q", ["AA", "BB"], "it has AA, BB"),
        # However many there are, an error is one line of a terminal.
        (
            "Q",
            [f"A{n:04}" for n in range(5_000)],
            "it has A0000, A0001, A0002, A0003, A0004, A0005, A0006, A0007 and 4,992 more",
        ),
        ("Q", [], "it has no symbols"),
    ],
)
def test_an_unknown_name_is_answered_with_names_of_its_product(
    name: str, known: list[str], hint: str
) -> None:
    assert suggest_symbols(name, known) == hint
