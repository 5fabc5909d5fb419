"""Tables of a vendor schema, from any writer, converted to the columns of our frames.

The rule here: only the form changes. Sentinels become null, letters become Enums, and nanoseconds
become Datetimes. Prices are integers of 1e-9. Values are taken or refused as those of MBO records
are (`codec/column_values.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from batonics.codec.column_casts import is_text, plain_column, without_empty
from batonics.codec.column_notes import BadValueError, ColumnNotes, check_text_times
from batonics.codec.column_values import (
    has_decimal_point,
    integer_column,
    price_column,
    time_column,
)
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
from batonics.model.mbo import UNDEF_TIMESTAMP

_TIME_MAX = 2**63 - 1
"""The latest time of a frame."""


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
    """The columns of a schema that a whole table has; see `TableColumns`.

    Raises:
        InputError: a value is refused.
    """
    columns = TableColumns(schema)
    found = columns.convert(frame)
    columns.finish()
    return found


class TableColumns:
    """Converts the frames of one table, in their order, to the dtypes of a schema.

    Columns have the names of the schema; other ones are left out. Values are taken by the rules of
    tables of MBO records (docs/formats.md), except that any value may be missing. Sentinels become
    null.

    Args:
        schema: the name of the schema.
    """

    def __init__(self, schema: str) -> None:
        self._schema = schema
        self._columns = find_schema(schema).columns
        self._notes = ColumnNotes(advice="write the table anew with all digits")
        self._prices = frozenset(find_price_columns(self._columns))
        self._rows = 0

    def convert(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The next frame, converted.

        Raises:
            InputError: a value is refused.
        """
        found = [name for name in self._columns if name in frame.columns]
        texts = [name for name in found if name in self._prices and frame[name].dtype == pl.String]
        if self._notes.decimal_prices is None and texts:
            columns = (plain_column(frame[name].to_arrow()) for name in texts)
            self._notes.decimal_prices = any(map(has_decimal_point, columns))
        converted = [self._convert(frame[name], self._columns[name]) for name in found]
        self._rows += frame.height
        return pl.DataFrame(converted)

    def finish(self) -> None:
        """Say that the table has ended.

        Raises:
            InputError: its times are text, and none shows nanoseconds.
        """
        # Times of intervals are whole seconds.
        if "action" in self._columns:
            check_text_times(self._notes)

    def _convert(self, column: pl.Series, expected: pl.DataType) -> pl.Series:
        name = column.name
        if not (expected == TIME_TYPE or expected.is_integer()):
            try:
                return column.cast(expected)
            except pl.exceptions.PolarsError as error:
                reason = str(error).splitlines()[0]
                raise InputError(
                    f"column {name} is not what schema {self._schema} has there: {reason}"
                ) from None
        table_column = plain_column(column.to_arrow())
        if is_text(table_column.type):
            table_column = without_empty(table_column)
        is_missing = table_column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
        known = table_column.filter(pa.array(~is_missing))
        try:
            values = self._exact_values(name, known, expected)
        except BadValueError as error:
            row = self._rows + int(np.flatnonzero(~is_missing)[error.row])
            raise InputError(f"row {row}: {error.reason}") from None
        found = np.zeros(len(column), values.dtype)
        found[~is_missing] = values
        if name in UNDEFINED:
            is_missing |= found == UNDEFINED[name]
        if expected == TIME_TYPE:
            found = np.where(is_missing, 0, found).astype(np.int64)
        return pl.Series(name, pa.array(found, mask=is_missing)).cast(expected)

    def _exact_values(self, name: str, column: pa.Array, expected: pl.DataType) -> NDArray[Any]:
        """The values of a column without nulls.

        Raises:
            BadValueError: a value is refused.
        """
        if expected == TIME_TYPE:
            times = time_column(name, column, self._notes)
            too_late = (times > _TIME_MAX) & (times != UNDEF_TIMESTAMP)
            if too_late.any():
                row = int(too_late.argmax())
                raise BadValueError(row, f"{name} is {times[row]}, after the year 2262")
            return times
        if name in self._prices:
            return price_column(name, column, self._notes)
        dtype = pl.Series([], dtype=expected).to_numpy().dtype
        return integer_column(name, column, dtype, self._notes)
