"""`batonics verify`: checks whether the books of files are what their records say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from batonics.cli.comparison import print_comparison, refuse_difference
from batonics.cli.console import escape_unprintable, plain_console
from batonics.cli.options import (
    FilesArgument,
    InThisOrderOption,
    LossyOption,
    QuietOption,
    SalvageOption,
    SessionDateOption,
    SkipBadOption,
    SymbolsOption,
    VerifyManifestOption,
    parse_session_date,
    refuse_input_as_output,
    split_names,
)
from batonics.cli.table import BOOK_ROWS_MAX, Column, print_table

if TYPE_CHECKING:
    from rich.console import Console

FINDING_ROWS_MAX = 5
"""Differences and violations that are printed; the report has more."""


def command(
    files: FilesArgument,
    every: Annotated[
        str,
        typer.Option(
            help="The windows at whose ends books are compared: a count of records, or 'N events'."
        ),
    ] = "100000",
    against: Annotated[
        str | None,
        typer.Option(
            help="Another program's file of the same records, such as the vendor's mbp-10."
        ),
    ] = None,
    schema: Annotated[
        str | None,
        typer.Option(help="The schema of --against, if its metadata and columns do not say it."),
    ] = None,
    symbols: SymbolsOption = None,
    out: Annotated[
        str | None,
        typer.Option(help="A file for the report: NAME.json; - is standard output."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the whole report as JSON, as --out - does.")
    ] = False,
    skip_bad: SkipBadOption = False,
    salvage: SalvageOption = False,
    in_this_order: InThisOrderOption = False,
    lossy: LossyOption = False,
    session_date: SessionDateOption = None,
    verify_manifest: VerifyManifestOption = False,
    quiet: QuietOption = False,
) -> None:
    """Check books against invariants and a second derivation.

    The exit code is 1 if a book breaks an invariant, if the derivations differ, or if the rows
    differ from those of --against.
    """
    from functools import partial

    from batonics.cli.progress import read_progress
    from batonics.jobs.record_windows import WindowLength
    from batonics.jobs.verify import VerifyRequest, verify_files
    from batonics.model.errors import UsageError
    from batonics.sinks.atomic import STDOUT
    from batonics.sources.input_options import InputOptions
    from batonics.sources.inputs import find_inputs

    if json and out not in (None, STDOUT):
        raise UsageError("--json writes to standard output: give it or --out, not both")
    target = STDOUT if json else out
    request = VerifyRequest(
        paths=find_inputs(files, verify_manifest=verify_manifest),
        every=WindowLength.parse(every),
        symbols=split_names(symbols),
        options=InputOptions(
            skip_bad, salvage, in_this_order, lossy, parse_session_date(session_date)
        ),
        against=against,
        against_schema=schema,
    )
    refuse_input_as_output([*request.paths, *([against] if against is not None else [])], target)
    bars = partial(read_progress, quiet=quiet)
    report, seconds = verify_files(request, out=target, progress_bars=bars)
    if not quiet and target != STDOUT:
        _print(report, seconds)
        if "against" in report:
            print_comparison(report["against"])
    _refuse(report)
    refuse_difference(report.get("against"))


def _refuse(report: dict[str, Any]) -> None:
    """Raise an error of one line if the books are not proved."""
    from batonics.model.errors import BatonicsError

    if report["proved"]:
        return
    counts = []
    first = next(iter(report["violations"]["first"] + report["differences"]["first"]))
    broken = [row["name"] for row in report["invariants"] if row["violations"]]
    if broken:
        counts.append(f"{_counted(len(broken), 'broken invariant')} ({', '.join(broken)})")
    if report["differences"]["count"]:
        counts.append(_counted(report["differences"]["count"], "difference"))
    raise BatonicsError(f"not proved: {' and '.join(counts)}; the first: {_describe(first)}")


def _describe(finding: dict[str, Any]) -> str:
    """A difference or a violation in words."""
    location = _book_name(finding)
    if finding.get("side") is not None:
        location += f" {'bid' if finding['side'] == 'B' else 'ask'}"
    if finding.get("price") is not None:
        location += f" {finding['price']}"
    if "order_id" in finding:
        location += f" order {finding['order_id']}"
    records = f"records {finding['first_record']:,} to {finding['last_record']:,}"
    if "invariant" in finding:
        return f"{finding['invariant']}: {location}: {finding['found']} ({records})"
    return (
        f"{finding['of']}: {location}: the engine has {_list_values(finding['engine'])},"
        f" the records say {_list_values(finding['witness'])} ({records})"
    )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _list_values(values: dict[str, Any] | None) -> str:
    if values is None:
        return "none"
    return ", ".join(f"{name} {value}" for name, value in values.items() if name != "price_1e9")


def _book_name(book: dict[str, Any]) -> str:
    symbol = book["symbol"] or f"#{book['instrument_id']}"
    return f"{symbol} of publisher {book['publisher_id']}"


# ---------------------------------------------------------------------- tables


def _print(report: dict[str, Any], seconds: float) -> None:
    console = plain_console()
    _print_checks(console, report)
    _print_books(console, report["books"])
    for kind in ("violations", "differences"):
        for finding in report[kind]["first"][:FINDING_ROWS_MAX]:
            console.print(escape_unprintable(_describe(finding)), style="red")
    _print_summary(console, report, seconds)


def _print_checks(console: Console, report: dict[str, Any]) -> None:
    """Print each check, and how often it failed."""
    invariants, compared = report["invariants"], report["compared"]
    comparison = (
        f"{compared['levels']:,} levels, {compared['orders']:,} orders in their queues,"
        f" {compared['books']:,} statuses: as the records alone make them"
    )
    wrong = [*(row["violations"] for row in invariants), report["differences"]["count"]]
    print_table(
        console,
        [
            Column("check", [*(row["meaning"] for row in invariants), comparison]),
            Column("wrong", [f"{count:,}" for count in wrong], is_number=True),
        ],
        hint="; --json has them all",
    )
    console.print()


def _print_books(console: Console, books: list[dict[str, Any]]) -> None:
    """Print each book with its status, its counts and its anomalies.

    Crossed and locked are labels, not faults.
    """
    shown = books[:BOOK_ROWS_MAX]
    print_table(
        console,
        [
            Column(
                "symbol",
                [
                    escape_unprintable(book["symbol"] or f"#{book['instrument_id']}")
                    for book in shown
                ],
            ),
            Column("publisher", [str(book["publisher_id"]) for book in shown], is_number=True),
            Column(
                "status",
                [book["status"] + (", event open" if book["event_open"] else "") for book in shown],
            ),
            *(
                Column(name, [f"{book[key]:,}" for book in shown], is_number=True)
                for name, key in _COUNTS
            ),
        ],
        hint="; --json has them all",
    )
    if len(books) > BOOK_ROWS_MAX:
        console.print(f"and {len(books) - BOOK_ROWS_MAX} more books; --json has them all")
    console.print()
    for book in shown:
        console.print(f"{escape_unprintable(_book_name(book))}: {book['reason']}")
        for anomaly in book["anomalies"]:
            verdict = "to be expected" if anomaly["expected"] else "odd"
            console.print(
                f"  {anomaly['name']} {anomaly['count']:,}: {anomaly['meaning']}; {verdict}"
            )
        compared, wrong = book["fill_order"]["compared"], book["fill_order"]["out_of_order"]
        if compared:
            console.print(
                f"  fills against the order of their queue: {wrong:,} of {compared:,}"
                f" ({wrong / compared:.1%})"
            )
    console.print()


_COUNTS = (
    # name of the column, key in the report
    ("records", "records"),
    ("events", "events"),
    ("crossed", "crossed_events"),
    ("locked", "locked_events"),
)


def _print_summary(console: Console, report: dict[str, Any], seconds: float) -> None:
    from batonics.model.answers import AnswerWarning, describe_books

    cold = sum(book["status"] == "cold" for book in report["books"])
    verdict = "proved" if report["proved"] else "not proved"
    # What came before the first record of a cold book is no part of the proof.
    verdict += " for what the records show" if report["proved"] and cold else ""
    skipped = sum(file["skipped"] for file in report["files"])
    counts = [
        _counted(report["records"], "record"),
        _counted(report["events"], "event"),
        _counted(len(report["books"]), "book"),
        *([_counted(skipped, "bad record") + " skipped"] if skipped else []),
    ]
    windows = _counted(report["windows"], "window")
    rate = report["records"] / max(seconds, 1e-9)
    console.print(
        f"{verdict}: {', '.join(counts)}, compared at the ends of {windows}; {rate:,.0f} records/s",
        style="bold green" if report["proved"] else "bold red",
    )
    if cold:
        line = describe_books(AnswerWarning.COLD, cold, len(report["books"]))
        console.print(line, style="yellow")
