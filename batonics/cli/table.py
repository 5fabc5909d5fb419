"""Tables for people, fitted to the terminal.

The rule: a table has its header once. On a terminal every line fits: long values are cut and end
in an ellipsis, and where columns still do not fit, the first and the last ones are shown around a
column of dots. In a pipe or a file nothing is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console

BOOK_ROWS_MAX = 20
"""Books in a table; a line counts the rest."""
ELLIPSIS = "…"
VALUE_WIDTH_MIN = 32
"""Letters to which values are cut at the most before columns are left out."""
GAP = 2
"""Spaces between two columns."""
UNLIMITED_WIDTH = 100_000
"""A width at which no line of output is cut or wrapped."""


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: the header.
        values: the text of each row.
        is_number: the values are aligned to the right.
        style: the colour of the values, as rich names it.
    """

    name: str
    values: Sequence[str]
    is_number: bool = False
    style: str = ""


class FittedTable(NamedTuple):
    """What a terminal shows of a table.

    Attributes:
        columns: the columns, with a column of dots where some are left out.
        left_out: the number of columns that are left out.
        is_cut: some values are cut.
    """

    columns: list[Column]
    left_out: int
    is_cut: bool


def print_table(
    console: Console, columns: Sequence[Column], *, wide: bool = False, hint: str = ""
) -> None:
    """Print a table, and a line on what a terminal does not show.

    Args:
        console: the console. If it is a terminal, the table fits its width.
        columns: the columns, each with a value a row.
        wide: print all of the table on a terminal too.
        hint: how to see all of the table: the end of that line.
    """
    from rich.table import Table

    fitted = FittedTable(list(columns), 0, is_cut=False)
    if console.file.isatty() and not wide:
        fitted = fit(columns, console.width)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
    for column in fitted.columns:
        table.add_column(
            column.name,
            justify="right" if column.is_number else "left",
            style=column.style,
            no_wrap=True,
        )
    for row in zip(*(column.values for column in fitted.columns), strict=True):
        table.add_row(*row)
    terminal_width, console.width = console.width, UNLIMITED_WIDTH
    console.print(table)
    console.width = terminal_width
    if fitted.left_out:
        shown = len(columns) - fitted.left_out
        console.print(f"{len(columns)} columns, {shown} shown{hint}")
    elif fitted.is_cut:
        console.print(f"long values are cut{hint}")


def fit(columns: Sequence[Column], width: int) -> FittedTable:
    """Fit a table to a width: cut long values, then leave out columns in the middle."""
    if _table_width(columns) <= width:
        return FittedTable(list(columns), 0, is_cut=False)
    cut = _cut_to_fit(columns, width)
    if _table_width(cut) <= width:
        return FittedTable(cut, 0, is_cut=True)
    rows = len(columns[0].values)
    dots = Column(ELLIPSIS, [ELLIPSIS] * rows)
    first: list[Column] = []
    last: list[Column] = []
    rest = list(cut)
    while rest:
        # As DuckDB's shell does: the first, the last, the second, the last but one.
        column = rest[0] if len(first) <= len(last) else rest[-1]
        if first and _table_width([*first, column, dots, *last]) > width:
            break
        if column is rest[0]:
            first.append(rest.pop(0))
        else:
            last.insert(0, rest.pop())
    return FittedTable([*first, dots, *last], len(rest), is_cut=cut != list(columns))


def _table_width(columns: Sequence[Column]) -> int:
    return sum(map(_column_width, columns)) + GAP * (len(columns) - 1)


def _column_width(column: Column) -> int:
    return max(map(_text_width, (column.name, *column.values)))


def _cut_to_fit(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns with the longest values that fit a width, if any longer than the minimum do."""
    widths = [_column_width(column) for column in columns]
    gaps = GAP * (len(columns) - 1)
    least = min(VALUE_WIDTH_MIN, max(1, width - GAP - 1))
    fitting = [
        limit
        for limit in range(least, width + 1)
        if sum(min(limit, own) for own in widths) + gaps <= width
    ]
    limit = max(fitting, default=least)
    return [_cut_values(column, limit) for column in columns]


def _cut_values(column: Column, width: int) -> Column:
    """The column with its header and its values cut to a width."""
    return column._replace(
        name=_cut(column.name, width), values=[_cut(value, width) for value in column.values]
    )


def _cut(text: str, width: int) -> str:
    from rich.cells import set_cell_size

    if _text_width(text) <= width:
        return text
    return set_cell_size(text, width - 1) + ELLIPSIS


def _text_width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
