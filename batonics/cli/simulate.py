"""`batonics simulate`: a seeded market as a DBN file, with the books it must rebuild."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    out: Annotated[str, typer.Option(help="The DBN file; .zst is compressed; - is stdout.")],
    records: Annotated[int, typer.Option(min=1, help="Records at least.")] = 100_000,
    instruments: Annotated[int, typer.Option(min=1, help="Instruments.")] = 5,
    live_orders: Annotated[int, typer.Option(min=1, help="Resting orders in all.")] = 2_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    truth: Annotated[
        str | None, typer.Option(help="Write the exchange's own books here, as JSON.")
    ] = None,
) -> None:
    """Simulate a market and write its records."""
    from batonics.jobs.simulate import simulate

    written = simulate(
        out, records=records, instruments=instruments, live_orders=live_orders, seed=seed,
        truth=truth,
    )  # fmt: skip
    typer.echo(f"wrote {written:,} records to {out}", err=True)
