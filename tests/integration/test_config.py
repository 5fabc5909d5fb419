"""`batonics config`, and `--config` before any command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import orjson
import pytest

from batonics.settings.table import SETTINGS
from tests.support.command import SCRIPT, environment, error_line, run_in_process
from tests.support.paths import ROOT

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    for name in ("BATONICS_CONFIG", *(one for row in SETTINGS.values() for one in row.variables)):
        monkeypatch.delenv(name, raising=False)


def shown(*arguments: str) -> list[str]:
    done = run_in_process(*arguments, "config", "show", "--origin")
    assert (done.code, done.err) == (0, "")
    return done.out.decode().splitlines()


def test_each_value_is_shown_with_its_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown()[0] == "# file: none"
    assert "depth = 10  # default" in shown()
    (tmp_path / "batonics.toml").write_text("[live]\ndepth = 5\n[server]\nniceness = 1\n")
    monkeypatch.setenv("BATONICS_LIVE_DEPTH", "7")
    monkeypatch.setenv("BATONICS_TOKEN", SECRET)
    lines = shown()
    assert lines[0] == "# file: batonics.toml"
    assert "depth = 7  # BATONICS_LIVE_DEPTH" in lines
    assert "niceness = 1  # batonics.toml" in lines
    assert "# token is set; it is secret  # BATONICS_TOKEN" in lines
    assert SECRET not in "\n".join(lines)


def test_a_file_can_be_named_for_any_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATONICS_CONFIG", "")  # what `--config` sets ends with the test
    path = tmp_path / "other.toml"
    path.write_text(f"[lake]\npath = '{tmp_path / 'nowhere'}'\n")
    assert shown("--config", str(path))[0] == f"# file: {path}"
    assert "nowhere" in error_line(run_in_process("--config", path, "lake", "ls"), 6)
    done = run_in_process("--config", tmp_path / "missing.toml", "lake", "ls")
    assert "missing.toml: cannot be read: No such file" in error_line(done, 2)


def test_a_file_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[live]\ndepth = 5\n")
    done = run_in_process("config", "check", path)
    assert (done.code, done.out.decode()) == (0, f"{path}: 1 settings, all right\n")
    path.write_text("[live]\ndepht = 5\n")
    done = run_in_process("config", "check", path)
    expected = f"{path}: live.depht: no such setting; did you mean live.depth?"
    assert error_line(done, 2) == expected
    path.write_text("[live]\ndepht = 5\ndrain_s = 'x'\n")
    done = run_in_process("config", "check", path)
    assert done.out.decode().splitlines() == [
        expected,
        f'{path}: live.drain_s: expected a number of 0 or more, not "x"',
    ]
    assert (done.code, done.err) == (2, f"batonics: {path}: 2 settings are wrong\n")
    path.write_text("[live\n")
    assert "not TOML" in error_line(run_in_process("config", "check", path), 2)


def test_a_wrong_value_ends_every_command_that_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATONICS_LAKE_RETRIES_MAX", "many")
    expected = 'BATONICS_LAKE_RETRIES_MAX: expected a whole number of 0 or more, not "many"'
    assert error_line(run_in_process("lake", "ls"), 2) == expected
    assert error_line(run_in_process("config", "show"), 2) == expected


def test_a_wrong_flag_is_named() -> None:
    done = run_in_process("stream", "--connect", "127.0.0.1:1", "--once", "--depth", "0")
    assert error_line(done, 2) == "--depth: expected a whole number from 1 to 1000, not 0"


def test_a_variable_that_is_almost_ours_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATONICS_TOKN", SECRET)
    done = run_in_process("config", "show")
    assert done.err == "BATONICS_TOKN: no such setting; did you mean BATONICS_TOKEN?\n"


def test_the_schema_is_that_of_a_file() -> None:
    schema = orjson.loads(run_in_process("config", "schema").out)
    document = tomllib.loads(run_in_process("config", "show").out.decode())
    jsonschema.Draft202012Validator(schema).validate(document)


def test_a_file_in_the_working_directory_cannot_say_where_kernels_are(tmp_path: Path) -> None:
    (tmp_path / "batonics.toml").write_text("[cache]\ndirectory = 'kernels'\n")
    done = subprocess.run(
        [*SCRIPT, "lake", "ls", "--lake", "x"],
        cwd=tmp_path,
        env={**environment(), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "a file in the working directory cannot set it" in done.stderr
    assert not (tmp_path / "kernels").exists()


def test_only_the_loader_reads_the_environment() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "batonics").rglob("*.py")
        if re.search(r"os\.(environ\b(?!,)|getenv)", path.read_text())
    }
    assert readers == {"batonics/settings/loader.py"}


def test_settings_cost_little_to_import() -> None:
    slow = {"difflib", "json", "tomllib"}
    code = f"import sys, batonics.settings.loader; print({slow} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"
