"""Connections to DuckDB, and its errors as ours.

The rule here: every query runs on a connection of `connect_duckdb`, and every error of DuckDB
becomes a UsageError of one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from batonics.frames.schemas.table import find_schema
from batonics.lake.views import view_schema
from batonics.model.errors import UsageError

_ENUM = re.compile(r"ENUM\((?:'(?:''|[^'])*'(?:, )?)+\)")
"""An ENUM type with all its values, as messages of DuckDB have it."""


LOCAL_TIME = (
    "CREATE MACRO local_time(ts, zone) AS timezone(zone, timezone('UTC', ts::TIMESTAMP_NS))"
)
"""The statement that makes the macro of `connect_duckdb`."""


def connect_duckdb() -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory, in UTC, whose queries cannot read Python variables.

    It has the macro `local_time(ts, zone)`: the local time, without a zone, of a view's time, which
    is UTC.
    """
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET python_enable_replacements = false")
    # DuckDB would take few books for few rows, and look for each trade in all quotes.
    connection.execute("SET asof_loop_join_threshold = 0")
    connection.execute(LOCAL_TIME)
    return connection


def check_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise UsageError unless the text is one SELECT, which changes nothing."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UsageError("expected one SELECT statement")


@contextmanager
def sql_errors() -> Iterator[None]:
    """Raise DuckDB's errors as UsageError of one line."""
    try:
        yield
    except duckdb.Error as error:
        if missing := _missing_view(str(error)):
            raise UsageError(
                f"the query: there is no {missing[0]} here; `batonics lake load FILES --schemas"
                f" {missing[1]}` puts it into a lake"
            ) from None
        lines = [line.strip() for line in str(error).splitlines()]
        text = " ".join(line for line in lines if line and not line.startswith(("LINE ", "^")))
        raise UsageError(f"the query: {_ENUM.sub('ENUM(...)', text)}") from None


def _missing_view(message: str) -> tuple[str, str] | None:
    """The view that DuckDB does not find, and its schema; None if it is not the view of one."""
    found = re.search(r"Table with name (\w+) does not exist", message)
    if found is None:
        return None
    try:
        return found[1], find_schema(view_schema(found[1])).name
    except UsageError:
        return None
