"""MBO records as lines of NDJSON ops that make the same books.

The rule here: a record has a line if it changes a book, and the line has the change. So T, F and N
have no line: a `fill` in this form reduces an order, and the C or M behind an F does that already.
An add or modify that changes nothing has no line either (rules 7, 15 and 19).

| record              | line                                                                   |
|---------------------|------------------------------------------------------------------------|
| A                   | add; a clear comes before one that begins a snapshot without R (14)    |
| M                   | modify, with side, price and size                                      |
| C                   | cancel, with its size                                                  |
| R                   | clear                                                                  |
| A, M with F_TOB     | modify, or cancel, of the one order that stands for the side           |

`ts_ns` is `ts_recv`. The symbol of a book is the name of its instrument, or its id if it has none;
a second publisher of the same name has `NAME@publisher_id`. The form cannot say everything: without
flags books are `cold`, and a top-of-book level has an order.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.gateway.dbn_feed import check_regular_files
from batonics.gateway.feed_pieces import BytesLike, FeedPiece, cut_piece, unit_index
from batonics.model.mbo import (
    UNDEF_ORDER_SIZE,
    UNDEF_PRICE,
    Action,
    Flag,
    MboBatch,
    Side,
    due_times,
    record_keys,
    slice_batch,
)
from batonics.model.symbols import SymbolMap
from batonics.sources.file_order import order_paths
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions
from batonics.sources.stream import MboStream

TOP_ORDER_IDS = {Side.BID: 2**64 - 2, Side.ASK: 2**64 - 1}
"""Ids of the orders that stand for the sides of a top-of-book publisher."""
LINES_PIECE_ROWS = 8_192
"""The number of records that are made into lines at once."""


class NdjsonFeed:
    """The MBO records of files as lines of ops.

    Args:
        paths: the files.
        options: how they are read.

    Raises:
        InputError: a file cannot be read, or is damaged at its beginning.
        UsageError: an input can be read only once, or the files repeat or overlap each other.
    """

    header: BytesLike = b""
    unpaced_until_ns = -1

    def __init__(self, paths: Sequence[str], options: InputOptions = DEFAULT_OPTIONS) -> None:
        check_regular_files(paths)
        self._paths, self._options = order_paths(paths, options), options
        MboStream(self._paths, options).close()

    def pieces(
        self,
        start_ns: int | None,
        *,
        indexed: bool,  # noqa: ARG002 - every piece is
    ) -> Generator[FeedPiece, None, None]:
        """As `ReplayFeed.pieces`."""
        stream = MboStream(self._paths, self._options)
        symbols, snapshot_starts, due_ns = BookSymbols(stream.symbols), SnapshotStarts(), 0
        with closing(stream.batches()) as batches:
            for batch in batches:
                due = due_times(batch, due_ns)
                due_ns = int(due[-1])
                clears = snapshot_starts.find(batch)
                for start in range(0, len(due), LINES_PIECE_ROWS):
                    rows = slice(start, start + LINES_PIECE_ROWS)
                    part = slice_batch(batch, start, start + LINES_PIECE_ROWS)
                    piece = encode_lines(part, symbols.lookup(part), clears[rows], due[rows])
                    _, line_due = unit_index(piece)
                    first = 0 if start_ns is None else int(np.searchsorted(line_due, start_ns))
                    if first < len(line_due):
                        yield cut_piece(piece, first, len(line_due))


class BookSymbols:
    """The symbol of each book, given at the book's first record.

    Args:
        symbols: names of instruments.
    """

    def __init__(self, symbols: SymbolMap) -> None:
        self._symbols = symbols
        self._names: dict[int, str] = {}
        self._used: set[str] = set()

    def lookup(self, batch: MboBatch) -> pl.Series:
        """The symbol of each row's book."""
        keys = record_keys(batch)
        books, first, which = np.unique(keys, return_index=True, return_inverse=True)
        for key, row in sorted(
            zip(books.tolist(), first.tolist(), strict=True), key=lambda b: b[1]
        ):
            if key not in self._names:
                self._name(key, int(batch.ts_recv[row]))
        return pl.Series([self._names[key] for key in books.tolist()], dtype=pl.String)[which]

    def _name(self, key: int, ts_recv: int) -> None:
        publisher_id, instrument_id = key >> 32, key & 0xFFFFFFFF
        name = self._symbols.symbol(instrument_id, ts_recv) or str(instrument_id)
        if name in self._used:
            name = f"{name}@{publisher_id}"
        self._used.add(name)
        self._names[key] = name


