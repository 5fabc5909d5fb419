"""The best levels of books at the ends of windows, from sums of level deltas.

The rule here: a book is what its deltas add up to. Nothing is asked of the fold's own ladder, so
that the two can be held against each other.

A *slot* is a window of one book; the slots of a book stand next to each other, in order. Between
two slots at which it changes a level stays as it is: it is an interval of slots. To spread every
interval over its slots and rank what stands in each would do, but most of it would rank too low.
So slots are taken in runs, and first a bound is found for each run and side: the n-th best of the
levels that stand in *every* slot of the run. What is worse can nowhere be among the best n.

A level's `key` is its price for bids and the complement for asks: larger is better on both sides.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import polars.selectors as cs

from batonics.model.mbo import UNDEF_PRICE

RUN_SLOTS = 64
CELLS_MAX = 2_000_000
"""So many pairs of slot and level are ranked at once: this bounds the memory."""

_WORD = 1 << 32
_WORD_MAX = 1 << 63
_NO_BOUND = _WORD


def empty_levels() -> pl.DataFrame:
    """No levels: a row would be a level of a book, with its size and count of orders."""
    return pl.DataFrame(
        schema=dict.fromkeys(["book", "side", "price", "size", "count"], pl.Int64)
    )


def level_states(changes: pl.DataFrame, slots: pl.DataFrame) -> pl.DataFrame:
    """What each level comes to at the end of each slot that changed it.

    Args:
        changes: slot, side, key, size, count: what was added to a level in a slot, any number of
            rows for each; what a book held before is a change in its first slot.
        slots: book and until (the end of the book's slots that are asked for), by slot.

    Returns:
        book, side, key, slot, until, size, count, is_last: sorted by level, best levels first,
        then slot. The level is so from `slot` up to `until`; `is_last` marks its latest state.
    """
    is_new = (pl.col("level") != pl.col("level").shift()).fill_null(value=True)
    return (
        _summed(changes, slots)
        .with_columns(is_new=is_new)
        .with_columns(is_last=pl.col("is_new").shift(-1, fill_value=True))
        .with_columns(
            size=_running("size"),
            count=_running("count"),
            until=pl.when("is_last")
            .then("until")
            .otherwise(pl.min_horizontal("until", pl.col("slot").shift(-1))),
        )
        .collect(engine="in-memory")
    )


def _summed(changes: pl.DataFrame, slots: pl.DataFrame) -> pl.LazyFrame:
    """A row for each level and slot, sorted so.

    Level and slot are packed into one word: grouping and sorting by it is several times faster than
    by columns.
    """
    prices = changes["price"]
    low, high = (prices.min() or 0), (prices.max() or 0)
    slots = slots.with_columns(first=pl.col("slot").first().over("book"))
    books, slots_max = (slots["book"].max() or 0) + 1, (slots["slot"] - slots["first"]).max()
    spots = (slots_max or 0) + 1
    code, decoded = pl.col("price") - low, pl.col("code") + low
    span = high - low + 1
    if 2 * books * span * spots >= _WORD_MAX:
        # Prices far apart, as stub quotes are: number those that there are.
        known = prices.unique().sort()
        changes = changes.with_columns(
            code=pl.Series(np.searchsorted(known.to_numpy(), prices.to_numpy()))
        )
        code, decoded = pl.col("code"), gathered(known, "code")
        span = len(known)
    # The best first: bids downwards.
    place = pl.when(pl.col("side") == 0).then(span - 1 - code).otherwise(code)
    first_words = slots["book"] * (2 * span * spots) + slots["slot"] - slots["first"]
    offset = (pl.col("side") * span + place) * spots
    first_slots = pl.repeat(0, books, dtype=pl.Int64, eager=True).scatter(
        slots["book"], slots["first"]
    )
    word = pl.col("word")
    return (
        changes.lazy()
        .select("size", "count", word=gathered(first_words, "slot") + offset)
        .group_by("word")
        .agg(pl.col("size", "count").sum())
        .sort("word")
        .select("size", "count", level=word // spots, spot=word % spots)
        .with_columns(ladder=pl.col("level") // span, code=pl.col("level") % span)
        .with_columns(side=pl.col("ladder") % 2, book=pl.col("ladder") // 2)
        .with_columns(
            slot=gathered(first_slots, "book") + pl.col("spot"),
            code=pl.when(pl.col("side") == 0).then(span - 1 - pl.col("code")).otherwise("code"),
        )
        .with_columns(until=gathered(slots["until"], "slot"), price=decoded)
        .drop("spot", "ladder", "code")
    )


def _running(name: str) -> pl.Expr:
    """The sum so far within a level; the rows of a level are together, in order."""
    total = pl.col(name).cum_sum()
    return total - pl.when("is_new").then(total - pl.col(name)).forward_fill()


def slot_runs(slots: pl.DataFrame) -> pl.DataFrame:
    """Slots in runs of at most RUN_SLOTS of one book.

    Args:
        slots: slot, book and until, sorted by slot.

    Returns:
        run (a number), first and stop (its slots that are asked for), by slot.
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
    """The best levels at the end of each slot that is asked for.

    Args:
        states: as `level_states` gives them.
        runs: as `slot_runs` gives them.
        depth: how many levels a side.

    Returns:
        slot, side, rank (from 0, the best), and state, the row of `states`.
    """
    intervals = states.select(
        "side",
        "slot",
        "until",
        state=pl.int_range(pl.len()),
        level=pl.col("is_new").cum_sum().cast(pl.Int64),
        alive=pl.col("size") > 0,
    ).filter(pl.col("alive"), pl.col("slot") < pl.col("until"))
    pieces = _pieces(intervals, runs, _bounds(intervals, runs, depth))
    return pl.concat([_ranked(part, depth) for part in _parts(pieces)])


def _bounds(intervals: pl.DataFrame, runs: pl.DataFrame, depth: int) -> pl.Series:
    """By run and side: the `depth`-th of the levels that stand throughout; none: beyond all."""
    goes_on = (pl.col("level") == pl.col("level").shift()) & (
        pl.col("slot") == pl.col("until").shift()
    )
    begins = goes_on.fill_null(value=False).not_()
    stretches = intervals.lazy().with_columns(begins=begins).with_columns(
        ends=pl.col("begins").shift(-1, fill_value=True)
    )
    first, last = _rungathered(runs, "slot"), _rungathered(runs, pl.col("until") - 1)
    opened = first + (gathered(runs["first"], "slot") < pl.col("slot"))
    closed = last + (gathered(runs["stop"], pl.col("until") - 1) == pl.col("until"))
    standing = pl.concat(
        [
            stretches.filter("begins").select("side", "level", first=opened),
            stretches.filter("ends").select(stop=closed),
        ],
        how="horizontal",
    )
    ranked = _rank(
        standing.filter(pl.col("first") < pl.col("stop"))
        .select(pl.int_ranges("first", "stop").alias("run"), "side", "level")
        .explode("run")
        .select(group=pl.col("run") * 2 + pl.col("side"), item="level")
    )
    nth = ranked.filter(pl.col("rank") == depth - 1).collect(engine="in-memory")
    run_count = int(runs["run"].max() or 0) + 1
    return pl.repeat(_NO_BOUND, 2 * run_count, dtype=pl.Int64, eager=True).scatter(
        nth["group"], nth["item"]
    )


def _pieces(intervals: pl.DataFrame, runs: pl.DataFrame, bounds: pl.Series) -> pl.DataFrame:
    """Intervals cut at the ends of runs, without those beyond the bounds."""
    stop = _rungathered(runs, pl.col("until") - 1) + 1
    run_edges = runs.unique("run", keep="first", maintain_order=True)
    return (
        intervals.lazy()
        .with_columns(run=pl.int_ranges(_rungathered(runs, "slot"), stop))
        .explode("run")
        .filter(pl.col("level") <= gathered(bounds, pl.col("run") * 2 + pl.col("side")))
        .select(
            "run",
            "side",
            "state",
            slot=pl.max_horizontal("slot", gathered(run_edges["first"], "run")),
            until=pl.min_horizontal("until", gathered(run_edges["stop"], "run")),
        )
        .collect(engine="in-memory")
    )


def _parts(pieces: pl.DataFrame) -> list[pl.DataFrame]:
    """Pieces in parts of about CELLS_MAX cells; a run is never divided."""
    cells = pieces.group_by("run").agg(cells=(pl.col("until") - pl.col("slot")).sum()).sort("run")
    if cells["cells"].sum() <= CELLS_MAX:
        return [pieces]
    part = cells.select("run", part=pl.col("cells").cum_sum() // CELLS_MAX)
    return pieces.join(part, on="run").partition_by("part", include_key=False)


def _ranked(pieces: pl.DataFrame, depth: int) -> pl.DataFrame:
    """The best of what stands in each slot."""
    return (
        _rank(
            pieces.lazy()
            .select(pl.int_ranges("slot", "until").alias("slot"), "side", "state")
            .explode("slot")
            .select(group=pl.col("slot") * 2 + pl.col("side"), item="state")
        )
        .filter(pl.col("rank") < depth)
        .select(
            slot=pl.col("group") // 2, side=pl.col("group") % 2, rank="rank", state="item"
        )
        .collect(engine="in-memory")
    )


def _rank(items: pl.LazyFrame) -> pl.LazyFrame:
    """The rank, from 0, of each item within its group: the least item first.

    Both are sorted as one word, which is several times faster than by two columns.
    """
    row = pl.int_range(pl.len())
    is_first = (pl.col("group") != pl.col("group").shift()).fill_null(value=True)
    return (
        items.select(word=(pl.col("group") * _WORD + pl.col("item")).sort())
        .select(group=pl.col("word") // _WORD, item=pl.col("word") % _WORD)
        .with_columns(rank=row - pl.when(is_first).then(row).forward_fill())
    )


def gathered(values: pl.Series, index: str | pl.Expr) -> pl.Expr:
    """Elements of a series, by position."""
    return pl.lit(values).gather(pl.col(index) if isinstance(index, str) else index)


def _rungathered(runs: pl.DataFrame, slot: str | pl.Expr) -> pl.Expr:
    return gathered(runs["run"], slot)


def wide(
    best: pl.DataFrame, states: pl.DataFrame, places: pl.Series, height: int, depth: int
) -> pl.DataFrame:
    """Ranked levels side by side, in the vendor's order of columns.

    Args:
        best: as `best_levels` gives them.
        states: as `level_states` gives them.
        places: by slot: the row of the result.
        height: how many rows the result has.
        depth: how many levels a side.

    Returns:
        bid_px_00, ask_px_00, bid_sz_00, ask_sz_00, bid_ct_00, ask_ct_00, bid_px_01, ...: prices
        Int64 of 1e-9, null where there is no level; sizes and counts Int64, then 0.
    """
    ladder = pl.col("rank") * 2 + pl.col("side")
    found = best.select(
        place=ladder * height + gathered(places, "slot"),
        price=gathered(states["price"], "state"),
        size=gathered(states["size"], "state"),
        count=gathered(states["count"], "state"),
    )
    place = found["place"].to_numpy()
    columns = {}
    for name, absent in (("price", UNDEF_PRICE), ("size", 0), ("count", 0)):
        cells = np.full(2 * depth * height, absent, np.int64)
        cells[place] = found[name].to_numpy()
        columns[name] = pl.Series(cells)
    frame = pl.DataFrame(
        {
            f"{side}_{short}_{level:02}": columns[name].slice((2 * level + number) * height, height)
            for level in range(depth)
            for short, name in (("px", "price"), ("sz", "size"), ("ct", "count"))
            for number, side in enumerate(("bid", "ask"))
        }
    )
    prices = cs.contains("_px_")
    return frame.with_columns(pl.when(prices != UNDEF_PRICE).then(prices).name.keep())


def wide_columns(depth: int) -> list[str]:
    """The names of the columns of levels."""
    return [
        f"{side}_{name}_{level:02}"
        for level in range(depth)
        for name in ("px", "sz", "ct")
        for side in ("bid", "ask")
    ]
