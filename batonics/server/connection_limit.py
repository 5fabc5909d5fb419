"""The door: how many connections there may be, before a byte of theirs is read.

The rule here: a connection that is one too many gets 503 and is closed; it costs nothing more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import prometheus_client

from batonics.settings.table import ServerLimits

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)


class ConnectionLimit:
    """Counts connections, in all and by address."""

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        limits: ServerLimits,
        refused: prometheus_client.Counter,
    ) -> None:
        self.make, self._limits, self._refused = make, limits, refused
        self._there: Counter[str] = Counter()

    def open(self) -> asyncio.Protocol:
        """What asyncio asks for at a new connection."""
        return _Connection(self)

    def enter(self, address: str) -> bool:
        """Count a connection; False if there is no room for it."""
        limits = self._limits
        if (
            self._there.total() >= limits.connections_max
            or self._there[address] >= limits.connections_per_address_max
        ):
            self._refused.labels("connections").inc()
            return False
        self._there[address] += 1
        return True

    def leave(self, address: str) -> None:
        """A connection that had entered has gone."""
        self._there[address] -= 1
        if not self._there[address]:
            del self._there[address]


class _Connection(asyncio.Protocol):
    """Hands everything on to the protocol that answers, if the connection may stay."""

    def __init__(self, door: ConnectionLimit) -> None:
        self._door = door
        self._inner: asyncio.Protocol | None = None
        self._address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        if self._door.enter(self._address):
            self._inner = self._door.make()
            self._inner.connection_made(transport)
        elif isinstance(transport, asyncio.WriteTransport):
            transport.write(_FULL)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._inner is not None:
            self._door.leave(self._address)
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._inner is None else self._inner.eof_received()

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()
