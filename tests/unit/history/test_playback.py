"""A playback shows each event of its books; after any of them the books are those of a fold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from batonics.book.engine import BookEngine
from batonics.book.order_search import find_orders, find_queues, has_only_orders
from batonics.book.snapshot import copy_book
from batonics.frames.scan.trading_statuses import TradingStatuses
from batonics.history import book_history
from batonics.history.book_history import FileHistory, HistoryFacts, Moment
from batonics.history.playback import Playback
from batonics.history.playback_clock import PlaybackClock
from batonics.model.errors import UsageError
from batonics.model.mbo import record_keys, slice_batch, take_batch
from batonics.sources.stream import MboStream
from tests.support.paths import ROOT

SAMPLE = ROOT / "data" / "sample.dbn.zst"
KEY = 1 << 32 | 100003


def build(paths: list[Path], directory: Path, monkeypatch: pytest.MonkeyPatch) -> FileHistory:
    monkeypatch.setattr(book_history, "CHECKPOINT_DISTANCE", 5_000)
    stream = MboStream(paths)
    facts = HistoryFacts(lambda: stream.symbols, TradingStatuses(stream.statuses), None)
    history = FileHistory(directory, facts)
    history.build(stream.batches())
    return history


def book_of(engine: BookEngine, book: int) -> tuple[list[object], ...]:
    """All of a book but the values of its priorities."""
    levels, orders = engine.levels(book), engine.orders(book)
    columns = (levels.side, levels.price, levels.size, levels.count)
    queues = (orders.side, orders.price, orders.order_id, orders.size)
    facts = (engine.status_numbers()[book], engine.events()[book])
    return (
        *(column.tolist() for column in (*columns, *queues, engine.last_seen()[book])),
        engine.anomalies()[book].tolist(),
        [int(fact) for fact in facts],
    )


def check_books(playback: Playback, history: FileHistory, keys: list[int]) -> None:
    for key in keys:
        cursor = playback.cursor(key)
        books = history.at(Moment(record=cursor.record), key)
        book = books.engine.keys().index((key >> 32, key & 0xFFFFFFFF))
        assert book_of(cursor.engine, 0) == book_of(books.engine, book)


def test_the_books_are_those_of_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = build([SAMPLE], tmp_path, monkeypatch)
    books = history.at().engine.keys()
    keys = [publisher_id << 32 | instrument_id for publisher_id, instrument_id in books[:2]]
    playback = Playback(history)
    playback.seek(Moment(record=30_000), 0.0)
    playback.follow(keys)
    check_books(playback, history, keys)
    playback.cursor(keys[0]).has_events = True
    playback.clock.play(0.0, 1000.0)
    records, now_s = [], 0.0
    for _ in range(50):
        now_s += 0.001
        for event in playback.advance(now_s, 200):
            if event.key == keys[0]:
                records.append(event.record)
            assert event.record == playback.cursor(event.key).record
        check_books(playback, history, keys)
    # No event is missing: they are the ends that the records have.
    expected, first = [], 0
    for batch in history.records.read(0, playback.place):
        ends = np.flatnonzero((record_keys(batch) == keys[0]) & (batch.flags & 128 != 0))
        expected += (first + ends).tolist()
        first += len(batch.action)
    assert records == [record for record in expected if record > 30_000]


def test_a_day_starts_cold(
    test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records around the start of the second day, one step at a time."""
    history = build(sorted((test_data / "esh4").glob("*.mbo.dbn.zst")), tmp_path, monkeypatch)
    ((publisher_id, instrument_id),) = history.at().engine.keys()
    key = publisher_id << 32 | instrument_id
    playback = Playback(history)
    playback.follow([key])
    playback.cursor(key).has_events = True
    statuses = []
    for _ in range(20):
        engine = playback.cursor(key).engine
        statuses += [engine.statuses()[0].name for _ in playback.step(1, 0.0)]
        check_books(playback, history, [key])
    assert statuses[:3] == ["SYNCED", "COLD", "SYNCED"]  # a snapshot, the day, its snapshot
    playback.step_back(3, 0.0)
    check_books(playback, history, [key])
    with pytest.raises(UsageError, match="fewer than"):
        playback.step_back(200, 0.0)


def test_a_copied_book_goes_on_as_it_would() -> None:
    """At many places of the sample, of books with open snapshots and without."""
    batch = next(MboStream([SAMPLE]).batches())
    engine = BookEngine()
    engine.backwards_ns_max = None
    start = 0
    for stop in np.random.default_rng(2).integers(1, len(batch.action), 6).tolist():
        if stop <= start:
            continue
        engine.fold(slice_batch(batch, start, stop))
        start = stop
        copies = {key: copy_book(engine, book) for book, key in enumerate(engine.keys())}
        later = slice_batch(batch, stop, min(stop + 2_000, len(batch.action)))
        whole = BookEngine()
        whole.backwards_ns_max = None
        whole.fold(slice_batch(batch, 0, min(stop + 2_000, len(batch.action))))
        for book, key in enumerate(whole.keys()):
            if key not in copies:
                continue
            rows = record_keys(later) == (key[0] << 32 | key[1])
            copies[key].fold(take_batch(later, rows))
            assert book_of(copies[key], 0) == book_of(whole, book)


def test_orders_are_found_without_a_sort() -> None:
    engine = BookEngine()
    batch = next(MboStream([SAMPLE]).batches())
    engine.fold(take_batch(batch, record_keys(batch) == KEY))
    orders, levels = engine.orders(0), engine.levels(0)
    some = orders.order_id[::3]
    found = find_orders(engine, [*some.tolist(), 1])
    assert list(found) == some.tolist()
    for at in range(0, len(some) * 3, 3):
        order = found[int(orders.order_id[at])]
        assert order == (orders.side[at], orders.price[at], orders.size[at], orders.priority[at])
    assert has_only_orders(engine)
    for side, rows in enumerate(find_queues(engine, *engine.best_levels(0, 3))):
        is_best = np.isin(orders.price, levels.price[levels.side == side][:3])
        mine = (orders.side == side) & is_best
        ids = [order_id for _, queue in rows for order_id, _ in queue]
        assert ids == orders.order_id[mine].tolist()
        assert [len(queue) for _, queue in rows] == levels.count[levels.side == side][:3].tolist()


def test_a_clock_that_waits_says_for_how_long() -> None:
    clock = PlaybackClock(1_000)
    assert (clock.time_ns(5.0), clock.delay_s(2_000_001_000, 5.0)) == (1_000, 2.0)
    clock.play(5.0, 10.0)
    assert clock.time_ns(5.5) == 5_000_001_000
    assert clock.delay_s(7_000_001_000, 5.5) == pytest.approx(0.2)
    clock.wait_at(2_000_001_000, 5.5)
    assert clock.late_s == pytest.approx(0.3)
    assert clock.time_ns(5.6) == pytest.approx(3_000_001_000, abs=10)
    clock.set_speed(1.0, 5.6)
    clock.stop(clock.time_ns(6.6))
    assert clock.time_ns(100.0) == pytest.approx(4_000_001_000, abs=10)
