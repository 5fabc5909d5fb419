"""The compiled pass over lines of NDJSON ops: flat JSON objects into MBO rows.

The rule here: a line is either understood beyond doubt or left alone. Whatever is unusual (escapes,
nesting, fractions, bytes outside ASCII, a field of a wrong type, a missing one) is DOUBTFUL and
goes to a full JSON parser, which accepts it or finds the words for the error.

Every line ends with a newline, and no scan passes one: it is no white space here, no part of a
string and no digit. So no scan needs a bound.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.native import kernel

INPUT_END = 0
ROWS_FULL = 1
NEW_SYMBOL = 2
DOUBTFUL = 3

# A short text as an integer, its bytes little-endian: to tell fields and kinds by one compare.
_ADD = int.from_bytes(b"add", "little")
_CANCEL = int.from_bytes(b"cancel", "little")
_MODIFY = int.from_bytes(b"modify", "little")
_FILL = int.from_bytes(b"fill", "little")
_CLEAR = int.from_bytes(b"clear", "little")
_BID = int.from_bytes(b"bid", "little")
_ASK = int.from_bytes(b"ask", "little")
_KEY_TYPE = int.from_bytes(b"type", "little")
_KEY_SYMBOL = int.from_bytes(b"symbol", "little")
_KEY_SIDE = int.from_bytes(b"side", "little")
_KEY_OID = int.from_bytes(b"oid", "little")
_KEY_PX = int.from_bytes(b"px", "little")
_KEY_QTY = int.from_bytes(b"qty", "little")
_KEY_SEQ = int.from_bytes(b"seq", "little")
_KEY_TS_NS = int.from_bytes(b"ts_ns", "little")

# Bits of the fields that a line has.
_TYPE, _SYMBOL, _SIDE, _OID, _PX, _QTY, _SEQ, _TS_NS = 1, 2, 4, 8, 16, 32, 64, 128

_TEXT, _NUMBER, _NULL = 1, 2, 3
_UNDEF_PRICE = 2**63 - 1
_UNDEF_SIZE = 2**32 - 1
_F_LAST = 128


@kernel
def pack(data: NDArray[np.uint8], start: int, stop: int) -> int:
    """A text of 1 to 7 bytes as an integer; 0 for any other."""
    word = 0
    if stop - start <= 7:
        for at in range(start, stop):
            word |= int(np.int64(data[at])) << (8 * (at - start))
    return word


@kernel
def skip_space(data: NDArray[np.uint8], at: int) -> int:
    """The first position from `at` on that is no space, tab or carriage return."""
    while data[at] == 32 or data[at] == 9 or data[at] == 13:
        at += 1
    return at


@kernel
def end_of_text(data: NDArray[np.uint8], at: int, byte_max: int) -> int:
    """Where the quote is that ends the text starting at `at`; -1 if a byte on the way is unusual.

    Unusual are controls, backslashes, and what exceeds `byte_max`.
    """
    while data[at] != 34:
        if data[at] < 32 or data[at] == 92 or data[at] > byte_max:
            return -1
        at += 1
    return at


@kernel
def find_symbol(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    slots: NDArray[np.int64],
    symbol_stop: NDArray[np.int64],
    symbol_bytes: NDArray[np.uint8],
) -> int:
    """The slot of the symbol `data[start:stop]`: its own, or the free one where it belongs.

    `slots` is an open hash table, a power of two long and never full, of symbol numbers from 1 on,
    0 being free. Symbol n is `symbol_bytes[symbol_stop[n - 1]:symbol_stop[n]]`.
    """
    digest = np.uint64(14695981039346656037)
    for at in range(start, stop):
        digest = (digest ^ np.uint64(data[at])) * np.uint64(1099511628211)
    slot = int(np.int64(digest >> np.uint64(20))) & (len(slots) - 1)
    while slots[slot] != 0:
        first = symbol_stop[slots[slot] - 1]
        if symbol_stop[slots[slot]] - first == stop - start:
            same = 0
            while same < stop - start and symbol_bytes[first + same] == data[start + same]:
                same += 1
            if same == stop - start:
                break
        slot = (slot + 1) & (len(slots) - 1)
    return slot


@kernel
def parse_lines(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    byte_max: int,
    line_bytes_max: int,
    slots: NDArray[np.int64],
    symbol_stop: NDArray[np.int64],
    symbol_bytes: NDArray[np.uint8],
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
) -> tuple[int, int, int, int, int, int]:
    """Parse the lines of `data[start:stop]`, which ends with a newline, into rows from `row` on.

    Texts may hold bytes up to `byte_max` (127: ASCII only). Symbols are as `find_symbol` says.

    Returns:
        Position of the first line not consumed, the next row, the number of ops, why the pass
        stopped (NEW_SYMBOL and DOUBTFUL are about the line at the position), and for NEW_SYMBOL
        where the symbol is in `data`, from and to.
    """
    position = start
    ops = 0
    while True:
        if position >= stop:
            return position, row, ops, INPUT_END, 0, 0
        at = skip_space(data, position)
        if data[at] == 10 and at - position <= line_bytes_max:
            position = at + 1
            continue
        if row + 2 > len(action):
            return position, row, ops, ROWS_FULL, 0, 0

        has = 0
        kind = 0
        side_word = 0
        symbol_start = 0
        symbol_end = 0
        oid = np.uint64(0)
        px = np.int64(_UNDEF_PRICE)
        qty = np.int64(_UNDEF_SIZE)
        seq = np.int64(0)
        ts_ns = np.uint64(0xFFFFFFFFFFFFFFFF)
        good = bool(data[at] == 123)
        while good:
            # One member: a name, a colon, a value, and a comma or the closing brace.
            good = False
            at = skip_space(data, at + 1)
            if data[at] != 34:
                break
            name_end = end_of_text(data, at + 1, byte_max)
            if name_end < 0:
                break
            key = pack(data, at + 1, name_end)
            at = skip_space(data, name_end + 1)
            if data[at] != 58:
                break
            at = skip_space(data, at + 1)

            value = 0
            value_start = at
            negative = bool(data[at] == 45)
            number = np.uint64(0)
            if data[at] == 34:
                value_start = at + 1
                at = end_of_text(data, value_start, byte_max)
                if at < 0:
                    break
                value = _TEXT
                value_end = at
                at += 1
            elif data[at] == 110:
                if data[at + 1] != 117 or data[at + 2] != 108 or data[at + 3] != 108:
                    break
                value = _NULL
                value_end = at + 4
                at += 4
            else:
                if negative:
                    at += 1
                first_digit = at
                overflow = False
                while 48 <= data[at] <= 57:
                    digit = np.uint64(data[at] - 48)
                    # 2^64 - 1 is 18446744073709551615.
                    overflow = overflow or bool(
                        number > np.uint64(1844674407370955161)
                        or (number == np.uint64(1844674407370955161) and digit > np.uint64(5))
                    )
                    number = number * np.uint64(10) + digit
                    at += 1
                if (
                    at == first_digit
                    or overflow
                    or (data[first_digit] == 48 and at > first_digit + 1)
                ):
                    break
                value = _NUMBER
                value_end = at
            at = skip_space(data, at)

            bit = 0
            if key == _KEY_TYPE:
                bit = _TYPE
                kind = pack(data, value_start, value_end)
                fits = value == _TEXT
            elif key == _KEY_SYMBOL:
                bit = _SYMBOL
                symbol_start, symbol_end = value_start, value_end
                fits = value == _TEXT and value_end > value_start
            elif key == _KEY_SIDE:
                bit = _SIDE
                side_word = pack(data, value_start, value_end)
                fits = value == _TEXT and (side_word == _BID or side_word == _ASK)
            elif key == _KEY_OID:
                bit = _OID
                oid = number
                fits = value == _NUMBER and not negative
            elif key == _KEY_PX:
                bit = _PX
                fits = value == _NUMBER
                if negative:
                    fits = fits and bool(number <= np.uint64(1 << 63))
                    px = np.int64(np.uint64(0) - number)
                else:
                    fits = fits and bool(number < np.uint64(_UNDEF_PRICE))
                    px = np.int64(number)
            elif key == _KEY_QTY:
                bit = _QTY
                qty = np.int64(number)
                fits = value == _NUMBER and not negative and bool(number < np.uint64(_UNDEF_SIZE))
            elif key == _KEY_SEQ:
                bit = _SEQ
                seq = np.int64(number)
                fits = value == _NUMBER and not negative and bool(number <= np.uint64(0xFFFFFFFF))
            elif key == _KEY_TS_NS:
                bit = _TS_NS
                ts_ns = number
                fits = value == _NUMBER and not negative
            else:
                fits = True
            # A null, or a second time the same field: rare, so not sorted out here.
            if not fits or (bit and value == _NULL) or has & bit:
                break
            has |= bit
            if data[at] == 125:
                at = skip_space(data, at + 1)
                good = bool(data[at] == 10)
                break
            good = bool(data[at] == 44)

        if kind == _ADD:
            needed = _SYMBOL | _SIDE | _OID | _PX | _QTY
        elif kind == _CANCEL or kind == _MODIFY:
            needed = _SYMBOL | _OID
        elif kind == _FILL:
            needed = _SYMBOL | _OID | _QTY
        elif kind == _CLEAR:
            needed = _SYMBOL
        else:
            good = False
            needed = 0
        if not good or has & needed != needed or at - position > line_bytes_max:
            return position, row, ops, DOUBTFUL, 0, 0
        slot = find_symbol(data, symbol_start, symbol_end, slots, symbol_stop, symbol_bytes)
        if slots[slot] == 0:
            return position, row, ops, NEW_SYMBOL, symbol_start, symbol_end

        action_code = ord("A")
        if kind == _MODIFY:
            action_code = ord("m")
        elif kind == _CANCEL and has & _QTY:
            action_code = ord("C")
        elif kind == _CANCEL:
            # The whole order, whatever its size: a modify to size 0 says so (rule 9).
            action_code = ord("m")
            qty, px, side_word = np.int64(0), np.int64(_UNDEF_PRICE), 0
        elif kind == _FILL:
            action_code = ord("F")
        elif kind == _CLEAR:
            action_code = ord("R")
            qty, px, side_word, oid = np.int64(0), np.int64(_UNDEF_PRICE), 0, np.uint64(0)
        side_code = ord("N")
        if side_word == _BID:
            side_code = ord("B")
        elif side_word == _ASK:
            side_code = ord("A")

        last_row = row + 1 if kind == _FILL else row
        while row <= last_row:
            ts_recv[row] = ts_ns
            ts_event[row] = ts_ns
            publisher_id[row] = 0
            instrument_id[row] = slots[slot]
            action[row] = action_code
            side[row] = side_code
            price[row] = px
            size[row] = qty
            channel_id[row] = 255
            order_id[row] = oid
            flags[row] = _F_LAST if row == last_row else 0
            ts_in_delta[row] = 0
            sequence[row] = seq
            row += 1
            # A fill here does take the size away: a C follows the F (rule 6).
            action_code = ord("C")
        ops += 1
        position = at + 1
