"""A lake in a bucket: S3, or any store that has its conditional puts.

The rule here: an object of the lake never changes, but for the catalog; and what the catalog names
has been there, whole, since before it was named. There are no locks: a load gives its parts names
that nobody else has, and its commit is one put (`object_catalog.py`).

    PREFIX/catalog.sqlite                                          what is in the lake
    PREFIX/mbp-10/date=2025-09-24/symbol=CLX5/ID-0000.parquet      a part

What a load that was killed has put there, nothing names. Nothing tells either whether that load is
still alive: so only what has lain there for a day is a stray, and `vacuum` removes it. A load that
fails at its commit leaves its parts to that as well, for its last put may be on the way still.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from batonics.lake.catalog import Part, known_paths
from batonics.lake.digest import Verifier
from batonics.lake.object_catalog import CATALOG_FILE, ObjectCatalog
from batonics.lake.objects import BucketClient
from batonics.lake.part_cache import PartCache
from batonics.model.errors import LakeError, OutputError

UPLOAD_THREADS = 4
"""Files that are sent at once."""
ORPHAN_SECONDS = 24 * 3_600
"""No load takes so long from its first object to its commit."""
_PART = re.compile(r"[^/]+/date=[^/]+/symbol=[^/]+/[^/]+\.parquet")


class BucketStaging:
    """A load under way: a directory on this machine for what it writes.

    Attributes:
        directory: where its files are written.
        id: by which its parts are named.
        published: the paths of those that are in the bucket.
    """

    def __init__(self, objects: BucketClient, directory: Path) -> None:
        self.directory = directory
        self.id = secrets.token_hex(16)
        self.published: list[str] = []
        self._objects = objects

    def publish(self, files: Sequence[tuple[Path, str]]) -> None:
        """Put files into the bucket; what is to come is the commit.

        Args:
            files: where each is now, and its path from the lake's root.

        Raises:
            OutputError: one cannot be put. Then none stays.
        """
        try:
            with ThreadPoolExecutor(UPLOAD_THREADS, "batonics-upload") as threads:
                for _ in threads.map(lambda item: self._objects.upload(*item), files):
                    pass
        except BaseException:
            with suppress(OutputError):  # then they are strays
                self._objects.delete([path for _, path in files])
            raise
        self.published += [path for _, path in files]


class BucketStore:
    """A lake in a bucket.

    Args:
        objects: those below its prefix.
        make: make it if it is not there.

    Attributes:
        catalog: what it holds.

    Raises:
        LakeError: there is none; OutputError: it cannot be made.
    """

    def __init__(self, objects: BucketClient, *, make: bool = False) -> None:
        self._objects = objects
        if make:
            self._make()
        self.catalog = ObjectCatalog(objects)
        self._cache = PartCache(objects)

    @property
    def name(self) -> str:
        """For people."""
        return self._objects.name

    def path(self, part: Part) -> Path:
        """Where a part can be read once it has been fetched."""
        return self._cache.path(part)

    def fetch(self, parts: Sequence[Part], verifier: Verifier) -> None:
        """As `Store`."""
        self._cache.fetch(parts, verifier)

    def planned(self, parts: Sequence[Part]) -> list[str]:
        """As `Store`."""
        return self._cache.planned(parts)

    def verify(self, part: Part) -> None:
        """As `Store`: the object, whatever is in the cache."""
        self._cache.verify(part)

    @contextmanager
    def loading(self) -> Iterator[BucketStaging]:
        """A load: its directory is there until the block ends.

        Raises:
            OutputError: there is no room for its files, or they cannot be put.
        """
        with _local_files(), TemporaryDirectory(prefix="batonics-load-") as directory:
            loading = BucketStaging(self._objects, Path(directory))
            yield loading
            # Another load of the same may have come first.
            if loading.published:
                known = self.catalog.read(known_paths)
                self._objects.delete([path for path in loading.published if path not in known])

    def sweep(self) -> None:
        """Remove from this machine what is in the lake no more."""
        self._cache.sweep(self.catalog.read(known_paths))

    def remove(self, paths: Sequence[str]) -> int:
        """Remove objects, and the files that were fetched; how many bytes the objects had."""
        wanted = set(paths)
        found = {key: listed.bytes for key, listed in self._objects.listed() if key in wanted}
        self._objects.delete(list(found))
        self._cache.remove(paths)
        return sum(found.values())

    def strays(self) -> list[str]:
        """Paths of parts that the catalog does not know, and no load under way can have put."""
        before = time.time() - ORPHAN_SECONDS
        found = {
            key
            for key, listed in self._objects.listed()
            if _PART.fullmatch(key) and listed.modified < before
        }
        return sorted(found - self.catalog.read(known_paths))

    def _make(self) -> None:
        """Make the lake, if nothing else is there."""
        if self._objects.exists(CATALOG_FILE):
            return
        try:
            first = next(self._objects.listed(), None)
        except LakeError as error:
            raise OutputError(str(error)) from None
        # Of several that make it at once one does, and the others may see its first objects.
        if first is not None and not self._objects.exists(CATALOG_FILE):
            raise OutputError(f"{self.name}: is neither empty nor a lake; name another prefix")
        ObjectCatalog.make(self._objects)


@contextmanager
def _local_files() -> Iterator[None]:
    """Within the block errors of this machine's file system are ours."""
    try:
        yield
    except OSError as error:
        where = error.filename or "the load's temporary directory"
        raise OutputError(f"{where}: cannot be written: {error.strerror or error}") from None
