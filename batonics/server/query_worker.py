"""Answers one SQL query in a process of its own, which ends with it.

The rule here: the SQL is a stranger's. The process cannot have more memory or time than its limits:
the system refuses memory beyond them (RLIMIT_AS), and ends the process at its deadline (SIGALRM,
which the query cannot handle), whatever DuckDB does. DuckDB reads the lake's parts alone
(`lake/connection.py`).
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import polars as pl
import pyarrow as pa

from batonics.lake.connection import QueryLimits
from batonics.lake.query_file import QueryFile, parse_query
from batonics.lake.query_result import QueryResult
from batonics.lake.row_filters import parse_row_filter
from batonics.lake.select_check import TRUSTED_HINT
from batonics.lake.shipped_queries import shipped_queries
from batonics.lake.sql import open_lake_database
from batonics.model.errors import BatonicsError, LakeError, UsageError
from batonics.model.times import parse_time
from batonics.server.query_cells import column_type, encode_rows

ARROW_METADATA = b"batonics.query"
"""The key of the schema's metadata that has, as JSON, what the rows do not say."""
QUERY_THREADS = 2
OVERHEAD_BYTES = 384 << 20
"""Address space of a query that reads almost nothing: threads, and what allocators reserve."""
_OUT_OF_MEMORY = "Out of Memory Error"


class WorkerLimits(NamedTuple):
    """What a query may take.

    Attributes:
        seconds: the time until its process is killed.
        memory_bytes: memory beyond that of a query that reads almost nothing; half of it is for
            the buffers of DuckDB.
        answer_bytes: size of its answer.
    """

    seconds: float
    memory_bytes: int
    answer_bytes: int


class WorkerRequest(NamedTuple):
    """A query for a worker.

    Attributes:
        lake: the lake's root.
        limits: what it may take.
        is_arrow: the answer is an Arrow IPC stream, not JSON.
        query: the request of a client, a checked `QueryRequest`.
        rows_max: the most rows of the answer.
    """

    lake: str
    limits: WorkerLimits
    is_arrow: bool
    query: dict[str, Any]
    rows_max: int


class WorkerAnswer(NamedTuple):
    """The answer of a worker.

    Attributes:
        status: the HTTP status.
        title: the kind of problem in a few words; empty: there is none.
        detail: the problem in one line; for a bug its traceback.
        body: the answer.
    """

    status: int
    title: str = ""
    detail: str = ""
    body: bytes = b""


class _TooLargeError(UsageError):
    """The answer is larger than its limit."""


def work(connection: socket.socket) -> None:
    """Read a request from a socket, and write its answer."""
    with connection, connection.makefile("rwb") as stream:
        document = orjson.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        limits = WorkerLimits(*document.pop("limits"))
        _limit_process(limits)
        answer = answer_query(WorkerRequest(limits=limits, **document))
        head = orjson.dumps([*answer[:-1], len(answer.body)]) + b"\n"
        stream.write(head + answer.body)


def answer_query(request: WorkerRequest) -> WorkerAnswer:
    """The answer to a request; whatever goes wrong is one too."""
    try:
        return WorkerAnswer(200, body=_run(request))
    except BatonicsError as error:
        return _describe_error(error, request.limits)
    except (MemoryError, pa.ArrowMemoryError):
        return too_much_memory(request.limits.memory_bytes)
    except Exception:  # noqa: BLE001 - the server logs it
        return WorkerAnswer(500, "Bug", traceback.format_exc())


def _describe_error(error: BatonicsError, limits: WorkerLimits) -> WorkerAnswer:
    # The owner of the lake may trust a query; a client cannot.
    text = str(error).replace(f"; {TRUSTED_HINT}", "")
    if _OUT_OF_MEMORY in text:
        return too_much_memory(limits.memory_bytes)
    if isinstance(error, LakeError):
        return WorkerAnswer(500, "The lake is damaged", text)
    title = "Too large an answer" if isinstance(error, _TooLargeError) else "Not answered"
    return WorkerAnswer(422, title, text)


def too_much_memory(memory_bytes: int) -> WorkerAnswer:
    """The answer for a query that needs more memory than it may have."""
    detail = (
        f"the query needed more than {memory_bytes >> 20:,} MiB of memory, or crashed DuckDB: read"
        " fewer rows or columns"
    )
    return WorkerAnswer(422, "Too much memory", detail)


def _limit_process(limits: WorkerLimits) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, limits.seconds)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    memory = pages * os.sysconf("SC_PAGE_SIZE") + OVERHEAD_BYTES + limits.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _run(request: WorkerRequest) -> bytes:
    query, given = _find_query(request.query), request.query
    if "\0" in query.sql:
        raise UsageError("the query has a NUL character")
    times = [None if name not in given else parse_time(given[name]) for name in ("from", "to")]
    row_filter = parse_row_filter(given.get("symbols", ()), *times)
    values = query.bind(given.get("parameters", {}), given.get("tz"))
    limits = QueryLimits(request.limits.memory_bytes // 2, QUERY_THREADS)
    with open_lake_database(request.lake, row_filter, "the lake", limits=limits) as database:
        result = database.query(
            query.sql,
            values,
            header=query,
            prices=given.get("prices", "decimal"),
            is_default="prices" not in given,
            tz=given.get("tz", "UTC"),
        )
        frame, has_more = result.head(request.rows_max)
    facts = {"more": has_more, "note": result.note or None}
    body = _arrow_body(frame, facts) if request.is_arrow else _json_body(frame, result, facts)
    if len(body) > request.limits.answer_bytes:
        raise _TooLargeError(
            f"the answer has {len(body):,} bytes, at most {request.limits.answer_bytes:,} are sent:"
            " ask for fewer rows (limit) or columns"
        )
    return body


def _find_query(given: Mapping[str, Any]) -> QueryFile:
    if ("sql" in given) == ("query" in given):
        raise UsageError("give one of sql and query")
    if "sql" in given:
        return parse_query(given["sql"], "the query")
    found = shipped_queries().get(given["query"])
    if found is None:
        raise UsageError(f"there is no query {given['query']!r}; /v1/queries lists them")
    return found


def _json_body(frame: pl.DataFrame, result: QueryResult, facts: Mapping[str, Any]) -> bytes:
    columns = [
        {
            "name": name,
            "type": column_type(dtype),
            "unit": "1e-9" if name in result.fixed_prices else None,
        }
        for name, dtype in frame.schema.items()
    ]
    return orjson.dumps({"columns": columns, "rows": encode_rows(frame), **facts})


def _arrow_body(frame: pl.DataFrame, facts: Mapping[str, Any]) -> bytes:
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    table = table.replace_schema_metadata({ARROW_METADATA: orjson.dumps(facts)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())
