"""Books in the shape in which JSON and the reference can be compared.

The rule: everything is compared, down to each order in its queue.
"""

from __future__ import annotations

from typing import Any

from batonics.model.mbo import Side
from tests.support.reference_books import Key, ReferenceBooks

Row = tuple[int, int, int, list[list[int]]]
"""Price in 1e-9, size, count, and [order_id, size] of each order in priority order."""
BookRows = tuple[list[Row], list[Row], str, dict[str, int], int, bool]
"""Bids, asks, status, anomalies, events, whether an event is open."""


def book_rows(book: dict[str, Any], side: str) -> list[Row]:
    """One side of a book of JSON (made with --orders)."""
    return [
        (
            row["price_1e9"],
            row["size"],
            row["count"],
            [[int(order["order_id"]), order["size"]] for order in row["orders"]],
        )
        for row in book[side]
    ]


def reference_book_rows(reference: ReferenceBooks) -> dict[Key, BookRows]:
    """Every book of an reference."""
    return {
        key: (
            _rows(reference, key, Side.BID),
            _rows(reference, key, Side.ASK),
            reference.status(key),
            reference.anomalies(key),
            reference.events(key),
            reference.event_open(key),
        )
        for key in reference.books()
    }


def _rows(reference: ReferenceBooks, key: Key, side: int) -> list[Row]:
    return [
        (price, size, count, [list(order) for order in queue])
        for price, size, count, queue in reference.levels(key, side)
    ]
