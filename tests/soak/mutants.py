"""Do the tests notice? Mutants of the engine's kernels, each against the quick kill suite.

    python -m tests.soak.mutants --seed 1 --count 40          (--count 0: all of them)
    python -m tests.soak.mutants --only fold_kernels.py:17    (one that survived, again)

The rule: a mutant runs in a process of its own, on a copy of the package, with a copy of the
kernel cache, under a limit of time and of memory; whatever it does, it does to itself.
"""

# a command prints

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from batonics import native
from tests.soak import kill_suite
from tests.soak.mutate import count_mutants, mutant
from tests.support.paths import DATA_VARIABLE, ROOT
from tests.support.real_files import CLX5
from tests.support.revision import revision

KERNELS = sorted((ROOT / "batonics" / "book").glob("*kernels.py"))
CPU_S = 50
"""Three times what the suite takes, compilation included: some mutants loop for ever. It is the
process's own time, so that a busy machine kills no mutant."""
MEMORY_BYTES = 6 << 30
"""Of address space: some mutants ask for more and more room."""


class Verdict(StrEnum):
    """How a mutant ended."""

    KILLED = "killed"
    SURVIVED = "survived"
    STILLBORN = "stillborn"


class Result(NamedTuple):
    """A mutant's end, and what the suite said of it."""

    name: str
    verdict: Verdict
    words: str
    seconds: float


def sample(seed: int, count: int) -> list[tuple[Path, int]]:
    """The files and numbers of `count` mutants, or of all of them in order where it is 0."""
    every = [(p, n) for p in KERNELS for n in range(count_mutants(p.read_text()))]
    return random.Random(seed).sample(every, count) if count else every


def judge(path: Path, number: int) -> Result:
    """Run the kill suite against the package with one file changed."""
    changed = mutant(path.read_text(), number)
    start = time.perf_counter()
    with TemporaryDirectory(prefix="mutant-") as name:
        home = Path(name)
        ignored = shutil.ignore_patterns("__pycache__")
        for package in ("batonics", "tests"):
            shutil.copytree(ROOT / package, home / package, ignore=ignored)
        (home / path.relative_to(ROOT)).write_text(changed.source)
        caches = [directory.path for directory in reversed(native.kernel_directories())]
        for cache in filter(Path.is_dir, caches):
            shutil.copytree(cache, home / "cache", dirs_exist_ok=True)
        verdict, words = _run(home, ".".join(path.relative_to(ROOT).with_suffix("").parts))
    return Result(
        f"{path.name}:{number}, line {changed.name}", verdict, words, time.perf_counter() - start
    )


def judge_all(chosen: list[tuple[Path, int]]) -> list[Result]:
    """`judge` each of them, as many at a time as there are processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda one: judge(*one), chosen))


def _run(home: Path, changed: str) -> tuple[Verdict, str]:
    data = os.environ.get(DATA_VARIABLE)
    files = ["--clx5", str(Path(data) / CLX5)] if data else []
    places = {"PYTHONPATH": str(home), "BATONICS_KERNEL_DIR": str(home / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.mutant_process", native._stamp().hex(), changed, *files],
        cwd=home,
        env={**os.environ, **places, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_limit,
    )
    words = done.stdout.strip() or f"exit code {done.returncode}"
    if done.returncode == kill_suite.PASSED:
        return Verdict.SURVIVED, ""
    if done.returncode == kill_suite.STILLBORN:
        return Verdict.STILLBORN, words
    return Verdict.KILLED, words


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def rate(results: list[Result]) -> float:
    """The share of mutants that were killed, of those that were born."""
    counts = Counter(result.verdict for result in results)
    born = counts[Verdict.KILLED] + counts[Verdict.SURVIVED]
    return counts[Verdict.KILLED] / born if born else 1.0


def _named(text: str) -> tuple[Path, int]:
    name, _, number = text.partition(":")
    return next(path for path in KERNELS if path.name == name), int(number)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=40, help="0: all")
    parser.add_argument("--only", metavar="FILE:NUMBER")
    parser.add_argument("--least", type=float, default=0.0, help="fail if fewer were killed")
    options = parser.parse_args()
    chosen = [_named(options.only)] if options.only else sample(options.seed, options.count)
    results = judge_all(chosen)
    for result in results:
        print(f"{result.verdict:9} {result.seconds:5.1f} s  {result.name}", flush=True)
        if result.words:
            print(f"    {result.words}", flush=True)
    counts = Counter(str(result.verdict) for result in results)
    killed = rate(results)
    print(
        f"{dict(counts)}, {killed:.1%} of those born were killed;"
        f" seed {options.seed}, commit {revision()}"
    )
    return int(killed < options.least)


if __name__ == "__main__":
    sys.exit(main())
