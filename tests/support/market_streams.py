"""Streams for the benchmarks: a day tiled many times, and simulated markets of any size.

One rule holds here: every stream is one that a venue could have sent. No order id recurs with
another meaning, time runs forward over a seam, and a book starts anew only after an R.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import (
    UNDEF_PRICE,
    UNDEF_TIMESTAMP,
    Action,
    Flag,
    MboBatch,
    Side,
    concat_batches,
    take_batch,
)
from batonics.sim.market import Market


def tile(batch: MboBatch, times: int) -> MboBatch:
    """`batch` repeated `times` times as one stream, with an R for each of its books in between.

    Order ids, sequences and both timestamps are shifted from tile to tile, so that no id recurs
    and `ts_recv` never runs backwards over a seam. What is no id (0) or no time (UNDEF_TIMESTAMP)
    stays; `sequence` wraps at 2**32. Returns a batch of
    `times * (rows + books) - books` rows that owns its arrays.
    """
    if times < 1:
        raise ValueError(f"times is {times}: a stream has at least one tile")
    if len(batch.action) == 0:
        raise ValueError("an empty batch cannot be tiled")
    # The R's are the head of every tile; the first tile goes without.
    whole = concat_batches([_clears(batch), batch])
    has_id = whole.order_id != 0
    has_recv = whole.ts_recv != UNDEF_TIMESTAMP
    has_event = whole.ts_event != UNDEF_TIMESTAMP
    id_span = _span(whole.order_id[has_id])
    # One span for both clocks, so that latencies stay what they were.
    span_ns = _span(whole.ts_recv[has_recv])
    sequence_span = _span(whole.sequence)
    tiles = [
        whole._replace(
            order_id=whole.order_id + np.uint64(number * id_span) * has_id,
            ts_recv=whole.ts_recv + np.uint64(number * span_ns) * has_recv,
            ts_event=whole.ts_event + np.uint64(number * span_ns) * has_event,
            sequence=whole.sequence + np.uint32(number * sequence_span % 2**32),
        )
        for number in range(times)
    ]
    tiles[0] = batch
    return concat_batches(tiles)


def simulated(
    instruments: int, live_orders: int, records: int, seed: int
) -> tuple[MboBatch, MboBatch]:
    """The opening snapshots of a simulated market, and at least `records` live records after them.

    The live part has about CLX5's proportions of actions and ends with a whole event.
    """
    market = Market(seed, instruments, target_live_orders=live_orders, recoveries_per_million=0)
    opening = concat_batches(list(market.batches(market.opening_records)))
    return opening, concat_batches(list(market.batches(records)))


def _span(values: NDArray[np.uint64] | NDArray[np.uint32]) -> int:
    """How far a tile's values must move to lie beyond those of the tile before."""
    return int(values.max()) - int(values.min()) + 1 if len(values) else 0


def _clears(batch: MboBatch) -> MboBatch:
    """One R for each book of `batch` (rule 11), at the time of its first record."""
    books = batch.publisher_id.astype(np.uint64) << np.uint64(32) | batch.instrument_id
    first_rows = np.unique(books, return_index=True)[1]
    clears = take_batch(batch, first_rows)
    return clears._replace(
        ts_recv=np.full_like(clears.ts_recv, batch.ts_recv[0]),
        ts_event=np.full_like(clears.ts_event, batch.ts_event[0]),
        sequence=np.full_like(clears.sequence, batch.sequence[0]),
        action=np.full_like(clears.action, Action.CLEAR),
        side=np.full_like(clears.side, Side.NONE),
        price=np.full_like(clears.price, UNDEF_PRICE),
        size=np.zeros_like(clears.size),
        order_id=np.zeros_like(clears.order_id),
        flags=np.full_like(clears.flags, Flag.LAST),
        ts_in_delta=np.zeros_like(clears.ts_in_delta),
    )
