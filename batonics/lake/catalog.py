"""The catalog of a lake: its parts, the loads that wrote them, and the sources of those loads.

The rule here: one transaction is one commit, and a commit happens in no other way. A part is in the
lake once the transaction that adds it is on the disk, and out of it once a transaction removes it.
Readers ask the catalog which files to read, so that no reader sees half of a load, whatever process
was killed at whatever time. They check the digests of what they read (`catalog_tree.py`); who
writes checks all of the catalog first.

| table  | a row is                                                                               |
|--------|----------------------------------------------------------------------------------------|
| source | a file, a part of it, several files that are one stream, or a live feed, as loaded   |
| coverage | the time that a file of a source covers (`coverage.py`)                             |
| load   | one schema of a source, and the version of batonics that derived it                    |
| span   | when a source has records of a book on a day (`spans.py`)                              |
| part   | a Parquet file of one load and date; `removed_ns` once another file replaced it        |
| day, schema, root | digests of these parts, and their totals (`catalog_tree.py`)                |

This module has the tables, and the transactions that read loads and sources; `part_search.py` finds
parts, and `commits.py` has the transactions that write.
The catalog is an SQLite database: a file of a lake in a directory (`file_catalog.py`), an object of
a lake in a bucket (`object_catalog.py`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, TypeVar

from batonics.lake.catalog_tree import TREE_TABLES, check_tree, make_root
from batonics.lake.load_selection import describe_selection
from batonics.lake.part import DamagedCatalogError, Part
from batonics.model.errors import LakeError

T = TypeVar("T")
Transaction = Callable[[sqlite3.Connection], T]
"""What to do within one transaction. It runs again if another commit came first."""

CATALOG_FILE = "catalog.sqlite"
"""Name of the catalog below the lake's root."""
CATALOG_FORMAT = 9
"""The format of the tables and of the parts; 1: rows without their place in the stream, 2: sources
without the times of their books, intervals without `complete`, 3: times of books without the hashes
of their records, 4: a part for each symbol, 5: a catalog without digests, 6: loads
without the place of their statuses, 7: sources without the times that they cover, 8: whole files
only."""

_TABLES = (
    # STRICT: a value of another type is an error that SQLite reports.
    """CREATE TABLE source (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        digest TEXT,
        stat TEXT NOT NULL,
        selection TEXT NOT NULL,
        UNIQUE (name, selection)
    ) STRICT""",
    """CREATE TABLE span (
        day INTEGER NOT NULL,
        publisher_id INTEGER NOT NULL,
        instrument TEXT NOT NULL,
        source INTEGER NOT NULL REFERENCES source,
        first_ns INTEGER NOT NULL,
        last_ns INTEGER NOT NULL,
        first_hashes BLOB NOT NULL,
        last_hashes BLOB NOT NULL,
        PRIMARY KEY (day, publisher_id, instrument, source, first_ns)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE coverage (
        source INTEGER NOT NULL REFERENCES source,
        source_ns INTEGER NOT NULL,
        name TEXT NOT NULL,
        scope TEXT NOT NULL,
        first_ns INTEGER,
        last_ns INTEGER,
        start_ns INTEGER,
        end_ns INTEGER
    ) STRICT""",
    "CREATE INDEX coverage_source ON coverage (source)",
    """CREATE TABLE load (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        source INTEGER NOT NULL REFERENCES source,
        schema TEXT NOT NULL,
        version TEXT NOT NULL,
        rows INTEGER NOT NULL,
        at_ns INTEGER NOT NULL,
        statuses TEXT NOT NULL,
        removed_rows INTEGER NOT NULL DEFAULT 0,
        UNIQUE (source, schema)
    ) STRICT""",
    """CREATE TABLE part (
        id INTEGER PRIMARY KEY,
        path TEXT NOT NULL UNIQUE,
        schema TEXT NOT NULL,
        date TEXT,
        load INTEGER,
        digest TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        rows INTEGER NOT NULL,
        ts_min INTEGER,
        ts_max INTEGER,
        first_symbol TEXT,
        last_symbol TEXT,
        aliases TEXT NOT NULL,
        symbols BLOB NOT NULL,
        row_digest INTEGER NOT NULL,
        removed_ns INTEGER
    ) STRICT""",
    "CREATE INDEX part_load ON part (load)",
    *TREE_TABLES,
)

