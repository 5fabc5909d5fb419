"""Level deltas and the ends of events: what books per window are made of.

`Pair` holds in every run that the sums are the levels; here a stream is looked at as a whole, and
`test_determinism` cuts it.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.state import BOOK_WORDS, Book, Delta, EventEnd
from batonics.model.mbo import slice_batch
from tests.support.stream_profiles import PROFILES
from tests.support.streams import random_stream
from tests.support.trace import Trace, every, trace

ROWS = 8_000


def trace_of(profile: str) -> tuple[BookEngine, Trace]:
    batch = PROFILES[profile](23, ROWS)
    engine = BookEngine()
    engine.fold(batch)
    return engine, trace(batch, [])


def level_sums(deltas: NDArray[np.int64]) -> dict[tuple[int, ...], tuple[int, int]]:
    """Size and count by (book, side, price), where either is not 0."""
    sizes, counts = Counter[tuple[int, ...]](), Counter[tuple[int, ...]]()
    for _, book, _, side, price, size, count in deltas.tolist():
        sizes[book, side, price] += size
        counts[book, side, price] += count
    return {level: (sizes[level], counts[level]) for level in sizes if sizes[level]}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_sum_of_all_deltas_is_the_books(profile: str) -> None:
    engine, whole = trace_of(profile)
    levels = engine.levels()
    columns = zip(*(column.tolist() for column in levels), strict=True)
    assert level_sums(whole.deltas) == {row[:3]: row[3:] for row in columns}


@pytest.mark.parametrize("profile", PROFILES)
def test_no_sum_is_ever_negative(profile: str) -> None:
    _, whole = trace_of(profile)
    sums = Counter[tuple[int, ...]]()
    for _, book, _, side, price, size, _ in whole.deltas.tolist():
        sums[book, side, price] += size
        assert sums[book, side, price] >= 0


@pytest.mark.parametrize("profile", PROFILES)
def test_a_delta_changes_something_and_is_in_order(profile: str) -> None:
    _, whole = trace_of(profile)
    assert whole.deltas[:, [Delta.SIZE, Delta.COUNT]].any(axis=1).all()
    assert (np.diff(whole.deltas[:, Delta.ROW]) >= 0).all()


@pytest.mark.parametrize("profile", PROFILES)
def test_the_events_of_a_book_are_numbered_without_a_gap(profile: str) -> None:
    engine, whole = trace_of(profile)
    for book, events in enumerate(engine.events().tolist()):
        of_book = whole.event_ends[whole.event_ends[:, EventEnd.BOOK] == book]
        assert of_book[:, EventEnd.EVENT].tolist() == list(range(events))
        assert (np.diff(of_book[:, EventEnd.ROW]) > 0).all()


@pytest.mark.parametrize("profile", PROFILES)
def test_a_delta_names_the_event_that_ends_next(profile: str) -> None:
    engine, whole = trace_of(profile)
    for book in range(engine.book_count):
        ends = whole.event_ends[whole.event_ends[:, EventEnd.BOOK] == book, EventEnd.ROW]
        deltas = whole.deltas[whole.deltas[:, Delta.BOOK] == book]
        # The first end at or after the delta's row; none yet: the event that is still open.
        following = np.searchsorted(ends, deltas[:, Delta.ROW])
        assert (deltas[:, Delta.EVENT] == following).all()


def test_a_new_day_leaves_no_gap_either() -> None:
    batch = PROFILES["snapshots"](24, ROWS)
    cut = trace(batch, every(97, batch), days=True)
    event_ends = cut.event_ends[cut.event_ends[:, EventEnd.BOOK] == 0]
    assert event_ends[:, EventEnd.EVENT].tolist() == list(range(len(event_ends)))
    assert len(event_ends) > 300


def test_only_a_snapshot_of_an_earlier_batch_ends_before_the_batch() -> None:
    batch = PROFILES["snapshots"](29, ROWS)
    engine = BookEngine(deltas=True)
    implicit = 0
    for row in range(ROWS):
        was_open = engine.state.books[Book.SNAPSHOT_OPEN :: BOOK_WORDS].copy()
        event_ends = engine.fold(slice_batch(batch, row, row + 1)).event_ends
        for end_row, book, _ in event_ends.tolist():
            assert end_row in (-1, 0)
            if end_row == -1:
                implicit += 1
                assert was_open[book] == 1
    assert implicit > 10


def test_the_buffers_grow_to_any_number_of_deltas() -> None:
    batch = random_stream(31, 20_000)
    engine = BookEngine(deltas=True)
    first = len(engine.fold(slice_batch(batch, 0, 10)).deltas)
    many = len(engine.fold(slice_batch(batch, 10, 20_000)).deltas)
    assert first < 40
    assert many > 10_000
