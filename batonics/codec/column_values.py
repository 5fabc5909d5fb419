"""Columns of tables from any writer, converted to exact values, one column at a time.

The rule here: a value is taken if it is exact, and refused otherwise. What was lost before the
table was written, such as the nanoseconds of a time in microseconds, is refused too, unless the
caller takes losses; `ColumnNotes` counts them.

A float is exact if it is the one nearest to a single decimal. Below `FLOAT_PRICE_MAX` floats are
less than 1e-9 apart, so each price of 1e-9 has a float of its own. `rint(price * 1e9)` is off by
one for some of them, from 4,194,304 on: dividing back shows it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from batonics.model.errors import InputError
from batonics.model.mbo import (
    PRICE_SCALE,
    UNDEF_PRICE,
    UNDEF_TIMESTAMP,
    Action,
    Side,
)
from batonics.model.record_columns import NULL_VALUES

FLOAT_PRICE_MAX = 8_388_608
"""From here on, floats are too far apart to tell prices of 1e-9."""
FLOAT_INTEGER_MAX = 2**53
"""From here on, floats are too far apart to tell integers."""
LOSSY_ADVICE = "--lossy (in Python lossy=True) takes it as it is"
"""What to do about a value that is refused because something of it is lost."""

NO_NANOSECONDS = "times as text have no digits of nanoseconds"
_DECIMALS = 9
_FALSE, _TRUE = pa.scalar(value=False), pa.scalar(value=True)
_ZONE = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$")
_FLOAT_TEXT = re.compile(r"([+-]?\d+)\.(0+)")
_EXPONENT_TEXT = re.compile(r"[+-]?\d+(?:\.\d+)?[eE][+-]?\d+")
_POINT = "[.eE]"
_NANOSECONDS = r"\.\d{7}"
_OTHER_UNITS = (
    (np.int64(600_000_000), np.int64(4_200_000_000), "seconds"),
    (np.int64(600_000_000_000), np.int64(4_200_000_000_000), "milliseconds"),
    (np.int64(600_000_000_000_000), np.int64(4_200_000_000_000_000), "microseconds"),
)
"""Integers that are times of our days in another unit: from, to, its name."""


class BadValueError(ValueError):
    """A value that is refused.

    Attributes:
        row: its row in the record batch.
        reason: what is wrong with it.
    """

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(reason)
        self.row, self.reason = row, reason


class ColumnNotes:
    """What was found while columns were converted.

    Args:
        lossy: whether values of which something is lost are taken.

    Attributes:
        has_float_prices: prices were floats, each of them exact.
        losses: number of values of which something is lost, by what it is.
        decimal_prices: whether prices are decimals or floats, not integers of 1e-9; None: none has
            come.
        has_nanoseconds: a time as text has more digits than microseconds have.
        text_times: number of rows with a time as text, until one has nanoseconds.
    """

    def __init__(self, *, lossy: bool = False) -> None:
        self.has_float_prices = False
        self.losses = Counter[str]()
        self.decimal_prices: bool | None = None
        self.has_nanoseconds = False
        self.text_times = 0
        self._lossy = lossy

    def take_loss(self, row: int | None, kind: str, values: int = 1) -> None:
        """Count values of which something is lost.

        Args:
            row: the first of them; None: all values of the column.
            kind: what is lost.
            values: their number.

        Raises:
            BadValueError, InputError: losses are refused.
        """
        if not self._lossy and row is None:
            raise InputError(f"{kind}; {LOSSY_ADVICE}")
        if not self._lossy and row is not None:
            raise BadValueError(row, f"{kind}; {LOSSY_ADVICE}")
        self.losses[kind] += values

    def copy(self) -> ColumnNotes:
        """A copy, to go back to."""
        other = ColumnNotes(lossy=self._lossy)
        other.__dict__.update(self.__dict__)
        other.losses = self.losses.copy()
        return other


def plain_column(column: pa.Array) -> pa.Array:
    """The column with its values in place of a dictionary, and null for empty text."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    return column


def is_text(dtype: pa.DataType) -> bool:
    """Whether values of a type are text."""
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype))


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
        column = _integers_of_text(name, _without_empty(column), notes)
    elif pa.types.is_floating(column.type):
        column = _integers_of_floats(name, column, notes)
    elif not (pa.types.is_integer(column.type) or pa.types.is_decimal(column.type)):
        raise InputError(f"column {name} is {column.type}, expected integers")
    return _filled(name, _cast(name, column, target))


