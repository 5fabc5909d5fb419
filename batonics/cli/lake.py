"""`batonics lake`: load files into a lake, and maintain it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from batonics.cli.console import describe_clamped_rows, escape_unprintable
from batonics.cli.option_groups import SettingOption, load_settings
from batonics.cli.options import (
    SCHEMA_FORMS,
    DateOption,
    EndOption,
    InThisOrderOption,
    LakeOption,
    LakeSymbolsOption,
    LogJsonOption,
    LossyOption,
    OutputTimeZoneOption,
    QuietOption,
    SalvageOption,
    SessionDateOption,
    SessionOption,
    SkipBadOption,
    StartOption,
    StatusesOption,
    StoredFilesArgument,
    SymbolsOption,
    VerifyManifestOption,
    WideOption,
    parse_row_filter,
    parse_session,
    parse_session_date,
    split_names,
)

if TYPE_CHECKING:
    from batonics.jobs.lake_export import ExportResult
    from batonics.jobs.lake_load import LoadResult

ALL_ROWS = 2**62
SchemasOption = Annotated[
    str | None,
    SettingOption("lake.schemas", "--schemas", f"The schemas to derive: {SCHEMA_FORMS}."),
]

FilterZoneOption = Annotated[
    str, typer.Option("--tz", help="The time zone of --start, --end and --date without an offset.")
]

app = typer.Typer(
    help="""Load files into a lake, export it and maintain it.

    A lake holds rows of books and trades in Parquet files that SQL and any Arrow tool read.
    """,
    rich_markup_mode=None,
)


@app.command("load")
def load(
    files: StoredFilesArgument,
    lake: LakeOption,
    schemas: SchemasOption = None,
    every: Annotated[
        str | None,
        typer.Option(help="Add depth snapshots at this interval: 1s adds depth-1s."),
    ] = None,
    one_stream: Annotated[
        bool,
        typer.Option(
            "--one-stream",
            help="FILES are one stream: books continue from file to file. By default each file"
            " begins with empty books.",
        ),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Load again what the lake has already.")
    ] = False,
    statuses: StatusesOption = None,
    session: SessionOption = None,
    symbols: SymbolsOption = None,
    start: StartOption = None,
    end: EndOption = None,
    tz: FilterZoneOption = "UTC",
    skip_bad: SkipBadOption = False,
    salvage: SalvageOption = False,
    in_this_order: InThisOrderOption = False,
    lossy: LossyOption = False,
    session_date: SessionDateOption = None,
    verify_manifest: VerifyManifestOption = False,
    quiet: QuietOption = False,
) -> None:
    """Load files into a lake, by schema and date, sorted by symbol."""
    from batonics.cli.progress import load_progress
    from batonics.jobs.lake_load import LakeLoad, LoadRequest
    from batonics.lake.load_selection import LoadSelection
    from batonics.model.times import duration_ns, format_duration
    from batonics.sources.input_options import InputOptions
    from batonics.sources.inputs import find_inputs

    settings = load_settings({"lake.schemas": ("--schemas", schemas)}).lake
    # An empty list is no value of a setting, but an error of the command.
    names = () if schemas == "" else settings.schemas
    if every:
        names = (*names, f"depth-{format_duration(duration_ns(every, 'intervals'))}")
    request = LoadRequest(
        find_inputs(files, verify_manifest=verify_manifest),
        lake,
        names,
        one_stream=one_stream,
        again=again,
        options=InputOptions(
            skip_bad, salvage, in_this_order, lossy, parse_session_date(session_date)
        ),
        statuses=find_inputs(statuses or ()),
        sessions=parse_session(session),
        selection=LoadSelection(*parse_row_filter(symbols, None, start, end, tz)),
    )
    run = LakeLoad(request)
    with load_progress("load", run.source_bytes, quiet=quiet) as progress:
        run.progress = progress
        for result in run.run():
            progress.next(None if quiet else _describe_load(result))
    for schema, count in run.clamped_rows.items():
        if count:
            typer.echo(f"batonics: {describe_clamped_rows(count, schema)}", err=True)


def _describe_load(result: LoadResult) -> str:
    """What was loaded of a source."""
    others = f" and {len(result.paths) - 1} more" if result.paths[1:] else ""
    loaded = ", ".join(f"{load.rows:,} {load.schema}" for load in result.loaded)
    return escape_unprintable(f"{result.paths[0]}{others}: {loaded or 'is in the lake already'}")


@app.command("append")
def append(
    lake: LakeOption,
    name: Annotated[
        str, typer.Option(help="Name of the source; rows are appended to those that it has.")
    ],
    schemas: SchemasOption = None,
    commit_every: Annotated[
        str | None,
        SettingOption(
            "lake.commit_interval_s", "--commit-every", "How often what has come is committed: 1m."
        ),
    ] = None,
    statuses: StatusesOption = None,
    session: SessionOption = None,
    skip_bad: SkipBadOption = False,
    salvage: SalvageOption = False,
    in_this_order: Annotated[
        bool,
        typer.Option(
            "--in-this-order",
            help="Append records even if the lake has the same books at the same times.",
        ),
    ] = False,
    lossy: LossyOption = False,
    session_date: SessionDateOption = None,
    log_json: LogJsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Append a stream from standard input to a lake, until it ends."""
    from batonics.jobs.lake_append import AppendRequest, LakeAppend
    from batonics.sinks.logs import configure, logger
    from batonics.sources.input_options import InputOptions
    from batonics.sources.inputs import find_inputs

    loaded = load_settings(
        {
            "lake.schemas": ("--schemas", schemas),
            "lake.commit_interval_s": ("--commit-every", commit_every),
            "log.json": ("--log-json", log_json),
        }
    )
    configure(as_json=loaded.log.json, level="error" if quiet else "info")
    log = logger("lake")
    settings = loaded.lake
    run = LakeAppend(
        AppendRequest(
            lake,
            name,
            schemas=() if schemas == "" else settings.schemas,
            commit_seconds=settings.commit_interval_s,
            options=InputOptions(
                skip_bad, salvage, in_this_order, lossy, parse_session_date(session_date)
            ),
            statuses=find_inputs(statuses or ()),
            sessions=parse_session(session),
        )
    )
    run.on_commit = lambda loads: log.info(
        "lake_committed", rows={load.schema: load.rows for load in loads}
    )
    run.run()


