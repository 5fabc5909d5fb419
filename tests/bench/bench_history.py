"""How long `batonics serve` takes to read a day, and to find a book at a moment of it.

    python -m tests.bench.bench_history

A day has 20 M records of one book, tiled, or 2 M of 5,000 simulated books. RECORDS sets another
number.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from batonics.frames.scan.trading_statuses import TradingStatuses
from batonics.history.book_history import FileHistory, HistoryFacts, Moment
from batonics.model.book_changes import BookChanges
from batonics.model.mbo import MboBatch, concat_batches, split_batches
from batonics.model.symbols import SymbolMap
from batonics.sources.stream import BATCH_ROWS
from tests.bench.bench_fold import day
from tests.bench.harness import figure, heading, print_machine, rate
from tests.support.market_streams import simulated, tile

RECORDS = int(os.environ.get("RECORDS", "20000000"))
INSTRUMENTS, LIVE_ORDERS = 5_000, 200_000
MOMENTS = 200


def main() -> None:
    """Print all figures."""
    print_machine()
    name, one_day = day()
    tiles = max(1, RECORDS // len(one_day.action))
    bench(f"{name} tiled {tiles} times", tile(one_day, tiles))
    opening, live = simulated(INSTRUMENTS, LIVE_ORDERS, RECORDS // 10, seed=1)
    bench(f"{INSTRUMENTS:,} books", concat_batches([opening, live]))


def bench(name: str, records: MboBatch) -> None:
    """The figures of a day."""
    heading(f"{name}, {len(records.action):,} records")
    facts = HistoryFacts(SymbolMap, TradingStatuses(BookChanges()), None)
    with TemporaryDirectory() as directory:
        history = FileHistory(Path(directory), facts)
        started = time.process_time()
        history.build(pieces(records))
        rate("read, processor time", len(records.action), time.process_time() - started)
        written = sum(file.stat().st_size for file in Path(directory).iterdir())
        figure("bytes for each record", f"{written / len(records.action):.0f}", note="ceiling 150")
        first, last = history.records.first_ns or 0, history.records.last_ns or 0
        books = history.at().engine.keys()
        keys = [publisher << 32 | instrument for publisher, instrument in books]
        seconds = []
        for at_ns in np.random.default_rng(1).integers(first, last, MOMENTS).tolist():
            started = time.perf_counter()
            history.at(Moment(at_ns), keys[at_ns % len(keys)])
            seconds.append(time.perf_counter() - started)
        p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
        figure("a book at a moment, p50", f"{p50:.1f} ms")
        figure("  p99", f"{p99:.1f} ms", note="ceiling 100")


def pieces(records: MboBatch) -> Iterator[MboBatch]:
    """The records as a file gives them."""
    return split_batches([records], BATCH_ROWS)


if __name__ == "__main__":
    main()
