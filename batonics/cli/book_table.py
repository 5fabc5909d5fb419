"""The tops of books as a table, on standard error: standard output is for data."""

from __future__ import annotations

from typing import Any

from batonics.book.doubtful_books import warnings_of_books
from batonics.cli.console import escape_unprintable, plain_console
from batonics.cli.table import BOOK_ROWS_MAX, Column, print_table
from batonics.jobs.reconstruct import Reconstruction
from batonics.sinks.book_json import book_documents

_COLUMNS = (
    # name, is a number, style
    ("symbol", False, ""),
    ("pub", True, ""),
    ("status", False, ""),
    ("bid", True, "green"),
    ("size", True, "green"),
    ("n", True, "green"),
    ("ask", True, "red"),
    ("size", True, "red"),
    ("n", True, "red"),
    ("levels", True, ""),
    ("events", True, ""),
    ("odd", True, ""),
)


def print_books(run: Reconstruction) -> None:
    """Print each book: its status, its best bid and ask, and its counts.

    Short headers keep the table within 80 columns: pub is the publisher, n the number of orders of
    the best level, odd the number of anomalies.
    """
    console = plain_console(stderr=True)
    as_of = run.as_of
    books = book_documents(run.engine, run.symbols, as_of=as_of)
    rows = [_row(book) for book, _ in zip(books, range(BOOK_ROWS_MAX), strict=False)]
    values = list(zip(*rows, strict=True)) if rows else [()] * len(_COLUMNS)
    print_table(
        console,
        [
            Column(name, texts, is_number=is_number, style=style)
            for (name, is_number, style), texts in zip(_COLUMNS, values, strict=True)
        ],
        hint="; --out writes them all",
    )
    count = run.engine.book_count
    if count > BOOK_ROWS_MAX:
        console.print(f"and {count - BOOK_ROWS_MAX} more books; --out writes them all")
    records = run.engine.records  # those up to --at, of --symbols
    skipped = sum(file.skipped for file in run.stream.files)
    line = f"{records:,} records, {count:,} {'book' if count == 1 else 'books'}"
    console.print(line + (f", {skipped:,} bad records skipped" if skipped else ""))
    for doubt in as_of.describe_warnings(warnings_of_books(run.engine, as_of)):
        console.print(doubt, style="yellow")


def _row(book: dict[str, Any]) -> list[str]:
    status = book["status"]
    if book["market"] in ("crossed", "locked"):
        status += f", {book['market']}"
    if book["trading_status"] not in (None, "trading"):
        status += f", {book['trading_status']}"
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
    """The price, size and count of orders of the best level of a side."""
    if not side:
        return ["-", "", ""]
    return [side[0]["price"], str(side[0]["size"]), str(side[0]["count"])]
