"""`batonics simulate`: writes a simulated market as DBN, and the books that it must rebuild."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    out: Annotated[str, typer.Option(help="NAME.dbn or NAME.dbn.zst; - is standard output.")],
    records: Annotated[int, typer.Option(min=1, help="The least number of records.")] = 100_000,
    instruments: Annotated[int, typer.Option(min=1, help="The number of instruments.")] = 5,
    live_orders: Annotated[
        int, typer.Option(min=1, help="The number of resting orders of all instruments.")
    ] = 2_000,
    seed: Annotated[int, typer.Option(help="The seed; the same seed gives the same bytes.")] = 1,
    truth: Annotated[
        str | None, typer.Option(help="A file for the exchange's own books: NAME.json.")
    ] = None,
) -> None:
    """Simulate a market and write its records as DBN."""
    from batonics.jobs.simulate import simulate

    written = simulate(
        out, records=records, instruments=instruments, live_orders=live_orders, seed=seed,
        truth=truth,
    )  # fmt: skip
    typer.echo(f"wrote {written:,} records to {out}", err=True)
