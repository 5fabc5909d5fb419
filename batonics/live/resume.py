"""The position where a feed was lost, and how a new connection continues there exactly.

The rule here: a position is four things. The last trusted `ts_recv`, which never falls in a feed
unless it is flagged (rule 16). How many records had it. How many records came after them whose time
is not trusted. A digest of all these records, since a connection may begin in the middle of one
time. A connection that goes back to before the position and repeats the same records continues just
behind it; any other connection has a gap.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from batonics.live.resume_columns import identity_columns
from batonics.live.resume_kernels import (
    PositionWord,
    ResumeState,
    advance_position,
    seek_position,
)
from batonics.model.mbo import (
    Action,
    Flag,
    MboBatch,
    record_keys,
    slice_batch,
)


class FeedPosition(NamedTuple):
    """The record of a feed behind which a connection was lost.

    Attributes:
        ts_recv: the time of the last record with a trusted time.
        count: how many records had that time.
        after: how many records came since; none of their times is trusted.
        digest: a digest of all records from the first with that time on.
        ts_event: the last defined ts_event; a gateway is asked for records by it.
    """

    ts_recv: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nothing needs
    after: int
    digest: int
    ts_event: int


FEED_START = FeedPosition(-1, 0, 0, 0, 0)
"""The position before the first record."""


def position_after(position: FeedPosition, batch: MboBatch) -> FeedPosition:
    """The position behind a batch that follows a position."""
    if len(batch.action) == 0:
        return position
    words = np.array(position, np.int64)
    advance_position(identity_columns(batch), words)
    return FeedPosition._make(words.tolist())


class TruncatedSnapshotMarker:
    """Marks snapshots that may lack their beginning, after a gap.

    A snapshot may begin without R (rule 14), so the rest of a snapshot looks like a whole one. If
    the first record of a book behind a gap belongs to a snapshot and is no R, it is flagged
    F_MAYBE_BAD_BOOK, and the book stays stale (rule 17).

    Attributes:
        is_done: RECORDS_MAX records have come since the gap; no snapshot is in doubt any more.
    """

    RECORDS_MAX = 1_000_000

    def __init__(self) -> None:
        self.is_done = False
        self._records = 0
        self._seen: set[int] = set()  # keys of books

    def mark(self, batch: MboBatch) -> MboBatch:
        """The batch, with the flags of such records set."""
        keys, first = np.unique(record_keys(batch), return_index=True)
        first = first[[key not in self._seen for key in keys.tolist()]]
        self._seen.update(keys.tolist())
        self._records += len(batch.action)
        self.is_done = self._records > self.RECORDS_MAX
        truncated = first[
            (batch.flags[first] & Flag.SNAPSHOT != 0) & (batch.action[first] != Action.CLEAR)
        ]
        if len(truncated) == 0:
            return batch
        flags = batch.flags.copy()
        flags[truncated] |= int(Flag.MAYBE_BAD_BOOK)
        return batch._replace(flags=flags)


class Resumer:
    """Skips the records of a connection that an earlier connection has brought.

    Args:
        position: where the feed was lost.

    Attributes:
        state: the state after the last batch.
        skipped: records skipped.
    """

    def __init__(self, position: FeedPosition) -> None:
        self.state = ResumeState.RESUMED if position == FEED_START else ResumeState.SEEKING
        self.skipped = 0
        self._words = np.zeros(len(PositionWord), np.int64)
        self._words[: len(position)] = np.array(position, np.int64)

    def skip_known(self, batch: MboBatch) -> MboBatch:
        """The new records of the connection's next batch."""
        if self.state is not ResumeState.SEEKING:
            return batch
        new = int(seek_position(identity_columns(batch), self._words))
        self.state = ResumeState(int(self._words[PositionWord.STATE]))
        self.skipped += new
        return slice_batch(batch, new, len(batch.action))
