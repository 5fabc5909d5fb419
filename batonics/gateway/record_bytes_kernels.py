"""Compiled passes over records as they stand on the wire: where each ends, and when it is due.

The rule here: a record is what its own first byte says, in words of 4 bytes; nothing else of it is
checked, so that records of any kind pass as they are. Nothing is read outside `[start, stop)`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.native import kernel, load_i64, load_u64

INDEX_INPUT_END = 0
INDEX_FULL = 1
INDEX_BAD_LENGTH = 2

_RTYPE_MBO = 0xA0
_HEADER_BYTES = 16
_FLAGS_AT, _TS_RECV_AT, _MBO_BYTES = 36, 40, 56
_SNAPSHOT, _BAD_TS_RECV = 32, 8


@kernel
def index_records(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    due_ns: int,
    ends: NDArray[np.int64],
    dues: NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Find the whole records of `data[start:stop]`: where each ends, and when it is due.

    An MBO record is due at its `ts_recv`, any other with the one before it; times never run
    backwards, and one that orders nothing (rule 16, UNDEF_TIMESTAMP) is passed over. `due_ns` is
    that of the record before the first.

    Returns:
        How many records there are in `ends` and `dues`, the position after the last one, when it is
        due, and why the pass stopped: no further whole record (INPUT_END), no room (FULL), or the
        record at the position is shorter than a header (BAD_LENGTH).
    """
    position = start
    for count in range(len(ends)):
        if position >= stop:
            return count, position, due_ns, INDEX_INPUT_END
        size = 4 * int(np.int64(data[position]))
        if size < _HEADER_BYTES:
            return count, position, due_ns, INDEX_BAD_LENGTH
        if position + size > stop:
            return count, position, due_ns, INDEX_INPUT_END
        if size >= _MBO_BYTES and data[position + 1] == _RTYPE_MBO:
            ts_recv = load_i64(data, position + _TS_RECV_AT)
            flags = data[position + _FLAGS_AT] & (_SNAPSHOT | _BAD_TS_RECV)
            # As a signed word UNDEF_TIMESTAMP reads -1.
            if ts_recv > due_ns and flags != _BAD_TS_RECV:
                due_ns = ts_recv
        position += size
        ends[count] = position
        dues[count] = due_ns
    return len(ends), position, due_ns, INDEX_FULL


@kernel
def read_headers(
    data: NDArray[np.uint8], ends: NDArray[np.int64], headers: NDArray[np.uint64]
) -> None:
    """The first 8 bytes of each record: length, rtype, publisher_id and instrument_id."""
    start = 0
    for index in range(len(ends)):
        headers[index] = load_u64(data, start)
        start = ends[index]


@kernel
def prefix_records(
    data: NDArray[np.uint8],
    ends: NDArray[np.int64],
    kept: NDArray[np.bool_],
    out: NDArray[np.uint8],
) -> int:
    """Copy the records that are kept, each after its byte count (u32); how many bytes they are."""
    start, at = 0, 0
    for index in range(len(ends)):
        size = ends[index] - start
        if kept[index]:
            for byte in range(4):
                out[at + byte] = (size >> (8 * byte)) & 255
            for byte in range(size):
                out[at + 4 + byte] = data[start + byte]
            at += 4 + size
        start = ends[index]
    return at


@kernel
def gather_records(
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> None:
    """Copy records, in the order given, one after the other."""
    at = 0
    for index in range(len(starts)):
        start, size = starts[index], sizes[index]
        for byte in range(size):
            out[at + byte] = data[start + byte]
        at += size
