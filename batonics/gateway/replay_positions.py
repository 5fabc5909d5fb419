"""Where connections that a fault has ended were left, and what has happened to all of them.

The rule here: of connections that have been broken, the one broken first is gone on with first; who
comes when none is left begins at the beginning. So one client alone meets what `faults.connections`
says. Safe from any thread.
"""

from __future__ import annotations

import threading
from collections import deque

from batonics.gateway.faults import REPLAY_START, Fault, FaultCounts, FaultInjector, ReplayPosition


class ReplayPositions:
    """The places of a replay.

    Attributes:
        ledger: what has happened on connections that are over.
    """

    def __init__(self) -> None:
        self.fault_counts = FaultCounts()
        self._lock = threading.Lock()
        self._left: deque[ReplayPosition] = deque()
        self._begun = 0

    def take(self) -> tuple[int, ReplayPosition]:
        """The number of the connection that begins now, and the place that it goes on from."""
        with self._lock:
            self._begun += 1
            return self._begun - 1, self._left.popleft() if self._left else REPLAY_START

    def leave(self, injector: FaultInjector, fault: Fault | None) -> None:
        """Count what has happened to a connection, and keep its place if a fault has ended it."""
        with self._lock:
            self.fault_counts.add(injector.fault_counts)
            if fault is not None:
                self._left.append(injector.position)
