"""The transactions that change the catalog of a lake.

The rule here: each is one commit that leaves the catalog complete: a source with its loads, a load
with its parts. A part that is replaced or removed keeps its row until its file is gone.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import NamedTuple

from batonics.lake.catalog import (
    LoadedSource,
    SchemaLoad,
    Transaction,
    find_source_by_digest,
    find_source_by_name,
)
from batonics.lake.catalog_tree import make_row_digest, update_tree
from batonics.lake.coverage import SourceCoverage, write_coverage
from batonics.lake.overlap import check_overlap, write_spans
from batonics.lake.part import PART_COLUMNS, Part, read_part
from batonics.lake.spans import BookSpan
from batonics.model.errors import UsageError

OWN_STATUSES = "the statuses of its own records"
"""Where statuses of trading are from that nobody gave."""
_SOURCE_COLUMNS = "name, digest, stat, selection"
_LOAD_COLUMNS = "source, schema, version, rows, at_ns, statuses"


def commit_load(  # noqa: PLR0913 - settings, by keyword
    source: LoadedSource,
    loads: Sequence[SchemaLoad],
    version: str,
    *,
    again: bool = False,
    spans: Sequence[BookSpan] = (),
    coverage: SourceCoverage | None = None,
    may_overlap: bool = True,
) -> Transaction[bool]:
    """Add a load to the lake.

    Parts that were made from other bytes of a source of the same name, and the same part of it, are
    removed. The lake has the same bytes once, whatever their file is called: if it has them
    already, only schemas that it lacks, or lacks rows of, are added.

    Args:
        source: the source as it was read.
        loads: the parts of each schema.
        version: the version of batonics.
        again: replace even parts that were made from the same bytes.
        spans: when the source has records of which books.
        coverage: what it covers; None: nothing was read.
        may_overlap: other sources may have the same books at the same times.

    Returns:
        Whether anything was added: False if another process has loaded the same meanwhile.

    Raises:
        UsageError: another source has the same books at the same times (when it runs).
    """

    def run(connection: sqlite3.Connection) -> bool:
        selection = source.selection
        same_name = find_source_by_name(connection, source.name, selection)
        same_bytes = (
            find_source_by_digest(connection, source.digest, selection) if source.digest else None
        )
        if same_name is not None and same_name.source.digest != source.digest:
            drop_source(connection, same_name.id)
        if same_bytes is None:
            source_id, loaded = _insert_source(connection, source), set[str]()
        else:
            source_id, loaded = same_bytes.id, same_bytes.schemas.keys() - same_bytes.incomplete
            if same_bytes.source.name == source.name:
                connection.execute(
                    "UPDATE source SET stat = ? WHERE id = ?", (source.stat, source_id)
                )
        new_loads = [load for load in loads if again or load.schema not in loaded]
        if not may_overlap:
            check_overlap(source, [load.schema for load in new_loads], spans)(connection)
        write_spans(connection, source_id, spans)
        if coverage is not None:
            write_coverage(connection, source_id, coverage, adds=False)
        now_ns = time.time_ns()
        for load in new_loads:
            _insert_load(connection, source_id, load, version, now_ns)
        return bool(new_loads)

    return run


def _insert_source(connection: sqlite3.Connection, source: LoadedSource) -> int:
    cursor = connection.execute(
        f"INSERT INTO source ({_SOURCE_COLUMNS}) VALUES (?, ?, ?, ?)",  # noqa: S608 - ours
        source,
    )
    return cursor.lastrowid or 0


def drop_source(connection: sqlite3.Connection, source_id: int) -> list[Part]:
    """Remove a source and all of its parts; return these."""
    of_source = "load IN (SELECT id FROM load WHERE source = ?)"
    removed = remove_parts(connection, of_source, [source_id])
    connection.execute("DELETE FROM load WHERE source = ?", [source_id])
    connection.execute("DELETE FROM span WHERE source = ?", [source_id])
    connection.execute("DELETE FROM coverage WHERE source = ?", [source_id])
    connection.execute("DELETE FROM source WHERE id = ?", [source_id])
    update_tree(connection, (), ())  # of schemas that the lake no longer has
    return removed


def _insert_load(
    connection: sqlite3.Connection, source_id: int, load: SchemaLoad, version: str, now_ns: int
) -> None:
    same_load = "load = (SELECT id FROM load WHERE source = ? AND schema = ?)"
    remove_parts(connection, same_load, [source_id, load.schema])
    connection.execute("DELETE FROM load WHERE source = ? AND schema = ?", (source_id, load.schema))
    cursor = connection.execute(
        f"INSERT INTO load ({_LOAD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - ours
        (source_id, load.schema, version, load.rows, now_ns, load.statuses),
    )
    _insert_parts(connection, cursor.lastrowid or 0, load.parts)


def check_statuses(source: LoadedSource, loads: Sequence[SchemaLoad]) -> Transaction[None]:
    """Refuse rows whose statuses are from another place than those that the lake has of a source.

    Args:
        source: the source.
        loads: the new parts of each schema.

    Returns:
        The transaction, which raises UsageError.
    """

    def run(connection: sqlite3.Connection) -> None:
        record = find_source_by_name(connection, source.name)
        known = {} if record is None else record.schemas
        for load in loads:
            kept = known.get(load.schema, load.statuses)
            if kept != load.statuses:
                raise UsageError(
                    f"{source.name}: the lake has {load.schema} of it with {kept or OWN_STATUSES},"
                    f" not with {load.statuses or OWN_STATUSES}: give the same, or append under"
                    " another name"
                )

    return run


def append_parts(  # noqa: PLR0913 - settings, by keyword
    source: LoadedSource,
    loads: Sequence[SchemaLoad],
    version: str,
    *,
    spans: Sequence[BookSpan] = (),
    coverage: SourceCoverage | None = None,
    may_overlap: bool = True,
) -> Transaction[None]:
    """Add parts after those that the lake has of the source, as a live feed does.

    Args:
        source: the source.
        loads: the new parts of each schema.
        version: the version of batonics.
        spans: when the source has records of which books.
        coverage: what it covers; None: nothing was read.
        may_overlap: the lake may have the same books at the same times.

    Raises:
        UsageError: the lake has the same books at the same times, or rows of the source with
            statuses from another place (when it runs).
    """

    def run(connection: sqlite3.Connection) -> None:
        if not may_overlap:
            check_overlap(source, [load.schema for load in loads], spans)(connection)
        check_statuses(source, loads)(connection)
        now_ns = time.time_ns()
        connection.execute(
            f"INSERT INTO source ({_SOURCE_COLUMNS}) VALUES (?, ?, ?, ?)"  # noqa: S608 - ours
            " ON CONFLICT (name, selection) DO UPDATE SET stat = excluded.stat",
            source,
        )
        (source_id,) = connection.execute(
            "SELECT id FROM source WHERE name = ? AND selection = ''", [source.name]
        ).fetchone()
        write_spans(connection, source_id, spans)
        if coverage is not None:
            write_coverage(connection, source_id, coverage, adds=True)
        for load in loads:
            (load_id,) = connection.execute(
                f"INSERT INTO load ({_LOAD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608 - ours
                " ON CONFLICT (source, schema) DO UPDATE SET"
                " rows = rows + excluded.rows, at_ns = excluded.at_ns RETURNING id",
                (source_id, load.schema, version, load.rows, now_ns, load.statuses),
            ).fetchone()
            _insert_parts(connection, load_id, load.parts)

    return run


class Replacement(NamedTuple):
    """A part that takes the place of others of the same load.

    Attributes:
        old_paths: the paths of the others.
        part: the part.
    """

    old_paths: Sequence[str]
    part: Part


def replace_parts(replacements: Sequence[Replacement]) -> Transaction[list[bool]]:
    """Put new parts in the place of old ones.

    A new part takes the first id of the old ones, since the parts of a load are in the order of
    their ids.

    Returns:
        Whether each replacement was done: none is of which the lake no longer has all old parts.
    """

    def run(connection: sqlite3.Connection) -> list[bool]:
        added: list[Part] = []
        removed: list[Part] = []
        done = []
        for replacement in replacements:
            old = _replace(connection, replacement)
            done.append(bool(old))
            if old:
                added.append(replacement.part)
                removed += old
        update_tree(connection, added, removed)
        return done

    return run


def _replace(connection: sqlite3.Connection, replacement: Replacement) -> list[Part]:
    """Put a part in the place of others; these, or none if the lake no longer has all of them."""
    paths = replacement.old_paths
    marks = ", ".join("?" * len(paths))
    found = connection.execute(
        f"SELECT id, load FROM part WHERE removed_ns IS NULL AND path IN ({marks}) ORDER BY id",  # noqa: S608
        paths,
    ).fetchall()
    if len(found) != len(paths):
        return []
    removed = _mark_removed(connection, f"path IN ({marks})", paths)
    (last,) = connection.execute("SELECT max(id) FROM part").fetchone()
    part_id, load_id = found[0]
    connection.execute("UPDATE part SET id = ? WHERE id = ?", (last + 1, part_id))
    _insert_rows(connection, load_id, [replacement.part], [part_id])
    return removed


def _insert_parts(connection: sqlite3.Connection, load_id: int, parts: Sequence[Part]) -> None:
    """Insert parts with ids above all others."""
    _insert_rows(connection, load_id, parts, repeat(None))
    update_tree(connection, parts, ())


def _insert_rows(
    connection: sqlite3.Connection,
    load_id: int,
    parts: Sequence[Part],
    ids: Iterable[int | None],
) -> None:
    marks = ", ".join("?" * (len(Part._fields) + 3))
    connection.executemany(
        f"INSERT INTO part ({PART_COLUMNS}, row_digest, load, id) VALUES ({marks})",  # noqa: S608
        [
            (*part, make_row_digest(part), load_id, part_id)
            for part, part_id in zip(parts, ids, strict=False)
        ],
    )


def remove_parts(
    connection: sqlite3.Connection, where: str, values: Sequence[object]
) -> list[Part]:
    """Mark parts as removed, and return them; their files stay until a vacuum."""
    removed = _mark_removed(connection, where, values)
    update_tree(connection, (), removed)
    return removed


def _mark_removed(
    connection: sqlite3.Connection, where: str, values: Sequence[object]
) -> list[Part]:
    rows = connection.execute(
        f"UPDATE part SET removed_ns = ? WHERE removed_ns IS NULL AND {where}"  # noqa: S608
        f" RETURNING {PART_COLUMNS}",
        (time.time_ns(), *values),
    ).fetchall()
    return list(map(read_part, rows))


def forget_parts(paths: Sequence[str]) -> Transaction[None]:
    """Delete the rows of removed parts whose files are gone."""

    def run(connection: sqlite3.Connection) -> None:
        connection.executemany(
            "DELETE FROM part WHERE removed_ns IS NOT NULL AND path = ?",
            [(path,) for path in paths],
        )

    return run
