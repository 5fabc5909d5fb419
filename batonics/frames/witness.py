"""A second derivation of the books: orders and levels by sort and shift, from the records alone.

The rule here: nothing is shared with the fold: no table, no ladder, no delta, not even a number of
a book. What the two agree on they have found twice.

No record is applied to anything. The records of one order stand together, in stream order, and
what holds after each follows from columns:

- **size**: what the last record that sets one has set, less what cancels have taken since.
- **life**: begins with a record that inserts an order wherever there is none (A, M, and a partial
  modify that leaves nothing out), and is over once the size has come to 0; what else comes then
  changes nothing. Whatever inserts replaces or goes on, so lives do not overlap.
- **side** (rule 12): an M keeps the side of a live order and gives its own to one that is not.
  There are two sides, so each M either keeps whatever side there was or always gives its own: the
  side is the last one that was given.
- **clears** (rules 11, 13, 14): an order is dead once its side has been cleared since its life
  began. Clears are counted by book and side, from the end of the window backwards, so an order that
  lives to the end has none after it.
- **queue** (rule 10): the last record at which the order was not known, or moved, or grew.

From window to window are carried the live orders, as rows that come before all others; the levels
of top-of-book records; and a row a book.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from batonics.model.mbo import UNDEF_ORDER_SIZE, UNDEF_PRICE, Action, Flag, MboBatch, Side

GATHER_ROWS = 1 << 17
"""So many records are derived from at once at the most: this bounds the memory."""

COLD, SYNCED, STALE = "cold", "synced", "stale"

ORDERS_SCHEMA = pl.Schema(
    {
        "key": pl.Int64(),  # publisher_id << 32 | instrument_id (rule 1)
        "order_id": pl.UInt64(),
        "side": pl.Int64(),  # 0 bid, 1 ask
        "price": pl.Int64(),
        "size": pl.Int64(),
        "queued": pl.Int64(),  # the record that sent it to the back of its level
    }
)
LEVELS_SCHEMA = pl.Schema(dict.fromkeys(["key", "side", "price", "size", "count"], pl.Int64()))
BOOKS_SCHEMA = pl.Schema(
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
_BID, _ASK = "bid", "ask"


class Witness:
    """The books of a stream of records.

    `add` takes the records in order, in batches of any size; the answers are as of the last one.
    """

    def __init__(self) -> None:
        self._rows = 0
        self._gathered: list[pl.DataFrame] = []
        self._gathered_rows = 0
        self._orders = pl.DataFrame(schema=ORDERS_SCHEMA)
        self._tops = pl.DataFrame(schema=LEVELS_SCHEMA)
        self._books = pl.DataFrame(schema=BOOKS_SCHEMA)

    def add(self, batch: MboBatch) -> None:
        """Take records; what is needed of them is copied."""
        for start in range(0, len(batch.action), GATHER_ROWS):
            records = _records(batch, start, self._rows)
            self._rows += records.height
            self._gathered_rows += records.height
            self._gathered.append(records)
            if self._gathered_rows >= GATHER_ROWS:
                self._derive()

    def mark_new_day(self) -> None:
        """A new day's stream begins (rule 21): every book is cold, an open snapshot ends."""
        self._derive()
        self._books = self._books.with_columns(
            snapshot_open=pl.lit(value=False),
            status=pl.lit(COLD),
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
        clears = marked.lazy().filter(pl.col(_BID) | pl.col(_ASK)).collect(engine="in-memory")
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
    opening = pl.when(~_flag(Flag.SNAPSHOT) | _flag(Flag.LAST)).then(statement=False)
    opening = opening.when(starts).then(statement=True)
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
            (whole_book | (pl.col("is_top") & (own == int(Side.BID)))).alias(_BID),
            (whole_book | (pl.col("is_top") & (own == int(Side.ASK)))).alias(_ASK),
            # Rule 17: of a R too.
            status=pl.when(_flag(Flag.MAYBE_BAD_BOOK))
            .then(pl.lit(STALE))
            .when(_action(Action.CLEAR) | pl.col("opens"))
            .then(pl.lit(SYNCED)),
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
            (pl.col("status") == STALE).any().alias("was_stale"),
        )
    )
    was_cold = pl.col("status_before").fill_null(COLD) == COLD
    unmarked = pl.col("row") < pl.col("first_mark")
    return (
        last.join(marks, on="key", how="left")
        .join(before.lazy(), on="key", how="full", coalesce=True, suffix="_before")
        .select(
            "key",
            pl.coalesce("snapshot_open", "snapshot_open_before"),
            pl.coalesce("status", "status_before", pl.lit(COLD)),
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
            for side, (name, code) in enumerate([(_BID, Side.BID), (_ASK, Side.ASK)])
        ]
    )
    kept = before.lazy().join(last, on=["key", "side"], how="anti")
    return pl.concat([kept, last.filter("stands").drop("stands")]).collect(engine="in-memory")


# ---------------------------------------------------------------------- orders


def _live_orders(marked: pl.DataFrame, clears: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """The orders that live after the records."""
    totals = clears.lazy().group_by("key").agg(pl.col(_BID, _ASK).sum().cast(pl.Int64))
    carried = (
        before.lazy()
        .join(totals, on="key", how="left", maintain_order="left")
        .with_columns(pl.col(_BID, _ASK).fill_null(0))
        .with_columns(
            taken=pl.lit(0, pl.Int64), adds=pl.lit(value=True), inserts=pl.lit(value=True)
        )
        .rename({"queued": "row"})
    )
    rows = pl.concat(
        [carried.select(list(_ORDER_ROWS)), _order_rows(marked).select(list(_ORDER_ROWS))]
    )
    return (
        rows.sort("key", "order_id", maintain_order=True)
        .pipe(_with_sizes)
        .pipe(_with_sides)
        .pipe(_with_queues)
        .filter("lives_on")
        .select(list(ORDERS_SCHEMA))
        .collect(engine="in-memory")
    )


_ORDER_ROWS = {
    "key": pl.Int64(),
    "order_id": pl.UInt64(),
    "row": pl.Int64(),
    "side": pl.Int64(),  # 0 or 1; null: none
    "price": pl.Int64(),  # null: none, or a C
    "size": pl.Int64(),  # null: none, or a C
    "taken": pl.Int64(),  # the size of a C, else 0
    "adds": pl.Boolean(),  # an A
    "inserts": pl.Boolean(),  # makes an order where there is none
    "bid": pl.Int64(),  # how often that side of the book is cleared after the row
    "ask": pl.Int64(),
}


def _order_rows(marked: pl.DataFrame) -> pl.LazyFrame:
    """The records that may change an order (rules 6 to 9, 13, 15, 19), as `_ORDER_ROWS`."""
    adds, cancels = _action(Action.ADD), _action(Action.CANCEL)
    complete = _TWO_SIDED & _PRICED & _SIZED & (~adds | (pl.col("size") > 0))
    changes = (_action(Action.ADD, Action.MODIFY) & complete) | cancels
    is_order = (changes | _action(Action.MODIFY_PARTIAL)) & ~_flag(Flag.MBP) & ~_flag(Flag.TOB)
    after = pl.col(_BID, _ASK).cum_sum(reverse=True).over("key") - pl.col(_BID, _ASK)
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
    sides = [(0, _BID, _ASK), (1, _ASK, _BID)]
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
    return pl.when(side == 0).then(_BID).otherwise(_ASK)
