"""Asking the query files of `queries/`: of rows made by hand, and of MBO files.

The rule here: a query sees rows made by hand as it sees those of a lake: through the same text of
the view, with the same types, every column there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from batonics.frames.columns.book_state import CROSSED, STATUS_END, is_crossed
from batonics.frames.schemas.schema import Schema
from batonics.frames.schemas.table import find_schema
from batonics.jobs.query import QueryRequest, query_frame
from batonics.lake.connection import connect_duckdb
from batonics.lake.coverage import replace_coverage
from batonics.lake.query_file import QueryFile, parse_query
from batonics.lake.select_check import check_select
from batonics.lake.session_spans import replace_sessions
from batonics.lake.views import view_name, view_statement
from tests.support.command import SAMPLE
from tests.support.real_files import CLX5, DBEQ, ESH4_DAYS

QUERIES = Path(__file__).parents[2] / "queries"
NS_PER_S = 1_000_000_000
MIDNIGHT_NS = 1_700_006_400 * NS_PER_S
"""2023-11-15T00:00:00Z, from which rows made by hand may count their times."""

ZONE, ZONE_NS = "Asia/Kolkata", 19_800 * NS_PER_S
"""A time zone in which hours begin at half past in UTC, and how far it is ahead."""

Rows = pl.DataFrame | Sequence[Mapping[str, Any]]
Tables = Mapping[str, Rows]
"""By view (`mbp_1`) or schema (`mbp-1`)."""

_USUAL: dict[str, Any] = {
    "publisher_id": 1,
    "rtype": 0,
    "action": "A",
    "side": "N",
    "depth": 0,
    "size": 0,
    "flags": 128,
    "ts_in_delta": 0,
}
"""What a row has that does not say; other columns are null, and sizes and counts of levels 0."""


def query_names() -> list[str]:
    """The names of all query files."""
    return sorted(path.stem for path in QUERIES.glob("*.sql"))


def load_query(name: str) -> QueryFile:
    """A query file, read."""
    return parse_query((QUERIES / f"{name}.sql").read_text(encoding="utf-8"), name)


def _query_path(name: str) -> str:
    return str(QUERIES / f"{name}.sql")


def run_query(
    name: str, tables: Tables, *, include: Sequence[str] = (), **params: object
) -> pl.DataFrame:
    """The answer of a query file to rows made by hand.

    Args:
        name: of the file, without `.sql`.
        tables: rows of each view that it reads: frames, or dicts of what is not usual (`full`).
        include: states that count though they are of no open market: crossed, closed.
        params: of the query, as a user would give them; numbers may be numbers.
    """
    query = load_query(name)
    with _views_of(tables, include) as connection:
        relation = _relate(connection, query, tables, params)
        return pl.DataFrame(relation.to_arrow_table())


def types_of(name: str, tables: Tables, **params: object) -> dict[str, str]:
    """The columns of an answer, with DuckDB's types."""
    query = load_query(name)
    with _views_of(tables) as connection:
        relation = _relate(connection, query, tables, params)
        return dict(zip(relation.columns, map(str, relation.types), strict=True))


def query_files(
    name: str, *paths: Path, include: Sequence[str] = (), **params: object
) -> pl.DataFrame:
    """The answer of a query file to MBO files, as `batonics query --from` gives it."""
    request = QueryRequest(
        _query_path(name),
        _texts(params),
        files=tuple(map(str, paths)),
        include=tuple(include),
    )
    return query_frame(request)


def query_lake(
    name: str, lake: Path, *, include: Sequence[str] = (), **params: object
) -> pl.DataFrame:
    """The answer of a query file to a lake, with states of no open market as `run_query`."""
    request = QueryRequest(
        _query_path(name), _texts(params), lake=str(lake), include=tuple(include)
    )
    return query_frame(request)


def real_files(test_data: Path) -> dict[str, Path]:
    """Every data set on which queries are compared with frames, by name."""
    return {
        "clx5": test_data / CLX5,
        "dbeq": test_data / DBEQ,
        "esh4_1": test_data / ESH4_DAYS[0],
        "esh4_2": test_data / ESH4_DAYS[1],
        "sample": SAMPLE,
    }


def no_rows(name: str) -> dict[str, Rows]:
    """Tables without rows, of all views that a query file reads."""
    return {view: [] for view in load_query(name).reads}


