"""Files in zip archives, read where they are.

The rule here: nothing is unpacked to the disk. An archive is refused whole if a member could not be
a file of a directory: its name leads outside, it is a link, it is encrypted, it inflates more than
any data do, or it overlaps another one.
"""

from __future__ import annotations

import os
import stat
import struct
import weakref
import zipfile
import zlib
from collections.abc import Generator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Self

from batonics.model.errors import InputError
from batonics.sources.batch_download import is_file_name
from batonics.sources.input_files import STORED_PIECE_BYTES, StreamedInput

ZIP_MAGIC = b"PK\x03\x04"
DIRECTORY_BYTES_MAX = 64 << 20
"""Largest list of members: about half a million."""
INFLATION_MAX = 200
"""Most bytes from one: text of MBO has about 10."""
INFLATION_FREE_BYTES = 1 << 20
"""Members of this size may inflate as they like."""
_ENCRYPTED = 1
_FORMATS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")


class ZipMember(StreamedInput):
    """A file in an archive; its name is that of the archive, `/`, and its own.

    Args:
        archive: the archive.
        info: the member.
    """

    def __new__(cls, archive: ZipArchive, info: zipfile.ZipInfo) -> Self:  # noqa: D102
        member = super().__new__(cls, f"{archive.name}/{info.filename}")
        member._archive, member._info = archive, info
        member.size = info.file_size
        member.stored_in = archive.name
        member.identity = archive.identity, info.header_offset
        member.version = f"{archive.version} {info.header_offset} {info.file_size} {info.CRC}"
        return member

    _archive: ZipArchive
    _info: zipfile.ZipInfo

    def pieces(self) -> Generator[bytes, None, None]:
        """See `StreamedInput`."""
        try:
            with self._archive.file.open(self._info) as member:
                while piece := member.read(STORED_PIECE_BYTES):
                    yield piece
        except (zipfile.BadZipFile, EOFError, OSError, zlib.error) as error:
            raise InputError(f"{self}: damaged: {error}") from None


class ZipArchive:
    """An archive that is open as long as one of its members is known.

    Attributes:
        name: its path.
        identity: its device and inode.
        version: its size, times and inode.
        file: the archive itself.
        members: the members that are files, in the order of the archive.

    Raises:
        InputError: it cannot be read, is damaged, or has a member that is refused.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = str(path)
        with ExitStack() as opened:
            try:
                raw = opened.enter_context(Path(path).open("rb"))
                status = os.fstat(raw.fileno())
                _check_directory(raw, status.st_size, self.name)
                self.file = zipfile.ZipFile(raw)
            except zipfile.BadZipFile as error:
                raise InputError(f"{path}: not a zip archive, or cut: {error}") from None
            except OSError as error:
                raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
            for info in self.file.infolist():
                _check_member(info, self.name)
            self.members = [info for info in self.file.infolist() if not info.is_dir()]
            _check_overlap(self.members, self.name)
            self.identity = status.st_dev, status.st_ino
            self.version = f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"
            weakref.finalize(self, opened.pop_all().close)


def _check_directory(file: BinaryIO, size: int, name: str) -> None:
    """Refuse a list of members that would fill memory, before it is read."""
    tail_bytes = min(size, _END.size + _END64_LOCATOR.size + (1 << 16))
    file.seek(size - tail_bytes)
    tail = file.read(tail_bytes)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise zipfile.BadZipFile("it has no list of members")
    directory_bytes = _END.unpack_from(tail, at)[5]
    if directory_bytes == 0xFFFFFFFF and at >= _END64_LOCATOR.size:
        magic, _, offset, _ = _END64_LOCATOR.unpack_from(tail, at - _END64_LOCATOR.size)
        file.seek(min(offset, size))
        end64 = file.read(_END64.size)
        if magic == b"PK\x06\x07" and len(end64) == _END64.size:
            directory_bytes = _END64.unpack(end64)[8]
    if directory_bytes > DIRECTORY_BYTES_MAX:
        raise InputError(
            f"{name}: its list of members has {directory_bytes:,} bytes, at most"
            f" {DIRECTORY_BYTES_MAX:,} are read; unpack it"
        )
    file.seek(0)


def _check_member(info: zipfile.ZipInfo, archive: str) -> None:
    """Refuse a member that is no file or directory beside the others."""
    name = info.orig_filename
    parts = name.removesuffix("/").split("/")
    where = f"{archive}: member {name[:100]!r}"
    if not all(map(is_file_name, parts)) or parts[0].endswith(":"):
        raise InputError(f"{where} has a path that leads outside; get the archive from its source")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InputError(f"{where} is a link or a device, which is not followed; unpack it")
    if info.flag_bits & _ENCRYPTED:
        raise InputError(f"{where} is encrypted; unpack it")
    if info.compress_type not in _FORMATS:
        raise InputError(f"{where} is compressed in a way that is not read; unpack it")
    least = max(info.compress_size * INFLATION_MAX, INFLATION_FREE_BYTES)
    if info.file_size > least:
        raise InputError(
            f"{where} inflates {info.compress_size:,} bytes to {info.file_size:,}, more than any"
            " data; unpack it if you trust it"
        )


def _check_overlap(members: list[zipfile.ZipInfo], archive: str) -> None:
    """Refuse members that share their bytes, which makes few bytes into many."""
    ordered = sorted(members, key=lambda info: info.header_offset)
    for earlier, later in pairwise(ordered):
        if earlier.header_offset + earlier.compress_size > later.header_offset:
            raise InputError(
                f"{archive}: members {earlier.filename[:80]!r} and {later.filename[:80]!r} overlap"
            )
