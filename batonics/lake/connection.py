"""Connections to DuckDB, and its errors as ours.

The rule here: every query runs on a connection of `connect_duckdb`, and every error of DuckDB
becomes a UsageError of one line. A connection opens the files that it is given, and no others: the
SQL may come from anybody. The order of the settings matters: each would leave something open if it
came later, and none can be changed after the last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import duckdb

from batonics.frames.schemas.table import find_schema, near_schema, schema_forms
from batonics.lake.select_check import TRUSTED_HINT
from batonics.lake.views import sql_literal, view_name, view_schema
from batonics.model.errors import UsageError

_ENUM = re.compile(r"ENUM\((?:'(?:''|[^'])*'(?:, )?)+\)")
"""An ENUM type with all its values, as messages of DuckDB have it."""
_FILE_AS_TABLE = re.compile(r"Table with name \S*[./]\S* does not exist")
"""A file or a URL in the place of a table."""
MESSAGE_LETTERS_MAX = 1_000
"""DuckDB quotes the rest of a statement, however long."""


LOCAL_TIME = (
    "CREATE MACRO local_time(ts, zone) AS timezone(zone, timezone('UTC', ts::TIMESTAMP_NS))"
)
"""The statement that makes the macro of `connect_duckdb`."""


class FileAccess(NamedTuple):
    """Which files the queries of a connection can open.

    Attributes:
        paths: these files, which exist: DuckDB follows links when it is told of them.
        spill: directory for temporary files of large queries; None: they have memory only.
        trusted: any file and any URL too.
    """

    paths: Sequence[str] = ()
    spill: Path | None = None
    trusted: bool = False


class QueryLimits(NamedTuple):
    """What a query may take of the machine; it has no temporary files.

    Attributes:
        memory_bytes: the memory of DuckDB's buffers. Texts and lists of a query may exceed it, so a
            process needs a limit of its own.
        threads: the threads that run it.
    """

    memory_bytes: int
    threads: int

    def settings(self) -> list[str]:
        """The limits as settings of `connect_duckdb`."""
        return [f"memory_limit = '{self.memory_bytes}B'", f"threads = {self.threads}"]


NO_FILES = FileAccess()
"""No file can be opened."""


def connect_duckdb(
    access: FileAccess = NO_FILES, settings: Sequence[str] = ()
) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory, in UTC, whose queries cannot read Python variables.

    It has the macro `local_time(ts, zone)`: the local time, without a zone, of a view's time, which
    is UTC.

    Args:
        access: the files that its queries can open.
        settings: more settings, each `NAME = VALUE`; later ones are refused.
    """
    connection = duckdb.connect()
    spill = "" if access.spill is None else str(access.spill)
    connection.execute(f"SET temp_directory = {sql_literal(spill)}")
    connection.execute("SET python_enable_replacements = false")
    # A slow query would print its progress among the rows. Where there is no bar (Jupyter without
    # ipywidgets), DuckDB refuses to turn it off.
    if connection.execute("SELECT current_setting('enable_progress_bar')").fetchone() == (True,):
        connection.execute("SET enable_progress_bar = false")
    connection.execute("SET TimeZone = 'UTC'")
    # DuckDB would take few books for few rows, and look for each trade in all quotes.
    connection.execute("SET asof_loop_join_threshold = 0")
    connection.execute(LOCAL_TIME)
    if not access.trusted:
        paths = ", ".join(map(sql_literal, access.paths))
        connection.execute(f"SET allowed_paths = [{paths}]")
        connection.execute("SET enable_external_access = false")
    for setting in settings:
        connection.execute(f"SET {setting}")
    connection.execute("SET lock_configuration = true")
    return connection


def binding_connection() -> duckdb.DuckDBPyConnection:
    """A connection on which statements of users are bound, and none runs; it can open no file.

    Temporary tables that are made on it are its own.
    """
    return _binding_database().cursor()


@cache
def _binding_database() -> duckdb.DuckDBPyConnection:
    # One for the process: making another takes as long as a small query.
    return connect_duckdb(NO_FILES)


@contextmanager
def sql_errors() -> Iterator[None]:
    """Raise DuckDB's errors as UsageError of one line."""
    try:
        yield
    except duckdb.Error as error:
        if isinstance(error, duckdb.PermissionException):
            reason = str(error).partition("\n")[0].removeprefix("Permission Error: ")
            raise UsageError(f"the query: {reason}; {TRUSTED_HINT}") from None
        if advice := _advise_view(str(error)):
            raise UsageError(f"the query: {advice}") from None
        lines = [line.strip() for line in str(error).splitlines()]
        text = " ".join(line for line in lines if line and not line.startswith(("LINE ", "^")))
        text = _ENUM.sub("ENUM(...)", text)
        text = text if len(text) <= MESSAGE_LETTERS_MAX else f"{text[:MESSAGE_LETTERS_MAX]}..."
        hint = f"; {TRUSTED_HINT}" if _FILE_AS_TABLE.search(text) else ""
        raise UsageError(f"the query: {text}{hint}") from None
    except RecursionError:  # where the plan of DuckDB is read
        raise UsageError("the query: its expressions are nested too deeply") from None


def _advise_view(message: str) -> str:
    """What to do about a view that DuckDB does not find; empty: the error is another one.

    DuckDB would name what is near in its own catalogs, such as pg_enum.
    """
    found = re.search(r"Table with name (\w+) does not exist", message)
    if found is None:
        return ""
    name = found[1]
    schema = _find_schema(view_schema(name))
    if schema is not None:
        return (
            f"there is no {name} here; `batonics lake load FILES --schemas {schema}` puts it into"
            " a lake"
        )
    schema = near_schema(view_schema(name))
    if schema is not None:
        return (
            f"there is no {name} here; did you mean {view_name(schema)}? Where a lake lacks it,"
            f" `batonics lake load FILES --schemas {schema}` puts it there"
        )
    return f"there is no {name} here; views have the names of schemas: " + ", ".join(
        view_name(form) for form in schema_forms()
    )


def _find_schema(name: str) -> str | None:
    try:
        return find_schema(name).name
    except UsageError:
        return None
