"""A history that grows has the books of the records, now and at any moment that is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batonics.book.engine import BookEngine
from batonics.book.snapshot import copy_book
from batonics.book.state import Anomaly
from batonics.frames.scan.trading_statuses import TradingStatuses
from batonics.history import growing_history
from batonics.history.book_history import HistoryFacts, Moment
from batonics.history.growing_history import GrowingHistory
from batonics.history.playback import Playback
from batonics.model.book_changes import BookChanges
from batonics.model.errors import UsageError
from batonics.model.mbo import (
    MBO_DTYPE,
    Action,
    Flag,
    batch_from_records,
    concat_batches,
    copy_batch,
    record_keys,
    records_from_batch,
)
from batonics.model.symbols import SymbolMap
from batonics.sinks.book_json import book_documents
from batonics.sources.stream import MboStream
from tests.support.command import SAMPLE
from tests.support.histories import build_history


@pytest.fixture(scope="module")
def records() -> np.ndarray:
    """The sample's records."""
    return records_from_batch(
        concat_batches([copy_batch(batch) for batch in MboStream([SAMPLE]).batches()])
    )


class Feed:
    """The state of a feed, as the server has it."""

    is_live = True

    def state(self) -> tuple[str, bool]:
        """The name of the state, and whether books have the status of their records."""
        return ("live" if self.is_live else "lost"), self.is_live


def begin(
    directory: Path, feed: Feed, engine: BookEngine | None = None, first: int = 0
) -> GrowingHistory:
    """A growing history of a few thousand records."""
    directory.mkdir()
    facts = HistoryFacts(SymbolMap, TradingStatuses(BookChanges()), 1_000_000_000)
    history = GrowingHistory(
        directory,
        facts,
        engine or BookEngine(),
        first=first,
        due_ns=-1,
        size=0,
        find_feed=feed.state,
    )
    _open.append(history)
    return history


_open: list[GrowingHistory] = []


@pytest.fixture(autouse=True)
def close_histories() -> Iterator[None]:
    """Close what a test has begun."""
    yield
    while _open:
        _open.pop().close()


