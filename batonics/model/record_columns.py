"""What the columns of MBO records may lack: whole columns, and values."""

from __future__ import annotations

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
