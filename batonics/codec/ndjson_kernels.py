"""The compiled pass over lines of NDJSON ops: flat JSON objects into MBO rows.

The rule here: a line is either understood beyond doubt or left alone. An unusual line (escapes,
nesting, fractions, bytes outside ASCII, a field of a wrong type or missing) is doubtful. It goes to
a full JSON parser (`ndjson_ops.py`), which rewrites it or has the words for the error.

Every line ends with a newline, and no scan passes one, since it is no white space here, no part of
a text and no digit. So scans need no bound.

A line is read in three steps: `parse_op` reads its members one after the other into `fields`,
`is_complete` checks that its kind has what it needs, and `write_op` writes its rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import (
    ACTION_ADD,
    ACTION_CANCEL,
    ACTION_CLEAR,
    ACTION_FILL,
    ACTION_MODIFY_PARTIAL,
    F_LAST,
    NO_CHANNEL,
    SIDE_ASK,
    SIDE_BID,
    SIDE_NONE,
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
    MboBatch,
)
from batonics.native import as_word, inlined, kernel, outlined

# Why a pass stopped.
LINES_INPUT_END = 0
LINES_ROWS_FULL = 1
LINES_NEW_SYMBOL = 2
LINES_DOUBTFUL = 3

# Bytes.
NEWLINE, SPACE, TAB, RETURN = ord("\n"), ord(" "), ord("\t"), ord("\r")
QUOTE, BACKSLASH, COMMA, COLON = ord('"'), ord("\\"), ord(","), ord(":")
OPEN_BRACE, CLOSE_BRACE, MINUS = ord("{"), ord("}"), ord("-")
LETTER_N, LETTER_U, LETTER_L, DIGIT_0, DIGIT_9 = ord("n"), ord("u"), ord("l"), ord("0"), ord("9")

# Places in `fields`, and the bits 1 << place of the fields that a line has.
FIELD_TYPE, FIELD_SYMBOL, FIELD_SIDE, FIELD_OID, FIELD_PX, FIELD_QTY, FIELD_SEQ, FIELD_TS_NS = (
    range(8)
)
FIELD_SYMBOL_STOP = 8
"""Place in `fields` of the end of the symbol; `FIELD_SYMBOL` is that of its start."""
FIELDS = 9

# A short text as an integer, its bytes little-endian: one compare tells a name or a kind.
_ADD, _CANCEL, _MODIFY, _FILL, _CLEAR, _BID, _ASK = (
    int.from_bytes(text, "little")
    for text in (b"add", b"cancel", b"modify", b"fill", b"clear", b"bid", b"ask")
)
_NAME_TYPE, _NAME_SYMBOL, _NAME_SIDE, _NAME_OID, _NAME_PX, _NAME_QTY, _NAME_SEQ, _NAME_TS_NS = (
    int.from_bytes(text, "little")
    for text in (b"type", b"symbol", b"side", b"oid", b"px", b"qty", b"seq", b"ts_ns")
)
_NEEDS_CLEAR = 1 << FIELD_SYMBOL
_NEEDS_MODIFY = 1 << FIELD_SYMBOL | 1 << FIELD_OID
_NEEDS_FILL = _NEEDS_MODIFY | 1 << FIELD_QTY
_NEEDS_ADD = _NEEDS_FILL | 1 << FIELD_SIDE | 1 << FIELD_PX

# Kinds of values.
UNUSUAL, TEXT, NUMBER, NULL = range(4)


class SymbolHash(NamedTuple):
    """Symbols by number, from 1 on, and a hash table that finds them.

    Symbol n is `text[stop[n - 1]:stop[n]]`.
    """

    slots: NDArray[np.int64]  # symbol numbers, 0 in a free slot; a power of two, never full
    stop: NDArray[np.int64]
    text: NDArray[np.uint8]
    salt: NDArray[np.uint64]  # (`hash_salt`)


class Limits(NamedTuple):
    """What the pass accepts."""

    byte_max: int  # the greatest byte in a text; 127: ASCII only
    line_bytes_max: int


class Value(NamedTuple):
    """A value in a line."""

    kind: int  # UNUSUAL, TEXT, NUMBER or NULL
    start: int  # where a text begins
    stop: int  # where a text ends
    number: np.uint64  # the digits of a number
    is_negative: bool
    end: int  # the first byte after the value


# ---------------------------------------------------------------- values


@outlined
def pack(data: NDArray[np.uint8], start: int, stop: int) -> int:
    """A text of 1 to 7 bytes as an integer; 0 for any other."""
    word = 0
    if stop - start <= 7:
        for at in range(start, stop):
            word |= int(np.int64(data[at])) << (8 * (at - start))
    return word


@inlined
def skip_space(data: NDArray[np.uint8], at: int) -> int:
    """The first position from `at` on that is no space, tab or carriage return."""
    while data[at] == SPACE or data[at] == TAB or data[at] == RETURN:
        at += 1
    return at


@inlined
def find_quote(data: NDArray[np.uint8], at: int, byte_max: int) -> int:
    """Where the quote is that ends the text starting at `at`; -1 if a byte before it is unusual.

    Unusual are controls, backslashes, and bytes above `byte_max`.
    """
    while data[at] != QUOTE:
        if data[at] < SPACE or data[at] == BACKSLASH or data[at] > byte_max:
            return -1
        at += 1
    return at


@inlined
def read_number(data: NDArray[np.uint8], start: int) -> Value:
    """The integer at a position; UNUSUAL if it has a leading zero or exceeds 2^64 - 1."""
    at, number, overflow = start, np.uint64(0), False
    is_negative = bool(data[at] == MINUS)
    if is_negative:
        at += 1
    first = at
    while DIGIT_0 <= data[at] <= DIGIT_9:
        digit = np.uint64(data[at] - DIGIT_0)
        # 2^64 - 1 is 18446744073709551615.
        overflow = overflow or bool(
            number > np.uint64(1844674407370955161)
            or (number == np.uint64(1844674407370955161) and digit > np.uint64(5))
        )
        number = number * np.uint64(10) + digit
        at += 1
    is_usual = at > first and not overflow and (data[first] != DIGIT_0 or at == first + 1)
    return Value(NUMBER if is_usual else UNUSUAL, start, at, number, is_negative, at)


@inlined
def read_value(data: NDArray[np.uint8], at: int, byte_max: int) -> Value:
    """The value at a position: a text, an integer or null."""
    if data[at] == QUOTE:
        stop = find_quote(data, at + 1, byte_max)
        kind = TEXT if stop >= 0 else UNUSUAL
        return Value(kind, at + 1, stop, np.uint64(0), False, stop + 1)
    if data[at] == LETTER_N:
        is_null = data[at + 1] == LETTER_U and data[at + 2] == LETTER_L and data[at + 3] == LETTER_L
        return Value(NULL if is_null else UNUSUAL, at, at + 4, np.uint64(0), False, at + 4)
    return read_number(data, at)


# ---------------------------------------------------------------- ops


@inlined
def store_field(data: NDArray[np.uint8], name: int, value: Value, fields: NDArray[np.int64]) -> int:
    """Store a member's value; the bit of its field, 0 for a field of no meaning, -1 if UNUSUAL."""
    is_text, is_number = value.kind == TEXT, value.kind == NUMBER
    is_natural, number = is_number and not value.is_negative, value.number
    place, fits, word = FIELD_TYPE, True, as_word(number)
    if name == _NAME_TYPE:
        fits, word = is_text, as_word(pack(data, value.start, value.stop))
    elif name == _NAME_SYMBOL:
        place, fits, word = FIELD_SYMBOL, is_text and value.stop > value.start, as_word(value.start)
        fields[FIELD_SYMBOL_STOP] = value.stop
    elif name == _NAME_SIDE:
        place, word = FIELD_SIDE, as_word(pack(data, value.start, value.stop))
        fits = is_text and (word == _BID or word == _ASK)
    elif name == _NAME_OID:
        place, fits = FIELD_OID, is_natural
    elif name == _NAME_PX:
        place = FIELD_PX
        if value.is_negative:
            fits = is_number and bool(number <= np.uint64(1 << 63))
            word = as_word(np.uint64(0) - number)
        else:
            fits = is_number and bool(number < np.uint64(UNDEF_PRICE))
    elif name == _NAME_QTY:
        place, fits = FIELD_QTY, is_natural and bool(number < np.uint64(UNDEF_ORDER_SIZE))
    elif name == _NAME_SEQ:
        place, fits = FIELD_SEQ, is_natural and bool(number <= np.uint64(0xFFFFFFFF))
    elif name == _NAME_TS_NS:
        place, fits = FIELD_TS_NS, is_natural
    else:
        return 0
    fields[place] = word
    return 1 << place if fits else -1


