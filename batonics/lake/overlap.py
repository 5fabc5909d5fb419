"""Finds records that a lake would have twice: sources of the same books at times that overlap.

The rule here: two sources overlap if both have rows of a schema, and records of one book whose
spans (`spans.py`) intersect. A source may begin at the very time at which another ends, as parts of
a recording do, but not with a record that the other has.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from batonics.lake.catalog import LoadedSource, Transaction
from batonics.lake.spans import BookSpan, share_hash
from batonics.model.errors import UsageError
from batonics.model.times import format_time

_FIND = """
    SELECT source.name, source.digest, source.stat, source.selection,
        span.first_ns, span.last_ns, first_hashes, last_hashes
    FROM span JOIN source ON span.source = source.id
    WHERE span.day = ?1 AND span.publisher_id = ?2 AND span.instrument = ?3
        AND span.first_ns <= ?5 AND span.last_ns >= ?4
        AND EXISTS (
            SELECT 1 FROM load WHERE load.source = source.id
                AND load.schema IN (SELECT value FROM json_each(?6))
        )
"""
_WRITE = """
    INSERT INTO span (
        source, day, publisher_id, instrument, first_ns, last_ns, first_hashes, last_hashes
    )
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET
        last_ns = max(last_ns, excluded.last_ns),
        first_hashes = excluded.first_hashes,
        last_hashes = iif(excluded.last_ns < last_ns, last_hashes, excluded.last_hashes)
"""


def check_overlap(
    source: LoadedSource, schemas: Sequence[str], spans: Sequence[BookSpan]
) -> Transaction[None]:
    """Refuse records that the lake has already.

    A part of a file is not compared with what the lake has of the same part. A stream goes on
    behind what the lake has of it.

    Args:
        source: the source of the records.
        schemas: the schemas of its rows.
        spans: when it has records of which books.

    Returns:
        The transaction, which raises UsageError.
    """
    names = json.dumps(list(schemas))

    def run(connection: sqlite3.Connection) -> None:
        for span in spans if schemas else ():
            for row in connection.execute(_FIND, (*span[:5], names)):
                other, known = LoadedSource(*row[:4]), row[4:]
                is_same = _is_same(other, source)
                if is_same and (source.digest is not None or span.is_continued):
                    continue
                records = _describe_common(span, *known)
                if not records:
                    continue
                both = (
                    f"{other.description} has {records} in the lake already"
                    if other.name == source.name and is_same
                    else f"{source.description} and {other.description}, which the lake has,"
                    f" overlap: both have {records}"
                )
                raise UsageError(
                    f"{both}; give each record once, or add --in-this-order to have such rows twice"
                )

    return run


def _describe_common(
    span: BookSpan, first_ns: int, last_ns: int, first_hashes: bytes, last_hashes: bytes
) -> str:
    """What a span has in common with one that it touches, in words; empty: nothing."""
    first, last = max(first_ns, span.first_ns), min(last_ns, span.last_ns)
    if first < last or first_ns < first < last_ns or span.first_ns < first < span.last_ns:
        return f"records of {span.name} from {format_time(first)} to {format_time(last)}"
    ends = (
        (span.first_ns == last_ns, span.first_hashes, last_hashes),
        (span.last_ns == first_ns, span.last_hashes, first_hashes),
    )
    if any(is_seam and share_hash(own, other) for is_seam, own, other in ends):
        return f"the same record of {span.name} at {format_time(first)}"
    return ""


def write_spans(connection: sqlite3.Connection, source_id: int, spans: Sequence[BookSpan]) -> None:
    """Note that a source in the catalog has these records."""
    connection.executemany(_WRITE, [(source_id, *span[:7]) for span in spans])


def _is_same(one: LoadedSource, other: LoadedSource) -> bool:
    """Whether two sources are the same part of the same files."""
    is_same_file = one.name == other.name or (one.digest is not None and one.digest == other.digest)
    return is_same_file and one.selection == other.selection
