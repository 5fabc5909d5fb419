"""All soaks, with the numbers of the large tier: `python -m tests.soak [--scale S] [--seed N]`.

The rule: each is a process of its own, and all are run, whatever becomes of the one before. What is
printed of each is how much it was, its seed and the commit, before it begins and when it has ended.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.soak.mutants import sample
from tests.support.paths import DATA_VARIABLE, ROOT
from tests.support.revision import revision
from tests.support.stream_profiles import PROFILES
from tests.support.sweep import SEED_VARIABLE, SHARE_VARIABLE

RECORDS = 100_000_000
KILLS = 10_000
FAULTS = 10_000
INTERRUPTS = 5_000
KILLED_LEAST = 0.95
"""Of all mutants of the engine; of a few of them by chance fewer may be."""
SHORT_LIVED = Path("/dev/shm")
"""Where files are that only a kill of a process is to be survived by: no disk is waited for."""


class Soak(NamedTuple):
    """A soak, scaled.

    Attributes:
        name: by which it is chosen.
        what: it does, and how much of it.
        command: behind the name of Python.
        settings: of the environment.
    """

    name: str
    what: str
    command: tuple[str, ...]
    settings: dict[str, str]


def soaks(scale: float, seed: int) -> list[Soak]:
    """Those that there are, each so many times the large tier."""
    rows = max(1, round(RECORDS * scale / len(PROFILES)))
    every = max(1, round(1 / scale))
    mutants = max(1, round(len(sample(seed, 0)) * scale))
    kills = max(1, round(KILLS * scale))
    faults = max(100, round(FAULTS * scale))
    interrupts = max(20, round(INTERRUPTS * scale))
    records = rows * len(PROFILES)
    least = ("--least", str(KILLED_LEAST)) if scale >= 1 else ()
    return [
        Soak(
            "engine",
            f"the engine against the reference: {records:,} random records and the real files;"
            f" a restart at every {'' if every == 1 else f'{every:,}th '}record of CLX5",
            # In the suite a test that takes minutes is one that hangs.
            ("-m", "pytest", "-q", "-o", "faulthandler_timeout=0", "tests/soak/soak_engine.py"),
            {
                "BATONICS_SOAK_ROWS": str(rows),
                "BATONICS_SOAK_SEED": str(seed),
                "BATONICS_SOAK_EVERY": str(every),
            },
        ),
        Soak(
            "sweeps",
            f"{min(scale, 1):.1%} of the cases of sweeps, or what CI runs if that is more",
            ("-m", "pytest", "-q", "-o", "faulthandler_timeout=0", "-m", "sweep", "tests"),
            {SHARE_VARIABLE: str(min(scale, 1)), SEED_VARIABLE: str(seed)},
        ),
        Soak(
            "mutants",
            f"mutants of the engine: {mutants:,}",
            ("-m", "tests.soak.mutants", "--seed", str(seed), "--count", str(mutants), *least),
            {},
        ),
        Soak(
            "lake",
            f"kills at random calls of work on lakes: {kills:,}",
            ("-m", "tests.soak.soak_lake", str(kills), str(seed)),
            {"TMPDIR": str(SHORT_LIVED)} if os.access(SHORT_LIVED, os.W_OK) else {},
        ),
        Soak(
            "interrupts",
            f"signals at random moments of loading kernels: {interrupts:,}",
            ("-m", "tests.soak.soak_interrupts", str(interrupts), str(seed)),
            {},
        ),
        Soak(
            "clients",
            f"faults of connections of clients of /v1/ws: {faults:,}",
            ("-m", "tests.soak.soak_clients", str(faults), str(seed)),
            {},
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scale", type=float, default=1.0, help="1: the large tier")
    parser.add_argument("--seed", type=int, default=1)
    names = [soak.name for soak in soaks(1, 1)]
    parser.add_argument("--only", metavar="NAME", help=", ".join(names))
    options = parser.parse_args()
    if not options.scale > 0:
        parser.error("--scale: expected more than 0")
    chosen = [
        soak for soak in soaks(options.scale, options.seed) if options.only in (None, soak.name)
    ]
    if not chosen:
        parser.error(f"--only {options.only}: expected one of {', '.join(names)}")
    if DATA_VARIABLE not in os.environ:
        print(f"{DATA_VARIABLE} is not set: real files are left out", flush=True)
    ran_on = f"seed {options.seed}, commit {revision()}"
    ended = [(soak, *_run(soak, ran_on)) for soak in chosen]
    for soak, passed, seconds in ended:
        how = "passed" if passed else "FAILED"
        print(f"{how} in {seconds:,.0f} s: {soak.what}; {ran_on}", flush=True)
    return 0 if all(passed for _, passed, _ in ended) else 1


def _run(soak: Soak, ran_on: str) -> tuple[bool, float]:
    """Whether it passed, and in how many seconds."""
    print(f"\n== {soak.what}; {ran_on}", flush=True)
    start = time.monotonic()
    environment = {**os.environ, **soak.settings}
    done = subprocess.run([sys.executable, *soak.command], cwd=ROOT, env=environment, check=False)
    return done.returncode == 0, time.monotonic() - start


if __name__ == "__main__":
    sys.exit(main())
