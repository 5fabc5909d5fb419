"""The times that names of records depend on."""

from __future__ import annotations

import numpy as np
import pytest

from batonics.model.mbo import UNDEF_TIMESTAMP, Flag
from batonics.model.record_times import RecordTimes

BAD = int(Flag.BAD_TS_RECV)
SNAPSHOT = int(Flag.BAD_TS_RECV | Flag.SNAPSHOT)


@pytest.mark.parametrize("cut", range(9))
def test_a_time_that_orders_nothing_is_the_time_of_the_stream(cut: int) -> None:
    rows = [
        (7, BAD, 7),  # no time is known yet
        (UNDEF_TIMESTAMP, 0, 0),
        (20, 0, 20),
        (UNDEF_TIMESTAMP, 0, 20),
        (15, 0, 15),  # a trusted time is the record's own, if it steps back too
        (90, BAD, 20),
        (30, SNAPSHOT, 30),
        (1, BAD | int(Flag.LAST), 30),
    ]
    ts_recv, bits, expected = (np.array(column, np.uint64) for column in zip(*rows, strict=True))
    flags = bits.astype(np.uint8)
    times = RecordTimes()
    found = [
        times.find_times(ts_recv[:cut], flags[:cut]),
        times.find_times(ts_recv[cut:], flags[cut:]),
    ]
    assert np.concatenate(found).tolist() == expected.tolist()


def test_trusted_times_are_not_copied() -> None:
    ts_recv = np.array([3, 2, 5], np.uint64)
    assert RecordTimes().find_times(ts_recv, np.zeros(3, np.uint8)) is ts_recv
