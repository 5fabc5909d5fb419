"""The life of each order, and where one order stands in its queue.

The rule here: an order's life is what the book says of it (rules 6 to 14), from the record that
put it there to the one that ended it. What only the fills tell, F, is counted beside it; a fill
of an order that the book does not hold is ignored, and so is one without a size.

A size is removed from an order by the C or M after its fill, at some publishers an event later
(rule 6). Until then an order *shows* its size less what fills have taken; queues ahead and behind
are sums of what orders show, and count those that show something.

Times: `ts_start`, `ts_end` and `ts_first_fill` are ts_event, the venue's clock, by which lifetimes
are measured; it may run backwards between records (rule 4), and in a snapshot it is, at some
venues, that of the order's true start. `ts_recv_start` and `ts_recv_end` are the same records'
ts_recv, by which records are in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.queue_state import LifeEnd, LifeRow, QueuePosition
from batonics.book.queues import OrderQueues, QueueResult
from batonics.frames.columns.mbo_frame import BOOK_SIDE_TYPE, TIME_TYPE, null_where, to_datetimes
from batonics.frames.scan.folding import book_keys, fold_pieces, key_columns
from batonics.frames.scan.record_source import record_source
from batonics.frames.scan.sources import BOOK_KEY_SCHEMA
from batonics.model.errors import UsageError
from batonics.model.mbo import MboBatch

ORDER_END_TYPE = pl.Enum([end.name.lower() for end in LifeEnd])

ORDERS_SCHEMA = pl.Schema(
    {
        **BOOK_KEY_SCHEMA,
        "order_id": pl.UInt64(),
        "side": BOOK_SIDE_TYPE,
        "ts_start": TIME_TYPE,
        "ts_end": TIME_TYPE,
        "ts_recv_start": TIME_TYPE,
        "ts_recv_end": TIME_TYPE,
        "price_start": pl.Int64(),
        "price_end": pl.Int64(),
        "size_start": pl.Int64(),
        "added": pl.Int64(),
        "filled": pl.Int64(),
        "cancelled": pl.Int64(),
        "left": pl.Int64(),
        "modifies": pl.Int64(),
        "requeues": pl.Int64(),
        "ahead_orders": pl.Int64(),
        "ahead_size": pl.Int64(),
        "ts_first_fill": TIME_TYPE,
        "fill_ahead_orders": pl.Int64(),
        "fill_ahead_size": pl.Int64(),
        "end": ORDER_END_TYPE,
        "left_censored": pl.Boolean(),
        "right_censored": pl.Boolean(),
    }
)

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
    }
)


def orders_source(records: pl.LazyFrame) -> pl.LazyFrame:
    """A LazyFrame of `ORDERS_SCHEMA`: a row a life, as it ends; those still alive come last.

    An order that left and comes back under its id lives anew. Records of top-of-book publishers
    and of levels (F_TOB, F_MBP) are no orders and no fills; a book's order ids are its own.

    Columns:
        publisher_id (UInt16), instrument_id (UInt32), order_id (UInt64), side (Enum B, A).
        ts_start, ts_end, ts_recv_start, ts_recv_end (Datetime ns UTC): of the record that put it
            into the book and of the one that ended it; null where undefined. Ends: null if alive.
        price_start, price_end (Int64 of 1e-9): at the start and the end.
        size_start (Int64): at the start.
        added (Int64): `size_start`, and all by which modifies made it larger than its fills had
            left it, as an iceberg's refill does, and what was filled beyond all that it showed.
        filled (Int64): the sum of its F, also of those as the aggressor (a modify that crosses).
        cancelled (Int64): what was removed, by C or M, and not filled.
        left (Int64): what it showed at its end: 0 where filled or cancelled.
            Always: filled + cancelled + left = added.
        modifies (Int64): how many M it had, those that changed nothing or removed it included.
        requeues (Int64): how often a modify sent it to the back of a queue (rule 10).
        ahead_orders, ahead_size (Int64): ahead of it at its level when it was put into the book.
        ts_first_fill (Datetime ns UTC): of its first F; null if there was none.
        fill_ahead_orders, fill_ahead_size (Int64): ahead of it at its level just before that.
        end (Enum):
            filled: it left, and fills had taken all that the last record removed;
            cancelled: it left, and they had not;
            cleared: its book or its side was, by R, a snapshot or a top-of-book record;
            replaced: by an A of its id, which begins another life (rule 7);
            alive: it was there when the stream ended.
        left_censored (Boolean): its true start is unknown. It came with a snapshot (F_SNAPSHOT),
            or an M of an id that the book did not hold put it there (rule 9).
        right_censored (Boolean): its true end is unknown: alive or cleared.

    A life is given when it ends, so memory grows with the live orders, not with the records.

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
    """A LazyFrame of `QUEUE_SCHEMA`: where an order stands, after each event that changed that.

    A row for each event of its book (rule 5) after which price, size or what is ahead or behind
    differs from the row before; the last row of a life is that of the event in which it ended. An
    order that comes back under its id has further rows, and so has an order of this id in another
    book.

    Args:
        records: MBO records, in their order.
        order_id: of the order.
        publisher_id: only of this publisher.
        instrument_id: only of this instrument.

    Columns:
        ts_event, ts_recv (Datetime ns UTC), sequence (UInt32): of the event's last record.
        publisher_id (UInt16), instrument_id (UInt32), side (Enum B, A).
        price (Int64 of 1e-9), size (Int64): size is what it shows, and 0 once it has ended.
        ahead_orders, ahead_size, behind_orders, behind_size (Int64): at its level; null once it
            has ended.

    Raises:
        UsageError: the order id is none, or a column is missing or has another dtype.
    """
    if not 0 <= order_id < 2**64:
        raise UsageError(f"order id {order_id}, expected 0 to {2**64 - 1}")
    for name, wanted in (("publisher_id", publisher_id), ("instrument_id", instrument_id)):
        if wanted is not None:
            records = records.filter(pl.col(name) == wanted)

    def make(batches: Iterator[MboBatch]) -> Iterator[pl.DataFrame]:
        return position_frames(batches, order_id)

    return record_source(f"MBO QUEUE {order_id}", records, QUEUE_SCHEMA, make)


