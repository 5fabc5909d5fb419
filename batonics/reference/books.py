"""The reference for books: orders and levels derived from the records by sorting and shifting.

The rule here: the derivation shares nothing with the fold: no table, no ladder, no delta, not even
the numbers of books. So where the two agree, two independent derivations have the same result.

From one derivation to the next, three frames are kept: the live orders, which become rows before
all others; the levels of top-of-book records; and one row for each book.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from batonics.model.mbo import (
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
    Action,
    DayStart,
    Flag,
    MboBatch,
    Side,
)
from batonics.reference.orders import (
    ASK_CLEARS,
    BID_CLEARS,
    LIVE_ORDERS_SCHEMA,
    ORDER_RECORDS_SCHEMA,
    live_orders,
    order_records,
)

GATHER_ROWS = 1 << 17
"""The maximum number of records of one derivation, which bounds the memory."""

COLD_STATUS, SYNCED_STATUS, STALE_STATUS = "cold", "synced", "stale"

DERIVED_LEVELS_SCHEMA = pl.Schema(
    dict.fromkeys(["key", "side", "price", "size", "count"], pl.Int64())
)
DERIVED_BOOKS_SCHEMA = pl.Schema(
    {
        "key": pl.Int64(),
        "snapshot_open": pl.Boolean(),
        "status": pl.String(),  # the status of rule 23
        "since": pl.Int64(),  # the row of the record that set the status; null: none did
        "was_cold": pl.Boolean(),  # the book was cold while it had records
        "was_stale": pl.Boolean(),
    }
)

_RECORDS_SCHEMA = pl.Schema(
    {
        "row": pl.Int64(),
        "key": pl.Int64(),
        "order_id": pl.UInt64(),
        "action": pl.UInt8(),
        "side": pl.UInt8(),
        "price": pl.Int64(),
        "size": pl.Int64(),
        "flags": pl.UInt8(),
    }
)


def _flag(flag: Flag) -> pl.Expr:
    return pl.col("flags") & int(flag) != 0


def _action(*actions: Action) -> pl.Expr:
    return pl.any_horizontal(pl.col("action") == int(action) for action in actions)


_TWO_SIDED = (pl.col("side") == int(Side.BID)) | (pl.col("side") == int(Side.ASK))
_PRICED = pl.col("price") != UNDEF_PRICE
_SIZED = pl.col("size") != UNDEF_ORDER_SIZE


class DerivedBooks:
    """The books of a stream of records, derived without the engine.

    `add` takes the records in order, in batches of any size. All results are as of the last record.
    """

    def __init__(self) -> None:
        self._rows = 0
        self._gathered: list[pl.DataFrame] = []
        self._gathered_rows = 0
        self._orders = pl.DataFrame(schema=LIVE_ORDERS_SCHEMA)
        self._tops = pl.DataFrame(schema=DERIVED_LEVELS_SCHEMA)
        self._books = pl.DataFrame(schema=DERIVED_BOOKS_SCHEMA)

    def add(self, batch: MboBatch) -> None:
        """Add records; the columns that are needed are copied."""
        if isinstance(batch, DayStart):
            self._start_day()
        for start in range(0, len(batch.action), GATHER_ROWS):
            records = _copy_records(batch, start, self._rows)
            self._rows += records.height
            self._gathered_rows += records.height
            self._gathered.append(records)
            if self._gathered_rows >= GATHER_ROWS:
                self._update()

    def _start_day(self) -> None:
        """Begin the stream of a new day (rule 21): every book is cold, and open snapshots end."""
        self._update()
        self._books = self._books.with_columns(
            snapshot_open=pl.lit(value=False),
            status=pl.lit(COLD_STATUS),
            since=pl.lit(None, pl.Int64),
        )

    def orders(self) -> pl.DataFrame:
        """One row of `LIVE_ORDERS_SCHEMA` for each live order."""
        self._update()
        return self._orders

    def levels(self) -> pl.DataFrame:
        """One row of `DERIVED_LEVELS_SCHEMA` for each level; top-of-book levels count 0."""
        self._update()
        level = ["key", "side", "price"]
        of_orders = self._orders.group_by(level).agg(
            pl.col("size").sum(), pl.len().cast(pl.Int64).alias("count")
        )
        return (
            pl.concat([of_orders, self._tops])
            .group_by(level)
            .agg(pl.col("size").sum(), pl.col("count").sum())
        )

    def books(self) -> pl.DataFrame:
        """One row of `DERIVED_BOOKS_SCHEMA` for each book."""
        self._update()
        return self._books

    def _update(self) -> None:
        """Update the kept frames with the gathered records."""
        if not self._gathered:
            return
        records = pl.concat(self._gathered)
        self._gathered, self._gathered_rows = [], 0
        marked = _mark_effects(records, self._books).collect(engine="in-memory")
        clears = (
            marked.lazy()
            .filter(pl.col(BID_CLEARS) | pl.col(ASK_CLEARS))
            .collect(engine="in-memory")
        )
        self._orders = _update_orders(marked, clears, self._orders)
        self._tops = _update_tops(clears, self._tops)
        self._books = _update_books(marked, self._books)


def _copy_records(batch: MboBatch, start: int, rows_before: int) -> pl.DataFrame:
    """Copies of at most GATHER_ROWS records from `start` on."""
    rows = slice(start, start + GATHER_ROWS)
    key = batch.publisher_id[rows].astype(np.int64) << 32 | batch.instrument_id[rows]
    first = rows_before
    return pl.DataFrame(
        {
            "row": np.arange(first, first + len(key)),
            "key": key,
            "order_id": batch.order_id[rows].copy(),
            "action": batch.action[rows].copy(),
            "side": batch.side[rows].copy(),
            "price": batch.price[rows].copy(),
            "size": batch.size[rows].astype(np.int64),
            "flags": batch.flags[rows].copy(),
        },
        _RECORDS_SCHEMA,
    )


# ---------------------------------------------------------------------- clears and statuses


def _mark_effects(records: pl.DataFrame, books: pl.DataFrame) -> pl.LazyFrame:
    """The records with their effects on whole books.

    The columns added: snapshot_open (after the record), is_top (whether it is a top-of-book record
    that counts), bid and ask (whether it first clears that side), and status (the status that it
    sets, or null).
    """
    open_keys = books.filter("snapshot_open")["key"]
    was_open = pl.col("key").is_in(open_keys.implode())
    # Rule 14. A record that neither opens nor ends a snapshot leaves it unchanged.
    starts = _flag(Flag.SNAPSHOT) & _action(Action.ADD, Action.CLEAR)
    ends = ~_flag(Flag.SNAPSHOT) | _flag(Flag.LAST)
    opening = pl.when(ends).then(statement=False).when(starts).then(statement=True)
    is_open = pl.col("opening").forward_fill().over("key").fill_null(was_open)
    opens = starts & ~pl.col("snapshot_open").shift().over("key").fill_null(was_open)
    # Rule 13, after rule 15.
    empties = ~_PRICED | (pl.col("size") == 0)
    is_top = (
        _flag(Flag.TOB)
        & ~_flag(Flag.MBP)
        & _action(Action.ADD, Action.MODIFY, Action.MODIFY_PARTIAL)
        & _TWO_SIDED
        & (empties | _SIZED)
    )
    whole_book = _action(Action.CLEAR) | (pl.col("opens") & _action(Action.ADD))
    own = pl.col("side")
    return (
        records.lazy()
        .with_columns(opening=opening, is_top=is_top)
        .with_columns(snapshot_open=is_open)
        .with_columns(opens=opens)
        .with_columns(
            (whole_book | (pl.col("is_top") & (own == int(Side.BID)))).alias(BID_CLEARS),
            (whole_book | (pl.col("is_top") & (own == int(Side.ASK)))).alias(ASK_CLEARS),
            # Rule 17, for an R too.
            status=pl.when(_flag(Flag.MAYBE_BAD_BOOK))
            .then(pl.lit(STALE_STATUS))
            .when(_action(Action.CLEAR) | pl.col("opens"))
            .then(pl.lit(SYNCED_STATUS)),
        )
    )


def _update_books(marked: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """The books after the records."""
    gives = pl.col("status").is_not_null()
    last = marked.lazy().group_by("key").agg(pl.col("snapshot_open").last(), pl.col("row").first())
    marks = (
        marked.lazy()
        .filter(gives)
        .group_by("key")
        .agg(
            pl.col("status").last(),
            pl.col("row").last().alias("since"),
            pl.col("row").first().alias("first_mark"),
            (pl.col("status") == STALE_STATUS).any().alias("was_stale"),
        )
    )
    was_cold = pl.col("status_before").fill_null(COLD_STATUS) == COLD_STATUS
    unmarked = pl.col("row") < pl.col("first_mark")
    return (
        last.join(marks, on="key", how="left")
        .join(before.lazy(), on="key", how="full", coalesce=True, suffix="_before")
        .select(
            "key",
            pl.coalesce("snapshot_open", "snapshot_open_before"),
            pl.coalesce("status", "status_before", pl.lit(COLD_STATUS)),
            pl.coalesce("since", "since_before"),
            was_cold=pl.col("was_cold").fill_null(value=False)
            | (pl.col("row").is_not_null() & was_cold & unmarked.fill_null(value=True)),
            was_stale=pl.col("was_stale").fill_null(value=False)
            | pl.col("was_stale_before").fill_null(value=False),
        )
        .collect(engine="in-memory")
    )


def _update_tops(clears: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """The levels of top-of-book records: the level that the last clear of each side has set."""
    exists = pl.col("is_top") & _PRICED & (pl.col("size") > 0)
    last = pl.concat(
        [
            clears.lazy()
            .filter(name)
            .group_by("key")
            .agg(pl.all().last())
            .select(
                "key",
                pl.lit(side, pl.Int64).alias("side"),
                "price",
                "size",
                pl.lit(0, pl.Int64).alias("count"),
                exists=exists & (pl.col("side") == int(code)),
            )
            for side, (name, code) in enumerate([(BID_CLEARS, Side.BID), (ASK_CLEARS, Side.ASK)])
        ]
    )
    kept = before.lazy().join(last, on=["key", "side"], how="anti")
    return pl.concat([kept, last.filter("exists").drop("exists")]).collect(engine="in-memory")


# ---------------------------------------------------------------------- orders


def _update_orders(
    marked: pl.DataFrame, clears: pl.DataFrame, before: pl.DataFrame
) -> pl.DataFrame:
    """The live orders after the records."""
    totals = clears.lazy().group_by("key").agg(pl.col(BID_CLEARS, ASK_CLEARS).sum().cast(pl.Int64))
    carried = (
        before.lazy()
        .join(totals, on="key", how="left", maintain_order="left")
        .with_columns(pl.col(BID_CLEARS, ASK_CLEARS).fill_null(0))
    )
    rows = pl.concat([order_records(carried), _select_order_records(marked)])
    return live_orders(rows).collect(engine="in-memory")


def _select_order_records(marked: pl.DataFrame) -> pl.LazyFrame:
    """The records that may change an order (rules 6 to 9, 13, 15, 19)."""
    adds, cancels = _action(Action.ADD), _action(Action.CANCEL)
    complete = _TWO_SIDED & _PRICED & _SIZED & (~adds | (pl.col("size") > 0))
    changes = (_action(Action.ADD, Action.MODIFY) & complete) | cancels
    is_order = (changes | _action(Action.MODIFY_PARTIAL)) & ~_flag(Flag.MBP) & ~_flag(Flag.TOB)
    after = pl.col(BID_CLEARS, ASK_CLEARS).cum_sum(reverse=True).over("key") - pl.col(
        BID_CLEARS, ASK_CLEARS
    )
    return (
        marked.lazy()
        .with_columns(after.cast(pl.Int64))
        .filter(is_order)
        .with_columns(
            side=pl.when(_TWO_SIDED).then((pl.col("side") == int(Side.ASK)).cast(pl.Int64)),
            price=pl.when(_PRICED, ~cancels).then("price"),
            size=pl.when(_SIZED, ~cancels).then("size"),
            taken=pl.when(cancels).then("size").otherwise(0),
            adds=adds,
            inserts=complete & ~cancels,
        )
        .select(list(ORDER_RECORDS_SCHEMA))
    )
