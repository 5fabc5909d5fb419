"""A cache on this machine for the parts of a lake in a bucket.

The rule here: a file gets its name in the cache only once its bytes match the part's digest, and it
is verified like a file of any lake before it is read. A file that is damaged in the cache is
downloaded again; a damaged object is an error of the lake.

A lake's directory in the cache has the layout of a lake in a directory. Its files can be removed at
any time. Only the directory of all caches may be a link: below it none is followed, so whoever can
write to it makes batonics neither write nor remove a file elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from batonics.lake.bucket_client import BucketClient, MissingError
from batonics.lake.digest import Verifier, damaged_part
from batonics.lake.part import Part
from batonics.lake.part_paths import PART_DEPTH
from batonics.model.errors import LakeError, OutputError, UsageError
from batonics.settings.loader import current, user_cache
from batonics.sinks.owned_directory import list_files, open_directory, open_regular, remove_file

DOWNLOAD_THREADS = 8
"""Parts that are downloaded at once."""
ABANDONED_SECONDS = 24 * 3_600
"""Age from which an unfinished download is abandoned."""
UNFINISHED_SUFFIX = ".part"
_FILE_MODE = 0o600


class PartCache:
    """The cached files of one lake.

    Args:
        client: client of the lake's objects.

    Attributes:
        directory: the directory of this lake in the cache.
    """

    def __init__(self, client: BucketClient) -> None:
        self._client = client
        self._root, self._name = cache_directory(), _directory_name(client)
        self.directory = self._root / self._name

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
            remove_file(self._root, f"{self._name}/{path}")

    def clean_up(self, known: Collection[str]) -> None:
        """Remove the files of other parts than the known ones, and abandoned downloads."""
        abandoned_before = time.time() - ABANDONED_SECONDS
        with suppress(FileNotFoundError), _write_errors(self.directory):
            for path in list(list_files(self._root, PART_DEPTH, self._name)):
                if path in known or not path.split("/")[1].startswith("date="):
                    continue
                is_unfinished = path.endswith(UNFINISHED_SUFFIX)
                if not is_unfinished or self._modified(path) < abandoned_before:
                    remove_file(self._root, f"{self._name}/{path}")

    def _modified(self, path: str) -> float:
        """When a file of this lake was written; now if it is gone."""
        try:
            return os.lstat(self.directory / path).st_mtime
        except FileNotFoundError:
            return time.time()

    def _fetch(self, part: Part, verifier: Verifier) -> None:
        try:
            verifier.check(self.directory, [part])
        except LakeError:
            self._download(part)
            verifier.check(self.directory, [part])

    def _download(self, part: Part) -> None:
        path = self.path(part)
        directory, _, name = part.path.rpartition("/")
        unfinished = path.with_name(f"{secrets.token_hex(8)}{UNFINISHED_SUFFIX}")
        with _write_errors(path):
            self._root.mkdir(parents=True, exist_ok=True)
            with open_directory(self._root, f"{self._name}/{directory}", make=True) as within:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                handle = open_regular(unfinished, flags, within=within)
                try:
                    with os.fdopen(handle, "wb") as file:
                        os.fchmod(handle, _FILE_MODE)
                        file.writelines(self._read_object(part))
                    os.rename(unfinished.name, name, src_dir_fd=within, dst_dir_fd=within)
                except BaseException:
                    with suppress(FileNotFoundError):
                        os.unlink(unfinished.name, dir_fd=within)
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
