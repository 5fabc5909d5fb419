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
4. The venue matches by price, then time (FIFO). So each fill of an order behind it, at its level or
   at a worse price of its side, would first have been its own: it is filled by the same size, at
   its price. Nothing else fills it: no fill of an aggressor's own order, no trade without a fill of
   a displayed order (an F; implied and hidden trades have none), and no opposite order that comes
   to rest at or through its price (books cross in auctions, rule 22). A fill is an aggressor's own
   if its order id is that of the book's last T; id 0 names no aggressor.
5. The part of a fill that exceeds the shown size of an order ahead (an iceberg) was behind it. So
   is what an M adds to an order ahead above its shown size, such as a refill.
6. A clear of its side of the book (R, a snapshot, a top-of-book record) ends the simulation, since
   the further fate of orders is unknown.

So the result is a lower bound if there is hidden size, and optimistic for a size that would have
moved the market.
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
MATCHES_NAMED_MAX = 5
"""Books that an error message names if several match."""


@dataclass(frozen=True)
class FillResult:
    """The result of a simulated order.

    Attributes:
        publisher_id: the publisher of its book.
        instrument_id: the instrument of its book.
        side: "B" or "A".
        price: the limit price in 1e-9.
        size: the size of the whole order.
        at_ns: the time at which it enters, in nanoseconds since the epoch.
        marketable: the size that takes displayed levels at once.
        ahead_orders: the number of orders ahead at its level when it joins it; 0 if it does not.
        ahead_size: the shown size of these orders.
        ahead_filled: the part of `ahead_size` that is filled before the end.
        ahead_cancelled: the part of `ahead_size` that is cancelled or moved before the end.
        filled: the filled size, including the marketable part.
        end: "filled"; "cleared"; or "open" if the stream ended first.
        fills: one row of `FILLS_SCHEMA` for each fill. ts_event and ts_recv are those of the F that
            would have been its own, or `at_ns` for the marketable part. `by` is "marketable",
            "queue" (fills at its level reached it) or "through" (fills at a worse price).
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
        """The size that is left ahead of the order at the end.

        It is more than 0 for a filled order if the venue did not match by time.
        """
        return self.ahead_size - self.ahead_filled - self.ahead_cancelled


def would_fill(  # noqa: PLR0913 - an order and its book
    records: pl.LazyFrame,
    side: str,
    price_1e9: int,
    size: int,
    at_ns: int,
    *,
    instrument_id: int | None = None,
    publisher_id: int | None = None,
) -> FillResult:
    """Simulate one limit order under the assumptions of this module.

    The records are read in one pass up to the order's end. Memory does not grow with them.

    Args:
        records: MBO records, in their order.
        side: "B" or "A".
        price_1e9: the limit price in 1e-9.
        size: the size of the order.
        at_ns: the time at which it enters, by `ts_recv`, in nanoseconds since the epoch.
        instrument_id: the instrument of its book; optional if only one book matches.
        publisher_id: the publisher of its book; optional if only one book matches.

    Raises:
        UsageError: an argument is out of range, a column is missing or has another dtype, several
            books match or none does, or the book has no complete event at that time.
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
    batches = _select_book(batches_of(records), instrument_id, publisher_id)
    simulation = _FillSimulation(side, price_1e9, size, at_ns)
    for batch, enters in _split_at_entry(batches, at_ns):
        if enters:
            simulation.enter()
        simulation.fold(batch)
        if simulation.result is not None and simulation.result.end != "open":
            break
    if simulation.result is None:
        raise UsageError(f"no event of the book is complete at {format_time(at_ns)}")
    return simulation.result


def _select_book(
    batches: Iterable[MboBatch], instrument_id: int | None, publisher_id: int | None
) -> Iterator[MboBatch]:
    """The records of the book that matches, batch by batch."""
    seen: set[tuple[int, int]] = set()
    for batch in batches:
        matches = np.ones(len(batch.action), np.bool_)
        if instrument_id is not None:
            matches &= batch.instrument_id == instrument_id
        if publisher_id is not None:
            matches &= batch.publisher_id == publisher_id
        rows = batch if matches.all() else take_batch(batch, matches)
        if len(rows.action) == 0:
            yield rows
            continue
        keys = np.unique(record_keys(rows))
        seen |= {(key >> 32, key & 0xFFFFFFFF) for key in keys.tolist()}
        if len(seen) > 1:
            named = ", ".join(f"{p}/{i}" for p, i in sorted(seen)[:MATCHES_NAMED_MAX])
            raise UsageError(f"several books match (publisher/instrument {named}): say which")
        yield rows
    if not seen:
        raise UsageError("no records of such a book")


def _split_at_entry(batches: Iterable[MboBatch], at_ns: int) -> Iterator[tuple[MboBatch, bool]]:
    """Split the batches of one book where the order enters.

    Yields:
        Each part, and whether the order enters just before it.
    """
    cutoff, held, entered = EventCutoff(at_ns), empty_batch(0), False
    for batch in batches:
        if entered:
            yield batch, False
            continue
        held = concat_batches([held, batch])
        # In a single book, the complete events are the first records.
        for complete in cutoff.take(batch):
            held = slice_batch(held, len(complete.action), len(held.action))
            yield complete, False
        entered = cutoff.done
        if entered:
            yield held, True
    if not entered:
        complete = cutoff.finish()
        yield complete, False
        yield slice_batch(held, len(complete.action), len(held.action)), True


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

    def fold(self, batch: MboBatch) -> None:
        """Fold records of the book, before or after the order enters."""
        for rows in split_batches([batch], FOLD_ROWS):
            folded = self._engine.fold(rows)
            changes = self._queues.fold(rows, folded.deltas, self._engine).changes
            if self.result is not None and self.result.end == "open":
                self.result = self._advance(self.result, rows, changes)

    def enter(self) -> None:
        """Let the order enter the book in its present state."""
        if self._engine.records == 0:
            return
        side, price, size, at_ns = self._order
        fills = self._take_marketable()
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
        return _fills_frame(at, at, price_taken, taken, np.zeros(len(taken), np.uint8))

    def _advance(
        self, result: FillResult, rows: MboBatch, changes: NDArray[np.int64]
    ) -> FillResult:
        """The result after more records. Only changes of the order's side matter."""
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
        # Fills behind it would have been its own, as long as a part of it is left.
        fills_behind = np.where(is_behind & (kind == ChangeKind.FILLED), size, 0)
        left = result.size - result.filled
        own = np.clip(left - (np.cumsum(fills_behind) - fills_behind), 0, fills_behind)
        if int(own.sum()) == left:
            last = int(np.flatnonzero(own)[-1]) + 1
            is_ahead[last:] = False
            result = replace(result, end="filled")
        removed = is_ahead & (kind == ChangeKind.REMOVED)
        # A fill that exceeds the shown size of an order makes two changes of one record.
        own_rows = np.flatnonzero(own)
        first = np.flatnonzero(np.diff(row[own_rows], prepend=-1))
        fills = _fills_frame(
            rows.ts_event[row[own_rows][first]],
            rows.ts_recv[row[own_rows][first]],
            np.full(len(first), result.price),
            np.add.reduceat(own[own_rows], first) if len(first) else own[:0],
            np.where(at_level[own_rows][first], 1, 2).astype(np.uint8),
        )
        return replace(
            result,
            ahead_filled=result.ahead_filled + int(size[is_ahead & ~removed].sum()),
            ahead_cancelled=result.ahead_cancelled + int(size[removed].sum()),
            filled=result.filled + int(own.sum()),
            fills=pl.concat([result.fills, fills]),
        )


def _fills_frame(
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
