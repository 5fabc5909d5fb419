"""Which silence of a feed is a stall: one much longer than the feed's own pauses.

The rule here: constant work and memory. The longest pause counts in full when it ends, and half as
much after each HALF_LIFE_S, so a pause for the night does not hide a stall of the next morning.
"""

from __future__ import annotations

import math

STALL_S_MIN = 10.0
"""No shorter silence is a stall, however busy the feed is."""
STALL_S_MAX = 3600.0
"""Every longer silence is a stall, however slow the feed is."""
PAUSES = 3.0
"""A silence of so many of the longest pause is a stall."""
HALF_LIFE_S = 600.0


class FeedPace:
    """Learns the pauses of one feed.

    Args:
        stall_s: the silence that is a stall; None: it follows the feed's own pauses.
    """

    def __init__(self, stall_s: float | None = None) -> None:
        self._stall_s = stall_s
        self._longest_s = self._longest_at = 0.0

    def note_pause(self, pause_s: float, now: float) -> None:
        """Learn that the feed was silent for so long, until now (seconds of a clock)."""
        # Nearly every pause is far too short to count.
        if pause_s * PAUSES > STALL_S_MIN and pause_s > self._longest(now):
            self._longest_s, self._longest_at = pause_s, now

    def stall_s(self, now: float) -> float:
        """The silence that is a stall, in seconds."""
        if self._stall_s is not None:
            return self._stall_s
        return min(max(PAUSES * self._longest(now), STALL_S_MIN), STALL_S_MAX)

    def _longest(self, now: float) -> float:
        """What is left of the longest pause."""
        half_lives = (now - self._longest_at) / HALF_LIFE_S
        return self._longest_s * math.exp2(-half_lives)
