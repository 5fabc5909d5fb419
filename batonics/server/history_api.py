"""The API over files, under /v1: books, orders and records at any moment.

The rule here: the loop parses requests and sends answers; a worker thread makes them. Each request
is charged for what it takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from batonics.history.book_history import Moment
from batonics.history.record_search import MARK_KINDS
from batonics.model.errors import UsageError
from batonics.model.mbo import ACTION_TRADE, F_LAST, F_MAYBE_BAD_BOOK, MboBatch
from batonics.server.api_contract import (
    CURSOR,
    Endpoint,
    Parameter,
    choice_parameter,
    moment_parameter,
    number_parameter,
    text_parameter,
    time_parameter,
)
from batonics.server.handlers import charge
from batonics.server.history_answers import HistoryAnswers, Matches
from batonics.server.history_documents import (
    OrdersDocument,
    RecordRow,
    RecordsPage,
    SymbolsPage,
    book_schema,
)
from batonics.server.history_params import (
    Params,
    parse_choice,
    parse_cursor,
    parse_limit,
    parse_moment,
    parse_order_id,
    parse_publisher,
    parse_time_param,
)
from batonics.server.named_books import NamedBooks
from batonics.server.query_params import PAGE_ROWS, QUERY_DEPTH_MAX, ProblemError, parse_depth
from batonics.server.service import WebService

TAnswer = TypeVar("TAnswer")

FOLD_UNITS, SCAN_UNITS = 20.0, 20.0
"""Units (`request_rate`) of a fold from a checkpoint, and of a search through records."""
WORKERS = 2


def _is_trade(batch: MboBatch) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = batch.action == ACTION_TRADE
    return found


def _ends_event(batch: MboBatch) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = batch.flags & F_LAST != 0
    return found


def _is_any(batch: MboBatch) -> NDArray[np.bool_]:
    return np.ones(len(batch.action), np.bool_)


def _is_gap(batch: MboBatch) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = batch.flags & F_MAYBE_BAD_BOOK != 0
    return found


_KINDS: dict[str, Matches] = {"trade": _is_trade, "event": _ends_event, "gap": _is_gap}
_STEP_KINDS = (*_KINDS, *MARK_KINDS)
_LEVELS = ("l2", "l3")
_ORDERS = ("oldest", "newest")
_SYMBOL = text_parameter("symbol", "The symbol of the book at the time, or its instrument id")
_PUBLISHER = number_parameter(
    "publisher", "The publisher id of the book, where several have the symbol", 0, 2**16 - 1
)
_BOOK = replace(_SYMBOL, is_required=True)
_DEPTH = {"type": "integer", "minimum": 1, "maximum": QUERY_DEPTH_MAX}
_AT = moment_parameter("at", "The time by ts_recv; by default the end of the data")
_PAGE = (
    number_parameter("limit", "The most rows of the page", 1, PAGE_ROWS),
    CURSOR,
)
_RECORDS = (
    _BOOK,
    _PUBLISHER,
    time_parameter("from", "From this time on, by ts_recv"),
    time_parameter("to", "Before this time"),
    choice_parameter(
        "order", "oldest (default), or newest first; then `at` says until when", _ORDERS
    ),
    moment_parameter("at", "With order=newest: up to this moment; by default the end of the data"),
    *_PAGE,
)

_STEP = (
    _BOOK,
    _PUBLISHER,
    choice_parameter("kind", "What is searched for", _STEP_KINDS),
    moment_parameter("from", "The time by ts_recv; by default the end of the data"),
)


class HistoryApi:
    """Answers requests about a history.

    Args:
        service: the server.
        find_answers: returns what is known; ProblemError if nothing is.
    """

    def __init__(self, service: WebService, find_answers: Callable[[], HistoryAnswers]) -> None:
        self._service, self._find_answers = service, find_answers
        self._workers = ThreadPoolExecutor(WORKERS, "batonics-history")

    def close(self) -> None:
        """End the workers."""
        self._workers.shutdown(cancel_futures=True)

    @property
    def _answers(self) -> HistoryAnswers:
        return self._find_answers()

    def endpoints(self) -> list[Endpoint]:
        """What is answered."""
        return [
            Endpoint(
                "/v1/symbols",
                "The books, by publisher and instrument",
                self._symbols,
                SymbolsPage,
                (text_parameter("prefix", "What the symbols begin with"), *_PAGE),
            ),
            Endpoint(
                "/v1/books/{symbol}",
                "A book at any moment of the data: the document of `batonics reconstruct`",
                self._book,
                book_schema(),
                (
                    _SYMBOL,
                    _PUBLISHER,
                    _AT,
                    choice_parameter("level", "l2: levels; l3: levels and their queues", _LEVELS),
                    Parameter(
                        "depth",
                        "Levels of each side: a number, or all (default)",
                        {"anyOf": [_DEPTH, {"const": "all"}]},
                    ),
                ),
            ),
            Endpoint(
                "/v1/orders/{order_id}",
                "The orders of an id: records up to a moment, and what stands ahead then",
                self._orders,
                OrdersDocument,
                (number_parameter("order_id", "The id of the order", 0, 2**64 - 1), _AT),
            ),
            Endpoint("/v1/trades", "Trades of a book (T)", self._trades, RecordsPage, _RECORDS),
            Endpoint("/v1/records", "Records of a book", self._records, RecordsPage, _RECORDS),
            Endpoint(
                "/v1/next",
                "The first trade, event, crossed book, gap or sweep after a moment",
                self._next,
                RecordRow,
                _STEP,
            ),
            Endpoint(
                "/v1/previous",
                "The last trade, event, crossed book, gap or sweep before a moment",
                self._previous,
                RecordRow,
                _STEP,
            ),
        ]

    async def _symbols(self, request: web.Request, params: Params) -> SymbolsPage:
        prefix, start, limit = params.get("prefix", ""), parse_cursor(params), parse_limit(params)
        return await self._run(
            request, 1.0, lambda: self._answers.symbols(prefix, start or 0, limit)
        )

    async def _book(self, request: web.Request, params: Params) -> dict[str, Any]:
        name, publisher = params["symbol"], parse_publisher(params)
        moment, depth = parse_moment(params, "at"), parse_depth(params.get("depth", "all"), 0)
        has_queues = parse_choice(params, "level", _LEVELS, "l2") == "l3"

        def answer() -> dict[str, Any]:
            return self._answers.book(name, publisher, moment, depth=depth, has_queues=has_queues)

        return await self._run(request, FOLD_UNITS, answer)

    async def _orders(self, request: web.Request, params: Params) -> OrdersDocument:
        order_id, moment = parse_order_id(params), parse_moment(params, "at")
        return await self._run(request, FOLD_UNITS, lambda: self._answers.orders(order_id, moment))

    async def _trades(self, request: web.Request, params: Params) -> RecordsPage:
        return await self._page(request, params, _is_trade)

    async def _records(self, request: web.Request, params: Params) -> RecordsPage:
        return await self._page(request, params, _is_any)

    async def _page(self, request: web.Request, params: Params, matches: Matches) -> RecordsPage:
        name, publisher = params["symbol"], parse_publisher(params)
        span = parse_time_param(params, "from"), parse_time_param(params, "to")
        moment, page = parse_moment(params, "at"), (parse_cursor(params), parse_limit(params))
        is_newest = parse_choice(params, "order", _ORDERS, "oldest") == "newest"
        if is_newest and span != (None, None):
            raise ProblemError(422, "Which span?", "order=newest has at, and no from or to")
        if not is_newest and "at" in params:
            raise ProblemError(422, "Which span?", "at is for order=newest; give from and to")

        def answer() -> RecordsPage:
            if is_newest:
                to_ns = None if moment.at_ns is None else moment.at_ns + 1
                books = self._answers.names.find_books(name, publisher, None, to_ns)
                return self._answers.newest_records(books, moment, page, matches)
            books = self._answers.names.find_books(name, publisher, *span)
            return self._answers.records(books, span, page, matches)

        return await self._run(request, SCAN_UNITS, answer)

    async def _next(self, request: web.Request, params: Params) -> RecordRow:
        answers = self._answers
        return await self._step(request, params, answers.next_record, answers.next_mark)

    async def _previous(self, request: web.Request, params: Params) -> RecordRow:
        answers = self._answers
        return await self._step(request, params, answers.previous_record, answers.previous_mark)

    async def _step(
        self,
        request: web.Request,
        params: Params,
        search: Callable[[NamedBooks, Moment, Matches], RecordRow | None],
        search_marks: Callable[[NamedBooks, Moment, str], RecordRow | None],
    ) -> RecordRow:
        name, publisher = params["symbol"], parse_publisher(params)
        kind = parse_choice(params, "kind", _STEP_KINDS, "trade")
        moment = parse_moment(params, "from")

        def answer() -> RecordRow:
            books = self._answers.names.find_books(name, publisher, None, None)
            if kind in MARK_KINDS:
                found = search_marks(books, moment, kind)
            else:
                found = search(books, moment, _KINDS[kind])
            if found is None:
                raise ProblemError(404, "None", f"no {kind} of this book is on that side of it")
            return found

        return await self._run(request, SCAN_UNITS, answer)

    async def _run(
        self, request: web.Request, units: float, answer: Callable[[], TAnswer]
    ) -> TAnswer:
        charge(self._service, request, units)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._workers, answer)
        except UsageError as error:  # a live feed has gone on meanwhile
            raise ProblemError(410, "Before the data", str(error)) from None
