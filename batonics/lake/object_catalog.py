"""A lake's catalog as one object: a whole SQLite database, put in the place of the one before.

The rule here: a commit is one put, on condition that the object is still the version that the
change was made to. If another came first, the change is made again to what that one put.

An answer may be lost though the put was done; then the client's next try is refused, by its own
work. So each commit leaves a mark in the database, and looks for it before it makes its change
again: what was done is done once, and what it gave is given.
"""

from __future__ import annotations

import random
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from time import sleep

from batonics.lake.catalog import T, Transaction, check_catalog, make_tables, one_line
from batonics.lake.objects import BucketClient, ConflictError, MissingError, ObjectVersion
from batonics.model.errors import LakeError, OutputError

CATALOG_FILE = "catalog.sqlite"
TRIES_MAX = 60
"""Of one commit, where others always come first: about a minute."""
WAIT_SECONDS, WAIT_SECONDS_MAX = 0.02, 2.0
"""Before the second try, and before any: drawn at random up to that, so that loaders part."""
MARKS_MAX = 256
"""So many commits may come between a put and the look whether it was done."""

_MARKS = "CREATE TABLE mark (number INTEGER PRIMARY KEY, id BLOB NOT NULL)"
_MAGIC = b"SQLite format 3\0"
_IN_WAL_MODE = bytes((2, 2))
"""Bytes 18 and 19 of such a database; it cannot be opened without the file beside it."""


class ObjectCatalog:
    """A catalog in an object.

    Args:
        objects: those of the lake.

    Raises:
        LakeError: it is not there, or is no catalog that we know.
    """

    def __init__(self, objects: BucketClient) -> None:
        self._objects = objects
        self._name = objects.named(CATALOG_FILE)
        self._held: ObjectVersion | None = None  # as it was seen last
        self.read(lambda connection: check_catalog(connection, self._name))

    @classmethod
    def make(cls, objects: BucketClient) -> bool:
        """Make an empty catalog; False if there is one already."""
        with closing(_empty()) as connection:
            make_tables(connection)
            connection.execute(_MARKS)
            try:
                objects.put(CATALOG_FILE, connection.serialize(), None)
            except ConflictError:
                return False
        return True

    def commit(self, change: Transaction[T]) -> T:
        """As `Catalog`.

        Raises:
            OutputError: it cannot be put, or others have always come first.
        """
        mark = secrets.token_bytes(8)
        made: list[T] = []  # by each try
        for tries in range(TRIES_MAX):
            try:
                return self._try(change, mark, made)
            except ConflictError:
                cap = min(WAIT_SECONDS * 2.0**tries, WAIT_SECONDS_MAX)
                sleep(random.uniform(0, cap))  # noqa: S311 - spreads load, hides nothing
        raise OutputError(
            f"{self._name}: other loads came first {TRIES_MAX} times; give the same command again"
        )

    def read(self, question: Transaction[T]) -> T:
        """As `Catalog`."""
        with self._opened(self._newest()) as connection:
            connection.execute("PRAGMA query_only = TRUE")
            return question(connection)

    def _try(self, change: Transaction[T], mark: bytes, made: list[T]) -> T:
        before = self._newest()
        with self._opened(before) as connection:
            if made and _is_marked(connection, mark):
                return made[-1]
            made.append(change(connection))
            _mark(connection, mark)
            data = connection.serialize()
        try:
            tag = self._objects.put(CATALOG_FILE, data, before.tag)
        except OutputError:
            # It may have been done all the same; and if it was not, the error is what there is.
            if not self._is_done(mark):
                raise
        else:
            self._held = None if tag is None else ObjectVersion(data, tag)
        return made[-1]

    def _is_done(self, mark: bytes) -> bool:
        try:
            return self.read(lambda connection: _is_marked(connection, mark))
        except LakeError:
            return False

    def _newest(self) -> ObjectVersion:
        """The object as it is now; it is only fetched if it has changed."""
        held = self._held
        try:
            blob = self._objects.get(CATALOG_FILE, None if held is None else held.tag)
        except MissingError:
            raise LakeError(
                f"{self._objects.name}: is no lake; `batonics lake load` makes one"
            ) from None
        if blob is None:
            assert held is not None  # noqa: S101 - nothing else is ever "not modified"
            return held
        self._held = blob
        return blob

    @contextmanager
    def _opened(self, blob: ObjectVersion) -> Iterator[sqlite3.Connection]:
        """A database of one's own with these contents. Its errors are ours, and name it."""
        if not blob.data.startswith(_MAGIC):
            raise LakeError(f"{self._name}: is no SQLite database")
        if blob.data[18:20] == _IN_WAL_MODE:
            raise LakeError(f"{self._name}: is the file of a lake in a directory, not of a bucket")
        try:
            with closing(_empty()) as connection:
                connection.deserialize(blob.data)
                yield connection
        except sqlite3.Error as error:
            raise LakeError(f"{self._name}: cannot be used: {one_line(error)}") from None
        except UnicodeDecodeError as error:  # in what SQLite says
            raise LakeError(f"{self._name}: damaged: {error}") from None


def _empty() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None)


def _is_marked(connection: sqlite3.Connection, mark: bytes) -> bool:
    return connection.execute("SELECT 1 FROM mark WHERE id = ?", [mark]).fetchone() is not None


def _mark(connection: sqlite3.Connection, mark: bytes) -> None:
    (number,) = connection.execute(
        "INSERT INTO mark (id) VALUES (?) RETURNING number", [mark]
    ).fetchone()
    connection.execute("DELETE FROM mark WHERE number <= ?", [number - MARKS_MAX])
