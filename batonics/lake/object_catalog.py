"""The catalog of a lake in a bucket: one object, a whole SQLite database.

The rule here: a commit is one put, on condition that the object is still the version on which the
transaction ran. If another commit came first, the transaction runs again on the new version.

The answer to a put may be lost though the put was done; the client then tries again, and is refused
because of its own put. So each commit leaves a mark in the database, and looks for that mark before
it runs the transaction again: a transaction that was committed runs once, and its result is kept.
"""

from __future__ import annotations

import random
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from time import sleep

from batonics.lake.bucket_client import BucketClient, ConflictError, MissingError, ObjectVersion
from batonics.lake.catalog import (
    CATALOG_FILE,
    MARK_TABLE,
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

TRIES_MAX = 60
"""Tries of one commit, if other commits always come first: about a minute."""
BACKOFF_SECONDS = 0.02
"""Longest wait before the second try; it doubles with each try. Waits are random, so that several
loaders do not collide again."""
BACKOFF_SECONDS_MAX = 2.0
"""Longest wait before any try."""
MARKS_MAX = 256
"""Marks that are kept: more commits than this never come between a put and the look for its
mark."""

_MAGIC = b"SQLite format 3\0"


class ObjectCatalog:
    """A catalog in an object.

    Args:
        client: client of the lake's objects.

    Raises:
        LakeError: there is no catalog, or it is of another format.
    """

    def __init__(self, client: BucketClient) -> None:
        self._client = client
        self._name = client.object_name(CATALOG_FILE)
        self._last_seen: ObjectVersion | None = None
        self._is_checked = False
        self.read(lambda connection: check_format(connection, self._name))

    @classmethod
    def make(cls, client: BucketClient) -> bool:
        """Make an empty catalog; return False if there is one already."""
        with closing(_memory_database()) as connection:
            make_tables(connection)
            connection.execute(MARK_TABLE)
            try:
                client.put(CATALOG_FILE, connection.serialize(), None)
            except ConflictError:
                return False
        return True

    def check(self) -> None:
        """See `Catalog`."""
        if not self._is_checked:
            self.read(self._check)

    def commit(self, transaction: Transaction[T]) -> T:
        """See `Catalog`.

        Raises:
            OutputError: the object cannot be put, or other commits came first each time.
        """
        mark = secrets.token_bytes(8)
        results: list[T] = []  # of each try
        for tries in range(TRIES_MAX):
            try:
                return self._try_commit(transaction, mark, results)
            except ConflictError:
                longest = min(BACKOFF_SECONDS * 2.0**tries, BACKOFF_SECONDS_MAX)
                sleep(random.uniform(0, longest))  # noqa: S311 - spreads load, hides nothing
        raise OutputError(
            f"{self._name}: other loads came first {TRIES_MAX} times; give the same command again"
        )

    def read(self, transaction: Transaction[T]) -> T:
        """See `Catalog`."""
        with self._opened(self._fetch()) as connection:
            connection.execute("PRAGMA query_only = TRUE")
            return transaction(connection)

    def _try_commit(self, transaction: Transaction[T], mark: bytes, results: list[T]) -> T:
        before = self._fetch()
        with self._opened(before) as connection:
            self._check(connection)
            if results and _has_mark(connection, mark):
                return results[-1]
            results.append(transaction(connection))
            _insert_mark(connection, mark)
            data = connection.serialize()
        try:
            tag = self._client.put(CATALOG_FILE, data, before.tag)
        except OutputError:
            # The put may have been done all the same.
            if not self._is_committed(mark):
                raise
        else:
            self._last_seen = None if tag is None else ObjectVersion(data, tag)
        return results[-1]

    def _check(self, connection: sqlite3.Connection) -> None:
        if not self._is_checked:
            check_catalog(connection)
            self._is_checked = True

    def _is_committed(self, mark: bytes) -> bool:
        try:
            return self.read(lambda connection: _has_mark(connection, mark))
        except LakeError:
            return False

    def _fetch(self) -> ObjectVersion:
        """The newest version of the object; it is downloaded only if it has changed."""
        last_seen = self._last_seen
        try:
            newest = self._client.get(CATALOG_FILE, None if last_seen is None else last_seen.tag)
        except MissingError:
            raise LakeError(
                f"{self._client.name}: is not a lake; `batonics lake load` makes one"
            ) from None
        if newest is None:
            assert last_seen is not None  # noqa: S101 - only a known tag is ever "not modified"
            return last_seen
        self._last_seen = newest
        return newest

    @contextmanager
    def _opened(self, version: ObjectVersion) -> Iterator[sqlite3.Connection]:
        """A database in memory with these contents; its errors are raised as LakeError."""
        if not version.data.startswith(_MAGIC):
            raise LakeError(f"{self._name}: is not an SQLite database")
        if version.data[WAL_MODE_AT] == WAL_MODE:
            raise LakeError(f"{self._name}: is the file of a lake in a directory, not of a bucket")
        try:
            with closing(_memory_database()) as connection:
                connection.deserialize(version.data)
                yield connection
        except sqlite3.Error as error:
            raise LakeError(f"{self._name}: cannot be used: {one_line(error)}") from None
        except (UnicodeDecodeError, DamagedCatalogError) as error:  # the first in SQLite's words
            raise damaged_catalog(self._name, error) from None


def _memory_database() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None)


def _has_mark(connection: sqlite3.Connection, mark: bytes) -> bool:
    return connection.execute("SELECT 1 FROM mark WHERE id = ?", [mark]).fetchone() is not None


def _insert_mark(connection: sqlite3.Connection, mark: bytes) -> None:
    (number,) = connection.execute(
        "INSERT INTO mark (id) VALUES (?) RETURNING number", [mark]
    ).fetchone()
    connection.execute("DELETE FROM mark WHERE number <= ?", [number - MARKS_MAX])
