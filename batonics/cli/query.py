"""`batonics query`: SQL over a lake, or straight over MBO files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from batonics.cli.console import escape_unprintable
from batonics.cli.option_groups import SettingOption
from batonics.cli.options import (
    DateOption,
    EndOption,
    IncludeOption,
    InThisOrderOption,
    LakeSymbolsOption,
    LossyOption,
    PricesOption,
    QueryTimeZoneOption,
    QuietOption,
    SalvageOption,
    SessionDateOption,
    SessionOption,
    SkipBadOption,
    StartOption,
    StatusesOption,
    VerifyManifestOption,
    WideOption,
    parse_row_filter,
    parse_session,
    parse_session_date,
    price_unit,
    refuse_input_as_output,
    split_names,
)

if TYPE_CHECKING:
    import polars as pl

    from batonics.jobs.query import QueryRequest
    from batonics.lake.sql import LakeDatabase

TABLE, PLOT = "table", "plot"
PROMPT, CONTINUATION_PROMPT = "batonics> ", "      ...> "


class TableSize(NamedTuple):
    """How much of a result a table shows.

    Attributes:
        rows_max: the number of rows.
        wide: all columns, whatever the width of the terminal.
    """

    rows_max: int
    wide: bool


def command(
    query: Annotated[
        str | None, typer.Argument(help="One SELECT, or a file with one: NAME.sql.")
    ] = None,
    lake: Annotated[str | None, SettingOption("lake.path", "--lake")] = None,
    files: Annotated[
        list[str] | None,
        typer.Option("--from", help="An MBO file to query without a lake. May be repeated."),
    ] = None,
    symbols: LakeSymbolsOption = None,
    date: DateOption = None,
    start: StartOption = None,
    end: EndOption = None,
    tz: QueryTimeZoneOption = None,
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
            "--format", help="Format of the result: table, plot, csv, json, parquet, arrow, ndjson."
        ),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Number of rows that a table shows.")] = 100,
    wide: WideOption = False,
    shell: Annotated[
        bool, typer.Option("--shell", help="Read queries from standard input, each ended by ;.")
    ] = False,
    include: IncludeOption = None,
    statuses: StatusesOption = None,
    session: SessionOption = None,
    prices: PricesOption = None,
    skip_bad: SkipBadOption = False,
    salvage: SalvageOption = False,
    in_this_order: InThisOrderOption = False,
    lossy: LossyOption = False,
    session_date: SessionDateOption = None,
    verify_manifest: VerifyManifestOption = False,
    trusted: Annotated[
        bool, typer.Option("--trusted", help="Let the query read any file and URL.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Run a SQL query over a lake or over MBO files.

    Each schema is a view, mbp-10 as mbp_10, with the columns date and symbol.
    """
    from batonics.cli.progress import read_progress
    from batonics.cli.terminal_plot import print_plot
    from batonics.jobs.query import QueryRequest, open_database, query_frame, write_query
    from batonics.model.errors import UsageError
    from batonics.settings.loader import current
    from batonics.sinks.tables import default_price_unit, find_format
    from batonics.sources.input_options import InputOptions
    from batonics.sources.inputs import find_inputs

    if (query is None) != shell:
        raise UsageError("give a query, or --shell")
    if files and lake is not None:
        raise UsageError("give one of --lake and --from, not both")
    file_format = file_format or (TABLE if out is None else find_format(out))
    on_terminal = shell or file_format in (TABLE, PLOT)
    request = QueryRequest(
        query=query or "",
        parameters=_parse_parameters(param or []),
        lake=None if files else lake or current().lake.path,
        files=find_inputs(files or (), verify_manifest=verify_manifest),
        row_filter=parse_row_filter(symbols, date, start, end, tz or "UTC"),
        options=InputOptions(
            skip_bad, salvage, in_this_order, lossy, parse_session_date(session_date)
        ),
        tz=tz,
        prices_are_default=prices is None,
        prices=price_unit(prices)
        or ("decimal" if on_terminal else default_price_unit(file_format)),
        include=split_names(include),
        statuses=find_inputs(statuses or ()),
        sessions=parse_session(session),
        trusted=trusted,
    )
    refuse_input_as_output(request.files, out)
    progress = read_progress("read", quiet=quiet)
    if shell:
        with open_database(request, progress) as database:
            run_shell(database, TableSize(rows, wide), request)
        return
    if file_format not in (TABLE, PLOT):
        write_query(request, out or "-", file_format, progress, _print_note)
        return
    if out is not None:
        raise UsageError(f"a {file_format} is for the terminal: it does not go with --out")
    result = query_frame(request, progress, _print_note)
    if file_format == PLOT:
        print_plot(result)
    else:
        print_result(result, TableSize(rows, wide))


def _parse_parameters(texts: list[str]) -> dict[str, str]:
    """The values of NAME=VALUE texts, by name."""
    from batonics.model.errors import UsageError

    values = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise UsageError(f"--param {text}: expected NAME=VALUE")
        if name in values:
            raise UsageError(f"--param {name} is given twice")
        values[name] = value
    return values


def print_result(result: pl.DataFrame, size: TableSize) -> None:
    """Print the result of a query as a table."""
    from batonics.cli.frame_table import print_frame

    print_frame(
        result,
        rows_max=size.rows_max,
        wide=size.wide,
        rows_hint="; --rows shows more",
        columns_hint="; --wide shows all, --format csv writes all",
    )


def _print_note(note: str) -> None:
    """Print a note on a result to standard error: standard output is for data."""
    typer.echo(f"batonics: {note}", err=True)


def run_shell(database: LakeDatabase, size: TableSize, request: QueryRequest) -> None:
    """Read queries from standard input, each ended by a semicolon, and print their results."""
    import sys

    from batonics.model.errors import BatonicsError

    is_terminal = sys.stdin.isatty()
    if is_terminal:
        import readline  # noqa: F401 - gives `input` a history

        views = ", ".join(database.views())
        typer.echo(f"views: {views}; end a query with ;  and the shell with ^D")
    text = ""
    while True:
        try:
            line = input(CONTINUATION_PROMPT if text else PROMPT) if is_terminal else input()
        except EOFError:
            if not text.strip():
                return
            line = ";"  # the end of the input ends the last query too
        text = f"{text}\n{line}" if text else line
        if text.rstrip().endswith(";"):
            try:
                result = database.query(
                    text.rstrip().rstrip(";"),
                    prices=request.prices,
                    is_default=request.prices_are_default,
                    tz=request.tz or "UTC",
                )
                print_result(result.frame(), size)
                if result.note:
                    _print_note(result.note)
            except BatonicsError as error:
                # The shell continues with the next query.
                typer.echo(f"batonics: {escape_unprintable(str(error))}", err=True)
            text = ""
