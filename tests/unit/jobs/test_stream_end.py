"""Where a stream is past a time."""

from __future__ import annotations

import numpy as np

from batonics.jobs.stream_end import PAST_ROWS, StreamEnd
from batonics.model.mbo import Flag, MboBatch, empty_batch

END_NS = 10**18
MARGIN_NS = 10**9  # input.ts_recv_backwards_s


def batch_at(*times_ns: int, flags: int = 0, rows: int = PAST_ROWS // 2) -> MboBatch:
    """Records of these times in turn."""
    batch = empty_batch(rows)
    batch.ts_recv[:] = np.resize(np.array(times_ns, np.uint64), rows)
    batch.flags[:] = flags
    return batch


def test_the_end_is_past_after_enough_records_behind_the_margin() -> None:
    end = StreamEnd(END_NS)
    assert not end.is_past(batch_at(END_NS - 1))
    assert not end.is_past(batch_at(END_NS + MARGIN_NS - 1))
    assert not end.is_past(batch_at(END_NS + MARGIN_NS))
    assert end.is_past(batch_at(END_NS + MARGIN_NS))


def test_single_records_with_wrong_times_end_nothing() -> None:
    end = StreamEnd(END_NS)
    for _ in range(10):
        assert not end.is_past(batch_at(2 * END_NS, rows=100))
        assert not end.is_past(batch_at(END_NS, 2 * END_NS))
    # Records whose times order nothing (rule 16) say nothing.
    for _ in range(10):
        assert not end.is_past(batch_at(2 * END_NS, flags=int(Flag.BAD_TS_RECV)))
