"""Places in a feed, record by record: what a place is behind a batch, and where it is in another.

The rule here: nothing depends on how a feed was cut into batches. See `resume.py` for what a place
is; the digest is of all records from the first that has its time on.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from batonics.live.resume_columns import IdentityColumns
from batonics.model.mbo import UNDEF_TIMESTAMP, Flag
from batonics.native import as_word, inlined, kernel


class PositionWord(IntEnum):
    """Words of a place, and of the search for one."""

    TS_RECV = 0
    COUNT = 1
    AFTER = 2
    DIGEST = 3
    TS_EVENT = 4
    SEEN_COUNT = 5  # of the search, as are all from here
    SEEN_AFTER = 6
    SEEN_DIGEST = 7
    STATE = 8


SEEKING, RESUMED, GAP = 0, 1, 2
TS_RECV, COUNT, AFTER, DIGEST = (int(word) for word in list(PositionWord)[:4])
TS_EVENT = int(PositionWord.TS_EVENT)
SEEN_COUNT, SEEN_AFTER = int(PositionWord.SEEN_COUNT), int(PositionWord.SEEN_AFTER)
SEEN_DIGEST, STATE = int(PositionWord.SEEN_DIGEST), int(PositionWord.STATE)
BAD, DOUBTFUL = int(Flag.BAD_TS_RECV), int(Flag.BAD_TS_RECV | Flag.SNAPSHOT)
UNDEF = UNDEF_TIMESTAMP
_FACTOR = 0x5851_F42D_4C95_7F2D  # of Knuth's MMIX generator: odd, and its bits are well mixed


@inlined
def is_trusted(columns: IdentityColumns, i: int) -> bool:
    """Whether a record has a time that orders it (rule 16); a snapshot's is the snapshot's."""
    flags = columns.flags[i]
    trusted: bool = (flags & DOUBTFUL) != BAD and columns.ts_recv[i] != np.uint64(UNDEF)
    return trusted


@inlined
def extend_digest(digest: int, columns: IdentityColumns, i: int) -> int:
    """A digest with one more record in it."""
    for word in (
        as_word(columns.order_id[i]),
        columns.price[i],
        as_word(columns.size[i]) << 16
        | as_word(columns.action[i]) << 8
        | as_word(columns.flags[i]),
        as_word(columns.sequence[i]) << 32 | as_word(columns.instrument_id[i]),
    ):
        digest = (digest ^ word) * _FACTOR
    return digest


@kernel
def advance_position(columns: IdentityColumns, position: NDArray[np.int64]) -> None:
    """Move a place behind a batch of records, of which there are some."""
    rows = len(columns.flags)
    last = rows - 1
    while last >= 0 and not is_trusted(columns, last):
        last -= 1
    first, count, j = as_word(0), as_word(0), last
    while j >= 0:
        if is_trusted(columns, j):
            if columns.ts_recv[j] != columns.ts_recv[last]:
                break
            count += 1
            first = j
        j -= 1
    digest = as_word(0)
    if last < 0 or (j < 0 and as_word(columns.ts_recv[last]) == position[TS_RECV]):
        first, digest = as_word(0), position[DIGEST]
        count += position[COUNT]
    position[AFTER] = rows - 1 - last if last >= 0 else position[AFTER] + rows
    if last >= 0:
        position[TS_RECV] = as_word(columns.ts_recv[last])
    position[COUNT] = count
    for i in range(first, rows):
        digest = extend_digest(digest, columns, i)
    position[DIGEST] = digest
    if columns.ts_event[rows - 1] != np.uint64(UNDEF):
        position[TS_EVENT] = as_word(columns.ts_event[rows - 1])


@kernel
def seek_position(columns: IdentityColumns, words: NDArray[np.int64]) -> int:
    """Look for a place in the next batch of a feed; the first record that is new.

    `words` are those of `Word`; STATE is SEEKING before, and what has become of it afterwards.
    """
    rows, tie, is_first = len(columns.flags), as_word(-1), True
    for i in range(rows):
        trusted = is_trusted(columns, i)
        if words[SEEN_COUNT] < words[COUNT]:
            ts_recv = as_word(columns.ts_recv[i])
            if trusted and ts_recv > words[TS_RECV]:
                words[STATE] = GAP
                return as_word(0) if is_first else as_word(i)
            is_first = is_first and not trusted
            here = trusted and ts_recv == words[TS_RECV]
            if not here and words[SEEN_COUNT] == 0:
                continue
            words[SEEN_COUNT] += as_word(here)
        else:
            words[SEEN_AFTER] += 1
        if tie < 0:
            tie = as_word(i)
        words[SEEN_DIGEST] = extend_digest(words[SEEN_DIGEST], columns, i)
        if words[SEEN_COUNT] == words[COUNT] and words[SEEN_AFTER] == words[AFTER]:
            if words[SEEN_DIGEST] == words[DIGEST]:
                words[STATE] = RESUMED
                return as_word(i + 1)
            # It has this time too, but says something else: what it says is new.
            words[STATE] = GAP
            return tie
    return rows
