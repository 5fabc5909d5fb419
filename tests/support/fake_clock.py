"""A clock that only its own sleeps move."""

from __future__ import annotations


class FakeClock:
    """Sleeps take as long as asked for, and `late_ns` more."""

    def __init__(self, late_ns: int = 60_000) -> None:
        self.now = 12_345
        self.late_ns = late_ns
        self.sleeps = 0

    def now_ns(self) -> int:
        return self.now

    def sleep_ns(self, length_ns: int) -> None:
        assert length_ns > 0
        self.sleeps += 1
        self.now += length_ns + self.late_ns
