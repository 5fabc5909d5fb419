"""Which requests are allowed: Host, Origin, token and body.

The rule here: a page in a browser may read a book only if this server served it, or its origin is
listed. So Host must be an address of this server (a stranger's name that resolves here is none),
Origin must be that Host or listed, and each of them is refused if it is repeated. These are pure
functions; `app` calls them before it does anything else with a request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from batonics.model.secret import Secret

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"https?://(.+)")
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_URL_TOKENS = ("token", "access_token", "bearer", "api_key", "key")
_BEARER = "bearer "
WEBSOCKET_PROTOCOL = "batonics"
"""The WebSocket protocol that a browser offers beside `bearer.TOKEN`, and that is accepted."""
_PROTOCOL_BEARER = "bearer."


class Refusal(NamedTuple):
    """Why a request is refused: HTTP status, label for metrics and logs, sentence."""

    status: int
    reason: str
    detail: str


@dataclass(frozen=True)
class RequestFacts:
    """The parts of a request that decide; a repeated header is a repeated value.

    Attributes:
        target: the path and query, as sent.
        parameters: the names of the query's parameters.
        hosts: the values of the header Host.
        origins: the values of the header Origin.
        authorizations: the values of the header Authorization.
        protocols: the values of the header Sec-WebSocket-Protocol.
        encodings: the values of the header Content-Encoding.
        has_body: a body follows the headers.
        takes_body: what is asked for reads a body.
        local: the IP address and port that the connection was made to.
        is_preflight: a browser asks whether a page may ask. It sends no token with that.
        is_page: it is for a file of the page, which has no data, and asks for the token itself.
    """

    target: str
    parameters: tuple[str, ...]
    hosts: Sequence[str]
    origins: Sequence[str]
    authorizations: Sequence[str] = field(repr=False)
    protocols: Sequence[str] = field(repr=False)
    encodings: Sequence[str]
    has_body: bool
    local: tuple[str, int]
    takes_body: bool = False
    is_preflight: bool = False
    is_page: bool = False


@dataclass(frozen=True)
class Rules:
    """What the settings allow; see `ServerSettings`."""

    token: Secret | None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()


def check_request(facts: RequestFacts, rules: Rules) -> Refusal | None:
    """The reason to refuse a request; None if it is allowed."""
    needs_token = not (facts.is_preflight or facts.is_page)
    return (
        _check_origin(facts, rules)
        or _check_body(facts)
        or (_check_token(facts, rules.token) if rules.token and needs_token else None)
    )


def _check_origin(facts: RequestFacts, rules: Rules) -> Refusal | None:
    if not facts.target.startswith("/"):
        return Refusal(400, "target", "a request's target is a path")
    if len(facts.hosts) != 1:
        return Refusal(400, "host", "a request has one Host header")
    if not is_allowed_host(facts.hosts[0], facts.local, rules.allowed_hosts):
        return Refusal(403, "host", "this Host is not one of ours; see --allow-host")
    if len(facts.origins) > 1:
        return Refusal(400, "origin", "a request has one Origin header at the most")
    if facts.origins and not is_allowed_origin(facts.origins[0], facts.hosts[0], rules):
        return Refusal(403, "origin", "pages of this Origin may not ask; see --allow-origin")
    return None


def _check_body(facts: RequestFacts) -> Refusal | None:
    if facts.encodings:
        return Refusal(415, "content_encoding", "no encoded bodies are taken")
    if facts.has_body and not facts.takes_body:
        return Refusal(413, "body", "no bodies are taken")
    if any(name.lower() in _URL_TOKENS for name in facts.parameters):
        return Refusal(400, "url_token", "a token in a URL ends up in logs: use Authorization")
    return None


def _check_token(facts: RequestFacts, token: Secret) -> Refusal | None:
    given = read_tokens(facts.authorizations, facts.protocols)
    if not given:
        return Refusal(401, "no_token", "this needs the header Authorization: Bearer TOKEN")
    if len(given) > 1 or not token.matches(given[0]):
        return Refusal(401, "wrong_token", "this is not the token")
    return None


def is_allowed_host(host: str, local: tuple[str, int], allowed: Sequence[str]) -> bool:
    """Whether a Host header names this server.

    Args:
        host: the header, `NAME` or `NAME:PORT`.
        local: the IP address and port that the connection was made to. They are allowed, and so is
            this machine's loopback name with that port.
        allowed: further names; one without a port allows every port.
    """
    match = _HOST.fullmatch(host.lower())
    if match is None:
        return False
    name, port = match[1], int(match[2] or 80)
    if any(one.lower() in (name, f"{name}:{port}") for one in allowed):
        return True
    return port == local[1] and name in (*_LOOPBACK_NAMES, _as_host(local[0]))


def is_allowed_origin(origin: str, host: str, rules: Rules) -> bool:
    """Whether pages of an origin may ask: those that `host` served, or a listed origin's."""
    if is_listed_origin(origin, rules):
        return True
    match = _ORIGIN.fullmatch(origin.lower())
    return match is not None and match[1] == host.lower()


def is_listed_origin(origin: str, rules: Rules) -> bool:
    """Whether an origin is listed; browsers then let its pages read."""
    return origin.lower() in {one.lower() for one in rules.allowed_origins}


def read_tokens(authorizations: Sequence[str], protocols: Sequence[str]) -> list[str]:
    """The tokens of a request, from `Authorization: Bearer TOKEN` or from a WebSocket protocol.

    A browser's WebSocket cannot set headers, but protocols it can:
    `new WebSocket(url, ["batonics", "bearer.TOKEN"])`.
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


def _as_host(ip: str) -> str:
    ip = ip.partition("%")[0].removeprefix("::ffff:")
    return f"[{ip}]" if ":" in ip else ip
