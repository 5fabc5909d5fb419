"""Positions in a feed, record by record: the position behind a batch, and the search for one.

The rule here: no result depends on how a feed was cut into batches. `resume.py` defines a position.
Its digest covers all records from the first with the position's time on.
"""

from __future__ import annotations

from enum import Enum, IntEnum

import numpy as np
from numpy.typing import NDArray

from batonics.book.rule_kernels import has_trusted_time
from batonics.live.resume_columns import IdentityColumns
from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.native import as_word, inlined, kernel


class PositionWord(IntEnum):
    """The words of a position, and of the search for one."""

    TS_RECV = 0
    COUNT = 1
    AFTER = 2
    DIGEST = 3
    TS_EVENT = 4
    SEEN_COUNT = 5  # this word and all after it belong to the search
    SEEN_AFTER = 6
    SEEN_DIGEST = 7
    STATE = 8


class ResumeState(Enum):
    """How far a connection is in finding a position."""

    SEEKING = 0  # the position has not come yet
    RESUMED = 1  # the feed continues just behind it; no record is missing
    GAP = 2  # the connection began behind it, or has other records there


_TS_RECV, _COUNT = int(PositionWord.TS_RECV), int(PositionWord.COUNT)
_AFTER, _DIGEST = int(PositionWord.AFTER), int(PositionWord.DIGEST)
_TS_EVENT, _STATE = int(PositionWord.TS_EVENT), int(PositionWord.STATE)
_SEEN_COUNT, _SEEN_AFTER = int(PositionWord.SEEN_COUNT), int(PositionWord.SEEN_AFTER)
_SEEN_DIGEST = int(PositionWord.SEEN_DIGEST)
_RESUMED, _GAP = int(ResumeState.RESUMED.value), int(ResumeState.GAP.value)
_FACTOR = 0x5851_F42D_4C95_7F2D  # the multiplier of Knuth's MMIX generator


@inlined
def is_trusted(columns: IdentityColumns, i: int) -> bool:
    """Whether a record has a time that orders it (rule 16)."""
    is_known: bool = columns.ts_recv[i] != np.uint64(UNDEF_TIMESTAMP)
    return is_known and has_trusted_time(as_word(columns.flags[i]))


@inlined
def extend_digest(digest: int, columns: IdentityColumns, i: int) -> int:
    """A digest with one more record."""
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
    """Move a position behind a batch, which has at least one record."""
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
    if last < 0 or (j < 0 and as_word(columns.ts_recv[last]) == position[_TS_RECV]):
        first, digest = as_word(0), position[_DIGEST]
        count += position[_COUNT]
    position[_AFTER] = rows - 1 - last if last >= 0 else position[_AFTER] + rows
    if last >= 0:
        position[_TS_RECV] = as_word(columns.ts_recv[last])
    position[_COUNT] = count
    for i in range(first, rows):
        digest = extend_digest(digest, columns, i)
    position[_DIGEST] = digest
    if columns.ts_event[rows - 1] != np.uint64(UNDEF_TIMESTAMP):
        position[_TS_EVENT] = as_word(columns.ts_event[rows - 1])


@kernel
def seek_position(columns: IdentityColumns, words: NDArray[np.int64]) -> int:
    """Search for a position in the next batch of a connection.

    Args:
        columns: the batch.
        words: the words of `PositionWord`. STATE is SEEKING before the call; the kernel sets it.

    Returns:
        The first new record of the batch; the number of its records if none is new.
    """
    rows, first_seen, is_first = len(columns.flags), as_word(-1), True
    for i in range(rows):
        trusted = is_trusted(columns, i)
        if words[_SEEN_COUNT] < words[_COUNT]:
            ts_recv = as_word(columns.ts_recv[i])
            if trusted and ts_recv > words[_TS_RECV]:
                words[_STATE] = _GAP
                return as_word(0) if is_first else as_word(i)
            is_first = is_first and not trusted
            has_time = trusted and ts_recv == words[_TS_RECV]
            if not has_time and words[_SEEN_COUNT] == 0:
                continue
            words[_SEEN_COUNT] += as_word(has_time)
        else:
            words[_SEEN_AFTER] += 1
        if first_seen < 0:
            first_seen = as_word(i)
        words[_SEEN_DIGEST] = extend_digest(words[_SEEN_DIGEST], columns, i)
        if words[_SEEN_COUNT] == words[_COUNT] and words[_SEEN_AFTER] == words[_AFTER]:
            if words[_SEEN_DIGEST] == words[_DIGEST]:
                words[_STATE] = _RESUMED
                return as_word(i + 1)
            # The connection has other records of this time: they are new.
            words[_STATE] = _GAP
            return first_seen
    return rows
