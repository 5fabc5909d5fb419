"""A lake in a bucket of S3, or of any store with conditional puts.

The rule here: no object of the lake but the catalog ever changes, and an object that the catalog
names is whole before it is named. There are no locks: each load gives its parts unique names, and
its commit is one put (`object_catalog.py`).

    PREFIX/catalog.sqlite                                          the catalog
    PREFIX/mbp-10/date=2025-09-24/ID-0000.parquet                  a part

A killed load leaves objects that the catalog does not name. Since nothing shows whether a load
still runs, such an object is an orphan only after a day; `vacuum` removes orphans. A load that
fails at its commit leaves its parts to `vacuum` too, since its last put may still arrive.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from batonics.lake.bucket_client import BucketClient
from batonics.lake.catalog import CATALOG_FILE, known_paths
from batonics.lake.digest import Verifier
from batonics.lake.object_catalog import ObjectCatalog
from batonics.lake.part import Part
from batonics.lake.part_cache import PartCache
from batonics.lake.part_paths import rebuild_part_path
from batonics.model.errors import LakeError, OutputError
from batonics.sinks.temporary import temporary_directory

UPLOAD_THREADS = 4
"""Files that are uploaded at once."""
ORPHAN_SECONDS = 24 * 3_600
"""Age from which an unknown object is an orphan: a load is faster than this from its first object
to its commit."""


class BucketStaging:
    """The staging area of a load: a temporary directory on this machine.

    Attributes:
        directory: the directory.
        id: the load's id, with which the names of its parts begin.
        published: paths of the files that are in the bucket.
    """

    def __init__(self, client: BucketClient, directory: Path) -> None:
        self.directory = directory
        self.id = secrets.token_hex(16)
        self.published: list[str] = []
        self._client = client

    def publish(self, files: Sequence[tuple[Path, str]]) -> None:
        """Upload files to the bucket; the commit comes after this.

        Args:
            files: path of each file now, and its path from the lake's root.

        Raises:
            OutputError: a file cannot be uploaded; then all of them are removed from the bucket.
        """
        try:
            with ThreadPoolExecutor(UPLOAD_THREADS, "batonics-upload") as threads:
                for _ in threads.map(lambda item: self._client.upload(*item), files):
                    pass
        except BaseException:
            with suppress(OutputError):  # then they are orphans
                self._client.delete([path for _, path in files])
            raise
        self.published += [path for _, path in files]


class BucketStore:
    """A lake in a bucket.

    Args:
        client: client of the bucket, below the lake's prefix.
        make: make the lake if it does not exist.

    Attributes:
        catalog: the catalog.

    Raises:
        LakeError: there is no lake, or its catalog is damaged. OutputError: it cannot be made.
    """

    def __init__(self, client: BucketClient, *, make: bool = False) -> None:
        self._client = client
        if make:
            self._make()
        self.catalog = ObjectCatalog(client)
        if make:  # for a load, which is not to fail at its end
            self.catalog.check()
        self._cache = PartCache(client)

    @property
    def name(self) -> str:
        """The lake's URL, for messages."""
        return self._client.name

    @property
    def local_root(self) -> Path:
        """See `Store`: a directory of the cache."""
        return self._cache.directory

    def check_room(self, needed: int, what: str) -> None:
        """See `Store`: a bucket has room."""

    def local_path(self, part: Part) -> Path:
        """The path at which a part can be read once it is fetched."""
        return self._cache.path(part)

    def fetch(self, parts: Sequence[Part], verifier: Verifier) -> None:
        """See `Store`; parts are downloaded into the cache."""
        self._cache.fetch(parts, verifier)

    def verify(self, part: Part) -> None:
        """See `Store`; the object is read, whatever the cache has."""
        self._cache.verify(part)

    @contextmanager
    def stage(self) -> Iterator[BucketStaging]:
        """A staging area for a load; it is removed when the block ends.

        Raises:
            OutputError: there is no room for its files, or they cannot be uploaded.
        """
        with _local_errors(), temporary_directory("batonics-load-") as directory:
            staging = BucketStaging(self._client, Path(directory))
            yield staging
            # Another load of the same source may have committed first.
            if staging.published:
                known = self.catalog.read(known_paths)
                self._client.delete([path for path in staging.published if path not in known])

    def clean_up(self) -> None:
        """Remove from this machine the files of parts that the lake no longer has."""
        self._cache.clean_up(self.catalog.read(known_paths))

    def remove(self, paths: Sequence[str]) -> int:
        """Remove objects, and their files in the cache; return how many bytes the objects had."""
        to_remove = set(filter(None, map(rebuild_part_path, paths)))
        sizes = {key: info.bytes for key, info in self._client.list_objects() if key in to_remove}
        self._client.delete(list(sizes))
        self._cache.remove(to_remove)
        return sum(sizes.values())

    def find_orphans(self) -> list[str]:
        """The paths of parts that the catalog does not know, and that no running load has put."""
        before = time.time() - ORPHAN_SECONDS
        found = {
            key
            for key, info in self._client.list_objects()
            if rebuild_part_path(key) is not None and info.modified < before
        }
        return sorted(found - self.catalog.read(known_paths))

    def _make(self) -> None:
        """Make the lake, unless the prefix has other objects."""
        if self._client.exists(CATALOG_FILE):
            return
        try:
            first = next(self._client.list_objects(), None)
        except LakeError as error:
            raise OutputError(str(error)) from None
        # If several processes make the lake at once, one may see the first objects of another.
        if first is not None and not self._client.exists(CATALOG_FILE):
            raise OutputError(f"{self.name}: is neither empty nor a lake; name another prefix")
        ObjectCatalog.make(self._client)


@contextmanager
def _local_errors() -> Iterator[None]:
    """Raise errors of this machine's file system as OutputError."""
    try:
        yield
    except OSError as error:
        path = error.filename or "the load's temporary directory"
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
