"""The tables that the market draws from hold every value in its share."""

from __future__ import annotations

import numpy as np
import pytest

from batonics.sim import tables
from batonics.sim.feed_kernels import TABLE_ROWS
from batonics.sim.trader_kernels import TRADE_FILLS_MAX


def test_spread_gives_each_value_its_share() -> None:
    assert tables.spread_shares({7: 1, -2: 3}, 8).tolist() == [7, 7, -2, -2, -2, -2, -2, -2]


def test_tables_of_habits_have_the_rows_that_the_kernels_draw_from() -> None:
    for table in (tables.distances_ticks(), tables.sizes(), tables.fills()):
        assert len(table) == TABLE_ROWS
        assert table.dtype == np.int64
        assert table.min() >= 0


def test_an_aggressor_never_meets_more_orders_than_an_event_has_room_for() -> None:
    assert 1 <= tables.fills().min() < tables.fills().max() == TRADE_FILLS_MAX


@pytest.mark.parametrize("instruments", [1, 2, 5, 5_000])
@pytest.mark.parametrize("law", ["zipf", "uniform"])
def test_every_instrument_has_activity(instruments: int, law: str) -> None:
    assert np.unique(tables.activity(instruments, law)).tolist() == list(range(instruments))
