"""SQL that would read, write or change more than the files that a connection was given."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from batonics.lake.connection import sql_errors
from batonics.lake.select_check import check_select
from batonics.model.errors import UsageError

_READERS = (
    "read_text",
    "read_blob",
    "read_csv",
    "read_csv_auto",
    "sniff_csv",
    "read_json",
    "read_json_auto",
    "read_json_objects",
    "read_ndjson",
    "read_ndjson_objects",
    "read_parquet",
    "parquet_scan",
    "parquet_metadata",
    "parquet_schema",
    "parquet_file_metadata",
    "parquet_kv_metadata",
    "glob",
)
_FORMS = (
    "SELECT * FROM glob('{directory}/*')",
    "SELECT * FROM glob('{directory}/**')",
    "SELECT * FROM '{secret}'",
    'SELECT * FROM "{secret}"',
    "SELECT * FROM '{directory}/*.csv'",
    "SELECT * FROM read_text(['{secret}', '{secret}'])",
    "SELECT * FROM read_text('{part}/../../../../../outside/secret.csv')",
    "SELECT * FROM read_text('file://{secret}')",
    "SELECT * FROM read_text('file:{secret}')",
    "SELECT * FROM read_text('/proc/self/environ')",
    "SELECT * FROM read_text('/dev/stdin')",
    "SELECT * FROM read_text('http://127.0.0.1:1/x')",
    "SELECT * FROM read_parquet('https://127.0.0.1:1/x.parquet')",
    "SELECT * FROM read_text('s3://bucket/x')",
    "SELECT * FROM read_text('hf://datasets/x/y')",
    "SELECT * FROM query('SELECT * FROM read_text(''{secret}'')')",
    "SELECT * FROM query_table('{secret}')",
    "FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''{secret}'')'))",
    "SELECT json_serialize_plan('SELECT * FROM read_text(''{secret}'')')",
    "WITH x AS MATERIALIZED (FROM read_text('{secret}')) SELECT * FROM x",
    "SELECT (SELECT content FROM read_text('{secret}'))",
    "SELECT 1 WHERE EXISTS (FROM read_text('{secret}'))",
    "SELECT * FROM range(1), LATERAL (FROM read_text('{secret}'))",
    "SELECT * FROM (VALUES ('{secret}')) t(p), read_text(p)",
    "PIVOT (FROM read_text('{secret}')) ON size",
    "SUMMARIZE SELECT * FROM read_text('{secret}')",
    "DESCRIBE SELECT * FROM read_text('{secret}')",
    "SELECT * FROM enable_logging(storage := 'file', storage_path := '{new}')",
    "CALL enable_logging(storage := 'file', storage_path := '{new}')",
    "COPY (SELECT 1) TO '{new}'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{new}'",
    "WITH x AS (COPY (SELECT 1) TO '{new}') FROM x",
    "WITH x AS (DELETE FROM mbo) SELECT 1",
    "EXPORT DATABASE '{new}'",
    "IMPORT DATABASE '{directory}'",
    "ATTACH '{new}' AS other",
    "ATTACH '{secret}' (TYPE sqlite)",
    "CREATE TABLE t AS FROM read_text('{secret}')",
    "CREATE SECRET s (TYPE s3)",
    "CREATE MACRO m() AS TABLE FROM read_text('{secret}')",
    "INSTALL httpfs",
    "LOAD '{secret}'",
    "SET enable_external_access = true",
    "SET GLOBAL allowed_directories = ['/']",
    "SET allowed_paths = ['{secret}']",
    "SET lock_configuration = false",
    "SET temp_directory = '{directory}'",
    "RESET enable_external_access",
    "PRAGMA enable_profiling = 'json'",
    "PRAGMA profiling_output = '{new}'",
    "USE memory",
    "CHECKPOINT",
    "SELECT 1; COPY (SELECT 1) TO '{new}'",
    "SELECT * FROM st_read('{secret}')",
    "SELECT * FROM read_xlsx('{secret}')",
    "SELECT * FROM sqlite_scan('{secret}', 'x')",
    "SELECT * FROM delta_scan('{directory}')",
    "SELECT * FROM iceberg_scan('{directory}')",
    "SELECT getenv('HOME')",
    "SELECT * FROM a_python_variable",
)
ESCAPES = (*(f"SELECT * FROM {reader}('{{secret}}')" for reader in _READERS), *_FORMS)
"""What a connection itself refuses, whoever has written it."""
_WRITE = "WITH x AS (COPY (SELECT 1) TO ''{part}'' (USE_TMP_FILE false)) FROM x"
WRITES = (
    _WRITE.replace("''", "'"),
    "WITH x AS (COPY (SELECT 1) TO (current_setting('allowed_paths')[1]) (USE_TMP_FILE 0)) FROM x",
    "SELECT (WITH x AS (COPY (SELECT 1) TO '{part}' (USE_TMP_FILE false)) SELECT 1)",
    "WITH y AS (WITH x AS (COPY (SELECT 1) TO '{part}' (USE_TMP_FILE false)) FROM x) FROM y",
    f"FROM query('{_WRITE}')",
    f"FROM query(concat('{_WRITE}'))",
    f"FROM json_execute_serialized_sql(json_serialize_sql('{_WRITE}'))",
    f"FROM range(1), json_execute_serialized_sql(json_serialize_sql('{_WRITE}'))",
    f"FROM system.main.\"Json_Execute_Serialized_SQL\"(json_serialize_sql('{_WRITE}'))",
    "FROM truncate_duckdb_logs()",
)
"""What changes a file that a connection may open, or its state; `check_select` refuses it."""
SECRET = "hunter2"
"""What the secret file has and another one is called; no answer may have it."""


class EscapeGround:
    """A directory with secrets, beside the directory of a lake.

    Args:
        root: an empty directory.

    Attributes:
        outside: the directory with the secrets, in which nothing may be made.
        secret: a file.
    """

    def __init__(self, root: Path) -> None:
        self.outside = root / "outside"
        self.outside.mkdir()
        self.secret = self.outside / "secret.csv"
        self.secret.write_text(f"name,{SECRET}\n1,2\n")
        (self.outside / f"{SECRET}.txt").touch()
        self._names = sorted(self.outside.iterdir())
        self._part: tuple[Path, bytes] | None = None

    def fill(self, escape: str, part: Path) -> str:
        """The statement of an escape, for a lake with this part; `run` notices its change."""
        self._part = self._part or (part, part.read_bytes())
        return escape.format(
            secret=self.secret, directory=self.outside, new=self.outside / "new", part=part
        )

    def run(
        self, connection: duckdb.DuckDBPyConnection, sql: str, *, trusted: bool = False
    ) -> tuple[str, str]:
        """Run a statement as a lake does; return its error, and its effect if it had one."""
        words, answer = "", b""
        try:
            with sql_errors():
                check_select(connection, sql, trusted=trusted)
                answer = _bytes_of(connection.sql(sql).to_arrow_table())
        except UsageError as error:
            words = str(error)
        made = sorted(self.outside.iterdir())
        if made != self._names:
            return words, f"there is {made}"
        if self._part is not None and self._part[0].read_bytes() != self._part[1]:
            return words, "a part of the lake has changed"
        if SECRET.encode() in answer or SECRET in words:
            return words, "the secret is shown"
        return words, "" if len(words.splitlines()) <= 1 else "its error is not one line"


def _bytes_of(table: pa.Table) -> bytes:
    """All bytes of an answer, whatever the types of its columns."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())
