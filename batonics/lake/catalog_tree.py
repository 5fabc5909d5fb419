"""A tree of digests within the catalog: a reader checks what it reads, and nothing else.

The rule here: what decides which rows an answer has is compared with a digest before it is used.
SQLite has no digests, and a flipped bit in it could hide a part.

    root                 digest of the rows of `schema`
    └─ schema            a schema: digest of its rows of `day`, digest of its symbols
       └─ day            a date of a schema: totals, digest of its entries in the index `part_live`
          └─ part_live   an entry of a part: its range of symbols and times, digest of its row
             └─ part     the row

So a query costs what the schema's dates and the parts of its dates cost, however large the catalog
is. Each transaction that changes parts writes the digests anew, from the parts up to the root.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from batonics.lake.part import PART_COLUMNS, DamagedCatalogError, Part, read_part
from batonics.lake.part_paths import check_schema_name
from batonics.lake.part_symbols import decode_symbols
from batonics.model.times import enclosing_span

DIGEST_BYTES = 16

TREE_TABLES = (
    "CREATE TABLE root (id INTEGER PRIMARY KEY, digest TEXT NOT NULL) STRICT",
    """CREATE TABLE schema (
        name TEXT PRIMARY KEY,
        days_digest TEXT NOT NULL,
        symbols_digest TEXT NOT NULL,
        symbols BLOB NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE day (
        schema TEXT NOT NULL,
        date TEXT,
        parts INTEGER NOT NULL,
        rows INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        ts_min INTEGER,
        ts_max INTEGER,
        digest TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX day_date ON day (schema, date)",
    # The index has all that decides whether a part is read: of a day, nothing else is.
    """CREATE INDEX part_live ON part
        (schema, date, load, first_symbol, last_symbol, aliases, ts_min, ts_max, rows, bytes,
        row_digest)
        WHERE removed_ns IS NULL""",
)


class Day(NamedTuple):
    """The parts of a schema and date.

    Attributes:
        schema: name of the schema.
        date: ISO date; None: rows without times.
        parts: number of parts.
        rows: number of their rows.
        bytes: size of their files.
        ts_min: least time of their rows, in nanoseconds since the epoch; None: no row has a time.
        ts_max: greatest time of their rows, likewise.
        digest: digest of their entries.
    """

    schema: str
    date: str | None
    parts: int
    rows: int
    bytes: int
    ts_min: int | None
    ts_max: int | None
    digest: str


class PartEntry(NamedTuple):
    """What the index has of a part: `Part` describes the attributes.

    Attributes:
        id: its key in the table `part`.
        row_digest: digest of its row.
    """

    load: int
    id: int
    first_symbol: str | None
    last_symbol: str | None
    aliases: str
    ts_min: int | None
    ts_max: int | None
    rows: int
    bytes: int
    row_digest: int


_DAY_COLUMNS = ", ".join(Day._fields)
_ENTRY_COLUMNS = ", ".join(PartEntry._fields)


class SchemaSymbols(NamedTuple):
    """How many parts of a schema have rows of each symbol.

    Attributes:
        names: the symbols of rows in their files; None: nothing names their instruments.
        aliases: their other symbols.
    """

    names: Counter[str | None]
    aliases: Counter[str]


def make_row_digest(part: Part) -> int:
    """The digest of a part's row, as a signed integer of 64 bits."""
    hashed = hashlib.blake2b(json.dumps(part[:-1]).encode(), digest_size=8)
    hashed.update(part.symbols)
    return int.from_bytes(hashed.digest(), "little", signed=True)


def read_schemas(connection: sqlite3.Connection) -> list[str]:
    """The names of all schemas that were loaded, in order.

    Raises:
        DamagedCatalogError: a digest differs.
    """
    return [check_schema_name(row[0]) for row in _checked_schemas(connection)]


def read_days(connection: sqlite3.Connection, schema: str) -> list[Day]:
    """The dates of a schema, in order; that of rows without times comes first.

    Raises:
        DamagedCatalogError: a digest differs.
    """
    expected = {name: digest for name, digest, _ in _checked_schemas(connection)}
    rows = _day_rows(connection, schema)
    if _rows_digest(rows) != expected.get(schema, _NO_ROWS):
        raise DamagedCatalogError(f"the dates of {schema} are not those that were committed")
    return [Day._make(row) for row in rows]


def read_entries(connection: sqlite3.Connection, day: Day) -> list[PartEntry]:
    """The entries of the parts of a date, in the order of loads and of the rows of a load.

    Raises:
        DamagedCatalogError: a digest differs.
    """
    rows = _entry_rows(connection, day.schema, day.date)
    if _rows_digest(rows) != day.digest:
        date = day.date or "without a date"
        raise DamagedCatalogError(
            f"the parts of {day.schema}, {date}, are not those that were committed"
        )
    return [PartEntry._make(row) for row in rows]


def read_entry(connection: sqlite3.Connection, entry: PartEntry) -> Part:
    """The part of an entry.

    Raises:
        DamagedCatalogError: a digest differs.
    """
    row = connection.execute(
        f"SELECT {PART_COLUMNS} FROM part WHERE id = ?",  # noqa: S608 - no input
        [entry.id],
    ).fetchone()
    if row is None or make_row_digest(Part(*row)) != entry.row_digest:
        raise DamagedCatalogError(f"the part {entry.id} is not the one that was committed")
    return read_part(row)


def read_symbols(connection: sqlite3.Connection, schema: str) -> SchemaSymbols:
    """The symbols of a schema's rows.

    Raises:
        DamagedCatalogError: a digest differs.
    """
    expected = {name: digest for name, _, digest in _checked_schemas(connection)}
    if schema not in expected:
        return SchemaSymbols(Counter(), Counter())
    found = connection.execute("SELECT symbols FROM schema WHERE name = ?", [schema]).fetchone()
    if found is None or _bytes_digest(found[0]) != expected[schema]:
        raise DamagedCatalogError(f"the symbols of {schema} are not those that were committed")
    names, aliases = json.loads(zlib.decompress(found[0]))
    return SchemaSymbols(Counter(dict(names)), Counter(dict(aliases)))


def check_tree(connection: sqlite3.Connection) -> None:
    """Compare every digest.

    Raises:
        DamagedCatalogError: one differs.
    """
    parts = 0
    for schema in read_schemas(connection):
        read_symbols(connection, schema)
        for day in read_days(connection, schema):
            for entry in read_entries(connection, day):
                read_entry(connection, entry)
                parts += 1
    (found,) = connection.execute(
        "SELECT count(*) FROM part NOT INDEXED WHERE removed_ns IS NULL"
    ).fetchone()
    if found != parts:
        raise DamagedCatalogError(f"it has {found:,} parts, but lists {parts:,} of them by date")


def make_root(connection: sqlite3.Connection) -> None:
    """Write the root of an empty catalog."""
    connection.execute("INSERT INTO root (id, digest) VALUES (1, ?)", [_NO_ROWS])


def update_tree(
    connection: sqlite3.Connection, added: Sequence[Part], removed: Sequence[Part]
) -> None:
    """Write the digests of what a transaction has changed.

    Args:
        connection: the catalog, in which parts and loads are as they will be.
        added: parts that were added.
        removed: parts that were removed.
    """
    known = {row[0] for row in _checked_schemas(connection)}
    loaded = {name for (name,) in connection.execute("SELECT DISTINCT schema FROM load")}
    counts = {schema: read_symbols(connection, schema) for schema in loaded}
    touched = loaded - known
    for parts, step in ((added, 1), (removed, -1)):
        for schema, of_schema in _by_schema(parts).items():
            touched.add(schema)
            _count_symbols(counts[schema], of_schema, step)
    days = {(part.schema, part.date) for part in (*added, *removed)}
    for schema, date in days:
        _write_day(connection, schema, date)
    for schema in touched:
        _write_schema(connection, schema, counts[schema])
    connection.executemany(
        "DELETE FROM schema WHERE name = ?", [(name,) for name in known - loaded]
    )
    connection.execute("UPDATE root SET digest = ?", [_rows_digest(_schema_rows(connection))])


def _by_schema(parts: Sequence[Part]) -> dict[str, list[Part]]:
    found: dict[str, list[Part]] = {}
    for part in parts:
        found.setdefault(part.schema, []).append(part)
    return found


def _count_symbols(counts: SchemaSymbols, parts: Iterable[Part], step: int) -> None:
    """Add how many parts have each symbol, or take it away."""
    for data, number in Counter(part.symbols for part in parts).items():
        symbols = decode_symbols(data)
        counts.names.update(dict.fromkeys(symbols.names, step * number))
        counts.aliases.update(dict.fromkeys(symbols.aliases, step * number))
    for counter in counts:
        for name in [name for name, number in counter.items() if not number]:
            del counter[name]


def _write_day(connection: sqlite3.Connection, schema: str, date: str | None) -> None:
    connection.execute("DELETE FROM day WHERE schema = ? AND date IS ?", (schema, date))
    entries = [PartEntry._make(row) for row in _entry_rows(connection, schema, date)]
    if not entries:
        return
    first, last = enclosing_span((entry.ts_min, entry.ts_max) for entry in entries)
    rows, size = sum(entry.rows for entry in entries), sum(entry.bytes for entry in entries)
    connection.execute(
        f"INSERT INTO day ({_DAY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - ours
        (schema, date, len(entries), rows, size, first, last, _rows_digest(entries)),
    )


def _write_schema(connection: sqlite3.Connection, schema: str, counts: SchemaSymbols) -> None:
    text = json.dumps([list(counts.names.items()), list(counts.aliases.items())])
    symbols = zlib.compress(text.encode(), 1)
    connection.execute(
        "INSERT OR REPLACE INTO schema (name, days_digest, symbols_digest, symbols)"
        " VALUES (?, ?, ?, ?)",
        (schema, _rows_digest(_day_rows(connection, schema)), _bytes_digest(symbols), symbols),
    )


def _checked_schemas(connection: sqlite3.Connection) -> list[Any]:
    """Name, digest of the dates and digest of the symbols of each schema."""
    rows = _schema_rows(connection)
    roots = connection.execute("SELECT digest FROM root").fetchall()
    if roots != [(_rows_digest(rows),)]:
        raise DamagedCatalogError("its schemas are not those that were committed")
    return rows


def _schema_rows(connection: sqlite3.Connection) -> list[Any]:
    return connection.execute(
        "SELECT name, days_digest, symbols_digest FROM schema ORDER BY name"
    ).fetchall()


def _day_rows(connection: sqlite3.Connection, schema: str) -> list[Any]:
    return connection.execute(
        f"SELECT {_DAY_COLUMNS} FROM day WHERE schema = ? ORDER BY date",  # noqa: S608 - ours
        [schema],
    ).fetchall()


def _entry_rows(connection: sqlite3.Connection, schema: str, date: str | None) -> list[Any]:
    return connection.execute(
        f"SELECT {_ENTRY_COLUMNS} FROM part INDEXED BY part_live"  # noqa: S608 - ours
        " WHERE removed_ns IS NULL AND schema = ? AND date IS ? ORDER BY load, id",
        (schema, date),
    ).fetchall()


def _rows_digest(rows: Sequence[Any]) -> str:
    return _bytes_digest(json.dumps(rows).encode())


def _bytes_digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest()


_NO_ROWS = _rows_digest([])
