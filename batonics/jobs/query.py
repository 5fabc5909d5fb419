"""Runs a SQL query over a lake, or over MBO files.

The rule here: files are loaded into a temporary lake, with the schemas that the query reads. So SQL
runs in one way, on views over a lake (`lake/sql.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import polars as pl

from batonics.frames.columns.book_state import check_include
from batonics.frames.columns.prices import PriceKind
from batonics.frames.scan.sessions import SessionCalendar
from batonics.frames.schemas.table import (
    FAMILIES,
    SCHEMAS,
    find_schema,
    near_schema,
    schema_forms,
)
from batonics.jobs.lake_load import LakeLoad, LoadRequest
from batonics.jobs.lake_rows import BatchProgress
from batonics.lake.load_selection import LoadSelection
from batonics.lake.part_search import NO_FILTER, RowFilter
from batonics.lake.query_file import QueryFile, read_query
from batonics.lake.query_result import QueryResult
from batonics.lake.sql import LakeDatabase, find_named_schemas, open_lake_database
from batonics.lake.sql_tokens import without_comments
from batonics.lake.views import view_name, view_schema
from batonics.model.errors import OutputError, UsageError
from batonics.model.prices import PriceUnit
from batonics.sinks.tables import open_table
from batonics.sinks.temporary import temporary_directory
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions
from batonics.sources.stream import MboStream

SHELL_SCHEMAS = (
    "trades",
    "tbbo",
    "mbp-1",
    "mbp-10",
    "states-1",
    "bbo-1s",
    "ohlcv-1m",
    "orders",
)
"""Schemas that are made from files for a shell, whose queries are not known yet."""
_FAMILY_VIEW = rf"\b(?:{'|'.join(FAMILIES)})_\w+"
"""A word that may be the view of a schema whose name has a parameter."""

LoadingBar = AbstractContextManager[Callable[[MboStream], None]]
"""A block around the loading of files, and what to call after each batch."""
_NO_BAR: LoadingBar = nullcontext(lambda _: None)


def _say_nothing(note: str) -> None:
    """Ignore a note on a result."""


@dataclass(frozen=True)
class QueryRequest:
    """A query, and the rows over which it runs: those of a lake or those of files.

    Attributes:
        query: one SELECT, or the path of a file of it, `NAME.sql`; empty for a shell.
        parameters: value of each `$name` in the query, as text.
        lake: a lake's directory, or `s3://BUCKET/PREFIX`; None: the rows are those of `files`.
        files: MBO files, which are one stream.
        row_filter: only these rows are in the views.
        options: how the files are read.
        prices: the unit of prices in the result, and in a query without a header.
        tz: the time zone of times in the result that have one, and of parameters of the type ZONE;
            None: UTC, and the zone of `sessions` or the default of the parameter.
        prices_are_default: nobody asked for this unit (`LakeDatabase.query`).
        include: states that `is_open` of the views counts as open too: crossed, closed.
        statuses: files of the schema status, for `files`.
        sessions: the sessions of the market of `files`, for books without a status.
        trusted: the query may read any file and URL, not these rows alone.
    """

    query: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    lake: str | None = None
    files: tuple[str, ...] = ()
    row_filter: RowFilter = NO_FILTER
    options: InputOptions = DEFAULT_OPTIONS
    prices: PriceUnit = "fixed"
    prices_are_default: bool = False
    include: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    sessions: SessionCalendar | None = None
    tz: str | None = None
    trusted: bool = False

    def __post_init__(self) -> None:
        if (self.lake is None) == (not self.files):
            raise UsageError("give one of --lake and --from")
        if not self.files and (self.statuses or self.sessions is not None):
            raise UsageError(
                "a lake has the statuses and sessions with which it was loaded: --statuses and"
                " --session go with --from and with lake load; the zone of hours is --tz, and the"
                " sessions of session_bars are -p sessions=CMES"
            )
        check_include(self.include)


def query_frame(
    request: QueryRequest,
    progress: LoadingBar = _NO_BAR,
    say: Callable[[str], None] = _say_nothing,
) -> pl.DataFrame:
    """The result of the query, in one frame.

    Args:
        request: the query.
        progress: entered while files are loaded.
        say: called with a note on the result, if there is one.

    Raises:
        UsageError: a parameter is wrong, or DuckDB refuses the query. InputError: a file cannot be
        read, or is damaged. LakeError: the lake does not exist, or is damaged.
    """
    with _run_query(request, progress) as result:
        frame = result.frame()
        if result.note:
            say(result.note)
        return frame


def write_query(
    request: QueryRequest,
    path: str,
    file_format: str | None = None,
    progress: LoadingBar = _NO_BAR,
    say: Callable[[str], None] = _say_nothing,
) -> None:
    """Write the result of the query to a file, which gets its name once it is complete.

    Args:
        request: the query.
        path: path of the file; `-` is standard output.
        file_format: one of `sinks.tables.TABLE_FORMATS`; None: by the name's ending.
        progress: entered while files are loaded.
        say: called with a note on the result, if there is one.

    Raises:
        UsageError: as for `query_frame`, or the format cannot hold the result. OutputError: the
        file cannot be written. InputError, LakeError: as for `query_frame`.
    """
    with (
        _run_query(request, progress) as result,
        open_table(
            path,
            result.columns,
            file_format=file_format,
            prices="fixed",
            price_columns=dict.fromkeys(result.fixed_prices, PriceKind.PRICE),
        ) as table,
    ):
        for frame in result.frames():
            table.write(frame)
        if result.note:
            say(result.note)


@contextmanager
def open_database(
    request: QueryRequest,
    progress: LoadingBar = _NO_BAR,
    *,
    query: QueryFile | None = None,
) -> Iterator[LakeDatabase]:
    """A database with the views of the request, until the block ends.

    Args:
        request: the lake or the files, and the rows.
        progress: entered while files are loaded.
        query: files are loaded with the schemas that this query reads; None: `SHELL_SCHEMAS`.

    Raises:
        UsageError, InputError, LakeError: as for `query_frame`.
    """
    if request.lake is not None:
        with open_lake_database(
            request.lake, request.row_filter, include=request.include, trusted=request.trusted
        ) as database:
            yield database
        return
    schemas = SHELL_SCHEMAS if query is None else _find_schemas(query)
    with temporary_directory("batonics-query-") as directory:
        lake = f"{directory}/lake"
        _load_files(request, lake, schemas, progress)
        # The files were loaded by the symbols, so that ids and second names of an id work too.
        times = request.row_filter._replace(symbols=())
        with open_lake_database(
            lake, times, "the files", request.include, trusted=request.trusted
        ) as database:
            yield database


@contextmanager
def _run_query(request: QueryRequest, progress: LoadingBar) -> Iterator[QueryResult]:
    query = read_query(request.query)
    zone = request.sessions.zone if request.tz is None and request.sessions else request.tz
    values = query.bind(request.parameters, zone, request.sessions)
    with open_database(request, progress, query=query) as database:
        yield database.query(
            query.sql,
            values,
            header=query,
            prices=request.prices,
            is_default=request.prices_are_default,
            tz=request.tz or "UTC",
        )


def _load_files(
    request: QueryRequest, lake: str, schemas: tuple[str, ...], progress: LoadingBar
) -> None:
    """Load the request's files into a temporary lake."""
    load = LakeLoad(
        LoadRequest(
            request.files,
            lake,
            schemas,
            one_stream=True,
            options=request.options,
            statuses=request.statuses,
            sessions=request.sessions,
            selection=LoadSelection(request.row_filter.symbols),
        )
    )
    try:
        with progress as report:
            load.progress = BatchProgress(report)
            for _ in load.run():
                pass
    except OutputError as error:
        # The path of a temporary file says nothing to a user.
        reason = str(error).rpartition(": ")[2]
        raise OutputError(f"temporary files cannot be written: {reason}") from None


def _find_schemas(query: QueryFile) -> tuple[str, ...]:
    """The schemas that a query reads, by its header or else by the names in its statement."""
    text = " ".join(query.reads) or query.sql
    known = set(SCHEMAS)
    known |= {view_schema(name) for name in re.findall(_FAMILY_VIEW, text.lower())}
    schemas, refused = [], []
    for name in find_named_schemas(text, known):
        try:
            schemas.append(find_schema(name).name)
        except UsageError as error:
            refused.append(error)  # perhaps a word that only looks like a schema
    if schemas:
        return tuple(schemas)
    if refused:
        raise refused[0]
    for word in re.findall(r"\b(?:from|join)\s+(\w+)", without_comments(query.sql).lower()):
        if near := near_schema(view_schema(word)):
            raise UsageError(f"there is no view {word}; did you mean {view_name(near)}?")
    views = ", ".join(view_name(name) for name in schema_forms())
    raise UsageError(f"the query reads no view, such as mbp_10; there are {views}")
