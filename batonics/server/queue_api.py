"""The endpoint `/v1/queues`: the orders of a level, each with its age and its fills.

The rule here: an answer depends on the history alone. A search through records is bounded; what
lies before it is null.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from aiohttp import web
from typing_extensions import TypedDict

from batonics.history.book_history import FileHistory, Moment
from batonics.history.order_origins import OrderOrigin, find_origins
from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.model.prices import format_price, parse_price
from batonics.model.priority import explain_priority, find_priority
from batonics.model.times import format_time
from batonics.server.api_contract import (
    Endpoint,
    Parameter,
    choice_parameter,
    moment_parameter,
    number_parameter,
    price_parameter,
    text_parameter,
)
from batonics.server.handlers import charge
from batonics.server.history_answers import HistoryAnswers
from batonics.server.history_documents import Data, data_document
from batonics.server.history_params import Params, parse_choice, parse_moment, parse_publisher
from batonics.server.query_params import ProblemError
from batonics.server.service import WebService
from batonics.sinks.book_json import book_condition, market_state

QUEUE_UNITS = 60.0
"""Units (`request_rate`) of a queue: a fold, and a search through records."""
ORDERS_MAX = 1_000
SEARCH_RECORDS_MAX = 1 << 20
"""Records of the stream in which the origins of orders are searched for."""
_SIDES = ("B", "A")


class AgedOrder(TypedDict):
    """An order of a queue.

    `added` is the time (ts_recv) of its A, `placed` that of the record that sent it to the back of
    its queue last; null: before `searched_from`. With `is_from_snapshot` the A belongs to a
    snapshot, so the order is older. `filled` counts its fills since then. `is_refilled` says that
    they are at least its `first_size`: more was displayed after fills, as of an iceberg order.
    """

    order_id: str
    size: int
    added: str | None
    placed: str | None
    first_size: int | None
    filled: int
    is_refilled: bool
    is_from_snapshot: bool


class QueueDocument(TypedDict):
    """The orders of a level in priority order, as of a time; `more_orders` are left out."""

    at: str | None
    data: Data
    symbol: str | None
    publisher_id: int
    instrument_id: int
    status: str
    warnings: list[str]
    priority: str
    priority_rule: str
    side: str
    price: str | None
    price_1e9: int
    size: int
    orders: list[AgedOrder]
    more_orders: int
    searched_from: str | None


class QueueApi:
    """Answers requests for queues.

    Args:
        service: the server.
        answers: finds books.
        history: the books.
    """

    def __init__(self, service: WebService, answers: HistoryAnswers, history: FileHistory) -> None:
        self._service, self._answers, self._history = service, answers, history
        self._worker = ThreadPoolExecutor(1, "batonics-queue")

    def close(self) -> None:
        """End the worker."""
        self._worker.shutdown(cancel_futures=True)

    def endpoints(self) -> list[Endpoint]:
        """What is answered."""
        price = price_parameter("price", "The price of the level")
        return [
            Endpoint(
                "/v1/queues/{symbol}",
                "The orders of a level by priority, with age, fills and refills",
                self._queue,
                QueueDocument,
                (
                    text_parameter("symbol", "The symbol of the book at the time, or its id"),
                    number_parameter("publisher", "The publisher id of the book", 0, 2**16 - 1),
                    choice_parameter("side", "B (default): the bids; A: the asks", _SIDES),
                    Parameter(price.name, price.text, price.schema, is_required=True),
                    moment_parameter("at", "The time by ts_recv; by default the end of the data"),
                ),
            )
        ]

    async def _queue(self, request: web.Request, params: Params) -> QueueDocument:
        side = parse_choice(params, "side", _SIDES, "B")
        name, publisher = params["symbol"], parse_publisher(params)
        moment = parse_moment(params, "at")
        try:
            price = parse_price(params["price"])
        except UsageError as error:
            raise ProblemError(400, "Not a price", f"price: {error}") from None
        charge(self._service, request, QUEUE_UNITS)

        def answer() -> QueueDocument:
            return self._find_queue(name, publisher, moment, (side, price))

        return await asyncio.get_running_loop().run_in_executor(self._worker, answer)

    def _find_queue(
        self, name: str, publisher: int | None, moment: Moment, level: tuple[str, int]
    ) -> QueueDocument:
        side, price = level
        found = self._answers.find_book(name, publisher, moment)
        engine, number, key = found.books.engine, found.number, found.key
        queues = engine.orders(number)
        rows = np.flatnonzero((queues.price == price) & (queues.side == _SIDES.index(side)))
        if len(rows) == 0:
            detail = f"no order of side {side} stands at {format_price(price)}"
            raise ProblemError(404, "No such level", detail)
        shown = rows[:ORDERS_MAX]
        ids = queues.order_id[shown].tolist()
        last = self._history.count_until(moment)
        origins = find_origins(self._history.records, key, ids, last, SEARCH_RECORDS_MAX)
        market = market_state(engine.levels(number))
        condition = book_condition(engine, number, market, found.books.as_of)
        first_ns = self._history.records.due_ns(origins.first_record)
        as_of, publisher_id, instrument_id = found.books.as_of, key >> 32, key & 0xFFFFFFFF
        return {
            "at": None if as_of.at_ns is None else format_time(as_of.at_ns),
            "data": data_document(as_of.data),
            "symbol": self._history.symbols.symbol(instrument_id, as_of.time_ns or 0),
            "publisher_id": publisher_id,
            "instrument_id": instrument_id,
            "status": condition.status,
            "warnings": [str(warning) for warning in condition.warnings],
            "priority": find_priority(publisher_id).value,
            "priority_rule": explain_priority(publisher_id),
            "side": side,
            "price": format_price(price),
            "price_1e9": price,
            "size": int(queues.size[rows].sum()),
            "orders": [
                _aged_order(order_id, size, origins.orders[order_id])
                for order_id, size in zip(ids, queues.size[shown].tolist(), strict=True)
            ],
            "more_orders": len(rows) - len(shown),
            "searched_from": format_time(first_ns) if first_ns >= 0 else None,
        }


def _aged_order(order_id: int, size: int, origin: OrderOrigin) -> AgedOrder:
    return {
        "order_id": str(order_id),
        "size": size,
        "added": _time(origin.added_ns),
        "placed": _time(origin.placed_ns),
        "first_size": origin.first_size,
        "filled": origin.filled,
        "is_refilled": origin.is_refilled,
        "is_from_snapshot": origin.is_from_snapshot,
    }


def _time(ts_ns: int | None) -> str | None:
    return None if ts_ns is None or ts_ns == UNDEF_TIMESTAMP else format_time(ts_ns)
