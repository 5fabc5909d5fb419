"""Where live orders come from: when each was added, when it took its place, what was filled of it.

The rule here: the records before a moment are read backwards until each order's newest A is found,
and no further than a number of records. What is not found by then is not known, and never guessed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from batonics.history import record_file
from batonics.history.record_file import RecordFile
from batonics.model.mbo import (
    ACTION_ADD,
    ACTION_CANCEL,
    ACTION_FILL,
    ACTION_MODIFY,
    ACTION_MODIFY_PARTIAL,
    F_LAST,
    F_SNAPSHOT,
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
)

_ACTIONS = [ACTION_ADD, ACTION_CANCEL, ACTION_FILL, ACTION_MODIFY, ACTION_MODIFY_PARTIAL]


class OrderOrigin(NamedTuple):
    """What the records say of a live order.

    Attributes:
        added_ns: `ts_recv` of its A; None: it is older than the records that were read.
        placed_ns: `ts_recv` of the record that sent it to the back of its queue last (rule 10);
            None: not known.
        first_size: its size in that A; None: not known.
        filled: the size of its fills (F) among the records that were read.
        is_from_snapshot: the A is one of a snapshot, so the order is older.
    """

    added_ns: int | None = None
    placed_ns: int | None = None
    first_size: int | None = None
    filled: int = 0
    is_from_snapshot: bool = False

    @property
    def is_refilled(self) -> bool:
        """Whether at least its first size was filled: as it still stands, it was refilled."""
        return self.first_size is not None and self.filled >= self.first_size > 0


class _OrderRecord(NamedTuple):
    """What a record says of an order."""

    action: int
    price: int
    size: int
    flags: int
    ts_recv: int


class Origins(NamedTuple):
    """The origins of orders.

    Attributes:
        orders: by order id.
        first_record: the number of the first record that was looked at.
    """

    orders: dict[int, OrderOrigin]
    first_record: int


def find_origins(
    records: RecordFile, key: int, order_ids: Collection[int], last: int, records_max: int
) -> Origins:
    """The origins of live orders.

    Args:
        records: the records.
        key: the key of their book.
        order_ids: the orders.
        last: the number of the record after the last one that counts.
        records_max: the records of the stream that are read at most.
    """
    found: dict[int, list[_OrderRecord]] = {order_id: [] for order_id in order_ids}
    open_ids, first, event_ended = set(found), last, False
    for batch, _ in records.read_back(last, (key,)):
        if not open_ids or last - first >= records_max:
            break
        first = max(0, first - record_file.READ_RECORDS)
        wanted = np.fromiter(open_ids, np.uint64, len(open_ids))
        is_wanted = np.isin(batch.order_id, wanted) & np.isin(batch.action, _ACTIONS)
        if not event_ended:  # the book does not have records of an event that goes on (rule 5)
            ends = np.flatnonzero(batch.flags & F_LAST)
            event_ended = len(ends) > 0
            is_wanted[ends[-1] + 1 if event_ended else 0 :] = False
        for row in np.flatnonzero(is_wanted)[::-1].tolist():
            order_id, action = int(batch.order_id[row]), int(batch.action[row])
            if order_id not in open_ids:
                continue
            values = batch.price[row], batch.size[row], batch.flags[row], batch.ts_recv[row]
            found[order_id].append(_OrderRecord(action, *map(int, values)))
            if action == ACTION_ADD:
                open_ids.remove(order_id)
    return Origins({one: _replay(rows[::-1]) for one, rows in found.items()}, first)


def _replay(rows: list[_OrderRecord]) -> OrderOrigin:
    """The origin of an order by its records in their order."""
    origin = OrderOrigin()
    price: int | None = None
    size: int | None = None
    for row in rows:
        if row.action == ACTION_ADD:
            is_from_snapshot = bool(row.flags & F_SNAPSHOT)
            origin = OrderOrigin(row.ts_recv, row.ts_recv, row.size, 0, is_from_snapshot)
            price, size = row.price, row.size
        elif row.action == ACTION_FILL:
            origin = origin._replace(filled=origin.filled + row.size)
        elif row.action == ACTION_CANCEL:
            size = None if size is None else size - row.size
        else:
            new_price = price if row.price == UNDEF_PRICE else row.price
            new_size = size if row.size == UNDEF_ORDER_SIZE else row.size
            if price is None or size is None or new_price is None or new_size is None:
                origin = origin._replace(placed_ns=None)
            elif new_price != price or new_size > size:
                origin = origin._replace(placed_ns=row.ts_recv)
            price, size = new_price, new_size
    return origin
