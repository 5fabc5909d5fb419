"""The stream's time, and the intervals it is in.

The rule here: time never runs backwards. It is the greatest `ts_recv` so far, of any book, of a
record whose `ts_recv` is defined and not flagged F_BAD_TS_RECV (rule 16; a snapshot's is that of
the snapshot, though). An interval is `(T - length, T]`, T a multiple of the length since the epoch:
a book as of T is the book after all that was received by T.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import is_untimed

UNKNOWN_TIME = 0
"""The end of the interval before any time is known."""


class StreamClock:
    """Follows a stream, piece by piece.

    Attributes:
        latest_end: of the interval that the stream is in.
    """

    def __init__(self, length_ns: int) -> None:
        self.latest_end_ns = UNKNOWN_TIME
        self._length_ns = length_ns
        self._now_ns = 0

    def ends(self, ts_recv: NDArray[np.uint64], flags: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The end of each row's interval; they never fall."""
        # As a signed word UNDEF_TIMESTAMP reads -1; what has no interval's end is no time either.
        signed = ts_recv.view(np.int64)
        time_ns = np.where(is_untimed(flags) | (signed > 2**63 - 1 - self._length_ns), -1, signed)
        so_far = np.maximum(np.maximum.accumulate(time_ns), self._now_ns)
        ends: NDArray[np.int64] = -(-so_far // self._length_ns) * self._length_ns
        self._now_ns, self.latest_end_ns = int(so_far[-1]), int(ends[-1])
        return ends
