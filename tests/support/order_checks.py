"""Lives of orders and places in queues, held against their references.

Unit tests run these checks, and so does the suite that kills mutants.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np
import polars as pl

from batonics.book.engine import BookEngine
from batonics.book.queues import OrderQueues
from batonics.frames.columns.books import ORDERS_SCHEMA
from batonics.frames.orders.order_lives import QUEUE_SCHEMA, order_frames, position_frames
from batonics.model.mbo import MboBatch, slice_batch
from tests.support.reference_books import Key, records
from tests.support.reference_orders import (
    Row,
    reference_fill_order,
    reference_lives,
    reference_positions,
)
from tests.support.snapshot_streams import snapshot_stream
from tests.support.streams import random_stream

DEEP = {"ids": 300, "ticks": 8, "clear_share": 0.0005, "snapshot_share": 0, "tob_books": 0}
END_COLUMN = list(ORDERS_SCHEMA).index("end")


def cut(batch: MboBatch, rows: int) -> Iterator[MboBatch]:
    """The batch in pieces of so many rows; 0: whole."""
    step = rows or max(len(batch.action), 1)
    for start in range(0, len(batch.action), step):
        yield slice_batch(batch, start, start + step)


def lives(batch: MboBatch, rows: int = 0) -> pl.DataFrame:
    frames = list(order_frames(cut(batch, rows)))
    return pl.concat(frames) if frames else pl.DataFrame(schema=ORDERS_SCHEMA)


def positions(batch: MboBatch, order_id: int, rows: int = 0) -> pl.DataFrame:
    frames = list(position_frames(cut(batch, rows), order_id))
    return pl.concat(frames) if frames else pl.DataFrame(schema=QUEUE_SCHEMA)


def as_rows(frame: pl.DataFrame) -> list[Row]:
    """Rows with times as integers."""
    times = [name for name, dtype in frame.schema.items() if dtype == pl.Datetime("ns", "UTC")]
    return frame.with_columns(pl.col(times).to_physical(), pl.col(pl.Enum).cast(str)).rows()


def comparable(rows: Sequence[Row]) -> list[Row]:
    """The rows, with those that one record cleared in an order of their own."""
    # By how they ended, book, and both times of the end.
    runs = groupby(rows, lambda row: (row[END_COLUMN], row[0], row[1], row[5], row[7]))
    return [
        row for key, run in runs for row in (sorted(run, key=repr) if key[0] == "cleared" else run)
    ]


def check_order_lives(seed: int) -> None:
    """Lives in a random stream are the reference's."""
    batch = random_stream(seed, 1_500)
    assert comparable(as_rows(lives(batch))) == comparable(reference_lives(records(batch)))


def check_deep_order_lives(seed: int) -> None:
    """Lives in deep queues are the reference's."""
    batch = random_stream(seed, 4_000, books=2, **DEEP)  # type: ignore[arg-type]
    assert comparable(as_rows(lives(batch))) == comparable(reference_lives(records(batch)))


def check_order_lives_over_snapshots(seed: int) -> None:
    """Lives, places and fills out of order are the reference's where snapshots say orders again."""
    batch = snapshot_stream(seed, 2_500)
    expected = reference_lives(records(batch))
    assert comparable(as_rows(lives(batch, 50 * seed))) == comparable(expected)
    assert fill_order(batch, 100) == reference_fill_order(records(batch))
    for order_id in np.unique(batch.order_id)[::9].tolist():
        assert as_rows(positions(batch, order_id)) == list(
            reference_positions(records(batch), order_id)
        )


def check_queue_positions(seed: int) -> None:
    """Positions of every fifth order are the reference's."""
    batch = random_stream(seed, 1_500)
    for order_id in np.unique(batch.order_id)[::5].tolist():
        expected = list(reference_positions(records(batch), order_id))
        assert as_rows(positions(batch, order_id)) == expected


def fill_order(batch: MboBatch, rows: int = 0) -> Mapping[Key, tuple[int, int]]:
    """By book: how often fills kept to their queues."""
    engine, queues = BookEngine(deltas=True), OrderQueues()
    for piece in cut(batch, rows):
        queues.fold(piece, engine.fold(piece).deltas, engine)
    return {key: queues.fill_order(book) for book, key in enumerate(engine.keys())}


def check_fill_order(seed: int) -> None:
    """Fills compared and out of order are the reference's."""
    batch = random_stream(seed, 4_000, books=2, **DEEP)  # type: ignore[arg-type]
    # Many trades of several fills.
    rng = np.random.default_rng(seed)
    batch.action[rng.random(len(batch.action)) < 0.4] = ord("F")
    found = fill_order(batch, 100)
    assert found == reference_fill_order(records(batch))
    assert any(wrong for _, wrong in found.values())
