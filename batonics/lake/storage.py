"""Where a lake lies: in a directory, or in a bucket.

The rule here: this is the one place that chooses; all else knows a `Store`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from batonics.lake.catalog import Catalog, Part
from batonics.lake.digest import Verifier
from batonics.lake.directory_store import DirectoryStore

S3_URL = re.compile("^s3:/+")
"""A `Path` that was made of an URL has one slash only."""


class StagingArea(Protocol):
    """A load under way: a directory for what it writes."""

    @property
    def directory(self) -> Path:
        """Where its files are written."""

    @property
    def id(self) -> str:
        """By which its parts are named."""

    def publish(self, files: Sequence[tuple[Path, str]]) -> None:
        """Give files their names in the lake: where each is now, and its path from the root.

        Names and bytes survive anything when it returns; what is to come is the commit.
        """


class Store(Protocol):
    """A lake: what it holds, where that lies, and how it gets there."""

    @property
    def catalog(self) -> Catalog:
        """What it holds."""

    @property
    def name(self) -> str:
        """For people."""

    def path(self, part: Part) -> Path:
        """Where a part can be read, once it has been fetched."""

    def fetch(self, parts: Sequence[Part], verifier: Verifier) -> None:
        """Have parts where they can be read, each found to be what was committed.

        Raises:
            LakeError: one is missing or damaged.
        """

    def planned(self, parts: Sequence[Part]) -> list[str]:
        """Paths that a query can be planned on: of files that are there, named as the parts are."""

    def verify(self, part: Part) -> None:
        """Read a part where the lake has it, whatever has been read before.

        Raises:
            LakeError: it is missing or damaged.
        """

    def loading(self) -> AbstractContextManager[StagingArea]:
        """A load: its directory is there until the block ends."""

    def sweep(self) -> None:
        """Remove what work that was killed has left behind."""

    def remove(self, paths: Sequence[str]) -> int:
        """Remove parts; how many bytes they had."""

    def strays(self) -> list[str]:
        """Paths of parts that neither the catalog nor a load under way knows."""


def open_store(root: str | Path, *, make: bool = False) -> Store:
    """The lake in a directory, or at `s3://BUCKET/PREFIX`.

    Args:
        root: of the lake.
        make: make it if it is not there.

    Raises:
        LakeError: there is none; OutputError: it cannot be made; UsageError: it is no such URL, or
        obstore is not installed.
    """
    if not S3_URL.match(str(root)):
        return DirectoryStore(root, make=make)
    from batonics.lake.bucket import BucketStore
    from batonics.lake.objects import open_bucket

    return BucketStore(open_bucket(S3_URL.sub("s3://", str(root))), make=make)
