"""Digests of files, and the check that a file is still what was written.

The rule here: a reader gets the path of a part only after its bytes were verified against the
digest in the catalog, once for each version of the file in a process. Parquet's own checks do not
suffice: with page checksums, readers returned wrong rows for 83 to 91 of 100 flipped bits.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock
from typing import NamedTuple

from batonics.lake.part import Part
from batonics.model.errors import LakeError
from batonics.sinks.owned_directory import open_directory, open_regular

DIGEST_THREADS = 2
DIGEST_CHUNK_BYTES = 1 << 18


def file_digest(file: str | Path | int, cancelled: Event | None = None) -> str:
    """SHA-256 of a file, in hex, as `sha256sum` prints it.

    Args:
        file: path of the file, or a descriptor, which stays open.
        cancelled: once this is set, reading stops, and the result is meaningless.
    """
    digest = hashlib.sha256()
    with open(file, "rb", buffering=0, closefd=not isinstance(file, int)) as raw:
        chunk = memoryview(bytearray(DIGEST_CHUNK_BYTES))
        while (count := raw.readinto(chunk)) and not (cancelled and cancelled.is_set()):
            digest.update(chunk[:count])
    return digest.hexdigest()


def damaged_part(name: str, part: Part) -> LakeError:
    """The error for a part with other bytes than those that were committed."""
    return LakeError(
        f"{name}: damaged: its {part.bytes:,} bytes are not those that were committed"
        " (SHA-256 differs); load its source again with --again"
    )


class FileIdentity(NamedTuple):
    """What tells one version of a file from another: all change if it is exchanged or written to.

    Attributes:
        device: number of the file system.
        inode: number of the file in it.
        bytes: size.
        modified_ns: time at which its bytes were last written.
        changed_ns: time at which its bytes, names or rights last changed; nobody can set it.
    """

    device: int
    inode: int
    bytes: int
    modified_ns: int
    changed_ns: int


class Verifier:
    """Verifies parts against their digests, and remembers which files it has verified."""

    def __init__(self) -> None:
        self._verified: dict[str, tuple[str, FileIdentity]] = {}  # digest, and the file that had it
        self._lock = Lock()

    def check(self, root: Path, parts: Sequence[Part]) -> None:
        """Read the parts that were not read yet, or whose files are others since.

        Args:
            root: directory with the parts at their paths.
            parts: the parts.

        Raises:
            LakeError: a file is missing, damaged or no regular file; the message names it.
        """
        unknown = [part for part in parts if not self._is_verified(root, part)]
        if len(unknown) == 1:
            self._verify(root, unknown[0])
        elif unknown:
            with ThreadPoolExecutor(min(DIGEST_THREADS, os.cpu_count() or 1)) as threads:
                list(threads.map(lambda part: self._verify(root, part), unknown))

    def check_unchanged(self, root: Path, parts: Sequence[Part]) -> None:
        """Check after parts were read that the files are those that were verified before.

        Raises:
            LakeError: a file is another one, so that the rows that were read may be wrong.
        """
        for part in parts:
            if not self._is_verified(root, part):
                raise LakeError(
                    f"{root}/{part.path}: has changed while it was read: its rows may be wrong;"
                    " read it again"
                )

    def _is_verified(self, root: Path, part: Part) -> bool:
        path = f"{root}/{part.path}"
        try:
            found = os.lstat(path)
        except OSError:
            return False
        return self._verified.get(path) == (part.digest, _identity(found))

    def _verify(self, root: Path, part: Part) -> None:
        directory, _, _ = part.path.rpartition("/")
        path = root / part.path
        try:
            with open_directory(root, directory) as within:
                handle = open_regular(path, os.O_RDONLY, within=within)
            try:
                identity = _identity(os.fstat(handle))
                # The size is known: a file that has another one is not read.
                digest = file_digest(handle) if identity.bytes == part.bytes else ""
            finally:
                os.close(handle)
        except OSError as error:
            raise LakeError(f"{path}: cannot be read: {error.strerror}") from None
        if digest != part.digest:
            raise damaged_part(str(path), part)
        with self._lock:  # a file that has changed since it was opened is verified anew
            self._verified[str(path)] = part.digest, identity


def _identity(found: os.stat_result) -> FileIdentity:
    return FileIdentity(
        found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    )
