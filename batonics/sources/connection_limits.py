"""How many connections a server may hold: in all, from each address, and by open files.

The rule here: a limit is known before the first connection, so running out of open files refuses
single clients and never the server's own work.
"""

from __future__ import annotations

import resource
from collections import Counter


class ConnectionCounts:
    """Counts open connections by address.

    Args:
        connections_max: the most connections.
        per_address_max: the most connections of one address.
    """

    def __init__(self, connections_max: int, per_address_max: int) -> None:
        self._connections_max, self._per_address_max = connections_max, per_address_max
        self._open: Counter[str] = Counter()
        self._total = 0

    def acquire(self, address: str) -> bool:
        """Count a connection from an address; False if it is beyond a limit."""
        if self._total >= self._connections_max or self._open[address] >= self._per_address_max:
            return False
        self._open[address] += 1
        self._total += 1
        return True

    def release(self, address: str) -> None:
        """Count a connection that was acquired as closed."""
        self._total -= 1
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


def limit_by_open_files(connections: int, *, files_each: int = 1, reserved: int = 0) -> int:
    """How many of the wanted connections the limit of open files permits.

    The soft limit (RLIMIT_NOFILE) is raised as far as needed and as the hard limit permits.

    Args:
        connections: the connections that are wanted.
        files_each: files that are open for each.
        reserved: files that are open for other work.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections * files_each + reserved
    if resource.RLIM_INFINITY != soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else max(soft, min(needed, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return connections
    return min(connections, max(soft - reserved, 0) // files_each)
