"""SQL over a lake, by DuckDB: a view for each schema, over files that were verified.

The rule here: a query sees one state of the catalog, and DuckDB opens no file that has not been
found to be what was committed.

Views have the schema's columns, then `date` (DATE, UTC) and `symbol` (VARCHAR). Their names have
`_` for `-`: `mbp_10`. Times are TIMESTAMP_NS in UTC, for DuckDB has few functions for
TIMESTAMPTZ_NS; prices are BIGINT of 1e-9, and enums text. Which files a query reads `plan.py` finds
out.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
from polars._typing import PolarsDataType

from batonics.frames.schemas.table import find_schema
from batonics.lake import catalog
from batonics.lake.catalog import Part, RowFilter
from batonics.lake.digest import Verifier
from batonics.lake.plan import PlannedFile, Planner, connect_duckdb
from batonics.lake.query_file import SQL_TOKEN, QueryFile, parse_query
from batonics.lake.storage import Store
from batonics.lake.symlinks import SymlinkDirectory
from batonics.lake.views import NO_FILTER, view_name, view_schema, view_statement
from batonics.model.errors import InputError, UsageError

_ASOF = re.compile(r"\basof\b", re.IGNORECASE)
"""A join for which symbols become an ENUM. DuckDB 2.0 loses rows of an ASOF join by the
columns of the path alone, date and symbol, if one is VARCHAR; by ENUM it has all, in less time."""
_ENUM = re.compile(r"ENUM\((?:'(?:''|[^'])*'(?:, )?)+\)")
"""As DuckDB writes it, with all its values."""
SQL_SUFFIX = ".sql"
RESULT_BATCH_ROWS = 65_536
PartsBySchema = Mapping[str, Sequence[Part]]
"""By schema."""


class QueryResult:
    """The rows of an answer, in frames.

    Times are Datetime of nanoseconds in UTC, whichever of DuckDB's timestamps they were.

    Attributes:
        columns: of each frame.
    """

    def __init__(self, relation: duckdb.DuckDBPyRelation) -> None:
        with sql_errors():
            self._reader = relation.to_arrow_reader(RESULT_BATCH_ROWS)
        _check(self._reader.schema)
        self.columns = _frame(self._reader.schema.empty_table()).schema

    def frames(self) -> Iterator[pl.DataFrame]:
        """All rows, in order; once.

        Raises:
            UsageError: the query fails while it runs: DuckDB's words.
        """
        while True:
            with sql_errors():
                batch = _next(self._reader)
            if batch is None:
                return
            yield _frame(pa.Table.from_batches([batch]))

    def frame(self) -> pl.DataFrame:
        """All rows."""
        return pl.concat([pl.DataFrame(schema=self.columns), *self.frames()])


def _next(reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
    try:
        return next(reader, None)
    except (OSError, pa.ArrowException) as error:
        # What DuckDB says while it runs comes through Arrow's reader, as an error of that.
        raise duckdb.Error(str(error)) from None


def _check(schema: pa.Schema) -> None:
    """UsageError for columns that a frame cannot have."""
    for name, times in Counter(schema.names).items():
        if times > 1:
            raise UsageError(
                f"the query: {times} columns are called {name}; name them apart with AS, or leave"
                f" one out with EXCLUDE ({name})"
            )
    for field in schema:
        for dtype in _within(field.type):
            # Polars has nothing for spans of months, days and nanoseconds.
            if pa.types.is_interval(dtype):
                raise UsageError(
                    f"the query: column {field.name} is an INTERVAL; ask for epoch_ns of times,"
                    " and subtract"
                )
            if pa.types.is_union(dtype):
                raise UsageError(f"the query: column {field.name} is a UNION; ask for one member")


def _within(dtype: pa.DataType) -> Iterator[pa.DataType]:
    """A type, and all that it is made of."""
    yield dtype
    for at in range(dtype.num_fields):
        yield from _within(dtype.field(at).type)


_PER_S = {"ms": 10**3, "us": 10**6, "ns": 10**9}


def _check_times(frame: pl.DataFrame) -> None:
    """UsageError for times that nanoseconds of 64 bits do not reach."""
    for name, dtype in frame.schema.items():
        if isinstance(dtype, pl.Datetime):
            limit = (2**63 - 1) * _PER_S[dtype.time_unit] // 10**9
            values = frame[name].to_physical()
            if not (values.is_between(-limit, limit) | values.is_null()).all():
                raise UsageError(f"the query: column {name} has a time outside of 1677 to 2262")


def _text(dtype: PolarsDataType) -> PolarsDataType:
    """The type with text in the place of enums."""
    if isinstance(dtype, (pl.Enum, pl.Categorical)):
        return pl.String()
    if isinstance(dtype, pl.List):
        return pl.List(_text(dtype.inner))
    if isinstance(dtype, pl.Struct):
        return pl.Struct([pl.Field(field.name, _text(field.dtype)) for field in dtype.fields])
    return dtype


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.DataFrame(table)
    types = ((name, dtype, _text(dtype)) for name, dtype in frame.schema.items())
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


class LakeDatabase:
    """A DuckDB in which the schemas of a lake are views.

    Args:
        store: the lake that is asked.
        verifier: knows which of its files are as they were committed.
        wanted: only these rows are in the views.

    Attributes:
        files_read: how many parts the last query was given, and of how many.
    """

    def __init__(self, store: Store, verifier: Verifier, wanted: RowFilter = NO_FILTER) -> None:
        self.files_read = (0, 0)
        self._store, self._verifier, self._wanted = store, verifier, wanted
        self._connection = connect_duckdb()
        self._links: SymlinkDirectory | None = None
        self._planner: Planner | None = None

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> QueryResult:
        """The answer to one SELECT.

        Args:
            sql: a statement that gives rows.
            parameters: values of `$name` in it.

        Raises:
            UsageError: it is no SQL, names no view, or cannot be done: DuckDB's words.
            LakeError: a file is damaged or missing.
        """
        with sql_errors():
            # Each has views of its own: an answer is not changed by the next question.
            cursor = self._connection.cursor()
            check_select(cursor, sql)
            parts = self._parts(sql)
            chosen = self._chosen(sql, dict(parameters or {}), parts)
            self._verify(chosen)
            symbols = _symbols(chosen) if _ASOF.search(SQL_TOKEN.sub(" ", sql)) else []
            for schema, of_schema in chosen.items():
                paths = self._paths(of_schema)
                cursor.execute(
                    view_statement(find_schema(schema), paths, self._wanted, symbols=symbols)
                )
            self.files_read = (_count(chosen), _count(parts))
            return QueryResult(cursor.sql(sql, params=parameters or None))

    def close(self) -> None:
        """Remove the files that queries needed; a further query makes them again."""
        if self._links is not None:
            self._links.close()
        self._links = self._planner = None

    def views(self) -> list[str]:
        """The names of the views that there are."""
        return [view_name(schema) for schema in self._store.catalog.read(catalog.schemas)]

    def _parts(self, sql: str) -> PartsBySchema:
        """By schema that the query names, all its parts."""

        def ask(connection: sqlite3.Connection) -> PartsBySchema:
            asked = find_named_schemas(sql, catalog.schemas(connection))
            return {
                schema: catalog.find_parts(schema, self._wanted)(connection) for schema in asked
            }

        return self._store.catalog.read(ask)

    def _chosen(
        self, sql: str, parameters: dict[str, object], parts: PartsBySchema
    ) -> PartsBySchema:
        """The parts that the query's plan reads."""
        if all(len(of_schema) <= 1 for of_schema in parts.values()):
            return parts
        links = self._linked()
        files = {
            schema: [
                PlannedFile(
                    links.path(path, part.path), part.date, part.symbol, part.ts_min, part.ts_max
                )
                for path, part in zip(self._store.planned(of_schema), of_schema, strict=True)
            ]
            for schema, of_schema in parts.items()
        }
        self._planner = self._planner or Planner(links.directory)
        read = self._planner.files_read(sql, parameters, files)
        return {
            schema: [
                part
                for part, file in zip(of_schema, files[schema], strict=True)
                if file.path in read[schema]
            ]
            for schema, of_schema in parts.items()
        }

    def _paths(self, parts: Sequence[Part]) -> list[str]:
        links = self._linked()
        return [links.path(self._store.path(part), part.path) for part in parts]

    def _linked(self) -> SymlinkDirectory:
        self._links = self._links or SymlinkDirectory()
        return self._links

    def _verify(self, parts: PartsBySchema) -> None:
        chosen = [part for of_schema in parts.values() for part in of_schema]
        self._store.fetch(chosen, self._verifier)


