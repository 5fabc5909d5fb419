"""Finds where a stream is past a time, so that nothing behind it has to be read.

The rule here: times may fall back within a stream by the setting `input.ts_recv_backwards_s`, and a
few records with wrong times end nothing.
"""

from __future__ import annotations

from batonics.model.mbo import MboBatch, is_untimed
from batonics.settings.loader import current

PAST_ROWS = 4_096
"""So many records in a row must be later than the time."""


class StreamEnd:
    """Whether all records before a time have come.

    Args:
        end_ns: the time, in nanoseconds since the epoch.
    """

    def __init__(self, end_ns: int) -> None:
        self._latest_ns = end_ns + current().input.ts_recv_backwards_ns
        self._rows_past = 0

    def is_past(self, batch: MboBatch) -> bool:
        """Whether the stream is past the time with this batch, the next one."""
        times = batch.ts_recv[~is_untimed(batch.flags)]
        if len(times):
            is_past = int(times.min()) >= self._latest_ns
            self._rows_past = self._rows_past + len(times) if is_past else 0
        return self._rows_past >= PAST_ROWS
