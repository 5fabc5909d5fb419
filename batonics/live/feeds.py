"""Feeds that ingest can be given: plain TCP, and the vendor's gateway.

The rule here: a feed knows how to get a connection that goes on behind what the machine has; what
its bytes mean is the machine's business.
"""

from __future__ import annotations

import socket

from batonics.live.machine import FeedMachine
from batonics.sources.tcp import Address, connect


class PlainFeed:
    """Bare TCP: DBN, length-prefixed records or NDJSON lines, from wherever the other side begins.

    Args:
        address: where it listens.
        hung_seconds: without a byte for so long the connection is given up; None: never.
    """

    def __init__(self, address: Address, *, hung_seconds: float | None = None) -> None:
        self.hung_seconds = hung_seconds
        self.snapshot = False
        self._address = address

    def __str__(self) -> str:
        return str(self._address)

    def connect(self, machine: FeedMachine) -> tuple[socket.socket, bytes]:  # noqa: ARG002 - it begins where it does
        """A connected socket; OSError if there is none to be had."""
        return connect(self._address), b""
