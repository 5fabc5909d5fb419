"""The checksum of kept queues is that of the queues that the engine has, after each event."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from batonics.book import kept_queues
from batonics.book.engine import BookEngine
from batonics.book.kept_queues import KeptQueues
from batonics.book.order_search import find_orders, find_queues
from batonics.model.book_checksum import queues_checksum
from batonics.model.mbo import MboBatch, concat_batches, record_keys, slice_batch, take_batch
from batonics.sources.stream import MboStream
from tests.support.paths import ROOT

KEY = 1 << 32 | 100003


def sample_rows() -> MboBatch:
    batches = MboStream([ROOT / "data" / "sample.dbn.zst"]).batches()
    return concat_batches([take_batch(one, record_keys(one) == KEY) for one in batches])


@pytest.fixture
def read_queues(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often queues were read from the engine."""
    reads = []

    def read(*arguments: object) -> object:
        reads.append(arguments)
        return find_queues(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(kept_queues, "find_queues", read)
    return lambda: len(reads)


def test_the_checksum_follows_each_event(read_queues: Callable[[], int]) -> None:
    """Record by record, of one book alone and of one among others; few read all orders."""
    rows = sample_rows()
    first, last = 2_000, 2_600
    others = rows.instrument_id.copy()
    others[:] = 7
    for engines, book in ((BookEngine(), 0), (BookEngine(), 1)):
        if book:
            engines.fold(rows._replace(instrument_id=others))
        engines.fold(slice_batch(rows, 0, first))
        queues = KeptQueues(engines, book)
        before_reads = read_queues()
        for row in range(first, last):
            one = slice_batch(rows, row, row + 1)
            ids = [int(one.order_id[0])]
            before = find_orders(engines, ids, book)
            engines.fold(one)
            queues.change(before, find_orders(engines, ids, book))
            best = engines.best_levels(book, 10)
            expected = queues_checksum(*find_queues(engines, *best, book))
            assert queues.checksum(*best) == expected
        assert read_queues() - before_reads < 20


def test_best_levels_are_those_of_all_levels() -> None:
    engine = BookEngine()
    engine.fold(sample_rows())
    levels = engine.levels(0)
    for depth in (1, 10, None):
        for side, found in enumerate(engine.best_levels(0, depth)):
            mine = np.flatnonzero(levels.side == side)[:depth]
            columns = (levels.price, levels.size, levels.count)
            assert found == list(zip(*(column[mine].tolist() for column in columns), strict=True))
