"""Two derivations of one book, held against each other.

The rule here: what only one of the two has is a difference too, and everything is compared: of a
level its size and count, of an order its side, price, size and its place in the queue.
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
"""The end of a column's name where it has what the witness says."""


def find_differences(
    engine: pl.DataFrame, witness: pl.DataFrame, names: Sequence[str], values: Sequence[str]
) -> pl.DataFrame:
    """The rows that differ, sorted by `names`.

    Args:
        engine: has the columns of names and values.
        witness: as well.
        names: what makes a row the same row.
        values: what is compared.

    Returns:
        names; values, null where the engine has no such row; and values with the end `OTHER`, null
        where the witness has none.
    """
    theirs = [f"{name}{REFERENCE_SUFFIX}" for name in values]
    differs = pl.any_horizontal(
        pl.col(ours).ne_missing(pl.col(other)) for ours, other in zip(values, theirs, strict=True)
    )
    return (
        engine.lazy()
        .select(*names, *values)
        .join(
            witness.lazy().select(*names, *values),
            on=names,
            how="full",
            coalesce=True,
            suffix=REFERENCE_SUFFIX,
        )
        .filter(differs)
        .sort(names)
        .collect(engine="in-memory")
    )


def engine_levels(engine: BookEngine) -> pl.DataFrame:
    """A row a level: key, side, price, size, count."""
    book, *columns = engine.levels()
    return pl.DataFrame([book_keys(engine)[book], *columns], [*LEVEL_KEYS, *LEVEL_VALUES])


def engine_orders(engine: BookEngine) -> pl.DataFrame:
    """A row a live order: key, order_id, side, price, size, position (0 is first in its queue)."""
    orders = engine.orders()
    columns = [book_keys(engine)[orders.book], orders.order_id, orders.side]
    names = ["key", "order_id", "side", "price", "size"]
    frame = pl.DataFrame([*columns, orders.price, orders.size], names)
    return frame.with_columns(_position(frame))


def engine_books(engine: BookEngine) -> pl.DataFrame:
    """A row a book: key, status."""
    statuses = [status.name.lower() for status in engine.statuses()]
    return pl.DataFrame({"key": book_keys(engine).copy(), "status": statuses}, strict=False)


def reference_orders(witness: DerivedBooks) -> pl.DataFrame:
    """A row a live order, as `engine_orders`."""
    orders = witness.orders().sort("key", "side", "price", "queued")
    return orders.drop("queued").with_columns(_position(orders))


def _position(sorted_orders: pl.DataFrame) -> pl.Series:
    """By row, how many of its level stand before it; the rows of a level are together."""
    level = pl.struct("key", "side", "price")
    row = pl.int_range(pl.len(), dtype=pl.Int64)
    first = pl.when(level.ne_missing(level.shift())).then(row).forward_fill()
    return sorted_orders.select(position=row - first).to_series()
