"""Files below a directory of ours: no link is followed, and nothing is waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batonics.sinks.owned_directory import (
    check_files,
    list_files,
    move_file,
    open_directory,
    open_lock,
    open_regular,
    remove_file,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with `a/b/file`, and beside it `outside/file`; `link` is a link to it."""
    for directory in ("root/a/b", "outside"):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "file").write_text("text")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "root" / "a" / "file link").symlink_to(tmp_path / "outside" / "file")
    return tmp_path / "root"


def test_a_directory_is_opened_and_made(root: Path) -> None:
    with open_directory(root, "a/b") as handle:
        assert os.path.samestat(os.fstat(handle), (root / "a" / "b").stat())
    with open_directory(root, "x/y/z", make=True) as handle:
        assert os.path.samestat(os.fstat(handle), (root / "x" / "y" / "z").stat())
    with pytest.raises(FileNotFoundError) as error, open_directory(root, "a/none"):
        pass
    assert error.value.filename == str(root / "a" / "none")


def test_the_root_may_be_a_link_and_nothing_below_it(root: Path) -> None:
    link = root.parent / "link to root"
    link.symlink_to(root)
    with open_directory(link, "a") as handle:
        assert os.path.samestat(os.fstat(handle), (root / "a").stat())
    for make in (False, True):
        with (
            pytest.raises(OSError, match="is a link or no directory") as error,
            open_directory(root, "link/new", make=make),
        ):
            pass
        assert error.value.filename == str(root / "link")
    assert sorted(path.name for path in (root.parent / "outside").iterdir()) == ["file"]


def test_only_a_regular_file_is_opened(root: Path) -> None:
    os.mkfifo(root / "pipe")
    for path in (root / "pipe", root / "a" / "file link", root / "a", Path("/dev/null")):
        for flags in (os.O_RDONLY, os.O_WRONLY):
            with pytest.raises(OSError, match="expected a regular file"):
                open_regular(path, flags)
    handle = open_regular(root / "a" / "b" / "file", os.O_RDONLY)
    assert os.read(handle, 10) == b"text"
    os.close(handle)


def test_a_lock_keeps_its_bytes_and_is_never_a_link(root: Path) -> None:
    (root / "dangling").symlink_to(root.parent / "outside" / "made")
    (root / "target").symlink_to(root.parent / "outside" / "file")
    for name in ("dangling", "target"):
        with pytest.raises(OSError, match="expected a regular file"):
            open_lock(root / name)
    os.close(open_lock(root / "a" / "b" / "file"))
    assert (root / "a" / "b" / "file").read_text() == "text"
    os.close(open_lock(root / "new"))
    assert (root / "new").read_bytes() == b""
    assert sorted(path.name for path in (root.parent / "outside").iterdir()) == ["file"]


def test_a_file_is_moved_to_a_directory_that_is_no_link(root: Path) -> None:
    move_file(root / "a" / "b" / "file", root, "a/moved")
    assert (root / "a" / "moved").read_text() == "text"
    with pytest.raises(OSError, match="is a link or no directory"):
        move_file(root / "a" / "moved", root, "link/moved")


def test_a_file_is_removed_with_the_directories_that_it_leaves_empty(root: Path) -> None:
    assert remove_file(root, "a/b/file") == 4
    assert not (root / "a" / "b").exists()
    assert (root / "a").exists()
    assert remove_file(root, "a/b/file") == 0


def test_what_only_a_link_leads_to_is_not_removed(root: Path) -> None:
    assert remove_file(root, "link/file") == 0
    assert remove_file(root, f"a/{'x' * 300}") == 0
    assert (root.parent / "outside" / "file").exists()
    # The link itself is a name of ours.
    remove_file(root, "a/file link")
    assert (root.parent / "outside" / "file").exists()


def test_a_listing_does_not_look_behind_links(root: Path) -> None:
    (root / "a" / "c").symlink_to(root / "a" / "b")
    assert list(list_files(root, 1)) == ["link"]
    assert list(list_files(root, 2)) == ["a/c", "a/file link"]
    assert list(list_files(root, 3)) == ["a/b/file"]


def test_a_listing_of_a_part_of_the_tree_begins_there(root: Path) -> None:
    assert list(list_files(root, 2, "a")) == ["b/file"]
    with pytest.raises(OSError, match="is a link or no directory"):
        list(list_files(root, 1, "link"))


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "none", "itself"])
def test_what_is_no_file_of_ours_is_found_before_another_opens_it(kind: str, root: Path) -> None:
    path = root / "a" / "b" / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "itself":
        path = root / "link"
    elif kind != "none":
        path.symlink_to(root / ("a" if kind == "link" else "nothing"))
    if kind == "none":
        check_files(root, "a/b")
        check_files(root, "a/nothing")
        return
    with pytest.raises(OSError, match=r"expected a regular file|is a link") as error:
        check_files(root, "link" if kind == "itself" else "a/b")
    assert error.value.filename == str(path)
