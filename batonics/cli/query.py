"""`batonics query`: SQL over a lake, or straight over MBO files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from batonics.cli.console import escape_unprintable
from batonics.cli.option_groups import SettingOption
from batonics.cli.options import (
    DateOption,
    EndOption,
    LakeSymbolsOption,
    QuietOption,
    SkipBadOption,
    StartOption,
    WideOption,
    parse_row_filter,
    refuse_input_as_output,
)

if TYPE_CHECKING:
    from batonics.jobs.query import QueryRequest
    from batonics.lake.sql import LakeDatabase, QueryResult

TABLE, PLOT = "table", "plot"
PROMPT, MORE = "batonics> ", "      ...> "


class TableSize(NamedTuple):
    """What a table shows of an answer.

    Attributes:
        rows_max: the number of rows.
        wide: all columns, whatever the width of the terminal.
    """

    rows_max: int
    wide: bool


def command(
    query: Annotated[
        str | None, typer.Argument(help="One SELECT, or a file of it: NAME.sql.")
    ] = None,
    lake: Annotated[str | None, SettingOption("lake.path", "--lake")] = None,
    files: Annotated[
        list[str] | None,
        typer.Option("--from", help="An MBO file to ask without a lake. May be given again."),
    ] = None,
    symbols: LakeSymbolsOption = None,
    date: DateOption = None,
    start: StartOption = None,
    end: EndOption = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="NAME=VALUE, for $NAME in the query. May be repeated."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(help="NAME.parquet, .arrow, .csv, .ndjson or .json; - is standard output."),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="The format, if the name of --out does not say it: table, plot, csv, json,"
            " parquet.",
        ),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows that a table shows.")] = 100,
    wide: WideOption = False,
    shell: Annotated[bool, typer.Option("--shell", help="Ask one query after the other.")] = False,
    skip_bad: SkipBadOption = False,
    quiet: QuietOption = False,
) -> None:
    """Answer SQL over a lake or over MBO files.

    Each schema is a view, mbp-10 as mbp_10, with the columns date and symbol.
    """
    from batonics.jobs.query import QueryRequest
    from batonics.lake.sql import read_query
    from batonics.model.errors import UsageError
    from batonics.settings.loader import current

    if (query is None) != shell:
        raise UsageError("a query is expected, or --shell to ask several")
    if files and lake is not None:
        raise UsageError("one of --lake and --from says what is asked, not both")
    refuse_input_as_output(list(files or ()), out)
    request = QueryRequest(
        lake=None if files else lake or current().lake.path,
        files=tuple(files or ()),
        wanted=parse_row_filter(symbols, date, start, end),
        skip_bad=skip_bad,
    )
    if query is None:
        with _opened(request, "", quiet=quiet) as sql:
            ask_on(sql, TableSize(rows, wide))
        return
    asked = read_query(query)
    values = asked.values(_parameters(param or []))
    with _opened(request, " ".join(asked.reads) or asked.sql, quiet=quiet) as sql:
        _give(sql.query(asked.sql, values), out, file_format, TableSize(rows, wide))


@contextmanager
def _opened(request: QueryRequest, named_in: str, *, quiet: bool) -> Iterator[LakeDatabase]:
    """Where the request asks; of files, with a bar while they are read."""
    from batonics.cli.progress import read_progress
    from batonics.jobs.query import open_database

    if not request.files:
        with open_database(request) as sql:
            yield sql
        return
    with ExitStack() as stack:
        # The bar is gone before the answer comes.
        with read_progress("read", quiet=quiet) as progress:
            sql = stack.enter_context(
                open_database(request, named_in, lambda streams: progress(streams[0]))
            )
        yield sql


def _parameters(given: list[str]) -> dict[str, str]:
    """NAME=VALUE texts as a mapping."""
    from batonics.model.errors import UsageError

    values = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise UsageError(f"--param {text}: expected NAME=VALUE")
        if name in values:
            raise UsageError(f"--param {name} is given twice")
        values[name] = value
    return values


def _give(answer: QueryResult, out: str | None, form: str | None, size: TableSize) -> None:
    """Print the answer, or write it."""
    from batonics.cli.plot import print_plot
    from batonics.model.errors import UsageError
    from batonics.sinks.tables import open_table

    form = form or (TABLE if out is None else None)
    if form in (TABLE, PLOT):
        if out is not None:
            raise UsageError(f"a {form} is for the terminal: it does not go with --out")
        if form == PLOT:
            print_plot(answer.frame())
        else:
            print_result(answer, size)
        return
    with open_table(out or "-", answer.columns, form=form) as table:
        for frame in answer.frames():
            table.write(frame)


def print_result(result: QueryResult, size: TableSize) -> None:
    """Print the rows of a query as a table."""
    from batonics.cli.frame_table import print_frame

    print_frame(
        result.frame(),
        rows_max=size.rows_max,
        wide=size.wide,
        rows_hint="; --rows shows more",
        columns_hint="; --wide shows all, --format csv writes all",
    )


def ask_on(sql: LakeDatabase, size: TableSize) -> None:
    """Ask one query after the other, each ended by a semicolon, until the input ends."""
    import sys

    from batonics.model.errors import BatonicsError

    if sys.stdin.isatty():
        import readline  # noqa: F401 - `input` has a history with it

        typer.echo(f"views: {', '.join(sql.views())}; end a query with ;  and the shell with ^D")
    text = ""
    while True:
        try:
            line = input(MORE if text else PROMPT) if sys.stdin.isatty() else input()
        except EOFError:
            if not text.strip():
                return
            line = ";"  # the input's end is one of the query too
        text = f"{text}\n{line}" if text else line
        if text.rstrip().endswith(";"):
            try:
                print_result(sql.query(text.rstrip().rstrip(";")), size)
            except BatonicsError as error:
                # The next one may be right.
                typer.echo(f"batonics: {escape_unprintable(str(error))}", err=True)
            text = ""
