"""The engine on real files: against the reference, against itself, and against what is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from batonics.book.engine import BookEngine
from batonics.book.state import Anomaly, Bbo, Status
from batonics.model.mbo import UNDEF_PRICE, DayStart, Flag, MboBatch, slice_batch
from tests.support.compare_books import EnginePair
from tests.support.real_files import CLX5, DBEQ, ESH4_DAYS, FILES, SMALL, read_mbo
from tests.support.streams import DAY_START
from tests.support.trace import every, trace

FULL_EVERY = {CLX5: 50, DBEQ: 50, **dict.fromkeys(ESH4_DAYS, 1_000), **dict.fromkeys(SMALL, 1)}
"""Records between two full comparisons: they take 1 ms a book of CLX5, 40 ms one of ESH4."""
FULL_DAYS = (CLX5, DBEQ, *ESH4_DAYS)
SECOND_DAY_ROWS = 12_000
"""The first 8,725 are a snapshot."""


def folded(batch: MboBatch) -> BookEngine:
    engine = BookEngine(bbo=True)
    engine.fold(batch)
    return engine


def ladder(engine: BookEngine, side: int) -> list[list[int]]:
    """Price, size and count of a side's levels, where there is one book."""
    assert engine.book_count == 1
    levels = engine.levels()
    columns = levels.price, levels.size, levels.count
    rows: list[list[int]] = np.stack([c[levels.side == side] for c in columns], axis=1).tolist()
    return rows


def l3(engine: BookEngine) -> list[list[int]]:
    """Levels, and orders in their queues, without the number that each order's priority is."""
    return [column.tolist() for column in (*engine.levels(), *engine.orders()[:5])]


@pytest.mark.parametrize("file", FILES)
def test_the_engine_equals_the_reference(test_data: Path, file: str) -> None:
    pair = EnginePair(file, full_every=FULL_EVERY[file])
    pair.feed_in_batches(read_mbo(test_data / file), 7)


def test_two_days_are_one_stream(test_data: Path) -> None:
    pair = EnginePair("ESH4, both days", full_every=4_000)
    first, second = (read_mbo(test_data / day) for day in ESH4_DAYS)
    for batch in (first, slice_batch(second, 0, SECOND_DAY_ROWS)):
        pair.start_day()
        pair.feed_in_batches(batch, 64)


@pytest.mark.parametrize("file", FILES)
def test_batches_do_not_matter(test_data: Path, file: str) -> None:
    batch = read_mbo(test_data / file)
    unbroken = trace(batch, []).digest()
    # Of a whole day, batches of 1 and 2 take seconds; `make soak` stops CLX5 at every record.
    for batch_rows in (7, 4_096) if file in FULL_DAYS else (1, 2, 7, 64, 4_096):
        assert trace(batch, every(batch_rows, batch)).digest() == unbroken, batch_rows


# ---------------------------------------------------------------------- CLX5


@pytest.fixture(scope="module")
def clx5(test_data: Path) -> MboBatch:
    return read_mbo(test_data / CLX5)


def test_the_final_book_of_clx5_is_the_published_one(test_data: Path, clx5: MboBatch) -> None:
    engine = folded(clx5)
    known = json.loads((test_data / "clx5" / "final_book.json").read_text())
    assert ladder(engine, 0) == known["bids"]
    assert ladder(engine, 1) == known["asks"]
    assert (len(known["bids"]), len(known["asks"])) == (61, 52)
    assert len(engine.orders().order_id) == 147


def test_clx5_is_a_cold_start(clx5: MboBatch) -> None:
    engine = folded(clx5)
    assert engine.statuses() == [Status.COLD]
    counts = {a: int(n) for a, n in zip(Anomaly, engine.anomalies()[0], strict=True) if n}
    assert counts == {Anomaly.UNKNOWN_CANCEL: 1_224, Anomaly.UNKNOWN_MODIFY: 216}


def test_clx5_is_crossed_172_times(clx5: MboBatch) -> None:
    engine = BookEngine(bbo=True)
    bbo = engine.fold(clx5).bbo[clx5.flags & Flag.LAST != 0]
    bid, ask = bbo[:, Bbo.BID_PRICE], bbo[:, Bbo.ASK_PRICE]
    assert np.count_nonzero((bid != UNDEF_PRICE) & (ask != UNDEF_PRICE) & (bid > ask)) == 172
    assert len(bbo) == 38_212 - 6_159 == engine.events()[0]


# ---------------------------------------------------------------------- ESH4


def test_the_second_days_snapshot_is_the_first_days_book(test_data: Path) -> None:
    first, second = (read_mbo(test_data / day) for day in ESH4_DAYS)
    snapshot = slice_batch(second, 0, int(np.argmin(second.flags & Flag.SNAPSHOT != 0)))
    assert len(snapshot.action) == 8_725
    left, engine = folded(first), folded(first)
    engine.fold(DAY_START)
    assert engine.statuses() == [Status.COLD]
    engine.fold(snapshot)
    assert engine.statuses() == [Status.SYNCED]
    assert engine.anomalies()[0].tolist() == [
        int(anomaly is Anomaly.SNAPSHOT_REPLACED) for anomaly in Anomaly
    ]
    assert l3(engine) == l3(left)


def test_the_second_day_knows_all_its_orders(test_data: Path) -> None:
    engine = folded(read_mbo(test_data / ESH4_DAYS[1]))
    assert not engine.anomalies().any()


def test_the_second_day_does_not_need_the_first(test_data: Path) -> None:
    first, second = (read_mbo(test_data / day) for day in ESH4_DAYS)
    alone, both = folded(second), folded(first)
    both.fold(DayStart._make(second))
    assert l3(alone) == l3(both)
