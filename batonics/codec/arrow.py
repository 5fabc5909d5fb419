"""Batches as Arrow record batches and back, without copying.

The rule here: the columns keep their wire dtypes, sentinels included. Frames decide what is null.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from batonics.model.errors import InputError
from batonics.model.mbo import MBO_COLUMN_DTYPES, MboBatch

_NOTES = {
    "ts_recv": "nanoseconds since the epoch, UTC; 2^64-1: none",
    "ts_event": "nanoseconds since the epoch, UTC; 2^64-1: none",
    "action": "ASCII code: A C M R T F N, or m for a modify that leaves fields out",
    "side": "ASCII code: B bid, A ask, N none",
    "price": "units of 1e-9; 2^63-1: none",
    "size": "2^32-1: none",
    "channel_id": "255: none",
    "ts_in_delta": "nanoseconds",
}


@cache
def mbo_schema() -> pa.Schema:
    """The schema of MBO: the vendor's 13 columns in their order, none nullable.

    The metadata of a field has its codes and units.
    """
    return pa.schema(
        [
            pa.field(
                name,
                pa.from_numpy_dtype(dtype),
                nullable=False,
                metadata={"note": _NOTES[name]} if name in _NOTES else None,
            )
            for name, dtype in MBO_COLUMN_DTYPES.items()
        ],
        metadata={"format": "mbo"},
    )


def to_arrow(batch: MboBatch) -> pa.RecordBatch:
    """The batch as a record batch over the same memory, valid as long as the arrays are."""
    schema = mbo_schema()
    columns = [
        pa.Array.from_buffers(field.type, len(batch.action), [None, pa.py_buffer(column)])
        for field, column in zip(schema, batch, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def from_arrow(record_batch: pa.RecordBatch) -> MboBatch:
    """A read-only batch over the memory of a record batch, which it keeps alive.

    Columns are found by name; others are ignored.

    Raises:
        InputError: a column is missing, has another type, or holds nulls.
    """
    columns = []
    for field in mbo_schema():
        index = record_batch.schema.get_field_index(field.name)
        if index < 0:
            raise InputError(f"Arrow: column {field.name} is missing, or there twice")
        column = record_batch.column(index)
        if column.type != field.type:
            raise InputError(f"Arrow: column {field.name} is {column.type}, expected {field.type}")
        if column.null_count:
            raise InputError(f"Arrow: column {field.name} holds {column.null_count} nulls")
        columns.append(np.asarray(_Borrowed(column)))
    return MboBatch(*columns)


class _Borrowed:
    """An Arrow column as numpy's array interface.

    `column.to_numpy()` is read-only, which is another type to numba: each kernel that takes both
    kinds would be compiled twice.
    """

    def __init__(self, column: pa.Array) -> None:
        self._column = column
        dtype = np.dtype(column.type.to_pandas_dtype())
        buffer = column.buffers()[1]
        address = 0 if buffer is None else buffer.address + column.offset * dtype.itemsize
        self.__array_interface__: dict[str, Any] = {
            "shape": (len(column),),
            "typestr": dtype.str,
            "data": (address, False),
            "version": 3,
        }
