"""Removes the files of a lake that no reader needs any more.

The rule here: a replaced part stays for a time, for readers that began before it was replaced.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from batonics.lake.lake import VACUUM_SECONDS, Lake


class VacuumResult(NamedTuple):
    """The result of a vacuum.

    Attributes:
        files: number of files that were removed.
        bytes: their size.
    """

    files: int
    bytes: int


def vacuum_lake(lake: str | Path, older_than_seconds: float = VACUUM_SECONDS) -> VacuumResult:
    """Remove replaced parts, and what killed loads have left behind.

    Args:
        lake: the lake's directory, or `s3://BUCKET/PREFIX`.
        older_than_seconds: age from which replaced parts are removed.

    Raises:
        LakeError: there is no lake, or its catalog is damaged. OutputError: a file cannot be
            removed.
    """
    return VacuumResult(*Lake(lake).vacuum(older_than_seconds))
