"""What the columns of MBO records may lack: whole columns, and values."""

from __future__ import annotations

from typing import NamedTuple

from batonics.model.mbo import NO_CHANNEL, UNDEF_ORDER_SIZE, UNDEF_PRICE, UNDEF_TIMESTAMP

OPTIONAL_DEFAULTS = {"channel_id": NO_CHANNEL, "ts_in_delta": 0}
"""Columns that books do not depend on, and the values used where a table lacks them."""
NULL_VALUES = {
    "ts_recv": UNDEF_TIMESTAMP,
    "ts_event": UNDEF_TIMESTAMP,
    "price": UNDEF_PRICE,
    "size": UNDEF_ORDER_SIZE,
}
"""By column: what a null stands for (rule 19). Other columns have none."""


class TableNotes(NamedTuple):
    """What a user has to know of a table, in words.

    Attributes:
        losses: what of its values was lost before they were read.
        remarks: what else is unusual.
    """

    losses: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


NO_NOTES = TableNotes()
"""Nothing is unusual, or it is no table."""
