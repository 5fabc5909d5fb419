"""The reference for books: an implementation of its own of orders, levels and statuses.

The rule here: nothing is shared with the fold: no table, no ladder, no delta, not even the numbers
of books. The fold keeps priorities and sorted runs; here orders stand in linked lists, and levels
are the sums of their orders (`node_kernels.py`). So where the two agree, two independent
implementations of the rules (`witness_kernels.py`) have the same result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.model.hash_salt import hash_salt
from batonics.model.mbo import DayStart, MboBatch
from batonics.reference import node_kernels, witness_kernels
from batonics.reference.node_kernels import (
    FREE_NODE,
    W_BOOK_WORDS,
    W_BOOKS,
    W_FREE_LEVELS,
    W_FREE_ORDERS,
    W_FRESH_LEVEL,
    W_FRESH_ORDER,
    W_HAS_TOPS,
    W_ID,
    W_KEY,
    W_LAST_NS,
    W_LEVEL,
    W_LEVEL_WORDS,
    W_ORDER_WORDS,
    W_OWNER,
    W_PRICE,
    W_QUEUED,
    W_RECORDS,
    W_SINCE,
    W_SIZE,
    W_SNAPSHOT_OPEN,
    W_STATUS,
    W_TOP_PRICE,
    W_TOP_SIZE,
    W_TOTALS,
    W_TOUCHED_NODES,
    W_WAS_COLD,
    W_WAS_STALE,
    Witness,
)
from batonics.reference.witness_kernels import W_COLD, W_STALE, W_SYNCED, WitnessRecords

SLICE_ROWS = 8_192
"""Records that are applied between two looks for room."""
TOUCHED_MAX = 1 << 18
"""Changed orders and levels that wait for a check; more are forgotten, which bounds the memory."""

STATUS_NAMES = {W_COLD: "cold", W_SYNCED: "synced", W_STALE: "stale"}

LIVE_ORDERS_SCHEMA = pl.Schema(
    {
        "key": pl.Int64(),  # publisher_id << 32 | instrument_id (rule 1)
        "order_id": pl.UInt64(),
        "side": pl.Int64(),  # 0 bid, 1 ask
        "price": pl.Int64(),
        "size": pl.Int64(),
        "queued": pl.Int64(),  # the row of the record that put it at the back of its level
    }
)
"""Live orders, sorted by key and order_id."""
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
        "has_tops": pl.Boolean(),  # it has had a top-of-book record
        "records": pl.Int64(),
        "last_ns": pl.UInt64(),  # the ts_recv of its last record that has one; 0: none has
    }
)


class DerivedBooks:
    """The books of a stream of records, derived without the engine.

    `add` takes the records in order, in batches of any size. All results are as of the last record.

    Attributes:
        witness: the memory of the kernels.
        has_forgotten: changes since the last check are not known; all books have to be compared.
    """

    def __init__(self) -> None:
        self.has_forgotten = False
        self._rows = 0
        totals = np.zeros(W_TOTALS, np.int64)
        totals[W_FRESH_ORDER] = totals[W_FRESH_LEVEL] = 1
        self.witness = Witness(
            orders=_free_nodes(2 * SLICE_ROWS, W_ORDER_WORDS),
            order_buckets=np.zeros(2 * SLICE_ROWS, np.int64),
            levels=_free_nodes(4 * SLICE_ROWS, W_LEVEL_WORDS),
            level_buckets=np.zeros(4 * SLICE_ROWS, np.int64),
            books=np.zeros(2 * SLICE_ROWS * W_BOOK_WORDS, np.int64),
            book_buckets=np.zeros(2 * SLICE_ROWS, np.int64),
            touched_books=np.zeros(2 * SLICE_ROWS, np.int64),
            totals=totals,
            salt=hash_salt(),
        )

    @property
    def live_nodes(self) -> int:
        """The number of orders and levels, with those that wait for a check."""
        totals = self.witness.totals
        orders = totals[W_FRESH_ORDER] - totals[W_FREE_ORDERS]
        return int(orders + totals[W_FRESH_LEVEL] - totals[W_FREE_LEVELS])

    def add(self, batch: MboBatch) -> None:
        """Add records."""
        if isinstance(batch, DayStart):
            witness_kernels.start_witness_day(self.witness)
        columns = [_read_only(getattr(batch, name)) for name in WitnessRecords._fields[1:]]
        records = WitnessRecords(_read_only(batch.ts_recv.view(np.int64)), *columns)
        for start in range(0, len(batch.action), SLICE_ROWS):
            stop = min(start + SLICE_ROWS, len(batch.action))
            self._make_room(stop - start)
            witness_kernels.follow_records(self.witness, records, start, stop, self._rows)
            if self.witness.totals[W_TOUCHED_NODES] > TOUCHED_MAX:
                self.forget_changes()
                self.has_forgotten = True
        self._rows += len(batch.action)

    def forget_changes(self) -> None:
        """Forget what has changed: all books have been compared."""
        node_kernels.release_all(self.witness)
        self.has_forgotten = False

    def orders(self) -> pl.DataFrame:
        """One row of `LIVE_ORDERS_SCHEMA` for each live order."""
        witness = self.witness
        words = witness.orders.reshape(-1, W_ORDER_WORDS)
        words = words[(words[:, W_OWNER] != FREE_NODE) & (words[:, W_SIZE] > 0)]
        owner = words[:, W_OWNER]
        return pl.DataFrame(
            {
                "key": self._book_words()[owner >> 1, W_KEY],
                "order_id": words[:, W_ID].copy().view(np.uint64),
                "side": owner & 1,
                "price": witness.levels[words[:, W_LEVEL] * W_LEVEL_WORDS + W_PRICE],
                "size": words[:, W_SIZE].copy(),
                "queued": words[:, W_QUEUED].copy(),
            },
            LIVE_ORDERS_SCHEMA,
        ).sort("key", "order_id")

    def levels(self) -> pl.DataFrame:
        """One row of `DERIVED_LEVELS_SCHEMA` for each level; top-of-book levels count 0.

        They are summed anew from their orders.
        """
        level = ["key", "side", "price"]
        of_orders = (
            self.orders()
            .group_by(level)
            .agg(pl.col("size").sum(), pl.len().cast(pl.Int64).alias("count"))
        )
        return (
            pl.concat([of_orders, *(self._tops(side) for side in range(2))])
            .group_by(level)
            .agg(pl.col("size").sum(), pl.col("count").sum())
        )

    def _tops(self, side: int) -> pl.DataFrame:
        """The top-of-book levels of a side, one row of `DERIVED_LEVELS_SCHEMA` each."""
        words = self._book_words()
        words = words[words[:, W_TOP_SIZE + side] > 0]
        return pl.DataFrame(
            {
                "key": words[:, W_KEY].copy(),
                "side": np.full(len(words), side),
                "price": words[:, W_TOP_PRICE + side].copy(),
                "size": words[:, W_TOP_SIZE + side].copy(),
                "count": np.zeros(len(words), np.int64),
            },
            DERIVED_LEVELS_SCHEMA,
        )

    def books(self) -> pl.DataFrame:
        """One row of `DERIVED_BOOKS_SCHEMA` for each book."""
        words = self._book_words()
        since = words[:, W_SINCE].copy()
        return pl.DataFrame(
            {
                "key": words[:, W_KEY].copy(),
                "snapshot_open": words[:, W_SNAPSHOT_OPEN] == 1,
                "status": [STATUS_NAMES[status] for status in words[:, W_STATUS].tolist()],
                "since": pl.Series(since).set(pl.Series(since < 0), None),
                "was_cold": words[:, W_WAS_COLD] == 1,
                "was_stale": words[:, W_WAS_STALE] == 1,
                "has_tops": words[:, W_HAS_TOPS] == 1,
                "records": words[:, W_RECORDS].copy(),
                "last_ns": words[:, W_LAST_NS].copy().view(np.uint64),
            },
            DERIVED_BOOKS_SCHEMA,
        )

    def _book_words(self) -> NDArray[np.int64]:
        words = self.witness.books[: self.witness.totals[W_BOOKS] * W_BOOK_WORDS]
        return words.reshape(-1, W_BOOK_WORDS)

    # ------------------------------------------------------------------ room

    def _make_room(self, rows: int) -> None:
        """Make room for what so many records may bring."""
        totals = self.witness.totals
        if _room(totals, W_FRESH_ORDER, self.witness.orders, W_ORDER_WORDS) < rows:
            self._grow_orders()
        # A record may bring a level and a top, and touch the tops of both sides.
        while _room(totals, W_FRESH_LEVEL, self.witness.levels, W_LEVEL_WORDS) < 3 * rows:
            self._grow_levels()
        if len(self.witness.books) // W_BOOK_WORDS < totals[W_BOOKS] + rows:
            self._grow_books()

    def grow(self) -> None:
        """Grow every table, as a longer stream does."""
        self._grow_orders()
        self._grow_levels()
        self._grow_books()

    def _grow_orders(self) -> None:
        orders = _grown_nodes(self.witness.orders, W_ORDER_WORDS)
        buckets = np.zeros(2 * len(self.witness.order_buckets), np.int64)
        node_kernels.fill_buckets(orders, W_ORDER_WORDS, self.witness.salt, buckets)
        self.witness = self.witness._replace(orders=orders, order_buckets=buckets)

    def _grow_levels(self) -> None:
        levels = _grown_nodes(self.witness.levels, W_LEVEL_WORDS)
        buckets = np.zeros(2 * len(self.witness.level_buckets), np.int64)
        node_kernels.fill_buckets(levels, W_LEVEL_WORDS, self.witness.salt, buckets)
        self.witness = self.witness._replace(levels=levels, level_buckets=buckets)

    def _grow_books(self) -> None:
        witness = self.witness
        books = _with_zeros(witness.books)
        buckets = np.zeros(2 * len(witness.book_buckets), np.int64)
        count = int(witness.totals[W_BOOKS])
        node_kernels.fill_book_buckets(books, count, witness.salt, buckets)
        self.witness = witness._replace(
            books=books,
            book_buckets=buckets,
            touched_books=_with_zeros(witness.touched_books),
        )


def _room(totals: NDArray[np.int64], fresh: int, nodes: NDArray[np.int64], words: int) -> int:
    """How many nodes can be taken; `fresh` is the first word of their kind in the totals."""
    return int(len(nodes) // words - totals[fresh] + totals[fresh + 2])


def _free_nodes(count: int, words: int) -> NDArray[np.int64]:
    nodes = np.zeros(count * words, np.int64)
    nodes[W_OWNER::words] = FREE_NODE
    return nodes


def _grown_nodes(nodes: NDArray[np.int64], words: int) -> NDArray[np.int64]:
    """The nodes with as many free ones behind them."""
    return np.concatenate([nodes, _free_nodes(len(nodes) // words, words)])


def _with_zeros(array: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([array, np.zeros_like(array)])


def _read_only(column: NDArray[Any]) -> NDArray[Any]:
    """The column as a contiguous, read-only array: kernels then have one signature."""
    view = np.ascontiguousarray(column).view()
    view.flags.writeable = False
    return view
