"""Types that Delta holds: no value changes on the way there and back."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import Schema
from polars.testing import assert_frame_equal

from batonics.frames.schemas.table import dbn_schemas, find_schema
from batonics.model.errors import UsageError
from batonics.sinks.delta_types import delta_columns, delta_rows, delta_schema, time_columns
from tests.support.lakes import OWN_SCHEMAS

TIME = pl.Datetime("ns", "UTC")
CASES = [
    (TIME, pl.Int64(), [-(2**63), -1, 0, 1, 1_758_747_600_123_456_789, 2**63 - 1]),
    (pl.UInt8(), pl.Int16(), [0, 1, 2**8 - 1]),
    (pl.UInt16(), pl.Int32(), [0, 1, 2**16 - 1]),
    (pl.UInt32(), pl.Int64(), [0, 2**31, 4_294_967_295]),
    (pl.UInt64(), pl.Decimal(20, 0), [0, 2**53 + 1, 2**63, 2**64 - 1]),
    (pl.Int32(), pl.Int32(), [-(2**31), 2**31 - 1]),
    (pl.Int64(), pl.Int64(), [-(2**63), 2**63 - 1]),
    (pl.Float64(), pl.Float64(), [0.1, float("-inf"), 5e-324]),
    (pl.Boolean(), pl.Boolean(), [True, False]),
    (pl.Enum(["B", "A", "N"]), pl.String(), ["N", "A", "B"]),
    (pl.String(), pl.String(), ["", "é"]),
]


@pytest.mark.parametrize(("ours", "theirs", "values"), CASES, ids=lambda value: str(value)[:20])
def test_no_value_changes(ours: pl.DataType, theirs: pl.DataType, values: list[Any]) -> None:
    raw = pl.Series("x", [*values, None], dtype=pl.Int64() if ours == TIME else ours)
    frame = raw.cast(ours).to_frame()
    made = delta_rows(frame)
    assert made.schema == {"x": theirs}
    assert [
        value if value is None else type(values[0])(value) for value in made["x"]
    ] == raw.to_list()
    assert_frame_equal(made.cast(frame.schema), frame)


@pytest.mark.parametrize("name", [*dbn_schemas(), "mbp-3", *OWN_SCHEMAS])
def test_every_schema_of_a_lake_has_a_schema_of_deltas(name: str) -> None:
    columns = find_schema(name).columns
    schema = delta_schema(columns)
    assert schema.names == [*columns, "date", "symbol"]
    # What Delta makes of it is what was meant: nothing that it would cut or refuse.
    assert pa.schema(Schema.from_arrow(schema).to_arrow()).equals(schema)
    assert set(time_columns(columns)) == {
        name for name in columns if name.split("_")[0] == "ts"
    } - {"ts_in_delta"}
    assert all(delta_columns(columns)[name] == pl.Int64() for name in time_columns(columns))


@pytest.mark.parametrize(
    "dtype", [pl.Datetime("us", "UTC"), pl.Datetime("ns"), pl.UInt128(), pl.List(pl.UInt8())]
)
def test_what_is_not_known_to_be_exact_is_refused(dtype: pl.DataType) -> None:
    with pytest.raises(UsageError, match=r"column x is .*, which Delta cannot hold exactly"):
        delta_columns(pl.Schema({"x": dtype}))
