"""A process that a live feed starts is not ended by signals to its group."""

from __future__ import annotations

import signal
import subprocess
import sys

from batonics.live.child_signals import SIGNALS_LEFT, signals_left_to_parent

_PRINT_MASK = "import signal; print(sorted(map(int, signal.pthread_sigmask(0, []))))"


def test_children_start_with_the_signals_blocked() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with signals_left_to_parent():
        mask = subprocess.check_output([sys.executable, "-c", _PRINT_MASK], text=True)
    assert mask.strip() == str(sorted(map(int, SIGNALS_LEFT | before)))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
