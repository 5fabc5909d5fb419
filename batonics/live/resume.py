"""Where a feed was left, and how to go on after it was lost without losing or doubling a record.

The rule here: a place in a feed is the last `ts_recv` (which never falls in a feed, unless it is
flagged, rule 16), how many records had it, how many came after them whose time is doubtful, and a
digest of these records, since a feed may well begin within one time. A feed that goes back to
before that place and says the same again is joined just behind it; any other has a gap.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import numpy as np

from batonics.live.resume_columns import identity_columns
from batonics.live.resume_kernels import PositionWord, advance_position, seek_position
from batonics.model.mbo import (
    Action,
    Flag,
    MboBatch,
    record_keys,
    slice_batch,
)


class FeedPosition(NamedTuple):
    """Behind which record a feed was left.

    Attributes:
        ts_recv: of the last record that has a trusted time.
        count: how many records had it.
        after: how many records came since, none of whose times is trusted.
        digest: of all records from the first with that time on.
        ts_event: the last that was not undefined, to ask a gateway by.
    """

    ts_recv: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs
    after: int
    digest: int
    ts_event: int


FEED_START = FeedPosition(-1, 0, 0, 0, 0)
"""Before the first record."""


def position_after(position: FeedPosition, batch: MboBatch) -> FeedPosition:
    """The place behind a batch that was taken at a place."""
    if len(batch.action) == 0:
        return position
    words = np.array(position, np.int64)
    advance_position(identity_columns(batch), words)
    return FeedPosition._make(words.tolist())


class TruncatedSnapshotMarker:
    """Doubts snapshots whose beginning a gap may have swallowed.

    A snapshot may begin without R (rule 14), so the rest of one looks like a whole one. Where the
    first record of a book behind a gap is a snapshot's, but no R, it is flagged F_MAYBE_BAD_BOOK:
    the book stays stale (rule 17).

    Attributes:
        done: so many records have come since that none is in doubt any more.
    """

    RECORDS_MAX = 1_000_000

    def __init__(self) -> None:
        self.done = False
        self._records = 0
        self._seen = np.empty(0, np.int64)

    def take(self, batch: MboBatch) -> MboBatch:
        """The batch, with the flags of such records."""
        keys, first = np.unique(record_keys(batch), return_index=True)
        first = first[~np.isin(keys, self._seen)]
        self._seen = np.union1d(self._seen, keys)
        self._records += len(batch.action)
        self.done = self._records > self.RECORDS_MAX
        doubtful = first[
            (batch.flags[first] & Flag.SNAPSHOT != 0) & (batch.action[first] != Action.CLEAR)
        ]
        if len(doubtful) == 0:
            return batch
        flags = batch.flags.copy()
        flags[doubtful] |= int(Flag.MAYBE_BAD_BOOK)
        return batch._replace(flags=flags)


class ResumeState(Enum):
    """How far the joining of a feed has come."""

    SEEKING = 0  # the place has not come yet
    RESUMED = 1  # just behind it: nothing was lost
    GAP = 2  # the feed began behind it, or says something else


class Resumer:
    """Leaves out of a feed what was taken before it was lost.

    Attributes:
        state: as of the last batch.
        left_out: records that were.
    """

    def __init__(self, position: FeedPosition) -> None:
        self.state = ResumeState.RESUMED if position == FEED_START else ResumeState.SEEKING
        self.left_out = 0
        self._words = np.zeros(len(PositionWord), np.int64)
        self._words[: len(position)] = np.array(position, np.int64)

    def take(self, batch: MboBatch) -> MboBatch:
        """The records of the feed's next batch that are new."""
        if self.state is not ResumeState.SEEKING:
            return batch
        new = int(seek_position(identity_columns(batch), self._words))
        self.state = ResumeState(int(self._words[PositionWord.STATE]))
        self.left_out += new
        return slice_batch(batch, new, len(batch.action))
