"""Signals while kernels are loaded: `python -m tests.soak.soak_interrupts [COUNT [SEED]]`.

The rule: a process that a signal interrupts at any moment ends by KeyboardInterrupt, or with its
work done. It never crashes, and nothing is printed. Each is a fork of one that has imported all and
loaded no kernel.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from tempfile import TemporaryFile

from batonics.book.engine import BookEngine
from batonics.cli.termination import pass_on_as_interrupts
from batonics.sources.stream import MboStream
from tests.support.paths import ROOT

COUNT = 200
INTERRUPTED, FAILED = 130, 99


def fold_sample() -> None:
    """Loads the kernels of decoding and folding."""
    engine = BookEngine(bbo=True, deltas=True)
    for batch in MboStream([ROOT / "data" / "sample.dbn.zst"]).batches():
        engine.fold(batch)


def run_child(ready: int, errors: int) -> None:
    """Do the work in a fork; it ends here."""
    os.dup2(errors, 2)
    code = FAILED
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        pass_on_as_interrupts()
        os.write(ready, b".")
        fold_sample()
        code = 0
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        os._exit(code)


def interrupt(number: int, delay_s: float) -> tuple[int, str, float]:
    """Send a signal (0: none) after a time; the exit code, what was printed, and the seconds."""
    reader, writer = os.pipe()
    with TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            run_child(writer, errors.fileno())
        os.read(reader, 1)
        os.close(reader)
        os.close(writer)
        started = time.monotonic()
        time.sleep(delay_s)
        os.kill(child, number)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        errors.seek(0)
        return code, errors.read().decode(), time.monotonic() - started


def interrupt_often(count: int, seed: int) -> tuple[int, list[str]]:
    """Interrupt so many; how many were interrupted in time, and what went wrong."""
    rng = random.Random(seed)
    interrupt(0, 0)  # compiles what is not there yet
    *_, span_s = interrupt(0, 0)
    interrupted, failures = 0, []
    for number in range(count):
        sent = rng.choice((signal.SIGINT, signal.SIGTERM))
        code, printed, _ = interrupt(sent, rng.uniform(0, span_s))
        interrupted += code == INTERRUPTED
        if code not in (0, INTERRUPTED) or printed:
            failures.append(f"seed {seed}, number {number}: exit code {code}\n{printed}")
    return interrupted, failures


def main() -> int:
    """Print what was found."""
    count, seed = (int(text) for text in [*sys.argv[1:], str(COUNT), "1"][:2])
    interrupted, failures = interrupt_often(count, seed)
    print(f"{count} signals, {interrupted} of them while kernels were loaded")
    print("\n".join(failures), end="")
    return 1 if failures or not interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