def documents(engine: BookEngine, key: int) -> list[dict[str, Any]]:
    """The book of a key with its queues."""
    return list(
        book_documents(engine, SymbolMap(), orders=True, only={(key >> 32, key & 0xFFFFFFFF)})
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints each 4,096 records; 32,768 records are kept."""
    monkeypatch.setattr(growing_history, "CHECKPOINT_DISTANCE", 1 << 12)
    monkeypatch.setattr(growing_history, "CAPACITY_MIN", 1 << 15)


@pytest.mark.usefixtures("small")
def test_the_books_are_those_of_files(tmp_path: Path, records: np.ndarray) -> None:
    """At the present and at each kept moment, while records are appended and dropped."""
    whole = build_history([SAMPLE], tmp_path / "whole")
    history = begin(tmp_path / "growing", Feed())
    rng, at = np.random.default_rng(7), 0
    key = 1 << 32 | 100003
    for stop in sorted({*rng.integers(1, len(records), 12).tolist(), len(records)}):
        history.append(records[at:stop])
        at = stop
        assert history.records.count == stop
        present = history.end_books(key)
        expected = whole.at(Moment(record=stop - 1), key)
        if not expected.engine.events_open().any():  # of a snapshot, `at` has what has come
            assert documents(present.engine, key) == documents(expected.engine, key)
        first = history.records.first
        assert stop - first <= 1 << 15
        for record in rng.integers(first, stop, 3).tolist():
            moment = Moment(record=record)
            found, expected = history.at(moment, key), whole.at(moment, key)
            if not expected.engine.events_open().any():
                assert documents(found.engine, key) == documents(expected.engine, key)
            due_ns = history.records.due_ns(record)
            assert due_ns == whole.records.due_ns(record)
            assert history.records.count_until(due_ns) == min(
                stop, whole.records.count_until(due_ns)
            )
        if first:
            with pytest.raises(UsageError, match="are kept"):
                history.at(Moment(record=first - 2), key)
            with pytest.raises(UsageError, match="before the first record"):
                history.at(Moment(at_ns=whole.records.due_ns(first - 1) - 1))
    assert history.records.first > 0
    newest = [numbers for _, numbers in history.records.read_back(len(records), [key])]
    keys = record_keys(batch_from_records(records))
    kept = np.flatnonzero(keys == key)
    kept = kept[kept >= history.records.first]
    assert np.array_equal(np.concatenate(newest[::-1]), kept)
    order_id = int(records["order_id"][kept[0]])
    numbers, _ = history.records.find_order(order_id, len(records))
    expected_numbers = np.flatnonzero(records["order_id"] == order_id)
    assert np.array_equal(numbers, expected_numbers[expected_numbers >= history.records.first])
    assert len(list((tmp_path / "growing").glob("checkpoint-*"))) <= 9


@pytest.mark.usefixtures("small")
def test_what_was_overwritten_is_refused(tmp_path: Path, records: np.ndarray) -> None:
    """A reader that goes on from a place which is no longer kept."""
    history = begin(tmp_path / "growing", Feed())
    history.append(records[:5_000])
    playback = Playback(history, 4_000)
    playback.follow([1 << 32 | 100003])
    assert list(playback.pass_all(1 << 20))
    reading = history.records.read(4_000, 5_000)
    history.append(records[5_000:])
    with pytest.raises(UsageError, match="no longer kept"):
        next(reading)
    with pytest.raises(UsageError, match="no longer kept"):
        list(playback.pass_all(1 << 20))


def test_no_book_is_better_than_its_feed(tmp_path: Path, records: np.ndarray) -> None:
    """Stale while the feed is lost; the records say what they said again when it is back."""
    feed, key = Feed(), 1 << 32 | 100003
    history = begin(tmp_path / "growing", feed)
    history.append(records[:50_000])
    statuses = []
    for feed.is_live in (True, False, True):
        statuses.append(documents(history.end_books(key).engine, key)[0]["status"])
        statuses.append(history.book_table().statuses[0].name.lower())
    assert statuses == ["synced", "synced", "stale", "stale", "synced", "synced"]


def test_a_gap_makes_books_stale_until_they_are_complete(
    tmp_path: Path, records: np.ndarray
) -> None:
    """Also those of which only the beginning of an event has come; the levels stay."""
    history = begin(tmp_path / "growing", Feed())
    history.append(records[:50_000])
    before = history.book_table()
    key = 1 << 32 | 100003
    book = documents(history.end_books(key).engine, key)[0]
    history.mark_gap()
    after = history.book_table()
    assert after.keys[: len(before.keys)] == before.keys
    assert {status.name for status in after.statuses} == {"STALE"}
    gapped = documents(history.end_books(key).engine, key)[0]
    assert (gapped["bids"], gapped["asks"]) == (book["bids"], book["asks"])
    assert (gapped["ts_event"], gapped["sequence"]) == (book["ts_event"], book["sequence"])
    assert history.records.count == 50_000 + len(before.keys)
    clear = np.zeros(1, MBO_DTYPE)
    clear["length"], clear["rtype"] = 14, 0xA0
    clear["publisher_id"], clear["instrument_id"] = 1, 100003
    clear["action"], clear["side"], clear["flags"] = Action.CLEAR, ord("N"), Flag.LAST
    history.append(clear)
    assert documents(history.end_books(key).engine, key)[0]["status"] == "synced"
    (at_gap,) = documents(history.at(Moment(record=50_000 + len(before.keys) - 1), key).engine, key)
    assert at_gap["status"] == "stale"


def test_a_book_that_is_joined_within_its_event_is_stale_until_the_end(
    tmp_path: Path, records: np.ndarray
) -> None:
    """The engine that is joined has half of the event."""
    batch = batch_from_records(records)
    is_end = batch.flags & Flag.LAST != 0
    # A record of a book that is no end of an event, and the number behind it.
    first = int(np.flatnonzero(~is_end[50_000:])[0]) + 50_001
    key = int(record_keys(batch)[first - 1])
    joined = BookEngine()
    joined.fold(batch_from_records(records[:first]))
    history = begin(tmp_path / "growing", Feed(), joined, first)
    (half,) = documents(history.end_books(key).engine, key)
    assert (half["event_open"], half["status"]) == (True, "stale")
    rest = np.flatnonzero((record_keys(batch) == key) & is_end)
    end = int(rest[rest >= first][0]) + 1
    history.append(records[first:end])
    whole = BookEngine()
    whole.fold(batch_from_records(records[:end]))
    number = whole.keys().index((key >> 32, key & 0xFFFFFFFF))
    assert documents(history.end_books(key).engine, key) == documents(copy_book(whole, number), key)


def test_late_records_are_counted_once(tmp_path: Path, records: np.ndarray) -> None:
    """In the present, and at moments behind a checkpoint."""
    late = records[:60_000].copy()
    late["ts_recv"][50_000] -= np.uint64(5_000_000_000)
    key = int(record_keys(batch_from_records(late))[50_000])
    history = begin(tmp_path / "growing", Feed())
    history.append(late)
    for books in (history.end_books(key), history.at(Moment(record=59_999), key)):
        number = books.engine.keys().index((key >> 32, key & 0xFFFFFFFF))
        assert books.engine.anomalies()[number, Anomaly.TS_RECV_BACKWARDS] == 1
    before = history.at(Moment(record=49_000), key)
    assert before.engine.anomalies()[:, Anomaly.TS_RECV_BACKWARDS].sum() == 0
