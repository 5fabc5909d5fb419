"""Finds records whose `ts_recv` falls back within a stream.

The rule: a stream comes in the order of `ts_recv` (rule 4). Times that are flagged F_BAD_TS_RECV,
as those of snapshots are, or that are undefined neither fall back nor move the time (rule 16).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import F_BAD_TS_RECV, MboBatch
from batonics.settings.table import INPUT_DEFAULTS

BACKWARDS_NS_MAX = INPUT_DEFAULTS.ts_recv_backwards_ns
"""How far a time may fall back by default."""
_NONE = np.empty(0, np.intp)


def find_late_rows(
    batch: MboBatch, latest_ns: int, backwards_ns_max: int
) -> tuple[NDArray[np.intp], int]:
    """The rows of a batch that are too late, and the greatest trusted time after it.

    Args:
        batch: the records.
        latest_ns: the greatest trusted time before it.
        backwards_ns_max: how far a time may fall back.
    """
    times = batch.ts_recv.view(np.int64)  # UNDEF_TIMESTAMP reads -1
    if len(times) == 0:
        return _NONE, latest_ns
    # Nearly every batch only rises, which one comparison a record shows.
    if (
        int(times[0]) >= latest_ns
        and int(times[-1]) >= 0
        and not int(batch.flags[-1]) & F_BAD_TS_RECV
        and not (times[1:] < times[:-1]).any()
    ):
        return _NONE, int(times[-1])
    trusted = np.where(batch.flags & F_BAD_TS_RECV, -1, times)
    latest = np.maximum(np.maximum.accumulate(trusted), latest_ns)
    late = (trusted >= 0) & (latest - trusted > backwards_ns_max)
    return np.flatnonzero(late), int(latest[-1])
