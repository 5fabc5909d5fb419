"""The time of a stream, and the interval that it falls in.

The rule here: time never runs backwards. The stream's time is the greatest `ts_recv` so far, over
all records of all books; a `ts_recv` that is undefined does not count, nor one with F_BAD_TS_RECV
outside a snapshot (rule 16: `model.mbo.trusted_times`). An interval is `(T - length, T]`, where T
is a multiple of the length since the epoch. So the book as of T contains everything received by T.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.model.mbo import Flag, trusted_times

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
        time_ns = trusted_times(ts_recv, flags)
        time_ns[time_ns > 2**63 - 1 - self._length_ns] = -1  # its interval has no end
        latest_ns = np.maximum(np.maximum.accumulate(time_ns), self._now_ns)
        ends: NDArray[np.int64] = -(-latest_ns // self._length_ns) * self._length_ns
        self._now_ns, self.latest_end_ns = int(latest_ns[-1]), int(ends[-1])
        return ends


def trusted_time() -> pl.Expr:
    """The `ts_recv` of each row of a frame with `flags`, as far as it orders anything (rule 16).

    Int64 of nanoseconds; null where it orders nothing.
    """
    time_ns = pl.col("ts_recv").to_physical()
    flags = pl.col("flags") & int(Flag.BAD_TS_RECV | Flag.SNAPSHOT)
    return pl.when((flags != int(Flag.BAD_TS_RECV)) & (time_ns >= 0)).then(time_ns)
