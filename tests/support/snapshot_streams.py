"""Streams with snapshots of what is in the book, as a day's file opens with, or of nearly that.

The rule here: without changes, a snapshot has every order of the book under its id, by level in
priority order. With changes it is what a feed has after a gap: orders are gone, shrunk, grown,
moved, new, swapped, or on the other side. It comes with or without its R and its closing record.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator

from batonics.model.mbo import UNDEF_PRICE, Action, Flag, MboBatch, Side
from tests.support.reference_books import Key, Record, ReferenceBooks, records
from tests.support.streams import START_NS, TICK_1E9, batch_of, random_stream

SNAPSHOT = int(Flag.SNAPSHOT | Flag.BAD_TS_RECV)
SIDES = (int(Side.BID), int(Side.ASK))
UNKNOWN_ID = 10**9


def snapshot_stream(
    seed: int, rows: int, *, share: float = 0.01, changed: float = 0.5, books: int = 2
) -> MboBatch:
    """A random stream with snapshots of its books.

    Args:
        seed: of the random numbers.
        rows: the number of other records.
        share: the share of records after which a snapshot of their book comes.
        changed: the share of snapshots that are changed.
        books: the number of books.
    """
    rng = np.random.default_rng(seed)
    batch = random_stream(
        seed, rows, books=books, tob_books=0, ids=40, ticks=4, clear_share=0.001, snapshot_share=0
    )
    batch.action[rng.random(rows) < 0.15] = Action.FILL
    reference, out = ReferenceBooks(), []
    for record in records(batch):
        reference.apply(record)
        out.append(record)
        if record.flags & Flag.LAST and rng.random() < share:
            for row in _snapshot(rng, reference, record, changed):
                reference.apply(row)
                out.append(row)
    return batch_of(out)


def _snapshot(
    rng: Generator, reference: ReferenceBooks, last: Record, changed: float
) -> Iterator[Record]:
    """The snapshot of a record's book."""
    orders = _orders(reference, (last.publisher_id, last.instrument_id))
    if rng.random() < changed:
        orders = _change(rng, orders)
    rows = [
        last._replace(
            action=int(Action.ADD), order_id=order_id, side=side, price=price, size=size,
            ts_event=START_NS - 3_600 * 10**9, flags=SNAPSHOT,
        )
        for side, price, order_id, size in orders
    ]  # fmt: skip
    if rng.random() < 0.7 or not rows:
        clear = {"action": int(Action.CLEAR), "side": int(Side.NONE), "order_id": 0}
        rows.insert(0, last._replace(**clear, price=UNDEF_PRICE, size=0, flags=SNAPSHOT))
    if rng.random() < 0.7:
        rows[-1] = rows[-1]._replace(flags=SNAPSHOT | int(Flag.LAST))
    yield from rows


def _orders(reference: ReferenceBooks, key: Key) -> list[tuple[int, int, int, int]]:
    """Side, price, id and size of the orders of a book, by level in priority order."""
    return [
        (side, price, order_id, size)
        for side in SIDES
        for price, _, _, level in reference.levels(key, side)
        for order_id, size in level
    ]


def _change(
    rng: Generator, orders: list[tuple[int, int, int, int]]
) -> list[tuple[int, int, int, int]]:
    """A few of the orders are not what the book has."""
    changed = []
    for side, price, order_id, size in orders:
        kind = rng.integers(0, 40)
        if kind == 0:
            continue
        row = {
            1: (side, price, order_id, max(size - 1, 1)),
            2: (side, price, order_id, size + 1),
            3: (side, price + TICK_1E9 if price < TICK_1E9 else 0, order_id, size),
            4: (SIDES[side == SIDES[0]], price, order_id, size),
            5: (side, price, UNKNOWN_ID + order_id % 1_000, size),
        }.get(int(kind), (side, price, order_id, size))
        changed.append((row[0], row[1], row[2] % 2**64, min(row[3], 2**32 - 2)))
        if kind == 6 and len(changed) > 1:
            changed[-2:] = changed[-1], changed[-2]
        if kind == 7:  # its id twice: the second replaces the first
            changed.append(changed[-1])
    return changed
