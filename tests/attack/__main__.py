"""All attack suites: `python -m tests.attack [--scale S] [--seed N] [--only NAME]`.

The rule: every case of a suite is tried, whatever became of those before it. What is printed of a
suite is how many cases it tried and how many of them batonics survived; a case that it did not
survive is a line of its own, and names what repeats it. The exit code is 1 if there was any.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from tests.attack.suites import SUITES, Suite
from tests.support.revision import revision


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scale", type=float, default=1.0, help="1: the cases of the table")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", metavar="NAME", choices=[suite.name for suite in SUITES])
    options = parser.parse_args()
    if not options.scale > 0:
        parser.error("--scale: expected more than 0")
    ran_on = f"seed {options.seed}, commit {revision()}"
    chosen = [suite for suite in SUITES if options.only in (None, suite.name)]
    breaches = sum(_run(suite, options.scale, options.seed, ran_on) for suite in chosen)
    return 1 if breaches else 0


def _run(suite: Suite, scale: float, seed: int, ran_on: str) -> int:
    """Try a suite; return how many cases were not survived."""
    print(f"\n== {suite.name}: {suite.what}; {ran_on}", flush=True)
    start, tried, breaches = time.monotonic(), 0, 0
    for attempt in suite.run(max(1, round(suite.cases * scale)), seed):
        tried += 1
        if attempt.breach:
            breaches += 1
            print(f"NOT SURVIVED: {attempt.case}: {attempt.breach}", flush=True)
    seconds = time.monotonic() - start
    print(
        f"{suite.name}: tried {tried:,}, survived {tried - breaches:,}, in {seconds:,.0f} s;"
        f" {ran_on}",
        flush=True,
    )
    return breaches


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # what a suite left running, such as a thread that serves, is not waited for
