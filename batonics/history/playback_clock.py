"""The clock of one reader of a history: where it is in the time of the records, and how fast.

The rule here: it reads no clock itself. `now_s` is the time of the caller's clock, in seconds.
"""

from __future__ import annotations

SPEED_MIN, SPEED_MAX = 0.1, 1_000.0
"""How many seconds of the records may pass in a second."""


class PlaybackClock:
    """A clock that stands still until `play`.

    Args:
        at_ns: the time that it shows, by `ts_recv`.

    Attributes:
        is_playing: whether it runs.
        speed: seconds of the records in a second.
        late_s: for how long, in all, it has waited for the work of the reader (`wait_at`).
    """

    def __init__(self, at_ns: int) -> None:
        self.is_playing, self.speed, self.late_s = False, 1.0, 0.0
        self._at_ns, self._since_s = at_ns, 0.0

    def time_ns(self, now_s: float) -> int:
        """The time that it shows."""
        if not self.is_playing:
            return self._at_ns
        return self._at_ns + int((now_s - self._since_s) * self.speed * 1e9)

    def delay_s(self, at_ns: int, now_s: float) -> float:
        """How long it takes until it shows a time, in seconds; 0: it has."""
        return max(0.0, (at_ns - self.time_ns(now_s)) / self.speed / 1e9)

    def play(self, now_s: float, speed: float | None = None) -> None:
        """Run from here on, at a speed (None: the one that it has)."""
        self._at_ns, self._since_s = self.time_ns(now_s), now_s
        self.speed = self.speed if speed is None else speed
        self.is_playing = True

    def set_speed(self, speed: float, now_s: float) -> None:
        """Change the speed."""
        self._at_ns, self._since_s = self.time_ns(now_s), now_s
        self.speed = speed

    def stop(self, at_ns: int) -> None:
        """Stand still at a time."""
        self._at_ns, self.is_playing = at_ns, False

    def set(self, at_ns: int, now_s: float) -> None:
        """Show a time; it runs on if it runs."""
        self._at_ns, self._since_s = at_ns, now_s

    def wait_at(self, at_ns: int, now_s: float) -> None:
        """Go back to a time that the reader has come to, where it could not keep up."""
        self.late_s += max(0.0, (self.time_ns(now_s) - at_ns) / self.speed / 1e9)
        self.set(at_ns, now_s)
