"""Frames as tables for people: nothing is rounded, and no text can break a line."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from batonics.cli.frame_table import print_frame


def printed(capsys: pytest.CaptureFixture[str], columns: Any, **settings: Any) -> list[str]:
    print_frame(pl.DataFrame(columns), **settings)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([1, None, -3], ["1", "", "-3"]),
        ([0.1, 1e300, float("nan")], ["0.1", "1e+300", "nan"]),
        ([True, False, None], ["true", "false", ""]),
        (pl.Series([2**64 - 1], dtype=pl.UInt64), [str(2**64 - 1)]),
        (pl.Series(["1.50"]).cast(pl.Decimal(38, 9)), ["1.500000000"]),
        ([dt.date(2024, 10, 4)], ["2024-10-04"]),
        (pl.Series([36_000_123_456_789], dtype=pl.Int64).cast(pl.Time), ["10:00:00.123456789"]),
        (
            pl.Series([10**18 + 1, None], dtype=pl.Int64).cast(pl.Datetime("ns", "UTC")),
            ["2001-09-09T01:46:40.000000001Z", ""],
        ),
        (["a b", "", "  c"], ["a b", "", "  c"]),
        ([[1, 2], []], ["[1, 2]", "[]"]),
        ([{"a": 1}], ["{'a': 1}"]),
        ([b"\x00"], ["b'\\x00'"]),
        ([None], [""]),
    ],
)
def test_a_value_is_shown_as_it_is(
    values: Any, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    head, *lines = printed(capsys, {"x": values})
    assert head.strip() == "x"
    if not isinstance(values, list) or not isinstance(values[0], str):
        lines = [line.strip() for line in lines]
    assert lines == shown


def test_decimals_have_all_their_decimals_and_integers_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = {"price": [Decimal("64.800000000")], "sum": [Decimal(10**30)], "size": [10**9]}
    _, line = printed(capsys, values)
    assert line.split() == ["64.800000000", f"{10**30}", "1000000000"]


def test_numbers_are_to_the_right_and_text_to_the_left(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, {"number": [1, 22], "word": ["a", "bb"]}) == [
        "number  word",
        "     1  a",
        "    22  bb",
    ]


def test_what_is_left_out_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    columns = {"n": range(2_005)}
    assert printed(capsys, columns, rows_max=4, rows_hint="; --rows shows more")[-2:] == [
        "3",
        "and 2,001 more rows; --rows shows more",
    ]
    assert len(printed(capsys, columns)) == 102
    assert printed(capsys, {"n": [1, 2]}, rows_max=2)[-1].strip() == "2"


def test_a_frame_without_rows_shows_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    schema = {"a": pl.Int64(), "ts": pl.Datetime("ns", "UTC"), "t": pl.Time(), "price": pl.Int64()}
    assert printed(capsys, pl.DataFrame(schema=schema)) == ["a  ts  t  price"]


def test_a_line_is_complete_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    _, line = printed(capsys, {f"c{at}": ["x" * 100] for at in range(50)})
    assert line.split() == ["x" * 100] * 50


@pytest.mark.parametrize("text", ["[red]a[/red]", "[/b]", ":smile:", "a\tb", "\x1b[31m", "a\nb"])
def test_text_can_neither_break_a_line_nor_speak_to_the_terminal(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = text.encode("unicode_escape").decode()
    assert printed(capsys, {text: [text]}) == [shown, shown]
