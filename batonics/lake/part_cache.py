"""A cache on this machine for the parts of a lake in a bucket.

The rule here: a file gets its name in the cache only once its bytes match the part's digest, and it
is verified like a file of any lake before it is read. A file that is damaged in the cache is
downloaded again; a damaged object is an error of the lake.

A lake's directory in the cache has the layout of a lake in a directory. Its files can be removed at
any time.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from batonics.lake.bucket_client import BucketClient, MissingError
from batonics.lake.digest import Verifier, damaged_part
from batonics.lake.part import Part
from batonics.model.errors import LakeError, OutputError, UsageError
from batonics.settings.loader import current, user_cache

DOWNLOAD_THREADS = 8
"""Parts that are downloaded at once."""
ABANDONED_SECONDS = 24 * 3_600
"""Age from which an unfinished download is abandoned."""
UNFINISHED_SUFFIX = ".part"
_FILES = "*/date=*/*"


class PartCache:
    """The cached files of one lake.

    Args:
        client: client of the lake's objects.

    Attributes:
        directory: the directory of this lake in the cache.
    """

    def __init__(self, client: BucketClient) -> None:
        self._client = client
        self.directory = cache_directory() / _directory_name(client)

    def path(self, part: Part) -> Path:
        """The path of a part once it is fetched."""
        return self.directory / part.path

    def fetch(self, parts: Sequence[Part], verifier: Verifier) -> None:
        """Download the parts that are not in the cache, and verify all of them.

        Raises:
            LakeError: an object is missing or damaged. OutputError: there is no room in the cache.
        """
        with ThreadPoolExecutor(DOWNLOAD_THREADS, "batonics-fetch") as threads:
            for _ in threads.map(lambda part: self._fetch(part, verifier), parts):
                pass

    def verify(self, part: Part) -> None:
        """Read an object and compare its digest, without storing it.

        Raises:
            LakeError: it is missing or damaged.
        """
        for _ in self._read_object(part):
            pass

    def remove(self, paths: Collection[str]) -> None:
        """Remove the files of parts, if they exist."""
        for path in paths:
            (self.directory / path).unlink(missing_ok=True)

    def clean_up(self, known: Collection[str]) -> None:
        """Remove the files of other parts than the known ones, and abandoned downloads."""
        abandoned_before = time.time() - ABANDONED_SECONDS
        for file in self.directory.glob(_FILES):
            if file.relative_to(self.directory).as_posix() in known:
                continue
            with suppress(FileNotFoundError):
                is_unfinished = file.suffix == UNFINISHED_SUFFIX
                if not is_unfinished or file.stat().st_mtime < abandoned_before:
                    file.unlink()

    def _fetch(self, part: Part, verifier: Verifier) -> None:
        try:
            verifier.check(self.directory, [part])
        except LakeError:
            self._download(part)
            verifier.check(self.directory, [part])

    def _download(self, part: Part) -> None:
        path = self.path(part)
        with _write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(UNFINISHED_SUFFIX, dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.writelines(self._read_object(part))
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise

    def _read_object(self, part: Part) -> Iterator[bytes]:
        """The bytes of a part's object; LakeError at their end if the digest differs."""
        name = self._client.object_name(part.path)
        digest = hashlib.sha256()
        try:
            for chunk in self._client.read_chunks(part.path):
                digest.update(chunk)
                yield chunk
        except MissingError:
            raise LakeError(f"{name}: is missing; load its source again with --again") from None
        if digest.hexdigest() != part.digest:
            raise damaged_part(name, part)


def cache_directory() -> Path:
    """The directory of this machine's caches of lakes.

    Raises:
        UsageError: no variable names a directory, and the user has no home.
    """
    if named := current().cache.directory:
        return Path(named).absolute() / "lakes"
    home = user_cache()
    if home is None:
        raise UsageError("parts need a cache: name its directory in BATONICS_CACHE_DIR")
    return home.absolute() / "batonics" / "lakes"


def _directory_name(client: BucketClient) -> str:
    """A name for each lake: buckets of the same name may exist at several servers."""
    digest = hashlib.sha256(f"{client.endpoint}\n{client.name}".encode()).hexdigest()
    return f"{client.name.rpartition('/')[2]}-{digest[:16]}"


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Raise errors of the file system as OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