def price_column(name: str, column: pa.Array, notes: ColumnNotes) -> NDArray[np.int64]:
    """Prices in units of 1e-9, from such integers, decimals, floats, or text of any of them.

    Text is decimal if the notes say so, or if the first price of the table has a decimal point;
    otherwise prices with one are refused, as are integers behind floats and floats behind integers.

    Raises:
        BadValueError: a value is no price, or not exact. InputError: the type has none.
    """
    if is_text(column.type):
        column = _without_empty(column)
        if not _is_decimal_text(name, column, notes):
            return integer_column(name, column, np.dtype(np.int64), notes)
        column = _cast(name, column, pa.decimal128(38, _DECIMALS))
    else:
        _note_unit(name, column, notes)
    if pa.types.is_floating(column.type):
        return _float_prices(name, column, notes)
    if pa.types.is_decimal(column.type):
        return _filled(name, _units_of_decimals(name, column))
    return integer_column(name, column, np.dtype(np.int64), notes)


def time_column(name: str, column: pa.Array, notes: ColumnNotes) -> NDArray[np.uint64]:
    """Nanoseconds since the epoch, from timestamps, such integers, or text of either.

    A time without a zone is UTC.

    Raises:
        BadValueError: a value is no time, or not exact. InputError: the type has none.
    """
    if is_text(column.type):
        column = _without_empty(column)
        first = _first_known(column)
        if first is not None and not column[first].as_py().isdecimal():
            column = _times_of_text(name, column, first, notes)
    if pa.types.is_timestamp(column.type):
        if column.type.unit != "ns" and len(column) > column.null_count:
            units = {"us": "microseconds", "ms": "milliseconds", "s": "seconds"}
            kind = f"column {name} is in {units[column.type.unit]}, and has lost its nanoseconds"
            notes.take_loss(None, kind, len(column) - column.null_count)
        nanoseconds = _cast(name, column, pa.timestamp("ns", column.type.tz))
        column = nanoseconds.view(pa.int64())
    values: NDArray[np.uint64] = integer_column(name, column, np.dtype(np.uint64), notes)
    _check_unit(name, values)
    return values


def letter_column(name: str, column: pa.Array, codes: type[Action | Side]) -> NDArray[np.uint8]:
    """ASCII codes, from letters or from such codes.

    Raises:
        BadValueError: a value is no letter of the column. InputError: the type has none.
    """
    if column.null_count:
        raise BadValueError(int(pc.index(column.is_null(), _TRUE).as_py()), f"{name} is missing")
    if pa.types.is_null(column.type):
        return np.empty(0, np.uint8)
    if pa.types.is_integer(column.type):
        letters = _cast(name, column, pa.uint8()).to_numpy(zero_copy_only=False)
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


def check_text_times(notes: ColumnNotes) -> None:
    """Refuse times as text of which none has nanoseconds, or count them as a loss.

    Raises:
        InputError: losses are refused.
    """
    if notes.text_times and not notes.has_nanoseconds:
        notes.take_loss(None, NO_NANOSECONDS, notes.text_times)
        notes.text_times = 0


# ---------------------------------------------------------------- integers


def _integers_of_text(name: str, column: pa.Array, notes: ColumnNotes) -> pa.Array:
    """Text of digits alone, or integers of text of floats."""
    if not has_decimal_point(column):
        return column
    with_point = pc.match_substring_regex(column, _POINT)
    texts = column.to_pylist()
    for row in np.flatnonzero(with_point.fill_null(_FALSE)).tolist():
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
    first = _first_known(column)
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
    first = _first_known(column)
    if first is None:
        return bool(notes.decimal_prices)
    has_point = pc.match_substring_regex(column, _POINT).fill_null(_FALSE)
    if notes.decimal_prices is None:
        notes.decimal_prices = has_point[first].as_py()
    if not notes.decimal_prices and pc.any(has_point).as_py():
        row = pc.index(has_point, _TRUE).as_py()
        raise BadValueError(
            row,
            f"{name} is {column[row]}, with a decimal point, but prices before it have none and are"
            " units of 1e-9",
        )
    return bool(notes.decimal_prices)


