"""What `inspect` and `verify` cost beside `reconstruct`, with few books and with many.

    python -m tests.bench.bench_jobs

Times are processor time of the process, which other work on the machine changes least.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from batonics.codec.dbn import encode_records
from batonics.codec.metadata import Metadata, encode_metadata
from batonics.jobs.inspect import Inspection
from batonics.jobs.reconstruct import ReconstructRequest, reconstruct_files
from batonics.jobs.record_windows import WindowLength
from batonics.jobs.verify import Verification, VerifyRequest
from batonics.model.mbo import MboBatch, concat_batches
from tests.bench.bench_fold import day
from tests.bench.harness import (
    figure,
    fit_exponent,
    heading,
    median_seconds,
    print_machine,
    rate,
)
from tests.support.market_streams import simulated, tile

TILES = 30
INSTRUMENTS, LIVE_ORDERS, RECORDS = 5_000, 200_000, 1_000_000
SMALL_TILES = (2, 4, 8)
ROUNDS = 3


def main() -> None:
    """Print all figures."""
    print_machine()
    name, batch = day()
    with TemporaryDirectory() as directory:
        bench(Path(directory), f"{name} tiled {TILES} times", tile(batch, TILES))
        opening, live = simulated(INSTRUMENTS, LIVE_ORDERS, RECORDS, seed=1)
        many = concat_batches([opening, live])
        bench(Path(directory), f"{INSTRUMENTS:,} books, {LIVE_ORDERS:,} live orders", many)
        heading("verify with windows of 5 events, by the number of records")
        times = []
        for tiles in SMALL_TILES:
            path = write(Path(directory), tile(batch, tiles))
            times.append(cpu_seconds(partial(verify, path, "5 events")))
            figure(f"{tiles * len(batch.action):,} records", f"{times[-1]:.1f} s")
        figure("exponent", f"{fit_exponent(SMALL_TILES, times):.2f}", note="ceiling 1.05")
        heading("verify, wall time")
        for what, records, floor in ((f"{name} tiled", tile(batch, TILES), 3), ("many", many, 1)):
            path = write(Path(directory), records)
            seconds = median_seconds(partial(verify, path, "100000"), ROUNDS)
            rate(what, len(records.action), seconds, note=f"floor {floor}.0")


def bench(directory: Path, name: str, batch: MboBatch) -> None:
    """The rates of the three jobs over a file of the records."""
    path, rows = write(directory, batch), len(batch.action)
    heading(f"{name}, {rows:,} records")
    base = cpu_seconds(lambda: reconstruct_files(ReconstructRequest((path,))))
    rate("reconstruct", rows, base)
    for job, work in (
        ("inspect", lambda: Inspection([path]).run()),
        ("verify", lambda: verify(path, "100000")),
    ):
        seconds = cpu_seconds(work)
        rate(job, rows, seconds, note=f"{seconds / base:.1f} times the time of reconstruct")


def write(directory: Path, batch: MboBatch) -> str:
    """The path of a file of the records."""
    path = directory / "records.dbn"
    path.write_bytes(encode_metadata(Metadata()) + encode_records(batch))
    return str(path)


def verify(path: str, every: str) -> None:
    """Verify a file, which must be proved."""
    report = Verification(VerifyRequest((path,), every=WindowLength.parse(every))).run()
    assert report["proved"]


def cpu_seconds(work: Callable[[], object]) -> float:
    """The least processor time of several rounds, after one that does not count."""
    work()
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


if __name__ == "__main__":
    main()
