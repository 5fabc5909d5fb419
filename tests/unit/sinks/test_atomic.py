"""Writing whole or not at all: names, modes, links, and what a failure leaves."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from batonics.model.errors import InputError, OutputError
from batonics.sinks.atomic import open_atomic
from tests.support.dbn_files import list_names


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nothing_has_the_name_before_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with open_atomic(path) as file:
        file.write(b"whole")
        file.flush()
        (temporary,) = list_names(tmp_path)
        assert temporary.startswith(".x.json.")
        assert temporary.endswith(".part")
    assert list_names(tmp_path) == ["x.json"]
    assert path.read_bytes() == b"whole"


@pytest.mark.parametrize("kind", [InputError, ValueError, KeyboardInterrupt])
def test_an_error_in_the_block_passes_and_leaves_what_was_there(
    kind: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def fail() -> None:
        with open_atomic(path) as file:
            file.write(b"new")
            raise kind("mine")

    with pytest.raises(kind, match="mine"):
        fail()
    assert list_names(tmp_path) == ["x"]
    assert path.read_bytes() == b"old"


def test_a_new_file_has_the_mode_the_user_gives_and_an_old_one_keeps_its_own(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x"
    before = os.umask(0o027)
    try:
        with open_atomic(path) as file:
            file.write(b"1")
        assert mode(path) == 0o640
        path.chmod(0o604)
        with open_atomic(path) as file:
            file.write(b"2")
    finally:
        os.umask(before)
    assert mode(path) == 0o604
    assert path.read_bytes() == b"2"


def test_a_link_goes_on_pointing_to_what_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "data" / "target", tmp_path / "link"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link.symlink_to(target)
    with open_atomic(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert list_names(target.parent) == ["target"]


def test_a_link_to_nothing_yet_makes_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with open_atomic(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "target").read_bytes() == b"new"


def test_a_pipe_is_written_to_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with open_atomic(pipe) as file:
        file.write(b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_is_not_replaced() -> None:
    with open_atomic("/dev/null") as file:
        file.write(b"x")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    with pytest.raises(OutputError, match="No space left"), open_atomic("/dev/full") as file:
        file.write(b"x")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "is a directory; name a file in it"),
        ("none/x", "cannot be written: No such file or directory"),
        ("file/x", "cannot be written: Not a directory"),
        ("x" * 300, "cannot be written: File name too long"),
    ],
)
def test_what_cannot_be_written_is_named_at_once(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / name
    with pytest.raises(OutputError) as raised, open_atomic(path):
        pytest.fail("the block was entered")
    assert str(raised.value) == f"{path}: {words}"
    assert list_names(tmp_path) == ["file"]
