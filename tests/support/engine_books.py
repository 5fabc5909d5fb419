"""What an engine holds, in an order that does not depend on when its books began."""

from __future__ import annotations

from batonics.book.engine import BookEngine


def engine_orders(engine: BookEngine) -> list[tuple[object, ...]]:
    """Every order in its place, books by key; priorities by rank."""
    keys, orders = engine.keys(), engine.orders()
    rows = zip(
        orders.book.tolist(), orders.side.tolist(), orders.price.tolist(),
        orders.order_id.tolist(), orders.size.tolist(), strict=True,
    )  # fmt: skip
    by_book = [(keys[book], *rest) for book, *rest in rows]
    return sorted(by_book, key=lambda row: row[0])


def engine_levels(engine: BookEngine) -> list[tuple[object, ...]]:
    """Every level, books by key."""
    keys, levels = engine.keys(), engine.levels()
    rows = zip(*(column.tolist() for column in levels), strict=True)
    return sorted((keys[book], *rest) for book, *rest in rows)
