"""What the serving process needs to know, and where it may listen.

The rule here: an address that other machines can reach needs a token of 128 bits; a loopback
address does not. The token is neither an argument nor in the environment of the serving process,
since other processes may read those: it comes through a pipe.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from batonics.model.errors import UsageError
from batonics.model.secret import Secret
from batonics.settings.definition import build, flatten_document
from batonics.settings.table import SETTINGS, ServerSettings

(TOKEN_VARIABLE,) = SETTINGS["server.token"].variables
_TOKEN = re.compile(r"[A-Za-z0-9._~-]+")  # what a header and a WebSocket protocol's name both take
_HEX = re.compile(r"[0-9a-fA-F]+")
_HEX_DIGITS_MIN, _LETTERS_MIN = 32, 22  # of 4 and of 6 bits: 128 bits
_DISTINCT_MIN = 8  # a random token of 32 digits has fewer once in ten million
_LISTEN = re.compile(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\[\]:]+)):([0-9]{1,5})")


class ListenAddress(NamedTuple):
    """An IP address and a port to listen on; port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        return ipaddress.ip_address(self.host).is_loopback

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """The address of a text: HOST:PORT, or [HOST]:PORT for IPv6; `localhost` is 127.0.0.1.

        Raises:
            UsageError: the text has another form. Names are refused: they may change their address.
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
class ServerConfig:
    """What the serving process needs to know.

    Attributes:
        settings: the section `server` of the settings.
        view: the books are shown on this terminal.
        log_json: logs are lines of JSON. None: unless standard error is a terminal.
        quiet: only errors are logged.
        fd: an inherited file descriptor: the socket to ingest. `launch` fills it in.
        ready_fd: an inherited file descriptor: a pipe for one line that says whether the start
            went well. `launch` fills it in.
        log_fd: a file descriptor: the log of ingest (`live.record_log`); -1: there is none.
        checkpoint_fd: a file descriptor: the checkpoints for readers of the log; -1: none.
    """

    settings: ServerSettings = field(default_factory=ServerSettings)
    view: bool = False
    log_json: bool | None = None
    quiet: bool = False
    fd: int = -1
    ready_fd: int = -1
    log_fd: int = -1
    checkpoint_fd: int = -1

    def as_json(self) -> dict[str, Any]:
        """A document for `from_json`, without the token."""
        return asdict(replace(self, settings=replace(self.settings, token=None)))

    @classmethod
    def from_json(cls, document: dict[str, Any], token: Secret | None = None) -> ServerConfig:
        """The config of a document of `as_json` and a token."""
        values = flatten_document(document.get("settings", {}))
        settings: ServerSettings = build(ServerSettings, {**values, "token": token})
        return cls(**{**document, "settings": settings})

    def address(self) -> ListenAddress | None:
        """The address to listen on; UsageError if `http` is none."""
        http = self.settings.http
        return None if http is None else ListenAddress.parse(http)


def check_config(config: ServerConfig) -> None:
    """Refuse what must not be served.

    Raises:
        UsageError: the address is none, or others can reach it and there is no token; the token
            could be guessed, or a header cannot hold it.
    """
    address, token = config.address(), config.settings.token
    if token:
        _check_token(token.reveal())
    elif address is not None and not address.is_loopback:
        raise UsageError(
            f"listening on {address}, which others can reach, needs a token of 128 bits in"
            f" {TOKEN_VARIABLE} (make one with: openssl rand -hex 16)"
        )


def _check_token(token: str) -> None:
    long_enough = len(token) >= (_HEX_DIGITS_MIN if _HEX.fullmatch(token) else _LETTERS_MIN)
    if not _TOKEN.fullmatch(token) or not long_enough or len(set(token)) < _DISTINCT_MIN:
        raise UsageError(
            f"{TOKEN_VARIABLE} must hold 128 random bits: 32 hex digits or 22 characters of"
            " A-Z a-z 0-9 - . _ ~ (make one with: openssl rand -hex 16)"
        )
