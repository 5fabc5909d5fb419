"""A snapshot of books, folded by another engine, is the same books."""

from __future__ import annotations

import numpy as np
import pytest

from batonics.book.engine import BookEngine
from batonics.book.snapshot import snapshot_records
from batonics.book.state import Status
from batonics.model.mbo import Action, Flag
from tests.support.engine_books import engine_levels, engine_orders
from tests.support.streams import random_stream


@pytest.mark.parametrize("seed", range(5))
def test_a_snapshot_is_the_books(seed: int) -> None:
    engine, other = BookEngine(), BookEngine()
    engine.fold(random_stream(seed, 3_000, partial_modifies=False))
    records = snapshot_records(engine, 5)
    other.fold(records)
    assert engine_orders(other) == engine_orders(engine)
    assert engine_levels(other) == engine_levels(engine)
    assert other.anomalies().sum() == 0
    assert not other.events_open().any()
    status = dict(zip(engine.keys(), engine.statuses(), strict=True))
    for key, received in zip(other.keys(), other.statuses(), strict=True):
        assert received is (Status.SYNCED if status[key] is Status.SYNCED else Status.STALE)
    assert set(records.ts_recv.tolist()) == {5}
    first = np.flatnonzero(records.action == Action.CLEAR)
    last = np.flatnonzero(records.flags & Flag.LAST)
    assert len(first) == len(last) == engine.book_count
    assert (records.flags & Flag.SNAPSHOT != 0).all()


def test_priority_is_kept_across_levels() -> None:
    engine, other = BookEngine(), BookEngine()
    stream = random_stream(1, 2_000, books=1, tob_books=0, ids=400, clear_share=0, snapshot_share=0)
    engine.fold(stream)
    other.fold(snapshot_records(engine, 5))
    theirs, ours = engine.orders(), other.orders()
    ranks = [np.argsort(np.argsort(orders.priority)).tolist() for orders in (theirs, ours)]
    assert ranks[0] == ranks[1]


def test_without_books_there_is_nothing_to_tell() -> None:
    assert len(snapshot_records(BookEngine(), 5).action) == 0
