"""Simulates one limit order in the books of files: whether and when it would have been filled.

The rule: `frames/orders/fill_simulation.py` simulates; this job opens files, resolves symbols and
builds the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from batonics.frames.orders.fill_result import FillResult
from batonics.frames.orders.fill_simulation import simulate_fill
from batonics.frames.scan.mbo_scan import StreamFacts
from batonics.frames.scan.sessions import SessionCalendar
from batonics.jobs.progress import ReadProgress
from batonics.jobs.symbol_selection import SymbolSelection
from batonics.model.answers import AnswerWarning
from batonics.model.definitions import Definition
from batonics.model.mbo import PRICE_SCALE, UNDEF_PRICE, MboBatch, take_batch
from batonics.model.prices import PriceUnit, format_price
from batonics.model.priority import explain_priority, find_priority
from batonics.model.times import format_time
from batonics.sources.definitions import read_definitions
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions
from batonics.sources.statuses import read_statuses
from batonics.sources.stream import MboStream


@dataclass(frozen=True)
class FillRequest:
    """The order, and the records that it is simulated in.

    Attributes:
        paths: input files; `-` is standard input.
        side: the order's side, as for `would_fill`.
        price_1e9: the order's limit price.
        size: the order's size.
        at_ns: the time by `ts_recv` at which the order enters.
        symbol: the symbol or instrument id of the book; None where the input has one instrument.
        publisher_id: the publisher of the book; None where one publisher has the instrument.
        definitions: files of the schema definition, which say how instruments match.
        statuses: files of the schema status; empty: the status records of the input.
        sessions: the sessions of the market, for books without a status.
        options: how the files are read.
        prices: the unit of prices in the report.
        tz: the time zone of times in the report.
    """

    paths: tuple[str, ...]
    side: str
    price_1e9: int
    size: int
    at_ns: int
    symbol: str | None = None
    publisher_id: int | None = None
    definitions: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    sessions: SessionCalendar | None = None
    options: InputOptions = DEFAULT_OPTIONS
    prices: PriceUnit = "decimal"
    tz: str = "UTC"


class FillSimulation:
    """A simulation that runs once.

    Attributes:
        stream: the input.
        progress: called with the stream after each batch; set it before `run`.
    """

    def __init__(self, request: FillRequest) -> None:
        self.request = request
        definitions = read_definitions(request.definitions).intervals()
        statuses = read_statuses(request.statuses) if request.statuses else None
        self.stream = MboStream(request.paths, request.options)
        for definition in definitions:
            self.stream.definitions.add(definition)
        self._facts = StreamFacts(
            symbols=lambda: self._selection.symbols,
            statuses=lambda: self.stream.statuses if statuses is None else statuses,
            sessions=request.sessions,
            doubtful_days=self.stream.doubtful_days,
            find_holes=self.stream.coverage.holes,
            find_absences=lambda: self._selection.absences(),  # noqa: PLW0108 - made below
        )
        self.progress: ReadProgress | None = None
        names = [request.symbol] if request.symbol is not None else []
        self._selection = SymbolSelection(self.stream, names, at_ns=request.at_ns)

    def run(self) -> dict[str, Any]:
        """Read the input up to the order's end, and return the report, as JSON has it.

        Raises:
            UsageError: the order makes no sense to `would_fill`, no file has the symbol, the time
                is after the last record, or the order would trade in a market that does not.
            InputError: a file cannot be read, or is damaged.
        """
        request = self.request
        result = simulate_fill(
            self._batches(),
            request.side,
            request.price_1e9,
            request.size,
            request.at_ns,
            select=self._select_book,
            facts=self._facts,
        )
        symbol = self._selection.symbols.symbol(result.instrument_id, result.at_ns)
        definition = self.stream.definitions.at(result.instrument_id, result.at_ns)
        if definition is not None:
            priority = find_priority(result.publisher_id, definition.match_algorithm)
            result = replace(result, priority=priority, warnings=_check_tick(result, definition))
        return fill_report(result, symbol, request.prices, request.tz)

    def _batches(self) -> Iterator[MboBatch]:
        for batch in self.stream.batches():
            self._selection.check()
            yield batch
            if self.progress is not None:
                self.progress(self.stream)
        self._selection.check(ended=True)

    def _select_book(self, batch: MboBatch) -> Iterator[MboBatch]:
        for rows in self._selection.pieces(batch):
            if self.request.publisher_id is None:
                yield rows
            else:
                yield take_batch(rows, rows.publisher_id == self.request.publisher_id)


def _check_tick(result: FillResult, definition: Definition) -> tuple[AnswerWarning, ...]:
    """The warnings of a result whose instrument has a definition, which knows the tick."""
    tick = definition.min_price_increment
    if tick in (UNDEF_PRICE, 0):
        return result.warnings
    others = tuple(one for one in result.warnings if one is not AnswerWarning.OFF_TICK)
    return (*others, AnswerWarning.OFF_TICK) if result.price % tick else others


_PRICES: dict[PriceUnit, Callable[[int], int | str | float | None]] = {
    "fixed": int,
    "decimal": format_price,
    "float": lambda price_1e9: price_1e9 / PRICE_SCALE,
}


def _time_text(ts_ns: int | None, tz: str) -> str | None:
    return None if ts_ns is None else format_time(ts_ns, tz)


def fill_report(
    result: FillResult, symbol: str | None, prices: PriceUnit = "decimal", tz: str = "UTC"
) -> dict[str, Any]:
    """The report of a result: times as ISO 8601 text, prices as decimal text or in another unit."""
    price, time = _PRICES[prices], partial(_time_text, tz=tz)
    fills = zip(
        *(result.fills[name].to_physical().to_list() for name in ("ts_event", "ts_recv")),
        *(result.fills[name].to_list() for name in ("price", "size", "by")),
        strict=True,
    )
    return {
        "symbol": symbol,
        "publisher_id": result.publisher_id,
        "instrument_id": result.instrument_id,
        "side": result.side,
        "price": price(result.price),
        "size": result.size,
        "at": time(result.at_ns),
        "end": result.end,
        "filled": result.filled,
        "marketable": result.marketable,
        "ahead": {
            "orders": result.ahead_orders,
            "size": result.ahead_size,
            "filled": result.ahead_filled,
            "cancelled": result.ahead_cancelled,
            "lost": result.ahead_lost,
            "left": result.ahead_left,
        },
        "priority": result.priority,
        "priority_reason": explain_priority(result.publisher_id),
        "fill_order": result.fill_order._asdict(),
        "fills": [
            {
                "ts_event": time(ts_event),
                "ts_recv": time(ts_recv),
                "price": price(fixed),
                "size": size,
                "by": by,
            }
            for ts_event, ts_recv, fixed, size, by in fills
        ],
        "data": {"from": time(result.data.from_ns), "until": time(result.data.until_ns)},
        "warnings": list(result.warnings),
    }
