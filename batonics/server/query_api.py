"""SQL over a lake by HTTP: one SELECT or a shipped query, and what the lake has.

The rule here: the server parses no SQL. It checks the form of a request and charges for it; a
process of its own answers (`query_processes.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from aiohttp import hdrs, web
from pydantic import TypeAdapter, ValidationError

from batonics.lake.lake import Lake
from batonics.model.errors import LakeError, OutputError
from batonics.server.api_contract import Endpoint
from batonics.server.handlers import EncodedAnswer, charge
from batonics.server.history_params import Params
from batonics.server.media_types import ARROW_STREAM, JSON_MEDIA
from batonics.server.query_documents import (
    ANSWER_ROWS,
    LakeDocument,
    QueriesDocument,
    QueryAnswer,
    QueryRequest,
    lake_document,
    queries_document,
)
from batonics.server.query_params import ProblemError
from batonics.server.query_processes import BusyQueriesError, QueryProcesses
from batonics.server.query_worker import WorkerAnswer, WorkerLimits, WorkerRequest
from batonics.server.service import WebService

TAnswer = TypeVar("TAnswer")

QUERY_UNITS, CATALOG_UNITS = 200.0, 10.0
"""Units (`request_rate`) of a query, and of a look at the catalog."""
BODY_BYTES_MAX = 1 << 19
"""Size of a request: SQL of the greatest length with each letter escaped, and the rest."""
BUSY_RETRY_S = 1
_REQUEST: TypeAdapter[QueryRequest] = TypeAdapter(QueryRequest)


class QueryApi:
    """Answers SQL queries over a lake.

    Args:
        service: the server.
        lake: the lake.

    Attributes:
        processes: run the queries.
    """

    def __init__(self, service: WebService, lake: Lake) -> None:
        self._service, self._lake = service, lake
        limits = service.config.settings.limits
        self._limits = WorkerLimits(
            limits.sql_timeout_s, limits.sql_memory_bytes_max, limits.sql_answer_bytes_max
        )
        self.processes = QueryProcesses(limits.sql_queries_max, self._limits)
        self._worker = ThreadPoolExecutor(1, "batonics-catalog")

    def close(self) -> None:
        """End all queries."""
        self.processes.close()
        self._worker.shutdown(cancel_futures=True)

    def endpoints(self) -> list[Endpoint]:
        """What is answered."""
        return [
            Endpoint(
                "/v1/query",
                "One SELECT over the lake, or a query of /v1/queries",
                self._query,
                QueryAnswer,
                other_media=(ARROW_STREAM,),
                body=QueryRequest,
                is_fixed=False,
            ),
            Endpoint(
                "/v1/queries",
                "The queries that come with batonics, with parameters and columns",
                self._queries,
                QueriesDocument,
                is_fixed=False,
            ),
            Endpoint(
                "/v1/lake",
                "What the lake has: views, columns, times, symbols, and times that it lacks",
                self._show_lake,
                LakeDocument,
                is_fixed=False,
            ),
        ]

    async def _query(self, request: web.Request, params: Params) -> EncodedAnswer:
        del params
        charge(self._service, request, QUERY_UNITS)
        query = _parse_request(request, await self._read_body(request))
        is_arrow = ARROW_STREAM in request.headers.get(hdrs.ACCEPT, "")
        rows_max = query.get("limit", ANSWER_ROWS)
        work = WorkerRequest(self._lake.store.name, self._limits, is_arrow, dict(query), rows_max)
        try:
            answer = await self.processes.run(work)
        except BusyQueriesError:
            again = {"Retry-After": str(BUSY_RETRY_S)}
            detail = "as many queries run as may at a time: ask again"
            raise ProblemError(503, "Busy", detail, headers=again) from None
        except OutputError as error:
            answer = WorkerAnswer(500, "No process", str(error))
        if answer.status == 200:
            return EncodedAnswer(answer.body, ARROW_STREAM if is_arrow else JSON_MEDIA)
        detail = answer.detail
        if answer.status == 500:
            self._service.log.error("query_failed", title=answer.title, detail=detail)
            detail = "the query cannot be answered; the log of the server has more"
        raise ProblemError(answer.status, answer.title, detail)

    async def _read_body(self, request: web.Request) -> bytes:
        """The body of a request; ProblemError if it is too large, or does not come in time."""
        too_large = ProblemError(413, "Too large", f"a query has {BODY_BYTES_MAX:,} bytes at most")
        if (request.content_length or 0) > BODY_BYTES_MAX:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._service.config.settings.limits.header_timeout_s):
                async for piece in request.content.iter_any():
                    body += piece
                    if len(body) > BODY_BYTES_MAX:
                        raise too_large
        except TimeoutError:
            raise ProblemError(408, "Too slow", "the body did not come in time") from None
        return bytes(body)

    async def _queries(self, request: web.Request, params: Params) -> QueriesDocument:
        del params
        return await self._look(request, queries_document)

    async def _show_lake(self, request: web.Request, params: Params) -> LakeDocument:
        del params
        return await self._look(request, lake_document)

    async def _look(self, request: web.Request, answer: Callable[[Lake], TAnswer]) -> TAnswer:
        charge(self._service, request, CATALOG_UNITS)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._worker, answer, self._lake)
        except LakeError as error:
            self._service.log.error("lake_failed", detail=str(error))  # noqa: TRY400 - one line
            detail = "the lake cannot be read; the log of the server has more"
            raise ProblemError(500, "The lake is damaged", detail) from None


def _parse_request(request: web.Request, body: bytes) -> QueryRequest:
    """The query of a body; ProblemError if it is none."""
    if request.content_type != JSON_MEDIA:
        detail = f"send the query as {JSON_MEDIA} (header Content-Type)"
        raise ProblemError(415, "Not JSON", detail)
    try:
        return _REQUEST.validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part)[:100] for part in first["loc"])
        detail = f"{place}: {first['msg']}" if place else first["msg"]
        raise ProblemError(400, "Not a query", detail) from None
