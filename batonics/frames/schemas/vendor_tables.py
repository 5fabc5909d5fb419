"""Tables of a vendor schema, from any writer, converted to the columns of our frames.

The rule here: only the form changes. Sentinels become null, letters become Enums, and nanoseconds
become Datetimes. Prices stay integers of 1e-9; decimals and decimal text become integers
exactly, without a float in between.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.codec.records import UNDEFINED
from batonics.frames.columns.mbo_frame import (
    CATEGORIES,
    LETTER_TYPES,
    NO_CATEGORY,
    TIME_TYPE,
    category_series,
)
from batonics.frames.columns.prices import find_price_columns
from batonics.frames.schemas.table import find_schema
from batonics.model.errors import InputError
from batonics.model.mbo import PRICE_SCALE

_DECIMALS = 9


def from_records(records: NDArray[np.void], schema: str) -> pl.DataFrame:
    """A frame of the schema from its DBN records.

    Args:
        records: records of the dtype `Schema.record_dtype`.
        schema: the name of the schema.

    Raises:
        InputError: a field of letters holds another byte.
    """
    columns = {}
    for name, dtype in find_schema(schema).columns.items():
        values = np.ascontiguousarray(records[name])
        if name in CATEGORIES:
            categories = CATEGORIES[name].take(values)
            unknown = np.flatnonzero(categories == NO_CATEGORY)
            if len(unknown):
                byte = int(values[unknown[0]])
                raise InputError(f"column {name} holds byte 0x{byte:02x}, which is no letter of it")
            columns[name] = category_series(name, categories, LETTER_TYPES[name])
        elif dtype == TIME_TYPE:
            columns[name] = pl.Series(values.view(np.int64))
        else:
            columns[name] = pl.Series(values)
    return normalise_columns(pl.DataFrame(columns), schema)


def normalise_columns(frame: pl.DataFrame, schema: str) -> pl.DataFrame:
    """The columns of a schema that a frame has, converted to the schema's dtypes.

    Args:
        frame: columns with the names of the schema. Times are Datetimes, nanoseconds or ISO 8601
            text; prices are integers of 1e-9, decimals or decimal text; letters are text.
            Sentinels become null, and other columns are left out.
        schema: the name of the vendor's schema.

    Raises:
        InputError: a column cannot be converted.
    """
    columns = find_schema(schema).columns
    present = [name for name in columns if name in frame.columns]
    try:
        return frame.select(_convert(name, frame.schema[name], columns[name]) for name in present)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"a column is not what schema {schema} has there: {reason}") from None


def _convert(name: str, found: pl.DataType, expected: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if found.is_float() and expected.is_integer():
        raise InputError(f"column {name} is of floats, which are not exact: write integers of 1e-9")
    if expected == TIME_TYPE:
        return _parse_time(column, found).alias(name)
    if isinstance(expected, pl.Enum):
        return column.cast(expected)
    is_price = bool(find_price_columns({name: expected}))
    if isinstance(found, pl.Decimal) and found.scale > (_DECIMALS if is_price else 0):
        raise InputError(f"column {name} is {found}, with more decimals than {expected} holds")
    value = (_read_price(column, found) if is_price else column).cast(expected)
    if name not in UNDEFINED:
        return value.alias(name)
    return pl.when(value != UNDEFINED[name]).then(value).alias(name)


def _read_price(column: pl.Expr, found: pl.DataType) -> pl.Expr:
    """The integer of 1e-9 from decimals, decimal text or integers."""
    if found == pl.String():
        return _parse_price(column)
    if isinstance(found, pl.Decimal) and found.scale:
        return column.cast(pl.Decimal(38, _DECIMALS)).to_physical()
    return column


def _parse_time(column: pl.Expr, found: pl.DataType) -> pl.Expr:
    if isinstance(found, pl.Datetime):
        exact = column.cast(pl.Datetime("ns", found.time_zone)).dt
        zoned = found.time_zone is not None
        return exact.convert_time_zone("UTC") if zoned else exact.replace_time_zone("UTC")
    if found == pl.String():
        is_number = column.str.contains("^[0-9]+$")
        number = pl.when(is_number).then(column).cast(pl.UInt64)
        text = pl.when(~is_number).then(column)
        parsed = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="ns", time_zone="UTC")
        return pl.coalesce(_parse_time(number, pl.UInt64()), parsed)
    # UNDEF_TIMESTAMP is -1 as a signed word.
    signed = column.reinterpret(signed=True) if found == pl.UInt64() else column.cast(pl.Int64)
    return pl.when(signed != -1).then(signed).cast(TIME_TYPE)


def _parse_price(text: pl.Expr) -> pl.Expr:
    """The integer of 1e-9 from decimal text, or from integer text if it has no decimal point."""
    is_decimal = text.str.contains(r"^-?\d+\.\d{1,9}0*$")
    parts = pl.when(is_decimal).then(text).str.splitn(".", 2)
    whole, fraction = (parts.struct[f"field_{part}"] for part in (0, 1))
    # Int128 holds any ten digits; the last cast refuses a price that exceeds int64.
    units = whole.cast(pl.Int64).cast(pl.Int128) * PRICE_SCALE
    rest = fraction.str.slice(0, _DECIMALS).str.pad_end(_DECIMALS, "0").cast(pl.Int128)
    sign = pl.when(whole.str.starts_with("-")).then(-1).otherwise(1)
    integer = pl.when(~is_decimal).then(text).cast(pl.Int64)
    return pl.coalesce(integer, (units + sign * rest).cast(pl.Int64))
