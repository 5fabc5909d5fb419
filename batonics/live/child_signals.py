"""Processes that a live feed starts leave signals to it.

The rule here: ^C, `timeout` and a service manager signal every process of a group. A child that
ended before its parent would take with it what the parent is about to send.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS_LEFT = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


@contextmanager
def signals_left_to_parent() -> Iterator[None]:
    """Within the block, processes start with the signals blocked, and this thread gets none."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS_LEFT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
