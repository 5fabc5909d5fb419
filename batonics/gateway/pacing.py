"""When units are sent: at the pace of their own times, at a rate, or at full speed.

The rule here: every moment is counted from one anchor, never from the last wake-up. So a late
wake-up delays nothing that follows it, and the pace does not drift.

Each wake-up sends the group of units that are due. Wake-ups are at least WAKE_INTERVAL_NS apart: at
500,000 units a second a group has about 80 units.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from batonics.model.times import NS_PER_S

WAKE_INTERVAL_NS = 100_000
"""The least time between two wake-ups: a sleep is some 60 us late, so less is a busy loop."""
SLEEP_NS_MAX = 50_000_000
"""The longest single sleep: a pause, a jump or the end takes effect within it."""


class PacingClock(Protocol):
    """The source of time; tests use a fake."""

    def now_ns(self) -> int:
        """The time in nanoseconds; it never falls."""

    def sleep_ns(self, length_ns: int) -> None:
        """Sleep for at least this long."""


class SystemClock:
    """The system's monotonic clock."""

    def now_ns(self) -> int:
        """The time of the monotonic clock, in nanoseconds."""
        return time.monotonic_ns()

    def sleep_ns(self, length_ns: int) -> None:
        """Sleep for at least this long."""
        time.sleep(length_ns / NS_PER_S)


class Pace(NamedTuple):
    """How fast a feed is sent; without a speed and a rate it is sent at full speed.

    Attributes:
        speed: seconds of the feed's own time per second.
        rate: units per second.
    """

    speed: float | None = None
    rate: float | None = None

    @property
    def is_full_speed(self) -> bool:
        """Whether every unit is sent at once."""
        return self.speed is None and self.rate is None


FULL_SPEED = Pace()


class Pacer:
    """Waits until units are due.

    Args:
        pace: how fast units are sent.
        clock: the source of time.
        on_wait: called with the time before each wait, and every SLEEP_NS_MAX during it. It returns
            the length of a pause, which does not count as time of the feed.

    Attributes:
        unpaced_until_ns: a group whose units are all due at this time or before is sent at once.
        lag_ns: for how long the first unit of the last group had been due.
    """

    def __init__(
        self, pace: Pace, clock: PacingClock, on_wait: Callable[[int], int] = lambda _: 0
    ) -> None:
        self._pace, self._clock, self._on_wait = pace, clock, on_wait
        self._anchor_ns: int | None = None
        self._anchor_due_ns = 0
        self._units = 0
        self._woken_ns = clock.now_ns() - WAKE_INTERVAL_NS
        self.unpaced_until_ns = -1
        self.lag_ns = 0

    @property
    def anchor_ns(self) -> int | None:
        """The time of the clock from which all others are counted; None before the first unit."""
        return self._anchor_ns

    def restart(self) -> None:
        """Set a new anchor: the next unit is due at once."""
        self._anchor_ns = None
        self._woken_ns = self._clock.now_ns() - WAKE_INTERVAL_NS

    def groups(self, due_ns: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """Groups `[first, last)` of units as they fall due; `due_ns`: their times in the feed."""
        units = len(due_ns)
        if self._pace.is_full_speed or due_ns[-1] <= self.unpaced_until_ns:
            self._on_wait(self._clock.now_ns())
            self.lag_ns = 0
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
            self.lag_ns = passed - int(offsets[first])
            yield first, last
            first = last
        self._units += units

    def _offsets(self, due_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """When each unit is due, in nanoseconds of the clock since the anchor."""
        if self._pace.rate is not None:
            numbers = np.arange(self._units, self._units + len(due_ns), dtype=np.float64)
            return (numbers * (NS_PER_S / self._pace.rate)).astype(np.int64)
        passed = (due_ns - self._anchor_due_ns).astype(np.float64)
        return (passed / (self._pace.speed or 1.0)).astype(np.int64)

    def _wait(self, offset_ns: int) -> int:
        """Wait until `offset_ns` after the anchor, and WAKE_INTERVAL_NS after the last wake-up.

        Returns:
            The time since the anchor.
        """
        while True:
            now = self._clock.now_ns()
            if paused_ns := self._on_wait(now):
                self._anchor_ns = (self._anchor_ns or 0) + paused_ns
                continue
            anchor_ns = self._anchor_ns or 0
            remaining = max(anchor_ns + offset_ns, self._woken_ns + WAKE_INTERVAL_NS) - now
            if remaining <= 0:
                self._woken_ns = now
                return now - anchor_ns
            self._clock.sleep_ns(min(remaining, SLEEP_NS_MAX))
