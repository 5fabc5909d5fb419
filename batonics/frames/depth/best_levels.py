"""The best levels of books at the ends of windows, from the states of their levels.

The rule here: a level is left out only if it cannot be among the best, whatever the book does.

Expanding the intervals of all levels to slots and ranking the levels of each slot would be correct,
but most of those levels rank too low. So slots are grouped in runs. The n-th best of the levels
that exist in *every* slot of a run bounds the run: worse levels are among the best n in none of its
slots. On a real book hardly more than n levels of each side remain.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import polars.selectors as cs

from batonics.frames.columns.levels import level_column_names
from batonics.frames.depth.level_states import lookup_expr
from batonics.model.mbo import UNDEF_PRICE

RUN_SLOTS = 64
"""Slots of a run."""
CELLS_MAX = 2_000_000
"""Pairs of slot and level ranked at once, which bounds the memory."""

_WORD = 1 << 32
_NO_BOUND = _WORD


def slot_runs(slots: pl.DataFrame) -> pl.DataFrame:
    """Group slots in runs of at most RUN_SLOTS slots of one book.

    Args:
        slots: rows of slot, book and until (the end of the book's closed slots), by slot.

    Returns:
        For each slot: run (a number), first and stop (the closed slots of the run).
    """
    place = pl.col("slot") - pl.col("slot").first().over("book")
    begins = (place % RUN_SLOTS == 0) | (pl.col("slot") == pl.col("until"))
    return (
        slots.lazy()
        .select("slot", "until", run=begins.cum_sum().cast(pl.Int64) - 1)
        .select(
            "run",
            first=pl.col("slot").first().over("run"),
            stop=pl.min_horizontal("until", pl.col("slot").last().over("run") + 1),
        )
        .collect(engine="in-memory")
    )


def best_levels(states: pl.DataFrame, runs: pl.DataFrame, depth: int) -> pl.DataFrame:
    """The best levels at the end of each closed slot.

    Args:
        states: the result of `level_states`.
        runs: the result of `slot_runs`.
        depth: levels of each side.

    Returns:
        Rows of slot, side, rank (0 is the best) and state (the row of `states`).
    """
    intervals = (
        states.lazy()
        .with_columns(state=pl.int_range(pl.len()))
        .filter(pl.col("size") > 0, pl.col("slot") < pl.col("until"))
        .select("level", "side", "slot", "until", "state")
        .collect(engine="in-memory")
    )
    pieces = _pieces(intervals, runs, _bounds(intervals, runs, depth))
    return pl.concat([_rank_states(part, depth) for part in _parts(pieces)])


def _bounds(intervals: pl.DataFrame, runs: pl.DataFrame, depth: int) -> pl.Series:
    """By run and side: the `depth`-th of the levels that exist in every slot, or `_NO_BOUND`."""
    is_continued = (pl.col("level") == pl.col("level").shift()) & (
        pl.col("slot") == pl.col("until").shift()
    )
    stretches = intervals.lazy().with_columns(begins=is_continued.fill_null(value=False).not_())
    # A stretch covers the runs whose slots all lie within it.
    first_run = lookup_expr(runs["run"], "slot")
    after_begin = lookup_expr(runs["first"], "slot") < pl.col("slot")
    last_slot = pl.col("until") - 1
    last_run = lookup_expr(runs["run"], last_slot)
    at_end = lookup_expr(runs["stop"], last_slot) == pl.col("until")
    throughout = pl.concat(
        [
            stretches.filter("begins").select("side", "level", first=first_run + after_begin),
            stretches.filter(pl.col("begins").shift(-1, fill_value=True)).select(
                stop=last_run + at_end
            ),
        ],
        how="horizontal",
    )
    nth = (
        _rank(
            throughout.filter(pl.col("first") < pl.col("stop"))
            .select(pl.int_ranges("first", "stop").alias("run"), "side", "level")
            .explode("run")
            .select(group=pl.col("run") * 2 + pl.col("side"), item="level")
        )
        .filter(pl.col("rank") == depth - 1)
        .collect(engine="in-memory")
    )
    run_count = int(runs["run"].to_numpy().max(initial=0)) + 1
    bounds = pl.repeat(_NO_BOUND, 2 * run_count, dtype=pl.Int64, eager=True)
    return bounds.scatter(nth["group"], nth["item"])


def _pieces(intervals: pl.DataFrame, runs: pl.DataFrame, bounds: pl.Series) -> pl.DataFrame:
    """Intervals cut at the ends of runs, without levels beyond the bounds."""
    first, last = lookup_expr(runs["run"], "slot"), lookup_expr(runs["run"], pl.col("until") - 1)
    edges = runs.unique("run", keep="first", maintain_order=True)
    bound = lookup_expr(bounds, pl.col("run") * 2 + pl.col("side"))
    return (
        intervals.lazy()
        .with_columns(run=pl.int_ranges(first, last + 1))
        .explode("run")
        .filter(pl.col("level") <= bound)
        .select(
            "run",
            "side",
            "state",
            slot=pl.max_horizontal("slot", lookup_expr(edges["first"], "run")),
            until=pl.min_horizontal("until", lookup_expr(edges["stop"], "run")),
        )
        .collect(engine="in-memory")
    )


def _parts(pieces: pl.DataFrame) -> list[pl.DataFrame]:
    """The pieces in parts of about CELLS_MAX cells. A run is never divided."""
    cells = (pieces["until"] - pieces["slot"]).sum()
    if cells <= CELLS_MAX:
        return [pieces]
    by_run = pieces.group_by("run").agg(cells=(pl.col("until") - pl.col("slot")).sum()).sort("run")
    part = by_run.select("run", part=pl.col("cells").cum_sum() // CELLS_MAX)
    return pieces.join(part, on="run").partition_by("part", include_key=False)


def _rank_states(pieces: pl.DataFrame, depth: int) -> pl.DataFrame:
    """The best states of each slot. States are numbered from the best level on."""
    return (
        _rank(
            pieces.lazy()
            .select(pl.int_ranges("slot", "until").alias("slot"), "side", "state")
            .explode("slot")
            .select(group=pl.col("slot") * 2 + pl.col("side"), item="state")
        )
        .filter(pl.col("rank") < depth)
        .select(slot=pl.col("group") // 2, side=pl.col("group") % 2, rank="rank", state="item")
        .collect(engine="in-memory")
    )


def _rank(items: pl.LazyFrame) -> pl.LazyFrame:
    """The rank of each item within its group. The least item has rank 0.

    Group and item are sorted as one word, which is several times faster than by two columns.
    """
    row = pl.int_range(pl.len())
    is_first = (pl.col("group") != pl.col("group").shift()).fill_null(value=True)
    return (
        items.select(word=(pl.col("group") * _WORD + pl.col("item")).sort())
        .select(group=pl.col("word") // _WORD, item=pl.col("word") % _WORD)
        .with_columns(rank=row - pl.when(is_first).then(row).forward_fill())
    )


def widen_levels(
    best: pl.DataFrame, states: pl.DataFrame, places: pl.Series, height: int, depth: int
) -> pl.DataFrame:
    """Ranked levels side by side, in the vendor's order of columns.

    Args:
        best: the result of `best_levels`.
        states: the result of `level_states`.
        places: by slot: its row in the result.
        height: the number of rows of the result.
        depth: levels of each side.

    Returns:
        The columns of `level_column_names`, Int64: prices of 1e-9, sizes and counts. Where there is
        no level the price is null, and size and count are 0.
    """
    # One long column for each kind of value: all best bids, then all best asks, and so on. The
    # columns of the result are slices of it.
    found = best.select(
        place=(pl.col("rank") * 2 + pl.col("side")) * height + lookup_expr(places, "slot"),
        price=lookup_expr(states["price"], "state"),
        size=lookup_expr(states["size"], "state"),
        count=lookup_expr(states["count"], "state"),
    )
    place = found["place"].to_numpy()
    long = {}
    for name, absent in (("price", UNDEF_PRICE), ("size", 0), ("count", 0)):
        cells = np.full(2 * depth * height, absent, np.int64)
        cells[place] = found[name].to_numpy()
        long[name] = pl.Series(cells)
    names = iter(level_column_names(depth))
    frame = pl.DataFrame(
        {
            next(names): long[name].slice((2 * level + side) * height, height)
            for level in range(depth)
            for name in ("price", "size", "count")
            for side in range(2)
        }
    )
    prices = cs.contains("_px_")
    return frame.with_columns(pl.when(prices != UNDEF_PRICE).then(prices).name.keep())
