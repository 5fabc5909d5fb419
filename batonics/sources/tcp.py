"""Live feeds over TCP: where to connect to, and how.

The rule: a connection is made within a time or not at all; what is wrong with it is one line that
says where it should have gone. Reading is the caller's business.
"""

from __future__ import annotations

import socket
from typing import NamedTuple

from batonics.model.errors import UsageError

_KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}


class TcpAddress(NamedTuple):
    """Where something listens."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> TcpAddress:
        """`HOST:PORT` or `[V6]:PORT`; UsageError if it is neither."""
        host, _, port = text.rpartition(":")
        host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not host or not port.isdecimal() or not 0 <= int(port) < 2**16:
            raise UsageError(
                f"not an address: {text!r} is no HOST:PORT (expected such as 127.0.0.1:9999)"
            )
        return cls(host, int(port))


def connect(address: TcpAddress, timeout_s: float) -> socket.socket:
    """A connected, blocking socket.

    Raises:
        OSError: it cannot be had in this time.
    """
    sock = socket.create_connection(address, timeout=timeout_s)
    # The kernel grows the receive buffer as the feed needs it, unless it is told a size.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A peer that has vanished without a word is found out within a minute.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    sock.settimeout(None)
    return sock


class LineReader:
    """The lines that are said on a connection before anything else is.

    Args:
        sock: connected.
        most_bytes: of a line.
        overlong: raised where one is longer.

    Attributes:
        rest: what has been read behind the last line.
    """

    def __init__(self, sock: socket.socket, most_bytes: int, overlong: Exception) -> None:
        self.rest = b""
        self._sock, self._most_bytes, self._overlong = sock, most_bytes, overlong

    def line(self) -> bytes:
        """The next line, without its newline; ConnectionError if there is none."""
        while b"\n" not in self.rest:
            if len(self.rest) > self._most_bytes:
                raise self._overlong
            data = self._sock.recv(1 << 16)
            if not data:
                raise ConnectionError("the other side has hung up")
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\n")
        return line
