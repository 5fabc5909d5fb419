"""A session of the live protocol: login, subscriptions, and the messages around its records.

The rule here: a refused client is told the reason. Until the client starts the session, both sides
send only lines.
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
from batonics.gateway.feed_pieces import BytesLike
from batonics.gateway.replay_files import ReplayFiles
from batonics.model.errors import InputError, UsageError
from batonics.model.secret import Secret
from batonics.settings.table import ReplaySettings
from batonics.sources.tcp import LineReader

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LSG_VERSION = "0.6.0"


class RefusedError(Exception):
    """A client is refused; it has been told the reason."""


class Login(NamedTuple):
    """A client that has logged in and started its session.

    Attributes:
        authentication: the fields of its authentication.
        subscriptions: its subscriptions; in place of a line that cannot be parsed, the error text.
        unread: the bytes that it has sent after the start of the session.
    """

    authentication: lines.Authentication
    subscriptions: list[lines.SubscriptionRequest | str]
    unread: bytes


def log_in(sock: socket.socket, replay_files: ReplayFiles, settings: ReplaySettings) -> Login:
    """Run the protocol up to the start of the session.

    Args:
        sock: the socket of the client.
        replay_files: the files that are offered.
        settings: the key that is accepted, the time that a login may take, and its size.

    Raises:
        RefusedError: the client is refused.
        OSError: the client has closed the connection, or takes too long.
    """
    overlong = ConnectionError("its lines are too long")
    reader = LineReader(
        sock,
        lines.LINE_BYTES_MAX,
        overlong,
        settings.login_timeout_s,
        bytes_max=settings.login_bytes_max,
    )
    sock.settimeout(settings.login_timeout_s)
    challenge = secrets.token_urlsafe(24)
    sock.sendall(lines.greeting_line(LSG_VERSION) + lines.challenge_line(challenge))
    try:
        authentication = lines.parse_authentication(reader.line())
        _check_authentication(authentication, challenge, replay_files, settings.gateway_key)
    except (InputError, UsageError) as error:
        sock.sendall(lines.refusal_line(str(error)))
        raise RefusedError(str(error)) from None
    sock.sendall(lines.welcome_line(str(time.time_ns())))
    reader.set_timeout(settings.start_timeout_s)
    subscriptions: list[lines.SubscriptionRequest | str] = []
    while not _is_start(line := reader.line()):
        if len(subscriptions) == settings.subscriptions_max:
            raise RefusedError("too many subscriptions")
        try:
            subscriptions.append(lines.parse_subscription(line))
        except InputError as error:
            subscriptions.append(str(error))
    sock.settimeout(None)
    return Login(authentication, subscriptions, reader.rest)


def _check_authentication(
    fields: lines.Authentication, challenge: str, replay_files: ReplayFiles, key: Secret | None
) -> None:
    """Check a client's authentication; UsageError if it is refused."""
    if not lines.is_well_formed(fields.auth) or (
        key is not None and not lines.is_proof(fields.auth, challenge, key.reveal())
    ):
        raise UsageError("authentication failed")
    dataset = replay_files.dataset
    if dataset and fields.dataset != dataset:
        raise UsageError(f"no dataset {fields.dataset[:40]!r}; this replay has {dataset}")
    if fields.encoding != "dbn":
        raise UsageError(f"encoding {fields.encoding[:40]!r} is not offered; there is dbn")
    if fields.compression not in ("none", "zstd"):
        raise UsageError(f"compression {fields.compression[:40]!r} is not offered; none or zstd")
    if fields.ts_out:
        raise UsageError("ts_out is not offered by a replay; ask for ts_out=0")


def _is_start(line: bytes) -> bool:
    try:
        return lines.is_start(line)
    except InputError:
        return False


def heartbeat_record(ts_event: int) -> bytes:
    """The record that an idle client is sent."""
    return write_system_message(SYSTEM_HEARTBEAT, "Heartbeat", ts_event)


class LateLines:
    """Answers what a client sends after the start of its session: an error, and nothing else.

    Args:
        sock: the socket of the client.
        unread: the bytes that have been read from it already.
        now_ns: the time of the feed.
    """

    def __init__(self, sock: socket.socket, unread: bytes, now_ns: Callable[[], int]) -> None:
        self._sock, self._unread, self._now_ns = sock, unread, now_ns

    def replies(self) -> bytes:
        """The answer to what has arrived; empty if nothing has. It does not wait."""
        data, self._unread = self._unread, b""
        if not data:
            try:
                data = self._sock.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return b""
        if not data.strip():
            return b""
        text = "subscriptions are taken before the start of a session only"
        return write_error_message(ERROR_SUBSCRIPTION, text, self._now_ns())


class ZstdSender:
    """Compresses what is sent into one zstd stream; each part can be decompressed at once.

    Args:
        send: sends bytes to the client.
    """

    def __init__(self, send: Callable[[BytesLike], object]) -> None:
        self._send = send
        self._compressor = zstd.ZstdCompressor()

    def send(self, data: BytesLike) -> None:
        """Compress and send bytes."""
        compressor = self._compressor
        self._send(compressor.compress(data) + compressor.flush(mode=compressor.FLUSH_BLOCK))
