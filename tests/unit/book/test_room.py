"""Arrays that run out of room change only where the fold stops."""

from __future__ import annotations

import numpy as np
import pytest

from batonics.book.engine import BookEngine
from batonics.model.mbo import Action, Flag, MboBatch, Side, empty_batch


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
