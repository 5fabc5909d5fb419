"""What the rows of a result tell of themselves."""

from __future__ import annotations

import duckdb
import pytest

from batonics.lake.query_result import QueryResult


def relation_of(sql: str) -> duckdb.DuckDBPyRelation:
    relation = duckdb.sql(sql)
    assert relation is not None
    return relation


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ("(true), (true)", ""),
        ("(true), (false), (NULL), (false)", "sessions_known is false in 2 of 4 rows: no status"),
    ],
)
def test_a_note_counts_rows_in_which_sessions_are_not_known(rows: str, note: str) -> None:
    sql = f"SELECT * FROM (VALUES {rows}) AS t(sessions_known)"
    result = QueryResult(relation_of(sql), utc_columns=(), tz="UTC", note="before")
    result.frame()
    assert result.note.startswith(f"before; {note}" if note else "before")
    assert len(result.note.splitlines()) == 1


def test_a_column_of_another_type_is_no_flag() -> None:
    relation = relation_of("SELECT 0 AS sessions_known")
    result = QueryResult(relation, utc_columns=(), tz="UTC")
    result.frame()
    assert result.note == ""
