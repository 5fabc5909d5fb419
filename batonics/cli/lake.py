"""`batonics lake`: load files into a lake, and look after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from batonics.cli.console import escape_unprintable
from batonics.cli.option_groups import SettingOption, load_settings
from batonics.cli.options import (
    SCHEMA_FORMS,
    DateOption,
    EndOption,
    LakeOption,
    LakeSymbolsOption,
    LogJsonOption,
    QuietOption,
    SkipBadOption,
    StartOption,
    StoredFilesArgument,
    WideOption,
    parse_row_filter,
    split_names,
)

if TYPE_CHECKING:
    from batonics.jobs.lake_export import ExportResult as Exported
    from batonics.jobs.lake_load import LoadResult

ALL_ROWS = 2**62
Schemas = Annotated[
    str | None,
    SettingOption("lake.schemas", "--schemas", f"The schemas to derive: {SCHEMA_FORMS}."),
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
    schemas: Schemas = None,
    every: Annotated[
        str | None,
        typer.Option(help="Depth snapshots of such windows too: 1s makes depth-1s."),
    ] = None,
    one_stream: Annotated[
        bool,
        typer.Option(
            "--one-stream",
            help="FILES are one stream: books go on from one to the next. Else each begins anew.",
        ),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Make anew what is in the lake already.")
    ] = False,
    skip_bad: SkipBadOption = False,
    quiet: QuietOption = False,
) -> None:
    """Load files into a lake, by schema, date and symbol.

    A file that is loaded already stays as it is.
    """
    from batonics.cli.progress import load_progress
    from batonics.jobs.lake_load import LakeLoad, LoadRequest

    settings = load_settings({"lake.schemas": ("--schemas", schemas)}).lake
    wanted = [*settings.schemas, *([f"depth-{every}"] if every else [])]
    request = LoadRequest(
        tuple(files), lake, tuple(wanted), one_stream=one_stream, again=again, skip_bad=skip_bad
    )
    run = LakeLoad(request)
    with load_progress("load", run.source_bytes, quiet=quiet) as progress:
        run.progress = progress
        for outcome in run.run():
            progress.next(None if quiet else _told(outcome))


def _told(outcome: LoadResult) -> str:
    name = outcome.paths[0] + (f" and {len(outcome.paths) - 1} more" if outcome.paths[1:] else "")
    made = ", ".join(f"{load.rows:,} {load.schema}" for load in outcome.loaded)
    return escape_unprintable(f"{name}: {made or 'is in the lake already'}")


@app.command("append")
def append(
    lake: LakeOption,
    name: Annotated[
        str, typer.Option(help="Of the source: what is appended goes behind what it has.")
    ],
    schemas: Schemas = None,
    commit_every: Annotated[
        str | None,
        SettingOption(
            "lake.commit_interval_s", "--commit-every", "How often what has come is committed: 1m."
        ),
    ] = None,
    skip_bad: SkipBadOption = False,
    log_json: LogJsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Append a stream from standard input to a lake as it comes."""
    from batonics.jobs.lake_append import AppendRequest, LakeAppend
    from batonics.sinks.logs import configure, logger

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
            schemas=settings.schemas,
            commit_seconds=settings.commit_interval_s,
            skip_bad=skip_bad,
        )
    )
    run.committed = lambda loads: log.info(
        "lake_committed", rows={load.schema: load.rows for load in loads}
    )
    run.run()


@app.command("ls")
def ls(
    lake: LakeOption,
    parts: Annotated[bool, typer.Option("--parts", help="Print a line for each file.")] = False,
    sources: Annotated[
        bool, typer.Option("--sources", help="Print a line for each schema of each source.")
    ] = False,
    wide: WideOption = False,
) -> None:
    """List what a lake holds: a line for each schema."""
    from batonics.cli.frame_table import print_frame
    from batonics.lake.lake import Lake

    opened = Lake(lake)
    if parts:
        shown = opened.parts().select("path", "rows", "bytes", "digest")
    else:
        shown = opened.sources() if sources else opened.contents()
    print_frame(shown, rows_max=ALL_ROWS, wide=wide, columns_hint="; --wide shows all")


@app.command("export")
def export(
    directory: Annotated[str, typer.Argument(help="Where the tables go: DIRECTORY/SCHEMA.")],
    lake: LakeOption,
    form: Annotated[str, typer.Option("--format", help="Of the tables: delta.")] = "delta",
    schemas: Annotated[
        str | None, typer.Option(help="Only these schemas, A,B,C; else all of the lake.")
    ] = None,
    symbols: LakeSymbolsOption = None,
    date: DateOption = None,
    start: StartOption = None,
    end: EndOption = None,
    quiet: QuietOption = False,
) -> None:
    """Export a lake as Delta tables, by date and symbol.

    Files that a table has already stay as they are.
    """
    from batonics.cli.progress import byte_progress
    from batonics.jobs.lake_export import ExportRequest, LakeExport

    wanted = parse_row_filter(symbols, date, start, end)
    run = LakeExport(ExportRequest(lake, directory, split_names(schemas), wanted, form))
    with byte_progress("export", run.bytes_total, quiet=quiet) as run.progress:
        for outcome in run.run():
            if not quiet:
                typer.echo(_exported(outcome), err=True)


def _exported(outcome: Exported) -> str:
    if outcome.committed is None:
        return f"{outcome.schema}: is exported already"
    made = outcome.committed
    return (
        f"{outcome.schema}: version {made.version}: {outcome.rows:,} rows in {made.new:,} files"
        f" written, {made.kept:,} files kept, {made.removed:,} removed"
    )


@app.command("check")
def check(lake: LakeOption, quiet: QuietOption = False) -> None:
    """Check every file of a lake against its digest.

    The exit code is 6 if a file is missing, or is not what was committed.
    """
    from batonics.cli.progress import byte_progress
    from batonics.lake.lake import Lake
    from batonics.model.errors import LakeError

    opened = Lake(lake)
    held = opened.parts()
    with byte_progress("check", int(held["bytes"].sum()), quiet=quiet) as advance:
        wrong = opened.check(advance)
    for line in wrong:
        typer.echo(line)
    if wrong:
        raise LakeError(f"{lake}: {len(wrong)} of its files are not as they should be")
    if not quiet:
        typer.echo(f"{held.height:,} files are as they were committed", err=True)


@app.command("compact")
def compact(lake: LakeOption, quiet: QuietOption = False) -> None:
    """Merge small files of the same source, date and symbol."""
    from batonics.jobs.lake_compact import compact_lake as run

    before, after = run(lake)
    if not quiet:
        typer.echo(f"{before:,} files became {after:,}", err=True)


@app.command("vacuum")
def vacuum(
    lake: LakeOption,
    older_than: Annotated[
        str, typer.Option(help="Keep replaced files that readers may still have for so long.")
    ] = "1d",
    quiet: QuietOption = False,
) -> None:
    """Remove files that were replaced or that killed loads left."""
    from batonics.lake.lake import Lake
    from batonics.model.times import NS_PER_S, duration_ns

    seconds = 0.0 if older_than == "0" else duration_ns(older_than) / NS_PER_S
    count, freed = Lake(lake).vacuum(seconds)
    if not quiet:
        typer.echo(f"removed {count:,} files, {freed:,} bytes", err=True)
