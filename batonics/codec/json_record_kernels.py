"""The compiled pass over JSON records, one a line: usual ones become rows of a batch.

The rule here: a line is taken whole or left alone; `json_records.py` reads those that are left. A
usual line has every field that the first line had, once, in any order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.codec.ndjson_kernels import (
    CLOSE_BRACE,
    COLON,
    COMMA,
    LETTER_L,
    LETTER_N,
    LETTER_U,
    LINES_DOUBTFUL,
    LINES_INPUT_END,
    LINES_NEW_SYMBOL,
    LINES_ROWS_FULL,
    NEWLINE,
    NUMBER,
    OPEN_BRACE,
    QUOTE,
    SymbolHash,
    find_symbol,
    read_number,
    skip_space,
)
from batonics.codec.text_value_kernels import (
    FIELD_NAMES,
    HEADER_FIELD,
    OTHER_FIELD,
    SYMBOL_END,
    SYMBOL_FIELD,
    begin_words,
    find_text_end,
    read_field,
    write_missing,
    write_row,
)
from batonics.model.mbo import MboBatch
from batonics.native import at, inlined, kernel, outlined

_NAMES = (*FIELD_NAMES, "hd")
_NAME_BYTES = np.zeros((len(_NAMES), 16), np.uint8)
for _place, _name in enumerate(_NAMES):
    _NAME_BYTES[_place, : len(_name)] = np.frombuffer(_name.encode(), np.uint8)
_NAME_LENGTHS = np.array([len(name) for name in _NAMES], np.int64)


class JsonLayout(NamedTuple):
    """How the fields of a table are written."""

    forms: NDArray[np.int64]  # by field
    is_text: NDArray[np.int64]  # by field: whether it is a text in JSON
    order: NDArray[np.int64]  # the fields of a line in their order, as far as is known
    needed: int  # the bits of the fields that a line has


@outlined
def _find_name(data: NDArray[np.uint8], start: int, stop: int) -> int:
    """The field with a name; OTHER_FIELD if there is none."""
    for field in range(len(_NAME_LENGTHS)):
        if _is_name(data, start, stop, field):
            return field
    return OTHER_FIELD


@inlined
def _is_name(data: NDArray[np.uint8], start: int, stop: int, field: int) -> bool:
    """Whether a text is the name of a field."""
    size = stop - start
    if field >= OTHER_FIELD or size != _NAME_LENGTHS[at(field)]:
        return False
    same = 0
    while same < size and data[at(start + same)] == _NAME_BYTES[at(field), at(same)]:
        same += 1
    return same == size


@inlined
def _read_member(
    data: NDArray[np.uint8],
    start: int,
    field: int,
    layout: JsonLayout,
    words: NDArray[np.int64],
) -> int:
    """Read the value of a field; where it ends, -1 if it is doubtful."""
    place = start
    is_text = data[at(place)] == QUOTE
    if data[at(place)] == LETTER_N:
        is_null = (
            data[at(place + 1)] == LETTER_U
            and data[at(place + 2)] == LETTER_L
            and data[at(place + 3)] == LETTER_L
        )
        return (
            place + 4 if is_null and (field == OTHER_FIELD or write_missing(field, words)) else -1
        )
    if is_text:
        place += 1
    if field == OTHER_FIELD:
        if is_text:
            place = find_text_end(data, place, QUOTE)
        else:
            number = read_number(data, place)
            place = number.end if number.kind == NUMBER else -1
    elif is_text != bool(layout.is_text[at(field)]):
        return -1
    elif is_text and data[at(place)] == QUOTE:
        place = place if write_missing(field, words) else -1
    else:
        place = read_field(data, place, field, layout.forms[at(field)], QUOTE, words)
    if place < 0 or not is_text:
        return place
    return place + 1 if data[at(place)] == QUOTE else -1


@inlined
def _read_object(
    data: NDArray[np.uint8], start: int, layout: JsonLayout, words: NDArray[np.int64]
) -> int:
    """Read the members of a record; where its newline is, -1 if it is doubtful."""
    place, member, has, is_inner = start, 0, 0, False
    if data[at(place)] != OPEN_BRACE:
        return -1
    while True:
        place = skip_space(data, place + 1)
        if data[at(place)] != QUOTE:
            return -1
        stop = find_text_end(data, place + 1, QUOTE)
        if stop < 0 or data[at(stop)] != QUOTE:
            return -1
        field = layout.order[at(member)]
        if not _is_name(data, place + 1, stop, field):
            field = _find_name(data, place + 1, stop)
            layout.order[at(member)] = field
        member = min(member + 1, len(layout.order) - 1)
        place = skip_space(data, stop + 1)
        if data[at(place)] != COLON or has & (1 << field):
            return -1
        place = skip_space(data, place + 1)
        if field != OTHER_FIELD:
            has |= 1 << field
        if field == HEADER_FIELD:
            if data[at(place)] != OPEN_BRACE or is_inner:
                return -1
            is_inner = True
            continue
        if field != OTHER_FIELD and not layout.needed & (1 << field):
            return -1
        place = _read_member(data, place, field, layout, words)
        if place < 0:
            return -1
        place = skip_space(data, place)
        if is_inner and data[at(place)] == CLOSE_BRACE:
            is_inner = False
            place = skip_space(data, place + 1)
        if data[at(place)] == COMMA:
            continue
        if data[at(place)] != CLOSE_BRACE or is_inner or has != layout.needed:
            return -1
        place = skip_space(data, place + 1)
        if data[at(place)] == COMMA:
            place = skip_space(data, place + 1)
        return place if data[at(place)] == NEWLINE else -1


@kernel
def parse_json_records(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    layout_arrays: tuple[Any, ...],
    symbol_arrays: tuple[Any, ...],
    words: NDArray[np.int64],
    column_arrays: tuple[Any, ...],
    codes: NDArray[np.int64],
    row: int,
) -> tuple[int, int, int, int, int]:
    """Parse the lines of `data[start:stop]`, which ends with a newline, into rows from `row` on.

    Args:
        data: the bytes; `PADDING_BYTES` more follow.
        start: where the first line begins.
        stop: where the last line ends.
        layout_arrays: the fields of a `JsonLayout`; the order is written, too.
        symbol_arrays: the arrays of a `SymbolHash`.
        words: scratch, LINE_WORDS words.
        column_arrays: the columns of an `MboBatch`.
        codes: the numbers of the symbols of the rows; 0: none.
        row: the next row.

    Returns:
        The position of the first line that is not taken, the next row, the reason of the stop, and
        where a new symbol begins and ends in the data, else 0 and 0.
    """
    layout, symbols = JsonLayout(*layout_arrays), SymbolHash(*symbol_arrays)
    columns, position = MboBatch(*column_arrays), start
    begin_words(words)
    while position < stop:
        place = skip_space(data, position)
        if data[at(place)] == NEWLINE:
            position = place + 1
            continue
        if row == len(columns.action):
            return position, row, LINES_ROWS_FULL, 0, 0
        end = _read_object(data, place, layout, words)
        if end < 0:
            return position, row, LINES_DOUBTFUL, 0, 0
        first, last = words[SYMBOL_FIELD], words[SYMBOL_END]
        code = 0
        if last > first:
            code = symbols.slots[find_symbol(data, first, last, symbols)]
            if code == 0:
                return position, row, LINES_NEW_SYMBOL, first, last
        codes[at(row)] = code
        write_row(columns, row, words)
        row += 1
        position = end + 1
    return position, row, LINES_INPUT_END, 0, 0