def order_frames(batches: Iterable[MboBatch]) -> Iterator[pl.DataFrame]:
    """Frames of `ORDERS_SCHEMA`, none of them empty."""
    engine, queues = BookEngine(deltas=True), OrderQueues(lives=True)
    for rows in _queue_rows(batches, engine, queues):
        if len(rows.lives):
            yield _lives(rows.lives, book_keys(engine))
    alive = queues.alive()
    if len(alive):
        yield _lives(alive, book_keys(engine))


def position_frames(batches: Iterable[MboBatch], order_id: int) -> Iterator[pl.DataFrame]:
    """Frames of `QUEUE_SCHEMA`, none of them empty."""
    engine, queues = BookEngine(deltas=True), OrderQueues(watched_id=order_id)
    for rows in _queue_rows(batches, engine, queues):
        if len(rows.positions):
            yield _positions(rows.positions, book_keys(engine))


def _queue_rows(
    batches: Iterable[MboBatch], engine: BookEngine, queues: OrderQueues
) -> Iterator[QueueResult]:
    for piece in fold_pieces(batches, deltas=True, engine=engine):
        yield queues.fold(piece.batch, piece.deltas, engine)


def _lives(rows: NDArray[np.int64], keys: NDArray[np.int64]) -> pl.DataFrame:
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
        "end": pl.Series(end.astype(np.uint8)).cat.to(ORDER_END_TYPE),
        "left_censored": words[LifeRow.LEFT_CENSORED] != 0,
        "right_censored": (end == LifeEnd.ALIVE) | (end == LifeEnd.CLEARED),
    }
    return pl.DataFrame(
        {
            **key_columns(keys[words[LifeRow.BOOK]]),
            "order_id": words[LifeRow.ORDER_ID].view(np.uint64),
            "side": _side(words[LifeRow.SIDE]),
            **columns,
        }
    )


def _positions(rows: NDArray[np.int64], keys: NDArray[np.int64]) -> pl.DataFrame:
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
            "side": _side(words[QueuePosition.SIDE]),
            "price": words[QueuePosition.PRICE],
            "size": words[QueuePosition.SIZE],
            **queue,
        }
    )


def _side(side: NDArray[np.int64]) -> pl.Series:
    return pl.Series(side.astype(np.uint8)).cat.to(BOOK_SIDE_TYPE)
