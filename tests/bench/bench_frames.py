"""How fast batches become frames, and frames become quotes, deltas and depth.

    python -m tests.bench.bench_frames

The day that is tiled is CLX5 where BATONICS_TEST_DATA is set, else the project's own sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

from batonics.frames.columns.mbo_frame import from_frame, to_frame
from batonics.frames.depth.book_sources import bbo_frames, delta_frames
from batonics.frames.depth.snapshots import depth_frames
from batonics.frames.depth.windows import parse_windows
from batonics.frames.scan.folding import fold_pieces
from batonics.frames.scan.mbo_scan import scan_batches
from tests.bench.bench_fold import cut, day, folder
from tests.bench.harness import heading, median_seconds, print_machine, rate
from tests.support.market_streams import tile

TILES = 50
ROUNDS = 3
EVERY: list[int | str] = [1_000, 100_000, "100ms", "1s", "event"]
SPREAD = pl.col("ask_price") - pl.col("bid_price")


def drain(frames: Iterator[object]) -> int:
    """Make all frames and keep none."""
    return sum(1 for _ in frames)


def main() -> None:
    """Print all figures."""
    print_machine()
    name, one_day = day()
    batches = cut(tile(one_day, TILES))
    rows = sum(len(batch.action) for batch in batches)
    frames = [to_frame(batch) for batch in batches]
    lazy = scan_batches(lambda: iter(batches))

    def report(what: str, work: Callable[[], object]) -> None:
        rate(what, rows, median_seconds(work, ROUNDS))

    def depth(every: int | str) -> int:
        pieces = fold_pieces(batches, deltas=True)
        return drain(depth_frames(pieces, parse_windows(every), 10, fill=False))

    heading(f"frames, {name} tiled {TILES} times, {rows:,} records")
    report("to_frame, all columns", lambda: [to_frame(batch) for batch in batches])
    report("from_frame", lambda: [from_frame(frame) for frame in frames])
    report("scan, sum of one column", lambda: lazy.select(pl.col("size").sum()).collect())
    report("scan, filter by action", lambda: lazy.filter(pl.col("action") == "T").collect())
    report("limit: the fold with deltas", folder(batches, deltas=True))
    report("deltas", lambda: drain(delta_frames(batches)))
    report("bbo", lambda: drain(bbo_frames(batches)))
    report(".mbo.bbo(), mean spread", lambda: lazy.mbo.bbo().select(SPREAD.mean()).collect())  # type: ignore[attr-defined]
    for every in EVERY:
        report(f"depth(10, every={every!r})", lambda every=every: depth(every))  # type: ignore[misc]


if __name__ == "__main__":
    main()
