"""What people see on a terminal: tables that fit it, progress that ends at the total.

The rule: the input is real where the shared data is there, else the sample; a terminal is a
pseudo-terminal of a chosen width.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import SAMPLE, run_command
from tests.support.terminal import run_in_terminal

QUERY = ("query", "--from", SAMPLE, "SELECT * FROM mbp_10 LIMIT 3", "--quiet")
COLUMNS = 82
"""Columns of the view mbp_10."""


def test_books_as_json_go_to_a_terminal_only_when_asked_for() -> None:
    arguments = ("reconstruct", SAMPLE, "--out", "-", "--depth", "1", "-q")
    refused = run_in_terminal(*arguments)
    assert refused.code == 2
    assert "--out -: standard output is a terminal" in refused.text
    assert '"batonics.book/2"' in run_in_terminal(*arguments, "--format", "json").text


@pytest.mark.parametrize("columns", [80, 133])
def test_a_wide_answer_shows_its_first_and_last_columns(columns: int) -> None:
    done = run_in_terminal(*QUERY, columns=columns)
    assert done.code == 0, done.text
    header, *rows, count, _ = done.lines
    assert max(map(len, done.lines)) <= columns
    assert header.split()[0] == "ts_recv"
    assert header.split()[-1] == "symbol"
    assert "…" in header.split()
    assert len(rows) == 3
    shown = len(header.split()) - 1
    assert count == f"{COLUMNS} columns, {shown} shown; --wide shows all, --format csv writes all"
    assert done.text.count("ts_recv") == 1


def test_wide_shows_all_columns_on_a_terminal() -> None:
    header, *rows, _ = run_in_terminal(*QUERY, "--wide").lines
    assert len(header.split()) == COLUMNS
    assert len(rows) == 3


def test_nothing_is_cut_in_a_pipe() -> None:
    header, *rows = run_command(*QUERY).out.decode().splitlines()
    assert len(header.split()) == COLUMNS
    assert len(rows) == 3


def test_a_long_value_ends_in_an_ellipsis_on_a_terminal_only() -> None:
    query = ("query", "--from", SAMPLE, "SELECT repeat('ab', 90) AS x FROM trades LIMIT 1", "-q")
    assert run_in_terminal(*query, columns=50).lines[1] == ("ab" * 25)[:49] + "…"
    assert run_command(*query).out.decode().splitlines()[1] == "ab" * 90


def test_numbers_are_aligned_to_the_right() -> None:
    query = "SELECT 1 AS number, 'a' AS word FROM trades LIMIT 1"
    lines = run_in_terminal("query", "--from", SAMPLE, query, "-q").lines
    assert lines[:2] == ["number  word", "     1  a"]


@pytest.mark.parametrize("command", ["reconstruct", "inspect", "verify"])
def test_tables_of_reports_fit_the_terminal(command: str) -> None:
    done = run_in_terminal(command, SAMPLE, columns=60)
    assert done.code == 0, done.text
    headers = [line for line in done.lines if line.startswith("symbol  ")]
    assert len(headers) == 1
    table = done.lines[done.lines.index(headers[0]) :]
    assert all(len(line) <= 60 for line in table[:6]), table


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("inspect", ()),
        ("reconstruct", ()),
        ("verify", ()),
        ("convert", ("--schema", "trades", "--out", "/dev/null", "--format", "csv")),
    ],
)
def test_progress_ends_at_the_total(command: str, arguments: tuple[str, ...]) -> None:
    done = run_in_terminal(command, SAMPLE, *arguments, columns=120)
    assert done.code == 0, done.text
    bars = [line for line in done.lines if line.startswith(f"{command} ━")]
    megabytes = f"{SAMPLE.stat().st_size / 1e6:.1f}"
    assert len(bars) == 1, done.text
    assert f"{megabytes}/{megabytes} MB 100,000 records" in bars[0]


def test_a_command_that_fails_before_it_reads_leaves_no_bar(tmp_path: Path) -> None:
    path = tmp_path / "none" / "x.json"
    done = run_in_terminal("reconstruct", SAMPLE, "--out", path, columns=200)
    assert done.code == 4
    assert done.lines == [f"batonics: {path}: cannot be written: No such file or directory", ""]


def test_a_quiet_command_prints_nothing_on_a_terminal(tmp_path: Path) -> None:
    done = run_in_terminal("reconstruct", SAMPLE, "--out", tmp_path / "x.json", "--quiet")
    assert (done.code, done.text) == (0, "")
