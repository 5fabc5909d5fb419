"""Tables fit a terminal: long values are cut first, columns in the middle are left out then."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from batonics.cli.table import ELLIPSIS, GAP, VALUE_WIDTH_MIN, Column, fit, print_table

WIDTHS = st.integers(8, 120)
TEXTS = st.text("ab1é株 ", max_size=60)


def columns_of(rows: int) -> st.SearchStrategy[list[Column]]:
    values = st.lists(TEXTS, min_size=rows, max_size=rows)
    return st.lists(st.builds(Column, TEXTS, values), min_size=1, max_size=12)


def width_of(columns: list[Column]) -> int:
    widths = [max(map(cell_len, (column.name, *column.values))) for column in columns]
    return sum(widths) + GAP * (len(widths) - 1)


@given(st.integers(0, 3).flatmap(columns_of), WIDTHS)
def test_a_table_fits_any_width_and_counts_what_it_leaves_out(
    columns: list[Column], width: int
) -> None:
    fitted = fit(columns, width)
    assert width_of(fitted.columns) <= width
    dots = [column for column in fitted.columns if column.name == ELLIPSIS]
    assert len(fitted.columns) - len(dots) == len(columns) - fitted.left_out
    assert bool(dots) == bool(fitted.left_out)
    if width_of(columns) <= width:
        assert (fitted.columns, fitted.left_out, fitted.is_cut) == (columns, 0, False)


def test_the_first_and_the_last_columns_are_kept_around_dots() -> None:
    columns = [Column(f"c{number:02}", ["1"]) for number in range(30)]
    fitted = fit(columns, 33)
    assert [column.name for column in fitted.columns] == [
        "c00",
        "c01",
        "c02",
        "…",
        "c27",
        "c28",
        "c29",
    ]
    assert fitted.left_out == 24


def test_a_long_value_is_cut_before_a_column_is_left_out() -> None:
    columns = [Column("a", ["x" * 100]), Column("b", ["y"])]
    fitted = fit(columns, 60)
    assert fitted.columns[0].values == ["x" * 56 + ELLIPSIS]
    assert (fitted.left_out, fitted.is_cut) == (0, True)


def test_values_are_never_cut_below_their_minimum_to_keep_a_column() -> None:
    columns = [Column(name, ["x" * 100]) for name in "abcd"]
    fitted = fit(columns, 80)
    assert fitted.left_out == 2
    assert {len(column.values[0]) for column in fitted.columns} == {VALUE_WIDTH_MIN, 1}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(file: io.StringIO, columns: list[Column], *, wide: bool = False) -> list[str]:
    console = Console(file=file, width=20, soft_wrap=True, highlight=False, color_system=None)
    print_table(console, columns, wide=wide, hint="; --wide shows all")
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_a_terminal_says_how_many_columns_it_shows_and_how_to_see_all() -> None:
    columns = [Column(f"column{number}", ["1"], is_number=True) for number in range(5)]
    assert printed(Terminal(), columns) == [
        "column0  …  column4",
        "      1  …        1",
        "5 columns, 2 shown; --wide shows all",
    ]


def test_nothing_is_cut_in_a_pipe_or_with_wide() -> None:
    columns = [Column(f"column{number}", ["1" * 50]) for number in range(5)]
    whole = [
        "  ".join(f"column{number}".ljust(50) for number in range(5)).rstrip(),
        "  ".join(["1" * 50] * 5),
    ]
    assert printed(io.StringIO(), columns) == whole
    assert printed(Terminal(), columns, wide=True) == whole
