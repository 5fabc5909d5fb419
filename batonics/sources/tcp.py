"""TCP connections of live feeds.

The rule: a connection is made within a limited time or not at all. The caller reads from it.
"""

from __future__ import annotations

import socket
import time
from typing import NamedTuple

from batonics.model.errors import UsageError

_KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}


class TcpAddress(NamedTuple):
    """The address of a TCP server.

    Attributes:
        host: host name, or IP address without brackets.
        port: port.
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> TcpAddress:
        """Parse `HOST:PORT` or `[V6]:PORT`; UsageError if the text is neither."""
        host, _, port = text.rpartition(":")
        host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not host or not port.isdecimal() or not 0 <= int(port) < 2**16:
            raise UsageError(
                f"not an address: {text!r}; expected HOST:PORT, such as 127.0.0.1:9999"
            )
        return cls(host, int(port))


def connect(address: TcpAddress, timeout_s: float) -> socket.socket:
    """A connected, blocking socket.

    Raises:
        OSError: the connection fails, or takes too long.
    """
    sock = socket.create_connection(address, timeout=timeout_s)
    # The kernel grows the receive buffer as needed, unless a size is set.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Keepalive detects a vanished peer within a minute.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    sock.settimeout(None)
    return sock


class LineReader:
    """Reads lines from the beginning of a connection, within a total time.

    Args:
        sock: a connected socket; its timeout changes.
        line_bytes_max: limit of a line.
        error: raised if a line, or all of them, are longer.
        timeout_s: limit of the time from now until the last line.
        bytes_max: limit of all lines; None: there is none.

    """

    def __init__(
        self,
        sock: socket.socket,
        line_bytes_max: int,
        error: Exception,
        timeout_s: float,
        bytes_max: int | None = None,
    ) -> None:
        self._bytes = bytearray()
        self._sock, self._line_bytes_max, self._error = sock, line_bytes_max, error
        self._bytes_left = bytes_max
        self.set_timeout(timeout_s)

    def set_timeout(self, timeout_s: float) -> None:
        """Set the time from now until the last line."""
        self._deadline = time.monotonic() + timeout_s

    @property
    def rest(self) -> bytes:
        """Bytes that were read after the last line."""
        return bytes(self._bytes)

    def line(self) -> bytes:
        """The next line, without its newline.

        Raises:
            ConnectionError: the other side closes first.
            TimeoutError: the time is over.
        """
        searched = 0
        while (end := self._bytes.find(b"\n", searched)) < 0:
            searched = len(self._bytes)
            if searched > self._line_bytes_max:
                raise self._error
            self._bytes += self._receive()
        line = bytes(self._bytes[:end])
        del self._bytes[: end + 1]
        if self._bytes_left is not None:
            self._bytes_left -= end + 1
            if self._bytes_left < 0:
                raise self._error
        return line

    def _receive(self) -> bytes:
        self._sock.settimeout(max(self._deadline - time.monotonic(), 1e-3))
        data = self._sock.recv(1 << 16)
        if not data:
            raise ConnectionError("the other side has closed the connection")
        if time.monotonic() > self._deadline:
            raise TimeoutError("timed out")
        return data
