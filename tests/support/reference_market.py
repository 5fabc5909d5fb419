"""Books from records, the slow and plain way: dicts of lists, from the rules and nothing else.

The rule: whatever a record may not do (an id twice, a cancel of more than there is, a cross after
F_LAST) fails here by an assertion.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from batonics.model.mbo import UNDEF_PRICE, Flag, MboBatch, concat_batches, slice_batch
from batonics.sim.market import Market

SNAPSHOT_FLAGS = Flag.SNAPSHOT | Flag.BAD_TS_RECV


class ReferenceMarketBook:
    """Books from records: `levels[side][price]` is a queue of order ids, `orders` their facts."""

    def __init__(self) -> None:
        self.orders: dict[int, tuple[str, int, int]] = {}
        self.levels: dict[str, dict[int, list[int]]] = {"B": {}, "A": {}}

    def add(self, order_id: int, side: str, price: int, size: int) -> None:
        assert order_id not in self.orders
        assert size > 0
        assert 0 < price < UNDEF_PRICE
        self.orders[order_id] = (side, price, size)
        self.levels[side].setdefault(price, []).append(order_id)

    def remove(self, order_id: int) -> None:
        side, price, _ = self.orders.pop(order_id)
        queue = self.levels[side][price]
        queue.remove(order_id)
        if not queue:
            del self.levels[side][price]

    def cancel(self, order_id: int, side: str, price: int, size: int) -> None:
        was_side, was_price, was_size = self.orders[order_id]
        assert (side, price) == (was_side, was_price)
        assert 0 < size <= was_size
        if size == was_size:
            self.remove(order_id)
        else:
            self.orders[order_id] = (side, price, was_size - size)

    def modify(self, order_id: int, side: str, price: int, size: int) -> None:
        was_side, was_price, was_size = self.orders[order_id]
        assert side == was_side
        assert (price, size) != (was_price, was_size)
        if price == was_price and size < was_size:
            self.orders[order_id] = (side, price, size)
        else:
            self.remove(order_id)
            self.add(order_id, side, price, size)

    def fill(self, order_id: int, side: str, price: int, size: int) -> None:
        was_side, was_price, was_size = self.orders[order_id]
        assert (side, price) == (was_side, was_price)
        assert 0 < size <= was_size

    def is_crossed_or_locked(self) -> bool:
        bids, asks = self.levels["B"], self.levels["A"]
        return bool(bids) and bool(asks) and max(bids) >= min(asks)

    def book(self) -> dict[str, list[tuple[int, int, list[tuple[int, int]]]]]:
        def side(name: str, *, best_high: bool) -> list[tuple[int, int, list[tuple[int, int]]]]:
            rows = []
            for price in sorted(self.levels[name], reverse=best_high):
                queue = [(i, self.orders[i][2]) for i in self.levels[name][price]]
                rows.append((price, sum(size for _, size in queue), queue))
            return rows

        return {"bids": side("B", best_high=True), "asks": side("A", best_high=False)}


def stream(market: Market, records: int, batch_rows: int = 65_536) -> MboBatch:
    return concat_batches(list(market.batches(records, batch_rows)))


def live_part(market: Market, records: int) -> MboBatch:
    stream(market, market.opening_records)
    return stream(market, records)


def rows_of(batch: MboBatch) -> Iterator[tuple[int, str, str, int, int, int, int]]:
    """(instrument_id, action, side, order_id, price, size, flags) of each record."""
    return zip(
        batch.instrument_id.tolist(),
        batch.action.tobytes().decode(),
        batch.side.tobytes().decode(),
        batch.order_id.tolist(),
        batch.price.tolist(),
        batch.size.tolist(),
        batch.flags.tolist(),
        strict=True,
    )


def reference_market_books(batch: MboBatch) -> dict[int, ReferenceMarketBook]:
    books: dict[int, ReferenceMarketBook] = {}
    for instrument_id, action, side, order_id, price, size, flags in rows_of(batch):
        if action == "R":
            assert (order_id, price, size, side) == (0, UNDEF_PRICE, 0, "N")
            books[instrument_id] = ReferenceMarketBook()
            continue
        book = books[instrument_id]
        if action == "T":
            assert order_id == 0
            assert size > 0
        else:
            apply = {"A": book.add, "C": book.cancel, "M": book.modify, "F": book.fill}[action]
            apply(order_id, side, price, size)
        if flags & Flag.LAST:
            assert not book.is_crossed_or_locked()
    return books


def events(batch: MboBatch) -> list[MboBatch]:
    ends = (np.flatnonzero(batch.flags & Flag.LAST) + 1).tolist()
    assert ends[-1] == len(batch.action)
    return [slice_batch(batch, a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
