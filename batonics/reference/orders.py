"""What holds of an order after each of its records: by sort and shift, nothing applied to anything.

The rule here: the records of one order stand together, in stream order, and everything is a column:

- **size**: what the last record that sets one has set, less what cancels have taken since.
- **life**: begins with a record that inserts an order wherever there is none (A, M, and a partial
  modify that leaves nothing out), and is over once the size has come to 0; what else comes then
  changes nothing. Whatever inserts replaces or goes on, so lives do not overlap.
- **side** (rule 12): an M keeps the side of a live order and gives its own to one that is not.
  There are two sides, so each M either keeps whatever side there was or always gives its own: the
  side is the last one that was given.
- **clears** (rules 11, 13, 14): an order is dead once its side has been cleared since its life
  began. Clears are counted by book and side, from the end backwards, so an order that lives to the
  end has none after it.
- **queue** (rule 10): the last record at which the order was not known, or moved, or grew.
"""

from __future__ import annotations

import polars as pl

BID_CLEARS, ASK_CLEARS = "bid", "ask"

ORDER_RECORDS_SCHEMA = pl.Schema(
    {
        "key": pl.Int64(),  # publisher_id << 32 | instrument_id (rule 1)
        "order_id": pl.UInt64(),
        "row": pl.Int64(),  # the record's number in the stream
        "side": pl.Int64(),  # 0 bid, 1 ask; null: none
        "price": pl.Int64(),  # null: none, or a C
        "size": pl.Int64(),  # null: none, or a C
        "taken": pl.Int64(),  # the size of a C, else 0
        "adds": pl.Boolean(),  # an A
        "inserts": pl.Boolean(),  # makes an order where there is none
        BID_CLEARS: pl.Int64(),  # how often that side of the book is cleared after the row
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
        "queued": pl.Int64(),  # the record that sent it to the back of its level
    }
)
"""Live orders, sorted by key and order_id."""


def live_orders(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The orders that live at the end of `ROWS_SCHEMA` rows, which stand in stream order."""
    return (
        rows.sort("key", "order_id", maintain_order=True)
        .pipe(_with_sizes)
        .pipe(_with_sides)
        .pipe(_with_queues)
        .filter("lives_on")
        .select(list(LIVE_ORDERS_SCHEMA))
    )


def order_records(orders: pl.LazyFrame) -> pl.LazyFrame:
    """Live orders as rows that add them again; bid and ask are in the frame."""
    yes = pl.lit(value=True)
    return (
        orders.rename({"queued": "row"})
        .with_columns(taken=pl.lit(0, pl.Int64), adds=yes, inserts=yes)
        .select(list(ORDER_RECORDS_SCHEMA))
    )


def _with_sizes(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Adds is_new (the first row of its order), left (its size), and has_size: clears apart."""
    is_new = (pl.col("key") != pl.col("key").shift()) | (
        pl.col("order_id") != pl.col("order_id").shift()
    )
    row, is_first = pl.int_range(pl.len()), pl.col("is_new")
    sets = pl.col("size").is_not_null() | is_first
    # A first row that sets no size, or inserts nothing, speaks of an order that is not there.
    size = pl.coalesce("size", pl.when(is_first).then(0))
    ends = (pl.col("left") <= 0) | (is_first & ~pl.col("inserts"))
    begun = pl.when(is_first | pl.col("inserts")).then(row).forward_fill()
    ended = pl.when(ends).then(row).forward_fill()
    return (
        rows.with_columns(pl.col("taken").cum_sum(), is_new=is_new.fill_null(value=True))
        .with_columns(
            left=(size + pl.when(sets).then("taken")).forward_fill() - pl.col("taken"),
        )
        .with_columns(has_size=(ended < begun).fill_null(value=True))
    )


def _with_sides(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Makes side the order's own; adds born: the clears of it that came after its life began."""
    sides = [(0, BID_CLEARS, ASK_CLEARS), (1, ASK_CLEARS, BID_CLEARS)]
    had_size = ~pl.col("is_new") & pl.col("has_size").shift()
    # An M keeps the side of a live order: one of the other side, for its own makes no difference.
    other_cleared = pl.any_horizontal(
        (pl.col("side") == side) & (pl.col(other) != pl.col(f"{other}_before"))
        for side, _, other in sides
    )
    gives = pl.col("inserts") & (pl.col("adds") | ~had_size | other_cleared)
    before = (
        pl.when("inserts").then(name).forward_fill().shift().alias(f"{name}_before")
        for _, name, _ in sides
    )
    return (
        rows.with_columns(before)
        .with_columns(side=pl.when(gives).then("side").forward_fill())
        .with_columns(born=pl.when("inserts").then(_clears_after(pl.col("side"))).forward_fill())
    )


def _with_queues(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Makes size what is left; adds queued, and lives_on: whether the order lives at the end."""
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
        lives_on=is_last & pl.col("has_size") & (pl.col("born") == 0),
    )


def _clears_after(side: pl.Expr) -> pl.Expr:
    """How often that side of the book is cleared after the row."""
    return pl.when(side == 0).then(BID_CLEARS).otherwise(ASK_CLEARS)
