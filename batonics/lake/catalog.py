"""The catalog of a lake: its parts, the loads that wrote them, and the sources of those loads.

The rule here: one transaction is one commit, and a commit happens in no other way. A part is in the
lake once the transaction that adds it is on the disk, and out of it once a transaction removes it.
Readers ask the catalog which files to read, so that no reader sees half of a load, whatever process
was killed at whatever time.

| table  | a row is                                                                               |
|--------|----------------------------------------------------------------------------------------|
| source | a file, several files that are one stream, or a live feed, as it was when it was loaded |
| load   | one schema of a source, and the version of batonics that derived it                    |
| span   | when a source has records of a book on a day (`spans.py`)                              |
| part   | a Parquet file of one load, date and symbol; `removed_ns` once another file replaced it |

This module has the tables and the transactions that read them; `commits.py` has those that write.
The catalog is an SQLite database: a file of a lake in a directory (`file_catalog.py`), an object of
a lake in a bucket (`object_catalog.py`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from batonics.lake.part_paths import check_part_path, check_schema_name
from batonics.model.errors import LakeError

T = TypeVar("T")
Transaction = Callable[[sqlite3.Connection], T]
"""What to do within one transaction. It runs again if another commit came first."""

CATALOG_FILE = "catalog.sqlite"
"""Name of the catalog below the lake's root."""
CATALOG_FORMAT = 4
"""The format of the tables and of the parts; 1: rows without their place in the stream, 2: parts
with one symbol each, sources without the times of their books, intervals without `complete`,
3: times of books without the hashes of their records."""

