"""The one compiled pass over DBN records: validate, and turn rows into columns.

The rule here: nothing is read outside `[start, stop)`, and no row leaves this file that has not
been checked. A kernel never raises: it stops, says where and why, and leaves words to `dbn.py`.

One loop for runs of MBO records (one compare of length byte and rtype, one of action and side) and
one step for whatever ends a run. Wide loads picked apart with shifts beat a load per field by
about a tenth. Measured and left out: prefetching, column-wise blocks, staggered columns and checks
gathered over a block gain nothing; two records a turn gain a tenth, for twice the code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.native import kernel, load_i64, load_u32, load_u64

# Why a pass stopped. From BAD_RTYPE on, the record at the returned position is bad.
INPUT_END = 0
ROWS_FULL = 1
OTHERS_FULL = 2
BAD_RTYPE = 3
BAD_LENGTH = 4
BAD_FRAME = 5
BAD_ACTION = 6
BAD_SIDE = 7

RTYPE_MBO = 0xA0
ACTION_OK = 1
SIDE_OK = 2


@kernel
def decode_records(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    frame_bytes: int,
    words_of_rtype: NDArray[np.uint8],
    letters: NDArray[np.uint8],
    ts_recv: NDArray[np.uint64],
    ts_event: NDArray[np.uint64],
    publisher_id: NDArray[np.uint16],
    instrument_id: NDArray[np.uint32],
    action: NDArray[np.uint8],
    side: NDArray[np.uint8],
    price: NDArray[np.int64],
    size: NDArray[np.uint32],
    channel_id: NDArray[np.uint8],
    order_id: NDArray[np.uint64],
    flags: NDArray[np.uint8],
    ts_in_delta: NDArray[np.int32],
    sequence: NDArray[np.uint32],
    row: int,
    other_position: NDArray[np.int64],
    other_row: NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Decode whole records of `data[start:stop]` into the columns from `row` on.

    `frame_bytes` is 4 if a u32 byte count stands before each record, else 0. `words_of_rtype` has,
    by rtype, a record's length in 4-byte words, 0 where the rtype is unknown. `letters` has
    ACTION_OK and SIDE_OK set for the letters that an action and a side may be; both are (256,).
    The columns are all of one length. For each whole record that is not MBO, `other_position` and
    `other_row` are given its position in `data` and the row before which it came.

    Returns:
        Position of the first byte not consumed, the next row, the number of other records, and
        why the pass stopped: there is no further whole record (INPUT_END), no room (ROWS_FULL,
        OTHERS_FULL), or the record at the position is bad.
    """
    position = start
    other_records = 0
    rows = len(action)
    # By way of int64: numba makes a float of an int64 and a uint64.
    mbo_words = int(np.int64(words_of_rtype[RTYPE_MBO]))
    stride = frame_bytes + 4 * mbo_words
    mbo_header = (RTYPE_MBO << 8) | mbo_words
    while True:
        for _ in range(min(rows - row, (stop - position) // stride)):
            at = position + frame_bytes
            if frame_bytes and load_u32(data, position) != 4 * mbo_words:
                break
            header = load_u64(data, at)
            if np.int64(header & np.uint64(0xFFFF)) != mbo_header:
                break
            middle = load_u64(data, at + 32)
            action_code = np.uint8(middle >> np.uint64(48))
            side_code = np.uint8(middle >> np.uint64(56))
            if not (letters[action_code] & (letters[side_code] >> 1)):
                break
            publisher_id[row] = np.uint16(header >> np.uint64(16))
            instrument_id[row] = np.uint32(header >> np.uint64(32))
            ts_event[row] = load_u64(data, at + 8)
            order_id[row] = load_u64(data, at + 16)
            price[row] = load_i64(data, at + 24)
            size[row] = np.uint32(middle)
            flags[row] = np.uint8(middle >> np.uint64(32))
            channel_id[row] = np.uint8(middle >> np.uint64(40))
            action[row] = action_code
            side[row] = side_code
            ts_recv[row] = load_u64(data, at + 40)
            last = load_u64(data, at + 48)
            ts_in_delta[row] = np.int32(last)
            sequence[row] = np.uint32(last >> np.uint64(32))
            position += stride
            row += 1

        # Here the run is over: by the end, for want of room, or by a record of another kind.
        at = position + frame_bytes
        if at + 2 > stop:
            return position, row, other_records, INPUT_END
        words = int(np.int64(data[at]))
        rtype = data[at + 1]
        expected = int(np.int64(words_of_rtype[rtype]))
        if expected == 0:
            return position, row, other_records, BAD_RTYPE
        if words != expected:
            return position, row, other_records, BAD_LENGTH
        if frame_bytes and load_u32(data, position) != 4 * words:
            return position, row, other_records, BAD_FRAME
        if at + 4 * words > stop:
            return position, row, other_records, INPUT_END
        if rtype == RTYPE_MBO:
            if not letters[data[at + 38]] & ACTION_OK:
                return position, row, other_records, BAD_ACTION
            if not letters[data[at + 39]] & SIDE_OK:
                return position, row, other_records, BAD_SIDE
            return position, row, other_records, ROWS_FULL
        if other_records == len(other_position):
            return position, row, other_records, OTHERS_FULL
        other_position[other_records] = position
        other_row[other_records] = row
        other_records += 1
        position = at + 4 * words
