"""Casts of columns of tables that say which value does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from batonics.codec.column_notes import BadValueError
from batonics.model.errors import InputError
from batonics.model.record_columns import NULL_VALUES

FALSE, TRUE = pa.scalar(value=False), pa.scalar(value=True)


def plain_column(column: pa.Array, *, keeps_dictionary: bool = False) -> pa.Array:
    """The column in one piece, with its values in place of a dictionary."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type) and not keeps_dictionary:
        column = column.dictionary_decode()
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    return column


def is_text(dtype: pa.DataType) -> bool:
    """Whether values of a type are text."""
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype))


def without_empty(column: pa.Array) -> pa.Array:
    """Null for empty text."""
    empty = pc.equal(pc.binary_length(column), 0)
    if not pc.any(empty, min_count=0).as_py():
        return column
    return pc.if_else(empty, pa.scalar(None, column.type), column)


def first_known(column: pa.Array) -> int | None:
    """The first row that is not null."""
    if column.null_count == len(column):
        return None
    return int(pc.index(column.is_valid(), TRUE).as_py()) if column.null_count else 0


def filled(name: str, column: pa.Array) -> NDArray[Any]:
    """The values, with the sentinel of the column in place of null; read-only if they are views."""
    if column.null_count:
        if name not in NULL_VALUES:
            row = int(pc.index(column.is_null(), TRUE).as_py())
            raise BadValueError(row, f"{name} is missing")
        column = column.fill_null(pa.scalar(NULL_VALUES[name], column.type))
    return np.require(column.to_numpy(zero_copy_only=False), requirements="A")


def cast_column(name: str, column: pa.Array, target: pa.DataType) -> pa.Array:
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


def show_value(value: object) -> str:
    """A value in an error; a long one is cut."""
    if isinstance(value, pa.Scalar):
        value = str(value) if pa.types.is_timestamp(value.type) else value.as_py()
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
