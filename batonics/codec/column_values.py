"""Columns of tables from any writer, converted to exact values, one column at a time.

The rule here: a value is taken if it is exact, and refused otherwise. What was lost before the
table was written, such as the nanoseconds of a time in microseconds, is refused too, unless the
caller takes losses; `ColumnNotes` counts them.

A float is exact if it is the one nearest to a single decimal. Below `FLOAT_PRICE_MAX` floats are
less than 1e-9 apart, so each price of 1e-9 has a float of its own. `rint(price * 1e9)` is off by
one for some of them, from 4,194,304 on (`float_kernels.py`). Below `NEAR_FLOAT_MAX` a float beside
that one is taken too, and counted: Polars divides by a number by multiplying with its inverse.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from batonics.codec.column_casts import (
    FALSE,
    TRUE,
    cast_column,
    filled,
    first_known,
    is_text,
    show_value,
    without_empty,
)
from batonics.codec.column_notes import IN_INTEGERS, LOCAL, ZONED, BadValueError, ColumnNotes
from batonics.codec.float_kernels import FLOAT_PRICE_MAX, exact_prices
from batonics.model.errors import InputError
from batonics.model.mbo import (
    PRICE_SCALE,
    UNDEF_PRICE,
    UNDEF_TIMESTAMP,
    Action,
    Side,
)
from batonics.model.prices import format_price

NEAR_FLOAT_MAX, NEAR_FLOAT_STEPS = 2**20, 2
"""Below this a float is taken that is up to so many floats beside the nearest one to a price: no
other price is as near, since four steps are less than 1e-9."""
FLOAT_INTEGER_MAX = 2**53
"""From here on, floats are too far apart to tell integers."""
_DECIMALS = 9
_ZONE = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$")
_FLOAT_TEXT = re.compile(r"([+-]?\d+)\.(0+)")
_EXPONENT_TEXT = re.compile(r"[+-]?\d+(?:\.\d+)?[eE][+-]?\d+")
_POINT = "[.eE]"
_FLOAT_DECIMALS = r"^-?\d{1,7}\.\d{10,20}$"
_NANOSECONDS = r"\.\d{7}"
_OTHER_UNITS = (
    (np.int64(600_000_000), np.int64(4_200_000_000), "seconds"),
    (np.int64(600_000_000_000), np.int64(4_200_000_000_000), "milliseconds"),
    (np.int64(600_000_000_000_000), np.int64(4_200_000_000_000_000), "microseconds"),
)
"""Integers that are times of our days in another unit: from, to, its name."""


def integer_column(
    name: str, column: pa.Array, dtype: np.dtype[Any], notes: ColumnNotes
) -> NDArray[Any]:
    """Integers of a NumPy dtype, from integers, or from floats, decimals or text of integers.

    Raises:
        BadValueError: a value is no such integer, or not exact. InputError: the type has none.
    """
    target = pa.from_numpy_dtype(dtype)
    if pa.types.is_null(column.type):
        column = column.cast(target)
    elif is_text(column.type):
        column = _integers_of_text(name, without_empty(column), notes)
    elif pa.types.is_floating(column.type):
        column = _integers_of_floats(name, column, notes)
    elif not (pa.types.is_integer(column.type) or pa.types.is_decimal(column.type)):
        raise InputError(f"column {name} is {column.type}, expected integers")
    return filled(name, cast_column(name, column, target))


def price_column(name: str, column: pa.Array, notes: ColumnNotes) -> NDArray[np.int64]:
    """Prices in units of 1e-9, from such integers, decimals, floats, or text of any of them.

    Text is decimal if the notes say so, or if the first price of the table has a decimal point;
    otherwise prices with one are refused, as are integers behind floats and floats behind integers.

    Raises:
        BadValueError: a value is no price, or not exact. InputError: the type has none.
    """
    if is_text(column.type):
        column = without_empty(column)
        if not _is_decimal_text(name, column, notes):
            return integer_column(name, column, np.dtype(np.int64), notes)
        column = _without_near_floats(column, notes)
        column = cast_column(name, column, pa.decimal128(38, _DECIMALS))
    else:
        _note_unit(name, column, notes)
    if pa.types.is_floating(column.type):
        return _float_prices(name, column, notes)
    if pa.types.is_decimal(column.type):
        return filled(name, _units_of_decimals(name, column))
    return integer_column(name, column, np.dtype(np.int64), notes)


def time_column(name: str, column: pa.Array, notes: ColumnNotes) -> NDArray[np.uint64]:
    """Nanoseconds since the epoch, from timestamps, such integers, or text of either.

    A time without a zone is UTC.

    Raises:
        BadValueError: a value is no time, or not exact. InputError: the type has none.
    """
    first = first_known(column)
    if is_text(column.type):
        column = without_empty(column)
        first = first_known(column)
    is_first = first is not None and name not in notes.time_forms
    if first is not None and is_first:
        notes.time_forms[name] = _time_form(column, first)
    if is_text(column.type) and notes.time_forms.get(name, IN_INTEGERS) != IN_INTEGERS:
        column = _times_of_text(name, column, notes)
    if pa.types.is_timestamp(column.type):
        if column.type.unit != "ns" and len(column) > column.null_count:
            units = {"us": "microseconds", "ms": "milliseconds", "s": "seconds"}
            kind = f"column {name} is in {units[column.type.unit]}, and has lost its nanoseconds"
            notes.take_loss(None, kind, len(column) - column.null_count)
        nanoseconds = cast_column(name, column, pa.timestamp("ns", column.type.tz))
        column = nanoseconds.view(pa.int64())
    values: NDArray[np.uint64] = integer_column(name, column, np.dtype(np.uint64), notes)
    if is_first:
        _check_unit(name, values)
    return values


def letter_column(name: str, column: pa.Array, codes: type[Action | Side]) -> NDArray[np.uint8]:
    """ASCII codes, from letters or from such codes.

    Raises:
        BadValueError: a value is no letter of the column. InputError: the type has none.
    """
    if column.null_count:
        raise BadValueError(int(pc.index(column.is_null(), TRUE).as_py()), f"{name} is missing")
    if pa.types.is_null(column.type):
        return np.empty(0, np.uint8)
    if pa.types.is_dictionary(column.type):
        return _letters_of_dictionary(name, column, codes)
    if pa.types.is_integer(column.type):
        letters = cast_column(name, column, pa.uint8()).to_numpy(zero_copy_only=False)
    elif is_text(column.type) or pa.types.is_binary(column.type):
        letters = _single_bytes(name, column)
    else:
        raise InputError(f"column {name} is {column.type}, expected letters")
    known = np.zeros(256, np.bool_)
    known[list(codes)] = True
    is_known = known[letters]
    if not is_known.all():
        row = int(is_known.argmin())
        raise BadValueError(
            row, f"{name} is {show_value(column[row])}, expected one of {_letters(codes)}"
        )
    return np.ascontiguousarray(letters)


def has_decimal_point(column: pa.Array) -> bool:
    """Whether a price as text has a decimal point or an exponent."""
    return bool(pc.any(pc.match_substring_regex(column, _POINT), min_count=0).as_py())


# ---------------------------------------------------------------- integers


def _integers_of_text(name: str, column: pa.Array, notes: ColumnNotes) -> pa.Array:
    """Text of digits alone, or integers of text of floats."""
    if not has_decimal_point(column):
        return column
    with_point = pc.match_substring_regex(column, _POINT)
    texts = column.to_pylist()
    for row in np.flatnonzero(with_point.fill_null(FALSE)).tolist():
        match = _FLOAT_TEXT.fullmatch(texts[row])
        if match is not None and abs(int(match[1])) < FLOAT_INTEGER_MAX:
            texts[row] = match[1]
        elif match is not None or _EXPONENT_TEXT.fullmatch(texts[row]):
            notes.take_loss(row, f"{name} is {texts[row]}, which went through a float")
            texts[row] = str(round(Fraction(texts[row])))
        else:
            raise BadValueError(row, f"{name} is {texts[row]!r}, expected an integer")
    return pa.array(texts, pa.large_string())


def _integers_of_floats(name: str, column: pa.Array, notes: ColumnNotes) -> pa.Array:
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    is_null = np.isnan(values)
    with np.errstate(invalid="ignore"):
        wrong = ~is_null & ((np.rint(values) != values) | np.isinf(values))
    if wrong.any():
        row = int(wrong.argmax())
        raise BadValueError(row, f"{name} is {values[row]}, expected an integer")
    large = ~is_null & (np.abs(values) >= FLOAT_INTEGER_MAX)
    if large.any():
        row, count = int(large.argmax()), int(large.sum())
        kind = f"column {name} is of floats, which do not hold integers from 2^53 on"
        notes.take_loss(row, kind, count)
        numbers = [None if math.isnan(value) else int(value) for value in values.tolist()]
        return pa.array(numbers, pa.decimal128(38, 0))
    return pa.array(np.where(is_null, 0, values).astype(np.int64), mask=is_null)


# ---------------------------------------------------------------- prices


def _note_unit(name: str, column: pa.Array, notes: ColumnNotes) -> None:
    """Note whether prices are decimals; refuse it if those before have another unit."""
    first = first_known(column)
    if first is None:
        return
    is_decimal = not pa.types.is_integer(column.type)
    if notes.decimal_prices is None:
        notes.decimal_prices = is_decimal
    if notes.decimal_prices != is_decimal:
        before = "integers of 1e-9" if is_decimal else "decimals"
        raise BadValueError(first, f"{name} is {column[first]}, but prices before it are {before}")


def _is_decimal_text(name: str, column: pa.Array, notes: ColumnNotes) -> bool:
    """Whether the prices are decimals; the first price of a table decides."""
    if notes.decimal_prices:
        return True
    first = first_known(column)
    if first is None:
        return bool(notes.decimal_prices)
    has_point = pc.match_substring_regex(column, _POINT).fill_null(FALSE)
    if notes.decimal_prices is None:
        notes.decimal_prices = has_point[first].as_py()
    if not notes.decimal_prices and pc.any(has_point).as_py():
        row = pc.index(has_point, TRUE).as_py()
        raise BadValueError(
            row,
            f"{name} is {column[row]}, with a decimal point, but prices before it have none and are"
            " units of 1e-9",
        )
    return bool(notes.decimal_prices)


def _units_of_decimals(name: str, column: pa.Array) -> pa.Array:
    wide = cast_column(name, column, pa.decimal128(38, _DECIMALS))
    words = np.frombuffer(wide.buffers()[1], np.int64).reshape(-1, 2)
    words = words[wide.offset : wide.offset + len(wide)]
    is_null = wide.is_null().to_numpy(zero_copy_only=False)
    fits = (words[:, 1] == words[:, 0] >> 63) | is_null
    if not fits.all():
        row = int(fits.argmin())
        raise BadValueError(row, f"{name} is {wide[row]}, which exceeds an int64 of 1e-9")
    return pa.array(words[:, 0], mask=is_null)


def _float_prices(name: str, column: pa.Array, notes: ColumnNotes) -> NDArray[np.int64]:
    is_double = pa.types.is_float64(column.type)
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False).view()
    values.flags.writeable = False  # so that the kernel is compiled for one type
    prices, is_exact = np.empty(len(values), np.int64), np.empty(len(values), np.bool_)
    lost_count = exact_prices(values, prices, is_exact)
    has_prices = lost_count > 0 or not (prices == UNDEF_PRICE).all()
    if lost_count or not is_double:
        if np.isinf(values).any():
            raise BadValueError(int(np.isinf(values).argmax()), f"{name} is infinite")
        lost = np.flatnonzero(~is_exact | (not is_double and ~np.isnan(values)))
        if is_double:
            lost = _take_near_floats(values, lost, prices, notes)
        if len(lost):
            row = int(lost[0])
            kind = _describe_float(name, float(values[row]), is_double=is_double)
            notes.take_loss(row, kind, len(lost))
            prices[lost] = _nearest_prices(name, values, lost)
    notes.has_float_prices = notes.has_float_prices or has_prices
    return prices


def _take_near_floats(
    values: NDArray[np.float64],
    rows: NDArray[np.int64],
    prices: NDArray[np.int64],
    notes: ColumnNotes,
) -> NDArray[np.int64]:
    """Write the prices of floats beside the nearest one to a price; the rows of the others.

    A price that is multiplied by 1e-9 instead of divided by 1e9 is such a float.
    """
    found = values[rows]
    units = np.rint(np.where(np.abs(found) < NEAR_FLOAT_MAX, found, 0) * PRICE_SCALE)
    distance = np.abs(found - units / PRICE_SCALE)
    is_near = distance <= NEAR_FLOAT_STEPS * np.spacing(np.abs(found))
    prices[rows[is_near]] = units[is_near].astype(np.int64)
    notes.near_floats += int((is_near & (distance > 0)).sum())
    others: NDArray[np.int64] = rows[~is_near]
    return others


def _without_near_floats(column: pa.Array, notes: ColumnNotes) -> pa.Array:
    """Text of prices with the price in place of each float beside the nearest one to it."""
    is_long = pc.match_substring_regex(column, _FLOAT_DECIMALS).fill_null(FALSE)
    if not pc.any(is_long).as_py():
        return column
    texts: list[str] = column.filter(is_long).to_pylist()
    # Of a text with more digits than its float has, some are lost: it is no float's.
    floats = [float(text) if str(float(text)) == text else math.nan for text in texts]
    values, prices = np.array(floats), np.zeros(len(texts), np.int64)
    others = _take_near_floats(values, np.arange(len(texts)), prices, notes)
    exact = [format_price(price) for price in prices.tolist()]
    for row in others.tolist():
        exact[row] = texts[row]  # which is refused
    return pc.replace_with_mask(column, is_long, pa.array(exact, column.type))


def _nearest_prices(name: str, values: NDArray[np.float64], rows: NDArray[np.int64]) -> list[int]:
    """The prices of 1e-9 nearest to floats that no price is exact for."""
    prices = []
    for row in rows.tolist():
        price = round(Fraction(float(values[row])) * PRICE_SCALE)
        if not -(2**63) <= price < UNDEF_PRICE:
            raise BadValueError(row, f"{name} is {values[row]}, which exceeds an int64 of 1e-9")
        prices.append(price)
    return prices


def _describe_float(name: str, value: float, *, is_double: bool) -> str:
    if not is_double:
        return f"column {name} is of floats of 32 bits or fewer, which do not hold prices of 1e-9"
    if abs(value) >= FLOAT_PRICE_MAX:
        return f"column {name} has floats from {FLOAT_PRICE_MAX:,} on, which do not tell 1e-9 apart"
    return f"column {name} has floats of more than {_DECIMALS} decimals"


# ---------------------------------------------------------------- times


def _time_form(column: pa.Array, first: int) -> str:
    """How times are written, by the first of them."""
    if not is_text(column.type):
        return IN_INTEGERS
    text = column[first].as_py()
    if text.isdecimal():
        return IN_INTEGERS
    return ZONED if _ZONE.search(text) else LOCAL


def _times_of_text(name: str, column: pa.Array, notes: ColumnNotes) -> pa.Array:
    """Timestamps of ISO 8601 text, with a `T` or a space, with or without a zone."""
    if not notes.has_nanoseconds:
        long = pc.match_substring_regex(column, _NANOSECONDS)
        notes.has_nanoseconds = bool(pc.any(long, min_count=0).as_py())
        notes.text_times += len(column)
    zone = "UTC" if notes.time_forms[name] == ZONED else None
    return cast_column(name, column, pa.timestamp("ns", zone))


def _check_unit(name: str, values: NDArray[np.uint64]) -> None:
    """Refuse times that are nanoseconds of 1970, but times of our days in another unit."""
    known = np.flatnonzero(values != UNDEF_TIMESTAMP)
    if not len(known):
        return
    row = int(known[0])
    for least, greatest, unit in _OTHER_UNITS:
        if least <= values[row].astype(np.int64) < greatest:
            raise BadValueError(
                row,
                f"{name} is {values[row]}, which seems to be in {unit}: write nanoseconds, or text",
            )


def _letters_of_dictionary(
    name: str, column: pa.DictionaryArray, codes: type[Action | Side]
) -> NDArray[np.uint8]:
    """Codes of categories; each category is checked once."""
    try:
        letters = letter_column(name, column.dictionary, codes)
    except BadValueError:  # of a category that no row may have
        return letter_column(name, column.dictionary_decode(), codes)
    found: NDArray[np.uint8] = letters[column.indices.to_numpy(zero_copy_only=False)]
    return found


def _single_bytes(name: str, column: pa.Array) -> NDArray[np.uint8]:
    """The bytes of values of one byte each."""
    if not len(column):
        return np.empty(0, np.uint8)
    lengths = pc.binary_length(column).to_numpy(zero_copy_only=False)
    if (lengths != 1).any():
        row = int((lengths != 1).argmax())
        raise BadValueError(row, f"{name} is {show_value(column[row])}, expected one letter")
    wide = pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type)
    offsets = np.frombuffer(column.buffers()[1], np.int64 if wide else np.int32)
    start = int(offsets[column.offset]) if len(column) else 0
    data = column.buffers()[2]
    return np.frombuffer(data or b"", np.uint8)[start : start + len(column)]


def _letters(codes: type[Action | Side]) -> str:
    return " ".join(chr(code) for code in codes if chr(code).isupper())
