"""Names of whole columns: the same as one by one."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from batonics.frames import namespace  # noqa: F401 - `.mbo`
from batonics.frames.scan.mbo_scan import scan_batches
from batonics.frames.scan.symbols import SymbolTable, add_symbols
from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.model.symbols import MappingInterval, SymbolMap
from tests.support.streams import random_stream


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
    table = SymbolTable(symbol_map)
    assert table.find_symbols(ids, times).to_list() == expected
    for at in range(len(ids)):
        # Rows of one instrument, between two edges or not.
        alike, near = ids[at : at + 1].repeat(3), times[at] + np.array([0, 2, 1], np.uint64)
        each = [symbol_map.symbol(int(ids[at]), int(ts)) for ts in near]
        assert table.find_symbols(alike, near).to_list() == each


def test_rows_of_any_frame_get_their_names() -> None:
    names = SymbolMap()
    names.add(MappingInterval(0, UNDEF_TIMESTAMP, 100, "AAA"))
    batch = random_stream(7, 500)
    rows = scan_batches(lambda: iter([batch]))
    for frame in (rows, rows.mbo.bbo(), rows.mbo.orders(), rows.mbo.depth(1, every="1s")):  # type: ignore[attr-defined]
        found = add_symbols(frame, names).collect()
        assert found.drop("symbol").equals(frame.collect())
        expected = pl.Series(["AAA" if i == 100 else None for i in found["instrument_id"]])
        assert found["symbol"].equals(expected.cast(pl.String).alias("symbol"))
        only = add_symbols(frame, names).filter(pl.col("symbol") == "AAA").select("publisher_id")
        assert only.collect().height == found["symbol"].count()
    with pytest.raises(UsageError, match="a column symbol already"):
        add_symbols(add_symbols(rows, names), names)
    with pytest.raises(UsageError, match="column noon is missing"):
        add_symbols(rows, names, time="noon")
