"""`batonics verify`: whether the books that FILES make are what their records say."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from batonics.cli.comparison import OtherFile, print_comparison, refuse_difference
from batonics.cli.console import escape_unprintable, plain_console
from batonics.cli.options import (
    FilesArgument,
    QuietOption,
    SkipBadOption,
    SymbolsOption,
    refuse_input_as_output,
    split_names,
)

BOOKS_MAX = 30
FOUND_MAX = 5
"""Books, and differences of each kind, that are printed; the report has more."""


def command(
    files: FilesArgument,
    every: Annotated[
        str, typer.Option(help="How often books are compared: N records, or 'N events'.")
    ] = "100000",
    against: Annotated[
        str | None,
        typer.Option(help="Another's file of the same records, such as the vendor's mbp-10."),
    ] = None,
    schema: Annotated[
        str | None, typer.Option(help="Its schema, where neither metadata nor columns tell it.")
    ] = None,
    symbols: SymbolsOption = None,
    out: Annotated[
        str | None, typer.Option(help="Where the report goes, as JSON; - is standard output.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The same as --out -.")] = False,
    skip_bad: SkipBadOption = False,
    quiet: QuietOption = False,
) -> None:
    """Prove the books of FILES: invariants, and a second derivation; exit code 1 if they differ."""
    from contextlib import ExitStack

    from batonics.cli.progress import read_progress
    from batonics.jobs.record_windows import WindowLength
    from batonics.jobs.verify import Verification, VerifyRequest
    from batonics.model.errors import UsageError
    from batonics.sinks.atomic import STDOUT, open_atomic

    if json and out not in (None, STDOUT):
        raise UsageError("--json writes to standard output: give it or --out, not both")
    target = STDOUT if json else out
    request = VerifyRequest(
        paths=tuple(files),
        every=WindowLength.parse(every),
        symbols=split_names(symbols),
        skip_bad=skip_bad,
    )
    refuse_input_as_output(files, target)
    other = OtherFile.named(against, schema, request)
    with ExitStack() as stack:
        # Opened first: an unwritable one is found before the work, not after it.
        file = stack.enter_context(open_atomic(target)) if target is not None else None
        verification = Verification(request)
        begun = time.monotonic()
        with read_progress("verify", quiet=quiet) as progress:
            verification.progress = progress
            report = verification.run()
        seconds = time.monotonic() - begun
        if other is not None:
            report["against"] = other.compare(quiet=quiet)
        if file is not None:
            import orjson

            file.write(orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if not quiet and target != STDOUT:
        _print(report, seconds)
        if other is not None:
            print_comparison(report["against"])
    _refuse(report)
    refuse_difference(report.get("against"))


def _refuse(report: dict[str, Any]) -> None:
    """Say in one line that the books are not proved, if they are not."""
    from batonics.model.errors import BatonicsError

    if report["proved"]:
        return
    found = []
    first = next(iter(report["violations"]["first"] + report["differences"]["first"]))
    broken = [row["name"] for row in report["invariants"] if row["violations"]]
    if broken:
        found.append(f"{_counted(len(broken), 'broken invariant')} ({', '.join(broken)})")
    if report["differences"]["count"]:
        found.append(_counted(report["differences"]["count"], "difference"))
    raise BatonicsError(f"not proved: {' and '.join(found)}; the first: {_described(first)}")


def _described(found: dict[str, Any]) -> str:
    """A difference or a violation in words."""
    place = _name(found)
    if found.get("side") is not None:
        place += f" {'bid' if found['side'] == 'B' else 'ask'}"
    if found.get("price") is not None:
        place += f" {found['price']}"
    if "order_id" in found:
        place += f" order {found['order_id']}"
    records = f"records {found['first_record']:,} to {found['last_record']:,}"
    if "invariant" in found:
        return f"{found['invariant']}: {place}: {found['found']} ({records})"
    return (
        f"{found['of']}: {place}: the engine has {_values(found['engine'])},"
        f" the records say {_values(found['witness'])} ({records})"
    )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _values(values: dict[str, Any] | None) -> str:
    if values is None:
        return "none"
    return ", ".join(f"{name} {value}" for name, value in values.items() if name != "price_1e9")


def _name(book: dict[str, Any]) -> str:
    symbol = book["symbol"] or f"#{book['instrument_id']}"
    return f"{symbol} of publisher {book['publisher_id']}"


# ---------------------------------------------------------------------- tables


def _print(report: dict[str, Any], seconds: float) -> None:

    console = plain_console()
    _print_checks(console, report)
    _print_books(console, report["books"])
    for found in ("violations", "differences"):
        for row in report[found]["first"][:FOUND_MAX]:
            console.print(escape_unprintable(_described(row)), style="red")
    _print_summary(console, report, seconds)


def _print_checks(console: Any, report: dict[str, Any]) -> None:
    """What was checked, and how often it did not hold."""
    table = _table("check", "wrong")
    for row in report["invariants"]:
        table.add_row(row["meaning"], f"{row['violations']:,}")
    compared = report["compared"]
    table.add_row(
        f"{compared['levels']:,} levels, {compared['orders']:,} orders in their queues,"
        f" {compared['books']:,} statuses: as the records alone make them",
        f"{report['differences']['count']:,}",
    )
    console.print(table)
    console.print()


def _print_books(console: Any, books: list[dict[str, Any]]) -> None:
    """Each book's status and why, and its anomalies; crossed and locked are labels, not faults."""
    table = _table("symbol", "publisher", "status", "records", "events", "crossed", "locked")
    for book in books[:BOOKS_MAX]:
        table.add_row(
            escape_unprintable(book["symbol"] or f"#{book['instrument_id']}"),
            str(book["publisher_id"]),
            book["status"] + (", event open" if book["event_open"] else ""),
            *(f"{book[name]:,}" for name in _COUNTS),
        )
    console.print(table)
    if len(books) > BOOKS_MAX:
        console.print(f"and {len(books) - BOOKS_MAX} more books (--json has them all)")
    console.print()
    for book in books[:BOOKS_MAX]:
        console.print(f"{escape_unprintable(_name(book))}: {book['reason']}")
        for anomaly in book["anomalies"]:
            verdict = "to be expected" if anomaly["expected"] else "odd"
            console.print(
                f"  {anomaly['name']} {anomaly['count']:,}: {anomaly['meaning']}; {verdict}"
            )
    console.print()


_COUNTS = ("records", "events", "crossed_events", "locked_events")


def _print_summary(console: Any, report: dict[str, Any], seconds: float) -> None:
    verdict = "proved" if report["proved"] else "not proved"
    skipped = sum(file["skipped"] for file in report["files"])
    read = [
        _counted(report["records"], "record"),
        _counted(report["events"], "event"),
        _counted(len(report["books"]), "book"),
        *([_counted(skipped, "bad record") + " skipped"] if skipped else []),
    ]
    windows = _counted(report["windows"], "window")
    rate = report["records"] / max(seconds, 1e-9)
    console.print(
        f"{verdict}: {', '.join(read)}, compared at the ends of {windows}; {rate:,.0f} records/s",
        style="bold green" if report["proved"] else "bold red",
    )


def _table(*names: str) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1))
    for name in names:
        left = name in ("check", "symbol", "publisher", "status")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    return table
