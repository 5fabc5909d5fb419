"""The simulated market as a venue without modifies tells it: what happens to displayed orders.

The rule: it knows no format and shares nothing with a decoder. An order that changes its price or
grows is replaced by another with a new number; a fill takes its shares at once. Prices are those of
instruments whose tick has four decimals.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from batonics.model.mbo import Action, Flag, MboBatch, Side, records_from_batch
from batonics.sim.market import Market

FOUR_DECIMALS = 3
"""So many instruments of a market have ticks of four decimals: 0.01, 0.25 and 0.005."""


class VenueOp(NamedTuple):
    """One thing that happens to an order.

    Attributes:
        kind: add, execute, reduce, delete or replace.
        instrument: its number, from 0 on.
        time_ns: when, since the epoch.
        order: the number of the order.
        side: B or S.
        price_1e4: its price; of a replace the new one.
        size: shares that are added or taken away; of a delete all that is left.
        replaced: of a replace, the number of the order that goes.
        event: the number of the event of the simulator, which may be several of these.
    """

    kind: str
    instrument: int
    time_ns: int
    order: int
    side: str
    price_1e4: int
    size: int
    replaced: int = 0
    event: int = 0


class VenueOrders:
    """Turns the records of a market into operations.

    Args:
        market: a market of at most FOUR_DECIMALS instruments, without recoveries.

    Attributes:
        own: by the number of a live order, its id in the market.
        events: events of the market so far.
    """

    def __init__(self, market: Market) -> None:
        assert len(market.instrument_ids) <= FOUR_DECIMALS
        self._numbers = {int(key): at for at, key in enumerate(market.instrument_ids)}
        self._live: dict[int, tuple[int, str, int, int]] = {}  # by id: number, side, price, size
        self._filled: set[int] = set()
        self._next = 1
        self.events = 0

    @property
    def own(self) -> dict[int, int]:
        return {number: order_id for order_id, (number, *_) in self._live.items()}

    def ops(self, batch: MboBatch) -> Iterator[VenueOp]:
        """The operations of a batch of whole events."""
        for record in records_from_batch(batch):
            op = self._op(record)
            if op is not None:
                yield op
            if int(record["flags"]) & Flag.LAST:
                self.events += 1
                self._filled.clear()

    def _op(self, record: np.void) -> VenueOp | None:
        action, order_id = int(record["action"]), int(record["order_id"])
        size, time_ns = int(record["size"]), int(record["ts_recv"])
        number = self._numbers[int(record["instrument_id"])]
        price_1e4, rest = divmod(int(record["price"]), 100_000)
        if action in (Action.CLEAR, Action.TRADE):
            return None
        assert rest == 0
        if action == Action.ADD:
            side = "B" if record["side"] == Side.BID else "S"
            order, self._next = self._next, self._next + 1
            self._live[order_id] = order, side, price_1e4, size
            return VenueOp("add", number, time_ns, order, side, price_1e4, size, 0, self.events)
        order, side, old_price, old_size = self._live[order_id]
        if order_id in self._filled:  # what settles a fill
            assert action in (Action.CANCEL, Action.MODIFY)
            assert old_size == (0 if action == Action.CANCEL else size)
            if action == Action.CANCEL:
                del self._live[order_id]
            return None
        if action == Action.FILL:
            self._filled.add(order_id)
            self._live[order_id] = order, side, old_price, old_size - size
            return VenueOp("execute", number, time_ns, order, side, old_price, size, 0, self.events)
        if action == Action.CANCEL or (price_1e4 == old_price and size < old_size):
            taken = size if action == Action.CANCEL else old_size - size
            kind = "delete" if taken == old_size else "reduce"
            self._live[order_id] = order, side, old_price, old_size - taken
            if kind == "delete":
                del self._live[order_id]
            return VenueOp(kind, number, time_ns, order, side, old_price, taken, 0, self.events)
        assert action == Action.MODIFY
        replaced, order, self._next = order, self._next, self._next + 1
        self._live[order_id] = order, side, price_1e4, size
        return VenueOp(
            "replace", number, time_ns, order, side, price_1e4, size, replaced, self.events
        )
