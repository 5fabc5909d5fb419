"""Parts of a lake in a bucket, on this machine: fetched once, and kept.

The rule here: a file has its name in the cache only when its bytes are those that were committed;
and it is looked at again like any file of a lake. One that is damaged here is fetched anew; a
damaged object is the lake's damage.

A lake's directory in the cache looks as the lake would in a directory. What it holds can be
removed at any time. Beside it lie empty files of all parts that queries were planned on: DuckDB
plans on names, but the files must be there.
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

from batonics.lake.catalog import Part
from batonics.lake.digest import Verifier, damaged_part
from batonics.lake.objects import BucketClient, MissingError
from batonics.model.errors import LakeError, OutputError, UsageError
from batonics.settings.loader import current, user_cache

DOWNLOAD_THREADS = 8
"""Parts that are fetched at once."""
DEAD_SECONDS = 24 * 3_600
"""A file that has had no name for so long is nobody's."""
UNNAMED = ".part"
PLAN_DIRECTORY = ".names"
"""The directory of empty files."""
_FILES = "*/date=*/symbol=*/*"


class PartCache:
    """The files of one lake.

    Args:
        objects: the lake's.
    """

    def __init__(self, objects: BucketClient) -> None:
        self._objects = objects
        self._directory = cache_directory() / _directory_name(objects)
        self._names = self._directory / PLAN_DIRECTORY
        self._named: set[str] = set()  # in this process

    def path(self, part: Part) -> Path:
        """Where the part is once it has been fetched."""
        return self._directory / part.path

    def fetch(self, parts: Sequence[Part], verifier: Verifier) -> None:
        """Have parts here, each found by the verifier to be what was committed.

        Raises:
            LakeError: an object is missing or damaged; OutputError: there is no room here.
        """
        with ThreadPoolExecutor(DOWNLOAD_THREADS, "batonics-fetch") as threads:
            for _ in threads.map(lambda part: self._fetch(part, verifier), parts):
                pass

    def verify(self, part: Part) -> None:
        """Read an object, and keep nothing of it.

        Raises:
            LakeError: it is missing or damaged.
        """
        for _ in self._checked(part):
            pass

    def planned(self, parts: Sequence[Part]) -> list[str]:
        """Paths of files that are there, hive-named; empty ones.

        Raises:
            OutputError: there is no room here.
        """
        for part in parts:
            if part.path not in self._named:
                name = self._names / part.path
                with _room_for(name):
                    name.parent.mkdir(parents=True, exist_ok=True)
                    name.touch()
                self._named.add(part.path)
        return [str(self._names / part.path) for part in parts]

    def remove(self, paths: Sequence[str]) -> None:
        """Remove the files of parts, if they are here."""
        for path in paths:
            for directory in (self._directory, self._names):
                (directory / path).unlink(missing_ok=True)

    def sweep(self, known: Collection[str]) -> None:
        """Remove the files of parts that are unknown, and what fetches that were killed left."""
        dead = time.time() - DEAD_SECONDS
        for directory in (self._directory, self._names):
            for file in directory.glob(_FILES):
                is_known = file.relative_to(directory).as_posix() in known
                with suppress(FileNotFoundError):
                    if not is_known and (file.suffix != UNNAMED or file.stat().st_mtime < dead):
                        file.unlink()

    def _fetch(self, part: Part, verifier: Verifier) -> None:
        held = [(self.path(part), part)]
        try:
            verifier.check(held)
        except LakeError:
            self._download(part)
            verifier.check(held)

    def _download(self, part: Part) -> None:
        path = self.path(part)
        with _room_for(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(UNNAMED, dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.writelines(self._checked(part))
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise

    def _checked(self, part: Part) -> Iterator[bytes]:
        """The bytes of a part's object; at their end, LakeError if they are others."""
        name = self._objects.named(part.path)
        digest = hashlib.sha256()
        try:
            for chunk in self._objects.chunks(part.path):
                digest.update(chunk)
                yield chunk
        except MissingError:
            raise LakeError(f"{name}: is missing; load its source again with --again") from None
        if digest.hexdigest() != part.digest:
            raise damaged_part(name, part)


def cache_directory() -> Path:
    """Where lakes' parts are kept on this machine.

    Raises:
        UsageError: nothing says where.
    """
    if named := current().cache.directory:
        return Path(named).absolute() / "lakes"
    home = user_cache()
    if home is None:
        raise UsageError("parts need a cache: name its directory in BATONICS_CACHE_DIR")
    return home.absolute() / "batonics" / "lakes"


def _directory_name(objects: BucketClient) -> str:
    """One for each lake: buckets of one name may be at several servers."""
    whole = hashlib.sha256(f"{objects.endpoint}\n{objects.name}".encode()).hexdigest()
    return f"{objects.name.rpartition('/')[2]}-{whole[:16]}"


@contextmanager
def _room_for(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
