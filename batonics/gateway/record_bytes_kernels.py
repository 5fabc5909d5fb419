"""Compiled passes over the bytes of DBN records: where each ends, when it is due, and copies.

The rule here: the first byte of a record is its length in words of 4 bytes. Nothing else of it is
checked, so that records of any kind pass unchanged. Nothing is read outside `[start, stop)`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.book.rule_kernels import has_trusted_time
from batonics.model.mbo import RTYPE_MBO
from batonics.native import as_word, kernel, load_i64, load_u64

INDEX_INPUT_END = 0
INDEX_FULL = 1
INDEX_BAD_LENGTH = 2
INDEX_NEXT_FILE = 3
INDEX_CUT_HEADER = 4

_HEADER_BYTES = 16
_D, _B = b"DB"
MBO_BYTES = 56
_FLAGS_AT, _TS_RECV_AT = 36, 40


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

    An MBO record is due at its `ts_recv`, any other record with the one before it. Due times never
    fall: a time that orders nothing (rule 16, UNDEF_TIMESTAMP) is ignored.

    Args:
        data: the bytes.
        start: the position of the first record.
        stop: the end of the bytes.
        due_ns: when the record before the first one is due.
        ends: where each record ends; written.
        dues: when each record is due; written.

    Returns:
        The number of records written, the position after the last one, when it is due, and why the
        pass stopped: no further complete record (INDEX_INPUT_END), no room (INDEX_FULL), the
        record at the position is shorter than a header (INDEX_BAD_LENGTH), or another DBN file
        begins there (INDEX_NEXT_FILE): 0x42, the second letter of `DBN`, is the rtype of no record.
    """
    position = start
    for count in range(len(ends)):
        if position >= stop:
            return count, position, due_ns, INDEX_INPUT_END
        size = 4 * int(np.int64(data[position]))
        if data[position] == _D and position + 1 < stop and data[position + 1] == _B:
            return count, position, due_ns, INDEX_NEXT_FILE
        if size < _HEADER_BYTES:
            return count, position, due_ns, INDEX_BAD_LENGTH
        if position + size > stop:
            return count, position, due_ns, INDEX_INPUT_END
        if size >= MBO_BYTES and data[position + 1] == RTYPE_MBO:
            ts_recv = load_i64(data, position + _TS_RECV_AT)
            # As a signed word UNDEF_TIMESTAMP reads -1.
            if ts_recv > due_ns and has_trusted_time(as_word(data[position + _FLAGS_AT])):
                due_ns = ts_recv
        position += size
        ends[count] = position
        dues[count] = due_ns
    return len(ends), position, due_ns, INDEX_FULL


@kernel
def skip_records(
    data: NDArray[np.uint8], start: int, due_ns: int, records_max: int
) -> tuple[int, int, int]:
    """Pass over records from `start` on, of which the last may be cut.

    Args:
        data: the bytes.
        start: the position of the first record.
        due_ns: the time of the record before it; -1: it has none.
        records_max: how many records are passed over.

    Returns:
        The position after the last record, which may be behind the bytes; when it is due, as in
        `index_records`; and why the pass stopped, as there. INDEX_CUT_HEADER: the byte at the
        position may begin a record or another DBN file.
    """
    position, stop = start, len(data)
    for _ in range(records_max):
        if position >= stop:
            return position, due_ns, INDEX_INPUT_END
        size = 4 * int(np.int64(data[position]))
        if data[position] == _D:
            if position + 1 == stop:
                return position, due_ns, INDEX_CUT_HEADER
            if data[position + 1] == _B:
                return position, due_ns, INDEX_NEXT_FILE
        if size < _HEADER_BYTES:
            return position, due_ns, INDEX_BAD_LENGTH
        is_whole = position + size <= stop
        if is_whole and size >= MBO_BYTES and data[position + 1] == RTYPE_MBO:
            ts_recv = load_i64(data, position + _TS_RECV_AT)
            if ts_recv > due_ns and has_trusted_time(as_word(data[position + _FLAGS_AT])):
                due_ns = ts_recv
        position += size
    return position, due_ns, INDEX_FULL


@kernel
def read_headers(
    data: NDArray[np.uint8], ends: NDArray[np.int64], headers: NDArray[np.uint64]
) -> None:
    """Write the first 8 bytes of each record: length, rtype, publisher_id and instrument_id."""
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
    """Copy the kept records, each after its length in bytes (u32); the number of bytes written."""
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
    """Copy records in the given order, one after the other."""
    at = 0
    for index in range(len(starts)):
        start, size = starts[index], sizes[index]
        for byte in range(size):
            out[at + byte] = data[start + byte]
        at += size
