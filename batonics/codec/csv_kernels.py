"""The compiled pass over lines of CSV: usual ones become rows of a batch.

The rule here: a line is taken whole or left alone; `csv_records.py` reads those that are left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from batonics.codec.ndjson_kernels import (
    LINES_DOUBTFUL,
    LINES_INPUT_END,
    LINES_NEW_SYMBOL,
    LINES_ROWS_FULL,
    NEWLINE,
    QUOTE,
    RETURN,
    SymbolHash,
    find_symbol,
)
from batonics.codec.text_value_kernels import (
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
from batonics.native import at, inlined, kernel


@inlined
def _read_line(
    data: NDArray[np.uint8],
    start: int,
    fields: NDArray[np.int64],
    forms: NDArray[np.int64],
    separator: int,
    words: NDArray[np.int64],
) -> int:
    """Read the values of a line; where its newline is, -1 if it is doubtful."""
    place, last = start, len(fields) - 1
    for column in range(len(fields)):
        field = fields[at(column)]
        ending = separator
        if data[at(place)] == QUOTE:
            ending = QUOTE
            place += 1
        if field == OTHER_FIELD:
            place = find_text_end(data, place, ending)
        elif data[at(place)] == ending or data[at(place)] == NEWLINE or data[at(place)] == RETURN:
            place = place if write_missing(field, words) else -1
        else:
            place = read_field(data, place, field, forms[at(field)], ending, words)
        if place < 0:
            return -1
        if ending == QUOTE:
            if data[at(place)] != QUOTE:
                return -1
            place += 1
        if column < last:
            if data[at(place)] != separator:
                return -1
            place += 1
    if data[at(place)] == RETURN:
        place += 1
    return place if data[at(place)] == NEWLINE else -1


@kernel
def parse_csv_lines(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    fields: NDArray[np.int64],
    forms: NDArray[np.int64],
    separator: int,
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
        fields: the field of each column of the table.
        forms: how the values of each field are written.
        separator: the byte between values.
        symbol_arrays: the arrays of a `SymbolHash`.
        words: scratch, LINE_WORDS words.
        column_arrays: the columns of an `MboBatch`.
        codes: the numbers of the symbols of the rows; 0: none.
        row: the next row.

    Returns:
        The position of the first line that is not taken, the next row, the reason of the stop, and
        where a new symbol begins and ends in the data, else 0 and 0.
    """
    symbols, columns = SymbolHash(*symbol_arrays), MboBatch(*column_arrays)
    position = start
    begin_words(words)
    while position < stop:
        if data[at(position)] == NEWLINE:
            position += 1
            continue
        if row == len(columns.action):
            return position, row, LINES_ROWS_FULL, 0, 0
        end = _read_line(data, position, fields, forms, separator, words)
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
