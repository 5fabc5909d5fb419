"""MBP rows for tests: written by hand, and made up to break things."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from batonics.frames.columns.vendor import mbp_schema
from batonics.model.mbo import UNDEF_PRICE, Flag

Side = Sequence[tuple[int, int]]
"""Levels, best first: price, size."""


class Row(NamedTuple):
    """What measures read of an MBP row."""

    action: str
    bids: Side
    asks: Side
    ts_recv: int | None = 0
    side: str = "N"
    price: int | None = None
    size: int | None = 0
    flags: int = int(Flag.LAST)
    book: tuple[int, int] = (1, 1)

    @property
    def is_trade(self) -> bool:
        return self.action == "T"

    @property
    def is_restart(self) -> bool:
        return self.action == "R" or (not self.is_trade and bool(self.flags & Flag.SNAPSHOT))


def state(bid: tuple[int, int], ask: tuple[int, int], ts_recv: int = 0) -> Row:
    """A book of one level a side after an add."""
    return Row("A", [bid], [ask], ts_recv)


def trade(
    side: str, price: int, size: int, bid: int | None, ask: int | None, ts_recv: int = 0
) -> Row:
    """A trade that meets a book of one level a side."""
    bids = [] if bid is None else [(bid, 1)]
    asks = [] if ask is None else [(ask, 1)]
    return Row("T", bids, asks, ts_recv, side, price, size)


def clear(ts_recv: int = 0) -> Row:
    return Row("R", [], [], ts_recv)


def frame_of(rows: Sequence[Row], depth: int = 1) -> pl.DataFrame:
    """A frame of `mbp_schema(depth)`; `sequence` is the row's number."""
    schema = mbp_schema(depth)
    return pl.DataFrame([_record(n, row, depth) for n, row in enumerate(rows)], schema=schema)


def _record(sequence: int, row: Row, depth: int) -> dict[str, object]:
    levels = {}
    for level in range(depth):
        for side, found in (("bid", row.bids), ("ask", row.asks)):
            price, size = found[level] if level < len(found) else (None, 0)
            levels[f"{side}_px_{level:02}"] = price
            levels[f"{side}_sz_{level:02}"] = size
            levels[f"{side}_ct_{level:02}"] = min(size, 1)
    return {
        "ts_recv": row.ts_recv,
        "ts_event": sequence,
        "rtype": 10,
        "publisher_id": row.book[0],
        "instrument_id": row.book[1],
        "action": row.action,
        "side": row.side,
        "depth": 0,
        "price": row.price,
        "size": row.size,
        "flags": row.flags,
        "ts_in_delta": 0,
        "sequence": sequence,
        **levels,
    }


def random_rows(seed: int, count: int, *, depth: int = 3) -> list[Row]:
    """Rows of four books whose sides empty and cross, and whose times are bad and run backwards."""
    rng = random.Random(seed)
    books = [(1, 7), (1, 8), (2, 7), (2, 2**32 - 1)]
    now = 1_000
    rows = []
    for _ in range(count):
        now += rng.choice([0, 0, 1, 5, 40, -7])
        rows.append(
            Row(
                action=rng.choices("ACMTR", [30, 20, 10, 38, 2])[0],
                bids=_random_side(rng, depth, -1),
                asks=_random_side(rng, depth, 1),
                ts_recv=None if rng.random() < 0.05 else now + 500 * (rng.random() < 0.01),
                side=rng.choice("BAN"),
                price=None if rng.random() < 0.05 else rng.randint(95, 105) * 10**9,
                size=None if rng.random() < 0.05 else rng.randint(0, 9),
                flags=rng.choices([128, 0, 128 | 32, 128 | 8], [80, 10, 3, 7])[0],
                book=rng.choices(books, [5, 3, 2, 1])[0],
            )
        )
    return rows


def _random_side(rng: random.Random, depth: int, away: int) -> list[tuple[int, int]]:
    best = 100 * 10**9 + away * rng.randint(-1, 3) * 10**9
    count = rng.choice([0, 1, depth, depth])
    return [(best + away * level * 10**9, rng.randint(1, 9)) for level in range(count)]


def vendor_rows(path: Path) -> pl.DataFrame:
    """The vendor's MBP-10 as a frame of `mbp_schema(10)`."""
    found = pl.read_parquet(path)
    schema = mbp_schema(10)
    prices = [name for name in schema if name == "price" or "_px_" in name]
    return found.with_columns(
        pl.when(pl.col(name) != UNDEF_PRICE).then(name).alias(name) for name in prices
    ).select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def rows_of(frame: pl.DataFrame, depth: int) -> list[Row]:
    """The inverse of `frame_of`."""
    times = frame.with_columns(pl.col("ts_recv").to_physical())
    return [
        Row(
            record["action"],
            _levels(record, "bid", depth),
            _levels(record, "ask", depth),
            record["ts_recv"],
            record["side"],
            record["price"],
            record["size"],
            record["flags"],
            (record["publisher_id"], record["instrument_id"]),
        )
        for record in times.iter_rows(named=True)
    ]


def _levels(record: dict[str, int | None], side: str, depth: int) -> list[tuple[int, int]]:
    found = []
    for level in range(depth):
        price, size = record[f"{side}_px_{level:02}"], record[f"{side}_sz_{level:02}"]
        if price is not None and size is not None:
            found.append((price, size))
    return found


RAGGED = 0
CUTS = [1, 7, 64, 100_000, RAGGED]
"""Rows a piece; RAGGED: pieces of uneven length, some of them empty."""


def cut(frame: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    """The frame in pieces."""
    if rows != RAGGED:
        yield from frame.iter_slices(rows)
        return
    rng = random.Random(frame.height)
    start = 0
    while start < frame.height:
        length = rng.choice([0, 1, 2, 30, 90])
        yield frame.slice(start, length)
        start += length
