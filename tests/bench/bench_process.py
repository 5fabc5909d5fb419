"""What a user waits for: whole processes, start-up, the first run ever, and memory.

python -m tests.bench.bench_process
"""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

from batonics.codec.dbn import encode_records
from batonics.codec.metadata import Metadata, encode_metadata
from tests.bench.bench_fold import day
from tests.bench.harness import figure, heading, print_machine, run_process
from tests.support.market_streams import tile
from tests.support.paths import ROOT

LARGE_BYTES = 1 << 30


def main() -> None:
    """Print all figures."""
    print_machine()
    name, batch = day()
    data = os.environ.get("BATONICS_TEST_DATA")
    small = str(Path(data) / "clx5" / name if data else ROOT / "data" / name)
    heading("whole processes")
    with TemporaryDirectory() as directory:
        out = str(Path(directory) / "book.json")
        arguments = ["reconstruct", small, "--out", out, "--quiet"]
        first = run_process(arguments, BATONICS_KERNEL_DIR=str(Path(directory) / "cache"))[0]
        figure("first run ever, kernels compiling", f"{first:.1f} s", note="ceiling 15 s")
        figure("batonics --help", f"{_median(['--help']):.2f} s", note="ceiling 0.25 s")
        figure(f"reconstruct {name}", f"{_median(arguments):.2f} s", note="ceiling 1.2 s")
        tiles = LARGE_BYTES // (56 * len(batch.action)) + 1
        large = Path(directory) / "large.dbn"
        large.write_bytes(encode_metadata(Metadata()) + encode_records(tile(batch, tiles)))
        small_kib = run_process(arguments)[1]
        seconds, large_kib = run_process(["reconstruct", str(large), "--out", out, "--quiet"])
        figure("resident memory, one day", f"{small_kib // 1024} MiB")
        figure(
            f"resident memory, {large.stat().st_size:,} bytes",
            f"{large_kib // 1024} MiB",
            note=f"in {seconds:.1f} s; ceiling 300 MiB above the books' own state",
        )


def _median(arguments: list[str]) -> float:
    run_process(arguments)
    return statistics.median(run_process(arguments)[0] for _ in range(5))


if __name__ == "__main__":
    main()
