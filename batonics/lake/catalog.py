"""What a lake holds: its parts, the loads they come from, and the files those read.

The rule here: one transaction is one commit, and the only one. A part is in the lake once the
transaction that says so is on the disk, and out of it once another says that; readers ask here
which files to read. So nobody ever sees half of a load, whatever was killed when.

| table  | a row is                                                                               |
|--------|----------------------------------------------------------------------------------------|
| source | a file, or several that are one stream, or a live feed; as it was when it was loaded   |
| load   | one schema of a source, and the version of batonics that derived it                    |
| part   | a Parquet file of one load, date and symbol; `removed_ns` once another took its place  |

The catalog is an SQLite database: in a directory a file (`file_catalog.py`), in a bucket an object
(`object_catalog.py`).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import NamedTuple, Protocol, TypeVar

from batonics.model.errors import LakeError

T = TypeVar("T")
Transaction = Callable[[sqlite3.Connection], T]
"""What is to be done within a transaction. It may be called again where another came between."""

CATALOG_FORMAT = 1

_TABLES = (
    # STRICT, so that a value of another type is damage that is seen.
    """CREATE TABLE source (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        digest TEXT,
        stat TEXT NOT NULL
    ) STRICT""",
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
        removed_ns INTEGER
    ) STRICT""",
    # All that decides whether a part is read is here as well: `check_catalog` compares the two.
    """CREATE INDEX part_live ON part (schema, date, symbol, ts_min, ts_max, rows, bytes)
        WHERE removed_ns IS NULL""",
    "CREATE INDEX part_load ON part (load)",
)


