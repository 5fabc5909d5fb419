"""The lives of orders, and the position of one order in its queue.

The rule here: the book decides the life of an order (rules 6 to 14), from the record that puts it
into the book to the record that ends it. Fills (F) are counted beside it. A fill is ignored if the
book does not hold its order, or if it has no size.

A life goes on over a snapshot (rule 14) that has the order again, under its id and on its side. An
order that the snapshot does not have ends with it, cleared. Price and size in the snapshot that are
not those of before are a modify that only the snapshot knows: it counts as an M does, and what was
shown and is gone counts as cancelled, though it may have been filled. The order keeps its place if
the snapshot confirms it: same price, not larger, and ahead of it only orders that were ahead before
and kept theirs. In any case the queue is then in the order of the snapshot.

The C or M after a fill removes the filled size from the order, at some publishers one event later
(rule 6). Until then the *shown size* of the order is its size less its fills. The queues ahead and
behind are sums of shown sizes, and count the orders whose shown size is not 0.

An M that sets more than the shown size is a refill of an iceberg, or the order grew: either way it
goes to the back of its level (rule 10). The books of `reconstruct` do not know the fills (rule 6),
so there a refill to the size of before keeps its place.

Times: `ts_start`, `ts_end` and `ts_first_fill` are `ts_event`, the venue's clock, which measures
lifetimes. It may run backwards between records (rule 4), and in the snapshots of some venues it is
the true start of the order. `ts_recv_start` and `ts_recv_end` are the `ts_recv` of the same
records, by which records are in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.queue_state import LifeEnd, LifeRow, QueuePosition
from batonics.book.queues import OrderQueues, QueueResult
from batonics.frames.columns.books import (
    BOOK_KEY_SCHEMA,
    ORDER_END_TYPE,
    ORDERS_SCHEMA,
    PRIORITY,
    PRIORITY_TYPE,
)
from batonics.frames.columns.mbo_frame import (
    BOOK_SIDE_TYPE,
    TIME_TYPE,
    category_series,
    null_where,
    side_series,
    to_datetimes,
)
from batonics.frames.scan.folding import book_keys, fold_pieces, key_columns
from batonics.frames.scan.record_source import record_source
from batonics.model.answers import DataSpan
from batonics.model.errors import UsageError
from batonics.model.mbo import MboBatch
from batonics.model.priority import FIFO_PUBLISHERS, Priority

QUEUE_SCHEMA = pl.Schema(
    {
        "ts_event": TIME_TYPE,
        "ts_recv": TIME_TYPE,
        "sequence": pl.UInt32(),
        **BOOK_KEY_SCHEMA,
        "side": BOOK_SIDE_TYPE,
        "price": pl.Int64(),
        "size": pl.Int64(),
        "ahead_orders": pl.Int64(),
        "ahead_size": pl.Int64(),
        "behind_orders": pl.Int64(),
        "behind_size": pl.Int64(),
        PRIORITY: PRIORITY_TYPE,
    }
)


def orders_source(records: pl.LazyFrame) -> pl.LazyFrame:
    """A LazyFrame of `ORDERS_SCHEMA`: one row for each life, as it ends. Live orders come last.

    An order that left the book and comes back under its id begins a new life, unless a snapshot had
    cleared it and has it again. Order ids are unique within a book. Records of top-of-book
    publishers and of levels (F_TOB, F_MBP) are neither orders nor fills. Memory grows with the live
    orders, not with the records.

    Lives that one record ends are in this order: bids before asks, each side from its worst price
    to its best, each level by priority. A snapshot ends lives where it ends itself.

    Args:
        records: MBO records, in their order.

    Columns:
        publisher_id (UInt16), instrument_id (UInt32), order_id (UInt64), side (Enum B, A).
        ts_start, ts_recv_start (Datetime ns UTC): ts_event and ts_recv of the record that put the
            order into the book; null if undefined.
        ts_end, ts_recv_end (Datetime ns UTC): ts_event and ts_recv of the record that ended it;
            null if undefined, or if the order is alive.
        price_start, price_end (Int64 of 1e-9): the price at the start and at the end.
        size_start (Int64): the size at the start.
        added (Int64): the total size. It is `size_start`, plus the growth by modifies over the size
            left by fills (such as the refill of an iceberg), plus fills beyond the shown size.
        filled (Int64): the sum of the order's F, including those as aggressor (a modify that
            crosses).
        cancelled (Int64): the size that C or M removed and that was not filled.
        left (Int64): the shown size at the end; 0 for filled and cancelled orders. For all orders,
            filled + cancelled + left = added.
        modifies (Int64): the number of M of the order, including those that changed nothing, that
            removed only what fills had taken, or that removed the order; and of snapshots that have
            it at another price or size.
        requeues (Int64): the number of M that sent it to the back of a queue (rule 10): to another
            price, or above its shown size.
        ahead_orders, ahead_size (Int64): the orders ahead of it at its level at the start, and
            their shown size. Orders that fills have taken whole are not counted, even if they are
            still to be removed. Orders at better prices are not counted.
        ts_first_fill (Datetime ns UTC): ts_event of its first F; null if there was none.
        fill_ahead_orders, fill_ahead_size (Int64): the orders ahead of it at its level just before
            its first F, and their shown size.
        end (Enum): how the life ended.
            filled: the order left the book, and fills had taken all that the last record removed.
            cancelled: the order left the book otherwise.
            cleared: an R or a top-of-book record cleared its book or its side, or a snapshot does
                not have it. ts_end is then that of the record that cleared the book, which is the
                snapshot's first one.
            replaced: an A of its id began another life (rule 7).
            alive: the order was in the book when the stream ended.
        left_censored (Boolean): whether its true start is unknown: it came with a snapshot
            (F_SNAPSHOT), or an M of an unknown id put it into the book (rule 9).
        right_censored (Boolean): whether its true end is unknown: it is alive or cleared.
        priority (Enum): whether the venue fills the orders of a price by time, so that the queues
            here are its own: "fifo", or "unknown" if it has another rule or none is known (see
            `model/priority.py`). `with_definitions` knows instruments of CME.

    Raises:
        UsageError: a column is missing or has another dtype.
    """
    return record_source("MBO ORDERS", records, ORDERS_SCHEMA, order_frames)


def queue_source(
    records: pl.LazyFrame,
    order_id: int,
    *,
    publisher_id: int | None = None,
    instrument_id: int | None = None,
) -> pl.LazyFrame:
    """A LazyFrame of `QUEUE_SCHEMA`: the position of an order, after each event that changed it.

    There is a row for each event of its book (rule 5) after which its price, its size, or the queue
    ahead or behind differs from the previous row. The last row of a life is that of the event in
    which it ended. An order that comes back under its id has further rows, and so has an order of
    the same id in another book.

    Args:
        records: MBO records, in their order.
        order_id: the id of the order.
        publisher_id: restricts the rows to this publisher.
        instrument_id: restricts the rows to this instrument.

    Columns:
        ts_event, ts_recv (Datetime ns UTC), sequence (UInt32): those of the event's last record.
        publisher_id (UInt16), instrument_id (UInt32), side (Enum B, A).
        price (Int64 of 1e-9).
        size (Int64): the shown size; 0 after the end of the life.
        ahead_orders, ahead_size, behind_orders, behind_size (Int64): the orders ahead of it and
            behind it at its level, and their shown sizes; null after the end of the life.
        priority (Enum): "fifo" or "unknown", as in `.mbo.orders()`. Even at FIFO venues one place
            in fifty was not what the records say (docs/orders.md); `verify` counts such fills.

    Raises:
        UsageError: the order id is out of range, a column is missing or has another dtype, or (when
            the frame is collected) no complete event has the order.
    """
    if not 0 <= order_id < 2**64:
        raise UsageError(f"order id {order_id}, expected 0 to {2**64 - 1}")
    for name, value in (("publisher_id", publisher_id), ("instrument_id", instrument_id)):
        if value is not None:
            records = records.filter(pl.col(name) == value)

    def derive(batches: Iterator[MboBatch]) -> Iterator[pl.DataFrame]:
        data, has_rows = DataSpan(), False

        def note_times() -> Iterator[MboBatch]:
            nonlocal data
            for batch in batches:
                data = data.extend(batch)
                yield batch

        for frame in position_frames(note_times(), order_id):
            has_rows = True
            yield frame
        if not has_rows:
            raise UsageError(f"no event of a book has an order {order_id}; {data.describe()}")

    # The records of all books show whether the order is unknown, or of another book.
    return record_source(
        f"MBO QUEUE {order_id}", records, QUEUE_SCHEMA, derive, books_independent=False
    )


def order_frames(batches: Iterable[MboBatch]) -> Iterator[pl.DataFrame]:
    """Frames of `ORDERS_SCHEMA`, none of them empty."""
    engine, queues = BookEngine(deltas=True), OrderQueues(lives=True)
    for rows in _fold_queues(batches, engine, queues):
        if len(rows.lives):
            yield _lives_frame(rows.lives, book_keys(engine))
    alive = queues.alive()
    if len(alive):
        yield _lives_frame(alive, book_keys(engine))


def position_frames(batches: Iterable[MboBatch], order_id: int) -> Iterator[pl.DataFrame]:
    """Frames of `QUEUE_SCHEMA`, none of them empty."""
    engine, queues = BookEngine(deltas=True), OrderQueues(watched_id=order_id)
    for rows in _fold_queues(batches, engine, queues):
        if len(rows.positions):
            yield _positions_frame(rows.positions, book_keys(engine))


def _fold_queues(
    batches: Iterable[MboBatch], engine: BookEngine, queues: OrderQueues
) -> Iterator[QueueResult]:
    for piece in fold_pieces(batches, deltas=True, engine=engine):
        yield queues.fold(piece.batch, piece.deltas, engine)


def _lives_frame(rows: NDArray[np.int64], keys: NDArray[np.int64]) -> pl.DataFrame:
    words = rows.T.copy()
    never_filled = words[LifeRow.FILL_AHEAD_ORDERS] < 0
    end = words[LifeRow.END]
    columns = {
        "ts_start": to_datetimes(words[LifeRow.TS_EVENT]),
        "ts_end": to_datetimes(words[LifeRow.END_TS_EVENT]),
        "ts_recv_start": to_datetimes(words[LifeRow.TS_RECV]),
        "ts_recv_end": to_datetimes(words[LifeRow.END_TS_RECV]),
        "price_start": words[LifeRow.FIRST_PRICE],
        "price_end": words[LifeRow.PRICE],
        "size_start": words[LifeRow.FIRST_SIZE],
        "added": words[LifeRow.ADDED],
        "filled": words[LifeRow.FILLED],
        "cancelled": words[LifeRow.CANCELLED],
        "left": words[LifeRow.SIZE],
        "modifies": words[LifeRow.MODIFIES],
        "requeues": words[LifeRow.REQUEUES],
        "ahead_orders": words[LifeRow.AHEAD_ORDERS],
        "ahead_size": words[LifeRow.AHEAD_SIZE],
        "ts_first_fill": to_datetimes(words[LifeRow.FILL_TS_EVENT]),
        "fill_ahead_orders": null_where(words[LifeRow.FILL_AHEAD_ORDERS], never_filled),
        "fill_ahead_size": null_where(words[LifeRow.FILL_AHEAD_SIZE], never_filled),
        "end": category_series("end", end.astype(np.uint8), ORDER_END_TYPE),
        "left_censored": words[LifeRow.LEFT_CENSORED] != 0,
        "right_censored": (end == LifeEnd.ALIVE) | (end == LifeEnd.CLEARED),
    }
    return pl.DataFrame(
        {
            **key_columns(keys[words[LifeRow.BOOK]]),
            "order_id": words[LifeRow.ORDER_ID].view(np.uint64),
            "side": side_series(words[LifeRow.SIDE]),
            **columns,
            PRIORITY: _priority_series(keys, words[LifeRow.BOOK]),
        }
    )


def _positions_frame(rows: NDArray[np.int64], keys: NDArray[np.int64]) -> pl.DataFrame:
    words = rows.T.copy()
    ended = words[QueuePosition.AHEAD_ORDERS] < 0
    queue = {
        word.name.lower(): null_where(words[word], ended)
        for word in list(QueuePosition)[QueuePosition.AHEAD_ORDERS :]
    }
    return pl.DataFrame(
        {
            "ts_event": to_datetimes(words[QueuePosition.TS_EVENT]),
            "ts_recv": to_datetimes(words[QueuePosition.TS_RECV]),
            "sequence": words[QueuePosition.SEQUENCE].astype(np.uint32),
            **key_columns(keys[words[QueuePosition.BOOK]]),
            "side": side_series(words[QueuePosition.SIDE]),
            "price": words[QueuePosition.PRICE],
            "size": words[QueuePosition.SIZE],
            **queue,
            PRIORITY: _priority_series(keys, words[QueuePosition.BOOK]),
        }
    )


def _priority_series(keys: NDArray[np.int64], books: NDArray[np.int64]) -> pl.Series:
    """The priority in some books, given the key of every book, as their publishers tell."""
    is_fifo = np.isin(keys >> 32, FIFO_PUBLISHERS)
    codes = np.where(is_fifo, _FIFO, _UNKNOWN).astype(np.uint8)
    return category_series(PRIORITY, codes[books], PRIORITY_TYPE)


_FIFO, _UNKNOWN = (list(Priority).index(code) for code in (Priority.FIFO, Priority.UNKNOWN))
