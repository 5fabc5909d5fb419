"""Where a feed was left, and how to go on after it was lost without losing or doubling a record.

The rule here: a place in a feed is the last `ts_recv` (which never falls in a feed, unless it is
flagged, rule 16), how many records had it, and how many came after them whose time is doubtful. A
feed that goes back to before that place and says the same again is joined just behind it; one that
does not go back so far has a gap.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import UNDEF_TIMESTAMP, Flag, MboBatch, slice_batch


class Place(NamedTuple):
    """Behind which record a feed was left.

    Attributes:
        ts_recv: of the last record that has a trusted time.
        count: how many records had it.
        after: how many records came since, none of whose times is trusted.
        ts_event: the last that was not undefined, to ask a gateway by.
    """

    ts_recv: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs
    after: int
    ts_event: int


_DOUBTFUL = int(Flag.BAD_TS_RECV | Flag.SNAPSHOT)
START = Place(-1, 0, 0, 0)
"""Before the first record."""


def advanced(place: Place, batch: MboBatch) -> Place:
    """The place behind a batch that was taken at a place."""
    rows = len(batch.action)
    if rows == 0:
        return place
    ts_event = int(batch.ts_event[-1])
    if ts_event == UNDEF_TIMESTAMP:
        ts_event = place.ts_event
    latest = int(batch.ts_recv[-1])
    if rows == 1 or latest != batch.ts_recv[-2]:
        doubtful = batch.flags[-1] & _DOUBTFUL == Flag.BAD_TS_RECV or latest == UNDEF_TIMESTAMP
        if not doubtful:  # as nearly always; the rest is the same for any batch
            count = 1 + (place.count if latest == place.ts_recv else 0)
            return Place(latest, count, 0, ts_event)
    trusted = np.flatnonzero(is_trusted(batch))
    if len(trusted) == 0:
        return place._replace(after=place.after + rows, ts_event=ts_event)
    times = batch.ts_recv[trusted]
    latest = int(times[-1])
    count = int(np.count_nonzero(times == latest))
    if latest == place.ts_recv:
        count += place.count
    return Place(latest, count, rows - 1 - int(trusted[-1]), ts_event)


def is_trusted(batch: MboBatch) -> NDArray[np.bool_]:
    """Which records have a time that orders them (rule 16)."""
    # A flagged time orders nothing, but that of a snapshot's record is the snapshot's.
    doubtful = (batch.flags & _DOUBTFUL) == Flag.BAD_TS_RECV
    trusted: NDArray[np.bool_] = ~doubtful & (batch.ts_recv != UNDEF_TIMESTAMP)
    return trusted


class Join(Enum):
    """How far the joining of a feed has come."""

    SEEKING = "seeking"  # the place has not come yet
    JOINED = "joined"  # just behind it: nothing was lost
    GAP = "gap"  # the feed began behind it, or says something else


class Joiner:
    """Leaves out of a feed what was taken before it was lost.

    Attributes:
        state: as of the last batch.
        left_out: records that were.
    """

    def __init__(self, place: Place) -> None:
        self.state = Join.JOINED if place == START else Join.SEEKING
        self.left_out = 0
        self._place = place
        self._count = 0
        self._after = 0

    def take(self, batch: MboBatch) -> MboBatch:
        """The records of the feed's next batch that are new."""
        if self.state is not Join.SEEKING:
            return batch
        new = self._first_new(batch)
        self.left_out += new
        return slice_batch(batch, new, len(batch.action))

    def _first_new(self, batch: MboBatch) -> int:
        rows, row = len(batch.action), 0
        if self._count < self._place.count:
            trusted = np.flatnonzero(is_trusted(batch))
            times = batch.ts_recv[trusted]
            later = int(np.argmax(times > self._place.ts_recv)) if len(times) else 0
            is_past = len(times) > 0 and bool(times[later] > self._place.ts_recv)
            same = trusted[: later if is_past else len(times)]
            same = same[batch.ts_recv[same] == self._place.ts_recv]
            wanted = self._place.count - self._count
            if len(same) < wanted:
                self._count += len(same)
                if not is_past:
                    return rows
                self.state = Join.GAP
                return int(trusted[later]) if trusted[0] < trusted[later] else 0
            self._count += wanted
            row = int(same[wanted - 1]) + 1
        left_out = min(rows - row, self._place.after - self._after)
        self._after += left_out
        if self._after == self._place.after:
            self.state = Join.JOINED
        return row + left_out
