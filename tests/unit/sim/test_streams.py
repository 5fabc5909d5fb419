"""The benchmarks' streams are legal ones: a tile starts from nothing and repeats the day."""

from __future__ import annotations

import numpy as np
import pytest

from batonics.model.mbo import (
    UNDEF_PRICE,
    Flag,
    MboBatch,
    empty_batch,
    records_from_batch,
    slice_batch,
)
from batonics.sim.market import Market
from tests.support.market_streams import simulated, tile
from tests.support.reference_market import events, reference_market_books, stream

TILES = 4


@pytest.fixture(scope="module")
def day() -> MboBatch:
    return stream(Market(3, 2, target_live_orders=60), 5_000)


def test_every_tile_ends_with_the_book_of_the_day(day: MboBatch) -> None:
    tiled = tile(day, TILES)
    rows = len(day.action)
    assert len(tiled.action) == TILES * (rows + 2) - 2
    id_shift = int(day.order_id.max() - day.order_id[day.order_id > 0].min()) + 1
    expected = {key: book.book() for key, book in reference_market_books(day).items()}
    for number in range(TILES):
        books = reference_market_books(slice_batch(tiled, 0, (number + 1) * (rows + 2) - 2))
        for instrument_id, book in books.items():
            unshifted = {
                side: [
                    (price, size, [(i - number * id_shift, lots) for i, lots in queue])
                    for price, size, queue in levels
                ]
                for side, levels in book.book().items()
            }
            assert unshifted == expected[instrument_id]


def test_between_tiles_each_book_is_cleared(day: MboBatch) -> None:
    tiled = tile(day, TILES)
    rows = len(day.action)
    for number in range(1, TILES):
        seam = slice_batch(tiled, number * (rows + 2) - 2, number * (rows + 2))
        assert seam.action.tobytes() == b"RR"
        assert sorted(seam.instrument_id) == sorted(np.unique(day.instrument_id))
        assert set(seam.order_id) == {0}
        assert set(seam.price) == {UNDEF_PRICE}
        assert set(seam.flags) == {Flag.LAST}


def test_no_order_id_recurs_in_another_tile_and_time_runs_on(day: MboBatch) -> None:
    tiled = tile(day, TILES)
    added = tiled.order_id[tiled.action == ord("A")]
    assert len(np.unique(added)) == TILES * len(np.unique(day.order_id[day.action == ord("A")]))
    assert not np.any(np.diff(tiled.ts_recv.astype(np.int64)) < 0)
    latency_ns = day.ts_recv - day.ts_event
    assert (tiled.ts_recv - tiled.ts_event)[-len(latency_ns) :].tolist() == latency_ns.tolist()


def test_one_tile_is_the_day_itself(day: MboBatch) -> None:
    assert records_from_batch(tile(day, 1)).tobytes() == records_from_batch(day).tobytes()


def test_what_cannot_be_tiled_is_refused(day: MboBatch) -> None:
    with pytest.raises(ValueError, match="times is 0"):
        tile(day, 0)
    with pytest.raises(ValueError, match="empty batch"):
        tile(empty_batch(0), 2)


def test_a_simulated_stream_is_opening_snapshots_and_then_live_events() -> None:
    opening, live = simulated(10, 500, 3_000, 1)
    assert [event.action[0] for event in events(opening)] == [ord("R")] * 10
    assert len(opening.action) == 10 + 500
    assert 3_000 <= len(live.action) < 3_100
    assert not np.any(live.flags & Flag.SNAPSHOT)
