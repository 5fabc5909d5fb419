"""How fast this tree is beside another checkout, in one run and in turn.

    git worktree add ../base COMMIT
    python -m tests.bench.bench_pairs --base ../base                       # the usual frames
    python -m tests.bench.bench_pairs --base ../base bbo-1s orders         # some of them
    python -m tests.bench.bench_pairs --base ../base 'batonics.reconstruct(file)' --file day.dbn

Each checkout runs in a process of its own. The two take turns with each work, so that a noisy
machine meets both alike. A time is processor time of all threads, the least of all rounds. The
ratio is this tree's time by the base's, the median of all rounds: below 1.00 this tree is faster.

The files are CLX5 and ESH4 where BATONICS_TEST_DATA is set, else the project's own sample.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Self

from tests.bench.harness import heading, print_machine
from tests.support.paths import ROOT

ROUNDS = 40
FRAMES = {
    "mbp-10": "mbp(10)",
    "mbp-1": "mbp(1)",
    "tbbo": "tbbo()",
    "bbo-1s": "bbo(every='1s')",
    "consolidated": "mbp(1, consolidated=True)",
    "orders": "orders()",
    "bbo": "bbo()",
    "depth": "depth(10, every='1s')",
    "bars": "bars(volume=500)",
    "deltas": "deltas()",
}
"""Frames of `.mbo` by the names of the command line."""


class Checkout:
    """A process that runs works with the package of one checkout, as a context manager.

    Args:
        directory: the root of the checkout.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> Self:
        environment = {**os.environ, "PYTHONPATH": str(self._directory)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER],
            cwd=self._directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._process.communicate()

    def seconds(self, file: Path, work: str) -> float:
        """The processor seconds of one run of a Python expression of `file` and `batonics`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(f"{file}\t{work}", file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit(f"{self._directory}: {work} failed")
        return float(answer)


_WORKER = """
import sys, time
import batonics
for line in sys.stdin:
    file, _, work = line.rstrip("\\n").partition("\\t")
    code = compile(work, "work", "eval")
    started = time.process_time()
    eval(code)
    print(time.process_time() - started, flush=True)
"""


def test_files() -> list[Path]:
    """The files that are measured unless others are named."""
    data = os.environ.get("BATONICS_TEST_DATA")
    if data is None:
        return [ROOT / "data" / "sample.dbn.zst"]
    return [Path(data) / "clx5" / "CLX5_mbo.dbn", *sorted(Path(data, "esh4").glob("*20231225*"))]


def work_of(name: str) -> str:
    """The expression of a frame's name; any other text is an expression itself."""
    return f"batonics.scan_mbo(file).mbo.{FRAMES[name]}.collect()" if name in FRAMES else name


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description="Times of this tree beside those of another.")
    parser.add_argument("works", nargs="*", metavar="WORK", help="a frame, or an expression")
    parser.add_argument("--base", type=Path, required=True, help="the root of the other checkout")
    parser.add_argument("--file", type=Path, action="append", help="a file of MBO records")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    print_machine()
    with Checkout(ROOT) as here, Checkout(options.base.resolve()) as base:
        for file in options.file or test_files():
            heading(f"{file.name}, processor time, {options.rounds} rounds")
            print(f"{'':<40} {'this tree':>12} {'base':>12} {'ratio':>8}")
            for name in options.works or FRAMES:
                work = work_of(name)
                here.seconds(file.resolve(), work)  # kernels compile
                base.seconds(file.resolve(), work)
                pairs = [
                    (here.seconds(file.resolve(), work), base.seconds(file.resolve(), work))
                    for _ in range(options.rounds)
                ]
                own, other = (min(times) * 1e3 for times in zip(*pairs, strict=True))
                ratio = median(ours / theirs for ours, theirs in pairs)
                print(f"{name:<40} {own:>9.2f} ms {other:>9.2f} ms {ratio:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