@inlined
def parse_op(
    data: NDArray[np.uint8], at: int, byte_max: int, fields: NDArray[np.int64]
) -> tuple[int, int]:
    """Read the members of the object at a position, up to its line's end.

    The position of the newline, and the bits of the fields that the line has; -1 if it is UNUSUAL.
    """
    has = 0
    if data[at] != OPEN_BRACE:
        return at, -1
    while True:
        at = skip_space(data, at + 1)
        if data[at] != QUOTE:
            return at, -1
        name_stop = find_quote(data, at + 1, byte_max)
        if name_stop < 0:
            return at, -1
        name = pack(data, at + 1, name_stop)
        at = skip_space(data, name_stop + 1)
        if data[at] != COLON:
            return at, -1
        value = read_value(data, skip_space(data, at + 1), byte_max)
        if value.kind == UNUSUAL:
            return at, -1
        bit = store_field(data, name, value, fields)
        # A null, or a field for the second time: rare, so the full parser decides.
        if bit < 0 or has & bit:
            return at, -1
        has |= bit
        at = skip_space(data, value.end)
        if data[at] == CLOSE_BRACE:
            at = skip_space(data, at + 1)
            return at, has if data[at] == NEWLINE else -1
        if data[at] != COMMA:
            return at, -1


@inlined
def is_complete(kind: int, has: int) -> bool:
    """Whether an op of a kind has the fields that it needs."""
    if kind == _ADD:
        needed = _NEEDS_ADD
    elif kind == _CANCEL or kind == _MODIFY:
        needed = _NEEDS_MODIFY
    elif kind == _FILL:
        needed = _NEEDS_FILL
    elif kind == _CLEAR:
        needed = _NEEDS_CLEAR
    else:
        return False
    return has & needed == needed


