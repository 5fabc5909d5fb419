"""The time of a stream and of its records, and the interval that it falls in.

The rule here: time never runs backwards. The stream's time is the greatest `ts_recv` so far, over
all books; a `ts_recv` that is undefined or flagged F_BAD_TS_RECV does not count (rule 16). An
interval is `(T - length, T]`, where T is a multiple of the length since the epoch. So the book as
of T contains everything received by T.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import UNDEF_TIMESTAMP, is_untimed

UNKNOWN_TIME = 0
"""The end of the current interval while no time is known."""


class StreamClock:
    """Follows the time of a stream that comes in pieces.

    Args:
        length_ns: the length of an interval in nanoseconds.

    Attributes:
        latest_end_ns: the end of the current interval, in nanoseconds since the epoch, or
            `UNKNOWN_TIME`.
    """

    def __init__(self, length_ns: int) -> None:
        self.latest_end_ns = UNKNOWN_TIME
        self._length_ns = length_ns
        self._now_ns = 0

    def interval_ends(
        self, ts_recv: NDArray[np.uint64], flags: NDArray[np.uint8]
    ) -> NDArray[np.int64]:
        """The end of the interval of each row, which never decreases from row to row."""
        # UNDEF_TIMESTAMP is -1 as a signed word. A time without an interval end is unknown too.
        signed = ts_recv.view(np.int64)
        time_ns = np.where(is_untimed(flags) | (signed > 2**63 - 1 - self._length_ns), -1, signed)
        latest_ns = np.maximum(np.maximum.accumulate(time_ns), self._now_ns)
        ends: NDArray[np.int64] = -(-latest_ns // self._length_ns) * self._length_ns
        self._now_ns, self.latest_end_ns = int(latest_ns[-1]), int(ends[-1])
        return ends


class RecordTimes:
    """The time of each record of a stream that comes in batches: what its name depends on.

    It is the record's own `ts_recv`. Where that orders nothing (rule 16), it is the stream's time.
    A record before which no time is known has its `ts_recv` whatever its flags, or else the epoch.
    """

    def __init__(self) -> None:
        self._now_ns = np.uint64(0)

    def find_times(
        self, ts_recv: NDArray[np.uint64], flags: NDArray[np.uint8]
    ) -> NDArray[np.uint64]:
        """(rows,) The times of the next records; `ts_recv` itself if all of it can be trusted."""
        if len(ts_recv) == 0:
            return ts_recv
        latest_ns = ts_recv.max()
        untimed = is_untimed(flags)
        if latest_ns != UNDEF_TIMESTAMP and not untimed.any():
            self._now_ns = max(self._now_ns, latest_ns)
            return ts_recv
        undefined = ts_recv == UNDEF_TIMESTAMP
        untimed |= undefined
        trusted = np.where(untimed, np.uint64(0), ts_recv)
        now_ns = np.maximum(np.maximum.accumulate(trusted), self._now_ns)
        self._now_ns = now_ns[-1]
        own = ~untimed | ((now_ns == 0) & ~undefined)
        times: NDArray[np.uint64] = np.where(own, ts_recv, now_ns)
        return times
