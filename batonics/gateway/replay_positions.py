"""Where broken connections of a replay ended, and the counts of faults of all connections.

The rule here: a new connection continues the broken connection that ended first; if there is none,
it starts at the beginning. So a single client receives exactly what `simulate_connections`
gives. Any thread may call these methods.
"""

from __future__ import annotations

import threading
from collections import deque

from batonics.gateway.fault_injector import REPLAY_START, FaultInjector, ReplayPosition
from batonics.gateway.faults import Fault, FaultCounts


class ReplayPositions:
    """The positions from which broken connections continue.

    Attributes:
        fault_counts: the counts of all connections that are over.
    """

    def __init__(self) -> None:
        self.fault_counts = FaultCounts()
        self._lock = threading.Lock()
        self._broken: deque[ReplayPosition] = deque()
        self._connections = 0

    def begin_connection(self) -> tuple[int, ReplayPosition]:
        """The number of a new connection, and the position from which it continues."""
        with self._lock:
            self._connections += 1
            position = self._broken.popleft() if self._broken else REPLAY_START
            return self._connections - 1, position

    def end_connection(self, injector: FaultInjector, fault: Fault | None) -> None:
        """Add the counts of a connection; keep its position if a fault has ended it."""
        with self._lock:
            self.fault_counts.add(injector.fault_counts)
            if fault is not None:
                self._broken.append(injector.position)
