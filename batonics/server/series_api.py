"""Endpoints over files that tell of a book over time: bars of its trades, and its coverage.

The rule here: one worker answers, with the numbers of `.mbo.bars` and of the books of
`FileHistory.at`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from aiohttp import web

from batonics.history.book_history import END, FileHistory
from batonics.history.segment_cache import SegmentCache
from batonics.history.trade_bars import TradeBars
from batonics.model.errors import UsageError
from batonics.model.times import duration_ns
from batonics.server.api_contract import (
    CURSOR,
    Endpoint,
    Parameter,
    number_parameter,
    text_parameter,
    time_parameter,
)
from batonics.server.handlers import charge
from batonics.server.heatmap_api import RECORDS_MAX, SEGMENT_UNITS, UNITS_MAX
from batonics.server.history_answers import HistoryAnswers
from batonics.server.history_documents import data_document
from batonics.server.history_params import (
    Params,
    parse_count,
    parse_cursor,
    parse_publisher,
    parse_time_param,
)
from batonics.server.query_params import PAGE_ROWS, ProblemError
from batonics.server.series_documents import (
    BarsPage,
    CoverageDocument,
    StatsDocument,
    bar_rows,
    coverage_spans,
    doubtful_rows,
    hole_rows,
)
from batonics.server.service import WebService

TAnswer = TypeVar("TAnswer")

BARS_UNITS, COVERAGE_UNITS = 40.0, 10.0
"""Units (`request_rate`) of bars, and of coverage apart from the segments to fold for it."""
_SYMBOL = text_parameter(
    "symbol", "The symbol of the book throughout the span, or its instrument id"
)
_PUBLISHER = number_parameter("publisher", "The publisher id of the book", 0, 2**16 - 1)
_EVERY = Parameter(
    "every",
    "The length of an interval, such as 1s, 5m or 1h",
    {"type": "string", "pattern": "^[1-9][0-9]{0,4}(ns|us|ms|s|m|h|d)$"},
    is_required=True,
)


class SeriesApi:
    """Answers requests for bars, coverage and counts.

    Args:
        service: the server.
        answers: finds books by their names.
        history: the books.
        segments: the segments of books; only `worker` may use them.
        worker: makes the answers.
    """

    def __init__(
        self,
        service: WebService,
        answers: HistoryAnswers,
        history: FileHistory,
        segments: SegmentCache,
        worker: ThreadPoolExecutor,
    ) -> None:
        self._service, self._answers, self._history = service, answers, history
        self._segments, self._worker = segments, worker

    def endpoints(self) -> list[Endpoint]:
        """What is answered."""
        return [
            Endpoint(
                "/v1/bars/{symbol}",
                "Bars of the trades of a book by intervals of time",
                self._bars,
                BarsPage,
                (
                    _SYMBOL,
                    _PUBLISHER,
                    _EVERY,
                    time_parameter("from", "Bars that begin at this time or after it"),
                    time_parameter("to", "Bars that begin before this time"),
                    number_parameter("limit", "The most intervals of the page", 1, PAGE_ROWS),
                    CURSOR,
                ),
            ),
            Endpoint(
                "/v1/coverage/{symbol}",
                "Which spans of time a book is cold, synced, stale or missing in",
                self._coverage,
                CoverageDocument,
                (_SYMBOL, _PUBLISHER),
            ),
            Endpoint("/v1/stats", "What is served, in numbers", self._stats, StatsDocument),
        ]

    async def _bars(self, request: web.Request, params: Params) -> BarsPage:
        name, publisher = params["symbol"], parse_publisher(params)
        try:
            every_ns = duration_ns(params["every"])
        except UsageError as error:
            raise ProblemError(400, "Not a duration", f"every: {error}") from None
        span = parse_time_param(params, "from"), parse_time_param(params, "to")
        cursor, limit = parse_cursor(params), parse_count(params, "limit", PAGE_ROWS, PAGE_ROWS)

        def answer() -> BarsPage:
            key = self._answers.names.find_one_key(name, publisher, *span)
            bars = TradeBars(self._history, key, every_ns)
            page = bars.page(span, cursor, limit, RECORDS_MAX)
            if page is None:
                detail = f"{limit} intervals have more than {RECORDS_MAX:,} records: lower `limit`"
                raise ProblemError(422, "Too long a page", detail)
            rows, following = page
            return {
                "bars": bar_rows(rows, every_ns),
                "next": None if following is None else str(following),
            }

        return await self._run(request, BARS_UNITS, answer)

    async def _coverage(self, request: web.Request, params: Params) -> CoverageDocument:
        name, publisher = params["symbol"], parse_publisher(params)
        bounds, data = self._history.segment_bounds, self._history.place(END).as_of.data
        if data.from_ns is None or data.until_ns is None:
            raise ProblemError(404, "No such book", "no record has a time")
        if int(bounds[-1]) > RECORDS_MAX:
            detail = f"the files have {bounds[-1]:,} records, at most {RECORDS_MAX:,} are folded"
            raise ProblemError(422, "Too much data", detail)
        key = await self._run(
            request, 0.0, lambda: self._answers.names.find_one_key(name, publisher, None, None)
        )
        numbers = range(len(bounds) - 1)
        units = COVERAGE_UNITS + SEGMENT_UNITS * self._segments.missing(numbers, key)

        def answer() -> CoverageDocument:
            statuses = [self._segments.find(key, number).statuses for number in numbers]
            place = self._history.place(END)
            symbol = self._history.symbols.symbol(key & 0xFFFFFFFF, data.until_ns or 0)
            return {
                "symbol": symbol,
                "publisher_id": key >> 32,
                "instrument_id": key & 0xFFFFFFFF,
                "data": data_document(data),
                "spans": coverage_spans(statuses, data),
                "holes": hole_rows(self._history.facts.find_holes()),
                "doubtful_days": doubtful_rows(place.as_of.doubtful_days),
                "losses": list(place.as_of.losses),
            }

        return await self._run(request, min(units, UNITS_MAX), answer)

    async def _stats(self, request: web.Request, params: Params) -> StatsDocument:
        del request, params
        as_of = self._history.place(END).as_of
        return {
            "record_count": self._history.records.count,
            "book_count": self._answers.book_count,
            "data": data_document(as_of.data),
            "checkpoint_count": len(self._history.segment_bounds) - 2,
            "holes": hole_rows(self._history.facts.find_holes()),
            "doubtful_days": doubtful_rows(as_of.doubtful_days),
            "losses": list(as_of.losses),
        }

    async def _run(
        self, request: web.Request, units: float, answer: Callable[[], TAnswer]
    ) -> TAnswer:
        charge(self._service, request, units)
        return await asyncio.get_running_loop().run_in_executor(self._worker, answer)
