"""What each level comes to at the ends of windows: level deltas summed by window and added up.

The rule here: a book is what its deltas add up to. Nothing is asked of the fold's own ladder, so
that the two can be held against each other.

A *slot* is a window of one book; the slots of a book stand next to each other, in order. Between
two slots at which it changes a level stays as it is: it is an interval of slots.
"""

from __future__ import annotations

from typing import cast

import polars as pl

LEVEL_CHANGES_SCHEMA = pl.Schema(
    dict.fromkeys(["slot", "side", "price", "size", "count"], pl.Int64())
)
"""What was added to a level in a slot, any number of rows for each; side 0 is bid, 1 ask."""

LEVEL_TOTALS_SCHEMA = pl.Schema(
    dict.fromkeys(["book", "side", "price", "size", "count"], pl.Int64())
)
"""The levels of books; size and count are totals."""

_WORD_MAX = 1 << 63


def level_states(changes: pl.DataFrame, slots: pl.DataFrame) -> pl.DataFrame:
    """What each level comes to at the end of each slot that changed it.

    Args:
        changes: of `CHANGES_SCHEMA`. What a book held before is a change in its first slot.
        slots: slot, book and until (the end of the book's slots that are asked for), by slot.

    Returns:
        level (a number), book, side, price, slot, until, size, count, is_last: sorted by book,
        side, level (the best first) and slot. The level is so from `slot` up to `until`;
        `is_last` marks its latest state.
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
    """The sum so far within a level; the rows of a level are together, in order."""
    total = pl.col(name).cum_sum()
    return total - pl.when("is_new").then(total - pl.col(name)).forward_fill()


def _summed(changes: pl.DataFrame, slots: pl.DataFrame) -> pl.LazyFrame:
    """A row for each level and slot, sorted so.

    Level and slot are packed into one word: to group and sort by it is several times faster than by
    columns. From the high end: the book, the level's place in it (bids before asks, the best
    first), and the slot's place among those of its book.
    """
    prices = changes["price"]
    low, high = (cast("int", edge or 0) for edge in (prices.min(), prices.max()))
    span = high - low + 1
    first = slots.select(pl.col("slot").first().over("book")).to_series()
    spots = cast("int", (slots["slot"] - first).max() or 0) + 1
    books = cast("int", slots["book"].max() or 0) + 1
    code, price = pl.col("price") - low, pl.col("code") + low
    if 2 * books * span * spots >= _WORD_MAX:
        # Prices too far apart, as stub quotes are: number those that there are.
        known = prices.unique().sort()
        changes = changes.with_columns(code=known.search_sorted(prices).cast(pl.Int64))
        code, price = pl.col("code"), lookup_expr(known, "code")
        span = len(known)

    # A level's place in its book: span - 1 - code for bids, so downwards, and span + code for asks.
    side, level = pl.col("side"), pl.col("level")
    own_place = ((side * 2 - 1) * code + side) * spots
    slot_place = slots["book"] * (2 * span * spots) + slots["slot"] - first + (span - 1) * spots
    first_slot = pl.repeat(0, books, dtype=pl.Int64, eager=True).scatter(slots["book"], first)
    return (
        changes.lazy()
        .select("size", "count", word=lookup_expr(slot_place, "slot") + own_place)
        .group_by("word")
        .agg(pl.col("size", "count").sum())
        .sort("word")
        .select("size", "count", level=pl.col("word") // spots, spot=pl.col("word") % spots)
        .with_columns(book=level // (2 * span), side=level // span % 2)
        .with_columns(code=(side * 2 - 1) * (level % (2 * span) - span) + side - 1)
        .with_columns(price=price, slot=lookup_expr(first_slot, "book") + pl.col("spot"))
        .with_columns(until=lookup_expr(slots["until"], "slot"))
    )


def lookup_expr(values: pl.Series, index: str | pl.Expr) -> pl.Expr:
    """Elements of a series, by position."""
    return pl.lit(values).gather(pl.col(index) if isinstance(index, str) else index)
