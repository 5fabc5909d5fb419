"""A lake as a directory: where its files lie, and how they get there.

The rule here: a file of the lake has its name only when its bytes are on the disk, and never
changes after that. What a load writes lies in `.loading/` until all of it is there.

    LAKE/catalog.sqlite                                   what is in the lake (`catalog.py`)
    LAKE/mbp-10/date=2025-09-24/symbol=CLX5/ID-0000.parquet       a part
    LAKE/.loading/ID/                                     a load that is under way
    LAKE/.loading/ID/moves                                written before the first file is moved

A load that was killed leaves its directory behind, without the lock that a living one holds. The
next load removes it, and of the files that `moves` names those that the catalog does not know.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from batonics.lake.catalog import Part, known_paths
from batonics.lake.digest import Verifier
from batonics.lake.file_catalog import FileCatalog
from batonics.model.errors import LakeError, OutputError
from batonics.sinks.atomic import sync_path

CATALOG_FILE = "catalog.sqlite"
STAGING_DIRECTORY = ".loading"
LOCK_FILE = "lock"
MOVES_FILE = "moves"


class DirectoryStaging:
    """A load under way: a directory for what it writes.

    Attributes:
        directory: where its files are written.
        id: by which its parts are named.
    """

    def __init__(self, store: DirectoryStore, directory: Path) -> None:
        self.directory = directory
        self.id = directory.name
        self._store = store

    def publish(self, files: Sequence[tuple[Path, str]]) -> None:
        """Give files, whose bytes are on the disk, their names in the lake.

        When it returns, names and bytes are on the disk; what is to come is the commit.

        Args:
            files: where each is now, and its path from the lake's root.
        """
        moves = self.directory / MOVES_FILE
        with moves.open("w", encoding="utf-8") as file:
            file.writelines(f"{path}\n" for _, path in files)
            file.flush()
            os.fsync(file.fileno())
        sync_path(self.directory)
        root = self._store.root
        directories = sorted({(root / path).parent for _, path in files})
        # Nobody else removes a directory that has just been made.
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
        root: of the lake.
        make: make it if it is not there.

    Attributes:
        catalog: what it holds.

    Raises:
        LakeError: there is none; OutputError: it cannot be made.
    """

    def __init__(self, root: str | Path, *, make: bool = False) -> None:
        self.root = Path(root)
        self._prefix = f"{self.root}/"
        if make:
            with _written(self.root):
                self._make()
        self.catalog = FileCatalog(self.root / CATALOG_FILE)

    @property
    def name(self) -> str:
        """For people."""
        return str(self.root)

    def path(self, part: Part) -> Path:
        """Where a part can be read."""
        return Path(f"{self._prefix}{part.path}")

    def fetch(self, parts: Sequence[Part], verifier: Verifier) -> None:
        """As `Store`: they are here."""
        verifier.check([(self.path(part), part) for part in parts])

    def planned(self, parts: Sequence[Part]) -> list[str]:
        """As `Store`: they are here."""
        return [str(self.path(part)) for part in parts]

    def verify(self, part: Part) -> None:
        """As `Store`."""
        Verifier().check([(self.path(part), part)])

    @contextmanager
    def loading(self) -> Iterator[DirectoryStaging]:
        """A load: its directory is there until the block ends.

        Raises:
            OutputError: the lake cannot be written to.
        """
        with _written(self.root):
            self.sweep()
            directory, lock = self._begin()
            try:
                yield DirectoryStaging(self, directory)
            finally:
                with self.locked():
                    self._end(directory)
                os.close(lock)

    def sweep(self) -> None:
        """Remove what loads that were killed have left behind."""
        with _written(self.root), self.locked():
            for directory in sorted((self.root / STAGING_DIRECTORY).iterdir()):
                if directory.is_dir() and _is_dead(directory):
                    self._end(directory)

    def remove(self, paths: Sequence[str]) -> int:
        """Remove files of the lake; how many bytes they had."""
        with _written(self.root), self.locked():
            return self._remove(paths)

    def strays(self) -> list[str]:
        """Paths of Parquet files that neither the catalog nor a load under way knows."""
        with _read(self.root), self._watched():
            found = {
                path.relative_to(self.root).as_posix()
                for path in self.root.glob("*/date=*/symbol=*/*.parquet")
            }
            for moves in (self.root / STAGING_DIRECTORY).glob(f"*/{MOVES_FILE}"):
                found -= set(_moves(moves.parent))
            return sorted(found - self.catalog.read(known_paths))

    def _make(self) -> None:
        root = self.root
        if root.exists() and not root.is_dir():
            raise OutputError(f"{root}: is a file; a lake is a directory")
        is_ours = (root / CATALOG_FILE).exists() or (root / STAGING_DIRECTORY).is_dir()
        if root.is_dir() and not is_ours and any(root.iterdir()):
            raise OutputError(f"{root}: is neither empty nor a lake; name another directory")
        (self.root / STAGING_DIRECTORY).mkdir(parents=True, exist_ok=True)
        with self.locked():
            self._check_not_lost()
            FileCatalog.make(self.root / CATALOG_FILE)
        for directory in (self.root / STAGING_DIRECTORY, self.root, self.root.absolute().parent):
            sync_path(directory)

    def _check_not_lost(self) -> None:
        """LakeError where parts lie that a new catalog would not know: they were the lake."""
        catalog = self.root / CATALOG_FILE
        has_catalog = catalog.is_file() and catalog.stat().st_size > 0
        if not has_catalog and next(self.root.glob("*/date=*"), None) is not None:
            raise LakeError(
                f"{self.root}: has parts, but no catalog; put {CATALOG_FILE} back, or move them"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Within the block nobody else begins a load or looks for dead ones."""
        (self.root / STAGING_DIRECTORY).mkdir(exist_ok=True)
        with (self.root / STAGING_DIRECTORY / LOCK_FILE).open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Within the block nobody begins or ends a load; it needs no right to write."""
        try:
            file = (self.root / STAGING_DIRECTORY / LOCK_FILE).open("rb")
        except FileNotFoundError:
            yield  # no load has ever begun here: the lake was copied
            return
        with file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    def _begin(self) -> tuple[Path, int]:
        with self.locked():
            directory = self.root / STAGING_DIRECTORY / secrets.token_hex(8)
            directory.mkdir()
            lock = os.open(directory / LOCK_FILE, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666)
            fcntl.flock(lock, fcntl.LOCK_EX)
            return directory, lock

    def _end(self, directory: Path) -> None:
        """Remove a load's directory, and what it has moved without committing it."""
        if moved := _moves(directory):
            known = self.catalog.read(known_paths)
            self._remove([path for path in moved if path not in known])
        shutil.rmtree(directory)

    def _remove(self, paths: Sequence[str]) -> int:
        freed = 0
        for path in paths:
            file = self.root / path
            with suppress(FileNotFoundError):
                freed += file.stat().st_size
                file.unlink()
            with suppress(OSError):  # there are other files in them
                file.parent.rmdir()
                file.parent.parent.rmdir()
        return freed


def _moves(directory: Path) -> list[str]:
    """The paths that a load has given files, or was about to."""
    try:
        return (directory / MOVES_FILE).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_dead(directory: Path) -> bool:
    """Whether nobody holds the lock of a load's directory any more."""
    try:
        lock = os.open(directory / LOCK_FILE, os.O_WRONLY)
    except FileNotFoundError:
        return True  # it was killed before it had one: nobody begins a load meanwhile
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _make_directories(directory: Path, root: Path) -> None:
    """Make a directory below the root, with each name on the disk."""
    if directory == root or directory.is_dir():
        return
    _make_directories(directory.parent, root)
    with suppress(FileExistsError):
        directory.mkdir()
    sync_path(directory.parent)


@contextmanager
def _written(root: Path) -> Iterator[None]:
    """Within the block errors of the file system are ours, and name the lake."""
    try:
        yield
    except FileNotFoundError as error:
        raise LakeError(f"{error.filename or root}: is gone; was the lake removed?") from None
    except OSError as error:
        where = error.filename or root
        raise OutputError(f"{where}: cannot be written: {error.strerror or error}") from None


@contextmanager
def _read(root: Path) -> Iterator[None]:
    """As `_written`, of what only reads."""
    try:
        yield
    except OSError as error:
        where = error.filename or root
        raise LakeError(f"{where}: cannot be read: {error.strerror or error}") from None
