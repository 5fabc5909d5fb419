"""Where a lake is stored: in a directory or in a bucket.

The rule here: `open_store` alone chooses between the two; all other modules know a `Store`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from batonics.lake.catalog import Catalog
from batonics.lake.digest import Verifier
from batonics.lake.directory_store import DirectoryStore
from batonics.lake.part import Part

S3_URL = re.compile("^s3:/+")
"""The beginning of a bucket's URL. A `Path` made of such a URL has one slash only."""


class StagingArea(Protocol):
    """A directory for the files of one load, until they are published."""

    @property
    def directory(self) -> Path:
        """The directory, on this machine."""

    @property
    def id(self) -> str:
        """The load's id, with which the names of its parts begin."""

    def publish(self, files: Sequence[tuple[Path, str]]) -> None:
        """Move files into the lake; the commit comes after this.

        When it returns, names and bytes are on the disk or in the bucket.

        Args:
            files: path of each file now, and its path from the lake's root.
        """


class Store(Protocol):
    """A lake: its catalog, and the files of its parts."""

    @property
    def catalog(self) -> Catalog:
        """The catalog."""

    @property
    def name(self) -> str:
        """The lake's root, for messages."""

    @property
    def local_root(self) -> Path:
        """The directory on this machine that has fetched parts at their paths."""

    def check_room(self, needed: int, what: str) -> None:
        """Raise OutputError if `what` needs more bytes than are free where parts are stored."""

    def local_path(self, part: Part) -> Path:
        """The path at which a part can be read once it is fetched."""

    def fetch(self, parts: Sequence[Part], verifier: Verifier) -> None:
        """Make parts readable on this machine, and verify them.

        Raises:
            LakeError: a part is missing or damaged.
        """

    def verify(self, part: Part) -> None:
        """Read a part where the lake stores it, even if it was verified before.

        Raises:
            LakeError: it is missing or damaged.
        """

    def stage(self) -> AbstractContextManager[StagingArea]:
        """A staging area for a load; it is removed when the block ends."""

    def clean_up(self) -> None:
        """Remove what killed processes have left behind."""

    def remove(self, paths: Sequence[str]) -> int:
        """Remove parts; return how many bytes they had."""

    def find_orphans(self) -> list[str]:
        """The paths of parts that neither the catalog nor a running load knows."""


def open_store(root: str | Path, *, make: bool = False) -> Store:
    """Open the lake in a directory, or at `s3://BUCKET/PREFIX`.

    Args:
        root: the lake's root.
        make: make the lake if it does not exist.

    Raises:
        LakeError: there is no lake. OutputError: it cannot be made. UsageError: the URL is invalid,
        or obstore is not installed.
    """
    if not S3_URL.match(str(root)):
        return DirectoryStore(root, make=make)
    from batonics.lake.bucket_client import open_bucket
    from batonics.lake.bucket_store import BucketStore
    from batonics.sources.object_stores import S3_SCHEME

    return BucketStore(open_bucket(S3_URL.sub(S3_SCHEME, str(root))), make=make)
