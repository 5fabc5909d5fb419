"""Sources of a feed: plain TCP, and the vendor's gateway.

The rule here: a source knows how to make a connection that continues behind the handler's position;
the handler knows what the bytes mean.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Protocol

from batonics.book.state import Status
from batonics.codec.gateway import (
    LINE_BYTES_MAX,
    START_SESSION,
    SYMBOLS_MAX,
    auth_line,
    parse_line,
    subscription_line,
)
from batonics.live.feed_handler import FeedHandler
from batonics.live.resume import FEED_START
from batonics.model.errors import InputError, UsageError
from batonics.model.secret import Secret
from batonics.settings.table import LIVE_DEFAULTS, LiveSettings
from batonics.sources.tcp import LineReader, TcpAddress, connect

HEARTBEAT_GRACE_SECONDS = 10
"""A gateway is lost after its heartbeat interval and this; the vendor's client waits as long."""
REWIND_NS = 5_000_000_000
"""How far before the position a gateway is asked to start: its `start` is a ts_event, which may run
backwards and is earlier than ts_recv."""


class FeedSource(Protocol):
    """Makes the connections of a feed.

    Attributes:
        idle_timeout_seconds: a connection is lost after so long without a byte; None: never.
        has_snapshot: whether the last connection begins with a snapshot of each book.
        has_heartbeats: whether an idle feed sends bytes too, so that `idle_timeout_seconds` ends
            every silence.
    """

    idle_timeout_seconds: float | None
    has_snapshot: bool
    has_heartbeats: bool

    def must_reconnect(self, handler: FeedHandler) -> bool:
        """Whether another connection would fill a gap that this one has left."""

    def connect(self, handler: FeedHandler) -> tuple[socket.socket, bytes]:
        """A connected socket, and bytes of the feed that have been read from it already.

        Raises:
            OSError: the connection failed; another try may succeed.
            InputError: the other side refuses the connection; another try is of no use.
        """


class PlainFeed:
    """Plain TCP: DBN, length-prefixed records or NDJSON lines, from where the other side begins.

    Args:
        address: the address of the feed.
        settings: the time to connect, and the time without a byte after which a connection is lost.
    """

    has_heartbeats = False

    def __init__(self, address: TcpAddress, settings: LiveSettings = LIVE_DEFAULTS) -> None:
        self.idle_timeout_seconds = settings.idle_timeout_s
        self._connect_timeout_s = settings.connect_timeout_s
        self.has_snapshot = False
        self._address = address

    def __str__(self) -> str:
        return str(self._address)

    def must_reconnect(self, handler: FeedHandler) -> bool:  # noqa: ARG002 - as FeedSource
        """False: another connection begins wherever the other side does."""
        return False

    def connect(self, handler: FeedHandler) -> tuple[socket.socket, bytes]:  # noqa: ARG002 - as FeedSource
        """A connected socket; OSError if the connection failed."""
        return connect(self._address, self._connect_timeout_s), b""


@dataclass(frozen=True)
class GatewaySubscription:
    """What a gateway is asked for.

    Attributes:
        dataset: the vendor's code of a dataset, such as GLBX.MDP3.
        symbols: names in `stype_in`, or ALL_SYMBOLS alone.
        stype_in: the symbology: raw_symbol, instrument_id, parent or continuous.
        start_ns: the time of the first records; None: now.
        snapshot: whether the current books come first.
        heartbeat_interval_s: seconds of silence after which the gateway sends a heartbeat.
    """

    dataset: str
    symbols: tuple[str, ...]
    stype_in: str = "raw_symbol"
    start_ns: int | None = None
    snapshot: bool = False
    heartbeat_interval_s: int = 10


class GatewayFeed:
    """The vendor's live gateway, or another server of its protocol; schema mbo.

    A connection after the first asks for the records from a few seconds before the position on. If
    the gateway cannot go back so far, there is a gap, and another connection asks for snapshots.

    Args:
        address: the address of the gateway.
        key: the client's key; the client proves that it has the key and never sends it.
        subscription: what the gateway is asked for.
        settings: the time to connect.

    Raises:
        UsageError: the subscription has both `start_ns` and `snapshot`.
    """

    has_heartbeats = True

    def __init__(
        self,
        address: TcpAddress,
        key: Secret,
        subscription: GatewaySubscription,
        settings: LiveSettings = LIVE_DEFAULTS,
    ) -> None:
        if subscription.snapshot and subscription.start_ns is not None:
            raise UsageError("a snapshot and a start exclude each other")
        self.idle_timeout_seconds: float | None = (
            subscription.heartbeat_interval_s + HEARTBEAT_GRACE_SECONDS
        )
        self.has_snapshot = False
        self._address, self._key, self._subscription = address, key, subscription
        self._connect_timeout_s = settings.connect_timeout_s
        self._gaps = 0  # gaps of the feed before this connection

    def __str__(self) -> str:
        return str(self._address)

    def must_reconnect(self, handler: FeedHandler) -> bool:
        """Whether this connection has left a gap, which one with snapshots can fill."""
        return not self.has_snapshot and handler.stats.gaps > self._gaps

    def connect(self, handler: FeedHandler) -> tuple[socket.socket, bytes]:
        """A connected socket that brings records; InputError if the gateway refuses the client."""
        start_ns, snapshot = self._next_start(handler)
        sock = connect(self._address, self._connect_timeout_s)
        try:
            first_bytes = self._handshake(sock, start_ns, snapshot=snapshot)
            sock.settimeout(None)
        except BaseException:
            sock.close()
            raise
        self.has_snapshot, self._gaps = snapshot, handler.stats.gaps
        return sock, first_bytes

    def _handshake(self, sock: socket.socket, start_ns: int | None, *, snapshot: bool) -> bytes:
        """Log in and subscribe; the bytes of records that have been read already."""
        overlong = InputError(f"{self._address}: not a gateway: a line without an end")
        lines = LineReader(sock, LINE_BYTES_MAX, overlong, self._connect_timeout_s)
        dataset = self._subscription.dataset
        interval = self._subscription.heartbeat_interval_s
        lines.line()  # the version
        challenge = parse_line(lines.line()).get("cram")
        if challenge is None:
            raise InputError(f"{self._address}: not a gateway: it sends no challenge")
        sock.sendall(
            auth_line(challenge, self._key.reveal().strip(), dataset, heartbeat_interval_s=interval)
        )
        answer = parse_line(lines.line())
        if answer.get("success") != "1":
            reason = answer.get("error") or "without a reason"
            raise InputError(f"{self._address}: the gateway refuses the client: {reason}")
        sock.sendall(self._subscription_lines(start_ns, snapshot=snapshot))
        return lines.rest

    def _next_start(self, handler: FeedHandler) -> tuple[int | None, bool]:
        """The start of the next connection, and whether it is asked for snapshots."""
        if handler.position == FEED_START:
            return self._subscription.start_ns, self._subscription.snapshot
        # A book may be stale because an earlier snapshot was cut short.
        if Status.STALE in handler.engine.statuses():
            return None, True
        return max(handler.position.ts_event - REWIND_NS, 0), False

    def _subscription_lines(self, start_ns: int | None, *, snapshot: bool) -> bytes:
        subscription = self._subscription
        count = len(subscription.symbols)
        lines = (
            subscription_line(
                "mbo",
                subscription.symbols[at : at + SYMBOLS_MAX],
                subscription.stype_in,
                start_ns,
                snapshot,
                is_last=at + SYMBOLS_MAX >= count,
            )
            for at in range(0, count, SYMBOLS_MAX)
        )
        return b"".join(lines) + START_SESSION
