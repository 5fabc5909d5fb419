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

from batonics.lake.catalog import Part
from batonics.model.errors import LakeError

DIGEST_THREADS = 2
DIGEST_CHUNK_BYTES = 1 << 18


def file_digest(path: str | Path, cancelled: Event | None = None) -> str:
    """SHA-256 of a file, in hex, as `sha256sum` prints it.

    Args:
        path: path of the file.
        cancelled: once this is set, reading stops, and the result is meaningless.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb", buffering=0) as file:
        chunk = memoryview(bytearray(DIGEST_CHUNK_BYTES))
        while (count := file.readinto(chunk)) and not (cancelled and cancelled.is_set()):
            digest.update(chunk[:count])
    return digest.hexdigest()


def file_stat(path: str | Path) -> str:
    """Size, times and inode of a file: they change when it is written to or replaced."""
    stat = Path(path).stat()
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"


def damaged_part(name: str, part: Part) -> LakeError:
    """The error for a part with other bytes than those that were committed."""
    return LakeError(
        f"{name}: damaged: its {part.bytes:,} bytes are not those that were committed"
        " (SHA-256 differs); load its source again with --again"
    )


class Verifier:
    """Verifies files against their digests, and remembers those it has verified."""

    def __init__(self) -> None:
        self._verified: dict[Path, tuple[str, str]] = {}  # digest, and stat of the file that had it
        self._lock = Lock()

    def check(self, files: Sequence[tuple[Path, Part]]) -> None:
        """Read the files that were not read yet, or have changed since.

        Raises:
            LakeError: a file is missing or damaged; the message names it.
        """
        unknown = [(path, part) for path, part in files if not self._is_verified(path, part)]
        if len(unknown) == 1:
            self._verify(*unknown[0])
        elif unknown:
            with ThreadPoolExecutor(min(DIGEST_THREADS, os.cpu_count() or 1)) as threads:
                list(threads.map(lambda item: self._verify(*item), unknown))

    def _is_verified(self, path: Path, part: Part) -> bool:
        try:
            return self._verified.get(path) == (part.digest, file_stat(path))
        except OSError:
            return False

    def _verify(self, path: Path, part: Part) -> None:
        try:
            stat = file_stat(path)
            digest = file_digest(path)
        except OSError as error:
            raise LakeError(f"{path}: cannot be read: {error.strerror}") from None
        if digest != part.digest:
            raise damaged_part(str(path), part)
        with self._lock:
            self._verified[path] = part.digest, stat