def read_query(text: str) -> QueryFile:
    """The query that a text is, or the file that it names if it ends in `.sql`.

    Raises:
        InputError: the file cannot be read; UsageError: its header is none.
    """
    if not text.strip().endswith(SQL_SUFFIX):
        return parse_query(text, "query")
    path = Path(text.strip())
    try:
        return parse_query(path.read_text(encoding="utf-8"), path.stem)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputError(f"{text}: cannot be read: {reason}") from None


def find_named_schemas(sql: str, schemas: Iterable[str]) -> list[str]:
    """Those schemas whose views a text may name: as a word, whatever it stands for there."""
    words = set(re.findall(r"\w+", SQL_TOKEN.sub(lambda token: token["kept"] or " ", sql).lower()))
    return sorted(schema for schema in schemas if view_name(schema) in words)


def check_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """UsageError unless the text is one statement that gives rows and changes nothing."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UsageError("one SELECT is expected: no other statement, and not several")


def _missing_view(message: str) -> tuple[str, str] | None:
    """The view that DuckDB does not find, and the schema it would be of, if it is one."""
    found = re.search(r"Table with name (\w+) does not exist", message)
    if found is None:
        return None
    try:
        return found[1], find_schema(view_schema(found[1])).name
    except UsageError:
        return None


@contextmanager
def sql_errors() -> Iterator[None]:
    """Within the block DuckDB's errors are ours, in one line."""
    try:
        yield
    except duckdb.Error as error:
        if missing := _missing_view(str(error)):
            raise UsageError(
                f"the query: there is no {missing[0]} here; `batonics lake load FILES --schemas"
                f" {missing[1]}` puts it into a lake"
            ) from None
        lines = [line.strip() for line in str(error).splitlines()]
        words = " ".join(line for line in lines if line and not line.startswith(("LINE ", "^")))
        raise UsageError(f"the query: {_ENUM.sub('ENUM(...)', words)}") from None


def _symbols(parts: PartsBySchema) -> list[str]:
    """All symbols, in order: an ENUM is sorted by its place there."""
    found = {part.symbol for of_schema in parts.values() for part in of_schema}
    return sorted(symbol for symbol in found if symbol is not None)


def _count(parts: PartsBySchema) -> int:
    return sum(len(of_schema) for of_schema in parts.values())
