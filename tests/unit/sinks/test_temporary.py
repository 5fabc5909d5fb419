"""Temporary files: what a killed process left behind goes, what a running one has stays."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest

from batonics.lake.symlinks import SymlinkDirectory
from batonics.model.errors import UsageError
from batonics.native import PACKAGE
from batonics.sinks.atomic import open_atomic
from batonics.sinks.temporary import make_temporary_file, temporary_directory


def test_files_of_a_killed_process_go_and_those_of_a_running_one_stay(tmp_path: Path) -> None:
    path = tmp_path / "book.json"
    handle, kept = make_temporary_file(path)
    left = tmp_path / ".book.json.abcdefgh.part"
    others = [
        tmp_path / name
        for name in (".book.json.abc.part", "book.json.abcdefgh.part", ".other.abcdefgh.part")
    ]
    for file in (left, *others):
        file.write_bytes(b"x")
    link = tmp_path / ".book.json.linklink.part"
    link.symlink_to(others[0])
    os.mkfifo(tmp_path / ".book.json.fifofifo.part")
    with open_atomic(path) as out:
        out.write(b"{}")
    assert not left.exists()
    assert all(file.exists() for file in (kept, link, *others))
    assert path.read_bytes() == b"{}"
    os.close(handle)
    with open_atomic(path) as out:
        out.write(b"[]")
    assert not kept.exists()


def test_directories_of_a_killed_process_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_directory("batonics-x-") as first:
        Path(first, "data").write_bytes(b"x")
        left, foreign = tmp_path / "batonics-x-abcdefgh", tmp_path / "batonics-x-notours1"
        for directory in (left, foreign):
            directory.mkdir()
        (left / ".owner").touch()
        with temporary_directory("batonics-x-") as second:
            assert Path(first, "data").exists()
            assert Path(second).exists()
            assert not left.exists()
            assert foreign.exists()
    assert list(tmp_path.iterdir()) == [foreign]


def test_two_outputs_of_one_command_never_have_one_name(tmp_path: Path) -> None:
    path = tmp_path / "a"
    (tmp_path / "link").symlink_to(path)
    for other in (path, tmp_path / "link", tmp_path / "x/../a"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with open_atomic(path) as file:
            with pytest.raises(UsageError, match="two outputs of one command"), open_atomic(other):
                pass
            file.write(b"x")
        assert path.read_bytes() == b"x"


def test_all_temporary_files_have_an_owner() -> None:
    # What another function makes would stay for ever after a kill, unless it has no name.
    makers = re.compile(r"mkdtemp|mkstemp|mktemp|TemporaryDirectory|NamedTemporaryFile")
    modules = [path for path in PACKAGE.rglob("*.py") if makers.search(path.read_text())]
    assert [path.name for path in modules] == ["temporary.py"]


def test_links_and_spilled_rows_of_a_killed_query_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "batonics-views-abcdefgh"
    (left / "spill").mkdir(parents=True)
    (left / ".owner").touch()
    (left / "lake-0").symlink_to(PACKAGE)
    links = SymlinkDirectory()
    links.link(PACKAGE / "py.typed", "py.typed")
    assert list(tmp_path.iterdir()) == [links.directory]
    links.close()
    assert list(tmp_path.iterdir()) == []