def full_rows(view: str, rows: Rows) -> pl.DataFrame:
    """Rows with every column of a view.

    Of a dict, `ts` stands for all its times that it does not name; times are nanoseconds of the
    epoch. A row that does not say is of symbol X and publisher 1; `instrument_id` is made from the
    symbol, `sequence` and `position` from the row's place, and `date` from its time. All rows are
    of one source. `crossed` follows from its prices, and no status is known.
    """
    schema = _schema(view)
    columns = pl.Schema({**schema.lake_columns, "date": pl.Date(), "symbol": pl.String()})
    if isinstance(rows, pl.DataFrame):
        return rows.select(columns.names()).cast(columns)
    unknown = {name for row in rows for name in row} - {*columns, "ts"}
    assert not unknown, f"{view} has no columns {unknown}"
    frame = pl.DataFrame(
        [_full_row(row, at, columns) for at, row in enumerate(rows)],
        schema={
            name: pl.Int64() if isinstance(dtype, pl.Datetime) else dtype
            for name, dtype in columns.items()
        },
    )
    if schema.has_quotes:
        frame = frame.with_columns(pl.coalesce(CROSSED, is_crossed(frame.columns)).alias(CROSSED))
    return frame.cast(
        {name: dtype for name, dtype in columns.items() if isinstance(dtype, pl.Datetime)}
    ).with_columns(pl.coalesce("date", schema.time.dt.date()).alias("date"))


def _full_row(row: Mapping[str, Any], at: int, columns: pl.Schema) -> dict[str, Any]:
    symbol = row.get("symbol", "X")
    usual = {
        **_USUAL,
        "symbol": symbol,
        "sequence": at,
        "source": 0,
        "position": at,
        "book_status": "synced",
        STATUS_END: None,
        "instrument_id": sum(map(ord, symbol or "")),
    }
    full_row: dict[str, Any] = {}
    for name, dtype in columns.items():
        if name in row:
            full_row[name] = row[name]
        elif isinstance(dtype, pl.Datetime) and name not in usual:
            full_row[name] = row.get("ts")
        elif "_sz_" in name or "_ct_" in name:
            full_row[name] = 0
        else:
            full_row[name] = usual.get(name)
    return full_row


def _schema(view: str) -> Schema:
    return find_schema(view.replace("_", "-"))


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return connect_duckdb()


@contextmanager
def _views_of(tables: Tables, include: Sequence[str] = ()) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the views of these rows, which are gone afterwards.

    All share one database, since to make one takes longer than most queries.
    """
    connection, scans = _database(), []
    connection.execute("BEGIN")
    try:
        for view, rows in tables.items():
            schema = _schema(view)
            frame = full_rows(view, rows)
            # Enums come out of a lake as text.
            letters = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Enum)]
            scans.append(f"rows_of_{view_name(schema.name)}")
            text = frame.cast(dict.fromkeys(letters, pl.String()))
            connection.register(scans[-1], text.to_arrow())
            connection.execute(view_statement(schema, [], scan=scans[-1], include=include))
        yield connection
    finally:
        connection.execute("ROLLBACK")
        for scan in scans:
            connection.unregister(scan)


def _relate(
    connection: duckdb.DuckDBPyConnection,
    query: QueryFile,
    tables: Tables,
    params: Mapping[str, object],
) -> duckdb.DuckDBPyRelation:
    check_select(connection, query.sql)
    times = [time for view, rows in tables.items() for time in _times_of(view, rows)]
    values = replace_sessions(query.bind(_texts(params)), lambda: times)
    starts = {time for view, rows in tables.items() for time in _starts_of(view, rows)}
    edges = {"first_ns": min([*times, *starts], default=0), "last_ns": max(times, default=0)}
    values = replace_coverage(values, lambda: [{"source": start, **edges} for start in starts])
    return connection.sql(query.sql, params=values or None)


def _times_of(view: str, rows: Rows) -> list[int]:
    times = full_rows(view, rows).select(_schema(view).time).to_series()
    return times.cast(pl.Int64).drop_nulls().to_list()


def _starts_of(view: str, rows: Rows) -> list[int]:
    return full_rows(view, rows)["source"].cast(pl.Int64).drop_nulls().to_list()


def _texts(params: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in params.items()}
