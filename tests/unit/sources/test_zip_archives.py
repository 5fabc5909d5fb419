"""Zip archives: what is no file beside the others is refused before a byte of it is read."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from batonics.model.errors import InputError
from batonics.sources.inputs import find_inputs
from tests.support.batch_downloads import zip_batch
from tests.support.dbn_files import SMALL

DATA = {"first.dbn": SMALL, "second.dbn": SMALL}


def write_zip(path: Path, change: Callable[[zipfile.ZipInfo], object], data: bytes = SMALL) -> Path:
    info = zipfile.ZipInfo("day.dbn.zst")
    change(info)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, data)
    return path


def renamed(name: str) -> Callable[[zipfile.ZipInfo], None]:
    def rename(info: zipfile.ZipInfo) -> None:
        info.filename = name

    return rename


def linked(info: zipfile.ZipInfo) -> None:
    info.external_attr = 0o120777 << 16


def squeezed(info: zipfile.ZipInfo) -> None:
    info.compress_type = zipfile.ZIP_BZIP2


REFUSED: dict[str, tuple[Callable[[zipfile.ZipInfo], object], str]] = {
    "above": (renamed("../day.dbn.zst"), "leads outside"),
    "absolute": (renamed("/day.dbn.zst"), "leads outside"),
    "drive": (renamed("C:/day.dbn.zst"), "leads outside"),
    "backslash": (renamed("a\\..\\day.dbn.zst"), "leads outside"),
    "above within": (renamed("a/../../day.dbn.zst"), "leads outside"),
    "link": (linked, "is a link or a device"),
    "bzip2": (squeezed, "is compressed in a way that is not read"),
}


@pytest.mark.parametrize("how", REFUSED)
def test_members_that_are_no_files_beside_each_other_are_refused(how: str, tmp_path: Path) -> None:
    change, reason = REFUSED[how]
    path = write_zip(tmp_path / "day.zip", change)
    with pytest.raises(InputError, match=rf"day.zip: member .* {reason}"):
        find_inputs(path)


def test_encrypted_archives_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "day.zip", lambda _: None)
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag in the member's own header, and that in the list
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="is encrypted"):
        find_inputs(path)


def test_bombs_are_refused_before_they_are_inflated(tmp_path: Path) -> None:
    def deflated(info: zipfile.ZipInfo) -> None:
        info.compress_type = zipfile.ZIP_DEFLATED

    path = write_zip(tmp_path / "bomb.zip", deflated, bytes(64 << 20))
    with pytest.raises(InputError, match="more than any data"):
        find_inputs(path)
    whole = zip_batch(tmp_path / "many.zip", DATA).read_bytes()
    second = whole.rindex(b"PK\x01\x02")
    overlapping = bytearray(whole)
    overlapping[second + 42 : second + 46] = bytes(4)  # both members begin at the same byte
    (tmp_path / "many.zip").write_bytes(bytes(overlapping))
    with pytest.raises(InputError, match="overlap"):
        find_inputs(tmp_path / "many.zip")
    listed = bytearray(whole)
    listed[-10:-6] = (1 << 30).to_bytes(4, "little")
    (tmp_path / "list.zip").write_bytes(bytes(listed))
    with pytest.raises(InputError, match="list of members has"):
        find_inputs(tmp_path / "list.zip")
