"""A lake's catalog as a file: SQLite with a write-ahead log.

The rule here: a commit has reached the disk when it returns, and who only reads makes no file in
the lake, changes none, and may lack the right to.

Without that right SQLite reads such a database, also while others commit, if the two files beside
it are there: the log (`-wal`) and its index (`-shm`). So who commits leaves them behind, with the
log emptied into the catalog: a second connection, which cannot write, is closed after the one that
has committed, and so none takes them away.

Where one of them is missing, nobody is committing: that would have made it, and left it there. So
a reader then asks a copy of the catalog, and of the log if there is one, if the lake is as it was
when the copy was done. That is so where a lake was copied, on a file system that is read-only for
instance.

What is promised: a reader gets one state of the catalog, the newest or one that was it after the
question began, whatever rights it has, beside any number of processes of batonics of the same
machine. Programs of others that take the two files away while a reader copies are not foreseen,
nor are writers on other machines: SQLite's locks and its index end at the machine.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from batonics.lake.catalog import T, Transaction, check_catalog, make_tables, one_line
from batonics.model.errors import LakeError, OutputError

BUSY_SECONDS = 60.0
"""So long a commit waits for another: they take milliseconds."""
UNSETTLED_SECONDS = 5.0
"""So long a reader tries again where others make the files or bring them in order."""
RETRY_SECONDS = 0.005
"""Between two tries."""

FileStats = tuple[tuple[int, int, int] | None, ...]


class FileCatalog:
    """A catalog in a file.

    Raises:
        LakeError: it is not there, cannot be read, or is no catalog that we know.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = _wal(path), _shm(path)
        if _stat(path) is None:
            raise LakeError(f"{path.parent}: is no lake; `batonics lake load` makes one")
        self.read(lambda connection: check_catalog(connection, str(path)))

    @classmethod
    def make(cls, path: Path) -> None:
        """Make an empty catalog, unless there is one. Only one process may be at it."""
        with _writing(path, "rwc") as connection:
            _in_transaction(connection, make_tables)

    def commit(self, change: Transaction[T]) -> T:
        """As `Catalog`."""
        with _writing(self._path, "rw") as connection:
            return _in_transaction(connection, change)

    def read(self, question: Transaction[T]) -> T:
        """As `Catalog`."""
        until = time.monotonic() + UNSETTLED_SECONDS
        while True:
            try:
                with _read(self._path), self._opened() as connection:
                    connection.execute("BEGIN")
                    return question(connection)
            except _UnsettledError as error:
                if time.monotonic() > until:
                    raise LakeError(f"{self._path}: cannot be read: {error}") from None
                time.sleep(RETRY_SECONDS)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The catalog, or a copy of it if nobody can be committing."""
        with ExitStack() as stack:
            path = self._path
            if None in map(_stat, self._beside):
                path = Path(stack.enter_context(TemporaryDirectory(prefix="batonics-catalog-")))
                path /= self._path.name
                self._copy(path)
            yield stack.enter_context(closing(_connect(path, "ro")))

    def _copy(self, to: Path) -> None:
        """Copy the catalog and its log; _UnsettledError if they were not left alone meanwhile."""
        before = self._stats()
        shutil.copyfile(self._path, to)
        with suppress(FileNotFoundError):
            shutil.copyfile(_wal(self._path), _wal(to))
        if self._stats() != before or None not in map(_stat, self._beside):
            raise _UnsettledError("it changes while it is copied")

    def _stats(self) -> FileStats:
        return tuple(map(_stat, (self._path, *self._beside)))


class _UnsettledError(Exception):
    """What is beside the catalog is being made, or put in order: the next try may find it so."""


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _shm(path: Path) -> Path:
    return path.with_name(f"{path.name}-shm")


def _stat(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written to or replaced; None: it is not there."""
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LakeError(f"{path}: cannot be read: {error.strerror}") from None
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # transactions are begun and ended by name
    )
    connection.execute("PRAGMA synchronous = FULL")
    return connection


@contextmanager
def _writing(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """A connection that commits. The log and its index stay; what is in it is in the file too."""
    with _written(path), ExitStack() as stack:
        with closing(_connect(path, mode)) as maker:
            maker.execute("PRAGMA journal_mode = WAL")
            keeper = stack.enter_context(closing(_connect(path, "ro")))
            keeper.execute("PRAGMA user_version").fetchone()  # from now on it is at the files
        connection = stack.enter_context(closing(_connect(path, "rw")))
        yield connection
        # The commit is on the disk. Where readers are in the way, another one empties the log.
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _in_transaction(connection: sqlite3.Connection, change: Transaction[T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        made = change(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return made


_NOT_WRITABLE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
}
_UNSETTLED = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL}
"""To a reader: the index is not as it should be, and it may not put it right."""


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Within the block the database's errors are ours, and name it."""
    try:
        yield
    except sqlite3.Error as error:
        if _code(error) in _NOT_WRITABLE:
            raise OutputError(f"{path}: cannot be written: {one_line(error)}") from None
        raise LakeError(f"{path}: cannot be used: {one_line(error)}") from None
    except UnicodeDecodeError as error:  # in what SQLite says
        raise LakeError(f"{path}: damaged: {error}") from None


@contextmanager
def _read(path: Path) -> Iterator[None]:
    """As `_written`, of one who only reads."""
    try:
        yield
    except sqlite3.Error as error:
        for file in (path, _wal(path), _shm(path)):
            if not os.access(file, os.R_OK) and _stat(file) is not None:
                raise LakeError(f"{file}: cannot be read: {os.strerror(errno.EACCES)}") from None
        if _code(error) in _UNSETTLED:
            raise _UnsettledError(one_line(error)) from None
        raise LakeError(f"{path}: cannot be used: {one_line(error)}") from None
    except UnicodeDecodeError as error:  # in what SQLite says
        raise LakeError(f"{path}: damaged: {error}") from None
    except OSError as error:
        where = error.filename or path
        raise LakeError(f"{where}: cannot be read: {error.strerror or error}") from None


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
