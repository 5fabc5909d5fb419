"""Feeds that ingest can be given: plain TCP, and the vendor's gateway.

The rule here: a feed knows how to get a connection that goes on behind what the machine has; what
its bytes mean is the machine's business.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

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
from batonics.sources.tcp import CONNECT_SECONDS, LineReader, TcpAddress, connect

HEARTBEAT_GRACE_SECONDS = 10
"""Beyond the heartbeat's interval, as the vendor's client has it."""
REWIND_NS = 5_000_000_000
"""A gateway's `start` is of ts_event, which may run backwards, and lies before ts_recv."""


class PlainFeed:
    """Bare TCP: DBN, length-prefixed records or NDJSON lines, from wherever the other side begins.

    Args:
        address: where it listens.
        hung_seconds: without a byte for so long the connection is given up; None: never.
    """

    def __init__(self, address: TcpAddress, *, idle_timeout_seconds: float | None = None) -> None:
        self.idle_timeout_seconds = idle_timeout_seconds
        self.snapshot = False
        self._address = address

    def __str__(self) -> str:
        return str(self._address)

    def must_reconnect(self, handler: FeedHandler) -> bool:  # noqa: ARG002 - it cannot be asked
        """Whether another connection can fill a gap: no, it begins where it does."""
        return False

    def connect(self, handler: FeedHandler) -> tuple[socket.socket, bytes]:  # noqa: ARG002 - ditto
        """A connected socket; OSError if there is none to be had."""
        return connect(self._address), b""


@dataclass(frozen=True)
class GatewaySubscription:
    """What a gateway is asked for.

    Attributes:
        dataset: such as GLBX.MDP3.
        symbols: names in `stype_in`, or ALL_SYMBOLS alone.
        stype_in: raw_symbol, instrument_id, parent, continuous.
        start_ns: records from this time on; None: from now on.
        snapshot: the books first, as they are now.
        heartbeat_interval_s: seconds of silence after which the gateway says that it is there.
    """

    dataset: str
    symbols: tuple[str, ...]
    stype_in: str = "raw_symbol"
    start_ns: int | None = None
    snapshot: bool = False
    heartbeat_interval_s: int = 10


class GatewayFeed:
    """The vendor's live gateway, or one that speaks as it does; schema mbo.

    A connection after the first asks for all since some seconds before the place where the last one
    was left. If the gateway cannot go back so far, there is a gap, and another connection asks for
    snapshots.

    Args:
        address: where it listens.
        key: ours; it is proved, never sent.
        subscription: what it is asked for.

    Raises:
        UsageError: `start_ns` and `snapshot` exclude each other.
    """

    def __init__(self, address: TcpAddress, key: str, subscription: GatewaySubscription) -> None:
        if subscription.snapshot and subscription.start_ns is not None:
            raise UsageError("a snapshot and a start exclude each other")
        self.idle_timeout_seconds: float | None = (
            subscription.heartbeat_interval_s + HEARTBEAT_GRACE_SECONDS
        )
        self.snapshot = False
        self._address, self._key, self._wanted = address, key, subscription
        self._gaps = 0

    def __str__(self) -> str:
        return str(self._address)

    def must_reconnect(self, handler: FeedHandler) -> bool:
        """Whether this connection has left a gap that another, with snapshots, can fill."""
        return not self.snapshot and handler.stats.gaps > self._gaps

    def connect(self, handler: FeedHandler) -> tuple[socket.socket, bytes]:
        """A socket from which records come; OSError if there is none, InputError if refused."""
        start_ns, snapshot = self._where(handler)
        sock = connect(self._address)
        try:
            sock.settimeout(CONNECT_SECONDS)
            rest = self._handshake(sock, start_ns, snapshot=snapshot)
            sock.settimeout(None)
        except BaseException:
            sock.close()
            raise
        self.snapshot, self._gaps = snapshot, handler.stats.gaps
        return sock, rest

    def _handshake(self, sock: socket.socket, start_ns: int | None, *, snapshot: bool) -> bytes:
        """Prove the key and say what is wanted; what has been read of the records."""
        overlong = InputError(f"{self._address}: it is no gateway: a line without an end")
        lines, wanted = LineReader(sock, LINE_BYTES_MAX, overlong), self._wanted
        lines.line()  # its version
        challenge = parse_line(lines.line()).get("cram")
        if challenge is None:
            raise InputError(f"{self._address}: it is no gateway: it sends no challenge")
        interval = wanted.heartbeat_interval_s
        sock.sendall(auth_line(challenge, self._key, wanted.dataset, heartbeat_interval_s=interval))
        answer = parse_line(lines.line())
        if answer.get("success") != "1":
            reason = answer.get("error") or "it does not say why"
            raise InputError(f"{self._address}: the gateway refuses us: {reason}")
        sock.sendall(self._subscription(start_ns, snapshot=snapshot))
        return lines.rest

    def _where(self, handler: FeedHandler) -> tuple[int | None, bool]:
        """From when on this connection is to bring records, or whether with snapshots."""
        if handler.position == FEED_START:
            return self._wanted.start_ns, self._wanted.snapshot
        # As long as a book is stale, be it that an earlier snapshot was cut short.
        if Status.STALE in handler.engine.statuses():
            return None, True
        return max(handler.position.ts_event - REWIND_NS, 0), False

    def _subscription(self, start_ns: int | None, *, snapshot: bool) -> bytes:
        wanted = self._wanted
        count = len(wanted.symbols)
        lines = (
            subscription_line(
                "mbo",
                wanted.symbols[at : at + SYMBOLS_MAX],
                wanted.stype_in,
                start_ns,
                snapshot,
                is_last=at + SYMBOLS_MAX >= count,
            )
            for at in range(0, count, SYMBOLS_MAX)
        )
        return b"".join(lines) + START_SESSION
