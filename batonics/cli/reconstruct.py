"""`batonics reconstruct`: files in, book.json out, the top of each book on the screen."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from batonics.cli.options import (
    FilesArgument,
    QuietOption,
    SkipBadOption,
    SymbolsOption,
    refuse_input_as_output,
    split_names,
)

if TYPE_CHECKING:
    from batonics.jobs.reconstruct import Reconstruction


class BookFormat(StrEnum):
    """Forms of the books' file."""

    JSON = "json"
    NDJSON = "ndjson"


def command(
    files: FilesArgument,
    out: Annotated[
        str | None, typer.Option(help="Where the books go; - is standard output.")
    ] = None,
    form: Annotated[
        BookFormat, typer.Option("--format", help="One document, or a book a line.")
    ] = BookFormat.JSON,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Levels of each side at the most.")
    ] = None,
    orders: Annotated[bool, typer.Option("--orders", help="Add each level's queue.")] = False,
    symbols: SymbolsOption = None,
    at: Annotated[
        str | None,
        typer.Option(help="As of this time: ISO 8601 (UTC) or nanoseconds since the epoch."),
    ] = None,
    snapshots: Annotated[
        str | None,
        typer.Option(help="Depth snapshots along the way, to NAME.parquet or NAME.ndjson."),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(help="When a snapshot is taken: event, a count of events, 100ms, 1s, 1m."),
    ] = None,
    skip_bad: SkipBadOption = False,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="Save progress to this file, and go on from it if it is there."),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Rebuild the books of FILES."""
    from contextlib import ExitStack
    from functools import partial

    from batonics.cli.progress import read_progress
    from batonics.jobs.reconstruct import Reconstruction, ReconstructRequest
    from batonics.model.errors import UsageError
    from batonics.model.times import parse_time
    from batonics.sinks.atomic import STDOUT, open_atomic
    from batonics.sinks.book_json import write_books

    if (snapshots is None) != (every is None):
        raise UsageError("--snapshots and --every go together")
    if out == STDOUT and snapshots == STDOUT:
        raise UsageError("only one of --out and --snapshots can be -")
    request = ReconstructRequest(
        paths=tuple(files),
        symbols=split_names(symbols),
        at_ns=None if at is None else parse_time(at),
        skip_bad=skip_bad,
        checkpoint=checkpoint,
    )
    refuse_input_as_output(files, out, snapshots)
    with ExitStack() as stack:
        # Outputs are opened first: an unwritable one is found before the work, not after it.
        book_file = stack.enter_context(open_atomic(out)) if out is not None else None
        run = Reconstruction(request, deltas=snapshots is not None)
        work = run.run
        if snapshots is not None and every is not None:
            from batonics.jobs.snapshots import check_snapshots, write_snapshots

            check_snapshots(snapshots, every)
            file = stack.enter_context(open_atomic(snapshots))
            work = partial(write_snapshots, run, snapshots, file, every=every, depth=depth or 10)
        with read_progress("reconstruct", quiet=quiet) as progress:
            run.progress = progress
            work()
        if book_file is not None:
            write_books(
                book_file,
                run.engine,
                run.symbols,
                book_format=form.value,
                depth=depth,
                orders=orders,
            )
    if not quiet:
        _show(run, out)


def _show(run: Reconstruction, out: str | None) -> None:
    """The top of each book as a table, and a line of what was read, on standard error."""
    from batonics.cli.book_table import print_books

    print_books(run)
    if out not in (None, "-"):
        typer.echo(f"wrote {out}", err=True)
