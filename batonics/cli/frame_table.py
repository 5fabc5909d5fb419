"""A frame as a table for people, on standard output.

The rule: nothing is rounded. Times are ISO 8601; null is empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batonics.cli.console import escape_unprintable, plain_console

if TYPE_CHECKING:
    import polars as pl

TABLE_ROWS_MAX = 100


def print_frame(
    frame: pl.DataFrame,
    *,
    rows_max: int = TABLE_ROWS_MAX,
    wide: bool = False,
    rows_hint: str = "",
    columns_hint: str = "",
) -> None:
    """Print the first rows of a frame.

    Args:
        frame: the frame.
        rows_max: the number of rows; a line says how many there are more.
        wide: print all columns, whatever the width of the terminal.
        rows_hint: how to see more rows: the end of that line.
        columns_hint: how to see all columns: the end of the line that says how many are shown.
    """
    import polars as pl

    from batonics.cli.table import Column, print_table

    exact = exact_values(frame.head(rows_max))
    columns = [
        Column(
            escape_unprintable(name),
            [format_cell(value) for value in exact[name].to_list()],
            is_number=dtype.is_numeric() or dtype == pl.Duration,
        )
        for name, dtype in frame.schema.items()
    ]
    console = plain_console()
    print_table(console, columns, wide=wide, hint=columns_hint)
    if frame.height > rows_max:
        console.print(f"and {frame.height - rows_max:,} more rows{rows_hint}")


def exact_values(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with text in place of values that Python would round: to floats, microseconds."""
    import polars as pl

    from batonics.sinks.text import format_columns

    times = [name for name, dtype in frame.schema.items() if dtype == pl.Time]
    return format_columns(frame).with_columns(pl.col(times).dt.to_string("%H:%M:%S%.9f"))


def format_cell(value: object) -> str:
    """The text of a value of such a frame."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return escape_unprintable(str(value))