class SnapshotStarts:
    """Finds the adds that begin a snapshot, which replace all orders of the book (rule 14)."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def find(self, batch: MboBatch) -> NDArray[np.bool_]:
        """(rows,) Whether a row is such an add."""
        starts = np.zeros(len(batch.action), np.bool_)
        if not self._open and not (batch.flags & Flag.SNAPSHOT).any():
            return starts
        rows = zip(
            record_keys(batch).tolist(), batch.flags.tolist(), batch.action.tolist(), strict=True
        )
        for row, (key, flags, action) in enumerate(rows):
            if flags & Flag.SNAPSHOT and key not in self._open:
                starts[row] = action == Action.ADD
                self._open.add(key)
            if flags & Flag.LAST or not flags & Flag.SNAPSHOT:
                self._open.discard(key)
        return starts


def encode_lines(
    batch: MboBatch, symbols: pl.Series, clears: NDArray[np.bool_], due_ns: NDArray[np.int64]
) -> FeedPiece:
    """The lines of records.

    Args:
        batch: the records.
        symbols: (rows,) the symbol of each row's book.
        clears: (rows,) whether a clear comes before the add.
        due_ns: (rows,) when each record is due.
    """
    frame = pl.DataFrame(
        {
            "symbol": symbols.str.replace_all(r'[\x00-\x1f"\\]', "?"),
            "price": batch.price,
            "size": batch.size,
            "order_id": batch.order_id,
            "seq": batch.sequence,
            "ts_ns": batch.ts_recv,
            "side": pl.Series(batch.side == Side.ASK),
            "kind": _kinds(batch),
            "clear": clears,
            "due_ns": due_ns,
        }
    ).filter(pl.col("kind") != "")
    # One order stands for the side of a top-of-book publisher.
    tob = pl.when(pl.col("side")).then(TOP_ORDER_IDS[Side.ASK]).otherwise(TOP_ORDER_IDS[Side.BID])
    order_id = pl.when(pl.col("kind").str.starts_with("tob")).then(tob).otherwise("order_id")
    lines = frame.with_columns(
        order_id=order_id.cast(pl.UInt64),
        side=pl.when("side").then(pl.lit("ask")).otherwise(pl.lit("bid")),
    ).select("due_ns", line=_LINE)
    sizes = lines["line"].str.len_bytes().to_numpy().astype(np.int64)
    data = "".join(lines["line"].to_list()).encode()
    return FeedPiece(data, np.cumsum(sizes), lines["due_ns"].to_numpy())


def _kinds(batch: MboBatch) -> pl.Series:
    """The kind of line for each row, as `_LINE` names them; "" if it has none."""
    action, flags = batch.action, batch.flags
    sided = (batch.side == Side.BID) | (batch.side == Side.ASK)
    level = flags & Flag.MBP != 0
    tob = (flags & Flag.TOB != 0) & ~level
    priced, sized = batch.price != UNDEF_PRICE, batch.size != UNDEF_ORDER_SIZE
    rests = (action == Action.ADD) | (action == Action.MODIFY)
    cancels = (action == Action.CANCEL) & ~tob & ~level
    ordinary = rests & ~tob & ~level & sided & priced & sized
    top, empties = rests & tob & sided, ~priced | (batch.size == 0)
    kinds = np.select(
        [
            action == Action.CLEAR,
            ordinary & (action == Action.ADD) & (batch.size > 0),
            ordinary & (action == Action.MODIFY),
            cancels & sized,
            cancels,
            top & empties,
            top & sized,
        ],
        ["clear", "add", "modify", "cancel", "cancel all", "tob cancel", "tob"],
        default="",
    )
    return pl.Series(kinds)


def _field(name: str, column: str) -> list[pl.Expr]:
    return [pl.lit(f',"{name}":'), pl.col(column).cast(pl.String)]


def _op(kind: str, *fields: str) -> pl.Expr:
    """The line of an op, with its newline."""
    parts = [pl.lit(f'{{"type":"{kind}","symbol":"'), pl.col("symbol"), pl.lit('"')]
    columns = {"oid": "order_id", "px": "price", "qty": "size"}
    for name in fields:
        if name == "side":
            parts += [pl.lit(',"side":"'), pl.col("side"), pl.lit('"')]
        else:
            parts += _field(name, columns[name])
    parts += [*_field("seq", "seq"), *_field("ts_ns", "ts_ns"), pl.lit("}\n")]
    return pl.concat_str(parts)


_KIND = pl.col("kind")
_ORDER_FIELDS = ("side", "oid", "px", "qty")
_LINE = (
    pl.when(_KIND == "clear")
    .then(_op("clear"))
    .when((_KIND == "add") & pl.col("clear"))
    .then(pl.concat_str([_op("clear"), _op("add", *_ORDER_FIELDS)]))
    .when(_KIND == "add")
    .then(_op("add", *_ORDER_FIELDS))
    .when(_KIND.is_in(["modify", "tob"]))
    .then(_op("modify", *_ORDER_FIELDS))
    .when(_KIND == "cancel")
    .then(_op("cancel", "oid", "qty"))
    .otherwise(_op("cancel", "oid"))
)
