"""`batonics fill`: whether a limit order would have been filled, and when."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from batonics.cli.console import escape_unprintable, plain_console
from batonics.cli.options import FilesArgument, QuietOption, SkipBadOption

FILL_ROWS_MAX = 20
"""Fills shown; the rest is counted."""


class OrderSide(StrEnum):
    """What the order does."""

    BUY = "buy"
    SELL = "sell"


def command(
    files: FilesArgument,
    side: Annotated[OrderSide, typer.Option(help="What the order does.")],
    price: Annotated[str, typer.Option(help="Its limit, as decimal text.")],
    size: Annotated[int, typer.Option(min=1, help="How much.")],
    at: Annotated[
        str,
        typer.Option(
            help="When it reaches the book, by ts_recv: ISO 8601 (UTC) or nanoseconds since the"
            " epoch."
        ),
    ],
    symbol: Annotated[
        str | None, typer.Option(help="Its symbol (or instrument id), if the input has several.")
    ] = None,
    publisher: Annotated[
        int | None, typer.Option(help="Its publisher id, if several have the symbol.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The whole report as JSON.")] = False,
    skip_bad: SkipBadOption = False,
    quiet: QuietOption = False,
) -> None:
    """Simulate one limit order among the recorded orders of FILES.

    It enters after the book's last complete event at or before --at. What crosses takes the
    displayed levels; the rest joins the back of its level. The market stays as it was recorded (no
    impact), matching is by price, then time: fills of orders behind it, at its price or through it,
    would have been its own first. Implied and hidden volume does not fill it; a clear ends it.
    """
    from batonics.cli.progress import read_progress
    from batonics.jobs.fill import FillRequest, FillSimulation
    from batonics.model.prices import parse_price
    from batonics.model.times import parse_time

    request = FillRequest(
        paths=tuple(files),
        side="B" if side is OrderSide.BUY else "A",
        price_1e9=parse_price(price),
        size=size,
        at_ns=parse_time(at),
        symbol=symbol,
        publisher_id=publisher,
        skip_bad=skip_bad,
    )
    simulation = FillSimulation(request)
    with read_progress("fill", quiet=quiet) as progress:
        simulation.progress = progress
        report = simulation.run()
    if json:
        import orjson

        typer.echo(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
    else:
        _print(report, side)


def _print(report: dict[str, Any], side: OrderSide) -> None:
    from rich.table import Table

    console = plain_console()
    name = escape_unprintable(report["symbol"] or f"#{report['instrument_id']}")
    console.print(
        f"{side.value} {report['size']:,} {name} at {report['price']}, publisher"
        f" {report['publisher_id']}, entering at {report['at']}",
        style="bold",
    )
    if report["marketable"]:
        console.print(f"  crosses: {report['marketable']:,} taken from displayed levels at once")
    ahead = report["ahead"]
    console.print(
        f"  ahead at entry: {ahead['size']:,} in {ahead['orders']:,} orders; of it filled"
        f" {ahead['filled']:,}, cancelled or moved {ahead['cancelled']:,}, left {ahead['left']:,}"
    )
    console.print(f"  filled {report['filled']:,} of {report['size']:,}: {report['end']}")
    if not report["fills"]:
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("ts_event", "size", "price", "by"):
        table.add_column(column, justify="right" if column in ("size", "price") else "left")
    for fill in report["fills"][:FILL_ROWS_MAX]:
        table.add_row(fill["ts_event"] or "?", f"{fill['size']:,}", fill["price"], fill["by"])
    console.print(table)
    if len(report["fills"]) > FILL_ROWS_MAX:
        console.print(
            f"and {len(report['fills']) - FILL_ROWS_MAX} more fills (--json has them all)"
        )
