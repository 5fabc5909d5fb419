"""Rules 11 to 17: what the action and flags of a record mean for its book and its time.

The rule here: kernels have these rules from this file alone. The fold, the queues and the statuses
ask `read_effects` and act on its answer, so they cannot disagree. `model/mbo.py` has rule 16 for
arrays. "rule n" is number n of the market-by-order rules in ARCHITECTURE.md.
"""

from __future__ import annotations

from batonics.book.state import STATUS_STALE, STATUS_SYNCED
from batonics.model.mbo import (
    ACTION_ADD,
    ACTION_CLEAR,
    ACTION_MODIFY,
    ACTION_MODIFY_PARTIAL,
    F_BAD_TS_RECV,
    F_LAST,
    F_MAYBE_BAD_BOOK,
    F_MBP,
    F_SNAPSHOT,
    F_TOB,
)
from batonics.native import inlined

# Effects of a record, as bits.
ENDS_SNAPSHOT = 1
"""The open snapshot of the book ended with the record before, and with it an event (rule 14)."""
OPENS_SNAPSHOT = 2
"""The record is the first of a snapshot (rule 14)."""
KEEPS_SNAPSHOT_OPEN = 4
"""A snapshot is open after the record."""
CLEARS_BOOK = 8
"""Both sides are empty before the record applies (rules 11 and 14)."""
REPLACES_SIDE = 16
"""The record is all there is on its side (rule 13)."""
NAMES_NO_ORDER = 32
"""The record is a top of book or a price level: its id names no order (rules 13 and 15)."""


@inlined
def read_effects(action: int, flags: int, snapshot_open: int) -> int:
    """The effects of a record on its book, apart from what its action does to its order.

    Args:
        action: the code of the record's action.
        flags: the record's flags.
        snapshot_open: 1 if a snapshot of the book is open before the record, else 0.
    """
    effects = 0
    if flags & F_SNAPSHOT:
        if snapshot_open == 0 and (action == ACTION_ADD or action == ACTION_CLEAR):
            # A snapshot without R replaces what was there, as the next day's file does.
            effects |= OPENS_SNAPSHOT | CLEARS_BOOK
            snapshot_open = 1
        if snapshot_open != 0 and flags & F_LAST == 0:
            effects |= KEEPS_SNAPSHOT_OPEN
    elif snapshot_open != 0:
        effects |= ENDS_SNAPSHOT
    if action == ACTION_CLEAR:
        effects |= CLEARS_BOOK
    if flags & (F_TOB | F_MBP):
        effects |= NAMES_NO_ORDER
        if flags & F_MBP == 0 and is_add_or_modify(action):
            effects |= REPLACES_SIDE
    return effects


@inlined
def status_after(status: int, effects: int, flags: int) -> int:
    """The status of a book after a record, by that before it (rules 11, 14 and 17)."""
    if flags & F_MAYBE_BAD_BOOK:  # also with R: what follows may be missing
        return STATUS_STALE
    return STATUS_SYNCED if effects & CLEARS_BOOK else status


@inlined
def is_add_or_modify(action: int) -> bool:
    """Whether an action gives a price and a size to an order."""
    return action == ACTION_ADD or action == ACTION_MODIFY or action == ACTION_MODIFY_PARTIAL


@inlined
def has_trusted_time(flags: int) -> bool:
    """Whether the `ts_recv` of a record orders it (rule 16), if it is defined.

    The time of a snapshot's record is the snapshot's own: it is trusted despite F_BAD_TS_RECV.
    """
    return flags & (F_SNAPSHOT | F_BAD_TS_RECV) != F_BAD_TS_RECV
