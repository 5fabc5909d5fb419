"""Checks a lake: reads every file, and compares it with the catalog.

The rule here: a check changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from batonics.lake.lake import Lake


class LakeCheck:
    """One run of the job.

    Args:
        lake: the lake's directory, or `s3://BUCKET/PREFIX`.

    Attributes:
        progress: called with the size of each part once it is read.
        parts_total: number of parts.
        bytes_total: size of all parts.

    Raises:
        LakeError: there is no lake, or its catalog is damaged.
    """

    def __init__(self, lake: str | Path) -> None:
        self.progress: Callable[[int], None] | None = None
        self._lake = Lake(lake)
        parts = self._lake.parts()
        self.parts_total = parts.height
        self.bytes_total = int(parts["bytes"].sum())

    def run(self) -> list[str]:
        """Read every part; return a line for each problem."""
        return self._lake.check(self.progress)