def _units_of_decimals(name: str, column: pa.Array) -> pa.Array:
    wide = _cast(name, column, pa.decimal128(38, _DECIMALS))
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
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    is_null = np.isnan(values)
    known = np.where(is_null, 0.0, values)
    if np.isinf(known).any():
        raise BadValueError(int(np.isinf(known).argmax()), f"{name} is infinite")
    units = np.rint(known * PRICE_SCALE)
    is_exact = units / PRICE_SCALE == known
    for step in (-1, 1):
        doubtful = np.flatnonzero(~is_exact)
        near = units[doubtful] + step
        found = near / PRICE_SCALE == known[doubtful]
        units[doubtful[found]] = near[found]
        is_exact[doubtful[found]] = True
    is_exact &= (np.abs(known) < FLOAT_PRICE_MAX) & is_double
    notes.has_float_prices = notes.has_float_prices or not is_null.all()
    lost = np.flatnonzero(~is_exact)
    if not len(lost):
        return np.where(is_null, UNDEF_PRICE, units.astype(np.int64))
    row = int(lost[0])
    notes.take_loss(row, _describe_float(name, float(known[row]), is_double=is_double), len(lost))
    prices = np.where(is_null, UNDEF_PRICE, np.where(is_exact, units, 0).astype(np.int64))
    for row in lost.tolist():
        price = round(Fraction(float(known[row])) * PRICE_SCALE)
        if not -(2**63) <= price < UNDEF_PRICE:
            raise BadValueError(row, f"{name} is {known[row]}, which exceeds an int64 of 1e-9")
        prices[row] = price
    return prices


def _describe_float(name: str, value: float, *, is_double: bool) -> str:
    if not is_double:
        return f"column {name} is of floats of 32 bits or fewer, which do not hold prices of 1e-9"
    if abs(value) >= FLOAT_PRICE_MAX:
        return f"column {name} has floats from {FLOAT_PRICE_MAX:,} on, which do not tell 1e-9 apart"
    return f"column {name} has floats of more than {_DECIMALS} decimals"


# ---------------------------------------------------------------- times


def _times_of_text(name: str, column: pa.Array, first: int, notes: ColumnNotes) -> pa.Array:
    """Timestamps of ISO 8601 text, with a `T` or a space, with or without a zone."""
    if not notes.has_nanoseconds:
        long = pc.match_substring_regex(column, _NANOSECONDS)
        notes.has_nanoseconds = bool(pc.any(long, min_count=0).as_py())
        notes.text_times += len(column)
    zone = "UTC" if _ZONE.search(column[first].as_py()) else None
    return _cast(name, column, pa.timestamp("ns", zone))


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


# ---------------------------------------------------------------- helpers


def _without_empty(column: pa.Array) -> pa.Array:
    """Null for empty text."""
    empty = pc.equal(pc.binary_length(column), 0)
    if not pc.any(empty, min_count=0).as_py():
        return column
    return pc.if_else(empty, pa.scalar(None, column.type), column)


def _first_known(column: pa.Array) -> int | None:
    """The first row that is not null."""
    if column.null_count == len(column):
        return None
    return int(pc.index(column.is_valid(), _TRUE).as_py()) if column.null_count else 0


def _filled(name: str, column: pa.Array) -> NDArray[Any]:
    """The values, with the sentinel of the column in place of null; an array of its own."""
    if column.null_count:
        if name not in NULL_VALUES:
            row = int(pc.index(column.is_null(), _TRUE).as_py())
            raise BadValueError(row, f"{name} is missing")
        column = column.fill_null(pa.scalar(NULL_VALUES[name], column.type))
    return np.array(column.to_numpy(zero_copy_only=False))


def _cast(name: str, column: pa.Array, target: pa.DataType) -> pa.Array:
    """A checked cast.

    Raises:
        BadValueError: a value does not fit; the first such one.
    """
    if column.type == target:
        return column

    def fits(rows: int) -> bool:
        try:
            column.slice(0, rows).cast(target)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return False
        return True

    try:
        return column.cast(target)
    except pa.ArrowNotImplementedError:
        raise InputError(f"column {name} is {column.type}, expected {target}") from None
    except pa.ArrowInvalid:
        row = _first_failure(fits, len(column))
    raise BadValueError(
        row, f"{name} is {show_value(column[row])}, which is not {_describe(target)}"
    )


def _first_failure(fits: Callable[[int], bool], rows: int) -> int:
    """The first row with which the rows up to it do not fit."""
    good, bad = 0, rows
    while bad - good > 1:
        middle = (good + bad) // 2
        if fits(middle):
            good = middle
        else:
            bad = middle
    return good


def _describe(target: pa.DataType) -> str:
    if pa.types.is_timestamp(target):
        return "a time in nanoseconds" + (" with a zone" if target.tz else "")
    if pa.types.is_decimal(target):
        return f"a decimal with at most {target.scale} decimals" if target.scale else "an integer"
    return f"an integer in the range of {target}"


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


def show_value(value: object) -> str:
    """A value in an error; a long one is cut."""
    if isinstance(value, pa.Scalar):
        value = str(value) if pa.types.is_timestamp(value.type) else value.as_py()
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
