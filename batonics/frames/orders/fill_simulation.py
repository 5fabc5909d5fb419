"""Would a limit order have been filled? A hypothetical order among the recorded ones.

The rule here: the market is as it was recorded; the order changes nothing in it (no market
impact). What would have come to it is counted from that:

1. It enters at the book's last complete event at or before its time (rule 5). Latency is the
   caller's business: give the time at which the order would have reached the venue.
2. What of it crosses takes the opposite levels as they are displayed at that moment, best first
   and each at its price. Those levels stay in the record and are there for others too.
3. The rest joins the back of its level. Ahead of it are the orders that are there by then, with
   what they show. These only become less: as they are filled, and as they are cancelled, shrink,
   or go to the back (rule 10). Whoever comes later stands behind it.
4. The venue matches by price, then time (FIFO). So each fill of an order that stands behind it, at
   its level or at a worse price of its side, would have been its own first: it is filled by as
   much, at its price. Nothing else fills it: not a fill of the aggressor's own order, no trade
   without a fill of a displayed order (F; such are implied and hidden ones), and no opposite order
   that comes to rest at or through its price (books cross in auctions, rule 22).
5. What a fill takes beyond what an order ahead showed (an iceberg's) stood behind.
6. A clear of its side of the book (R, a snapshot, a top-of-book record) ends the simulation: what
   became of an order then is not known.

So it is a lower bound where size is hidden, and optimistic for sizes that would have moved the
market.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.event_cutoff import EventCutoff
from batonics.book.queue_state import BOTH_SIDES, ChangeKind, LifeRow, QueueChange
from batonics.book.queues import OrderQueues
from batonics.frames.columns.mbo_frame import BOOK_COLUMNS, TIME_TYPE, check_columns, to_datetimes
from batonics.frames.scan.folding import FOLD_ROWS
from batonics.frames.scan.mbo_scan import batches_of
from batonics.model.errors import UsageError
from batonics.model.mbo import (
    UNDEF_PRICE,
    UNDEF_TIMESTAMP,
    MboBatch,
    concat_batches,
    empty_batch,
    record_keys,
    slice_batch,
    split_batches,
    take_batch,
)
from batonics.model.times import format_time

FILL_REASON_TYPE = pl.Enum(["marketable", "queue", "through"])
FILLS_SCHEMA = pl.Schema(
    {
        "ts_event": TIME_TYPE,
        "ts_recv": TIME_TYPE,
        "price": pl.Int64(),
        "size": pl.Int64(),
        "by": FILL_REASON_TYPE,
    }
)
BOOKS_NAMED_MAX = 5


@dataclass(frozen=True)
class FillResult:
    """What would have become of the order.

    Attributes:
        publisher_id, instrument_id: of its book.
        side: "B" or "A".
        price: its limit, in 1e-9.
        size: of all of it.
        at_ns: when it enters.
        marketable: how much of it takes displayed levels at once.
        ahead_orders, ahead_size: at its level as it joins it; 0 where nothing is left to join.
        ahead_filled, ahead_cancelled: what became of this size until the end: filled, or cancelled
            or moved elsewhere. What is left of it may be more than 0 though the order was filled:
            then the venue did not match by time.
        filled: how much of it was filled, the marketable part included.
        end: "filled", "open" as the stream ended, or "cleared".
        fills: of `FILLS_SCHEMA`, a row a fill: times of the F that would have been its own (of a
            marketable part: `at_ns`), its price, and by what: "marketable", "queue" (fills at its
            level reached it) or "through" (fills at a worse price).
    """

    publisher_id: int
    instrument_id: int
    side: str
    price: int
    size: int
    at_ns: int
    marketable: int
    ahead_orders: int
    ahead_size: int
    ahead_filled: int
    ahead_cancelled: int
    filled: int
    end: str
    fills: pl.DataFrame

    @property
    def ahead_left(self) -> int:
        """What is left ahead of it at the end."""
        return self.ahead_size - self.ahead_filled - self.ahead_cancelled


def would_fill(  # noqa: PLR0913 - an order, and which book
    records: pl.LazyFrame,
    side: str,
    price_1e9: int,
    size: int,
    at_ns: int,
    *,
    instrument_id: int | None = None,
    publisher_id: int | None = None,
) -> FillResult:
    """Simulate one limit order; the assumptions are this module's rule.

    The records are read in one pass, up to the order's end; memory does not grow with them.

    Args:
        records: MBO records, in their order.
        side: "B" or "A".
        price_1e9: its limit.
        size: how much.
        at_ns: when it enters, by `ts_recv`, in nanoseconds since the epoch.
        instrument_id: of its book; may be left out where the records have but one.
        publisher_id: the same.

    Raises:
        UsageError: the order cannot be, a column is missing or has another dtype, several books
            match or none does, or none of its events is complete at that time.
    """
    if side not in ("B", "A"):
        raise UsageError(f"side {side!r}, expected B or A")
    if not 1 <= size < 2**63:
        raise UsageError(f"size {size}, expected 1 or more")
    if not -(2**63) <= price_1e9 < UNDEF_PRICE:
        raise UsageError(f"price {price_1e9} does not fit an int64 of 1e-9")
    if not 0 <= at_ns < UNDEF_TIMESTAMP:
        raise UsageError(f"time {at_ns} is outside the range of DBN timestamps")
    check_columns(records.collect_schema(), BOOK_COLUMNS)
    batches = _of_one_book(batches_of(records), instrument_id, publisher_id)
    simulation = _Simulation(side, price_1e9, size, at_ns)
    for batch, enters in _parted(batches, at_ns):
        if enters:
            simulation.enter()
        simulation.fold(batch)
        if simulation.result is not None and simulation.result.end != "open":
            break
    if simulation.result is None:
        raise UsageError(f"no event of the book is complete at {format_time(at_ns)}")
    return simulation.result


def _of_one_book(
    batches: Iterable[MboBatch], instrument_id: int | None, publisher_id: int | None
) -> Iterator[MboBatch]:
    """The records of the book that matches, of each batch that has any."""
    seen: set[tuple[int, int]] = set()
    for batch in batches:
        wanted = np.ones(len(batch.action), np.bool_)
        if instrument_id is not None:
            wanted &= batch.instrument_id == instrument_id
        if publisher_id is not None:
            wanted &= batch.publisher_id == publisher_id
        rows = batch if wanted.all() else take_batch(batch, wanted)
        if len(rows.action) == 0:
            yield rows
            continue
        keys = np.unique(record_keys(rows))
        seen |= {(key >> 32, key & 0xFFFFFFFF) for key in keys.tolist()}
        if len(seen) > 1:
            some = ", ".join(f"{p}/{i}" for p, i in sorted(seen)[:BOOKS_NAMED_MAX])
            raise UsageError(f"several books match (publisher/instrument {some}): say which")
        yield rows
    if not seen:
        raise UsageError("no records of such a book")


def _parted(batches: Iterable[MboBatch], at_ns: int) -> Iterator[tuple[MboBatch, bool]]:
    """Batches, and whether the order enters before one; of a single book, in their order."""
    until, held, entered = EventCutoff(at_ns), empty_batch(0), False
    for batch in batches:
        if entered:
            yield batch, False
            continue
        held = concat_batches([held, batch])
        # Of a single book what is let through is what comes first.
        for complete in until.take(batch):
            held = slice_batch(held, len(complete.action), len(held.action))
            yield complete, False
        entered = until.done
        if entered:
            yield held, True
    if not entered:
        complete = until.finish()
        yield complete, False
        yield slice_batch(held, len(complete.action), len(held.action)), True


class _Entry(NamedTuple):
    """What is remembered of the moment at which the order joined its level."""

    priority: int  # orders with a greater one stand behind it
    rests: int  # how much of it joined


class _Simulation:
    """One order in one book.

    Attributes:
        result: as far as it is known; None until the order has entered.
    """

    def __init__(self, side: str, price: int, size: int, at_ns: int) -> None:
        self.result: FillResult | None = None
        self._order = side, price, size, at_ns
        self._side = "BA".index(side)
        self._engine, self._queues = BookEngine(deltas=True), OrderQueues(changes=True)
        self._entry = _Entry(0, 0)

    def fold(self, batch: MboBatch) -> None:
        """Take up records of the book: before the order enters, or after it."""
        for rows in split_batches([batch], FOLD_ROWS):
            folded = self._engine.fold(rows)
            changes = self._queues.fold(rows, folded.deltas, self._engine).changes
            if self.result is not None and self.result.end == "open":
                self.result = self._advanced(self.result, rows, changes)

    def enter(self) -> None:
        """The order enters the book as it is."""
        if self._engine.records == 0:
            return
        side, price, size, at_ns = self._order
        fills = self._marketable()
        taken = int(fills["size"].sum())
        ahead = self._queues.alive()
        ahead = ahead[(ahead[:, LifeRow.SIDE] == self._side) & (ahead[:, LifeRow.PRICE] == price)]
        ahead = ahead[(ahead[:, LifeRow.SIZE] > 0) & (taken < size)]
        (publisher_id, instrument_id), *_ = self._engine.keys()
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
            filled=taken,
            end="open" if taken < size else "filled",
            fills=fills,
        )

    def _marketable(self) -> pl.DataFrame:
        """What the order takes of the opposite levels at once."""
        _, price, size, at_ns = self._order
        levels = self._engine.levels()
        crosses = levels.price <= price if self._side == 0 else levels.price >= price
        crosses &= levels.side != self._side
        there = levels.size[crosses]
        taken = np.clip(size - (np.cumsum(there) - there), 0, there)
        price_taken, taken = levels.price[crosses][taken > 0], taken[taken > 0]
        at = np.full(len(taken), at_ns, np.uint64)
        return _fills(at, at, price_taken, taken, np.zeros(len(taken), np.uint8))

    def _advanced(
        self, result: FillResult, rows: MboBatch, changes: NDArray[np.int64]
    ) -> FillResult:
        """The result after some more records, of which only changes of its own side matter."""
        cleared = changes[:, QueueChange.KIND] == ChangeKind.CLEARED
        changes = changes[
            (changes[:, QueueChange.SIDE] == self._side)
            | (cleared & (changes[:, QueueChange.SIDE] == BOTH_SIDES))
        ]
        clears = np.flatnonzero(changes[:, QueueChange.KIND] == ChangeKind.CLEARED)
        if len(clears):
            changes = changes[: clears[0]]
            result = replace(result, end="cleared")
        row, _, kind, _, price, size, priority = changes.T
        at_level, limit = price == result.price, result.price
        is_ahead = at_level & (priority <= self._entry.priority)
        is_behind = (at_level & ~is_ahead) | (price < limit if self._side == 0 else price > limit)
        # What would have been its own, as long as something of it is left.
        passing = np.where(is_behind & (kind == ChangeKind.FILLED), size, 0)
        left = result.size - result.filled
        own = np.clip(left - (np.cumsum(passing) - passing), 0, passing)
        if int(own.sum()) == left:
            last = int(np.flatnonzero(own)[-1]) + 1
            is_ahead[last:] = False
            result = replace(result, end="filled")
        removed = is_ahead & (kind == ChangeKind.REMOVED)
        # A fill of more than an order showed is two changes, of one record.
        mine = np.flatnonzero(own)
        first = np.flatnonzero(np.diff(row[mine], prepend=-1))
        fills = _fills(
            rows.ts_event[row[mine][first]],
            rows.ts_recv[row[mine][first]],
            np.full(len(first), result.price),
            np.add.reduceat(own[mine], first) if len(first) else own[:0],
            np.where(at_level[mine][first], 1, 2).astype(np.uint8),
        )
        return replace(
            result,
            ahead_filled=result.ahead_filled + int(size[is_ahead & ~removed].sum()),
            ahead_cancelled=result.ahead_cancelled + int(size[removed].sum()),
            filled=result.filled + int(own.sum()),
            fills=pl.concat([result.fills, fills]),
        )


def _fills(
    ts_event: NDArray[np.uint64],
    ts_recv: NDArray[np.uint64],
    price: NDArray[np.int64],
    size: NDArray[np.int64],
    by: NDArray[np.uint8],
) -> pl.DataFrame:
    columns = {
        "ts_event": to_datetimes(ts_event),
        "ts_recv": to_datetimes(ts_recv),
        "price": price,
        "size": size,
        "by": pl.Series(by).cat.to(FILL_REASON_TYPE),
    }
    return pl.DataFrame(columns, schema=FILLS_SCHEMA)