@inlined
def reset_fields(fields: NDArray[np.int64]) -> None:
    """What fields have that a line leaves out."""
    fields[FIELD_TYPE] = fields[FIELD_SYMBOL] = fields[FIELD_SYMBOL_STOP] = fields[FIELD_SIDE] = 0
    fields[FIELD_OID] = fields[FIELD_SEQ] = 0
    fields[FIELD_PX], fields[FIELD_QTY], fields[FIELD_TS_NS] = UNDEF_PRICE, UNDEF_ORDER_SIZE, -1


@inlined
def write_op(
    columns: MboBatch, row: int, fields: NDArray[np.int64], has: int, instrument_id: int
) -> int:
    """Write the rows of an op, two for a fill and one for any other kind; the next row."""
    kind, action, side = fields[FIELD_TYPE], ACTION_ADD, SIDE_NONE
    if kind == _MODIFY:
        action = ACTION_MODIFY_PARTIAL
    elif kind == _CANCEL and has & (1 << FIELD_QTY):
        action = ACTION_CANCEL
    elif kind == _CANCEL:
        # The whole order, whatever its size: a modify to size 0 (rule 9).
        action = ACTION_MODIFY_PARTIAL
        fields[FIELD_QTY], fields[FIELD_PX], fields[FIELD_SIDE] = 0, UNDEF_PRICE, 0
    elif kind == _FILL:
        action = ACTION_FILL
    elif kind == _CLEAR:
        action = ACTION_CLEAR
        fields[FIELD_QTY], fields[FIELD_PX], fields[FIELD_SIDE], fields[FIELD_OID] = (
            0,
            UNDEF_PRICE,
            0,
            0,
        )
    if fields[FIELD_SIDE] == _BID:
        side = SIDE_BID
    elif fields[FIELD_SIDE] == _ASK:
        side = SIDE_ASK
    last_row = row + 1 if kind == _FILL else row
    while row <= last_row:
        columns.ts_recv[row] = np.uint64(fields[FIELD_TS_NS])
        columns.ts_event[row] = np.uint64(fields[FIELD_TS_NS])
        columns.publisher_id[row] = 0
        columns.instrument_id[row] = instrument_id
        columns.action[row] = action
        columns.side[row] = side
        columns.price[row] = fields[FIELD_PX]
        columns.size[row] = fields[FIELD_QTY]
        columns.channel_id[row] = NO_CHANNEL
        columns.order_id[row] = np.uint64(fields[FIELD_OID])
        columns.flags[row] = F_LAST if row == last_row else 0
        columns.ts_in_delta[row] = 0
        columns.sequence[row] = fields[FIELD_SEQ]
        row += 1
        # In this form a fill does reduce the order: a C follows the F (rule 6).
        action = ACTION_CANCEL
    return row


