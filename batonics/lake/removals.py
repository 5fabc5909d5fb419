"""The transaction that removes rows of a lake: those of a source, or of a date.

The rule here: what is removed is out of the catalog altogether. A source without rows of a date
covers it no more, and has no records of it that other sources could repeat. A load that has lost
rows is incomplete, so the same files can be loaded again.
"""

from __future__ import annotations

import difflib
import sqlite3
from typing import NamedTuple

from batonics.lake.catalog import Transaction
from batonics.lake.catalog_tree import update_tree
from batonics.lake.commits import drop_source, remove_parts
from batonics.lake.coverage import read_source_coverage, write_coverage
from batonics.lake.part import Part
from batonics.lake.parts import date_to_day
from batonics.model.coverage import FileSpan, clip_file
from batonics.model.errors import UsageError
from batonics.model.times import NS_PER_DAY
from batonics.sources.input_files import absolute_name


class RemovedRows(NamedTuple):
    """What a removal took out of the lake.

    Attributes:
        rows: number of rows.
        parts: number of their files.
        sources: number of sources that they were of.
    """

    rows: int
    parts: int
    sources: int


def remove_from_catalog(name: str | None, date: str | None) -> Transaction[RemovedRows]:
    """Remove the rows of a source, of a date, or of a source on a date.

    Args:
        name: name of the source, whatever part of its files was loaded; None: every source.
        date: ISO date of the rows, UTC; None: every date.

    Returns:
        The transaction, which raises UsageError if there are no such rows.
    """

    def run(connection: sqlite3.Connection) -> RemovedRows:
        sources = _find_sources(connection, name)
        if date is None:
            removed = [drop_source(connection, source_id) for source_id in sources]
        else:
            removed = [_remove_date(connection, source_id, date) for source_id in sources]
        parts = [part for found in removed for part in found]
        if date is not None and not parts:
            raise UsageError(f"no rows of {date}{f' of {name}' if name else ''} in the lake")
        touched = sum(map(bool, removed)) if date is not None else len(sources)
        return RemovedRows(sum(part.rows for part in parts), len(parts), touched)

    return run


def _find_sources(connection: sqlite3.Connection, name: str | None) -> list[int]:
    known = connection.execute("SELECT id, name FROM source ORDER BY id").fetchall()
    if name is None:
        return [source_id for source_id, _ in known]
    absolute = absolute_name(name)
    for names in ((name, absolute), (f"{absolute}\n",)):  # several files: by the first of them
        found = [
            source_id
            for source_id, other in known
            if other in names or (names[0].endswith("\n") and other.startswith(names))
        ]
        if found:
            return found
    near = difflib.get_close_matches(absolute, [other for _, other in known], n=1)
    hint = f"did you mean {near[0]}?" if near else "`batonics lake ls --sources` lists them"
    raise UsageError(f"no source {name!r} in the lake; {hint}")


def _remove_date(connection: sqlite3.Connection, source_id: int, date: str) -> list[Part]:
    """Remove the rows of a source on a date."""
    loads = connection.execute(
        "SELECT DISTINCT load FROM part WHERE removed_ns IS NULL AND date = ?"
        " AND load IN (SELECT id FROM load WHERE source = ?)",
        (date, source_id),
    ).fetchall()
    removed = [part for (load_id,) in loads for part in _remove_of_load(connection, load_id, date)]
    if not removed:
        return []
    left = connection.execute("SELECT 1 FROM load WHERE source = ?", [source_id]).fetchone()
    if left is None:
        return [*removed, *drop_source(connection, source_id)]
    update_tree(connection, (), ())  # of schemas that the lake no longer has
    day = date_to_day(date) or 0
    connection.execute("DELETE FROM span WHERE source = ? AND day = ?", (source_id, day))
    for coverage in read_source_coverage(connection, source_id):
        files = tuple(piece for file in coverage.files for piece in _without_day(file, day))
        write_coverage(connection, source_id, coverage._replace(files=files), adds=True)
    return removed


def _remove_of_load(connection: sqlite3.Connection, load_id: int, date: str) -> list[Part]:
    removed = remove_parts(connection, "load = ? AND date = ?", (load_id, date))
    rows = sum(part.rows for part in removed)
    connection.execute(
        "UPDATE load SET rows = rows - ?1, removed_rows = removed_rows + ?1 WHERE id = ?2",
        (rows, load_id),
    )
    connection.execute(
        "DELETE FROM load WHERE id = ?1 AND NOT EXISTS"
        " (SELECT 1 FROM part WHERE load = ?1 AND removed_ns IS NULL)",
        [load_id],
    )
    return removed


def _without_day(file: FileSpan, day: int) -> list[FileSpan]:
    """What a file covers before a day, and behind it."""
    pieces = (
        clip_file(file, 0, day * NS_PER_DAY),
        clip_file(file, (day + 1) * NS_PER_DAY, 2**63 - 1),
    )
    return [piece for piece in pieces if piece is not None]
