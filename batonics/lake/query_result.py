"""The rows that a query gives, as frames.

The rule here: times are Datetime of nanoseconds in UTC, whichever timestamp type DuckDB has; enums
are text; and what a frame cannot hold exactly is an error, never rounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import duckdb
import polars as pl
import pyarrow as pa
from polars._typing import PolarsDataType

from batonics.lake.connection import sql_errors
from batonics.model.errors import UsageError

RESULT_BATCH_ROWS = 65_536


class QueryResult:
    """The result of a query, which runs while its rows are read.

    Args:
        relation: the query.

    Attributes:
        columns: the columns of each frame.

    Raises:
        UsageError: the query cannot run, or a frame cannot hold its columns.
    """

    def __init__(self, relation: duckdb.DuckDBPyRelation) -> None:
        with sql_errors():
            self._reader = relation.to_arrow_reader(RESULT_BATCH_ROWS)
        _check_columns(self._reader.schema)
        self.columns = _to_frame(self._reader.schema.empty_table()).schema

    def frames(self) -> Iterator[pl.DataFrame]:
        """All rows, in order; they can be read once.

        Raises:
            UsageError: the query fails while it runs; the message is DuckDB's.
        """
        while True:
            with sql_errors():
                batch = _next_batch(self._reader)
            if batch is None:
                return
            yield _to_frame(pa.Table.from_batches([batch]))

    def frame(self) -> pl.DataFrame:
        """All rows in one frame."""
        return pl.concat([pl.DataFrame(schema=self.columns), *self.frames()])


def _next_batch(reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
    try:
        return next(reader, None)
    except (OSError, pa.ArrowException) as error:
        # Arrow's reader raises DuckDB's errors as its own.
        raise duckdb.Error(str(error)) from None


def _check_columns(schema: pa.Schema) -> None:
    """Raise UsageError for columns that a frame cannot hold."""
    for name, count in Counter(schema.names).items():
        if count > 1:
            raise UsageError(
                f"the query: {count} columns are called {name}; name them apart with AS, or leave"
                f" one out with EXCLUDE ({name})"
            )
    for field in schema:
        for dtype in _nested_types(field.type):
            # Polars has no type for months, days and nanoseconds together.
            if pa.types.is_interval(dtype):
                raise UsageError(
                    f"the query: column {field.name} is an INTERVAL; ask for epoch_ns of times,"
                    " and subtract"
                )
            if pa.types.is_union(dtype):
                raise UsageError(f"the query: column {field.name} is a UNION; ask for one member")


def _nested_types(dtype: pa.DataType) -> Iterator[pa.DataType]:
    """A type, and all types within it."""
    yield dtype
    for at in range(dtype.num_fields):
        yield from _nested_types(dtype.field(at).type)


def _to_frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.DataFrame(table)
    types = ((name, dtype, _text_type(dtype)) for name, dtype in frame.schema.items())
    enums = [pl.col(name).cast(text) for name, dtype, text in types if text != dtype]
    frame = frame.with_columns(enums) if enums else frame
    _check_times(frame)
    return frame.with_columns(
        pl.col(name).cast(pl.Datetime("ns")).dt.replace_time_zone("UTC")
        if dtype.time_zone is None
        else pl.col(name).dt.convert_time_zone("UTC").cast(pl.Datetime("ns", "UTC"))
        for name, dtype in frame.schema.items()
        if isinstance(dtype, pl.Datetime)
    )


def _text_type(dtype: PolarsDataType) -> PolarsDataType:
    """The type with String in the place of enums."""
    if isinstance(dtype, (pl.Enum, pl.Categorical)):
        return pl.String()
    if isinstance(dtype, pl.List):
        return pl.List(_text_type(dtype.inner))
    if isinstance(dtype, pl.Struct):
        return pl.Struct([pl.Field(field.name, _text_type(field.dtype)) for field in dtype.fields])
    return dtype


_TICKS_PER_S = {"ms": 10**3, "us": 10**6, "ns": 10**9}


def _check_times(frame: pl.DataFrame) -> None:
    """Raise UsageError for times beyond the range of 64-bit nanoseconds."""
    for name, dtype in frame.schema.items():
        if isinstance(dtype, pl.Datetime):
            limit = (2**63 - 1) * _TICKS_PER_S[dtype.time_unit] // 10**9
            values = frame[name].to_physical()
            if not (values.is_between(-limit, limit) | values.is_null()).all():
                raise UsageError(f"the query: column {name} has a time outside of 1677 to 2262")
