"""From when to when a lake has records, as the value of a query's parameter.

The rule here: an interval is covered if the lake has records from its beginning to its end, be they
of the schemas that the query reads or not. A query gets `[first, last, start]`, BIGINT[] of
nanoseconds since the epoch: the times of the first and of the last record, and the time before
which the query reads no rows. Records of snapshots have no part in it; `source`, the start of a
row's source, has.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from batonics.lake.catalog import Transaction, check_table
from batonics.lake.part_search import RowFilter
from batonics.model.errors import UsageError


class RecordSpan(Enum):
    """The value of a parameter before it is known of which lake."""

    OF_LAKE = "lake"


def parse_record_span(text: str) -> RecordSpan:
    """The only value of such a parameter; UsageError: it is another."""
    if text != RecordSpan.OF_LAKE.value:
        raise UsageError("it follows from the lake")
    return RecordSpan.OF_LAKE


def replace_record_spans(
    parameters: Mapping[str, object], find_span: Callable[[], Sequence[int]]
) -> dict[str, object]:
    """The parameters with `[first, last, start]` in place of each `RecordSpan`."""
    return {
        name: list(find_span()) if isinstance(value, RecordSpan) else value
        for name, value in parameters.items()
    }


def find_record_span(
    row_filter: RowFilter, schemas: Sequence[str]
) -> Transaction[tuple[int, int, int]]:
    """The times of the first and the last record behind rows, and the start of the filter.

    Args:
        row_filter: the rows that a query reads.
        schemas: the schemas that it reads.
    """
    text = """
        SELECT min(first_ns), max(last_ns) FROM span WHERE source IN (
            SELECT source FROM load WHERE schema IN (SELECT value FROM json_each(?))
        )
    """

    def run(connection: sqlite3.Connection) -> tuple[int, int, int]:
        for table in ("load", "span"):
            check_table(connection, table)
        first, last = connection.execute(text, [json.dumps(list(schemas))]).fetchone()
        start_ns = row_filter.start_ns or 0
        end_ns = 2**63 - 1 if row_filter.end_ns is None else row_filter.end_ns - 1
        if first is None:
            return 2**63 - 1, -1, start_ns
        return first, min(last, end_ns), start_ns

    return run
