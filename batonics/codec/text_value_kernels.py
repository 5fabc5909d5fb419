"""Compiled parsers of the values of records as text, for the passes over lines of CSV and JSON.

The rule here: a value is taken only where its writing leaves no doubt, and then it is the value
that `column_values.py` makes of it. Any other value is doubtful, and its line goes there.

Data has `PADDING_BYTES` behind its last line, so that a value may be read without a bound.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.codec.ndjson_kernels import BACKSLASH, QUOTE, SPACE
from batonics.model.mbo import (
    MBO_COLUMN_DTYPES,
    NO_CHANNEL,
    PRICE_SCALE,
    RTYPE_MBO,
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
    Action,
    MboBatch,
    Side,
)
from batonics.native import as_word, at, inlined

PADDING_BYTES = 40
"""Bytes behind the last line of data: more than a time has."""

# Fields: the columns of a batch by place, and what else is read.
FIELD_NAMES = (*MboBatch._fields, "symbol", "rtype")
(
    TS_RECV_FIELD,
    TS_EVENT_FIELD,
    PUBLISHER_ID_FIELD,
    INSTRUMENT_ID_FIELD,
    ACTION_FIELD,
    SIDE_FIELD,
    PRICE_FIELD,
    SIZE_FIELD,
    CHANNEL_ID_FIELD,
    ORDER_ID_FIELD,
    FLAGS_FIELD,
    TS_IN_DELTA_FIELD,
    SEQUENCE_FIELD,
    SYMBOL_FIELD,
    RTYPE_FIELD,
) = range(15)
HEADER_FIELD = 15
"""An object with more members (JSON only)."""
OTHER_FIELD = 16
"""A column that is left out."""
SYMBOL_END = 15
"""Place among the words of a line where its symbol ends; `SYMBOL_FIELD` is where it begins."""
LINE_WORDS = 16

# How the values of a field are written.
UNREAD, INTEGER, DECIMAL, FLOAT, ZONED_TIME, ZONELESS_TIME, LETTER, NAME = range(8)

# Bytes.
_MINUS, _PLUS, _POINT, _COLON = (ord(letter) for letter in "-+.:")
_DIGIT_0, _DIGIT_9 = ord("0"), ord("9")
_LETTER_T, _LETTER_Z = ord("T"), ord("Z")
BYTE_MAX = 126
"""The greatest byte of a text that leaves no doubt."""


def _greatest(name: str) -> int:
    if name == "rtype":
        return RTYPE_MBO
    return int(np.iinfo(MBO_COLUMN_DTYPES[name]).max) if name in MBO_COLUMN_DTYPES else 0


def _letters(codes: type[Action | Side]) -> NDArray[np.bool_]:
    known = np.zeros(256, np.bool_)
    known[list(codes)] = True
    return known


_GREATEST = np.array([_greatest(name) for name in FIELD_NAMES], np.uint64)
_IS_SIGNED = np.array([name in ("price", "ts_in_delta") for name in FIELD_NAMES])
_IS_ACTION, _IS_SIDE = _letters(Action), _letters(Side)

_NS_PER_S = 1_000_000_000
_WHOLE_DIGITS_MAX = 9
_DECIMALS = 9
_TENTH = PRICE_SCALE // 10
_FLOAT_UNITS_MAX = 8_388_608 * PRICE_SCALE
_YEAR_FIRST, _YEAR_LAST = 1970, 2261
_MIDDLE_YEAR_BYTES = 10  # of `2025-09-24`
_CLOCK_BYTES = 19  # of `2025-09-24T19:30:00`


class TextValue(NamedTuple):
    """A value in text."""

    word: int
    end: int  # the first byte after it; -1: it is doubtful


@inlined
def _is_digit(byte: int) -> bool:
    return _DIGIT_0 <= byte <= _DIGIT_9


@inlined
def _read_integer(data: NDArray[np.uint8], start: int, field: int) -> TextValue:
    """The integer at a position, in the range of its field."""
    place, number = start, np.uint64(0)
    is_negative = data[at(place)] == _MINUS
    if is_negative:
        place += 1
    first = place
    while _is_digit(data[at(place)]):
        number = number * np.uint64(10) + np.uint64(data[at(place)] - _DIGIT_0)
        place += 1
    digits = place - first
    # 2^64 has 20 digits and begins with 1, so twice as much has passed it only if it became small.
    if digits == 20 and (data[at(first)] != _DIGIT_0 + 1 or number < np.uint64(10**19)):
        return TextValue(0, -1)
    if digits == 0 or digits > 20 or (digits > 1 and data[at(first)] == _DIGIT_0):
        return TextValue(0, -1)
    greatest = _GREATEST[at(field)]
    if is_negative:
        if not _IS_SIGNED[at(field)] or number > greatest + np.uint64(1) or number == np.uint64(0):
            return TextValue(0, -1)
        return TextValue(as_word(np.uint64(0) - number), place)
    if number > greatest or (field == RTYPE_FIELD and number != greatest):
        return TextValue(0, -1)
    return TextValue(as_word(number), place)


@inlined
def _read_decimal(data: NDArray[np.uint8], start: int, form: int) -> TextValue:
    """The decimal at a position, in units of 1e-9; a float has a point and tells 1e-9 apart."""
    place, units = start, 0
    is_negative = data[at(place)] == _MINUS
    if is_negative:
        place += 1
    first = place
    while _is_digit(data[at(place)]) and place - first <= _WHOLE_DIGITS_MAX:
        units = 10 * units + as_word(data[at(place)]) - _DIGIT_0
        place += 1
    digits = place - first
    if digits == 0 or digits > _WHOLE_DIGITS_MAX or (digits > 1 and data[at(first)] == _DIGIT_0):
        return TextValue(0, -1)
    units *= PRICE_SCALE
    if data[at(place)] == _POINT:
        place += 1
        unit, first = _TENTH, place
        while _is_digit(data[at(place)]) and place - first < _DECIMALS:
            units += unit * (as_word(data[at(place)]) - _DIGIT_0)
            unit //= 10
            place += 1
        if place == first or _is_digit(data[at(place)]):
            return TextValue(0, -1)
    elif form == FLOAT:
        return TextValue(0, -1)
    if form == FLOAT and units >= _FLOAT_UNITS_MAX:
        return TextValue(0, -1)
    return TextValue(-units if is_negative else units, place)


@inlined
def _two_digits(data: NDArray[np.uint8], place: int) -> int:
    """The number of two digits at a position; 100 or more, or less than 0: they are none."""
    tens, ones = as_word(data[at(place)]) - _DIGIT_0, as_word(data[at(place + 1)]) - _DIGIT_0
    return 10 * tens + ones if 0 <= tens <= 9 and 0 <= ones <= 9 else -1


@inlined
def _days_since_epoch(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a date of the Gregorian calendar; -1: there is none."""
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    last = 30 + ((month + (month >> 3)) & 1)
    if month == 2:
        last = 29 if is_leap else 28
    if not (_YEAR_FIRST <= year <= _YEAR_LAST and 1 <= month <= 12 and 1 <= day <= last):
        return -1
    before = year - 1
    leap_days = before // 4 - before // 100 + before // 400 - 477  # 477: of the years before 1970
    days = 365 * (year - 1970) + leap_days + (367 * month - 362) // 12 + day - 1
    if month > 2:
        days -= 1 if is_leap else 2
    return days


