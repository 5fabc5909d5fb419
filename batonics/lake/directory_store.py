"""A lake in a directory.

The rule here: a file of the lake gets its name only once its bytes are on the disk, and never
changes after that. A load writes below `.loading/` until all of its files are complete. No file
below the root is reached through a link (`sinks/owned_directory.py`).

    LAKE/catalog.sqlite                                           the catalog (`catalog.py`)
    LAKE/mbp-10/date=2025-09-24/ID-0000.parquet                   a part
    LAKE/.loading/ID/                                             the staging area of a load
    LAKE/.loading/ID/moves                                        written before files are moved

A running load holds a lock in its staging area. A killed load leaves the staging area without that
lock: the next load removes it, and those files named in `moves` that the catalog does not know.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from batonics.lake.catalog import CATALOG_FILE, known_paths
from batonics.lake.digest import Verifier
from batonics.lake.disk_room import check_room
from batonics.lake.file_catalog import FileCatalog
from batonics.lake.part import Part
from batonics.lake.part_paths import PART_DEPTH, rebuild_part_path
from batonics.model.errors import LakeError, OutputError
from batonics.sinks.atomic import sync_path
from batonics.sinks.owned_directory import (
    list_files,
    move_file,
    open_directory,
    open_lock,
    open_regular,
    remove_file,
)

STAGING_DIRECTORY = ".loading"
LOCK_FILE = "lock"
MOVES_FILE = "moves"
MOVES_LETTERS_MAX = 64 << 20
"""What is read of a moves file; a vacuum finds the files of later lines as orphans."""
LOAD_ID_BYTES = 8
_LOAD_ID = re.compile("[0-9a-f]{16}")


class DirectoryStaging:
    """The staging area of a load: a directory of the lake's file system.

    Attributes:
        directory: the directory.
        id: the load's id, with which the names of its parts begin.
    """

    def __init__(self, store: DirectoryStore, directory: Path) -> None:
        self.directory = directory
        self.id = directory.name
        self._store = store

    def publish(self, files: Sequence[tuple[Path, str]]) -> None:
        """Move files, whose bytes are on the disk, into the lake; the commit comes after this.

        When it returns, the names are on the disk too.

        Args:
            files: path of each file now, and its path from the lake's root.
        """
        moves = self.directory / MOVES_FILE
        with moves.open("x", encoding="utf-8") as file:
            file.writelines(f"{path}\n" for _, path in files)
            file.flush()
            os.fsync(file.fileno())
        sync_path(self.directory)
        root = self._store.root
        directories = sorted({path.rpartition("/")[0] for _, path in files})
        # The lock keeps others from removing a directory that was just made and is still empty.
        with self._store.locked():
            for directory in directories:
                with open_directory(root, directory, make=True):
                    pass
            for source, path in files:
                move_file(source, root, path)
            for directory in directories:
                with open_directory(root, directory) as handle:
                    os.fsync(handle)


class DirectoryStore:
    """A lake in a directory.

    Args:
        root: the lake's root.
        make: make the lake if it does not exist.

    Attributes:
        root: the lake's root.
        catalog: the catalog.

    Raises:
        LakeError: there is no lake, or its catalog is damaged. OutputError: it cannot be made.
    """

    def __init__(self, root: str | Path, *, make: bool = False) -> None:
        self.root = Path(root)
        self._prefix = f"{self.root}/"
        if make:
            with _write_errors(self.root):
                self._make()
        self.catalog = FileCatalog(self.root / CATALOG_FILE)
        if make:  # for a load, which is not to fail at its end
            self.catalog.check()

    @property
    def name(self) -> str:
        """The lake's root, for messages."""
        return str(self.root)

    @property
    def local_root(self) -> Path:
        """See `Store`: the lake's root."""
        return self.root

    def check_room(self, needed: int, what: str) -> None:
        """See `Store`."""
        check_room(self.root, needed, what)

    def local_path(self, part: Part) -> Path:
        """The path of a part."""
        return Path(f"{self._prefix}{part.path}")

    def fetch(self, parts: Sequence[Part], verifier: Verifier) -> None:
        """See `Store`; parts are on this machine already, and are verified."""
        verifier.check(self.root, parts)

    def verify(self, part: Part) -> None:
        """See `Store`."""
        Verifier().check(self.root, [part])

    @contextmanager
    def stage(self) -> Iterator[DirectoryStaging]:
        """A staging area for a load; it is removed when the block ends.

        Raises:
            OutputError: the lake cannot be written to.
        """
        with _write_errors(self.root):
            self.clean_up()
            directory, lock = self._make_staging()
            try:
                yield DirectoryStaging(self, directory)
            finally:
                with self.locked():
                    self._remove_staging(directory.name)
                os.close(lock)

    def clean_up(self) -> None:
        """Remove what killed loads have left behind."""
        with _write_errors(self.root), self.locked():
            for load_id in self._staged_loads():
                if self._is_abandoned(load_id):
                    self._remove_staging(load_id)

    def remove(self, paths: Sequence[str]) -> int:
        """Remove files of the lake; return how many bytes they had."""
        with _write_errors(self.root), self.locked():
            return self._remove_files(paths)

    def find_orphans(self) -> list[str]:
        """The paths of Parquet files that neither the catalog nor a running load knows."""
        with _read_errors(self.root), self._locked_shared():
            found = set(filter(rebuild_part_path, list_files(self.root, PART_DEPTH)))
            for load_id in self._staged_loads():
                found.difference_update(self._read_moves(load_id))
            return sorted(found - self.catalog.read(known_paths))

    def _make(self) -> None:
        root = self.root
        if root.exists() and not root.is_dir():
            raise OutputError(f"{root}: is a file; a lake is a directory")
        is_lake = (root / CATALOG_FILE).exists() or (root / STAGING_DIRECTORY).is_dir()
        if root.is_dir() and not is_lake and any(root.iterdir()):
            raise OutputError(f"{root}: is neither empty nor a lake; name another directory")
        root.mkdir(parents=True, exist_ok=True)
        with self.locked():
            self._check_catalog_exists()
            FileCatalog.make(self.root / CATALOG_FILE)
        for directory in (self.root / STAGING_DIRECTORY, self.root, self.root.absolute().parent):
            sync_path(directory)

    def _check_catalog_exists(self) -> None:
        """LakeError if there are parts without a catalog: a new catalog would not know them."""
        catalog = self.root / CATALOG_FILE
        has_catalog = catalog.is_file() and catalog.stat().st_size > 0
        if not has_catalog and next(self.root.glob("*/date=*"), None) is not None:
            raise LakeError(
                f"{self.root}: has parts, but no catalog; put {CATALOG_FILE} back, or move the"
                " parts away"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Within the block no other process begins a load, or looks for abandoned ones."""
        with open_directory(self.root, STAGING_DIRECTORY, make=True) as within:
            lock = open_lock(self.root / STAGING_DIRECTORY / LOCK_FILE, within=within)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    @contextmanager
    def _locked_shared(self) -> Iterator[None]:
        """Within the block no process begins or ends a load; this needs no right to write."""
        path = self.root / STAGING_DIRECTORY / LOCK_FILE
        try:
            with open_directory(self.root, STAGING_DIRECTORY) as within:
                lock = open_regular(path, os.O_RDONLY, within=within)
        except FileNotFoundError:
            yield  # no load has ever begun here: the lake was copied
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield
        finally:
            os.close(lock)

    def _staged_loads(self) -> list[str]:
        """The ids of the loads that have a staging area; what else lies there is left alone."""
        try:
            with (
                open_directory(self.root, STAGING_DIRECTORY) as within,
                os.scandir(within) as found,
            ):
                return sorted(
                    entry.name
                    for entry in found
                    if _LOAD_ID.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
                )
        except FileNotFoundError:
            return []

    def _make_staging(self) -> tuple[Path, int]:
        """A new staging area, and the lock that this load holds on it."""
        with self.locked():
            load_id = secrets.token_hex(LOAD_ID_BYTES)
            directory = self.root / STAGING_DIRECTORY / load_id
            with open_directory(self.root, _staging_path(load_id), make=True) as within:
                lock = open_lock(directory / LOCK_FILE, within=within)
            fcntl.flock(lock, fcntl.LOCK_EX)
            return directory, lock

    def _remove_staging(self, load_id: str) -> None:
        """Remove a staging area, and the files that were published from it but not committed."""
        if moved := self._read_moves(load_id):
            known = self.catalog.read(known_paths)
            self._remove_files([path for path in moved if path not in known])
        with open_directory(self.root, STAGING_DIRECTORY) as within:
            shutil.rmtree(load_id, dir_fd=within)

    def _remove_files(self, paths: Iterable[str]) -> int:
        rebuilt = filter(None, map(rebuild_part_path, paths))
        return sum(remove_file(self.root, path) for path in rebuilt)

    def _read_moves(self, load_id: str) -> list[str]:
        """The paths of the files that a load has published, or was about to."""
        handle = self._open_staged(load_id, MOVES_FILE, os.O_RDONLY)
        if handle is None:
            return []
        with open(handle, encoding="utf-8", errors="replace") as lines:  # noqa: PTH123
            return [
                path
                for path in map(rebuild_part_path, lines.read(MOVES_LETTERS_MAX).splitlines())
                if path
            ]

    def _open_staged(self, load_id: str, name: str, flags: int) -> int | None:
        """Open a regular file of a staging area; None: no load has made one."""
        path = self.root / _staging_path(load_id) / name
        try:
            with open_directory(self.root, _staging_path(load_id)) as within:
                return open_regular(path, flags, within=within)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.EINVAL:  # it is no regular file
                return None
            raise

    def _is_abandoned(self, load_id: str) -> bool:
        """Whether no process holds the lock of a staging area."""
        lock = self._open_staged(load_id, LOCK_FILE, os.O_WRONLY)
        if lock is None:
            return True  # killed before it had a lock: the caller's lock keeps loads from beginning
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True


def _staging_path(load_id: str) -> str:
    return f"{STAGING_DIRECTORY}/{load_id}"


@contextmanager
def _write_errors(root: Path) -> Iterator[None]:
    """Raise errors of the file system as OutputError or LakeError that name the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise LakeError(f"{error.filename or root}: is gone; was the lake removed?") from None
    except OSError as error:
        path = error.filename or root
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None


@contextmanager
def _read_errors(root: Path) -> Iterator[None]:
    """Raise errors of the file system as LakeError that names the file."""
    try:
        yield
    except OSError as error:
        path = error.filename or root
        raise LakeError(f"{path}: cannot be read: {error.strerror or error}") from None
