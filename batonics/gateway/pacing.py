"""When units are sent: at the pace of their own times, of a rate, or flat out.

The rule here: every moment is counted from one anchor, never from the last wake-up. So a late
wake-up is caught up with, an early one cannot be, and nothing drifts.

Units come in groups of what is due, a group a wake-up, and wake-ups are GRAIN_NS apart or more:
500,000 units a second are sent some 80 at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

WAKE_INTERVAL_NS = 100_000
"""Between two wake-ups at least: less is a busy loop, as a system wakes us up 60 late anyway."""
SLEEP_NS_MAX = 50_000_000
"""The longest sleep in one: how soon a pause, a jump or the end is noticed."""

NS_PER_S = 1_000_000_000


class PacingClock(Protocol):
    """Where time comes from; a fake one in tests."""

    def now_ns(self) -> int:
        """Nanoseconds that only ever rise."""

    def sleep_ns(self, length_ns: int) -> None:
        """Let so much time pass, or a little more."""


class SystemClock:
    """The machine's own."""

    def now_ns(self) -> int:
        """Nanoseconds of the monotonic clock."""
        return time.monotonic_ns()

    def sleep_ns(self, length_ns: int) -> None:
        """Sleep."""
        time.sleep(length_ns / NS_PER_S)


class Pace(NamedTuple):
    """How fast a feed goes; with neither it goes flat out.

    Attributes:
        speed: seconds of the feed's own time in one of ours.
        rate: units a second.
    """

    speed: float | None = None
    rate: float | None = None

    @property
    def flat_out(self) -> bool:
        """Whether nothing is ever waited for."""
        return self.speed is None and self.rate is None


FLAT_OUT = Pace()


class Pacer:
    """Waits until units are due.

    Args:
        pace: how fast.
        clock: the time.
        tick: called before each wait and at least each `SLEEP_NS_MAX` of it, with the time; what it
            returns, a pause, does not count as time of the feed.

    Attributes:
        live_ns: pieces that end at this time of the feed or before are not waited for.
    """

    def __init__(
        self, pace: Pace, clock: PacingClock, tick: Callable[[int], int] = lambda _: 0
    ) -> None:
        self._pace, self._clock, self._tick = pace, clock, tick
        self._anchor_ns: int | None = None
        self._anchor_due_ns = 0
        self._units = 0
        self._woken_ns = clock.now_ns() - WAKE_INTERVAL_NS
        self.live_ns = -1

    @property
    def anchor_ns(self) -> int | None:
        """The moment, by the clock, from which all others are counted; None before the first."""
        return self._anchor_ns

    def restart(self) -> None:
        """The next unit is due at once, and all others follow from it."""
        self._anchor_ns = None
        self._woken_ns = self._clock.now_ns() - WAKE_INTERVAL_NS

    def groups(self, due_ns: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """Units `[first, last)`, as they come due, of units with these times in the feed."""
        units = len(due_ns)
        if self._pace.flat_out or due_ns[-1] <= self.live_ns:
            self._tick(self._clock.now_ns())
            yield 0, units
            return
        if self._anchor_ns is None:
            self._anchor_ns, self._anchor_due_ns = self._clock.now_ns(), int(due_ns[0])
            self._units = 0
        offsets = self._offsets(due_ns)
        first = 0
        while first < units:
            passed = self._wait(int(offsets[first]))
            last = int(np.searchsorted(offsets, passed, side="right"))
            last = max(last, first + 1)
            yield first, last
            first = last
        self._units += units

    def _offsets(self, due_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """When each unit is due, in nanoseconds of ours since the anchor."""
        if self._pace.rate is not None:
            numbers = np.arange(self._units, self._units + len(due_ns), dtype=np.float64)
            return (numbers * (NS_PER_S / self._pace.rate)).astype(np.int64)
        passed = (due_ns - self._anchor_due_ns).astype(np.float64)
        return (passed / (self._pace.speed or 1.0)).astype(np.int64)

    def _wait(self, offset_ns: int) -> int:
        """Wait until so long after the anchor, and GRAIN_NS after the last time; how long it is."""
        while True:
            now = self._clock.now_ns()
            if paused_ns := self._tick(now):
                self._anchor_ns = (self._anchor_ns or 0) + paused_ns
                continue
            anchor_ns = self._anchor_ns or 0
            left = max(anchor_ns + offset_ns, self._woken_ns + WAKE_INTERVAL_NS) - now
            if left <= 0:
                self._woken_ns = now
                return now - anchor_ns
            self._clock.sleep_ns(min(left, SLEEP_NS_MAX))