@app.command("ls")
def ls(
    lake: LakeOption,
    parts: Annotated[bool, typer.Option("--parts", help="List each file.")] = False,
    sources: Annotated[
        bool, typer.Option("--sources", help="List each schema of each source.")
    ] = False,
    tz: OutputTimeZoneOption = "UTC",
    wide: WideOption = False,
) -> None:
    """List the schemas of a lake."""
    from batonics.cli.frame_table import print_frame
    from batonics.jobs.lake_list import LakeListing, list_lake

    listing = LakeListing.SOURCES if sources else LakeListing.SCHEMAS
    print_frame(
        list_lake(lake, LakeListing.PARTS if parts else listing, tz),
        rows_max=ALL_ROWS,
        wide=wide,
        columns_hint="; --wide shows all",
    )


@app.command("export")
def export(
    directory: Annotated[str, typer.Argument(help="Parent directory of the tables.")],
    lake: LakeOption,
    table_format: Annotated[
        str, typer.Option("--format", help="Format of the tables: delta.")
    ] = "delta",
    schemas: Annotated[
        str | None, typer.Option(help="Only these schemas, A,B,C. By default all of the lake.")
    ] = None,
    symbols: LakeSymbolsOption = None,
    date: DateOption = None,
    start: StartOption = None,
    end: EndOption = None,
    tz: FilterZoneOption = "UTC",
    quiet: QuietOption = False,
) -> None:
    """Export rows of a lake as Delta tables: DIRECTORY/SCHEMA."""
    from batonics.cli.progress import byte_progress
    from batonics.jobs.lake_export import ExportRequest, LakeExport

    row_filter = parse_row_filter(symbols, date, start, end, tz)
    run = LakeExport(ExportRequest(lake, directory, split_names(schemas), row_filter, table_format))
    with byte_progress("export", run.bytes_total, quiet=quiet) as run.progress:
        for result in run.run():
            if not quiet:
                typer.echo(_describe_export(result), err=True)


def _describe_export(result: ExportResult) -> str:
    if result.commit is None:
        return f"{result.schema}: is exported already"
    commit = result.commit
    return (
        f"{result.schema}: version {commit.version}: {result.rows:,} rows in {commit.new:,} files"
        f" written, {commit.kept:,} files kept, {commit.removed:,} removed"
    )


@app.command("check")
def check(lake: LakeOption, quiet: QuietOption = False) -> None:
    """Check every file of a lake against its digest.

    The exit code is 6 if a file is missing or damaged.
    """
    from batonics.cli.progress import byte_progress
    from batonics.jobs.lake_check import LakeCheck
    from batonics.model.errors import LakeError

    run = LakeCheck(lake)
    with byte_progress("check", run.bytes_total, quiet=quiet) as run.progress:
        problems = run.run()
    for line in problems:
        typer.echo(line)
    if problems:
        raise LakeError(f"{lake}: {len(problems)} problems found")
    if not quiet:
        typer.echo(f"{run.parts_total:,} files verified", err=True)


@app.command("remove")
def remove(
    lake: LakeOption,
    source: Annotated[
        str | None,
        typer.Option(help="Remove the rows of this source: a file, or the name of a stream."),
    ] = None,
    date: Annotated[
        str | None, typer.Option(help="Remove the rows of this date (UTC): 2025-09-24.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Remove the rows of a source or of a date, in one commit.

    With --source and --date, only the rows of that source on that date. The files stay for readers
    until `batonics lake vacuum` removes them.
    """
    from batonics.jobs.lake_remove import RemoveRequest, remove_rows

    result = remove_rows(RemoveRequest(lake, source, date))
    if not quiet:
        typer.echo(
            f"removed {result.rows:,} rows of {result.sources:,} sources in {result.parts:,} files",
            err=True,
        )


@app.command("compact")
def compact(lake: LakeOption, quiet: QuietOption = False) -> None:
    """Merge small files of the same source and date."""
    from batonics.cli.progress import byte_progress
    from batonics.jobs.lake_compact import LakeCompact

    run = LakeCompact(lake)
    with byte_progress("compact", run.bytes_total, quiet=quiet) as run.progress:
        result = run.run()
    if not quiet:
        typer.echo(f"{result.parts_before:,} files became {result.parts_after:,}", err=True)


@app.command("vacuum")
def vacuum(
    lake: LakeOption,
    older_than: Annotated[
        str, typer.Option(help="Keep replaced files that are younger than this, for readers.")
    ] = "1d",
    quiet: QuietOption = False,
) -> None:
    """Remove replaced files, and files of killed loads."""
    from batonics.jobs.lake_vacuum import vacuum_lake
    from batonics.model.times import NS_PER_S, duration_ns

    seconds = 0.0 if older_than == "0" else duration_ns(older_than) / NS_PER_S
    result = vacuum_lake(lake, seconds)
    if not quiet:
        typer.echo(f"removed {result.files:,} files, {result.bytes:,} bytes", err=True)
