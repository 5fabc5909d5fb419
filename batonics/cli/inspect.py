"""`batonics inspect`: what is in a file, and what is odd about it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from batonics.cli.console import escape_unprintable, plain_console
from batonics.cli.options import FilesArgument, QuietOption, SkipBadOption

BOOKS_MAX = 30


def command(
    files: FilesArgument,
    json: Annotated[bool, typer.Option("--json", help="The whole report as JSON.")] = False,
    skip_bad: SkipBadOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say what FILES hold: metadata, symbols, counts, time span, silences, anomalies."""
    from batonics.cli.progress import read_progress
    from batonics.jobs.inspect import Inspection

    inspection = Inspection(files, skip_bad=skip_bad)
    with read_progress("inspect", quiet=quiet) as progress:
        inspection.progress = progress
        report = inspection.run()
    if json:
        import orjson

        typer.echo(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
    else:
        _print(report)


def _print(report: dict[str, Any]) -> None:
    from rich.table import Table

    console = plain_console()
    for file in report["files"]:
        _print_file(console, file)
    console.print(f"{report['records']:,} MBO records")
    for name in ("ts_event", "ts_recv"):
        console.print(f"  {name}: {report[name]['first']} to {report[name]['last']}")
    for name in ("actions", "flags", "publishers"):
        counts = ", ".join(f"{key} {count:,}" for key, count in report[name].items())
        console.print(f"  {name}: {counts or 'none'}")
    if report["ts_recv_backwards"]:
        console.print(f"  ts_recv runs backwards {report['ts_recv_backwards']:,} times")
    for silence in report["longest_silences"]:
        console.print(f"  silent for {silence['seconds']:.3f} s after {silence['after']}")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("symbol", "publisher", "instrument", "records", "status", "anomalies"):
        table.add_column(name, justify="right" if name == "records" else "left")
    for book in report["books"][:BOOKS_MAX]:
        anomalies = ", ".join(f"{key} {count:,}" for key, count in book["anomalies"].items())
        table.add_row(
            escape_unprintable(book["symbol"] or "?"),
            str(book["publisher_id"]),
            str(book["instrument_id"]),
            f"{book['records']:,}",
            book["status"],
            anomalies or "none",
        )
    console.print(table)
    if len(report["books"]) > BOOKS_MAX:
        console.print(f"and {len(report['books']) - BOOKS_MAX} more books (--json has them all)")


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
        shown = metadata["symbols"][:10]
        more = f" and {len(metadata['symbols']) - 10} more" if len(metadata["symbols"]) > 10 else ""
        console.print(f"  symbols: {escape_unprintable(', '.join(shown)) or 'none named'}{more}")
        for name in ("partial", "not_found"):
            if metadata[name]:
                console.print(f"  {name}: {escape_unprintable(', '.join(metadata[name][:10]))}")
    if file["skipped"]:
        console.print(f"  {file['skipped']:,} bad records skipped")
    if file["other_records"]:
        counts = ", ".join(f"{rtype} {n:,}" for rtype, n in file["other_records"].items())
        console.print(f"  records of other types: {counts}")
