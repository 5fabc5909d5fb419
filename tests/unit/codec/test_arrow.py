"""Batches and Arrow record batches over the same memory."""

from __future__ import annotations

import pyarrow as pa
import pytest

from batonics.codec.arrow import from_arrow, mbo_schema, to_arrow
from batonics.model.errors import InputError
from batonics.model.mbo import MBO_COLUMN_DTYPES, MboBatch, empty_batch, slice_batch
from tests.support.decoder_runs import mbo_rows


def columns(batch: MboBatch) -> list[list[int]]:
    return [getattr(batch, name).tolist() for name in MboBatch._fields]


def test_the_schema_is_the_wire() -> None:
    schema = mbo_schema()
    assert schema.names == list(MBO_COLUMN_DTYPES)
    assert [field.type.to_pandas_dtype() for field in schema] == [
        dtype.type for dtype in MBO_COLUMN_DTYPES.values()
    ]
    assert not any(field.nullable for field in schema)
    assert schema.field("side").metadata == {b"note": b"ASCII code: B bid, A ask, N none"}


def test_a_batch_goes_there_and_back_without_a_copy() -> None:
    batch = mbo_rows(20)
    record_batch = to_arrow(batch)
    record_batch.validate(full=True)
    back = from_arrow(record_batch)
    for name in batch._fields:
        there, here = getattr(batch, name), getattr(back, name)
        assert record_batch.column(name).to_pylist() == there.tolist()
        assert (here.ctypes.data, here.dtype, here.tolist()) == (
            there.ctypes.data,
            there.dtype,
            there.tolist(),
        )


def test_a_slice_keeps_its_place() -> None:
    back = from_arrow(to_arrow(mbo_rows(20)).slice(7, 5))
    assert columns(back) == columns(slice_batch(mbo_rows(20), 7, 12))


def test_a_batch_outlives_its_record_batch() -> None:
    def make() -> pa.RecordBatch:
        arrays = [
            pa.array(values, dtype.name)
            for values, dtype in zip(
                columns(mbo_rows(1000)), MBO_COLUMN_DTYPES.values(), strict=True
            )
        ]
        return pa.RecordBatch.from_arrays(arrays, names=list(MBO_COLUMN_DTYPES))

    batch = from_arrow(make())
    for _ in range(5):
        make()
    assert columns(batch) == columns(mbo_rows(1000))


def test_an_empty_batch_goes_there_and_back() -> None:
    assert columns(from_arrow(to_arrow(empty_batch(0)))) == [[]] * 13


def test_columns_are_found_by_name() -> None:
    table = to_arrow(mbo_rows(5))
    shuffled = table.select(sorted(table.schema.names)).append_column("more", table.column(0))
    assert columns(from_arrow(shuffled)) == columns(mbo_rows(5))


def test_another_schema_is_refused_by_name() -> None:
    table = to_arrow(mbo_rows(3))
    with pytest.raises(InputError, match=r"^Arrow: column side is missing, or there twice$"):
        from_arrow(table.drop_columns(["side"]))
    with pytest.raises(InputError, match=r"^Arrow: column price is double, expected int64$"):
        from_arrow(table.set_column(6, "price", pa.array([1.0, 2.0, 3.0])))
    with pytest.raises(InputError, match=r"^Arrow: column price holds 1 nulls$"):
        from_arrow(table.set_column(6, "price", pa.array([1, None, 3], pa.int64())))
