"""Whether a load fits on its disk, as far as what it has written tells.

The rule here: what is refused could not have fitted. The estimates are lower bounds, so a load that
passes may still find the disk full, which leaves the lake as it was.

A load writes its rows twice: to runs, as they come, and from there to parts, sorted. All runs of a
day are there until its last part is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from batonics.model.errors import OutputError

SHARE_LEAST = 0.02
"""Share of a source that is read before the rest is estimated."""
PARTS_SHARE = 0.2
"""Size of parts by that of the runs that they are made of, at least."""


class SortRoom:
    """The room for the runs and parts of a source, which several schemas share.

    Args:
        directory: the directory of the runs and parts.
        find_share: finds the share of the source that was read, from 0 to 1.
    """

    def __init__(self, directory: Path, find_share: Callable[[], float]) -> None:
        self._directory, self._find_share = directory, find_share
        self._lock, self._bytes = Lock(), 0

    def add_run(self, size: int, *, keeps_runs: bool) -> None:
        """Note that a run was written.

        Args:
            size: its size in bytes.
            keeps_runs: no run was removed yet, so all of them have to fit.

        Raises:
            OutputError: the rest of the source cannot fit.
        """
        with self._lock:
            self._bytes += size
            written = self._bytes
        share = min(self._find_share(), 1.0)
        if share < SHARE_LEAST or not keeps_runs:
            return
        total = written / share
        needed, free = int(total * (1 + PARTS_SHARE)) - written, free_bytes(self._directory)
        if needed > free:
            raise OutputError(
                f"{self._directory}: has no room to sort the rows: they need about"
                f" {describe_bytes(needed)} more, and {describe_bytes(free)} are free; make room,"
                " or load fewer schemas at once"
            )


def check_room(root: Path, needed: int, what: str) -> None:
    """Raise OutputError unless a directory has room for so many bytes.

    Args:
        root: the directory.
        needed: the bytes.
        what: what needs them, for the message.
    """
    free = free_bytes(root)
    if needed > free:
        raise OutputError(
            f"{root}: has no room for {what}: they need about {describe_bytes(needed)}, and"
            f" {describe_bytes(free)} are free; make room, or load fewer of them"
        )


def free_bytes(directory: Path) -> int:
    """What is free on the file system of a directory."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def describe_bytes(size: int) -> str:
    """A size in words, such as 1.5 GB."""
    units = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
    factor, unit = next((pair for pair in units if size >= pair[0]), units[-1])
    return f"{size / factor:.1f} {unit}"
