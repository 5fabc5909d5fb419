"""`batonics inspect`: prints what files hold, and what is unusual about it."""

from __future__ import annotations

from typing import Any

import typer

from batonics.cli.console import escape_unprintable, plain_console
from batonics.cli.options import (
    FilesArgument,
    InThisOrderOption,
    JsonOption,
    LossyOption,
    OutputTimeZoneOption,
    QuietOption,
    SalvageOption,
    SessionDateOption,
    SkipBadOption,
    VerifyManifestOption,
    parse_session_date,
)
from batonics.cli.table import BOOK_ROWS_MAX, Column, print_table

SILENCE_SECONDS_MIN = 0.001
"""The shortest silence that is printed; `--json` has shorter ones."""
METADATA_SYMBOLS_MAX = 10
"""Symbols of a file's metadata that are printed; a line counts the rest."""


def command(
    files: FilesArgument,
    json: JsonOption = False,
    skip_bad: SkipBadOption = False,
    salvage: SalvageOption = False,
    in_this_order: InThisOrderOption = False,
    lossy: LossyOption = False,
    session_date: SessionDateOption = None,
    verify_manifest: VerifyManifestOption = False,
    tz: OutputTimeZoneOption = "UTC",
    quiet: QuietOption = False,
) -> None:
    """Print what files hold: metadata, counts, times, anomalies."""
    from batonics.cli.progress import read_progress
    from batonics.jobs.inspect import Inspection
    from batonics.sources.input_options import InputOptions
    from batonics.sources.inputs import find_inputs

    inspection = Inspection(
        find_inputs(files, verify_manifest=verify_manifest),
        InputOptions(skip_bad, salvage, in_this_order, lossy, parse_session_date(session_date)),
        tz,
    )
    with read_progress("inspect", quiet=quiet) as progress:
        inspection.progress = progress
        report = inspection.run()
    if json:
        import orjson

        typer.echo(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
    else:
        _print(report)
        if not quiet:
            _print_cold_books(report["books"])


def _print(report: dict[str, Any]) -> None:
    console = plain_console()
    for file in report["files"]:
        _print_file(console, file)
    for day in report["doubtful_days"]:
        console.print(f"{day['date']}: {day['condition']}, says condition.json", style="yellow")
    if report["records"] or not report["other_records"]:
        _print_records(console, report)
    if report["other_records"]:
        _print_other_records(console, report["other_records"])
    if report["books"]:
        _print_books(console, report)


def _print_records(console: Any, report: dict[str, Any]) -> None:
    """The MBO records of all files."""
    console.print(f"{report['records']:,} MBO records")
    for name in ("ts_event", "ts_recv"):
        if report[name]["first"] is not None:
            console.print(f"  {name}: {report[name]['first']} to {report[name]['last']}")
    for name in ("actions", "flags", "publishers"):
        if report[name]:
            console.print(f"  {name}: {_list_counts(report[name])}")
    if report["ts_recv_backwards"]:
        console.print(f"  ts_recv runs backwards {report['ts_recv_backwards']:,} times")
    for silence in report["longest_silences"]:
        if silence["seconds"] >= SILENCE_SECONDS_MIN:
            console.print(f"  silent for {silence['seconds']:.3f} s after {silence['after']}")


def _print_other_records(console: Any, kinds: dict[str, Any]) -> None:
    """The records of other types, in all files."""
    for name, kind in kinds.items():
        count = len(kind["instruments"])
        span = kind["ts_event"]
        times = "" if span["first"] is None else f", ts_event {span['first']} to {span['last']}"
        of_instruments = f"of {count:,} instrument{'' if count == 1 else 's'}"
        console.print(f"{kind['records']:,} {name} records {of_instruments}{times}")
    rows = [(name, row) for name, kind in kinds.items() for row in kind["instruments"]]
    rows, left_out = rows[:BOOK_ROWS_MAX], len(rows) - BOOK_ROWS_MAX
    print_table(
        console,
        [
            Column("type", [name for name, _ in rows]),
            Column("symbol", [escape_unprintable(row["symbol"] or "?") for _, row in rows]),
            Column("publisher", [str(row["publisher_id"]) for _, row in rows], is_number=True),
            Column("instrument", [str(row["instrument_id"]) for _, row in rows], is_number=True),
            Column("records", [f"{row['records']:,}" for _, row in rows], is_number=True),
        ],
        hint="; --json has them all",
    )
    if left_out > 0:
        console.print(f"and {left_out:,} more; --json has them all")


def _print_books(console: Any, report: dict[str, Any]) -> None:
    books = report["books"][:BOOK_ROWS_MAX]
    print_table(
        console,
        [
            Column("symbol", [escape_unprintable(book["symbol"] or "?") for book in books]),
            Column("publisher", [str(book["publisher_id"]) for book in books], is_number=True),
            Column("instrument", [str(book["instrument_id"]) for book in books], is_number=True),
            Column("records", [f"{book['records']:,}" for book in books], is_number=True),
            Column("status", [book["status"] for book in books]),
            Column("anomalies", [_list_counts(book["anomalies"]) for book in books]),
        ],
        hint="; --json has them all",
    )
    if len(report["books"]) > BOOK_ROWS_MAX:
        console.print(f"and {len(report['books']) - BOOK_ROWS_MAX} more books; --json has them all")


def _print_cold_books(books: list[dict[str, Any]]) -> None:
    """A line on standard error if books are cold at the end."""
    from batonics.model.answers import AnswerWarning, describe_books

    cold = sum(book["status"] == "cold" for book in books)
    if cold:
        line = describe_books(AnswerWarning.COLD, cold, len(books))
        plain_console(stderr=True).print(line, style="yellow")


def _list_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def _print_file(console: Any, file: dict[str, Any]) -> None:
    size = f"{file['bytes']:,} bytes, " if file["bytes"] is not None else ""
    console.print(f"{escape_unprintable(file['name'])}: {size}{file['form']}", style="bold")
    metadata = file.get("metadata")
    if metadata is not None:
        console.print(
            f"  DBN version {metadata['dbn_version']},"
            f" dataset {escape_unprintable(metadata['dataset'] or '?')},"
            f" schema {metadata['schema'] or 'mixed'}, from {metadata['start']}"
            f" to {metadata['end'] or 'open'}"
        )
        first = escape_unprintable(", ".join(metadata["symbols"][:METADATA_SYMBOLS_MAX]))
        left_out = len(metadata["symbols"]) - METADATA_SYMBOLS_MAX
        more = f" and {left_out} more" if left_out > 0 else ""
        console.print(f"  symbols: {first or 'none named'}{more}")
        for name in ("partial", "not_found"):
            if metadata[name]:
                symbols = escape_unprintable(", ".join(metadata[name][:METADATA_SYMBOLS_MAX]))
                console.print(f"  {name}: {symbols}")
    if file["skipped"]:
        console.print(f"  {file['skipped']:,} bad records skipped")
    if file["other_records"]:
        kinds = {"mbo": file["mbo_records"]} if file["mbo_records"] else {}
        console.print(f"  records: {_list_counts({**kinds, **file['other_records']})}")
