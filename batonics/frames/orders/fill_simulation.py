"""Simulates the fills of a hypothetical limit order among the recorded orders.

The rule here: the market stays as it was recorded, and the order changes nothing in it (no market
impact). These assumptions give its fills:

1. The order enters after the book's last complete event at or before its time (rule 5). The caller
   adds the latency: the time is that at which the order reaches the venue.
2. The marketable part takes the opposite levels as displayed at that moment, the best first and
   each at its price. These levels stay in the record and are available to others too.
3. The rest joins the back of its level. The orders at the level at that moment are ahead of it,
   with their shown sizes. This queue ahead only decreases: its orders are filled, cancelled or
   reduced, or go to the back (rule 10). Later orders are behind it.
4. The venue matches by price, then time (FIFO); where that is not known, `FillResult.priority` is
   "unknown". So each fill of an order behind it, at its level or
   at a worse price of its side, would first have been its own: it is filled by the same size, at
   its price. Nothing else fills it: no fill of an aggressor's own order, no trade without a fill of
   a displayed order (an F; implied and hidden trades have none), and no opposite order that comes
   to rest at or through its price (books cross in auctions, rule 22). A fill is an aggressor's own
   if its order id is that of the book's last T; id 0 names no aggressor.
5. The part of a fill that exceeds the shown size of an order ahead (an iceberg) was behind it. So
   is what an M adds to an order ahead above its shown size, such as a refill.
6. A clear of its side of the book (an R, a top-of-book record) ends the simulation, since the
   further fate of orders is unknown. It lives over a snapshot that has orders of the book again. It
   stays behind the orders ahead of it that the snapshot has again. What the snapshot no longer has
   ahead is `ahead_lost`: no record says whether it was filled or cancelled. The snapshot ends the
   simulation if it has no order again, if it has an order ahead of it behind others, or if an
   opposite order that is new or moved stands at or through its price.
7. Nothing is known after the last record. An order that would enter later is refused, and an order
   that is "open" was watched until then (`FillResult.data`).
8. A market that does not trade when the order enters, by its status, fills nothing at once: a
   marketable order is refused, and another one is marked.

So the result is a lower bound if there is hidden size, and optimistic for a size that would have
moved the market.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.queue_state import BOTH_SIDES, ChangeKind, LifeRow, QueueChange
from batonics.book.queues import OrderQueues
from batonics.frames.columns.mbo_frame import BOOK_COLUMNS, check_columns
from batonics.frames.orders.book_stream import BookStream, split_at_entry
from batonics.frames.orders.fill_result import FillResult, fills_frame
from batonics.frames.scan.book_changes import opens_book
from batonics.frames.scan.folding import FOLD_ROWS
from batonics.frames.scan.mbo_scan import StreamFacts, batches_of, facts_of
from batonics.frames.scan.returns import is_absent
from batonics.frames.scan.trading_statuses import TradingStatuses
from batonics.model.answers import AnswerWarning, DataSpan, book_warnings
from batonics.model.arguments import check_arguments
from batonics.model.book_changes import TradingStatus
from batonics.model.coverage import Holes, holes_between
from batonics.model.day_conditions import days_between
from batonics.model.errors import UsageError
from batonics.model.mbo import (
    DayStart,
    Flag,
    MboBatch,
    slice_batch,
    split_batches,
    take_batch,
)
from batonics.model.prices import Price, price_1e9
from batonics.model.priority import find_priority
from batonics.model.sides import parse_side
from batonics.model.symbols import SymbolMap
from batonics.model.times import Time, format_time, time_ns

TICK_PRICES_MIN = 10
"""Fewer different prices of a book do not show its tick."""


@check_arguments
def would_fill(  # noqa: PLR0913 - an order and its book
    records: pl.LazyFrame,
    side: str,
    price: Price,
    size: int,
    at: Time,
    *,
    instrument_id: int | None = None,
    publisher_id: int | None = None,
) -> FillResult:
    """Simulate one limit order under the assumptions of this module.

    The records are read in one pass up to the order's end. Memory does not grow with them.

    Args:
        records: MBO records, in their order.
        side: "B", "buy" or "bid"; or "A", "sell" or "ask".
        price: the limit price: decimal text, a Decimal, or an int of 1e-9.
        size: the size of the order.
        at: the time at which it enters, by `ts_recv`: ISO 8601 text (UTC), nanoseconds since the
            epoch, or a datetime.
        instrument_id: the instrument of its book; optional if only one book matches.
        publisher_id: the publisher of its book; optional if only one book matches.

    Raises:
        UsageError: an argument has another type or is out of range, a column is missing or has
            another dtype, several books match or none does, the book has no complete event at that
            time, the time is after the last record, or a marketable order meets a market that does
            not trade then, by the statuses of `scan_mbo`.
    """
    check_columns(records.collect_schema(), BOOK_COLUMNS)

    def select(batch: MboBatch) -> list[MboBatch]:
        matches = np.ones(len(batch.action), np.bool_)
        if instrument_id is not None:
            matches &= batch.instrument_id == instrument_id
        if publisher_id is not None:
            matches &= batch.publisher_id == publisher_id
        return [batch if matches.all() else take_batch(batch, matches)]

    return simulate_fill(
        batches_of(records),
        side,
        price_1e9(price),
        size,
        time_ns(at),
        select=select,
        facts=facts_of(records) or StreamFacts(),
    )


def simulate_fill(  # noqa: PLR0913 - an order and its book
    batches: Iterable[MboBatch],
    side: str,
    limit_1e9: int,
    size: int,
    at_ns: int,
    *,
    select: Callable[[MboBatch], Iterable[MboBatch]],
    facts: StreamFacts = StreamFacts(),  # noqa: B008 - it never changes
) -> FillResult:
    """Simulate one limit order in one of the books of a stream; see `would_fill`.

    Args:
        batches: the records of the whole stream. Those of other books show how far it reaches.
        side: as for `would_fill`.
        limit_1e9: the limit price in 1e-9.
        size: the size of the order.
        at_ns: the time at which it enters, in nanoseconds since the epoch.
        select: returns the records of the order's book, in pieces.
        facts: what the stream knows of the trading statuses of its books.

    Raises:
        UsageError: as for `would_fill`.
    """
    side = parse_side(side)
    if not 1 <= size < 2**63:
        raise UsageError(f"size {size}, expected 1 or more")
    stream = BookStream(batches, select, at_ns)
    simulation = _FillSimulation(side, limit_1e9, size, at_ns)
    for batch, enters in split_at_entry(stream.batches(), at_ns):
        if enters:
            # Later records of the book end its state at the time; without them the span tells.
            stream.data.check_not_after(at_ns, "nothing shows what would happen to an order then")
            _check_covered(facts.find_holes(), at_ns)
            # The statuses of a stream are known once it is being read.
            simulation.enter(TradingStatuses(facts.statuses(), facts.sessions))
        simulation.fold(batch)
        if simulation.result is not None and simulation.result.end != "open":
            break
    if simulation.result is None:
        raise UsageError(
            f"no event of the book is complete at {format_time(at_ns)}; {stream.data.describe()}"
        )
    result = simulation.finish(stream.data, facts.symbols())
    if days_between(facts.doubtful_days, result.data.from_ns, result.data.until_ns):
        result = replace(result, warnings=(*result.warnings, AnswerWarning.DEGRADED))
    if holes_between(facts.find_holes(), at_ns, result.data.until_ns) or is_absent(
        facts.find_absences(), result.instrument_id, at_ns, result.data.until_ns
    ):
        result = replace(result, warnings=(*result.warnings, AnswerWarning.UNCOVERED))
    return result


def _check_covered(holes: Holes, at_ns: int) -> None:
    """Refuse an order that enters at a time of which the metadata say that no file covers it."""
    for hole in holes_between(holes, at_ns, at_ns):
        if not hole.is_known:
            continue
        start, end = format_time(hole.start_ns), format_time(hole.end_ns)
        raise UsageError(
            f"no file covers {format_time(at_ns)}: nothing shows what would happen to an order"
            f" then; there are no records from {start} to {end}"
        )


class _Entry(NamedTuple):
    """The moment at which the order joined its level.

    Attributes:
        priority: the greatest priority at that moment. Orders with a greater one are behind it.
        resting_size: the size that joined the level.
    """

    priority: int
    resting_size: int


class _FillSimulation:
    """The simulation of one order in one book.

    Attributes:
        result: the result so far; None before the order enters.
    """

    def __init__(self, side: str, price: int, size: int, at_ns: int) -> None:
        self.result: FillResult | None = None
        self._order = side, price, size, at_ns
        self._side = "BA".index(side)
        self._engine, self._queues = BookEngine(deltas=True), OrderQueues(changes=True)
        self._entry = _Entry(0, 0)
        self._until = DataSpan()  # the book's own records, until the order's end

    def fold(self, batch: MboBatch) -> None:
        """Fold records of the book, before or after the order enters."""
        # An empty DayStart has no pieces, but makes the book cold.
        pieces = split_batches([batch], FOLD_ROWS) if len(batch.action) else [batch]
        for rows in pieces:
            folded = self._engine.fold(rows)
            changes = self._queues.fold(rows, folded.deltas, self._engine).changes
            if self.result is None:
                self._until = self._until.extend(rows)
            elif self.result.end == "open":
                self.result = self._advance(self.result, rows, changes)

    def finish(self, data: DataSpan, symbols: SymbolMap) -> FillResult:
        """The result, with the times of its data.

        Args:
            data: the times of all records that were read.
            symbols: the symbols of instruments.
        """
        if self.result is None:
            raise AssertionError("the order has not entered")
        # How far records were read beyond the order's end depends on the size of batches.
        own_ns, warnings = self._until.until_ns, self.result.warnings
        until_ns = data.until_ns if self.result.end == "open" else own_ns
        if until_ns is not None and own_ns is not None and until_ns != own_ns:
            end_ns = symbols.symbol_end(self.result.instrument_id, until_ns)
            if end_ns is not None and own_ns < end_ns:
                until_ns, warnings = end_ns, (*warnings, AnswerWarning.RENAMED)
        return replace(self.result, data=data._replace(until_ns=until_ns), warnings=warnings)

    def enter(self, statuses: TradingStatuses) -> None:
        """Let the order enter the book in its present state.

        Args:
            statuses: the trading statuses of books.

        Raises:
            UsageError: it would trade at once, and the market does not trade.
        """
        if self._engine.records == 0:
            return
        side, price, size, at_ns = self._order
        fills = self._take_marketable()
        taken = int(fills["size"].sum())
        (book,) = self._engine.keys()
        trading = statuses.at([book], at_ns).get(book)
        if taken and trading not in (None, TradingStatus.TRADING):
            raise UsageError(
                f"the market does not trade at {format_time(at_ns)} (its status is"
                f" {trading.name.lower()}): nothing shows what a marketable order would get then"
            )
        # The event is complete, so an open snapshot has ended.
        self._queues.end_open_snapshots(self._engine)
        ahead = self._queues.alive()
        ahead = ahead[(ahead[:, LifeRow.SIDE] == self._side) & (ahead[:, LifeRow.PRICE] == price)]
        ahead = ahead[(ahead[:, LifeRow.SIZE] > 0) & (taken < size)]
        publisher_id, instrument_id = book
        self._entry = _Entry(self._queues.priority, size - taken)
        self.result = FillResult(
            publisher_id=publisher_id,
            instrument_id=instrument_id,
            side=side,
            price=price,
            size=size,
            at_ns=at_ns,
            marketable=taken,
            ahead_orders=len(ahead),
            ahead_size=int(ahead[:, LifeRow.SIZE].sum()),
            ahead_filled=0,
            ahead_cancelled=0,
            ahead_lost=0,
            filled=taken,
            end="open" if taken < size else "filled",
            fills=fills,
            priority=find_priority(publisher_id),
            fill_order=self._queues.fill_order(0),
            data=DataSpan(),
            warnings=self._book_warnings(trading),
        )
        self._until = self._until._replace(until_ns=at_ns)

    def _book_warnings(self, trading: TradingStatus | None) -> tuple[AnswerWarning, ...]:
        """The warnings of the book in its present state."""
        (status,) = self._engine.statuses()
        levels = self._engine.levels()
        crossed = bool(levels.crossed_books())
        found = book_warnings(status.name.lower(), crossed=crossed, trading=trading)
        if is_off_tick(self._order[1], levels.price):
            found.append(AnswerWarning.OFF_TICK)
        return tuple(found)

    def _take_marketable(self) -> pl.DataFrame:
        """The fills of the marketable part, from the opposite levels."""
        _, price, size, at_ns = self._order
        levels = self._engine.levels()
        crosses = levels.price <= price if self._side == 0 else levels.price >= price
        crosses &= levels.side != self._side
        displayed = levels.size[crosses]
        taken = np.clip(size - (np.cumsum(displayed) - displayed), 0, displayed)
        price_taken, taken = levels.price[crosses][taken > 0], taken[taken > 0]
        at = np.full(len(taken), at_ns, np.uint64)
        return fills_frame(at, at, price_taken, taken, np.zeros(len(taken), np.uint8))

    def _select_changes(
        self, changes: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The changes that matter to the order, and which of them end the simulation."""
        _, limit, *_ = self._order
        _, _, kind, side, price, _, priority = changes.T
        is_own = side == self._side
        cleared = (kind == ChangeKind.CLEARED) & (is_own | (side == BOTH_SIDES))
        crosses = price <= limit if self._side == 0 else price >= limit
        # Orders came in the snapshot that would have traded with it: records are missing.
        crossed = (kind == ChangeKind.APPEARED) & ~is_own & crosses
        is_ahead = is_own & (price == limit) & (priority <= self._entry.priority)
        ends = cleared | crossed | ((kind == ChangeKind.MISPLACED) & is_ahead)
        selected = is_own | ends
        return changes[selected], ends[selected]

    def _advance(
        self, result: FillResult, rows: MboBatch, changes: NDArray[np.int64]
    ) -> FillResult:
        """The result after more records. Only changes of the order's side matter."""
        changes, is_end = self._select_changes(changes)
        last_row = len(rows.action) - 1  # the last one of the order's life
        ends = np.flatnonzero(is_end)
        if len(ends):
            last_row = int(changes[ends[0], QueueChange.ROW])
            changes = changes[: ends[0]]
            result = replace(result, end="cleared")
        row, _, kind, _, price, size, priority = changes.T
        at_level, limit = price == result.price, result.price
        is_ahead = at_level & (priority <= self._entry.priority)
        is_behind = (at_level & ~is_ahead) | (price < limit if self._side == 0 else price > limit)
        # Fills behind it would have been its own, as long as a part of it is left.
        fills_behind = np.where(is_behind & (kind == ChangeKind.FILLED), size, 0)
        left = result.size - result.filled
        own = np.clip(left - (np.cumsum(fills_behind) - fills_behind), 0, fills_behind)
        if int(own.sum()) == left:
            last = int(np.flatnonzero(own)[-1]) + 1
            is_ahead[last:] = False
            last_row = int(row[last - 1])
            result = replace(result, end="filled")
        self._until = self._until.extend(slice_batch(rows, 0, last_row + 1))
        removed = is_ahead & (kind == ChangeKind.REMOVED)
        lost = is_ahead & (kind == ChangeKind.LOST)
        filled = is_ahead & ((kind == ChangeKind.FILLED) | (kind == ChangeKind.TRADED))
        # A fill that exceeds the shown size of an order makes two changes of one record.
        own_rows = np.flatnonzero(own)
        first = np.flatnonzero(np.diff(row[own_rows], prepend=-1))
        fills = fills_frame(
            rows.ts_event[row[own_rows][first]],
            rows.ts_recv[row[own_rows][first]],
            np.full(len(first), result.price),
            np.add.reduceat(own[own_rows], first) if len(first) else own[:0],
            np.where(at_level[own_rows][first], 1, 2).astype(np.uint8),
        )
        return replace(
            result,
            ahead_filled=result.ahead_filled + int(size[filled].sum()),
            ahead_cancelled=result.ahead_cancelled + int(size[removed].sum()),
            ahead_lost=result.ahead_lost + int(size[lost].sum()),
            filled=result.filled + int(own.sum()),
            fills=pl.concat([result.fills, fills]),
            warnings=_add_warnings(result.warnings, rows, last_row),
        )


