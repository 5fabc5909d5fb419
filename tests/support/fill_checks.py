"""Simulated fills, held against their reference.

Unit tests run these checks, and so does the suite that kills mutants.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from batonics.frames.orders.fill_result import FillResult
from batonics.frames.orders.fill_simulation import would_fill
from batonics.frames.scan.mbo_scan import scan_batches
from batonics.model.mbo import MboBatch, slice_batch
from tests.support.reference_books import Key, Record, records
from tests.support.reference_fills import Fill, ReferenceFill
from tests.support.snapshot_streams import snapshot_stream
from tests.support.streams import KEYS, TICK_1E9, random_stream


def scan(batch: MboBatch, rows: int = 0) -> pl.LazyFrame:
    """Records in batches of so many rows; 0: whole."""
    step = rows or max(len(batch.action), 1)

    def batches() -> Iterator[MboBatch]:
        for start in range(0, len(batch.action), step):
            yield slice_batch(batch, start, start + step)

    return scan_batches(batches)


def of_book(batch: MboBatch, key: Key) -> list[Record]:
    return [row for row in records(batch) if (row.publisher_id, row.instrument_id) == key]


def fills_of(result: FillResult) -> list[Fill]:
    frame = result.fills.with_columns(
        pl.col("ts_event", "ts_recv").to_physical(), pl.col("by").cast(str)
    )
    return frame.rows()


def summary(result: FillResult | ReferenceFill) -> dict[str, Any]:
    ahead = ("ahead_orders", "ahead_size", "ahead_filled", "ahead_cancelled", "ahead_lost")
    names = (*ahead, "end")
    return {name: getattr(result, name) for name in names}


def check_fill_simulation(seed: int) -> None:
    """Random orders in a random stream fill as in the reference."""
    check_fills(
        random_stream(
            seed, 1_200, books=3, tob_books=seed % 2, clear_share=0.001, snapshot_share=0.002
        ),
        seed,
    )


def check_fills_over_snapshots(seed: int) -> set[str]:
    """Random orders live over snapshots as in the reference; the ends of those that met one."""
    batch = snapshot_stream(seed, 1_200, books=3, share=0.006, changed=0.5)
    return check_fills(batch, seed, orders=10)


def check_fills(batch: MboBatch, seed: int, orders: int = 6) -> set[str]:
    """Orders at random times fill as in the reference; what befell them."""
    rng, found = np.random.default_rng(seed), set()
    for _ in range(orders):
        side, key = "BA"[rng.integers(2)], KEYS[rng.integers(3)]
        price = int(rng.integers(-2, 4)) * TICK_1E9
        size, row = int(rng.integers(1, 12)), rng.integers(200, 900)
        at_ns = int(batch.ts_recv[row])
        reference = ReferenceFill(key, ord(side), price, size, at_ns)
        reference.run(of_book(batch, key))
        publisher_id, instrument_id = key
        whole: FillResult | None = None
        for rows in (0, 7, 64):
            result = would_fill(
                scan(batch, rows),
                side,
                price,
                size,
                at_ns,
                publisher_id=publisher_id,
                instrument_id=instrument_id,
            )
            assert summary(result) == summary(reference)
            assert fills_of(result) == reference.fills
            assert result.filled == size - reference.left()
            whole = whole or result
            assert (result.data, result.warnings) == (whole.data, whole.warnings)
        found |= {reference.end} | ({"lost"} if reference.ahead_lost else set())
    return found
