"""A table that grows with a stream says what a table of all intervals says."""

from __future__ import annotations

import numpy as np
import pytest

from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.model.symbol_intervals import GrowingTable, IntervalTable
from batonics.model.symbols import MappingInterval, SymbolMap
from batonics.model.times import NS_PER_DAY

IDS = np.arange(6, dtype=np.uint32)


@pytest.mark.parametrize("seed", range(40))
def test_it_says_what_a_table_of_all_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    symbol_map = SymbolMap()
    growing = GrowingTable(symbol_map)
    day = 0
    for _ in range(30):
        # Mostly forward, at times back.
        day = max(0, day + int(rng.choice([0, 1, 1, 2, -3])))
        for _ in range(int(rng.integers(0, 4))):
            start = NS_PER_DAY * max(0, day + int(rng.integers(-2, 4)))
            end = start + NS_PER_DAY * int(rng.choice([0, 1, 1, 3, 100]))
            end = UNDEF_TIMESTAMP if rng.random() < 0.1 else end
            start = 0 if rng.random() < 0.1 else start
            name = f"S{rng.integers(0, 4)}"
            symbol_map.add(MappingInterval(start, end, int(rng.integers(0, 5)), name))
        ids = rng.choice(IDS, 50)
        times = (NS_PER_DAY * day + rng.integers(0, NS_PER_DAY, 50)).astype(np.uint64)
        if rng.random() < 0.2:
            times[3] = 0
        table, whole = growing.at_times(times), IntervalTable(symbol_map)
        found = [table.values[at] for at in table.entries(ids, times)]
        assert found == [whole.values[at] for at in whole.entries(ids, times)]
        assert growing.at_times(times) is table


def test_its_size_does_not_grow_with_the_days() -> None:
    symbol_map = SymbolMap()
    growing = GrowingTable(symbol_map)
    for day in range(200):
        for number in range(10):
            start = NS_PER_DAY * day
            symbol_map.add(MappingInterval(start, start + NS_PER_DAY, number, f"S{day}-{number}"))
        times = np.array([NS_PER_DAY * day + 5], np.uint64)
        table = growing.at_times(times)
        assert len(table.values) <= 1 + 3 * 2 * 10
        assert table.values[table.entries(IDS[:1], times)[0]] == symbol_map.at(0, int(times[0]))
