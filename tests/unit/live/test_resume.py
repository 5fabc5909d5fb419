"""Resuming a feed behind a position: no record lost or repeated, or a gap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batonics.live.resume import FEED_START, FeedPosition, Resumer, position_after
from batonics.live.resume_kernels import ResumeState
from batonics.model.mbo import Action, Flag, MboBatch, concat_batches, empty_batch
from tests.support.compare_books import pieces
from tests.support.dbn_files import record
from tests.support.reference_books import Record, records
from tests.support.streams import batch_of

BAD = int(Flag.BAD_TS_RECV)


def make_records(times: list[tuple[int, bool]]) -> list[Record]:
    """Records whose times never fall, some of them flagged; the order id is their number."""
    rows, now = [], 1_000
    for number, (step, flagged) in enumerate(times):
        now += step
        stamp = 5 if flagged else now
        rows.append(record(Action.ADD, order_id=number, ts_recv=stamp, flags=BAD if flagged else 0))
    return rows


def position_behind(rows: list[Record], cut: int) -> FeedPosition:
    position = FEED_START
    for piece in pieces(batch_of(rows), cut):
        position = position_after(position, piece)
    return position


def resume(rows: list[Record], position: FeedPosition, cut: int) -> tuple[list[int], Resumer]:
    """The numbers of the new records, with the feed cut into batches."""
    resumer = Resumer(position)
    new = [resumer.skip_known(piece) for piece in pieces(batch_of(rows), cut)]
    return concat_batches([empty_batch(0), *new]).order_id.tolist(), resumer


FEEDS = st.lists(st.tuples(st.sampled_from([0, 0, 1, 7]), st.sampled_from([False, False, True])))


@given(FEEDS, st.data(), st.integers(1, 9), st.integers(1, 9))
def test_a_feed_that_goes_back_resumes_exactly(
    times: list[tuple[int, bool]], data: st.DataObject, cut: int, second_cut: int
) -> None:
    rows = make_records([(1, False), *times])
    lost_at = data.draw(st.integers(1, len(rows)))
    position = position_behind(rows[:lost_at], cut)
    # Any beginning that still has the last trusted time from its first record on.
    first = next(i for i, row in enumerate(rows) if row.ts_recv == position.ts_recv)
    begin = data.draw(st.integers(0, first))
    new, resumer = resume(rows[begin:], position, second_cut)
    assert new == list(range(lost_at, len(rows)))
    assert resumer.state is ResumeState.RESUMED
    assert resumer.skipped == lost_at - begin


@given(FEEDS, st.data(), st.integers(1, 9))
def test_a_feed_that_does_not_go_back_has_a_gap(
    times: list[tuple[int, bool]], data: st.DataObject, cut: int
) -> None:
    rows = make_records([(1, False), *times, (1, False), (1, False)])
    lost_at = data.draw(st.integers(1, len(rows) - 2))
    position = position_behind(rows[:lost_at], cut)
    later = next(i for i, row in enumerate(rows) if row.ts_recv > position.ts_recv and i >= lost_at)
    new, resumer = resume(rows[later:], position, cut)
    assert resumer.state is ResumeState.GAP
    assert new == list(range(later, len(rows)))
    assert resumer.skipped == 0


def test_at_the_start_every_record_is_new() -> None:
    rows = make_records([(1, False), (0, True), (3, False)])
    new, resumer = resume(rows, FEED_START, 2)
    assert new == [0, 1, 2]
    assert resumer.state is ResumeState.RESUMED


def test_fewer_records_of_the_last_time_are_a_gap() -> None:
    rows = make_records([(1, False), (0, False), (0, False), (5, False)])
    position = position_behind(rows[:3], 3)
    new, resumer = resume([rows[0], rows[1], rows[3]], position, 5)
    assert (new, resumer.state) == ([3], ResumeState.GAP)


def test_the_search_goes_on_until_the_position_comes() -> None:
    rows = make_records([(1, False), (1, False), (1, False)])
    position = position_behind(rows, 3)
    new, resumer = resume(rows[:2], position, 1)
    assert (new, resumer.state, resumer.skipped) == ([], ResumeState.SEEKING, 2)


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_a_position_does_not_depend_on_the_cut(cut: int) -> None:
    rows = make_records(
        [(1, False), (0, False), (0, True), (2, False), (0, False), (0, True), (0, True)]
    )
    assert position_behind(rows, cut)[:3] == (1_003, 2, 2)


def test_the_time_of_a_snapshot_is_its_own() -> None:
    flags = int(Flag.SNAPSHOT | Flag.BAD_TS_RECV)
    batch: MboBatch = batch_of([record(Action.ADD, ts_recv=7, flags=flags)])
    assert position_after(FEED_START, batch)[:3] == (7, 1, 0)
    assert list(records(Resumer(FEED_START).skip_known(batch))) == list(records(batch))
    assert np.array_equal(
        Resumer(FeedPosition(6, 1, 0, 0, 0)).skip_known(batch).order_id, batch.order_id
    )
