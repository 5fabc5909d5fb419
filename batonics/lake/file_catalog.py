"""The catalog of a lake in a directory: an SQLite database with a write-ahead log.

The rule here: when a commit returns, it is on the disk; and a reader creates and changes no file in
the lake, and needs no right to.

SQLite reads such a database without the right to write, also during commits, if two files exist
next to it: the log (`-wal`) and the log's index (`-shm`). So each commit moves the log's contents
into the catalog and leaves both files: a second, read-only connection is closed after the one that
commits, which keeps SQLite from removing them.

If one of the files is missing, no commit is running, since it would have created the file and left
it. So a reader then copies the catalog, and the log if there is one, and reads the copy, provided
that nothing changed during the copying. This happens where a lake was copied, for instance to a
read-only file system.

Guarantee: a reader gets one state of the catalog, which was the newest one at some time during its
read, whatever its rights, and beside any number of batonics processes on the same machine. Two
cases are not covered: other programs that remove the two files while a reader copies, and writers
on other machines, since SQLite's locks and its index work on one machine only.

A rollback journal beside the catalog is refused: SQLite would play it back, and remove the file
that it names, wherever that is. A catalog never has one, since it is made whole, with its log.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from batonics.lake.catalog import (
    WAL_MODE,
    WAL_MODE_AT,
    T,
    Transaction,
    check_catalog,
    check_format,
    damaged_catalog,
    make_tables,
    one_line,
)
from batonics.lake.part import DamagedCatalogError
from batonics.model.errors import LakeError, OutputError
from batonics.sinks.atomic import open_atomic, record_outputs
from batonics.sinks.temporary import temporary_directory

BUSY_SECONDS = 60.0
"""Longest wait of a commit for others, which take milliseconds each."""
UNSETTLED_SECONDS = 5.0
"""Longest time for which a reader retries while others create or recover the files."""
RETRY_SECONDS = 0.005
"""Wait between two tries of a reader."""


class FileStat(NamedTuple):
    """What changes with the contents of a file.

    Attributes:
        bytes: its size.
        modified_ns: the time of the last change.
        inode: number of the file in its file system.
    """

    bytes: int
    modified_ns: int
    inode: int


class FileCatalog:
    """A catalog in a file.

    Raises:
        LakeError: there is no catalog, or it is unreadable or of another format.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log_files = _wal(path), _shm(path)
        if _stat(path) is None:
            raise LakeError(f"{path.parent}: is not a lake; `batonics lake load` makes one")
        self._is_checked = False
        self.read(lambda connection: check_format(connection, str(path)))

    @classmethod
    def make(cls, path: Path) -> None:
        """Make an empty catalog, unless there is one. The caller keeps other processes away."""
        catalog, *_ = _stat_all(path)
        if catalog is None or catalog.bytes == 0:
            with record_outputs(), open_atomic(path) as file:
                file.write(_empty_catalog())
        with _writing_connection(path) as connection:
            _in_transaction(connection, make_tables)

    def check(self) -> None:
        """See `Catalog`."""
        if not self._is_checked:
            self.read(check_catalog)
            self._is_checked = True

    def commit(self, transaction: Transaction[T]) -> T:
        """See `Catalog`."""
        self.check()
        _stat_all(self._path)
        with _writing_connection(self._path) as connection:
            return _in_transaction(connection, transaction)

    def read(self, transaction: Transaction[T]) -> T:
        """See `Catalog`."""
        deadline = time.monotonic() + UNSETTLED_SECONDS
        while True:
            try:
                with _read_errors(self._path), self._opened() as connection:
                    connection.execute("BEGIN")
                    return transaction(connection)
            except _UnsettledError as error:
                if time.monotonic() > deadline:
                    raise LakeError(f"{self._path}: cannot be read: {error}") from None
                time.sleep(RETRY_SECONDS)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The catalog; or a copy of it, if a log file is missing, so that no commit is running."""
        with ExitStack() as stack:
            path = self._path
            if None in _stat_all(path)[1:]:
                path = Path(stack.enter_context(temporary_directory("batonics-catalog-")))
                path /= self._path.name
                self._copy(path)
            yield stack.enter_context(closing(_connect(path, "ro")))

    def _copy(self, target: Path) -> None:
        """Copy the catalog and its log; raise _UnsettledError if they change meanwhile."""
        before = _stat_all(self._path)
        shutil.copyfile(self._path, target)
        with suppress(FileNotFoundError):
            shutil.copyfile(_wal(self._path), _wal(target))
        if _stat_all(self._path) != before or None not in map(_stat, self._log_files):
            raise _UnsettledError("it changes while it is copied")


class _UnsettledError(Exception):
    """Another process is creating or recovering the log files: the next try may succeed."""


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _shm(path: Path) -> Path:
    return path.with_name(f"{path.name}-shm")


def _stat_all(path: Path) -> tuple[FileStat | None, ...]:
    """The catalog, its log and the index of the log.

    Raises:
        LakeError: one of them is no regular file, or there is a rollback journal.
    """
    journal = path.with_name(f"{path.name}-journal")
    if os.path.lexists(journal):
        raise LakeError(f"{journal}: batonics writes no such file; move it away")
    return tuple(map(_stat, (path, _wal(path), _shm(path))))


def _stat(path: Path) -> FileStat | None:
    """A file; None: there is none.

    Raises:
        LakeError: it is a link or no regular file, which SQLite would follow or wait for.
    """
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LakeError(f"{path}: cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode):
        raise LakeError(f"{path}: is no regular file, so it is no catalog of a lake")
    return FileStat(found.st_size, found.st_mtime_ns, found.st_ino)


def _empty_catalog() -> bytes:
    """The bytes of a catalog without parts, which has a write-ahead log."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        make_tables(connection)
        data = bytearray(connection.serialize())
    data[WAL_MODE_AT] = WAL_MODE
    return bytes(data)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # transactions begin and end by statements
    )
    connection.execute("PRAGMA synchronous = FULL")
    return connection


