"""One owner of a directory: others are refused with its name, and nothing foreign is touched."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from batonics.model.errors import OutputError
from batonics.sinks.directory_lock import LOCK_NAME, DirectoryLock


def test_a_second_owner_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path / "a/b", "stream --record")
    expected = rf"/a/b: is in use by batonics stream --record, process {os.getpid()} on .+, since 2"
    with pytest.raises(OutputError, match=expected):
        DirectoryLock(tmp_path / "a/b", "stream --snapshots")
    lock.close()
    lock.close()
    DirectoryLock(tmp_path / "a/b", "stream --snapshots").close()


def test_an_owner_that_is_lost_gives_the_directory_up(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path, "a test")
    del lock
    DirectoryLock(tmp_path, "a test").close()


def test_a_directory_that_is_moved_or_removed_is_noticed(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    lock = DirectoryLock(directory, "a test")
    lock.check()
    directory.rename(tmp_path / "b")
    with pytest.raises(OutputError, match="was moved or removed"):
        lock.check()
    other = DirectoryLock(directory, "a test")
    with pytest.raises(OutputError, match="was moved or removed"):
        lock.check()
    other.check()
    (tmp_path / "b").rename(tmp_path / "c")
    lock.close()


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "directory", "foreign"])
def test_a_lock_that_is_not_ours_is_refused_and_left_as_it_is(kind: str, tmp_path: Path) -> None:
    path, victim = tmp_path / LOCK_NAME, tmp_path / "victim"
    victim.write_bytes(b"precious")
    make: dict[str, Callable[[], None]] = {
        "link": lambda: path.symlink_to(victim),
        "dangling": lambda: path.symlink_to(tmp_path / "made"),
        "fifo": lambda: os.mkfifo(path),
        "directory": path.mkdir,
        "foreign": lambda: path.hardlink_to(victim),
    }
    make[kind]()
    with pytest.raises(OutputError, match=re.escape(str(tmp_path))):
        DirectoryLock(tmp_path, "a test")
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "made").exists()
