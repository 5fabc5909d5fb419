"""Hash tables after keys that somebody chose: which of their slots are taken.

Each function puts keys into the tables of a part of the engine, in a process with a given salt.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.queue_state import QUEUE_LEVEL_WORDS, QueueLevel
from batonics.book.queues import OrderQueues
from batonics.book.state import SLOT_WORDS, Level, Order
from batonics.codec.itch import ItchDecoder
from batonics.codec.itch_order_kernels import ITCH_SLOT_WORDS
from batonics.model.mbo import UNDEF_PRICE, MboBatch, batch_from_records
from batonics.reference.books import DerivedBooks
from batonics.reference.node_kernels import W_CHAIN, W_ORDER_WORDS
from tests.support.growth_streams import plain
from tests.support.itch_files import add, framed, opening
from tests.support.salted_hashes import process_salt

Keys = NDArray[np.uint64]
Salt = NDArray[np.uint64]
Taken = NDArray[np.bool_]
Owners = NDArray[np.int64]

MIXED = ("levels", "books", "levels of queues")
"""Tables whose hash is `mix`."""
OWNERS = {"levels": 1, "levels of queues": 1}
"""The owner of the keys in each table; 0 in all others."""


def adds(order_ids: Keys) -> MboBatch:
    """Orders with these ids, all at one price."""
    records = plain(len(order_ids))
    records["order_id"], records["price"] = order_ids, 10**9
    return batch_from_records(records)


def prices(keys: Keys) -> MboBatch:
    """Bids at these prices; those that are none are left out."""
    found = keys.view(np.int64)
    found = np.sort(found[found != UNDEF_PRICE])  # each is the best one: its run moves nothing
    records = plain(len(found))
    records["order_id"], records["price"] = np.arange(1, len(found) + 1), found
    return batch_from_records(records)


def books(keys: Keys) -> MboBatch:
    """An order in a book of each key; those that are none are left out."""
    keys = keys[keys < 1 << 48]
    records = plain(len(keys))
    records["publisher_id"] = keys >> np.uint64(32)
    records["instrument_id"] = keys & np.uint64(0xFFFFFFFF)
    return batch_from_records(records)


def _folded(batch: MboBatch) -> BookEngine:
    engine = BookEngine()
    engine.fold(batch)
    return engine


def _queues(batch: MboBatch) -> OrderQueues:
    engine, queues = BookEngine(deltas=True), OrderQueues()
    queues.fold(batch, engine.fold(batch).deltas, engine)
    return queues


def orders_owners(keys: Keys) -> Owners:
    """By slot of the engine's orders."""
    return _folded(adds(keys)).state.orders[Order.OWNER :: SLOT_WORDS] + 1


def levels_owners(keys: Keys) -> Owners:
    """By slot of the engine's levels."""
    return _folded(prices(keys)).state.levels[Level.OWNER :: SLOT_WORDS]


def index_owners(keys: Keys) -> Owners:
    """By pair of the engine's index of books."""
    return _folded(books(keys)).state.book_index[1::2]


def queue_ids_owners(keys: Keys) -> Owners:
    """By pair of the queues' order ids."""
    return _queues(adds(keys))._queues.ids[1::2]


def queue_levels_owners(keys: Keys) -> Owners:
    """By slot of the queues' levels."""
    return _queues(prices(keys))._queues.levels[QueueLevel.OWNER :: QUEUE_LEVEL_WORDS]


def itch_orders_owners(keys: Keys) -> Owners:
    """By slot of the live orders of an ITCH file."""
    decoder = ItchDecoder(date(2024, 1, 2))
    messages = [add(1, "AAPL", int(key), "B", 1, 10_000) for key in keys]
    for _ in decoder.feed(b"".join(map(framed, [*opening(), *messages]))):
        pass
    return decoder._state.orders[ITCH_SLOT_WORDS - 1 :: ITCH_SLOT_WORDS]


TABLES: dict[str, Callable[[Keys], Owners]] = {
    "orders": orders_owners,
    "levels": levels_owners,
    "books": index_owners,
    "ids of queues": queue_ids_owners,
    "levels of queues": queue_levels_owners,
    "orders of ITCH": itch_orders_owners,
}
"""By table with linear probing: words that are 0 in its free slots, after some keys."""


def flooded(table: str, keys: Keys, salt: Salt) -> Taken:
    """Which slots of a table are taken after these keys, under a salt."""
    with process_salt(salt):
        taken: Taken = TABLES[table](keys) != 0
    return taken


def longest_chain(keys: Keys, salt: Salt) -> int:
    """The most orders that one bucket of the reference has, after orders with these ids."""
    with process_salt(salt):
        derived = DerivedBooks()
    derived.add(adds(keys))
    orders = derived.witness.orders.reshape(-1, W_ORDER_WORDS)
    buckets = derived.witness.order_buckets
    nodes, length = buckets[buckets != 0], 0
    while len(nodes):
        nodes, length = orders[nodes, W_CHAIN], length + 1
        nodes = nodes[nodes != 0]
    return length
