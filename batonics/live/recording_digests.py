"""Digests of recorded files: the SHA-256 of a file's bytes up to its last sync.

The rule here: a digest is written after the bytes that it covers were synced, so a kill leaves an
older one, which still holds for its part of the file. The file is read back by the thread that
syncs, so the feed pays nothing. Bytes behind a digest, those of the last moment before a kill, are
covered from the next restart on.

    feed-000003-001.dbn.sha256:  5feceb66ffc8...  1048576        digest, and the bytes it covers
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import NamedTuple

from batonics.model.errors import InputError
from batonics.sinks.owned_directory import open_regular

DIGEST_SUFFIX = ".sha256"
_READ_BYTES = 1 << 20
_LINE_BYTES_MAX = 100
_LINE = re.compile(r"([0-9a-f]{64})  ([0-9]{1,18})\n")


class CheckedFile(NamedTuple):
    """What the digest of a recorded file says.

    Attributes:
        path: the file.
        file_bytes: its size.
        covered_bytes: how many of its first bytes have the recorded digest.
        damage: what is wrong with it; None: nothing.
    """

    path: Path
    file_bytes: int
    covered_bytes: int
    damage: str | None


class GrowingDigest:
    """The digest of a file that is being written; one thread uses it.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash, self._bytes = hashlib.sha256(), 0

    def write(self, descriptor: int, file_bytes: int) -> None:
        """Write the digest of the file's first bytes; `descriptor` can be read."""
        if file_bytes == self._bytes:
            return
        _update(self._hash, descriptor, self._bytes, file_bytes)
        self._bytes = file_bytes
        _write(self._path, self._hash.hexdigest(), file_bytes)


def check_file(path: Path) -> CheckedFile:
    """Compare a recorded file with its digest; one without a digest is not covered.

    Raises:
        InputError: it cannot be read.
    """
    return _check(path, keep=False)


def check_and_cover_file(path: Path) -> CheckedFile:
    """The same; the bytes behind the digest are covered from now on.

    Raises:
        InputError: it cannot be read, or its bytes are not those that were recorded.
    """
    found = _check(path, keep=True)
    if found.damage is not None:
        raise InputError(
            f"{path}: {found.damage}; restore it from a copy, or record into another directory"
        )
    return found


def _check(path: Path, *, keep: bool) -> CheckedFile:
    try:
        descriptor = open_regular(path, os.O_RDONLY)
        try:
            return _compare(path, descriptor, keep=keep)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _compare(path: Path, descriptor: int, *, keep: bool) -> CheckedFile:
    file_bytes = os.fstat(descriptor).st_size
    digest, covered_bytes = "", 0
    try:
        with os.fdopen(open_regular(_digest_path(path), os.O_RDONLY), encoding="ascii") as file:
            match = _LINE.fullmatch(file.read(_LINE_BYTES_MAX))
        if match is None:
            return CheckedFile(path, file_bytes, 0, "its digest cannot be read")
        digest, covered_bytes = match[1], int(match[2])
    except FileNotFoundError:
        pass
    except UnicodeDecodeError:
        return CheckedFile(path, file_bytes, 0, "its digest cannot be read")
    if file_bytes < covered_bytes:
        damage = f"it has {file_bytes} bytes, but {covered_bytes} were recorded"
        return CheckedFile(path, file_bytes, 0, damage)
    found = hashlib.sha256()
    _update(found, descriptor, 0, covered_bytes)
    if covered_bytes and found.hexdigest() != digest:
        damage = f"its first {covered_bytes} bytes are not those that were recorded"
        return CheckedFile(path, file_bytes, 0, damage)
    if keep and file_bytes > covered_bytes:
        _update(found, descriptor, covered_bytes, file_bytes)
        _write(path, found.hexdigest(), file_bytes)
    return CheckedFile(path, file_bytes, covered_bytes, None)


def _update(digest: hashlib._Hash, descriptor: int, start: int, stop: int) -> None:
    while start < stop:
        data = os.pread(descriptor, min(_READ_BYTES, stop - start), start)
        if not data:
            raise OSError(0, "it has become shorter")
        digest.update(data)
        start += len(data)


def _write(path: Path, digest: str, covered_bytes: int) -> None:
    target = _digest_path(path)
    temporary = target.with_name(target.name + ".part")
    temporary.unlink(missing_ok=True)  # it may be a link
    handle = open_regular(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(f"{digest}  {covered_bytes}\n")
        file.flush()
        os.fsync(file.fileno())  # a name without its bytes would refuse the recording
    temporary.replace(target)


def _digest_path(path: Path) -> Path:
    return path.with_name(path.name + DIGEST_SUFFIX)
