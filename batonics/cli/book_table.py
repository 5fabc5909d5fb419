"""Tables for people: the tops of books, on standard error so that standard output stays data."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from batonics.cli.console import escape_unprintable
from batonics.jobs.reconstruct import Reconstruction
from batonics.sinks.book_json import book_documents

BOOK_ROWS_MAX = 20
"""Books shown; the rest is counted."""


def print_books(run: Reconstruction) -> None:
    """Best bid and ask of each book (n: orders), its status and its count of anomalies (odd)."""
    console = Console(stderr=True, markup=False, emoji=False)
    count = run.engine.book_count
    files = run.stream.files
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1))
    for name in ("symbol", "pub", "status"):
        table.add_column(name, no_wrap=True)
    for name in ("bid", "size", "n"):
        table.add_column(name, justify="right", style="green", no_wrap=True)
    for name in ("ask", "size", "n"):
        table.add_column(name, justify="right", style="red", no_wrap=True)
    for name in ("levels", "events", "odd"):
        table.add_column(name, justify="right", no_wrap=True)
    for number, book in enumerate(book_documents(run.engine, run.symbols)):
        if number == BOOK_ROWS_MAX:
            break
        table.add_row(*_row(book))
    console.print(table)
    if count > BOOK_ROWS_MAX:
        console.print(f"and {count - BOOK_ROWS_MAX} more books")
    records, skipped = (
        sum(file.records for file in files),
        sum(file.skipped for file in files),
    )
    line = f"{records:,} records, {count} books"
    console.print(line + (f", {skipped:,} bad records skipped" if skipped else ""))


def _row(book: dict[str, Any]) -> list[str]:
    status = book["status"]
    if book["market"] in ("crossed", "locked"):
        status += f", {book['market']}"
    return [
        escape_unprintable(book["symbol"] or f"#{book['instrument_id']}"),
        str(book["publisher_id"]),
        status,
        *_top(book["bids"]),
        *_top(book["asks"]),
        f"{len(book['bids'])}/{len(book['asks'])}",
        f"{book['events']:,}",
        f"{sum(book['anomalies'].values()):,}",
    ]


def _top(side: list[dict[str, Any]]) -> list[str]:
    if not side:
        return ["-", "", ""]
    return [side[0]["price"], str(side[0]["size"]), str(side[0]["count"])]
