"""`batonics fill`: simulates one limit order among recorded orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from batonics.cli.console import escape_unprintable, plain_console, print_warnings
from batonics.cli.options import (
    BookPublisherOption,
    BookSymbolOption,
    FilesArgument,
    InThisOrderOption,
    JsonOption,
    LossyOption,
    PricesChoice,
    QuietOption,
    SalvageOption,
    SessionDateOption,
    SessionOption,
    SkipBadOption,
    StatusesOption,
    VerifyManifestOption,
    parse_session,
    parse_session_date,
    price_unit,
)

if TYPE_CHECKING:
    from rich.console import Console

FILL_ROWS_MAX = 20
"""Fills that are printed; a line counts the rest."""


def command(
    files: FilesArgument,
    side: Annotated[
        str, typer.Option(help="The side of the order: buy, bid or B; sell, ask or A.")
    ],
    price: Annotated[str, typer.Option(help="The limit price of the order: 64.80.")],
    size: Annotated[int, typer.Option(min=1, help="The size of the order.")],
    at: Annotated[
        str,
        typer.Option(
            help="The time by ts_recv at which the order reaches the book: ISO 8601 (in --tz) or"
            " nanoseconds since the epoch."
        ),
    ],
    tz: Annotated[
        str,
        typer.Option(
            help="The time zone of times in the output, and of --at where it has no offset:"
            " America/Chicago."
        ),
    ] = "UTC",
    symbols: BookSymbolOption = None,
    publisher: BookPublisherOption = None,
    definitions: Annotated[
        list[str] | None,
        typer.Option(
            help="A file of instrument definitions, which say whether an instrument of CME matches"
            " by time. May be repeated."
        ),
    ] = None,
    json: JsonOption = False,
    prices: Annotated[
        PricesChoice | None,
        typer.Option(help="The unit of prices in --json; by default decimal, as text."),
    ] = None,
    statuses: StatusesOption = None,
    session: SessionOption = None,
    skip_bad: SkipBadOption = False,
    salvage: SalvageOption = False,
    in_this_order: InThisOrderOption = False,
    lossy: LossyOption = False,
    session_date: SessionDateOption = None,
    verify_manifest: VerifyManifestOption = False,
    quiet: QuietOption = False,
) -> None:
    """Simulate one limit order among the recorded orders of files.

    The order enters after the last complete event of the book at or before --at. A marketable part
    takes displayed levels; the rest joins the back of its level. The simulated order does not
    change the recorded market (no impact). Matching is by price, then time: a recorded fill of an
    order behind it, at its price or through it, fills the simulated order first. Where the venue
    is not known to match so, the answer says that the priority is unknown. Implied and hidden
    volume does not fill it; a clear of the book ends it. An --at after the last record is refused,
    and so is a marketable order while the market does not trade.
    """
    from batonics.cli.progress import read_progress
    from batonics.jobs.fill import FillRequest, FillSimulation
    from batonics.model.errors import UsageError
    from batonics.model.prices import parse_price
    from batonics.model.sides import parse_side
    from batonics.model.times import parse_time
    from batonics.sources.input_options import InputOptions
    from batonics.sources.inputs import find_inputs

    if prices is not None and not json:
        raise UsageError("--prices goes with --json: a terminal shows decimal prices")
    request = FillRequest(
        paths=find_inputs(files, verify_manifest=verify_manifest),
        side=parse_side(side),
        price_1e9=parse_price(price),
        size=size,
        at_ns=parse_time(at, tz),
        symbol=symbols,
        publisher_id=publisher,
        definitions=find_inputs(definitions or ()),
        statuses=find_inputs(statuses or ()),
        sessions=parse_session(session),
        options=InputOptions(
            skip_bad, salvage, in_this_order, lossy, parse_session_date(session_date)
        ),
        prices=price_unit(prices) or "decimal",
        tz=tz,
    )
    simulation = FillSimulation(request)
    with read_progress("fill", quiet=quiet) as progress:
        simulation.progress = progress
        report = simulation.run()
    if json:
        import orjson

        typer.echo(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
    else:
        _print(report)


def _print_priority(console: Console, report: dict[str, Any]) -> None:
    """Say how far the queue can be trusted."""
    if report["priority"] != "fifo":
        console.print(f"  priority {report['priority']}: {report['priority_reason']}")
    compared, wrong = report["fill_order"]["compared"], report["fill_order"]["out_of_order"]
    if wrong:
        console.print(
            f"  fills against the order of their queue before it entered: {wrong:,} of {compared:,}"
        )


def _print(report: dict[str, Any]) -> None:
    from batonics.cli.table import Column, print_table

    console = plain_console()
    name = escape_unprintable(report["symbol"] or f"#{report['instrument_id']}")
    side = "buy" if report["side"] == "B" else "sell"
    console.print(
        f"{side} {report['size']:,} {name} at {report['price']}, publisher"
        f" {report['publisher_id']}, entering at {report['at']}",
        style="bold",
    )
    print_warnings(console, report["warnings"])
    if report["marketable"]:
        console.print(f"  crosses: {report['marketable']:,} taken from displayed levels at once")
    ahead = report["ahead"]
    console.print(
        f"  ahead at entry: {ahead['size']:,} in {ahead['orders']:,} orders; of it filled"
        f" {ahead['filled']:,}, cancelled or moved {ahead['cancelled']:,}, left {ahead['left']:,}"
    )
    if ahead["lost"]:
        console.print(
            f"  {ahead['lost']:,} of it are missing in a snapshot: records are missing, and fills"
            " of the order may be among them"
        )
    end = report["end"]
    if end == "open":
        last = "the end of its symbol" if "renamed" in report["warnings"] else "the last record"
        end = f"open, watched until {last} at {report['data']['until']}"
    console.print(f"  filled {report['filled']:,} of {report['size']:,}: {end}")
    _print_priority(console, report)
    if not report["fills"]:
        return
    fills = report["fills"][:FILL_ROWS_MAX]
    print_table(
        console,
        [
            Column("ts_event", [fill["ts_event"] or "?" for fill in fills]),
            Column("size", [f"{fill['size']:,}" for fill in fills], is_number=True),
            Column("price", [fill["price"] for fill in fills], is_number=True),
            Column("by", [fill["by"] for fill in fills]),
        ],
    )
    if len(report["fills"]) > FILL_ROWS_MAX:
        console.print(f"and {len(report['fills']) - FILL_ROWS_MAX} more fills; --json has them all")
