"""Threads that we started and that still run.

The rule: a query engine's own threads, which call into Python and come and go, do not count.
"""

from __future__ import annotations

import threading

PREFIX = "batonics-"


def package_threads() -> list[threading.Thread]:
    """Live threads with a name of ours."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(PREFIX)]
