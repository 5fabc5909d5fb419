"""A session of the live protocol up to its start, and the words around its records.

The rule here: a client that is not let in is told why; until it starts the session, nothing but
lines is said.
"""

from __future__ import annotations

import secrets
import socket
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from batonics.codec import gateway as lines
from batonics.codec.messages import (
    ERROR_SUBSCRIPTION,
    SYSTEM_HEARTBEAT,
    write_error_message,
    write_system_message,
)
from batonics.gateway.dbn_feed import BytesLike
from batonics.gateway.replay_files import ReplayFiles
from batonics.model.errors import InputError, UsageError
from batonics.sources.tcp import LineReader

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LSG_VERSION = "0.6.0"
LOGIN_S = 30.0
"""How long a client may take to prove its key, and between two lines until it starts."""
SUBSCRIPTIONS_MAX = 10_000
"""Lines of a session: more are refused."""


class RefusedError(Exception):
    """A client is not let in; it has been told why."""


class Login(NamedTuple):
    """A client that has been let in.

    Attributes:
        who: what it says of itself.
        subscriptions: what it wants, each read or else why it could not be.
        rest: bytes that came after the start of the session.
    """

    who: lines.Authentication
    subscriptions: list[lines.SubscriptionRequest | str]
    rest: bytes


def log_in(sock: socket.socket, replay_files: ReplayFiles, key: str | None) -> Login:
    """Speak the protocol up to the start of the session.

    Args:
        sock: connected.
        replay_files: what is offered.
        key: the one that is accepted; None: any.

    Raises:
        RefusedError: the client is not let in.
        OSError: it has gone, or takes too long.
    """
    sock.settimeout(LOGIN_S)
    overlong = ConnectionError("a line that is too long")
    reader = LineReader(sock, lines.LINE_BYTES_MAX, overlong)
    challenge = secrets.token_urlsafe(24)
    sock.sendall(lines.greeting_line(LSG_VERSION) + lines.challenge_line(challenge))
    try:
        who = lines.parse_authentication(reader.line())
        _check(who, challenge, replay_files, key)
    except (InputError, UsageError) as error:
        sock.sendall(lines.refusal_line(str(error)))
        raise RefusedError(str(error)) from None
    sock.sendall(lines.welcome_line(str(time.time_ns())))
    subscriptions: list[lines.SubscriptionRequest | str] = []
    while not _is_start(line := reader.line()):
        if len(subscriptions) == SUBSCRIPTIONS_MAX:
            raise RefusedError("too many subscriptions")
        try:
            subscriptions.append(lines.parse_subscription(line))
        except InputError as error:
            subscriptions.append(str(error))
    sock.settimeout(None)
    return Login(who, subscriptions, reader.rest)


def _check(
    who: lines.Authentication, challenge: str, replay_files: ReplayFiles, key: str | None
) -> None:
    if not lines.is_well_formed(who.auth) or (
        key is not None and not lines.is_proof(who.auth, challenge, key)
    ):
        raise UsageError("authentication failed")
    if replay_files.dataset and who.dataset != replay_files.dataset:
        raise UsageError(f"no dataset {who.dataset[:40]!r}; this replay has {replay_files.dataset}")
    if who.encoding != "dbn":
        raise UsageError(f"encoding {who.encoding[:40]!r} is not offered; there is dbn")
    if who.compression not in ("none", "zstd"):
        raise UsageError(f"compression {who.compression[:40]!r} is not offered; none or zstd")
    if who.ts_out:
        raise UsageError("ts_out is not offered by a replay; ask for ts_out=0")


def _is_start(line: bytes) -> bool:
    try:
        return lines.is_start(line)
    except InputError:
        return False


def heartbeat(ts_event: int) -> bytes:
    """What an idle client is sent."""
    return write_system_message(SYSTEM_HEARTBEAT, "Heartbeat", ts_event)


def late_line_replies(
    sock: socket.socket, rest: bytes, now_ns: Callable[[], int]
) -> Callable[[], bytes]:
    """What answers a client that says anything once its session has started, first `rest`."""

    def answer() -> bytes:
        nonlocal rest
        said, rest = rest, b""
        if not said:
            try:
                said = sock.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return b""
        if not said.strip():
            return b""
        text = "subscriptions are taken before the start of a session only"
        return write_error_message(ERROR_SUBSCRIPTION, text, now_ns())

    return answer


class ZstdSender:
    """Packs what is sent with zstd: one stream, and after each part all of it can be unpacked."""

    def __init__(self, send: Callable[[BytesLike], object]) -> None:
        self._send = send
        self._packer = zstd.ZstdCompressor()

    def __call__(self, data: BytesLike) -> None:
        """Send bytes."""
        packer = self._packer
        self._send(packer.compress(data) + packer.flush(mode=packer.FLUSH_BLOCK))
