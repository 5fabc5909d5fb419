"""The differences between the books of the engine and those of the reference.

The rule here: a row that only one of the two has is a difference too. The size and count of levels
are compared, and the side, price, size and queue position of orders.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from batonics.book.engine import BookEngine
from batonics.frames.scan.folding import book_keys
from batonics.reference.books import DerivedBooks

LEVEL_KEYS, LEVEL_VALUES = ["key", "side", "price"], ["size", "count"]
ORDER_KEYS, ORDER_VALUES = ["key", "order_id"], ["side", "price", "size", "position"]
BOOK_KEYS, BOOK_VALUES = ["key"], ["status"]

REFERENCE_SUFFIX = "_witness"
"""The suffix of the columns that have the values of the reference."""


def find_differences(
    engine: pl.DataFrame, reference: pl.DataFrame, keys: Sequence[str], values: Sequence[str]
) -> pl.DataFrame:
    """The rows that differ, sorted by `keys`.

    Args:
        engine: rows of the engine, with the columns of `keys` and `values`.
        reference: rows of the reference, with the same columns.
        keys: names of the columns that identify a row.
        values: names of the columns that are compared.

    Returns:
        The columns `keys`; the columns `values`, null if the engine has no such row; and `values`
        with `REFERENCE_SUFFIX`, null if the reference has no such row.
    """
    reference_values = [f"{name}{REFERENCE_SUFFIX}" for name in values]
    differs = pl.any_horizontal(
        pl.col(value).ne_missing(pl.col(other))
        for value, other in zip(values, reference_values, strict=True)
    )
    return (
        engine.lazy()
        .select(*keys, *values)
        .join(
            reference.lazy().select(*keys, *values),
            on=keys,
            how="full",
            coalesce=True,
            suffix=REFERENCE_SUFFIX,
        )
        .filter(differs)
        .sort(keys)
        .collect(engine="in-memory")
    )


def engine_levels(engine: BookEngine) -> pl.DataFrame:
    """One row for each level: key, side, price, size, count."""
    book, *columns = engine.levels()
    return pl.DataFrame([book_keys(engine)[book], *columns], [*LEVEL_KEYS, *LEVEL_VALUES])


def engine_orders(engine: BookEngine) -> pl.DataFrame:
    """One row for each live order: key, order_id, side, price, size and queue position (from 0)."""
    orders = engine.orders()
    columns = [book_keys(engine)[orders.book], orders.order_id, orders.side]
    names = ["key", "order_id", "side", "price", "size"]
    frame = pl.DataFrame([*columns, orders.price, orders.size], names)
    return frame.with_columns(_position(frame))


def engine_books(engine: BookEngine) -> pl.DataFrame:
    """One row for each book: key, status."""
    statuses = [status.name.lower() for status in engine.statuses()]
    return pl.DataFrame({"key": book_keys(engine).copy(), "status": statuses}, strict=False)


def reference_orders(reference: DerivedBooks) -> pl.DataFrame:
    """One row for each live order, with the columns of `engine_orders`."""
    orders = reference.orders().sort("key", "side", "price", "queued")
    return orders.drop("queued").with_columns(_position(orders))


def _position(sorted_orders: pl.DataFrame) -> pl.Series:
    """By row: the number of orders before it at its level. The rows of a level are adjacent."""
    level = pl.struct("key", "side", "price")
    row = pl.int_range(pl.len(), dtype=pl.Int64)
    first = pl.when(level.ne_missing(level.shift())).then(row).forward_fill()
    return sorted_orders.select(position=row - first).to_series()