# ---------------------------------------------------------------- lines


@kernel
def find_symbol(data: NDArray[np.uint8], start: int, stop: int, symbols: SymbolHash) -> int:
    """The slot of the symbol `data[start:stop]`; where it is missing, the free one for it."""
    slots, digest = symbols.slots, symbols.salt[1]
    for at in range(start, stop):
        digest = (digest ^ np.uint64(data[at])) * symbols.salt[0]
        digest ^= digest >> np.uint64(32)
    slot = int(np.int64(digest >> np.uint64(1))) & (len(slots) - 1)
    while slots[slot] != 0:
        first = symbols.stop[slots[slot] - 1]
        if symbols.stop[slots[slot]] - first == stop - start:
            same = 0
            while same < stop - start and symbols.text[first + same] == data[start + same]:
                same += 1
            if same == stop - start:
                break
        slot = (slot + 1) & (len(slots) - 1)
    return slot


@kernel
def place_symbols(symbol_arrays: tuple[Any, ...], first: int, last: int) -> None:
    """Put the symbols with these numbers, whose texts the table has, into slots."""
    symbols = SymbolHash(*symbol_arrays)
    for number in range(first, last + 1):
        start, stop = symbols.stop[number - 1], symbols.stop[number]
        symbols.slots[find_symbol(symbols.text, start, stop, symbols)] = number


@kernel
def parse_lines(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    limit_fields: tuple[int, int],
    symbol_arrays: tuple[Any, ...],
    fields: NDArray[np.int64],
    column_arrays: tuple[Any, ...],
    row: int,
) -> tuple[int, int, int, int, int, int]:
    """Parse the lines of `data[start:stop]`, which ends with a newline, into rows from `row` on.

    Args:
        data: the bytes.
        start: where the first line begins.
        stop: where the last line ends.
        limit_fields: the fields of a `Limits`. numba types a plain tuple faster than a named one,
            which counts for chunks of one line.
        symbol_arrays: the arrays of a `SymbolHash`.
        fields: scratch, FIELDS words.
        column_arrays: the columns of an `MboBatch`.
        row: the next row.

    Returns:
        The position of the first line not consumed, the next row, the number of ops, the reason of
        the stop (LINES_NEW_SYMBOL and LINES_DOUBTFUL are about the line at the position), and where
        a new symbol begins and ends in the data, else 0 and 0.
    """
    limits, symbols = Limits(*limit_fields), SymbolHash(*symbol_arrays)
    columns = MboBatch(*column_arrays)
    position, ops = start, 0
    while position < stop:
        at = skip_space(data, position)
        if data[at] == NEWLINE and at - position <= limits.line_bytes_max:
            position = at + 1
            continue
        if row + 2 > len(columns.action):
            return position, row, ops, LINES_ROWS_FULL, 0, 0
        reset_fields(fields)
        at, has = parse_op(data, at, limits.byte_max, fields)
        is_usual = has >= 0 and is_complete(fields[FIELD_TYPE], has)
        if not is_usual or at - position > limits.line_bytes_max:
            return position, row, ops, LINES_DOUBTFUL, 0, 0
        first, last = fields[FIELD_SYMBOL], fields[FIELD_SYMBOL_STOP]
        instrument_id = symbols.slots[find_symbol(data, first, last, symbols)]
        if instrument_id == 0:
            return position, row, ops, LINES_NEW_SYMBOL, first, last
        row = write_op(columns, row, fields, has, instrument_id)
        ops += 1
        position = at + 1
    return position, row, ops, LINES_INPUT_END, 0, 0