@contextmanager
def _writing_connection(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that commits; in the end the log is empty, and it and its index still exist."""
    with _write_errors(path), ExitStack() as stack:
        with closing(_connect(path, "rw")) as maker:
            maker.execute("PRAGMA journal_mode = WAL")
            keeper = stack.enter_context(closing(_connect(path, "ro")))
            keeper.execute("PRAGMA user_version").fetchone()  # this opens the files
        connection = stack.enter_context(closing(_connect(path, "rw")))
        yield connection
        # The commit is on the disk. If a reader blocks this, a later commit empties the log.
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _in_transaction(connection: sqlite3.Connection, transaction: Transaction[T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = transaction(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


_NOT_WRITABLE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
}
_UNSETTLED = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL}
"""Codes that a reader gets if the index needs recovery, which needs the right to write."""


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as OutputError or LakeError that names the catalog."""
    try:
        yield
    except sqlite3.Error as error:
        if _code(error) in _NOT_WRITABLE:
            raise OutputError(f"{path}: cannot be written: {one_line(error)}") from None
        raise LakeError(f"{path}: cannot be used: {one_line(error)}") from None
    except (UnicodeDecodeError, DamagedCatalogError) as error:  # the first in a message of SQLite
        raise damaged_catalog(str(path), error) from None


@contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as LakeError that names the catalog, for a reader."""
    try:
        yield
    except sqlite3.Error as error:
        for file in (path, _wal(path), _shm(path)):
            if not os.access(file, os.R_OK) and _stat(file) is not None:
                raise LakeError(f"{file}: cannot be read: {os.strerror(errno.EACCES)}") from None
        if _code(error) in _UNSETTLED:
            raise _UnsettledError(one_line(error)) from None
        raise LakeError(f"{path}: cannot be used: {one_line(error)}") from None
    except (UnicodeDecodeError, DamagedCatalogError) as error:  # the first in a message of SQLite
        raise damaged_catalog(str(path), error) from None
    except OSError as error:
        file = error.filename or path
        raise LakeError(f"{file}: cannot be read: {error.strerror or error}") from None


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
