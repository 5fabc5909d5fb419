"""The endpoint `/v1/heatmap`: depth as a grid of integers, over files.

The rule here: one worker makes all heatmaps, so each segment of a book is folded once, and other
requests do not wait for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from aiohttp import hdrs, web

from batonics.history.book_history import END, FileHistory, Moment
from batonics.history.heatmap import PRICE_BOUND, Columns, SegmentSpan, make_heatmap
from batonics.history.segment_cache import SegmentCache
from batonics.model.errors import UsageError
from batonics.model.prices import parse_price
from batonics.server.api_contract import (
    Endpoint,
    number_parameter,
    price_parameter,
    text_parameter,
    time_parameter,
)
from batonics.server.handlers import EncodedAnswer, charge
from batonics.server.heatmap_documents import (
    HeatmapBook,
    HeatmapDocument,
    heatmap_arrow,
    heatmap_json,
)
from batonics.server.history_answers import HistoryAnswers
from batonics.server.history_documents import data_document
from batonics.server.history_params import (
    Params,
    parse_count,
    parse_publisher,
    parse_time_param,
)
from batonics.server.media_types import ARROW_STREAM
from batonics.server.query_params import ProblemError
from batonics.server.service import WebService

TAnswer = TypeVar("TAnswer")

ROWS_MAX, COLUMNS_MAX = 500, 2_000
"""The most bands and columns of a heatmap."""
ROWS, COLUMNS = 100, 400
"""Bands and columns of a heatmap, if the request says nothing."""
RECORDS_MAX = 1 << 25
"""Records of the stream that one heatmap may span: folding them takes some seconds."""
PICTURE_UNITS, SEGMENT_UNITS, UNITS_MAX = 20.0, 40.0, 1_000.0
"""Units (`request_rate`) of a heatmap, of each segment to fold for it, and of both at most."""
_TIME_MAX_NS = 2**63 - (1 << 20)
"""The end of the last column is a time too."""


class _Request(NamedTuple):
    """What is asked for; None: by default."""

    name: str
    publisher: int | None
    from_ns: int | None
    to_ns: int | None
    rows: int
    columns: int
    price_range: tuple[int, int] | None


class HeatmapApi:
    """Answers requests for heatmaps.

    Args:
        service: the server.
        answers: finds books by their names.
        history: the books.

    Attributes:
        segments: the segments of books; only `worker` may build them.
        worker: makes the answers.
    """

    def __init__(self, service: WebService, answers: HistoryAnswers, history: FileHistory) -> None:
        self._service, self._answers, self._history = service, answers, history
        self.segments = SegmentCache(history)
        self.worker = ThreadPoolExecutor(1, "batonics-heatmap")

    def close(self) -> None:
        """End the worker."""
        self.worker.shutdown(cancel_futures=True)

    def endpoints(self) -> list[Endpoint]:
        """What is answered."""
        return [
            Endpoint(
                "/v1/heatmap/{symbol}",
                "The depth and the trades of a book as a grid of prices and times",
                self._heatmap,
                HeatmapDocument,
                (
                    text_parameter("symbol", "The symbol of the book at the end, or its id"),
                    number_parameter("publisher", "The publisher id of the book", 0, 2**16 - 1),
                    time_parameter("from", "The first column begins after this time"),
                    time_parameter("to", "The last column ends at this time, or just behind it"),
                    number_parameter("rows", f"The most bands of prices ({ROWS})", 1, ROWS_MAX),
                    number_parameter("columns", f"The most columns ({COLUMNS})", 1, COLUMNS_MAX),
                    price_parameter("low", "The lowest price; with `high`"),
                    price_parameter("high", "A price above the highest one; with `low`"),
                ),
                other_media=(ARROW_STREAM,),
            )
        ]

    async def _heatmap(self, request: web.Request, params: Params) -> EncodedAnswer:
        wanted = _Request(
            params["symbol"],
            parse_publisher(params),
            parse_time_param(params, "from"),
            parse_time_param(params, "to"),
            parse_count(params, "rows", ROWS, ROWS_MAX),
            parse_count(params, "columns", COLUMNS, COLUMNS_MAX),
            _parse_range(params),
        )
        columns = self._columns(wanted)
        key, span = await self._run(lambda: self._find_span(wanted, columns))
        units = PICTURE_UNITS + SEGMENT_UNITS * self.segments.missing(span.numbers, key)
        charge(self._service, request, min(units, UNITS_MAX))
        is_arrow = ARROW_STREAM in request.headers.get(hdrs.ACCEPT, "")

        def answer() -> EncodedAnswer:
            grid = make_heatmap(span, columns, wanted.rows, wanted.price_range)
            # The last column may end some nanoseconds behind what was asked for.
            moment = END if wanted.to_ns is None else Moment(wanted.to_ns)
            book = self._book(key, moment, columns)
            if is_arrow:
                return EncodedAnswer(heatmap_arrow(book, grid), ARROW_STREAM)
            return EncodedAnswer(heatmap_json(book, grid))

        return await self._run(answer)

    async def _run(self, answer: Callable[[], TAnswer]) -> TAnswer:
        return await asyncio.get_running_loop().run_in_executor(self.worker, answer)

    def _columns(self, wanted: _Request) -> Columns:
        """The columns of a request."""
        first_ns, last_ns = self._history.records.first_ns, self._history.records.last_ns
        if first_ns is None or last_ns is None:
            raise ProblemError(404, "No such book", "no record has a time")
        from_ns = first_ns - 1 if wanted.from_ns is None else wanted.from_ns
        to_ns = min(last_ns if wanted.to_ns is None else wanted.to_ns, _TIME_MAX_NS)
        if wanted.to_ns is not None and to_ns < first_ns:
            detail = (
                f"`to` is before the first record; {self._history.place(END).as_of.data.describe()}"
            )
            raise ProblemError(410, "Before the data", detail)
        if from_ns >= to_ns:
            raise ProblemError(422, "Not a span", "`from` must be before `to`")
        return Columns.covering(from_ns, to_ns, wanted.columns)

    def _find_span(self, wanted: _Request, columns: Columns) -> tuple[int, SegmentSpan]:
        """The key of the book and the segments of the columns, if they are not too many."""
        key = self._answers.names.find_one_key(
            wanted.name, wanted.publisher, columns.from_ns + 1, columns.to_ns + 1
        )
        span = self.segments.span(key, columns.from_ns, columns.to_ns)
        bounds = self._history.segment_bounds
        records = int(bounds[span.numbers.stop] - bounds[span.numbers.start])
        if records > RECORDS_MAX:
            detail = (
                f"the files have {records:,} records in this span, at most {RECORDS_MAX:,} are"
                " folded at once: give `from` and `to` closer together"
            )
            raise ProblemError(422, "Too long a span", detail)
        return key, span

    def _book(self, key: int, moment: Moment, columns: Columns) -> HeatmapBook:
        as_of = self._history.place(moment).as_of
        last_ns = min(columns.to_ns, as_of.data.until_ns or columns.to_ns)
        return {
            "symbol": self._history.symbols.symbol(key & 0xFFFFFFFF, last_ns),
            "publisher_id": key >> 32,
            "instrument_id": key & 0xFFFFFFFF,
            "data": data_document(as_of.data),
            "warnings": [str(warning) for warning in as_of.warnings()],
        }


def _parse_range(params: Params) -> tuple[int, int] | None:
    """The range of prices; None: it is to be chosen."""
    if "low" not in params and "high" not in params:
        return None
    prices = []
    for name in ("low", "high"):
        if name not in params:
            raise ProblemError(422, "Not a range", f"low and high come together: give {name}")
        try:
            prices.append(parse_price(params[name]))
        except UsageError as error:
            raise ProblemError(400, "Not a price", f"{name}: {error}") from None
    low, high = prices
    if not -PRICE_BOUND <= low < high <= PRICE_BOUND:
        raise ProblemError(
            422, "Not a range", "low must be below high, and both below 2^60 of 1e-9"
        )
    return low, high
