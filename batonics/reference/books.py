"""A second derivation of the books: orders and levels by sort and shift, from the records alone.

The rule here: nothing is shared with the fold: no table, no ladder, no delta, not even a number of
a book. What the two agree on they have found twice.

From window to window are carried the live orders, as rows that come before all others; the levels
of top-of-book records; and a row a book.
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
"""So many records are derived from at once at the most: this bounds the memory."""

COLD_STATUS, SYNCED_STATUS, STALE_STATUS = "cold", "synced", "stale"

DERIVED_LEVELS_SCHEMA = pl.Schema(
    dict.fromkeys(["key", "side", "price", "size", "count"], pl.Int64())
)
DERIVED_BOOKS_SCHEMA = pl.Schema(
    {
        "key": pl.Int64(),
        "snapshot_open": pl.Boolean(),
        "status": pl.String(),  # of rule 23
        "since": pl.Int64(),  # the record that gave it its status; null: none has
        "was_cold": pl.Boolean(),  # while it had records
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
    """The books of a stream of records.

    `add` takes the records in order, in batches of any size; the answers are as of the last one.
    """

    def __init__(self) -> None:
        self._rows = 0
        self._gathered: list[pl.DataFrame] = []
        self._gathered_rows = 0
        self._orders = pl.DataFrame(schema=LIVE_ORDERS_SCHEMA)
        self._tops = pl.DataFrame(schema=DERIVED_LEVELS_SCHEMA)
        self._books = pl.DataFrame(schema=DERIVED_BOOKS_SCHEMA)

    def add(self, batch: MboBatch) -> None:
        """Take records; what is needed of them is copied."""
        if isinstance(batch, DayStart):
            self._start_day()
        for start in range(0, len(batch.action), GATHER_ROWS):
            records = _records(batch, start, self._rows)
            self._rows += records.height
            self._gathered_rows += records.height
            self._gathered.append(records)
            if self._gathered_rows >= GATHER_ROWS:
                self._derive()

    def _start_day(self) -> None:
        """A new day's stream begins (rule 21): every book is cold, an open snapshot ends."""
        self._derive()
        self._books = self._books.with_columns(
            snapshot_open=pl.lit(value=False),
            status=pl.lit(COLD_STATUS),
            since=pl.lit(None, pl.Int64),
        )

    def orders(self) -> pl.DataFrame:
        """A row a live order, of `ORDERS_SCHEMA`."""
        self._derive()
        return self._orders

    def levels(self) -> pl.DataFrame:
        """A row a level, of `LEVELS_SCHEMA`; count is 0 where only a top-of-book record stands."""
        self._derive()
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
        """A row a book, of `BOOKS_SCHEMA`."""
        self._derive()
        return self._books

    def _derive(self) -> None:
        """Take the gathered records into what is carried."""
        if not self._gathered:
            return
        records = pl.concat(self._gathered)
        self._gathered, self._gathered_rows = [], 0
        marked = _marked(records, self._books).collect(engine="in-memory")
        clears = (
            marked.lazy()
            .filter(pl.col(BID_CLEARS) | pl.col(ASK_CLEARS))
            .collect(engine="in-memory")
        )
        self._orders = _live_orders(marked, clears, self._orders)
        self._tops = _tops(clears, self._tops)
        self._books = _books(marked, self._books)


def _records(batch: MboBatch, start: int, rows_before: int) -> pl.DataFrame:
    """At most GATHER_ROWS records, as copies of what books are made of."""
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


# ---------------------------------------------------------------------- what clears, what marks


def _marked(records: pl.DataFrame, books: pl.DataFrame) -> pl.LazyFrame:
    """The records with what each means for its whole book.

    Adds snapshot_open (after the record), is_top (a top-of-book record that counts), bid and ask
    (whether it clears that side, before anything else), and status (that it gives; else null).
    """
    open_keys = books.filter("snapshot_open")["key"]
    was_open = pl.col("key").is_in(open_keys.implode())
    # Rule 14. What neither opens nor ends a snapshot leaves it as it was.
    starts = _flag(Flag.SNAPSHOT) & _action(Action.ADD, Action.CLEAR)
    ends = ~_flag(Flag.SNAPSHOT) | _flag(Flag.LAST)
    opening = pl.when(ends).then(statement=False).when(starts).then(statement=True)
    is_open = pl.col("opening").forward_fill().over("key").fill_null(was_open)
    opens = starts & ~pl.col("snapshot_open").shift().over("key").fill_null(was_open)
    # Rule 13; rule 15 comes before it.
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
            # Rule 17: of a R too.
            status=pl.when(_flag(Flag.MAYBE_BAD_BOOK))
            .then(pl.lit(STALE_STATUS))
            .when(_action(Action.CLEAR) | pl.col("opens"))
            .then(pl.lit(SYNCED_STATUS)),
        )
    )


def _books(marked: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
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


def _tops(clears: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """The levels of top-of-book records: of each side, what its last clear has set."""
    stands = pl.col("is_top") & _PRICED & (pl.col("size") > 0)
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
                stands=stands & (pl.col("side") == int(code)),
            )
            for side, (name, code) in enumerate([(BID_CLEARS, Side.BID), (ASK_CLEARS, Side.ASK)])
        ]
    )
    kept = before.lazy().join(last, on=["key", "side"], how="anti")
    return pl.concat([kept, last.filter("stands").drop("stands")]).collect(engine="in-memory")


# ---------------------------------------------------------------------- orders


def _live_orders(marked: pl.DataFrame, clears: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """The orders that live after the records."""
    totals = clears.lazy().group_by("key").agg(pl.col(BID_CLEARS, ASK_CLEARS).sum().cast(pl.Int64))
    carried = (
        before.lazy()
        .join(totals, on="key", how="left", maintain_order="left")
        .with_columns(pl.col(BID_CLEARS, ASK_CLEARS).fill_null(0))
    )
    rows = pl.concat([order_records(carried), _order_rows(marked)])
    return live_orders(rows).collect(engine="in-memory")


def _order_rows(marked: pl.DataFrame) -> pl.LazyFrame:
    """The records that may change an order (rules 6 to 9, 13, 15, 19), as `ROWS_SCHEMA` rows."""
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
