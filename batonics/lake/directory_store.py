"""A lake in a directory.

The rule here: a file of the lake gets its name only once its bytes are on the disk, and never
changes after that. A load writes below `.loading/` until all of its files are complete.

    LAKE/catalog.sqlite                                           the catalog (`catalog.py`)
    LAKE/mbp-10/date=2025-09-24/symbol=CLX5/ID-0000.parquet       a part
    LAKE/.loading/ID/                                             the staging area of a load
    LAKE/.loading/ID/moves                                        written before files are moved

A running load holds a lock in its staging area. A killed load leaves the staging area without that
lock: the next load removes it, and those files named in `moves` that the catalog does not know.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from batonics.lake.catalog import CATALOG_FILE, Part, known_paths
from batonics.lake.digest import Verifier
from batonics.lake.file_catalog import FileCatalog
from batonics.model.errors import LakeError, OutputError
from batonics.sinks.atomic import sync_path

STAGING_DIRECTORY = ".loading"
LOCK_FILE = "lock"
MOVES_FILE = "moves"


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
        with moves.open("w", encoding="utf-8") as file:
            file.writelines(f"{path}\n" for _, path in files)
            file.flush()
            os.fsync(file.fileno())
        sync_path(self.directory)
        root = self._store.root
        directories = sorted({(root / path).parent for _, path in files})
        # The lock keeps others from removing a directory that was just made and is still empty.
        with self._store.locked():
            for directory in directories:
                _make_directories(directory, root)
            for source, path in files:
                source.rename(root / path)
            for directory in directories:
                sync_path(directory)


class DirectoryStore:
    """A lake in a directory.

    Args:
        root: the lake's root.
        make: make the lake if it does not exist.

    Attributes:
        root: the lake's root.
        catalog: the catalog.

    Raises:
        LakeError: there is no lake. OutputError: it cannot be made.
    """

    def __init__(self, root: str | Path, *, make: bool = False) -> None:
        self.root = Path(root)
        self._prefix = f"{self.root}/"
        if make:
            with _write_errors(self.root):
                self._make()
        self.catalog = FileCatalog(self.root / CATALOG_FILE)

    @property
    def name(self) -> str:
        """The lake's root, for messages."""
        return str(self.root)

    def local_path(self, part: Part) -> Path:
        """The path of a part."""
        return Path(f"{self._prefix}{part.path}")

    def fetch(self, parts: Sequence[Part], verifier: Verifier) -> None:
        """See `Store`; parts are on this machine already, and are verified."""
        verifier.check([(self.local_path(part), part) for part in parts])

    def plan_paths(self, parts: Sequence[Part]) -> list[str]:
        """See `Store`; the paths are those of the parts."""
        return [str(self.local_path(part)) for part in parts]

    def verify(self, part: Part) -> None:
        """See `Store`."""
        Verifier().check([(self.local_path(part), part)])

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
                    self._remove_staging(directory)
                os.close(lock)

    def clean_up(self) -> None:
        """Remove what killed loads have left behind."""
        with _write_errors(self.root), self.locked():
            for directory in sorted((self.root / STAGING_DIRECTORY).iterdir()):
                if directory.is_dir() and _is_abandoned(directory):
                    self._remove_staging(directory)

    def remove(self, paths: Sequence[str]) -> int:
        """Remove files of the lake; return how many bytes they had."""
        with _write_errors(self.root), self.locked():
            return self._remove_files(paths)

    def find_orphans(self) -> list[str]:
        """The paths of Parquet files that neither the catalog nor a running load knows."""
        with _read_errors(self.root), self._locked_shared():
            found = {
                path.relative_to(self.root).as_posix()
                for path in self.root.glob("*/date=*/symbol=*/*.parquet")
            }
            for moves in (self.root / STAGING_DIRECTORY).glob(f"*/{MOVES_FILE}"):
                found -= set(_read_moves(moves.parent))
            return sorted(found - self.catalog.read(known_paths))

    def _make(self) -> None:
        root = self.root
        if root.exists() and not root.is_dir():
            raise OutputError(f"{root}: is a file; a lake is a directory")
        is_lake = (root / CATALOG_FILE).exists() or (root / STAGING_DIRECTORY).is_dir()
        if root.is_dir() and not is_lake and any(root.iterdir()):
            raise OutputError(f"{root}: is neither empty nor a lake; name another directory")
        (root / STAGING_DIRECTORY).mkdir(parents=True, exist_ok=True)
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
        (self.root / STAGING_DIRECTORY).mkdir(exist_ok=True)
        with (self.root / STAGING_DIRECTORY / LOCK_FILE).open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _locked_shared(self) -> Iterator[None]:
        """Within the block no process begins or ends a load; this needs no right to write."""
        try:
            file = (self.root / STAGING_DIRECTORY / LOCK_FILE).open("rb")
        except FileNotFoundError:
            yield  # no load has ever begun here: the lake was copied
            return
        with file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    def _make_staging(self) -> tuple[Path, int]:
        """A new staging area, and the lock that this load holds on it."""
        with self.locked():
            directory = self.root / STAGING_DIRECTORY / secrets.token_hex(8)
            directory.mkdir()
            lock = os.open(directory / LOCK_FILE, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666)
            fcntl.flock(lock, fcntl.LOCK_EX)
            return directory, lock

    def _remove_staging(self, directory: Path) -> None:
        """Remove a staging area, and the files that were published from it but not committed."""
        if moved := _read_moves(directory):
            known = self.catalog.read(known_paths)
            self._remove_files([path for path in moved if path not in known])
        shutil.rmtree(directory)

    def _remove_files(self, paths: Sequence[str]) -> int:
        bytes_removed = 0
        for path in paths:
            file = self.root / path
            with suppress(FileNotFoundError):
                bytes_removed += file.stat().st_size
                file.unlink()
            with suppress(OSError):  # the directory has other files
                file.parent.rmdir()
                file.parent.parent.rmdir()
        return bytes_removed


def _read_moves(directory: Path) -> list[str]:
    """The paths of the files that a load has published, or was about to."""
    try:
        return (directory / MOVES_FILE).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_abandoned(directory: Path) -> bool:
    """Whether no process holds the lock of a staging area."""
    try:
        lock = os.open(directory / LOCK_FILE, os.O_WRONLY)
    except FileNotFoundError:
        return True  # killed before it had a lock: the caller's lock keeps loads from beginning
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _make_directories(directory: Path, root: Path) -> None:
    """Make a directory below the root, and sync the name of each new directory."""
    if directory == root or directory.is_dir():
        return
    _make_directories(directory.parent, root)
    with suppress(FileExistsError):
        directory.mkdir()
    sync_path(directory.parent)


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
