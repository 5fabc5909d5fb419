"""The limit of open TCP connections, in all and for each address.

The rule here: a connection beyond the limit gets 503 and is closed before any of its bytes is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import prometheus_client

from batonics.settings.table import ServerLimits
from batonics.sources.connection_limits import ConnectionCounts

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)


class ConnectionLimit:
    """Counts open connections.

    Args:
        make_protocol: makes the protocol that serves a connection.
        limits: how many connections there may be.
        refused: the counter of refused requests.
    """

    def __init__(
        self,
        make_protocol: Callable[[], asyncio.Protocol],
        limits: ServerLimits,
        refused: prometheus_client.Counter,
    ) -> None:
        self.make_protocol, self._refused = make_protocol, refused
        self._counts = ConnectionCounts(limits.connections_max, limits.connections_per_address_max)

    def new_connection(self) -> asyncio.Protocol:
        """The protocol of a new connection, for asyncio."""
        return _LimitedConnection(self)

    def acquire(self, address: str) -> bool:
        """Count a connection from an address; False if it is beyond the limit."""
        is_allowed = self._counts.acquire(address)
        if not is_allowed:
            self._refused.labels("connections").inc()
        return is_allowed

    def release(self, address: str) -> None:
        """Count a connection that was acquired as closed."""
        self._counts.release(address)


class _LimitedConnection(asyncio.Protocol):
    """Passes everything on to the protocol that serves, if the limit lets the connection in."""

    def __init__(self, limit: ConnectionLimit) -> None:
        self._limit = limit
        self._inner: asyncio.Protocol | None = None
        self._address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        if self._limit.acquire(self._address):
            self._inner = self._limit.make_protocol()
            self._inner.connection_made(transport)
        elif isinstance(transport, asyncio.WriteTransport):
            transport.write(_FULL)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._inner is not None:
            self._limit.release(self._address)
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
