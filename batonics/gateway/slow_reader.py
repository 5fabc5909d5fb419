"""What a gateway does about a client that reads too slowly.

The rule here: a client is slow while the next units for it are overdue by more than a limit. MBO
records are never skipped: the client is warned (SystemMsg of code 2), at most once a second. A
session without MBO is sent nothing while it is slow. Behind what it has missed, an ErrorMsg of code
7 says how much that was. The vendor's gateway does so since April 2026.
"""

from __future__ import annotations

from collections.abc import Callable

from batonics.codec.messages import (
    ERROR_SKIPPED_RECORDS,
    SYSTEM_SLOW_READER,
    write_error_message,
    write_system_message,
)
from batonics.model.times import NS_PER_S

WARNING_INTERVAL_NS = NS_PER_S


class SlowReader:
    """Follows how far one client is behind.

    Args:
        limit_ns: how far it may be behind.
        skips: whether it misses records while it is slow; otherwise it is warned.
        feed_ns: the time in the feed, for messages.
    """

    def __init__(self, limit_ns: int, *, skips: bool, feed_ns: Callable[[], int]) -> None:
        self._limit_ns, self._skips, self._feed_ns = limit_ns, skips, feed_ns
        self._skipped = 0
        self._warn_from_ns = 0

    def admit(self, units: int, lag_ns: int, now_ns: int) -> bytes | None:
        """What the client is sent before its next units; None: it misses them.

        Args:
            units: their number.
            lag_ns: for how long they have been due.
            now_ns: the time now.
        """
        is_slow = lag_ns > self._limit_ns
        if is_slow and self._skips:
            self._skipped += units
            return None
        if is_slow and now_ns >= self._warn_from_ns:
            self._warn_from_ns = now_ns + WARNING_INTERVAL_NS
            text = f"slow reader: records are {lag_ns // 10**6:,} ms late"
            return write_system_message(SYSTEM_SLOW_READER, text, self._feed_ns())
        return self.describe_skipped()

    def describe_skipped(self) -> bytes:
        """The message about what the client has missed since the last one; empty: nothing."""
        skipped, self._skipped = self._skipped, 0
        if not skipped:
            return b""
        text = f"{skipped:,} records skipped after slow reading"
        return write_error_message(ERROR_SKIPPED_RECORDS, text, self._feed_ns(), is_last=False)
