"""Which files a connection opens: those that it was given."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import duckdb
import polars as pl
import pytest

from batonics.lake.connection import (
    MESSAGE_LETTERS_MAX,
    NO_FILES,
    FileAccess,
    connect_duckdb,
    sql_errors,
)
from batonics.model.errors import UsageError
from tests.support.sql_escapes import ESCAPES, WRITES, EscapeGround


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("mbp10", "there is no mbp10 here; did you mean mbp_10? Where a lake lacks it"),
        ("ohlcv1m", "did you mean ohlcv_1m?"),
        (
            "trade",
            "did you mean trades? Where a lake lacks it, `batonics lake load FILES --schemas",
        ),
        ("mbp_10", "there is no mbp_10 here; `batonics lake load FILES --schemas mbp-10` puts it"),
        ("xyz", "there is no xyz here; views have the names of schemas: mbo, "),
        ("enum", "views have the names of schemas"),  # not pg_enum
    ],
)
def test_a_view_that_is_not_there_is_advised_by_the_names_of_schemas(
    name: str, advice: str
) -> None:
    with pytest.raises(UsageError) as caught, sql_errors():
        connect_duckdb(NO_FILES).sql(f"SELECT * FROM {name}")
    assert advice in str(caught.value)
    assert "pg_" not in str(caught.value)


def test_no_escape_reads_writes_or_changes_anything(tmp_path: Path) -> None:
    ground = EscapeGround(tmp_path)
    part = tmp_path / "lake" / "mbo" / "d" / "s" / "part.parquet"
    part.parent.mkdir(parents=True)
    pl.DataFrame({"x": [1]}).write_parquet(part)
    a_python_variable = pl.DataFrame({"x": ["hunter2"]})
    connection = connect_duckdb(FileAccess([str(part)], tmp_path / "spill"))
    answered = []
    for escape, trusted in [*product(ESCAPES, (True, False)), *product(WRITES, (False,))]:
        words, effect = ground.run(connection, ground.fill(escape, part), trusted=trusted)
        assert effect == "", escape
        if not words:
            answered.append(escape)
    # This tells that it was refused within its answer.
    assert [escape for escape in answered if "json_serialize_plan" not in escape] == []
    assert len(ESCAPES) >= 57
    assert a_python_variable.height == 1
    # What it was given, it opens still.
    assert connection.sql(f"SELECT x FROM read_parquet('{part}')").fetchall() == [(1,)]
    with pytest.raises(duckdb.Error, match="locked"):
        connection.execute("SET threads = 1")


def test_a_trusted_connection_opens_the_rest(tmp_path: Path) -> None:
    ground = EscapeGround(tmp_path)
    connection = connect_duckdb(FileAccess(trusted=True))
    for reader in ("read_text", "read_blob"):
        sql = f"SELECT * FROM {reader}('{ground.outside}/*s*')"
        words, effect = ground.run(connection, sql, trusted=True)
        assert (words, effect) == ("", "the secret is shown"), reader
    # It is one SELECT all the same.
    copy = f"COPY (SELECT 1) TO '{tmp_path}/x'"
    for sql in (copy, f"WITH x AS ({copy}) FROM x"):
        words, effect = ground.run(connection, sql, trusted=True)
        assert words.startswith("expected one SELECT statement")
        assert effect == ""


def error_of(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    with pytest.raises(UsageError) as error, sql_errors():
        connection.sql(sql).fetchall()
    return str(error.value)


def test_an_error_says_how_to_trust_a_query() -> None:
    connection = connect_duckdb(NO_FILES)
    for sql in ("SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM 'other.parquet'"):
        assert error_of(connection, sql).endswith("--trusted, in Python trusted=True")
    assert "--trusted" not in error_of(connection, "SELECT * FROM nothing")


def test_a_large_query_spills_to_its_own_directory(tmp_path: Path) -> None:
    memory = ["memory_limit = '40MB'", "threads = 1"]
    sql = "SELECT range FROM range(2000000) ORDER BY hash(range) OFFSET 1999999"
    connection = connect_duckdb(FileAccess(spill=tmp_path / "spill"), memory)
    assert len(connection.sql(sql).fetchall()) == 1
    assert (tmp_path / "spill").is_dir()
    assert "Out of Memory" in error_of(connect_duckdb(NO_FILES, memory), sql)


def test_a_message_is_short_however_long_the_statement() -> None:
    words = error_of(connect_duckdb(), "SELECT 1 " + "/*" * 20_000)
    assert len(words) <= MESSAGE_LETTERS_MAX + 100