@inlined
def _read_time(data: NDArray[np.uint8], start: int, form: int) -> TextValue:
    """The time at a position, in nanoseconds: `2025-09-24T19:30:00.123456789Z`."""
    century, years = _two_digits(data, start), _two_digits(data, start + 2)
    month, day = _two_digits(data, start + 5), _two_digits(data, start + 8)
    hour, minute = _two_digits(data, start + 11), _two_digits(data, start + 14)
    second = _two_digits(data, start + 17)
    separator = data[at(start + _MIDDLE_YEAR_BYTES)]
    if (
        century < 0
        or years < 0
        or not 0 <= hour < 24
        or not 0 <= minute < 60
        or not 0 <= second < 60
        or data[at(start + 4)] != _MINUS
        or data[at(start + 7)] != _MINUS
        or (separator != _LETTER_T and separator != SPACE)
        or data[at(start + 13)] != _COLON
        or data[at(start + 16)] != _COLON
    ):
        return TextValue(0, -1)
    days = _days_since_epoch(100 * century + years, month, day)
    if days < 0:
        return TextValue(0, -1)
    place = start + _CLOCK_BYTES
    time_ns = (86_400 * days + 3_600 * hour + 60 * minute + second) * _NS_PER_S
    if data[at(place)] == _POINT:
        place += 1
        unit_ns, first = _NS_PER_S // 10, place
        while _is_digit(data[at(place)]) and place - first < _DECIMALS:
            time_ns += unit_ns * (as_word(data[at(place)]) - _DIGIT_0)
            unit_ns //= 10
            place += 1
        if place == first:
            return TextValue(0, -1)
    if form == ZONELESS_TIME:
        return TextValue(time_ns, place)
    if data[at(place)] == _LETTER_Z:
        return TextValue(time_ns, place + 1)
    if data[at(place)] != _PLUS or _two_digits(data, place + 1) != 0:
        return TextValue(0, -1)
    place += 3
    if data[at(place)] == _COLON:
        place += 1
    return TextValue(time_ns, place + 2 if _two_digits(data, place) == 0 else -1)


