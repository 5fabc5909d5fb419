"""How the benchmarks measure and print.

The rule: medians of several rounds, kernels compiled and inputs made before the clock starts, each
figure beside the limit of the same run as a ratio: machines differ, and are noisy.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROUNDS = 5
LIBRARIES = ("batonics", "numpy", "numba", "polars", "pyarrow", "backports.zstd")


def median_seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The median wall time of several rounds, after one that does not count."""
    work()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def paired_ratio(
    work: Callable[[], object], limit: Callable[[], object], rounds: int = ROUNDS
) -> float:
    """The median of limit's time by work's, the two in turn: a noisy machine meets both alike."""
    limit()
    work()
    ratios = []
    for _ in range(rounds):
        started = time.perf_counter()
        limit()
        between = time.perf_counter()
        work()
        ratios.append((between - started) / (time.perf_counter() - between))
    return statistics.median(ratios)


def figure(name: str, value: str, *, note: str = "") -> None:
    """One line of the report."""
    print(f"{name:<58} {value:>14}  {note}".rstrip(), flush=True)


def rate(name: str, records: int, seconds: float, *, note: str = "") -> float:
    """A line of records a second; the rate in millions."""
    millions = records / seconds / 1e6
    figure(name, f"{millions:.1f} M/s", note=note)
    return millions


def heading(text: str) -> None:
    """A line between groups of figures."""
    print(f"\n{text}", flush=True)


def print_machine() -> None:
    """Machine, versions and commit: without them a figure says nothing."""
    print(f"machine: {_cpu()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}")
    load = os.getloadavg()[0]
    print(f"load before: {load:.2f}" + (" (busy: figures are too low)" if load > 0.5 else ""))
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    print(f"Python {platform.python_version()}, {libraries}")
    print(f"commit: {_commit()}")


class ProcessCost(NamedTuple):
    """What a process took.

    Attributes:
        seconds: wall time.
        processor_seconds: processor time of all its threads.
        peak_kib: greatest resident memory.
    """

    seconds: float
    processor_seconds: float
    peak_kib: int


def fit_exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The exponent of a cost in a size; 1 is a cost in proportion."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def run_process(arguments: list[str], **environment: str) -> tuple[float, int]:
    """Run `batonics` in a process of its own; its wall seconds and greatest resident KiB."""
    cost = measure_process(arguments, **environment)
    return cost.seconds, cost.peak_kib


def measure_process(arguments: list[str], **environment: str) -> ProcessCost:
    """Run `batonics` in a process of its own, and measure it."""
    # A process begins with its parent's peak, and ours holds whole streams: one without stands
    # between.
    done = subprocess.run(
        [sys.executable, "-S", "-c", _RUNNER, sys.executable, "-c", _PROGRAM, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds, processor_seconds, peak_kib = done.stdout.split()
    return ProcessCost(float(seconds), float(processor_seconds), int(peak_kib))


_PROGRAM = "from batonics.cli.main import main; main()"
_RUNNER = """
import os, sys, time
started = time.perf_counter()
quiet = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[quiet])
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def _commit() -> str:
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or "unknown"
