"""How fast batches become frames, and frames become quotes, deltas and depth.

One rule holds here: the batches are made and the kernels compiled before the clock starts, and the
best of several rounds counts, since another process can only make a round slower.

    PYTHONPATH=. python tests/bench/bench_frames.py CLX5_mbo.dbn [tiles]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

import batonics.frames.namespace
from batonics.book.engine import BookEngine
from batonics.codec.dbn import DbnDecoder
from batonics.frames.folding import fold_pieces
from batonics.frames.scan import scan_batches
from batonics.frames.schema import from_frame, to_frame
from batonics.frames.snapshots import depth_frames
from batonics.frames.stream import bbo_frames, delta_frames
from batonics.model.mbo import MboBatch, concat_batches, copy_batch, slice_batch
from tests.bench.streams import tile

BATCH_ROWS = 65_536
ROUNDS = 3
EVERY: list[int | str] = [1_000, 100_000, "1s", "event"]


def seconds(work: Callable[[], object]) -> float:
    """The least time of several rounds, after one that does not count."""
    work()
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def drain(frames: Iterator[object]) -> int:
    """Make all frames and keep none."""
    return sum(1 for _ in frames)


def main() -> None:
    """Print the figures."""
    data = Path(sys.argv[1]).read_bytes()
    tiles = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    day = concat_batches([copy_batch(batch) for batch in DbnDecoder().feed(data)])
    batch = tile(day, tiles)
    rows = len(batch.action)
    batches = [slice_batch(batch, at, at + BATCH_ROWS) for at in range(0, rows, BATCH_ROWS)]
    frames = [to_frame(part) for part in batches]
    lazy = scan_batches(lambda: iter(batches))

    def report(name: str, work: Callable[[], object]) -> None:
        print(f"{name:<34}{rows / seconds(work) / 1e6:8.2f} M records/s", flush=True)

    def fold() -> None:
        engine = BookEngine(deltas=True)
        for part in batches:
            engine.fold(part)

    def depth(parts: list[MboBatch], every: int | str) -> int:
        windows = batonics.frames.namespace.parse_windows(every)
        return drain(depth_frames(fold_pieces(parts, deltas=True), windows, 10, fill=False))

    few = ["ts_recv", "price", "size"]
    report("to_frame, all columns", lambda: [to_frame(part) for part in batches])
    report("to_frame, 3 columns", lambda: [to_frame(part, few) for part in batches])
    report("from_frame", lambda: [from_frame(frame) for frame in frames])
    report("scan, sum of one column", lambda: lazy.select(pl.col("size").sum()).collect())
    report("scan, filter by action", lambda: lazy.filter(pl.col("action") == "T").collect())
    report("the fold alone, with deltas", fold)
    report("bbo", lambda: drain(bbo_frames(batches)))
    report("deltas", lambda: drain(delta_frames(batches)))
    for every in EVERY:
        report(f"depth(10, every={every!r})", lambda every=every: depth(batches, every))  # type: ignore[misc]
    quotes = lazy.mbo.bbo()  # type: ignore[attr-defined]
    report("scan, .mbo.bbo(), mean spread", lambda: quotes.select(SPREAD.mean()).collect())


SPREAD = pl.col("ask_price") - pl.col("bid_price")

if __name__ == "__main__":
    main()
