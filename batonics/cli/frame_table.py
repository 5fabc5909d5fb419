"""A frame as a table for people, on standard output.

The rule: nothing is rounded; prices are decimal text, times ISO 8601 of UTC, null is empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batonics.cli.console import escape_unprintable, plain_console

if TYPE_CHECKING:
    import polars as pl

TABLE_ROWS_MAX = 100
WIDTH_MAX = 100_000


def print_frame(frame: pl.DataFrame, *, rows_max: int = TABLE_ROWS_MAX, more: str = "") -> None:
    """Print the first rows.

    Args:
        frame: what to print.
        rows_max: so many at the most; how many are left out is said.
        more: what shows them.
    """
    import polars as pl
    from rich.table import Table

    shown = exact_values(frame.head(rows_max))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, dtype in frame.schema.items():
        is_number = dtype.is_numeric() or dtype == pl.Duration
        table.add_column(
            escape_unprintable(name), justify="right" if is_number else "left", no_wrap=True
        )
    for row in shown.iter_rows():
        table.add_row(*(format_cell(value) for value in row))
    console = plain_console()
    # Every column is shown whole: a line that is too long for the terminal goes on in the next.
    console.width = WIDTH_MAX
    console.print(table)
    if frame.height > rows_max:
        console.print(f"and {frame.height - rows_max:,} more rows{more}")


def exact_values(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with text in the place of what Python would round: to floats, or microseconds."""
    import polars as pl

    from batonics.sinks.text import format_columns

    times = [name for name, dtype in frame.schema.items() if dtype == pl.Time]
    return format_columns(frame, decimal_prices=True).with_columns(
        pl.col(times).dt.to_string("%H:%M:%S%.9f")
    )


def format_cell(value: object) -> str:
    """What a table has of a value of such a frame."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return escape_unprintable(str(value))
