"""A directory is private only if no other user can have put anything into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest

from batonics.settings.private_directory import find_intrusion, make_directory

STRANGER = 54_321
FILE = "kernel.nbi"
OWNERS = {"ours": os.geteuid(), "root's": 0, "a stranger's": STRANGER}
MODES = {0o500, 0o700, 0o755, 0o750, 0o775, 0o757, 0o777, 0o1777, 0o2775}
PLACES = ["above", "it", "file"]


def find(directory: Path, *owners: int) -> str | None:
    return find_intrusion(directory, owners or (os.geteuid(),), files=(".nbi",))


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    directory = tmp_path / "above" / "it"
    make_directory(directory)
    (directory / FILE).write_bytes(b"code")
    (directory / FILE).chmod(0o644)
    return {"above": directory.parent, "it": directory, "file": directory / FILE}


@pytest.mark.parametrize(("place", "mode"), list(product(PLACES, sorted(MODES))))
def test_only_what_no_other_user_can_write_to_is_private(
    places: dict[str, Path], place: str, mode: int
) -> None:
    places[place].chmod(mode)
    is_sticky_above = place == "above" and bool(mode & 0o1000)
    is_private = not mode & 0o022 or is_sticky_above
    reason = find(places["it"])
    places[place].chmod(0o700)
    assert (reason is None) == is_private
    if reason is not None:
        assert reason == f"{places[place]} can be written by other users (mode {mode:o})"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize(("place", "owner"), list(product(PLACES, OWNERS)))
def test_only_what_a_trusted_user_owns_is_private(
    places: dict[str, Path], place: str, owner: str
) -> None:
    os.chown(places[place], OWNERS[owner], 0)
    reason = find(places["it"])
    assert (reason is None) == (OWNERS[owner] != STRANGER)
    if reason is not None:
        assert reason == f"{places[place]} belongs to user {STRANGER}"
    assert find(places["it"], STRANGER) is None


def test_a_link_in_place_of_a_file_is_no_file(places: dict[str, Path]) -> None:
    places["file"].rename(places["above"] / "elsewhere")
    places["file"].symlink_to(places["above"] / "elsewhere")
    assert find(places["it"]) == f"{places['file']} is a link"


def test_files_of_other_names_do_not_count(places: dict[str, Path]) -> None:
    (places["it"] / "notes.txt").touch()
    (places["it"] / "notes.txt").chmod(0o666)
    assert find(places["it"]) is None


def test_a_file_that_is_replaced_meanwhile_hides_no_other(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    list_entries = os.scandir

    @contextmanager
    def replaced(directory: Path) -> Iterator[list[os.DirEntry[str]]]:
        with list_entries(directory) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        (directory / entries[0].name).unlink()
        yield entries

    places["file"].chmod(0o666)
    (places["it"] / "a.nbi").touch(0o600)
    monkeypatch.setattr(os, "scandir", replaced)
    assert find(places["it"]) == f"{places['file']} can be written by other users (mode 666)"


def test_directories_from_a_trusted_one_up_do_not_count(places: dict[str, Path]) -> None:
    places["above"].chmod(0o777)
    below = places["above"]
    assert find_intrusion(places["it"], (os.geteuid(),), files=(), below=below) is None


def test_what_is_made_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_directory(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert find(tmp_path / "a" / "b") is None
