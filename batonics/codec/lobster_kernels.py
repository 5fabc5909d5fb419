"""The compiled pass over lines of LOBSTER message files: six or seven columns into MBO rows.

The rule here: a line is understood whole or it is damage; `lobster.py` has the words. "L4" is
number 4 of the rules of LOBSTER in docs/formats.md. Every line ends with a newline, which is no
digit, so scans need no bound.

    34200.16334803,4,15080205,7,31163800,-1[,null]
    time           type order size price direction
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.codec.record_kernels import OTHERS_FULL, ROWS_FULL
from batonics.model.mbo import (
    ACTION_ADD,
    ACTION_CANCEL,
    ACTION_CLEAR,
    ACTION_FILL,
    ACTION_TRADE,
    F_LAST,
    F_MAYBE_BAD_BOOK,
    NO_CHANNEL,
    SIDE_ASK,
    SIDE_BID,
    SIDE_NONE,
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
    MboBatch,
)
from batonics.native import as_word, at, inlined, kernel

# Why a pass stopped, beside ROWS_FULL and OTHERS_FULL. A bad line is at the returned position.
LINES_END = 0
BAD_LINE = 3

LINE_ROWS_MAX = 4
"""Rows of a line: R if it is the first one, and T, F and C of an execution."""
LOBSTER_LINE_BYTES_MAX = 4096
"""A longer line is refused."""
INSTRUMENT_ID = 1
"""The instrument of every row: a file has one stock."""

# Types of events.
SUBMISSION, CANCELLATION, DELETION, EXECUTION, HIDDEN_EXECUTION, CROSS, HALT = range(1, 8)

# Bytes.
_NEWLINE, _RETURN, _COMMA, _POINT, _MINUS = (ord(letter) for letter in "\n\r,.-")
_DIGIT_0, _DIGIT_9 = ord("0"), ord("9")

_BAD = -(2**63)
"""In place of a number that cannot be read."""
_DIGITS_MAX = 18
_NS_PER_S = 1_000_000_000
_S_PER_DAY = 86_400
_PRICE_UNIT_1E9 = 100_000
_PRICE_MAX = 2**32 - 1
"""The greatest price of Nasdaq, which sends it as 32 bits."""


class Line(NamedTuple):
    """What a line says; `kind` is 0 if it cannot be read."""

    kind: int
    time_ns: int  # since midnight
    order_id: int
    size: int
    price: int
    direction: int
    end: int  # the first byte after the line


class Number(NamedTuple):
    """A number in a line, and the first byte after it; the value is _BAD if there is none."""

    value: int
    end: int


class LobsterSession(NamedTuple):
    """What the lines of a file do not say."""

    publisher_id: int
    midnight_ns: int
    knows_hidden_side: int


class OtherLines(NamedTuple):
    """Where lines of type 7 are; the arrays have one length."""

    position: NDArray[np.int64]
    row: NDArray[np.int64]  # the next row when the line came
    line: NDArray[np.int64]  # the number of lines before it


@inlined
def _read_number(data: NDArray[np.uint8], start: int) -> Number:
    """The integer at a position."""
    place, value = start, 0
    is_negative = data[place] == _MINUS
    if is_negative:
        place += 1
    first = place
    while _DIGIT_0 <= data[at(place)] <= _DIGIT_9 and place - first < _DIGITS_MAX:
        value = 10 * value + as_word(data[at(place)]) - _DIGIT_0
        place += 1
    if place == first:
        value = _BAD
    return Number(-value if is_negative and value != _BAD else value, place)


@inlined
def _read_time(data: NDArray[np.uint8], start: int) -> Number:
    """The time at a position, seconds with up to nine decimals, as nanoseconds."""
    seconds = _read_number(data, start)
    if not 0 <= seconds.value < _S_PER_DAY or data[start] == _MINUS:
        return Number(_BAD, start)
    time_ns, end, unit_ns = seconds.value * _NS_PER_S, seconds.end, _NS_PER_S // 10
    if data[end] == _POINT:
        end += 1
        if not _DIGIT_0 <= data[end] <= _DIGIT_9:
            return Number(_BAD, start)
        while unit_ns > 0 and _DIGIT_0 <= data[at(end)] <= _DIGIT_9:
            time_ns += unit_ns * (as_word(data[at(end)]) - _DIGIT_0)
            unit_ns //= 10
            end += 1
    return Number(time_ns, end)


@inlined
def _is_good(kind: int, order_id: int, size: int, price: int, direction: int) -> bool:
    """Whether the columns of a line fit each other (rules L3 to L7)."""
    if direction != 1 and direction != -1:
        return False
    if kind == HALT:
        return order_id == 0 and size == 0 and -1 <= price <= 1
    if not (0 <= size < UNDEF_ORDER_SIZE and 0 <= price <= _PRICE_MAX):
        return False
    if kind == CROSS:
        return True
    if kind == HIDDEN_EXECUTION:
        return order_id >= 0
    return SUBMISSION <= kind <= EXECUTION and order_id > 0


@inlined
def _read_line(data: NDArray[np.uint8], start: int) -> Line:
    """The line at a position."""
    time = _read_time(data, start)
    end, is_read = time.end, time.value != _BAD
    kind = order_id = size = price = direction = 0
    for column in range(5):
        if not is_read or data[end] != _COMMA:
            return Line(0, 0, 0, 0, 0, 0, 0)
        number = _read_number(data, end + 1)
        end, is_read = number.end, number.value != _BAD
        if column == 0:
            kind = number.value
        elif column == 1:
            order_id = number.value
        elif column == 2:
            size = number.value
        elif column == 3:
            price = number.value
        else:
            direction = number.value
    if data[end] == _COMMA:  # a seventh column, which has no rows
        end += 1
        while data[at(end)] != _NEWLINE and data[at(end)] != _COMMA:
            end += 1
    if data[end] == _RETURN:
        end += 1
    if not (is_read and data[end] == _NEWLINE and _is_good(kind, order_id, size, price, direction)):
        return Line(0, 0, 0, 0, 0, 0, 0)
    return Line(kind, time.value, order_id, size, price, direction, end + 1)


@inlined
def _put_row(
    columns: MboBatch,
    row: int,
    day: LobsterSession,
    line: Line,
    sequence: int,
    action: int,
    side: int,
    flags: int,
) -> int:
    """Write a row; the next row."""
    time_ns = day.midnight_ns + line.time_ns
    is_clear = action == ACTION_CLEAR
    columns.ts_recv[at(row)] = time_ns
    columns.ts_event[at(row)] = time_ns
    columns.publisher_id[at(row)] = day.publisher_id
    columns.instrument_id[at(row)] = INSTRUMENT_ID
    columns.action[at(row)] = action
    columns.side[at(row)] = side
    columns.price[at(row)] = UNDEF_PRICE if is_clear else line.price * _PRICE_UNIT_1E9
    columns.size[at(row)] = 0 if is_clear else line.size
    columns.channel_id[at(row)] = NO_CHANNEL
    columns.order_id[at(row)] = 0 if is_clear or action == ACTION_TRADE else line.order_id
    columns.flags[at(row)] = flags
    columns.ts_in_delta[at(row)] = 0
    columns.sequence[at(row)] = sequence
    return row + 1


@inlined
def _write_line(
    columns: MboBatch, row: int, day: LobsterSession, line: Line, sequence: int, is_first: bool
) -> int:
    """The rows of a line (rules L4 to L6); the next row."""
    kind = line.kind
    if is_first:
        flags = F_LAST | F_MAYBE_BAD_BOOK
        row = _put_row(columns, row, day, line, sequence, ACTION_CLEAR, SIDE_NONE, flags)
    side, other_side = SIDE_ASK, SIDE_BID
    if line.direction == 1:
        side, other_side = SIDE_BID, SIDE_ASK
    if kind == SUBMISSION:
        return _put_row(columns, row, day, line, sequence, ACTION_ADD, side, F_LAST)
    if kind == CANCELLATION or kind == DELETION:
        return _put_row(columns, row, day, line, sequence, ACTION_CANCEL, side, F_LAST)
    if kind == EXECUTION:
        row = _put_row(columns, row, day, line, sequence, ACTION_TRADE, other_side, 0)
        row = _put_row(columns, row, day, line, sequence, ACTION_FILL, side, 0)
        return _put_row(columns, row, day, line, sequence, ACTION_CANCEL, side, F_LAST)
    if kind == CROSS or not day.knows_hidden_side:
        other_side = SIDE_NONE
    return _put_row(columns, row, day, line, sequence, ACTION_TRADE, other_side, F_LAST)


@kernel
def parse_lines(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    line_count: int,
    has_rows: int,
    day_fields: tuple[int, int, int],
    column_arrays: tuple[Any, ...],
    row: int,
    other_arrays: tuple[Any, ...],
) -> tuple[int, int, int, int, int]:
    """Turn the lines of `data[start:stop]`, which is empty or ends with a newline, into rows.

    Args:
        data: the bytes.
        start: where the first line begins.
        stop: the end of the last line.
        line_count: the number of lines before, blank ones not counted.
        has_rows: whether the file has rows so far; its first one is an R.
        day_fields: the fields of a `LobsterSession`.
        column_arrays: the columns of an `MboBatch`.
        row: the next row.
        other_arrays: the arrays of an `OtherLines`.

    Returns:
        The position of the first byte not consumed, the next row, the number of lines so far, the
        number of lines of type 7, and the reason of the stop.
    """
    day, columns = LobsterSession(*day_fields), MboBatch(*column_arrays)
    others = OtherLines(*other_arrays)
    position, other_count = start, 0
    while position < stop:
        if data[position] == _NEWLINE:
            position += 1
            continue
        if data[position] == _RETURN and data[position + 1] == _NEWLINE:
            position += 2
            continue
        if row + LINE_ROWS_MAX > len(columns.action):
            return position, row, line_count, other_count, ROWS_FULL
        if other_count == len(others.position):
            return position, row, line_count, other_count, OTHERS_FULL
        line = _read_line(data, position)
        if line.kind == 0 or line.end - 1 - position > LOBSTER_LINE_BYTES_MAX:
            return position, row, line_count, other_count, BAD_LINE
        if line.kind == HALT:
            others.position[other_count], others.row[other_count] = position, row
            others.line[other_count] = line_count
            other_count += 1
        else:
            sequence = (line_count + 1) & 0xFFFFFFFF
            row = _write_line(columns, row, day, line, sequence, has_rows == 0)
            has_rows = 1
        line_count += 1
        position = line.end
    return position, row, line_count, other_count, LINES_END
