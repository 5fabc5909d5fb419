"""The public names, and what importing them must not cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import batonics
from tests.support.command import SAMPLE, environment, run_in_process

PUBLIC = [
    "BatonicsError",
    "Books",
    "CheckpointError",
    "DamagedInputError",
    "DataWarning",
    "InputError",
    "Lake",
    "LakeError",
    "LossWarning",
    "OutputError",
    "UsageError",
    "export_lake",
    "load_lake",
    "reconstruct",
    "scan_mbo",
    "to_pandas",
    "with_definitions",
    "with_prices",
    "with_symbols",
    "would_fill",
]
HEAVY = ("numpy", "polars", "numba", "pyarrow", "orjson", "duckdb", "rich")
SAY_HEAVY = f"; import sys; print([name for name in {HEAVY} if name in sys.modules])"


def test_the_public_names_are_these() -> None:
    assert batonics.__all__ == PUBLIC
    assert dir(batonics) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_there_and_documented(name: str) -> None:
    member = getattr(batonics, name)
    assert member.__name__ == name
    assert member.__module__.startswith("batonics.")
    assert member.__doc__


def test_any_other_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'batonics' has no attribute 'nope'"):
        _ = batonics.nope


@pytest.mark.parametrize(
    "code",
    [
        "import batonics",
        "import batonics; batonics.UsageError",
        "import batonics.cli.main as m; sys = m.sys; sys.argv = ['batonics', '--help']; m.run()",
        "import batonics.cli.main as m; m.sys.argv = ['b', 'reconstruct', '--help']; m.run()",
        "import batonics.cli.main as m; m.sys.argv = ['b', 'inspect', '--nope']; m.run()",
    ],
    ids=["import", "error", "help", "command-help", "wrong-option"],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code + SAY_HEAVY],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_books_are_rebuilt_without_polars(tmp_path: Path) -> None:
    arguments = ["batonics", "reconstruct", "-q", str(SAMPLE), "--out", str(tmp_path / "book.json")]
    code = f"import batonics.cli.main as m; m.sys.argv = {arguments}; m.run()"
    say = "; print([name for name in ('polars', 'pyarrow', 'duckdb') if name in m.sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code + say],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_without_arguments_there_is_help() -> None:
    assert run_in_process() == run_in_process("--help")
    assert run_in_process().code == 0
    assert b"reconstruct" in run_in_process().out


@pytest.mark.parametrize("command", ["reconstruct", "inspect", "simulate"])
def test_each_command_has_help(command: str) -> None:
    done = run_in_process(command, "--help")
    assert done.code == 0
    assert b"--help" in done.out
    assert done.err == ""
