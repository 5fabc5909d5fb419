"""`batonics lake`: load files into a lake, and look after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from batonics.cli.options import (
    LAKE_SCHEMAS,
    Date,
    End,
    Files,
    LakeDirectory,
    Quiet,
    SkipBad,
    Start,
    Symbols,
    names,
    wanted_rows,
)
from batonics.cli.text import printable

if TYPE_CHECKING:
    from batonics.jobs.lake import Outcome
    from batonics.jobs.lake_export import Outcome as Exported

ALL_ROWS = 2**62
Schemas = Annotated[
    str,
    typer.Option(
        help="What to make of it: any schema of `batonics convert`, mbp-N, depth-EVERY, orders,"
        " bbo, deltas."
    ),
]

app = typer.Typer(
    help="A lake: rows of books and trades in Parquet files that SQL and any Arrow tool read.",
    rich_markup_mode=None,
)


@app.command("load")
def load(
    files: Files,
    lake: LakeDirectory,
    schemas: Schemas = LAKE_SCHEMAS,
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
    skip_bad: SkipBad = False,
    quiet: Quiet = False,
) -> None:
    """Put FILES into a lake, by schema, date and symbol; what is there already stays as it is."""
    from batonics.cli.progress import reading_sources
    from batonics.jobs.lake import LakeLoad, Request

    wanted = [*names(schemas), *([f"depth-{every}"] if every else [])]
    request = Request(
        tuple(files), lake, tuple(wanted), one_stream=one_stream, again=again, skip_bad=skip_bad
    )
    run = LakeLoad(request)
    with reading_sources("load", run.source_bytes, quiet=quiet) as progress:
        run.progress = progress
        for outcome in run.run():
            progress.next(None if quiet else _told(outcome))


def _told(outcome: Outcome) -> str:
    name = outcome.paths[0] + (f" and {len(outcome.paths) - 1} more" if outcome.paths[1:] else "")
    made = ", ".join(f"{load.rows:,} {load.schema}" for load in outcome.loaded)
    return printable(f"{name}: {made or 'is in the lake already'}")


@app.command("append")
def append(
    lake: LakeDirectory,
    name: Annotated[
        str, typer.Option(help="Of the source: what is appended goes behind what it has.")
    ],
    schemas: Schemas = LAKE_SCHEMAS,
    commit_every: Annotated[str, typer.Option(help="How often what has come is committed.")] = "1m",
    skip_bad: SkipBad = False,
    quiet: Quiet = False,
) -> None:
    """Put a stream from standard input into a lake as it comes, until it ends."""
    from batonics.jobs.lake_append import LakeAppend, Request
    from batonics.model.times import NS_PER_S, duration_ns
    from batonics.sinks.logs import configure, logger

    configure(level="error" if quiet else "info")
    log = logger("lake")
    run = LakeAppend(
        Request(
            lake,
            name,
            schemas=names(schemas),
            commit_seconds=duration_ns(commit_every) / NS_PER_S,
            skip_bad=skip_bad,
        )
    )
    run.committed = lambda loads: log.info(
        "lake_committed", rows={load.schema: load.rows for load in loads}
    )
    run.run()


@app.command("ls")
def ls(
    lake: LakeDirectory,
    parts: Annotated[bool, typer.Option("--parts", help="A line for each file.")] = False,
    sources: Annotated[
        bool, typer.Option("--sources", help="A line for each schema of each source.")
    ] = False,
) -> None:
    """What a lake holds: a line for each schema."""
    from batonics.cli.frames import print_frame
    from batonics.lake.lake import Lake

    opened = Lake(lake)
    if parts:
        shown = opened.parts().select("path", "rows", "bytes", "digest")
    else:
        shown = opened.sources() if sources else opened.contents()
    print_frame(shown, rows_max=ALL_ROWS)


@app.command("export")
def export(
    directory: Annotated[str, typer.Argument(help="Where the tables go: DIRECTORY/SCHEMA.")],
    lake: LakeDirectory,
    form: Annotated[str, typer.Option("--format", help="Of the tables: delta.")] = "delta",
    schemas: Annotated[
        str | None, typer.Option(help="Only these schemas, A,B,C; else all of the lake.")
    ] = None,
    symbol: Symbols = None,
    date: Date = None,
    start: Start = None,
    end: End = None,
    quiet: Quiet = False,
) -> None:
    """Write rows of a lake as Delta tables, by date and symbol; what a table has stays as it is."""
    from batonics.cli.progress import advancing
    from batonics.jobs.lake_export import LakeExport, Request

    wanted = wanted_rows(symbol, date, start, end)
    run = LakeExport(Request(lake, directory, names(schemas), wanted, form))
    with advancing("export", run.bytes_total, quiet=quiet) as run.progress:
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
def check(lake: LakeDirectory, quiet: Quiet = False) -> None:
    """Read every file of a lake, and say which are not what was committed; exit code 6 if any."""
    from batonics.cli.progress import advancing
    from batonics.lake.lake import Lake
    from batonics.model.errors import LakeError

    opened = Lake(lake)
    held = opened.parts()
    with advancing("check", int(held["bytes"].sum()), quiet=quiet) as advance:
        wrong = opened.check(advance)
    for line in wrong:
        typer.echo(line)
    if wrong:
        raise LakeError(f"{lake}: {len(wrong)} of its files are not as they should be")
    if not quiet:
        typer.echo(f"{held.height:,} files are as they were committed", err=True)


@app.command("compact")
def compact(lake: LakeDirectory, quiet: Quiet = False) -> None:
    """Put small files of the same source, date and symbol together."""
    from batonics.lake.compact import compact as run

    before, after = run(lake)
    if not quiet:
        typer.echo(f"{before:,} files became {after:,}", err=True)


@app.command("vacuum")
def vacuum(
    lake: LakeDirectory,
    older_than: Annotated[
        str, typer.Option(help="Keep replaced files that readers may still have for so long.")
    ] = "1d",
    quiet: Quiet = False,
) -> None:
    """Remove files that have been replaced, and what killed loads have left behind."""
    from batonics.lake.lake import Lake
    from batonics.model.times import NS_PER_S, duration_ns

    seconds = 0.0 if older_than == "0" else duration_ns(older_than) / NS_PER_S
    count, freed = Lake(lake).vacuum(seconds)
    if not quiet:
        typer.echo(f"removed {count:,} files, {freed:,} bytes", err=True)
