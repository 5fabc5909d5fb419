"""The time of each record of a stream: the time that its names depend on (rules 2 and 16)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import UNDEF_TIMESTAMP, MboBatch, trusted_times


class RecordTimes:
    """The time of each record of a stream that comes in batches: what its name depends on.

    It is the record's own `ts_recv`. Where that orders nothing (rule 16), it is the stream's time.
    A record before which no time is known has its `ts_recv` whatever its flags, or else the epoch.
    """

    def __init__(self) -> None:
        self._now_ns = -1  # not known

    def find_times(
        self, ts_recv: NDArray[np.uint64], flags: NDArray[np.uint8]
    ) -> NDArray[np.uint64]:
        """(rows,) The times of the next records; `ts_recv` itself if all of it can be trusted."""
        if len(ts_recv) == 0:
            return ts_recv
        trusted = trusted_times(ts_recv, flags)
        is_trusted = trusted >= 0
        if is_trusted.all():
            self._now_ns = max(self._now_ns, int(trusted.max()))
            return ts_recv
        now_ns = np.maximum(np.maximum.accumulate(trusted), self._now_ns)
        self._now_ns = int(now_ns[-1])
        own = np.where(ts_recv == UNDEF_TIMESTAMP, 0, ts_recv.view(np.int64))
        times = np.where(is_trusted | (now_ns < 0), own, now_ns)
        return times.view(np.uint64)


def first_time(batch: MboBatch) -> int | None:
    """The first `ts_recv` of a batch that orders anything (rule 16); else its first known one.

    In nanoseconds since the epoch; None if no record has one.
    """
    times = trusted_times(batch.ts_recv, batch.flags)
    if (times < 0).all():
        times = batch.ts_recv.view(np.int64)
    known = np.flatnonzero(times >= 0)
    return int(times[known[0]]) if len(known) else None
