"""Which times the sources of a lake cover: in its catalog, and as the value of a query's parameter.

The rule here: an interval of a book is covered if sources of the book cover it together
(`model/coverage.py`), be it by the schemas that the query reads or by others. The parameter is a
list of STRUCT(source, first_ns, last_ns), BIGINT nanoseconds since the epoch. It has the times that
the files of the scope of each `source` of rows cover, as far as the lake has records and the query
reads. Two such times of one source have a hole between them. An interval with rows of several
sources is complete if the first of them covers its beginning, the last one its end, and both meet:

    coverage AS (SELECT unnest($data, recursive := true)),
    ...
    LEFT JOIN coverage AS opening ON opening.source = epoch_ns(first_source)
        AND opening.first_ns <= START AND opening.last_ns >= START
    LEFT JOIN coverage AS closing ON closing.source = epoch_ns(last_source)
        AND closing.first_ns <= END AND closing.last_ns >= END
    coalesce(opening.last_ns + 1 >= closing.first_ns, false) AS complete

Where the rows of several sources have one `source`, only what all of these cover counts.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from batonics.lake.catalog import Transaction, check_table
from batonics.lake.part_search import RowFilter
from batonics.lake.spans import BookSpan
from batonics.model.coverage import (
    CoveredSpan,
    FileSpan,
    Holes,
    cover_by_scope,
    find_holes,
    holes_between,
)
from batonics.model.errors import UsageError
from batonics.model.times import NS_PER_DAY

_COLUMNS = "source, source_ns, name, scope, first_ns, last_ns, start_ns, end_ns"
_NOTHING = {"source": -1, "first_ns": 2**63 - 1, "last_ns": -1}
"""What covers nothing: a list without elements has no type."""


class LakeCoverage(Enum):
    """The value of a parameter before it is known of which lake."""

    OF_LAKE = "lake"


class SourceCoverage(NamedTuple):
    """What a source covers.

    Attributes:
        source_ns: the value of `source` in its rows (`frames/columns/row_place.py`).
        files: what its files say of their times.
    """

    source_ns: int
    files: tuple[FileSpan, ...]


def make_coverage(
    files: Sequence[FileSpan], spans: Sequence[BookSpan], source_ns: int | None = None
) -> SourceCoverage:
    """The coverage of a source.

    Args:
        files: what its files say. Where they do not say what they were asked for, the books that
            they have do.
        spans: when the source has records of which books.
        source_ns: the value of `source` in its rows; None: the first time of its files.
    """
    books = sorted({f"{span.publisher_id} {span.instrument}" for span in spans})
    scope = f"books {sha256(chr(10).join(books).encode()).hexdigest()[:16]}"
    if source_ns is None:
        source_ns = next((file.first_ns for file in files if file.first_ns is not None), 0)
    return SourceCoverage(
        source_ns, tuple(file._replace(scope=file.scope or scope) for file in files)
    )


def write_coverage(
    connection: sqlite3.Connection, source_id: int, coverage: SourceCoverage, *, adds: bool
) -> None:
    """Note what a source in the catalog covers.

    Args:
        connection: the catalog.
        source_id: the source.
        coverage: what it covers, all of it with that `source_ns`.
        adds: the source has other runs, which stay.
    """
    connection.execute(
        "DELETE FROM coverage WHERE source = ?1 AND (source_ns = ?2 OR NOT ?3)",
        (source_id, coverage.source_ns, adds),
    )
    connection.executemany(
        f"INSERT INTO coverage ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - ours
        [(source_id, coverage.source_ns, *file) for file in coverage.files],
    )


def read_source_coverage(connection: sqlite3.Connection, source_id: int) -> list[SourceCoverage]:
    """What a source covers, one `SourceCoverage` for each `source` of its rows."""
    rows = connection.execute(
        "SELECT source_ns, name, scope, first_ns, last_ns, start_ns, end_ns FROM coverage"
        " WHERE source = ? ORDER BY source_ns, rowid",
        [source_id],
    ).fetchall()
    return [
        SourceCoverage(source_ns, tuple(FileSpan(*file) for _, *file in found))
        for source_ns, found in groupby(rows, key=itemgetter(0))
    ]


def read_coverage(schemas: Sequence[str]) -> Transaction[list[SourceCoverage]]:
    """What the sources of some schemas cover, a `SourceCoverage` for each file."""
    text = """
        SELECT source_ns, name, scope, first_ns, last_ns, start_ns, end_ns FROM coverage
        WHERE source IN (
            SELECT source FROM load WHERE schema IN (SELECT value FROM json_each(?))
        )
    """

    def run(connection: sqlite3.Connection) -> list[SourceCoverage]:
        for table in ("load", "coverage"):
            check_table(connection, table)
        rows = connection.execute(text, [json.dumps(list(schemas))])
        return [SourceCoverage(source_ns, (FileSpan(*file),)) for source_ns, *file in rows]

    return run


def find_lake_holes(sources: Iterable[SourceCoverage]) -> Holes:
    """The times between sources that none covers."""
    return find_holes(file for source in sources for file in source.files)


def find_day_holes(schemas: Sequence[str], row_filter: RowFilter) -> Transaction[Holes]:
    """The times within a day (UTC), and within a filter, that no source of some schemas covers."""
    start_ns = row_filter.start_ns or 0
    end_ns = 2**63 - 1 if row_filter.end_ns is None else row_filter.end_ns

    def run(connection: sqlite3.Connection) -> Holes:
        holes = find_lake_holes(read_coverage(schemas)(connection))
        return tuple(
            hole
            for hole in holes_between(holes, start_ns, end_ns - 1)
            if hole.start_ns // NS_PER_DAY == hole.end_ns // NS_PER_DAY
        )

    return run


def parse_lake_coverage(text: str) -> LakeCoverage:
    """The only value of such a parameter; UsageError: it is another."""
    if text != LakeCoverage.OF_LAKE.value:
        raise UsageError("it follows from the lake")
    return LakeCoverage.OF_LAKE


def replace_coverage(
    parameters: Mapping[str, object], find: Callable[[], Sequence[Mapping[str, int]]]
) -> dict[str, object]:
    """The parameters with the list of structs in place of each `LakeCoverage`."""
    return {
        name: list(find()) or [_NOTHING] if isinstance(value, LakeCoverage) else value
        for name, value in parameters.items()
    }


def describe_coverage(
    sources: Sequence[SourceCoverage], row_filter: RowFilter
) -> list[dict[str, int]]:
    """What is covered around each source, as the parameter has it.

    Args:
        sources: the sources.
        row_filter: the rows that a query reads.
    """
    files = [file for source in sources for file in source.files]
    edges = [
        (file.first_ns, file.last_ns)
        for file in files
        if file.first_ns is not None and file.last_ns is not None
    ]
    first_ns = max(min((first for first, _ in edges), default=0), row_filter.start_ns or 0)
    last_ns = max((last for _, last in edges), default=-1)
    if row_filter.end_ns is not None:
        last_ns = min(last_ns, row_filter.end_ns - 1)
    by_scope = cover_by_scope(files)
    found: dict[int, dict[str, list[CoveredSpan]]] = {}
    for source in sources:
        scopes = found.setdefault(source.source_ns, {})
        for file in source.files:
            scopes[file.scope] = by_scope[file.scope]
    return [
        {"source": source, "first_ns": from_ns, "last_ns": until_ns}
        for source, scopes in sorted(found.items())
        for from_ns, until_ns in _intersect_all(list(scopes.values()), first_ns, last_ns)
    ]


def _intersect_all(
    covers: Sequence[Sequence[CoveredSpan]], first_ns: int, last_ns: int
) -> list[tuple[int, int]]:
    """The times from `first_ns` to `last_ns` that are in spans of each list."""
    common = [(first_ns, last_ns)] if first_ns <= last_ns else []
    for spans in covers:
        common = [
            (max(low, span.from_ns), min(high, span.until_ns))
            for low, high in common
            for span in spans
            if low <= span.until_ns and span.from_ns <= high
        ]
    return common