class Part(NamedTuple):
    """A Parquet file of a lake.

    Attributes:
        path: from the lake's root: `mbp-10/date=2025-09-24/symbol=CLX5/1f03...-0000.parquet`.
        schema: the name of a schema (`frames/schemas/table.py`).
        date: ISO, UTC; None where no row has a time.
        symbol: None where nothing names the instruments.
        digest: SHA-256 of the file, in hex.
        bytes, rows: how many it has.
        ts_min, ts_max: of its rows' times, nanoseconds since the epoch; None where there are none.
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


class LoadedSource(NamedTuple):
    """What was loaded, as it was then.

    Attributes:
        name: paths, a line each; or what a live feed is called.
        digest: SHA-256 of its bytes (of several files: of their digests); None of a live feed.
        stat: what tells without reading it that it has not been written to since.
    """

    name: str
    digest: str | None
    stat: str


class SchemaLoad(NamedTuple):
    """What a load has written and is to be committed.

    Attributes:
        schema: the name of a schema (`frames/schemas/table.py`).
        parts: its files, in the order of their rows.
    """

    schema: str
    parts: list[Part]

    @property
    def rows(self) -> int:
        """Of all parts."""
        return sum(part.rows for part in self.parts)


class RowFilter(NamedTuple):
    """Which rows a reader wants; None and empty: all.

    Attributes:
        symbols: only these.
        start_ns, end_ns: only rows of times in `[start_ns, end_ns)`; rows without one are none.
    """

    symbols: tuple[str, ...] = ()
    start_ns: int | None = None
    end_ns: int | None = None


class Catalog(Protocol):
    """Where the database lies, and how it is committed."""

    def commit(self, change: Transaction[T]) -> T:
        """Do the change in a transaction of its own, and return when it is on the disk."""

    def read(self, question: Transaction[T]) -> T:
        """Ask something of one state of the catalog."""


def make_tables(connection: sqlite3.Connection) -> None:
    """Make an empty catalog, unless there is one."""
    if connection.execute("PRAGMA user_version").fetchone()[0]:
        return
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {CATALOG_FORMAT}")


def one_line(words: object) -> str:
    """What SQLite says: it may quote a statement of several lines."""
    return " ".join(str(words).split())


def check_catalog(connection: sqlite3.Connection, name: str) -> None:
    """LakeError if the database is of another format than ours, or not what was written.

    SQLite has no digests: a flipped bit may be a part that is no longer found. But what says which
    parts there are stands in the tables and in their indexes; a bit can only be wrong in one of
    them. It takes 2 ms of 1,000 parts, 0.5 s of 100,000.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found != CATALOG_FORMAT:
        raise LakeError(f"{name}: catalog of format {found}, this batonics knows {CATALOG_FORMAT}")
    (wrong,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if wrong != "ok":
        raise LakeError(
            f"{name}: damaged: {one_line(wrong)}; put a copy of it back, or load anew elsewhere"
        )


# ---------------------------------------------------------------------- questions


_PART_COLUMNS = ", ".join(Part._fields)


def find_parts(schema: str, wanted: RowFilter = RowFilter()) -> Transaction[list[Part]]:  # noqa: B008 - immutable
    """The parts of a schema that may hold rows that are wanted, by date, symbol and load."""
    where, values = ["removed_ns IS NULL", "schema = ?"], [schema]
    if wanted.symbols:
        where.append(f"symbol IN ({', '.join('?' * len(wanted.symbols))})")
        values += wanted.symbols
    for bound, test in ((wanted.start_ns, "ts_max >= ?"), (wanted.end_ns, "ts_min < ?")):
        if bound is not None:
            where.append(test)
            values.append(min(bound, 2**63 - 1))  # type: ignore[arg-type]
    text = f"SELECT {_PART_COLUMNS} FROM part WHERE {' AND '.join(where)}"  # noqa: S608 - no input
    order = " ORDER BY date, symbol, load, id"

    def ask(connection: sqlite3.Connection) -> list[Part]:
        return [Part(*row) for row in connection.execute(text + order, values)]

    return ask


def all_parts(connection: sqlite3.Connection) -> list[Part]:
    """Every part of the lake, by schema, date, symbol and load."""
    text = f"SELECT {_PART_COLUMNS} FROM part WHERE removed_ns IS NULL"  # noqa: S608
    return [
        Part(*row) for row in connection.execute(f"{text} ORDER BY schema, date, symbol, load, id")
    ]


def schemas(connection: sqlite3.Connection) -> list[str]:
    """The names of all schemas that have been loaded."""
    rows = connection.execute("SELECT DISTINCT schema FROM load ORDER BY schema")
    return [name for (name,) in rows]


def loads(connection: sqlite3.Connection) -> list[tuple[str, str, int, int, str, str | None]]:
    """(source, schema, rows, when in ns, version, digest of the source) of each load, in order."""
    return connection.execute(
        "SELECT name, schema, rows, at_ns, version, digest FROM load"
        " JOIN source ON source.id = load.source ORDER BY name, schema"
    ).fetchall()


def symbols(connection: sqlite3.Connection) -> list[str]:
    """The names of all instruments of which there are rows."""
    rows = connection.execute(
        "SELECT DISTINCT symbol FROM part"
        " WHERE removed_ns IS NULL AND symbol IS NOT NULL ORDER BY symbol"
    )
    return [name for (name,) in rows]


class SourceRecord(NamedTuple):
    """A source that is in the lake, and the schemas that were loaded from it."""

    id: int
    source: LoadedSource
    schemas: frozenset[str]


def find_source_by_name(connection: sqlite3.Connection, name: str) -> SourceRecord | None:
    """The source of that name."""
    return _known(connection, "name = ?", name)


def find_source_by_digest(connection: sqlite3.Connection, digest: str) -> SourceRecord | None:
    """The source of that digest."""
    return _known(connection, "digest = ?", digest)


def may_have_source(name: str, stat: str) -> Transaction[bool]:
    """Whether there may be a source of that name, or of the same bytes as one of that stat."""
    size, _, _ = stat.partition(" ")

    def ask(connection: sqlite3.Connection) -> bool:
        found = connection.execute(
            "SELECT 1 FROM source WHERE name = ? OR stat LIKE ? || ' %'", (name, size)
        )
        return found.fetchone() is not None

    return ask


def _known(connection: sqlite3.Connection, where: str, value: str) -> SourceRecord | None:
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
    """The paths of all parts, those that were taken out included."""
    return {path for (path,) in connection.execute("SELECT path FROM part")}


# ---------------------------------------------------------------------- changes


def commit_load(
    source: LoadedSource, loads: Sequence[SchemaLoad], version: str, *, again: bool = False
) -> Transaction[bool]:
    """Put a load into the lake.

    What was made of other bytes of the same name goes. Bytes are in a lake once, whatever their
    file is called: where they are known already, only schemas that are new are taken.

    Args:
        source: as it was read.
        loads: what was made of it.
        version: of batonics.
        again: replace even what was made of the same bytes.

    Returns:
        Whether anything was put in: not if another process has loaded the same meanwhile.
    """

    def change(connection: sqlite3.Connection) -> bool:
        named = find_source_by_name(connection, source.name)
        same = find_source_by_digest(connection, source.digest) if source.digest else None
        if named is not None and named.source.digest != source.digest:
            _drop_source(connection, named.id)
        if same is None:
            source_id, loaded = _insert_source(connection, source), frozenset[str]()
        else:
            source_id, loaded = same.id, same.schemas
            if same.source.name == source.name:
                connection.execute(
                    "UPDATE source SET stat = ? WHERE id = ?", (source.stat, source_id)
                )
        wanted = [load for load in loads if again or load.schema not in loaded]
        now_ns = time.time_ns()
        for load in wanted:
            _insert_load(connection, source_id, load, version, now_ns)
        return bool(wanted)

    return change


def _insert_source(connection: sqlite3.Connection, source: LoadedSource) -> int:
    cursor = connection.execute("INSERT INTO source (name, digest, stat) VALUES (?, ?, ?)", source)
    return cursor.lastrowid or 0


def _drop_source(connection: sqlite3.Connection, source_id: int) -> None:
    _remove(connection, "load IN (SELECT id FROM load WHERE source = ?)", [source_id])
    connection.execute("DELETE FROM load WHERE source = ?", [source_id])
    connection.execute("DELETE FROM source WHERE id = ?", [source_id])


def _insert_load(
    connection: sqlite3.Connection, source_id: int, load: SchemaLoad, version: str, now_ns: int
) -> None:
    of_load = "load = (SELECT id FROM load WHERE source = ? AND schema = ?)"
    _remove(connection, of_load, [source_id, load.schema])
    connection.execute("DELETE FROM load WHERE source = ? AND schema = ?", (source_id, load.schema))
    cursor = connection.execute(
        "INSERT INTO load (source, schema, version, rows, at_ns) VALUES (?, ?, ?, ?, ?)",
        (source_id, load.schema, version, load.rows, now_ns),
    )
    _insert_parts(connection, cursor.lastrowid or 0, load.parts)


def append_parts(
    source: LoadedSource, loads: Sequence[SchemaLoad], version: str
) -> Transaction[None]:
    """Add parts behind those that the source has already, as a live feed does."""

    def change(connection: sqlite3.Connection) -> None:
        now_ns = time.time_ns()
        connection.execute(
            "INSERT INTO source (name, digest, stat) VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET stat = excluded.stat",
            source,
        )
        (source_id,) = connection.execute(
            "SELECT id FROM source WHERE name = ?", [source.name]
        ).fetchone()
        for load in loads:
            (load_id,) = connection.execute(
                "INSERT INTO load (source, schema, version, rows, at_ns) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (source, schema) DO UPDATE SET"
                " rows = rows + excluded.rows, at_ns = excluded.at_ns RETURNING id",
                (source_id, load.schema, version, load.rows, now_ns),
            ).fetchone()
            _insert_parts(connection, load_id, load.parts)

    return change


def replace_parts(old: Sequence[str], new: Sequence[Part]) -> Transaction[bool]:
    """Put `new`, of one load, in the place of the parts of these paths, if all are there still.

    They are not more than those, and get their ids: parts of a load are in the order of ids.
    """

    def change(connection: sqlite3.Connection) -> bool:
        marks = ", ".join("?" * len(old))
        found = connection.execute(
            f"SELECT id, load FROM part WHERE removed_ns IS NULL AND path IN ({marks}) ORDER BY id",  # noqa: S608
            old,
        ).fetchall()
        if len(found) != len(old):
            return False
        _remove(connection, f"path IN ({marks})", old)
        (last,) = connection.execute("SELECT max(id) FROM part").fetchone()
        for place, (part_id, _) in enumerate(found, 1):
            connection.execute("UPDATE part SET id = ? WHERE id = ?", (last + place, part_id))
        _insert_parts(connection, found[0][1], new, [part_id for part_id, _ in found])
        return True

    return change


def _insert_parts(
    connection: sqlite3.Connection,
    load_id: int,
    parts: Iterable[Part],
    ids: Iterable[int | None] = repeat(None),
) -> None:
    """Put parts in, with these ids or behind all that there are."""
    marks = ", ".join("?" * (len(Part._fields) + 2))
    connection.executemany(
        f"INSERT INTO part ({_PART_COLUMNS}, load, id) VALUES ({marks})",  # noqa: S608
        [(*part, load_id, part_id) for part, part_id in zip(parts, ids, strict=False)],
    )


def _remove(connection: sqlite3.Connection, where: str, values: Sequence[object]) -> None:
    connection.execute(
        f"UPDATE part SET removed_ns = ? WHERE removed_ns IS NULL AND {where}",  # noqa: S608
        (time.time_ns(), *values),
    )


def find_removed_parts(before_ns: int) -> Transaction[list[str]]:
    """The paths of parts that were taken out before some time."""

    def ask(connection: sqlite3.Connection) -> list[str]:
        rows = connection.execute("SELECT path FROM part WHERE removed_ns < ?", [before_ns])
        return [path for (path,) in rows]

    return ask


def forget_parts(paths: Sequence[str]) -> Transaction[None]:
    """Drop all that is known of parts that were taken out and whose files are gone."""

    def change(connection: sqlite3.Connection) -> None:
        connection.executemany(
            "DELETE FROM part WHERE removed_ns IS NOT NULL AND path = ?",
            [(path,) for path in paths],
        )

    return change
