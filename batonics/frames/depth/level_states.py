"""The size and count of each level at the ends of windows, from the sums of level deltas.

The rule here: a book is the sum of its deltas. The ladder of the fold is not read, so that tests
can compare the two.

A *slot* is a window of one book. The slots of a book are adjacent and in order. A level keeps its
state from a slot that changes it to the next such slot: each state is an interval of slots.
"""

from __future__ import annotations

from typing import cast

import polars as pl

LEVEL_CHANGES_SCHEMA = pl.Schema(
    dict.fromkeys(["slot", "side", "price", "size", "count"], pl.Int64())
)
"""Changes of a level in a slot, in any number of rows for each. Side 0 is bid, side 1 is ask."""

LEVEL_TOTALS_SCHEMA = pl.Schema(
    dict.fromkeys(["book", "side", "price", "size", "count"], pl.Int64())
)
"""The levels of books, with their total sizes and counts."""

_WORD_MAX = 1 << 63


def level_states(changes: pl.DataFrame, slots: pl.DataFrame) -> pl.DataFrame:
    """The state of each level at the end of each slot that changed it.

    Args:
        changes: rows of `LEVEL_CHANGES_SCHEMA`. The levels that a book had before are changes in
            its first slot.
        slots: rows of slot, book and until (the end of the book's closed slots), by slot.

    Returns:
        Rows of level (a number), book, side, price, slot, until, size, count and is_last, sorted
        by book, side, level (the best first) and slot. The level has this state from `slot` up to
        `until`; `is_last` marks its latest state.
    """
    is_new = (pl.col("level") != pl.col("level").shift()).fill_null(value=True)
    is_last = pl.col("is_new").shift(-1, fill_value=True)
    next_slot = pl.min_horizontal("until", pl.col("slot").shift(-1))
    return (
        _summed(changes, slots)
        .with_columns(is_new=is_new)
        .with_columns(is_last=is_last)
        .select(
            pl.col("is_new").cum_sum().cast(pl.Int64).alias("level"),
            "book",
            "side",
            "price",
            "slot",
            pl.when("is_last").then("until").otherwise(next_slot).alias("until"),
            _running("size"),
            _running("count"),
            "is_last",
        )
        .collect(engine="in-memory")
    )


def _running(name: str) -> pl.Expr:
    """The running sum within a level. The rows of a level are adjacent and in order."""
    total = pl.col(name).cum_sum()
    return total - pl.when("is_new").then(total - pl.col(name)).forward_fill()


def _summed(changes: pl.DataFrame, slots: pl.DataFrame) -> pl.LazyFrame:
    """The sum of the changes of each level in each slot, sorted by level and slot.

    Level and slot are packed into one word, since grouping and sorting by one word is several times
    faster than by columns. The word holds, from its high end: the book, the position of the level
    in it (bids before asks, the best first), and the position of the slot among the book's slots.
    """
    prices = changes["price"]
    low, high = (cast("int", edge or 0) for edge in (prices.min(), prices.max()))
    span = high - low + 1
    first = slots.select(pl.col("slot").first().over("book")).to_series()
    slots_max = cast("int", (slots["slot"] - first).max() or 0) + 1
    books = cast("int", slots["book"].max() or 0) + 1
    code, price = pl.col("price") - low, pl.col("code") + low
    if 2 * books * span * slots_max >= _WORD_MAX:
        # The prices are too far apart, as with stub quotes: use their ranks.
        known = prices.unique().sort()
        changes = changes.with_columns(code=known.search_sorted(prices).cast(pl.Int64))
        code, price = pl.col("code"), lookup_expr(known, "code")
        span = len(known)

    # The position of a level in its book: span - 1 - code for bids, span + code for asks.
    side, level = pl.col("side"), pl.col("level")
    level_position = ((side * 2 - 1) * code + side) * slots_max
    slot_position = (
        slots["book"] * (2 * span * slots_max) + slots["slot"] - first + (span - 1) * slots_max
    )
    first_slot = pl.repeat(0, books, dtype=pl.Int64, eager=True).scatter(slots["book"], first)
    return (
        changes.lazy()
        .select("size", "count", word=lookup_expr(slot_position, "slot") + level_position)
        .group_by("word")
        .agg(pl.col("size", "count").sum())
        .sort("word")
        .select(
            "size",
            "count",
            level=pl.col("word") // slots_max,
            slot_offset=pl.col("word") % slots_max,
        )
        .with_columns(book=level // (2 * span), side=level // span % 2)
        .with_columns(code=(side * 2 - 1) * (level % (2 * span) - span) + side - 1)
        .with_columns(price=price, slot=lookup_expr(first_slot, "book") + pl.col("slot_offset"))
        .with_columns(until=lookup_expr(slots["until"], "slot"))
    )


def lookup_expr(values: pl.Series, index: str | pl.Expr) -> pl.Expr:
    """The elements of a series at the positions in a column."""
    return pl.lit(values).gather(pl.col(index) if isinstance(index, str) else index)
