"""Writing and reading the memory of a record log (`record_log.py`).

The rule here: a writer claims bytes before it writes them and publishes them afterwards, with a
fence on either side. So a reader that copies first and looks at the claim afterwards knows whether
what it has copied was whole.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import MBO_DTYPE, RTYPE_MBO, MboBatch
from batonics.native import at, kernel, memory_fence


class LogWord(IntEnum):
    """The words of the log's head. Places count bytes since the log began, and never fall."""

    CAPACITY = 0  # bytes of the ring
    CLAIMED = 1  # bytes before this place may have been written
    WRITTEN = 2  # bytes before this place are written


ENTRY_WORDS = 2
"""Words before the content of an entry: kind << 32 | bytes of the content, and a number."""
ROW_WORDS = MBO_DTYPE.itemsize // 8
OVERTAKEN = -1
_CAPACITY, _CLAIMED = int(LogWord.CAPACITY), int(LogWord.CLAIMED)
_WRITTEN = int(LogWord.WRITTEN)
_HEADER = RTYPE_MBO << 8 | MBO_DTYPE.itemsize // 4


@kernel
def write_rows(
    head: NDArray[np.int64],
    ring: NDArray[np.int64],
    place: int,
    end: int,
    entry: int,
    number: int,
    columns: MboBatch,
    first: int,
    stop: int,
) -> None:
    """Append rows `[first, stop)` of a batch as an entry from `place` to `end`, 56 bytes each."""
    head[_CLAIMED] = end
    memory_fence()
    word = (place % head[_CAPACITY]) >> 3
    ring[at(word)], ring[at(word + 1)] = entry, number
    word += ENTRY_WORDS
    for row in range(first, stop):
        i = at(row)
        ring[at(word)] = (
            _HEADER
            | np.int64(columns.publisher_id[i]) << 16
            | np.int64(columns.instrument_id[i]) << 32
        )
        ring[at(word + 1)] = np.int64(columns.ts_event[i])
        ring[at(word + 2)] = np.int64(columns.order_id[i])
        ring[at(word + 3)] = columns.price[i]
        ring[at(word + 4)] = (
            np.int64(columns.size[i])
            | np.int64(columns.flags[i]) << 32
            | np.int64(columns.channel_id[i]) << 40
            | np.int64(columns.action[i]) << 48
            | np.int64(columns.side[i]) << 56
        )
        ring[at(word + 5)] = np.int64(columns.ts_recv[i])
        ring[at(word + 6)] = (
            np.int64(columns.ts_in_delta[i]) & 0xFFFF_FFFF | np.int64(columns.sequence[i]) << 32
        )
        word += ROW_WORDS
    memory_fence()
    head[_WRITTEN] = end


@kernel
def write_words(
    head: NDArray[np.int64],
    ring: NDArray[np.int64],
    place: int,
    end: int,
    entry: int,
    number: int,
    words: NDArray[np.int64],
) -> None:
    """Append words as an entry from `place` to `end`."""
    head[_CLAIMED] = end
    memory_fence()
    word = (place % head[_CAPACITY]) >> 3
    ring[at(word)], ring[at(word + 1)] = entry, number
    for i in range(len(words)):
        ring[at(word + ENTRY_WORDS + i)] = words[at(i)]
    memory_fence()
    head[_WRITTEN] = end


@kernel
def copy_entries(
    head: NDArray[np.int64], ring: NDArray[np.int64], place: int, out: NDArray[np.int64]
) -> int:
    """Copy what is written from `place` on, as far as `out` has room and the ring goes.

    Returns:
        How many words were copied; OVERTAKEN if the writer may have overwritten some of them.
    """
    written = head[_WRITTEN]
    memory_fence()
    capacity = head[_CAPACITY]
    word = (place % capacity) >> 3
    count = min((written - place) >> 3, len(out), (capacity >> 3) - word)
    for i in range(count):
        out[at(i)] = ring[at(word + i)]
    memory_fence()
    if place < head[_CLAIMED] - capacity:
        return OVERTAKEN
    return int(count)
