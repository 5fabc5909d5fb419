"""Who may ask at all: Host, Origin, token, and what a request may carry.

The rule here: a page in a browser may read a book only if it is ours or is on the list. So Host
must be an address of ours (a name that was made to point here has another), Origin must be that
Host (or be on the list), and neither is trusted to be there only once. These are pure functions;
`app` asks them before anything else looks at a request.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"https?://(.+)")
_OURS = ("localhost", "127.0.0.1", "[::1]")
_URL_TOKENS = ("token", "access_token", "bearer", "api_key", "key")
_BEARER = "bearer "
WEBSOCKET_PROTOCOL = "batonics"
"""The WebSocket protocol that a browser asks for, beside `bearer.TOKEN`, for it must get one."""
_PROTOCOL_BEARER = "bearer."


class Refusal(NamedTuple):
    """Why a request is refused: HTTP status, a word for metrics and logs, a sentence."""

    status: int
    reason: str
    detail: str


@dataclass(frozen=True)
class RequestFacts:
    """What of a request decides; every header as often as it came.

    Attributes:
        target: path and query, as sent.
        parameters: names of the query's parameters.
        hosts, origins, authorizations, protocols, encodings: headers Host, Origin, Authorization,
            Sec-WebSocket-Protocol, Content-Encoding.
        has_body: something follows the headers.
        preflight: a browser asks whether a page may ask; it sends no token with that.
        local: the IP address and port that the connection has come to.
    """

    target: str
    parameters: tuple[str, ...]
    hosts: Sequence[str]
    origins: Sequence[str]
    authorizations: Sequence[str]
    protocols: Sequence[str]
    encodings: Sequence[str]
    has_body: bool
    local: tuple[str, int]
    preflight: bool = False


@dataclass(frozen=True)
class Rules:
    """What is allowed; see `ServerConfig`."""

    token: str | None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()


def check_request(asked: RequestFacts, rules: Rules) -> Refusal | None:
    """Why a request is refused; None if it is not."""
    return (
        _wrong_place(asked, rules)
        or _wrong_load(asked)
        or (_wrong_token(asked, rules.token) if rules.token and not asked.preflight else None)
    )


def _wrong_place(asked: RequestFacts, rules: Rules) -> Refusal | None:
    if not asked.target.startswith("/"):
        return Refusal(400, "target", "a request's target is a path")
    if len(asked.hosts) != 1:
        return Refusal(400, "host", "a request has one Host header")
    if not is_allowed_host(asked.hosts[0], asked.local, rules.allowed_hosts):
        return Refusal(403, "host", "this Host is not one of ours; see --allow-host")
    if len(asked.origins) > 1:
        return Refusal(400, "origin", "a request has one Origin header at the most")
    if asked.origins and not is_allowed_origin(asked.origins[0], asked.hosts[0], rules):
        return Refusal(403, "origin", "pages of this Origin may not ask; see --allow-origin")
    return None


def _wrong_load(asked: RequestFacts) -> Refusal | None:
    if asked.encodings:
        return Refusal(415, "content_encoding", "no encoded bodies are taken")
    if asked.has_body:
        return Refusal(413, "body", "no bodies are taken")
    if any(name.lower() in _URL_TOKENS for name in asked.parameters):
        return Refusal(400, "url_token", "a token in a URL ends up in logs: use Authorization")
    return None


def _wrong_token(asked: RequestFacts, token: str) -> Refusal | None:
    given = read_tokens(asked.authorizations, asked.protocols)
    if not given:
        return Refusal(401, "no_token", "this needs the header Authorization: Bearer TOKEN")
    if len(given) > 1 or not tokens_equal(given[0], token):
        return Refusal(401, "wrong_token", "this is not the token")
    return None


def is_allowed_host(host: str, local: tuple[str, int], allowed: Sequence[str]) -> bool:
    """Whether a Host header names us: the address it came to, this machine, or one of `allowed`.

    Args:
        host: the header, `NAME` or `NAME:PORT`.
        local: the IP address and port that the connection has come to.
        allowed: more names; one without a port fits every port.
    """
    match = _HOST.fullmatch(host.lower())
    if match is None:
        return False
    name, port = match[1], int(match[2] or 80)
    if any(one.lower() in (name, f"{name}:{port}") for one in allowed):
        return True
    return port == local[1] and name in (*_OURS, _as_host(local[0]))


def is_allowed_origin(origin: str, host: str, rules: Rules) -> bool:
    """Whether pages of an Origin may ask: those that came from `host`, or are listed."""
    if is_listed_origin(origin, rules):
        return True
    match = _ORIGIN.fullmatch(origin.lower())
    return match is not None and match[1] == host.lower()


def is_listed_origin(origin: str, rules: Rules) -> bool:
    """Whether an Origin is on the list, so that a browser is told that its pages may read."""
    return origin.lower() in {one.lower() for one in rules.allowed_origins}


def read_tokens(authorizations: Sequence[str], protocols: Sequence[str]) -> list[str]:
    """The tokens that a request shows.

    In `Authorization: Bearer TOKEN`, or, since a browser's WebSocket has no headers of its own, as
    a protocol: `new WebSocket(url, ["batonics", "bearer.TOKEN"])`.
    """
    headers = [
        value[len(_BEARER) :].strip()
        for value in authorizations
        if value.lower().startswith(_BEARER)
    ]
    offered = [one.strip() for value in protocols for one in value.split(",")]
    return headers + [
        one.removeprefix(_PROTOCOL_BEARER) for one in offered if one.startswith(_PROTOCOL_BEARER)
    ]


def tokens_equal(given: str, token: str) -> bool:
    """Whether two tokens are one, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


def _as_host(ip: str) -> str:
    ip = ip.partition("%")[0].removeprefix("::ffff:")
    return f"[{ip}]" if ":" in ip else ip