def is_off_tick(price: int, prices: NDArray[np.int64]) -> bool:
    """Whether a price is off the tick that the prices of a book show; False if they are too few.

    Args:
        price: in 1e-9.
        prices: the price of each level, in 1e-9.
    """
    different = np.unique(prices)
    if len(different) < TICK_PRICES_MIN:
        return False
    # Differences of int64 may exceed it, but not its unsigned half.
    first = different[:1].view(np.uint64)
    tick = int(np.gcd.reduce(different.view(np.uint64)[1:] - first))
    return (price - int(different[0])) % tick != 0


def _add_warnings(
    warnings: tuple[AnswerWarning, ...], rows: MboBatch, last_row: int
) -> tuple[AnswerWarning, ...]:
    """The warnings, with those of a book that becomes stale or cold while the order lives."""
    found = set(warnings)
    # A book that its first record of the day opens was cold for no record of it (rule 21).
    if isinstance(rows, DayStart) and not opens_book(int(rows.action[0]), int(rows.flags[0])):
        found.add(AnswerWarning.COLD)
    if (rows.flags[: last_row + 1] & Flag.MAYBE_BAD_BOOK).any():  # rule 17
        found.add(AnswerWarning.STALE)
    return tuple(warning for warning in AnswerWarning if warning in found)