MARK_TABLE = "CREATE TABLE mark (number INTEGER PRIMARY KEY, id BLOB NOT NULL)"
"""A further table of a lake in a bucket (`object_catalog.py`)."""
_SCHEMA = {*_TABLES, MARK_TABLE, "CREATE TABLE sqlite_sequence(name,seq)"}
WAL_MODE_AT, WAL_MODE = slice(18, 20), bytes((2, 2))
"""The bytes of a database that say whether it has a write-ahead log, and those with one."""


class LoadedSource(NamedTuple):
    """A source, as it was when it was loaded.

    Attributes:
        name: paths of its files, one a line; or the name of a live feed.
        digest: SHA-256 of its bytes (for several files, of their digests); None for a live feed.
        stat: size, times and inode of each file, by which an unchanged file is known without
            reading it.
        selection: the part of the files that was loaded (`load_selection.py`); empty: all.
    """

    name: str
    digest: str | None
    stat: str
    selection: str = ""

    @property
    def description(self) -> str:
        """The source in a message: its first file, and the part of it."""
        first, *others = self.name.split("\n")
        more = f" and {len(others)} more" if others else ""
        return f"{first}{more}{describe_selection(self.selection)}"


class SchemaLoad(NamedTuple):
    """The parts that a load has written for one schema.

    Attributes:
        schema: name of the schema.
        parts: the parts, in the order of their rows.
        statuses: where its statuses of trading are from; empty: the records of its source alone.
    """

    schema: str
    parts: list[Part]
    statuses: str = ""

    @property
    def rows(self) -> int:
        """Number of rows in all parts."""
        return sum(part.rows for part in self.parts)


class Catalog(Protocol):
    """The catalog's database, wherever it is stored."""

    def check(self) -> None:
        """Read all of the catalog, unless this was done before; LakeError if it is damaged."""

    def commit(self, transaction: Transaction[T]) -> T:
        """Run a transaction that writes; return once it is on the disk.

        All of the catalog is checked before the first one.
        """

    def read(self, transaction: Transaction[T]) -> T:
        """Run a transaction that only reads, on one state of the catalog."""


def make_tables(connection: sqlite3.Connection) -> None:
    """Make an empty catalog, unless there is one."""
    if connection.execute("PRAGMA user_version").fetchone()[0]:
        return
    for statement in _TABLES:
        connection.execute(statement)
    make_root(connection)
    connection.execute(f"PRAGMA user_version = {CATALOG_FORMAT}")


def one_line(message: object) -> str:
    """A message of SQLite, which may quote a statement of several lines, as one line."""
    return " ".join(str(message).split())


