"""Pacing, by a clock that stands still until somebody sleeps."""

from __future__ import annotations

import numpy as np
import pytest

from batonics.gateway.pacing import FULL_SPEED, WAKE_INTERVAL_NS, Pace, Pacer
from batonics.model.times import NS_PER_S
from tests.support.fake_clock import FakeClock


def send(pacer: Pacer, clock: FakeClock, *pieces: list[int]) -> list[tuple[int, int]]:
    """When each unit is sent, in ns since the beginning, and when it is due."""
    begin = clock.now
    result = []
    for due in pieces:
        for first, last in pacer.groups(np.array(due, np.int64)):
            result += [(clock.now - begin, unit) for unit in due[first:last]]
    return result


def test_full_speed_waits_for_nothing() -> None:
    clock = FakeClock()
    pacer = Pacer(FULL_SPEED, clock)
    assert send(pacer, clock, [5, 10**18]) == [(0, 5), (0, 10**18)]
    assert clock.sleeps == 0


@pytest.mark.parametrize("speed", [0.5, 1.0, 10.0])
def test_units_are_sent_at_their_times_never_early_and_never_drifting(speed: float) -> None:
    clock = FakeClock()
    steps = np.random.default_rng(1).exponential(500_000, 2_000).astype(np.int64)
    due = (1_700_000_000_000_000_000 + np.cumsum(steps)).tolist()
    times = send(Pacer(Pace(speed=speed), clock), clock, due[:900], due[900:])
    assert [unit for _, unit in times] == due
    late = [at - (unit - due[0]) / speed for at, unit in times]
    assert min(late) >= -1
    assert max(late) <= clock.late_ns + WAKE_INTERVAL_NS + 1


def test_a_rate_is_exact_on_average_and_does_not_bunch() -> None:
    clock, rate = FakeClock(), 500_000
    due = [0] * 100_000
    times = send(Pacer(Pace(rate=rate), clock), clock, due[:30_000], due[30_000:])
    assert times[-1][0] == pytest.approx(100_000 / rate * NS_PER_S, abs=200_000)
    moments, counts = np.unique([at for at, _ in times], return_counts=True)
    assert counts.max() <= 85
    assert 100_000 <= np.diff(moments).mean() <= 200_000


def test_a_late_wake_up_delays_nothing_after_it() -> None:
    clock = FakeClock(late_ns=5_000_000)
    due = list(range(0, NS_PER_S, 1_000_000))
    times = send(Pacer(Pace(speed=1.0), clock), clock, due)
    assert times[-1][0] - due[-1] <= 5_000_000
    assert max(at - unit for at, unit in times) <= 5_100_000 + WAKE_INTERVAL_NS


def test_a_pause_moves_all_that_follows() -> None:
    clock, pauses = FakeClock(late_ns=0), [0, 7_000_000]

    def pause(_: int) -> int:
        paused = pauses.pop() if pauses else 0
        clock.now += paused
        return paused

    times = send(Pacer(Pace(speed=1.0), clock, pause), clock, [0, 10_000_000])
    assert times == [(7_000_000, 0), (17_000_000, 10_000_000)]


def test_units_before_the_unpaced_time_are_sent_at_once() -> None:
    clock = FakeClock(late_ns=0)
    pacer = Pacer(Pace(speed=1.0), clock)
    pacer.unpaced_until_ns = 10_000_000
    times = send(pacer, clock, [0, 10_000_000], [11_000_000, 12_000_000])
    assert [at for at, _ in times] == [0, 0, 0, 1_000_000]


def test_after_a_restart_the_next_unit_is_due_at_once() -> None:
    clock = FakeClock(late_ns=0)
    pacer = Pacer(Pace(rate=1000.0), clock)
    assert [at for at, _ in send(pacer, clock, [0, 0, 0])] == [0, 1_000_000, 2_000_000]
    pacer.restart()
    assert [at for at, _ in send(pacer, clock, [0, 0])] == [0, 1_000_000]
