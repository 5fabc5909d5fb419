"""SQL of strangers: known escapes in random disguises.

The rule: whatever a statement does, nothing outside of the files that the connection was given is
read or written, and no setting changes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import polars as pl

from batonics.lake.connection import FileAccess, connect_duckdb
from tests.attack.attempt import Attempt
from tests.support.sql_escapes import ESCAPES, WRITES, EscapeGround

_WRAPPINGS = (
    "{0}",
    "SELECT * FROM ({0})",
    "WITH a AS ({0}) SELECT * FROM a",
    "SELECT (SELECT count(*) FROM ({0}))",
    "{0} UNION ALL {0}",
    "SELECT 1 WHERE EXISTS ({0})",
    "FROM ({0}) LIMIT 1",
    "EXPLAIN ANALYZE {0}",
    "{0};",
    "/* {0} */ {0}",
    "SELECT * FROM query($${0}$$)",
    "SELECT json_serialize_plan($${0}$$)",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql($${0}$$))",
)


def run(count: int, seed: int) -> Iterator[Attempt]:
    """Try so many statements, each an escape in up to three disguises."""
    with TemporaryDirectory(prefix="attack-sql-") as text:
        root = Path(text)
        ground, part = EscapeGround(root), root / "lake" / "mbo" / "d" / "s" / "part.parquet"
        part.parent.mkdir(parents=True)
        pl.DataFrame({"x": [1]}).write_parquet(part)
        connection = connect_duckdb(FileAccess([str(part)], root / "spill"))
        settings = _settings(connection)
        for number in range(count):
            rng = random.Random(f"{seed} {number}")
            escape = rng.choice((*ESCAPES, *WRITES))
            # The connection refuses an escape by itself too.
            trusted = escape in ESCAPES and rng.random() < 0.5
            sql = ground.fill(escape, part)
            for _ in range(rng.randrange(3)):
                sql = rng.choice(_WRAPPINGS).format(sql)
            sql = _disguised(sql, rng)
            breach = ground.run(connection, sql, trusted=trusted)[1]
            if not breach and number % 50 == 0 and _settings(connection) != settings:
                breach = "a setting has changed"
            yield Attempt(f"seed {seed}, case {number}, {sql!r}", breach)


def _disguised(sql: str, rng: random.Random) -> str:
    """The statement with other spaces, comments and letters, which mean the same."""
    if rng.random() < 0.5:
        space = rng.choice(["\t", "\n", "/**/", " -- x\n", "  "])
        sql = "".join(space if letter == " " and rng.random() < 0.3 else letter for letter in sql)
    return rng.choice([sql, sql, sql.replace("SELECT", "sElEcT"), f"({sql})", f"\ufeff{sql}"])


def _settings(connection: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    return connection.sql("SELECT name, value FROM duckdb_settings() ORDER BY name").fetchall()
