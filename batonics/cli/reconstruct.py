"""`batonics reconstruct`: rebuilds books, writes them, and prints the top of each."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from batonics.cli.options import (
    AtTimeZoneOption,
    FilesArgument,
    InThisOrderOption,
    LossyOption,
    PricesChoice,
    QuietOption,
    SalvageOption,
    SessionDateOption,
    SessionOption,
    SkipBadOption,
    StatusesOption,
    SymbolsOption,
    VerifyManifestOption,
    parse_session,
    parse_session_date,
    price_unit,
    refuse_input_as_output,
    split_names,
)


class BookFormatChoice(StrEnum):
    """The formats of a file of books."""

    JSON = "json"
    NDJSON = "ndjson"


FormatOption = Annotated[
    BookFormatChoice | None,
    typer.Option(
        "--format",
        help="json: one document; ndjson: a book a line. By default the name of --out says it,"
        " else json.",
    ),
]


def command(
    files: FilesArgument,
    out: Annotated[
        str | None,
        typer.Option(help="A file for the books: NAME.json, NAME.ndjson; - is standard output."),
    ] = None,
    book_format: FormatOption = None,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Levels of each side; by default all.")
    ] = None,
    orders: Annotated[
        bool, typer.Option("--orders", help="Write the queue of each level to --out.")
    ] = False,
    symbols: SymbolsOption = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="The time of the books: ISO 8601 (in --tz) or nanoseconds since the epoch; by"
            " default the end of FILES."
        ),
    ] = None,
    tz: AtTimeZoneOption = "UTC",
    snapshots: Annotated[
        str | None,
        typer.Option(
            help="A file for depth snapshots: NAME.parquet, NAME.ndjson; - is standard output, as"
            " NDJSON."
        ),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(help="The windows of --snapshots: event, a count of events, 100ms, 1s, 1m."),
    ] = None,
    prices: Annotated[
        PricesChoice | None,
        typer.Option(help="The unit of prices in --snapshots; by default fixed: integers of 1e-9."),
    ] = None,
    statuses: StatusesOption = None,
    session: SessionOption = None,
    skip_bad: SkipBadOption = False,
    salvage: SalvageOption = False,
    in_this_order: InThisOrderOption = False,
    lossy: LossyOption = False,
    session_date: SessionDateOption = None,
    verify_manifest: VerifyManifestOption = False,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="A file to save progress to; a run continues from it if it exists."),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Rebuild the order books of files."""
    from batonics.cli.progress import read_progress
    from batonics.jobs.reconstruct import (
        SNAPSHOT_DEPTH,
        BookOutput,
        ReconstructRequest,
        SnapshotOutput,
        reconstruct_files,
    )
    from batonics.model.errors import UsageError
    from batonics.model.times import parse_time
    from batonics.sources.input_options import InputOptions
    from batonics.sources.inputs import find_inputs

    snapshot_output = None
    if snapshots is not None and every is not None:
        unit = price_unit(prices) or "fixed"
        snapshot_output = SnapshotOutput(snapshots, every, depth or SNAPSHOT_DEPTH, unit)
    elif snapshots is not None or every is not None:
        raise UsageError("--snapshots and --every go together")
    elif prices is not None:
        raise UsageError(
            "--prices goes with --snapshots: files of books have each price as text and as integer"
        )
    request = ReconstructRequest(
        paths=find_inputs(files, verify_manifest=verify_manifest),
        symbols=split_names(symbols),
        at_ns=None if at is None else parse_time(at, tz),
        options=InputOptions(
            skip_bad, salvage, in_this_order, lossy, parse_session_date(session_date)
        ),
        checkpoint=checkpoint,
        statuses=find_inputs(statuses or ()),
        sessions=parse_session(session),
    )
    refuse_input_as_output(request.paths, out, snapshots)
    if out == "-" and book_format is None and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError(
            "--out -: standard output is a terminal, and books may be many megabytes of JSON;"
            " name a file, pipe it, or ask for it with --format json"
        )
    books = None
    if out is not None:
        books = BookOutput(out, None if book_format is None else book_format.value, depth, orders)
    with read_progress("reconstruct", quiet=quiet) as progress:
        run = reconstruct_files(
            request,
            books=books,
            snapshots=snapshot_output,
            progress=progress,
        )
    if quiet:
        return
    from batonics.cli.book_table import print_books

    print_books(run)
    for path in (out, snapshots):
        if path not in (None, "-"):
            typer.echo(f"wrote {path}", err=True)
