"""The state of each order after each of its records, by sorting and shifting.

The rule here: the records of an order are adjacent and in stream order, and every property is a
column over them:

- **size**: the size that the last record with a size has set, less the cancels since then.
- **life**: it begins with a record that inserts an order where there is none (A, M, or a partial
  modify with all fields), and ends when the size reaches 0. Later records change nothing until one
  inserts again. A record that inserts replaces or continues a life, so lives do not overlap.
- **side** (rule 12): an M keeps the side of a live order, and sets its own on an order that is not
  live. With two sides, each M either keeps any side or always sets its own. So the side is the last
  one that was set.
- **clears** (rules 11, 13, 14): an order is dead if its side has been cleared since its life began.
  Clears are counted by book and side backwards from the end, so an order that lives at the end has
  no clear after it.
- **queue** (rule 10): the last record at which the order was new, moved or grew.
"""

from __future__ import annotations

import polars as pl

BID_CLEARS, ASK_CLEARS = "bid", "ask"

ORDER_RECORDS_SCHEMA = pl.Schema(
    {
        "key": pl.Int64(),  # publisher_id << 32 | instrument_id (rule 1)
        "order_id": pl.UInt64(),
        "row": pl.Int64(),  # the record's number in the stream
        "side": pl.Int64(),  # 0 bid, 1 ask; null: no side
        "price": pl.Int64(),  # null: no price, or a C
        "size": pl.Int64(),  # null: no size, or a C
        "taken": pl.Int64(),  # the size of a C, else 0
        "adds": pl.Boolean(),  # the record is an A
        "inserts": pl.Boolean(),  # the record makes an order where there is none
        BID_CLEARS: pl.Int64(),  # the number of clears of that side of the book after the row
        ASK_CLEARS: pl.Int64(),
    }
)
"""Records that may change an order."""

LIVE_ORDERS_SCHEMA = pl.Schema(
    {
        "key": pl.Int64(),
        "order_id": pl.UInt64(),
        "side": pl.Int64(),
        "price": pl.Int64(),
        "size": pl.Int64(),
        "queued": pl.Int64(),  # the row of the record that put it at the back of its level
    }
)
"""Live orders, sorted by key and order_id."""


def live_orders(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The orders that live after rows of `ORDER_RECORDS_SCHEMA`, given in stream order."""
    return (
        rows.sort("key", "order_id", maintain_order=True)
        .pipe(_add_sizes)
        .pipe(_add_sides)
        .pipe(_add_queues)
        .filter("is_alive")
        .select(list(LIVE_ORDERS_SCHEMA))
    )


def order_records(orders: pl.LazyFrame) -> pl.LazyFrame:
    """Live orders as records that add them again. The frame has the columns bid and ask."""
    yes = pl.lit(value=True)
    return (
        orders.rename({"queued": "row"})
        .with_columns(taken=pl.lit(0, pl.Int64), adds=yes, inserts=yes)
        .select(list(ORDER_RECORDS_SCHEMA))
    )


def _add_sizes(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Add is_new (the first row of its order), left (its size) and has_size, without clears."""
    is_new = (pl.col("key") != pl.col("key").shift()) | (
        pl.col("order_id") != pl.col("order_id").shift()
    )
    row, is_first = pl.int_range(pl.len()), pl.col("is_new")
    sets_size = pl.col("size").is_not_null() | is_first
    # A first row that sets no size, or does not insert, is about an order that does not exist.
    size = pl.coalesce("size", pl.when(is_first).then(0))
    ends = (pl.col("left") <= 0) | (is_first & ~pl.col("inserts"))
    begun = pl.when(is_first | pl.col("inserts")).then(row).forward_fill()
    ended = pl.when(ends).then(row).forward_fill()
    return (
        rows.with_columns(pl.col("taken").cum_sum(), is_new=is_new.fill_null(value=True))
        .with_columns(
            left=(size + pl.when(sets_size).then("taken")).forward_fill() - pl.col("taken"),
        )
        .with_columns(has_size=(ended < begun).fill_null(value=True))
    )


def _add_sides(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Make side the side of the order; add born, the count of clears when its life began."""
    sides = [(0, BID_CLEARS, ASK_CLEARS), (1, ASK_CLEARS, BID_CLEARS)]
    had_size = ~pl.col("is_new") & pl.col("has_size").shift()
    # An M keeps the side of a live order. Only one on the other side makes a difference.
    other_cleared = pl.any_horizontal(
        (pl.col("side") == side) & (pl.col(other) != pl.col(f"{other}_before"))
        for side, _, other in sides
    )
    sets_side = pl.col("inserts") & (pl.col("adds") | ~had_size | other_cleared)
    before = (
        pl.when("inserts").then(name).forward_fill().shift().alias(f"{name}_before")
        for _, name, _ in sides
    )
    return (
        rows.with_columns(before)
        .with_columns(side=pl.when(sets_side).then("side").forward_fill())
        .with_columns(born=pl.when("inserts").then(_clears_after(pl.col("side"))).forward_fill())
    )


def _add_queues(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Make size the remaining size; add queued and is_alive (whether it lives at the end)."""
    side, born = pl.col("side").shift(), pl.col("born").shift()
    known = ~pl.col("is_new") & pl.col("has_size").shift() & (born == _clears_after(side))
    in_place = (pl.col("price") == pl.col("price").shift()) & (
        pl.col("left") <= pl.col("left").shift()
    )
    requeued = pl.col("adds") | ~known | ~in_place
    is_last = pl.col("is_new").shift(-1, fill_value=True)
    return rows.with_columns(pl.col("price").forward_fill()).with_columns(
        size="left",
        queued=pl.when(requeued).then("row").forward_fill(),
        is_alive=is_last & pl.col("has_size") & (pl.col("born") == 0),
    )


def _clears_after(side: pl.Expr) -> pl.Expr:
    """The number of clears of that side of the book after the row."""
    return pl.when(side == 0).then(BID_CLEARS).otherwise(ASK_CLEARS)
