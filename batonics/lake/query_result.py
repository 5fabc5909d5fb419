"""The rows that a query gives, as frames.

The rule here: times are Datetime of nanoseconds. They are in UTC if DuckDB's type has a time zone,
or if they are times in UTC by the query's lineage or header; other times have no zone. A caller may
ask for another zone. Enums are
text; prices that the query declares have the unit that is asked for; and what a frame cannot
hold exactly is an error, never rounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import duckdb
import polars as pl
import pyarrow as pa
from polars._typing import PolarsDataType

from batonics.frames.columns.prices import PriceColumns, PriceKind, convert_prices, convert_schema
from batonics.lake.connection import sql_errors
from batonics.model.errors import UsageError
from batonics.model.prices import PriceUnit

RESULT_BATCH_ROWS = 65_536


def _check_nothing() -> None:
    """Take the rows as they are."""


class QueryResult:
    """The result of a query, which runs while its rows are read.

    Args:
        relation: the query.
        utc_columns: names of columns that are times in UTC, though their type has no zone.
        tz: the time zone in which frames have times in UTC.
        price_columns: columns of the relation that are prices of 1e-9; others are as they are.
        prices: the unit in which frames have them.
        note: what a user has to know of the result; empty: nothing.
        check: called after the last row; it raises LakeError if the rows may be wrong.

    Attributes:
        note: the argument; after the last row also what the rows tell.
        columns: the columns of each frame.
        fixed_prices: the names of columns that are in units of 1e-9.

    Raises:
        UsageError: the query cannot run, or a frame cannot hold its columns.
    """

    def __init__(  # noqa: PLR0913 - settings, by keyword
        self,
        relation: duckdb.DuckDBPyRelation,
        *,
        utc_columns: Collection[str] = (),
        tz: str = "UTC",
        price_columns: PriceColumns | None = None,
        prices: PriceUnit = "fixed",
        note: str = "",
        check: Callable[[], None] = _check_nothing,
    ) -> None:
        self.note = note
        self._check = check
        self._sessions = _UnknownSessions()
        self._utc_columns, self._tz = utc_columns, tz
        with sql_errors():
            self._reader = relation.to_arrow_reader(RESULT_BATCH_ROWS)
        _check_columns(self._reader.schema)
        # `schema.empty_table()` would import pandas.
        frame = self._to_frame(pa.Table.from_batches([], self._reader.schema))
        self._kinds = {
            name: kind for name, kind in (price_columns or {}).items() if name in frame.columns
        }
        self._prices = prices
        _check_prices(frame.schema, self._kinds)
        self.columns = convert_schema(frame.schema, self._kinds, prices)
        self.fixed_prices = frozenset(self._kinds if prices == "fixed" else ())

    def frames(self) -> Iterator[pl.DataFrame]:
        """All rows, in order; they can be read once.

        Raises:
            UsageError: the query fails while it runs; the message is DuckDB's. LakeError: a part
            has changed while it was read.
        """
        while True:
            with check_after_error(self._check), sql_errors():
                batch = _next_batch(self._reader)
            if batch is None:
                self._check()
                self.note = join_notes(self.note, self._sessions.note())
                return
            frame = self._to_frame(pa.Table.from_batches([batch]))
            self._sessions.count(frame)
            yield convert_prices(frame, self._kinds, self._prices)

    def frame(self) -> pl.DataFrame:
        """All rows in one frame."""
        return pl.concat([pl.DataFrame(schema=self.columns), *self.frames()])

    def head(self, rows_max: int) -> tuple[pl.DataFrame, bool]:
        """The first rows in one frame, and whether there are more. The query then ends.

        Raises:
            UsageError, LakeError: as for `frames`.
        """
        found, rows = [pl.DataFrame(schema=self.columns)], 0
        for frame in self.frames():
            found.append(frame.head(rows_max - rows))
            rows += len(frame)
            if rows > rows_max:
                self._check()
                self.note = join_notes(self.note, self._sessions.note())
                return pl.concat(found), True
        return pl.concat(found), False

    def _to_frame(self, table: pa.Table) -> pl.DataFrame:
        frame = pl.DataFrame(table)
        types = ((name, dtype, _text_type(dtype)) for name, dtype in frame.schema.items())
        enums = [pl.col(name).cast(text) for name, dtype, text in types if text != dtype]
        frame = frame.with_columns(enums) if enums else frame
        _check_times(frame)
        return frame.with_columns(
            self._to_nanoseconds(name, dtype)
            for name, dtype in frame.schema.items()
            if isinstance(dtype, pl.Datetime)
        )

    def _to_nanoseconds(self, name: str, dtype: pl.Datetime) -> pl.Expr:
        time = pl.col(name)
        if dtype.time_zone is not None:
            time = time.dt.convert_time_zone("UTC").cast(pl.Datetime("ns", "UTC"))
        elif name in self._utc_columns:
            time = time.cast(pl.Datetime("ns")).dt.replace_time_zone("UTC")
        else:
            return time.cast(pl.Datetime("ns"))
        return time if self._tz == "UTC" else time.dt.convert_time_zone(self._tz)


class _UnknownSessions:
    """Counts rows whose column `sessions_known` is false: closed times may count in them."""

    def __init__(self) -> None:
        self._rows = self._unknown = 0

    def count(self, frame: pl.DataFrame) -> None:
        """Count the rows of a frame."""
        if frame.schema.get("sessions_known") == pl.Boolean:
            self._rows += len(frame)
            self._unknown += int((~frame["sessions_known"]).sum())

    def note(self) -> str:
        """A line about these rows; empty: there is none."""
        if not self._unknown:
            return ""
        return (
            f"sessions_known is false in {self._unknown:,} of {self._rows:,} rows: no status and no"
            " session says when the market was open, so times without trading, such as a daily"
            " break, count in them; --session and --statuses of `lake load` (for files, of `query"
            " --from`) say it"
        )


@contextmanager
def check_after_error(check: Callable[[], None]) -> Iterator[None]:
    """Call a check first if a query fails: perhaps the query is not at fault."""
    try:
        yield
    except (duckdb.Error, UsageError):
        check()
        raise


def join_notes(*notes: str) -> str:
    """Notes as one line."""
    return "; ".join(filter(None, notes))


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


def _check_prices(columns: pl.Schema, kinds: PriceColumns) -> None:
    """Raise UsageError for a column that is no number of the kind that the header says."""
    for name, kind in kinds.items():
        dtype = columns[name]
        is_integer = dtype.is_integer() or (isinstance(dtype, pl.Decimal) and not dtype.scale)
        if not (is_integer if kind is PriceKind.PRICE else dtype.is_numeric()):
            raise UsageError(
                f"the query: column {name} is {dtype}, its header says a {kind.value} of 1e-9"
            )


def _nested_types(dtype: pa.DataType) -> Iterator[pa.DataType]:
    """A type, and all types within it."""
    yield dtype
    for at in range(dtype.num_fields):
        yield from _nested_types(dtype.field(at).type)


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
