"""What the serving process is told when it starts, and when it may listen.

The rule here: what is not this machine alone needs a token. A loopback address may be served
without one; any other address is refused unless BATONICS_TOKEN holds 128 bits. The token is never
an argument, for arguments are there for every process to read.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from batonics.model.errors import UsageError

TOKEN_VARIABLE = "BATONICS_TOKEN"  # noqa: S105 - the name of a variable, not a token
_TOKEN = re.compile(r"[A-Za-z0-9._~-]+")  # what a header and a WebSocket protocol's name both take
_HEX = re.compile(r"[0-9a-fA-F]+")
_HEX_DIGITS_MIN, _LETTERS_MIN = 32, 22  # of 4 and of 6 bits: 128 bits
_DISTINCT_MIN = 8  # a random token of 32 digits has fewer once in ten million
_LISTEN = re.compile(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\[\]:]+)):([0-9]{1,5})")


class ListenAddress(NamedTuple):
    """Where to listen: an IP address and a port; port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(self.host).is_loopback

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """HOST:PORT, [HOST]:PORT for IPv6; `localhost` is 127.0.0.1.

        Raises:
            UsageError: it is no such thing. A name is none: it may be another address tomorrow.
        """
        match = _LISTEN.fullmatch(text)
        host = (
            "127.0.0.1" if match and match[2] == "localhost" else match and (match[1] or match[2])
        )
        try:
            host = str(ipaddress.ip_address(host or ""))
        except ValueError:
            host = None
        if match is None or host is None or int(match[3]) > 65535:
            raise UsageError(
                f"not an address to listen on: {text!r}"
                " (expected such as 127.0.0.1:8080, [::1]:8080)"
            )
        return cls(host, int(match[3]))


@dataclass(frozen=True)
class ServerLimits:
    """What strangers may take of the server.

    Attributes:
        clients, clients_per_address: WebSocket clients.
        connections, connections_per_address: open TCP connections.
        subscriptions: books of one WebSocket client, each channel counted.
        message_bytes: of a message that a WebSocket client sends.
        asks: questions to ingest that wait for their answer.
        send_buffer_bytes: of the kernel's, for each connection: what a slow reader may lag behind.
        header_s: until a request's headers must be there, and of silence between requests.
        stall_s: until a client that takes nothing is cut.
        linger_s: of patience with whom we close, before the connection is torn down.
        ask_s: for an answer of ingest.
        silent_s: without a message of ingest until it counts as hung.
    """

    clients: int = 1024
    clients_per_address: int = 512
    connections: int = 2048
    connections_per_address: int = 1024
    subscriptions: int = 256
    message_bytes: int = 65536
    asks: int = 64
    send_buffer_bytes: int = 1 << 17
    header_s: float = 15.0
    stall_s: float = 10.0
    linger_s: float = 2.0
    ask_s: float = 2.0
    silent_s: float = 5.0


@dataclass(frozen=True)
class ServerConfig:
    """How to serve.

    Attributes:
        http: HOST:PORT, or None for no HTTP.
        view: show the books on this terminal.
        log_json: logs as JSON; None: unless standard error is a terminal.
        allowed_hosts: names, `NAME` or `NAME:PORT`, that the Host header may have besides ours.
        allowed_origins: origins, `https://NAME`, whose pages may ask besides our own.
        limits: see there.
        fd, ready_fd: inherited: the socket to ingest, and where to say that all is well. `launch`
            fills them in.
    """

    http: str | None = None
    view: bool = False
    log_json: bool | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    limits: ServerLimits = field(default_factory=ServerLimits)
    fd: int = -1
    ready_fd: int = -1

    def as_json(self) -> dict[str, Any]:
        """As `from_json` takes it."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> ServerConfig:
        """From `as_json`, possibly by way of JSON."""
        lists = {key: tuple(fields.get(key, ())) for key in ("allowed_hosts", "allowed_origins")}
        return cls(**{**fields, **lists, "limits": ServerLimits(**fields.get("limits", {}))})

    def address(self) -> ListenAddress | None:
        """Where to listen; UsageError if `http` is no address."""
        return None if self.http is None else ListenAddress.parse(self.http)


def read_token(environment: Mapping[str, str] = os.environ) -> str | None:
    """The token; None if there is none. UsageError if it could be guessed or cannot be sent."""
    token = environment.get(TOKEN_VARIABLE, "")
    if not token:
        return None
    long_enough = len(token) >= (_HEX_DIGITS_MIN if _HEX.fullmatch(token) else _LETTERS_MIN)
    if not _TOKEN.fullmatch(token) or not long_enough or len(set(token)) < _DISTINCT_MIN:
        raise UsageError(
            f"{TOKEN_VARIABLE} must hold 128 random bits: 32 hex digits or 22 characters of"
            " A-Z a-z 0-9 - . _ ~ (make one with: openssl rand -hex 16)"
        )
    return token


def check_config(config: ServerConfig, token: str | None) -> None:
    """UsageError if this must not be served."""
    address = config.address()
    if address is not None and token is None and not address.loopback:
        raise UsageError(
            f"listening on {address}, which others can reach, needs a token of 128 bits in"
            f" {TOKEN_VARIABLE} (make one with: openssl rand -hex 16)"
        )
