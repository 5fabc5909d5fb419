"""Checkpoints that somebody made up: arrays, lengths and headers changed, the digest right.

The rule: each is refused in one line, or its books can be folded, published, rebuilt and read. The
cases run in processes of their own (`tests/support/checkpoint_fuzz.py`), which may crash or hang.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from tests.attack.attempt import Attempt
from tests.support.paths import ROOT

CASES_A_PROCESS = 500
SECONDS_MAX = 240


def run(count: int, seed: int) -> Iterator[Attempt]:
    """Try so many; a process that ends early is a breach of its first case."""
    for first in range(0, count, CASES_A_PROCESS):
        size = min(CASES_A_PROCESS, count - first)
        arguments = ["-m", "tests.support.checkpoint_fuzz", str(seed + first), str(size)]
        breach = ""
        try:
            done = subprocess.run(
                [sys.executable, *arguments],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired:
            breach = f"not done after {SECONDS_MAX} s"
        else:
            if done.returncode:
                breach = f"exit code {done.returncode}: {done.stderr[-500:]}"
        yield Attempt(f"python {' '.join(arguments)}", breach)
        for number in range(1, size):
            yield Attempt(f"seed {seed + first}, case {number}")
