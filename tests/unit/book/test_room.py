"""Arrays that run out of room change only where the fold stops."""

from __future__ import annotations

import numpy as np
import pytest

from batonics.book.engine import BookEngine
from batonics.book.results import TopsSpec
from batonics.model.mbo import Action, Flag, MboBatch, Side, empty_batch, slice_batch
from tests.support.stream_profiles import PROFILES


def snapshots(books: int, levels: int) -> MboBatch:
    """For each book a snapshot of one order a level, the last record closing it (rule 14)."""
    rows = books * levels
    batch = empty_batch(rows)
    for column in batch:
        column[:] = 0
    number = np.arange(rows)
    batch.publisher_id[:] = 1
    batch.instrument_id[:] = number // levels
    batch.action[:], batch.side[:] = Action.ADD, Side.BID
    batch.price[:], batch.order_id[:], batch.size[:] = number % levels + 1, number + 1, 1
    batch.flags[:] = Flag.SNAPSHOT | Flag.BAD_TS_RECV
    batch.flags[levels - 1 :: levels] |= np.uint8(Flag.LAST)
    return batch


@pytest.mark.parametrize("levels", [16, 17, 65, 513, 1025, 2049, 4097])
def test_a_snapshot_may_close_with_the_record_that_finds_no_room(levels: int) -> None:
    books = 300
    engine = BookEngine()
    engine.fold(snapshots(books, levels))
    assert np.bincount(engine.levels().book, minlength=books).tolist() == [levels] * books
    assert engine.events().tolist() == [1] * books
    assert not engine.anomalies().any()


def test_rows_of_a_first_small_batch_leave_room_for_those_of_a_large_one() -> None:
    batch = PROFILES["adversarial"](3, 4_000)
    whole, cut = (BookEngine(deltas=True, tops=TopsSpec(3, trades=True)) for _ in range(2))
    expected = whole.fold(batch)
    first = cut.fold(slice_batch(batch, 0, 1))
    deltas, tops = first.deltas.copy(), first.tops.copy()
    rest = cut.fold(slice_batch(batch, 1, 4_000))
    assert len(rest.tops) > 1_000
    assert len(rest.deltas) > 1_000
    # The words before these have rows of batches.
    assert [*deltas[:, 1:].tolist(), *rest.deltas[:, 1:].tolist()] == expected.deltas[
        :, 1:
    ].tolist()
    assert [*tops[:, 4:].tolist(), *rest.tops[:, 4:].tolist()] == expected.tops[:, 4:].tolist()
