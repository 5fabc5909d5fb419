"""Which silence of a feed is a stall: it follows the feed's own pauses."""

from __future__ import annotations

import pytest

from batonics.live.feed_pace import HALF_LIFE_S, PAUSES, STALL_S_MAX, STALL_S_MIN, FeedPace


def test_a_busy_feed_stalls_after_the_least_time() -> None:
    pace = FeedPace()
    for second in range(100):
        pace.note_pause(1.0, float(second))
    assert pace.stall_s(100.0) == STALL_S_MIN


def test_a_slow_feed_has_as_much_time_as_its_own_pauses_need() -> None:
    pace = FeedPace()
    for minute in range(1, 60):
        pace.note_pause(60.0, 60.0 * minute)
        assert pace.stall_s(60.0 * minute + 60.0) > 60.0
    assert pace.stall_s(59 * 60.0) == PAUSES * 60.0


def test_a_long_pause_is_forgotten() -> None:
    pace = FeedPace()
    pace.note_pause(50_000.0, 50_000.0)
    assert pace.stall_s(50_000.0) == STALL_S_MAX
    assert pace.stall_s(50_000.0 + 20 * HALF_LIFE_S) == STALL_S_MIN


@pytest.mark.parametrize("stall_s", [0.5, 100.0])
def test_a_setting_takes_the_place_of_the_pauses(stall_s: float) -> None:
    pace = FeedPace(stall_s)
    pace.note_pause(1_000.0, 1_000.0)
    assert pace.stall_s(1_000.0) == stall_s
