"""Writes frames of a vendor schema as DBN records.

The rule: the records are those that the vendor writes for the same rows: nulls become sentinels,
letters their ASCII codes, reserved bytes 0. A frame with values that a record cannot hold is
refused. Only the column `symbol` is left out, since DBN has symbols in its metadata.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.codec.metadata import Metadata, encode_metadata
from batonics.codec.records import UNDEFINED
from batonics.frames.columns.mbo_frame import LETTERS, TIME_TYPE
from batonics.frames.scan.mbo_scan import SYMBOL
from batonics.frames.schemas.schema import Schema
from batonics.frames.schemas.table import find_schema
from batonics.model.errors import UsageError
from batonics.model.mbo import Action
from batonics.sinks.output_stream import OutputStream

DBN_SLICE_ROWS = 32_768
"""Rows that become records at once: 12 MiB of mbp-10."""
BLOCK_ROWS = 2_048
"""Records that are filled at once: as many of mbp-10 as the cache holds. Filled column by column
over all rows, records would be fetched from memory once for each column."""


def check_vendor_columns(schema: str, columns: pl.Schema) -> None:
    """Check that these are the columns of a schema, in its order; `symbol` may follow.

    Raises:
        UsageError: there is no such schema, or a column is missing, extra or of another dtype.
    """
    expected = [*find_schema(schema).columns.items()]
    found = [*columns.items()]
    if found[-1:] == [(SYMBOL, pl.String())]:
        found.pop()
    for at, (name, dtype) in enumerate(expected):
        if at >= len(found) or found[at][0] != name:
            raise UsageError(f"column {name} of schema {schema} is missing or in another place")
        if found[at][1] != dtype:
            raise UsageError(f"column {name} is {found[at][1]}, expected {dtype} (schema {schema})")
    if len(found) > len(expected):
        raise UsageError(f"column {found[len(expected)][0]} is not in schema {schema}")


def check_vendor_nulls(frame: pl.DataFrame) -> None:
    """Check that a frame of a vendor schema has nulls only where there is a sentinel for them.

    Raises:
        UsageError: a column without a sentinel has nulls.
    """
    for column in frame.get_columns():
        if column.name not in UNDEFINED and column.name != SYMBOL and column.null_count():
            raise UsageError(
                f"column {column.name} has {column.null_count()} nulls; the schema allows none"
            )


def to_records(frame: pl.DataFrame, schema: str) -> NDArray[np.void]:
    """The frame as DBN records (`Schema.record_dtype`), with the bytes on the wire.

    Raises:
        UsageError: DBN has no record of the schema, the columns are not the schema's, or a row
            cannot be such a record: it has nulls without a sentinel or another rtype, or is a
            modify that leaves fields out.
    """
    found = find_schema(schema)
    dtype = found.record_dtype
    check_vendor_columns(schema, frame.schema)
    check_vendor_nulls(frame)
    columns = _wire_columns(frame, found)
    _check_rows(columns, found)
    records = np.zeros(frame.height, dtype)
    for start in range(0, frame.height, BLOCK_ROWS):
        block = records[start : start + BLOCK_ROWS]
        block["length"] = dtype.itemsize // 4
        for name, column in columns.items():
            block[name] = column[start : start + BLOCK_ROWS]
    return records


def _wire_columns(frame: pl.DataFrame, schema: Schema) -> dict[str, NDArray[Any]]:
    """The values on the wire of each field, in its dtype."""
    dtypes = schema.columns
    physical = frame.select(_physical(name, dtype) for name, dtype in dtypes.items())
    columns = {}
    for name in dtypes:
        values = physical.get_column(name).to_numpy()
        columns[name] = LETTERS[name].take(values) if name in LETTERS else values
    return columns


def _physical(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.Enum):
        return column.to_physical()
    if dtype == TIME_TYPE:
        # As a signed word UNDEF_TIMESTAMP reads -1; every other time is the same in both.
        return column.to_physical().fill_null(-1).reinterpret(signed=False)
    return column.fill_null(UNDEFINED[name]) if name in UNDEFINED else column


def _check_rows(columns: dict[str, NDArray[Any]], schema: Schema) -> None:
    is_wrong = columns["rtype"] != schema.rtype
    if is_wrong.any():
        rtype = int(columns["rtype"][is_wrong.argmax()])
        raise UsageError(
            f"a row's rtype is {rtype}, expected {schema.rtype} (schema {schema.name})"
        )
    if "action" in columns and (columns["action"] == Action.MODIFY_PARTIAL).any():
        raise UsageError("a modify that leaves fields out cannot be written as DBN")


class DbnWriter:
    """Writes DBN: first the metadata, then the records of each frame.

    Args:
        output: stream to write to.
        schema: schema of the frames.
        metadata: metadata of the stream; its schema is set to this one, and `ts_out` to False.
    """

    def __init__(self, output: OutputStream, schema: str, metadata: Metadata) -> None:
        self._output, self._schema = output, schema
        number = find_schema(schema).number
        output.write(encode_metadata(replace(metadata, schema=number, ts_out=False)))

    def write(self, frame: pl.DataFrame) -> None:
        """Write the frame's records; raises what `to_records` raises."""
        for rows in frame.iter_slices(DBN_SLICE_ROWS):
            self._output.write(to_records(rows, self._schema).view(np.uint8).data)

    def close(self) -> None:
        """Do nothing: a DBN stream has no end."""
