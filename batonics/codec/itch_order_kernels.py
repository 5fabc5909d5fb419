"""The live orders of an ITCH file: a hash table by reference number, with a salted hash.

The rule here: there is room. The decoder makes it before each pass (`itch.py`).

Executions, cancels, deletes and replaces name an order without its side and price, which rows of
MBO have. Reference numbers are unique within a day, whatever the stock. Probing is linear, at a
load of at most one half; erasing an order shifts the following ones back. A slot has 32 bytes, so
that it lies in one cache line.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.hash_kernels import Salt, read_salt, slot_of, spread
from batonics.model.mbo import SIDE_NONE, UNDEF_ORDER_SIZE
from batonics.native import at, inlined, kernel, prefetch

ITCH_SLOT_WORDS = 4
"""Words of a slot."""
_REFERENCE, _PRICE, _SIZE, _OWNER = 0, 1, 2, 3
_FREE = 0
NOT_FOUND = -1
"""In place of the slot of an order that is not in the table."""
NO_PRICE = -1

# Words of the progress of a file.
MESSAGES = 0
"""Messages so far, skipped ones included."""
LIVE_ORDERS = 1
IS_WHOLE = 2
"""1: the file began with Start of Messages."""
HAS_ENDED = 3
"""1: End of Messages has come. 2: a length of 0, too."""
PROGRESS_WORDS = 4


class ItchState(NamedTuple):
    """What is known of a file so far."""

    orders: NDArray[np.int64]  # ITCH_SLOT_WORDS a slot; a power of two of them
    symbols: NDArray[np.uint64]  # (65536,): by stock locate the 8 bytes of the symbol; 0: none yet
    counts: NDArray[np.int64]  # (256,): good messages by type
    progress: NDArray[np.int64]  # (PROGRESS_WORDS,)
    salt: NDArray[np.uint64]  # of the orders (`hash_salt`)


class Slots(NamedTuple):
    """The size and the salt of the table of orders."""

    mask: int
    shift: int
    salt: Salt


class ItchOrder(NamedTuple):
    """A live order, or what stands for one that is not in the table."""

    base: int  # of its slot, or NOT_FOUND
    locate: int
    side: int
    price: int  # of ITCH, or NO_PRICE
    size: int


@inlined
def slots_of(orders: NDArray[np.int64], salt_words: NDArray[np.uint64]) -> Slots:
    """The size and the salt of a table of orders."""
    mask = len(orders) // ITCH_SLOT_WORDS - 1
    bits = 0
    while mask >> bits:
        bits += 1
    return Slots(mask, 64 - bits, read_salt(salt_words))


@inlined
def _home(reference: int, slots: Slots) -> int:
    """The slot where the search for an order begins."""
    return slot_of(spread(reference, 0, slots.salt), slots.shift)


@inlined
def prefetch_order(orders: NDArray[np.int64], slots: Slots, reference: int) -> None:
    """Load the slot of an order ahead of its use."""
    prefetch(orders, _home(reference, slots) * ITCH_SLOT_WORDS)


@inlined
def _find(orders: NDArray[np.int64], slots: Slots, reference: int) -> int:
    """The base of an order; where it is not in the table, ~base of the free slot for it."""
    slot = _home(reference, slots)
    while True:
        base = slot * ITCH_SLOT_WORDS
        if orders[at(base + _OWNER)] == _FREE:
            return ~base
        if orders[at(base + _REFERENCE)] == reference:
            return base
        slot = (slot + 1) & slots.mask


@inlined
def find_order(state: ItchState, slots: Slots, reference: int, locate: int) -> ItchOrder:
    """The live order of a reference number; of an unknown one only the stock locate is known."""
    base = _find(state.orders, slots, reference)
    if base < 0:
        return ItchOrder(NOT_FOUND, locate, SIDE_NONE, NO_PRICE, UNDEF_ORDER_SIZE)
    price, size = state.orders[at(base + _PRICE)], state.orders[at(base + _SIZE)]
    owner = state.orders[at(base + _OWNER)]
    return ItchOrder(base, owner >> 8, owner & 0xFF, price, size)


@inlined
def insert_order(
    state: ItchState,
    slots: Slots,
    reference: int,
    locate: int,
    side: int,
    price: int,
    size: int,
) -> None:
    """Put an order into the table, in place of another of its reference number."""
    base = _find(state.orders, slots, reference)
    if base < 0:
        base = ~base
        state.progress[LIVE_ORDERS] += 1
    state.orders[at(base + _REFERENCE)] = reference
    state.orders[at(base + _PRICE)] = price
    state.orders[at(base + _SIZE)] = size
    state.orders[at(base + _OWNER)] = locate << 8 | side


@inlined
def reduce_order(state: ItchState, slots: Slots, order: ItchOrder, size: int) -> None:
    """Take shares from an order, which leaves the table at none."""
    if order.base == NOT_FOUND:
        return
    if size < order.size:
        state.orders[at(order.base + _SIZE)] = order.size - size
    else:
        _erase(state.orders, slots, order.base)
        state.progress[LIVE_ORDERS] -= 1


@inlined
def _erase(orders: NDArray[np.int64], slots: Slots, base: int) -> None:
    """Free the slot at a base, and shift back those after it that a search would no longer find."""
    hole = base // ITCH_SLOT_WORDS
    slot = hole
    while True:
        slot = (slot + 1) & slots.mask
        word = slot * ITCH_SLOT_WORDS
        if orders[at(word + _OWNER)] == _FREE:
            break
        home = _home(orders[at(word + _REFERENCE)], slots)
        if ((slot - home) & slots.mask) >= ((slot - hole) & slots.mask):
            for field in range(ITCH_SLOT_WORDS):
                orders[at(hole * ITCH_SLOT_WORDS + field)] = orders[at(word + field)]
            hole = slot
    orders[at(hole * ITCH_SLOT_WORDS + _OWNER)] = _FREE


@kernel
def rebuild_orders(
    old: NDArray[np.int64], new: NDArray[np.int64], salt_words: NDArray[np.uint64]
) -> None:
    """Copy the live orders to an empty table."""
    slots = slots_of(new, salt_words)
    for base in range(0, len(old), ITCH_SLOT_WORDS):
        if old[base + _OWNER] != _FREE:
            to = ~_find(new, slots, old[base + _REFERENCE])
            for field in range(ITCH_SLOT_WORDS):
                new[to + field] = old[base + field]