@inlined
def find_text_end(data: NDArray[np.uint8], start: int, ending: int) -> int:
    """Where a text ends: at the byte `ending` or at the end of the line; -1: it is doubtful."""
    place = start
    while data[at(place)] != ending and data[at(place)] >= SPACE:
        if data[at(place)] > BYTE_MAX or data[at(place)] == QUOTE or data[at(place)] == BACKSLASH:
            return -1
        place += 1
    return place


@inlined
def read_field(
    data: NDArray[np.uint8],
    start: int,
    field: int,
    form: int,
    ending: int,
    words: NDArray[np.int64],
) -> int:
    """Read the value of a field into the words of its line; the end of the value.

    -1: it is doubtful. `ending` is the byte behind a text.
    """
    if form == NAME:
        end = find_text_end(data, start, ending)
        words[at(SYMBOL_FIELD)], words[at(SYMBOL_END)] = start, end
        return end
    if form == LETTER:
        letter = data[at(start)]
        is_known = _IS_ACTION[at(letter)] if field == ACTION_FIELD else _IS_SIDE[at(letter)]
        words[at(field)] = letter
        return start + 1 if is_known else -1
    if form == INTEGER:
        value = _read_integer(data, start, field)
    elif form == DECIMAL or form == FLOAT:
        value = _read_decimal(data, start, form)
    elif form == ZONED_TIME or form == ZONELESS_TIME:
        value = _read_time(data, start, form)
    else:
        return -1
    words[at(field)] = value.word
    return value.end


@inlined
def write_missing(field: int, words: NDArray[np.int64]) -> bool:
    """Write what a missing value of a field stands for; False: nothing, it is doubtful."""
    word = -1  # UNDEF_TIMESTAMP
    if field == PRICE_FIELD:
        word = UNDEF_PRICE
    elif field == SIZE_FIELD:
        word = UNDEF_ORDER_SIZE
    elif field == SYMBOL_FIELD:
        word = 0
        words[at(SYMBOL_END)] = 0
    elif field != TS_RECV_FIELD and field != TS_EVENT_FIELD:
        return False
    words[at(field)] = word
    return True


@inlined
def begin_words(words: NDArray[np.int64]) -> None:
    """Write what lines have whose table lacks columns."""
    words[at(SYMBOL_FIELD)] = words[at(SYMBOL_END)] = words[at(TS_IN_DELTA_FIELD)] = 0
    words[at(CHANNEL_ID_FIELD)] = NO_CHANNEL


@inlined
def write_row(columns: MboBatch, row: int, words: NDArray[np.int64]) -> None:
    """Write the words of a line as a row."""
    columns.ts_recv[row] = np.uint64(words[TS_RECV_FIELD])
    columns.ts_event[row] = np.uint64(words[TS_EVENT_FIELD])
    columns.publisher_id[row] = words[PUBLISHER_ID_FIELD]
    columns.instrument_id[row] = words[INSTRUMENT_ID_FIELD]
    columns.action[row] = words[ACTION_FIELD]
    columns.side[row] = words[SIDE_FIELD]
    columns.price[row] = words[PRICE_FIELD]
    columns.size[row] = words[SIZE_FIELD]
    columns.channel_id[row] = words[CHANNEL_ID_FIELD]
    columns.order_id[row] = np.uint64(words[ORDER_ID_FIELD])
    columns.flags[row] = words[FLAGS_FIELD]
    columns.ts_in_delta[row] = words[TS_IN_DELTA_FIELD]
    columns.sequence[row] = words[SEQUENCE_FIELD]