_TABLES = (
    # STRICT: a value of another type is an error that SQLite reports.
    """CREATE TABLE source (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        digest TEXT,
        stat TEXT NOT NULL
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
    """CREATE TABLE load (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        source INTEGER NOT NULL REFERENCES source,
        schema TEXT NOT NULL,
        version TEXT NOT NULL,
        rows INTEGER NOT NULL,
        at_ns INTEGER NOT NULL,
        UNIQUE (source, schema)
    ) STRICT""",
    """CREATE TABLE part (
        id INTEGER PRIMARY KEY,
        path TEXT NOT NULL UNIQUE,
        schema TEXT NOT NULL,
        date TEXT,
        symbol TEXT,
        load INTEGER,
        digest TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        rows INTEGER NOT NULL,
        ts_min INTEGER,
        ts_max INTEGER,
        aliases TEXT NOT NULL,
        removed_ns INTEGER
    ) STRICT""",
    # The index repeats every column that decides whether a part is read: `check_catalog` compares.
    """CREATE INDEX part_live ON part (schema, date, symbol, aliases, ts_min, ts_max, rows, bytes)
        WHERE removed_ns IS NULL""",
    "CREATE INDEX part_load ON part (load)",
)


NO_ALIASES = "[]"
"""`Part.aliases` of rows with one symbol."""


class Part(NamedTuple):
    """A Parquet file of a lake.

    Attributes:
        path: path from the lake's root: `mbp-10/date=2025-09-24/symbol=CLX5/1f03...-0000.parquet`.
        schema: name of its rows' schema (`frames/schemas/table.py`).
        date: ISO date of its rows, UTC; None if no row has a time.
        symbol: symbol of its rows; None if nothing names their instruments.
        digest: SHA-256 of the file, in hex.
        bytes: size of the file.
        rows: number of rows.
        ts_min: least time of its rows, in nanoseconds since the epoch; None if no row has a time.
        ts_max: greatest time of its rows, likewise.
        aliases: the other symbols of all its rows (rule 2), as a JSON array.
    """

    path: str
    schema: str
    date: str | None
    symbol: str | None
    digest: str
    bytes: int
    rows: int
    ts_min: int | None
    ts_max: int | None
    aliases: str = NO_ALIASES

    def symbols_among(self, symbols: Sequence[str]) -> list[str | None]:
        """The symbols of its rows among some of them; empty: all. Answers show the first."""
        if not symbols:
            return [self.symbol, *self.other_symbols()]
        return [name for name in (self.symbol, *self.other_symbols()) if name in symbols]

    def symbol_among(self, symbols: Sequence[str]) -> str | None:
        """The symbol of its rows in answers about some of their symbols; empty: about all."""
        return self.symbol if not symbols else self.symbols_among(symbols)[0]

    def other_symbols(self) -> list[str]:
        """The other symbols of its rows."""
        names: list[str] = [] if self.aliases == NO_ALIASES else json.loads(self.aliases)
        return names


def read_part(row: Sequence[Any]) -> Part:
    """The part of a row of the catalog, with the columns of `Part`.

    Raises:
        LakeError: its path is none of a part (`part_paths.py`), or its aliases are no symbols.
    """
    part = Part(*row)
    check_part_path(part.path, part.schema, part.date, part.symbol)
    if part.aliases != NO_ALIASES:
        try:
            is_list = all(isinstance(name, str) for name in part.other_symbols())
        except (ValueError, TypeError, RecursionError):
            is_list = False
        if not is_list:
            raise LakeError(f"{part.path}: its aliases in the lake's catalog are no symbols")
    return part


class LoadedSource(NamedTuple):
    """A source, as it was when it was loaded.

    Attributes:
        name: paths of its files, one a line; or the name of a live feed.
        digest: SHA-256 of its bytes (for several files, of their digests); None for a live feed.
        stat: size, times and inode of each file, by which an unchanged file is known without
            reading it.
    """

    name: str
    digest: str | None
    stat: str


class SchemaLoad(NamedTuple):
    """The parts that a load has written for one schema.

    Attributes:
        schema: name of the schema.
        parts: the parts, in the order of their rows.
    """

    schema: str
    parts: list[Part]

    @property
    def rows(self) -> int:
        """Number of rows in all parts."""
        return sum(part.rows for part in self.parts)


class RowFilter(NamedTuple):
    """The rows that a reader asks for; by default all rows.

    Attributes:
        symbols: only rows of these symbols; empty: of all symbols.
        start_ns: only rows of this time or later; None: no such limit.
        end_ns: only rows of earlier times; None: no such limit.
            A row without a time passes neither limit.
    """

    symbols: tuple[str, ...] = ()
    start_ns: int | None = None
    end_ns: int | None = None


NO_FILTER = RowFilter()
"""All rows."""


class PartConditions(NamedTuple):
    """Conditions on parts beside those of a `RowFilter`; by default none.

    Attributes:
        dates: only parts of these dates, and those without a date; None: of all dates.
        symbols: only parts whose rows have one of these symbols; empty: of all symbols.
        low_ns: only parts with this time or later ones, and those without times.
        high_ns: only parts with this time or earlier ones, and those without times.
    """

    dates: tuple[str, ...] | None = None
    symbols: tuple[str, ...] = ()
    low_ns: int = -(2**63)
    high_ns: int = 2**63 - 1


NO_CONDITIONS = PartConditions()
"""All parts."""


class Catalog(Protocol):
    """The catalog's database, wherever it is stored."""

    def commit(self, transaction: Transaction[T]) -> T:
        """Run a transaction that writes; return once it is on the disk."""

    def read(self, transaction: Transaction[T]) -> T:
        """Run a transaction that only reads, on one state of the catalog."""


def make_tables(connection: sqlite3.Connection) -> None:
    """Make an empty catalog, unless there is one."""
    if connection.execute("PRAGMA user_version").fetchone()[0]:
        return
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {CATALOG_FORMAT}")


def one_line(message: object) -> str:
    """A message of SQLite, which may quote a statement of several lines, as one line."""
    return " ".join(str(message).split())


def check_catalog(connection: sqlite3.Connection, name: str) -> None:
    """Raise LakeError if the database has another format, or is damaged.

    SQLite has no digests: a flipped bit could hide a part. But all that decides which parts there
    are is stored in a table and in its index, and one bit damages only one of them, so that the
    integrity check finds it. The check takes 2 ms for 1,000 parts, 0.5 s for 100,000.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found != CATALOG_FORMAT:
        remedy = "read it with a newer one" if found > CATALOG_FORMAT else "load its files anew"
        raise LakeError(
            f"{name}: catalog of format {found}, this batonics knows {CATALOG_FORMAT}: {remedy}"
        )
    other = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type NOT IN ('table', 'index')"
    ).fetchone()
    if other is not None:
        # A view or a trigger would run SQL of its maker within each transaction.
        raise LakeError(f"{name}: has {other[0]!r}, which is no table: batonics did not write it")
    (message,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if message != "ok":
        raise LakeError(
            f"{name}: damaged: {one_line(message)}; put a copy of it back, or load anew elsewhere"
        )


PART_COLUMNS = ", ".join(Part._fields)


def find_parts(
    schema: str, row_filter: RowFilter = NO_FILTER, conditions: PartConditions = NO_CONDITIONS
) -> Transaction[list[Part]]:
    """The parts of a schema that may have rows of the filter, by date, symbol and load."""
    where, values = ["removed_ns IS NULL", "schema = ?"], [schema]
    if conditions.dates is not None:
        where.append("(date IN (SELECT value FROM json_each(?)) OR date IS NULL)")
        values.append(json.dumps(conditions.dates))
    _select_symbols(row_filter.symbols, where, values)
    _select_symbols(conditions.symbols, where, values)
    if (conditions.low_ns, conditions.high_ns) != NO_CONDITIONS[2:]:
        where.append("(ts_min IS NULL OR ts_min <= ? AND ts_max >= ?)")
        values += [conditions.high_ns, conditions.low_ns]  # type: ignore[list-item]
    for bound, test in ((row_filter.start_ns, "ts_max >= ?"), (row_filter.end_ns, "ts_min < ?")):
        if bound is not None:
            where.append(test)
            values.append(min(bound, 2**63 - 1))  # type: ignore[arg-type]
    text = f"SELECT {PART_COLUMNS} FROM part WHERE {' AND '.join(where)}"  # noqa: S608 - no input
    order = " ORDER BY date, symbol, load, id"

    def run(connection: sqlite3.Connection) -> list[Part]:
        return [read_part(row) for row in connection.execute(text + order, values)]

    return run


def find_time_span(
    row_filter: RowFilter, schemas: Sequence[str] = ()
) -> Transaction[tuple[int, int] | None]:
    """The least and greatest time of parts that may have rows of the filter; None: there is none.

    Parts without times are not among them.

    Args:
        row_filter: the filter.
        schemas: the schemas of the parts; empty: all schemas.
    """
    where, values = ["removed_ns IS NULL", "ts_min IS NOT NULL"], list[str]()
    if schemas:
        where.append("schema IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(schemas))
    _select_symbols(row_filter.symbols, where, values)
    bounds = [
        (row_filter.start_ns, "ts_max >= {}"),
        (row_filter.end_ns, "ts_min < {}"),
    ]
    where += [test.format(min(bound, 2**63 - 1)) for bound, test in bounds if bound is not None]
    text = f"SELECT min(ts_min), max(ts_max) FROM part WHERE {' AND '.join(where)}"  # noqa: S608 - no input

    def run(connection: sqlite3.Connection) -> tuple[int, int] | None:
        first, last = connection.execute(text, values).fetchone()
        return None if first is None else (first, last)

    return run


def find_dates(schema: str) -> Transaction[list[str]]:
    """The dates of the parts of a schema, in order."""
    # Each step is one search in the index, however many parts a date has.
    text = """
        WITH RECURSIVE found (date) AS (
            SELECT min(date) FROM part WHERE removed_ns IS NULL AND schema = ?1
            UNION ALL
            SELECT (
                SELECT min(date) FROM part
                WHERE removed_ns IS NULL AND schema = ?1 AND part.date > found.date
            ) FROM found WHERE date IS NOT NULL
        )
        SELECT date FROM found WHERE date IS NOT NULL
    """

    def run(connection: sqlite3.Connection) -> list[str]:
        return [date for (date,) in connection.execute(text, [schema])]

    return run


def _select_symbols(symbols: Sequence[str], where: list[str], values: list[str]) -> None:
    """Add the condition for parts whose rows have one of these symbols, and its values."""
    if symbols:
        where.append(
            "(symbol IN (SELECT value FROM json_each(?))"
            " OR EXISTS (SELECT value FROM json_each(aliases)"
            " INTERSECT SELECT value FROM json_each(?)))"
        )
        values += [json.dumps(symbols)] * 2


def all_parts(connection: sqlite3.Connection) -> list[Part]:
    """Every part of the lake, by schema, date, symbol and load."""
    text = f"SELECT {PART_COLUMNS} FROM part WHERE removed_ns IS NULL"  # noqa: S608
    rows = connection.execute(f"{text} ORDER BY schema, date, symbol, load, id")
    return [read_part(row) for row in rows]


def loaded_schemas(connection: sqlite3.Connection) -> list[str]:
    """The names of all schemas that were loaded."""
    rows = connection.execute("SELECT DISTINCT schema FROM load ORDER BY schema")
    return [check_schema_name(name) for (name,) in rows]


def all_loads(connection: sqlite3.Connection) -> list[tuple[str, str, int, int, str, str | None]]:
    """Source, schema, rows, time in ns, version and digest of the source of each load, in order."""
    return connection.execute(
        "SELECT name, schema, rows, at_ns, version, digest FROM load"
        " JOIN source ON source.id = load.source ORDER BY name, schema"
    ).fetchall()


def loaded_symbols(connection: sqlite3.Connection) -> list[str]:
    """The symbols of all rows."""
    rows = connection.execute(
        "SELECT symbol FROM part WHERE removed_ns IS NULL AND symbol IS NOT NULL"
        " UNION SELECT value FROM part, json_each(aliases) WHERE removed_ns IS NULL ORDER BY 1"
    )
    return [name for (name,) in rows]


class SourceRecord(NamedTuple):
    """What the catalog has about a source.

    Attributes:
        id: its key in the table `source`.
        source: the source as it was loaded.
        schemas: the schemas that were loaded from it.
    """

    id: int
    source: LoadedSource
    schemas: frozenset[str]


def find_source_by_name(connection: sqlite3.Connection, name: str) -> SourceRecord | None:
    """The source with that name."""
    return _find_source(connection, "name = ?", name)


def find_source_by_digest(connection: sqlite3.Connection, digest: str) -> SourceRecord | None:
    """The source with that digest."""
    return _find_source(connection, "digest = ?", digest)


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


def _find_source(connection: sqlite3.Connection, where: str, value: str) -> SourceRecord | None:
    found = connection.execute(
        f"SELECT id, name, digest, stat FROM source WHERE {where}",  # noqa: S608 - ours
        [value],
    ).fetchone()
    if found is None:
        return None
    loaded = connection.execute("SELECT schema FROM load WHERE source = ?", [found[0]])
    return SourceRecord(
        found[0], LoadedSource(*found[1:]), frozenset(schema for (schema,) in loaded)
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
