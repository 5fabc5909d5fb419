"""Names of whole columns: the same as one by one."""

from __future__ import annotations

import numpy as np
import pytest

from batonics.frames.symbols import SymbolTable
from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.model.symbols import MappingInterval, SymbolMap


@pytest.mark.parametrize("seed", range(60))
def test_a_table_says_what_its_map_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    symbol_map = SymbolMap()
    for _ in range(seed % 12):
        start, end = sorted(rng.integers(0, 20, 2).tolist())
        instrument_id, name = rng.integers(0, 4), rng.integers(0, 5)
        symbol_map.add(MappingInterval(start, end, int(instrument_id), f"S{name}"))
    ids = rng.integers(0, 6, 200).astype(np.uint32)
    times = rng.integers(0, 25, 200).astype(np.uint64)
    times[7] = UNDEF_TIMESTAMP
    expected = [symbol_map.symbol(*row) for row in zip(ids.tolist(), times.tolist(), strict=True)]
    assert SymbolTable(symbol_map).names(ids, times).to_list() == expected
