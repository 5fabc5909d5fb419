"""Plots in the terminal: every row is drawn, at the nearest dot, whatever the numbers are."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batonics.cli.terminal_plot import LABEL_WIDTH, PLOT_HEIGHT, print_plot
from batonics.model.errors import UsageError

WIDTH = 80
DOTS = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (3, 0), (3, 1)]
"""Line and column of each bit of a letter of Braille, as Unicode numbers them."""


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))


def plotted(capsys: pytest.CaptureFixture[str], columns: dict[str, Any]) -> list[str]:
    print_plot(pl.DataFrame(columns))
    return capsys.readouterr().out.splitlines()


def dots(lines: list[str]) -> set[tuple[int, int]]:
    """Where the dots are: to the right and upwards, each from 0 on."""
    found = set()
    for row, line in enumerate(lines):
        for column, letter in enumerate(line.partition("|")[2]):
            bits = ord(letter) - 0x2800
            assert 0 <= bits < 256
            found |= {
                (2 * column + right, 4 * PLOT_HEIGHT - 1 - 4 * row - down)
                for bit, (down, right) in enumerate(DOTS)
                if bits >> bit & 1
            }
    return found


def test_a_line_goes_from_corner_to_corner(capsys: pytest.CaptureFixture[str]) -> None:
    name, *lines, ends = plotted(capsys, {"n": range(1_000), "y": [x / 2 for x in range(1_000)]})
    assert name == "y"
    assert len(lines) == PLOT_HEIGHT
    assert {len(line) for line in (*lines, ends)} == {WIDTH}
    across, up = 2 * (WIDTH - LABEL_WIDTH - 2), 4 * PLOT_HEIGHT
    assert dots(lines) == {
        (round(n / 999 * (across - 1)), round(n / 999 * (up - 1))) for n in range(1_000)
    }
    assert lines[0].partition("|")[0].strip() == "499.5"
    assert lines[-1].partition("|")[0].strip() == "0"
    assert ends.split() == ["0", "999"]


NUMBERS = st.one_of(
    st.none(), st.floats(), st.sampled_from([0.0, 1.0, -1.5, 1e308, -1e308, 5e-324, float("nan")])
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=12))
def test_any_numbers_are_drawn_each_row_once(
    rows: list[tuple[float | None, float | None]], capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pl.DataFrame(rows, schema={"x": pl.Float64(), "y": pl.Float64()}, orient="row")
    print_plot(frame)
    lines = capsys.readouterr().out.splitlines()
    drawn = [row for row in rows if None not in row and np.isfinite(np.array(row, float)).all()]
    if drawn:
        assert len(lines) == PLOT_HEIGHT + 2
        assert 1 <= len(dots(lines[1:-1])) <= len(set(drawn))
    else:
        assert lines == ["y", "no numbers"]


def test_what_is_one_value_is_in_the_middle(capsys: pytest.CaptureFixture[str]) -> None:
    _, *lines, _ = plotted(capsys, {"x": [3, 3], "y": [7, 7]})
    assert dots(lines) == {
        (WIDTH - LABEL_WIDTH - 2, 4 * PLOT_HEIGHT - 1 - (4 * PLOT_HEIGHT - 1 - 2 * PLOT_HEIGHT))
    }


def test_the_ends_are_those_of_the_plot_in_whatever_order_rows_come(
    capsys: pytest.CaptureFixture[str],
) -> None:
    *_, ends = plotted(
        capsys, {"n": [5, 9, 1, 4, 0, 10], "y": [1.0, 2.0, 3.0, 4.0, None, float("inf")]}
    )
    assert ends.split() == ["1", "9"]


def test_times_across_are_exact_and_nulls_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    times = pl.Series([None, 10**18 + 1, 10**18 + 3], dtype=pl.Int64).cast(pl.Datetime("ns", "UTC"))
    *_, ends = plotted(capsys, {"ts": times, "y": [1, 2, 3]})
    assert ends.split() == ["2001-09-09T01:46:40.000000001Z", "2001-09-09T01:46:40.000000003Z"]


@pytest.mark.parametrize(
    "values",
    [
        [dt.date(2024, 10, 4), dt.date(2024, 10, 5)],
        [dt.time(1), dt.time(2)],
        [dt.timedelta(1), dt.timedelta(2)],
        pl.Series(["1.5", "2.5"]).cast(pl.Decimal(10, 2)),
        pl.Series([1, 2], dtype=pl.UInt8),
    ],
)
def test_whatever_has_an_order_may_be_across(
    values: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *lines, _ = plotted(capsys, {"x": values, "y": [1, 2]})
    assert name == "y"
    assert dots(lines) == {(0, 0), (2 * (WIDTH - LABEL_WIDTH - 2) - 1, 4 * PLOT_HEIGHT - 1)}


def test_decimals_are_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    columns = {"x": [Decimal("1.000000000"), Decimal(2)], "y": [Decimal("64.800000000"), None]}
    _, *lines, ends = plotted(capsys, columns)
    assert ends.split() == ["1.000000000"] * 2
    assert "64.8 |" in lines[-1]
    bars = plotted(capsys, {"name": ["a", "b"], "n": [1, 2], "price": [Decimal("2.5"), None]})
    assert [line.split()[:3] for line in bars] == [["price"], ["a", "1", "2.5"], ["b", "2"]]


def test_each_column_of_numbers_has_a_plot_and_others_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    columns = {"n": [1, 2], "a": [1, 2], "b": ["x", "y"], "c": [True, False], "d": [0.5, 1.5]}
    lines = plotted(capsys, columns)
    assert len(lines) == 2 * (PLOT_HEIGHT + 2)
    assert (lines[0], lines[PLOT_HEIGHT + 2]) == ("a", "d")


def test_bars_are_as_long_as_their_values(capsys: pytest.CaptureFixture[str]) -> None:
    name, *lines = plotted(
        capsys,
        {
            "symbol": ["AAA", "B", None, "D", "E"],
            "n": [1, 22, 3, 4, 5],
            "share": [1.0, -0.5, None, 0.0, 0.25],
        },
    )
    assert name == "share"
    width = WIDTH - 5 - LABEL_WIDTH - 2
    assert lines == [
        f"AAA 1 {'1':>{LABEL_WIDTH}} {'█' * width}",
        f"B 22  {'-0.5':>{LABEL_WIDTH}} {'█' * round(width / 2)}",
        f" 3    {'':>{LABEL_WIDTH}} ",
        f"D 4   {'0':>{LABEL_WIDTH}} ",
        f"E 5   {'0.25':>{LABEL_WIDTH}} {'█' * round(width / 4)}",
    ]


def test_what_is_infinite_has_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    inf = float("inf")
    _, *lines = plotted(capsys, {"s": list("abcd"), "y": [inf, -inf, float("nan"), 2.0]})
    assert [line.split() for line in lines[:3]] == [["a", "inf"], ["b", "-inf"], ["c"]]
    assert lines[3].endswith("█")
    _, *lines = plotted(capsys, {"s": ["a"], "y": [inf]})
    assert [line.split() for line in lines] == [["a", "inf"]]


@pytest.mark.parametrize("columns", ["1", "12", "17", "0", "500"])
def test_a_terminal_of_any_width_is_drawn_on(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = plotted(capsys, {"n": [1, 2, 3], "y": [1, 2, 3]})
    assert len(dots(lines[1:-1])) == 3
    assert max(map(len, lines)) <= 120
    lines = plotted(capsys, {"s": ["x" * 200, "y"], "y": [1.0, 2.0]})
    assert lines[2].endswith("█" * 10)


@pytest.mark.parametrize(
    "columns",
    [
        {"n": [1]},
        {"n": pl.Series([], dtype=pl.Int64), "y": pl.Series([], dtype=pl.Float64)},
        {"s": ["a"], "n": [1]},
        {"n": [1], "s": ["a"]},
    ],
)
def test_without_numbers_there_is_no_plot(
    columns: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="a plot needs rows, and numbers in a column after"):
        print_plot(pl.DataFrame(columns))
    assert capsys.readouterr().out == ""


def test_a_name_cannot_speak_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name, *lines = plotted(
        capsys, {"s": ["[red]\x1b[31m\n", "[/b]"], "[bold]\x1b:smile:": [1.0, 2.0]}
    )
    assert name == "[bold]\\x1b:smile:"
    assert lines[0].startswith("[red]\\x1b[31m\\n ")
    assert lines[1].startswith("[/b] ")