def check_format(connection: sqlite3.Connection, name: str) -> None:
    """Raise LakeError if the database has another format, or more than tables."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found != CATALOG_FORMAT:
        remedy = "read it with a newer one" if found > CATALOG_FORMAT else "load its files anew"
        raise LakeError(
            f"{name}: catalog of format {found}, this batonics knows {CATALOG_FORMAT}: {remedy}"
        )
    for name_found, sql in connection.execute("SELECT name, sql FROM sqlite_schema"):
        # A view, a trigger or a computed column would run SQL of its maker in each transaction.
        if sql is not None and sql not in _SCHEMA:
            raise LakeError(f"{name}: has another {name_found!r}: batonics did not write it")


def check_catalog(connection: sqlite3.Connection) -> None:
    """Read all of the catalog: its digests, and each table against its indexes.

    This takes about 10 us for each part.

    Raises:
        DamagedCatalogError: it is damaged.
    """
    check_table(connection)
    check_tree(connection)


def check_table(connection: sqlite3.Connection, table: str = "") -> None:
    """Compare a table, or all of them, with its indexes: one flipped bit damages one of them only.

    Raises:
        DamagedCatalogError: it is damaged.
    """
    (message,) = connection.execute(f"PRAGMA integrity_check({table or 1})").fetchone()
    if message != "ok":
        raise DamagedCatalogError(one_line(message))


def damaged_catalog(name: str, reason: object) -> LakeError:
    """The error for a catalog that does not have what was committed."""
    return LakeError(f"{name}: damaged: {reason}; put a copy of it back, or load anew elsewhere")


def all_loads(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    """The loads, in order of source and schema.

    Each has its source, the schema, the rows, the time in ns, the version, the digest of the source
    and the part of the source.

    Raises:
        DamagedCatalogError: the tables of sources and loads are damaged.
    """
    for table in ("source", "load"):
        check_table(connection, table)
    return connection.execute(
        "SELECT name, schema, rows, at_ns, version, digest, nullif(selection, '') FROM load"
        " JOIN source ON source.id = load.source ORDER BY name, selection, schema"
    ).fetchall()


class SourceRecord(NamedTuple):
    """What the catalog has about a source.

    Attributes:
        id: its key in the table `source`.
        source: the source as it was loaded.
        schemas: the schemas that were loaded from it, and where their statuses are from.
        incomplete: those of them of which rows were removed since.
    """

    id: int
    source: LoadedSource
    schemas: Mapping[str, str]
    incomplete: frozenset[str] = frozenset()


def find_source_by_name(
    connection: sqlite3.Connection, name: str, selection: str = ""
) -> SourceRecord | None:
    """The source with that name, and that part of its files."""
    return _find_source(connection, "name = ? AND selection = ?", name, selection)


def find_source_by_digest(
    connection: sqlite3.Connection, digest: str, selection: str = ""
) -> SourceRecord | None:
    """The source with that digest, and that part of its files."""
    return _find_source(connection, "digest = ? AND selection = ?", digest, selection)


def may_have_source(name: str, stat: str) -> Transaction[bool]:
    """Whether the catalog may have a source of that name, or of the bytes with that stat.

    Two sources of different sizes have different bytes.
    """
    size, _, _ = stat.partition(" ")

    def run(connection: sqlite3.Connection) -> bool:
        found = connection.execute(
            "SELECT 1 FROM source WHERE name = ? OR stat LIKE ? || ' %'", (name, size)
        )
        return found.fetchone() is not None

    return run


def _find_source(connection: sqlite3.Connection, where: str, *values: str) -> SourceRecord | None:
    found = connection.execute(
        f"SELECT id, name, digest, stat, selection FROM source WHERE {where}",  # noqa: S608 - ours
        values,
    ).fetchone()
    if found is None:
        return None
    loads = connection.execute(
        "SELECT schema, statuses, removed_rows FROM load WHERE source = ?", [found[0]]
    ).fetchall()
    return SourceRecord(
        found[0],
        LoadedSource(*found[1:]),
        {schema: statuses for schema, statuses, _ in loads},
        frozenset(schema for schema, _, removed_rows in loads if removed_rows),
    )


def known_paths(connection: sqlite3.Connection) -> set[str]:
    """The paths of all parts, removed ones included."""
    return {path for (path,) in connection.execute("SELECT path FROM part")}


def find_removed_parts(before_ns: int) -> Transaction[list[str]]:
    """The paths of parts that were removed from the lake before a time.

    A path that is none of a part is returned too: no file has it, and its row can be forgotten.
    """

    def run(connection: sqlite3.Connection) -> list[str]:
        rows = connection.execute("SELECT path FROM part WHERE removed_ns < ?", [before_ns])
        return [path for (path,) in rows]

    return run
