"""The text lines of the vendor's live protocol, which precede the records. Both sides are here.

The rule here: lines are written strictly, since the vendor's client refuses an unknown key and an
extra `|`. They are read leniently, since a later version may add keys. Source: the clients of the
vendor.

    server  lsg_version=0.6.0
    server  cram=CHALLENGE
    client  auth=DIGEST-LAST5|dataset=GLBX.MDP3|encoding=dbn|ts_out=0|...
    server  success=1|session_id=5                              or success=0|error=TEXT
    client  schema=mbo|stype_in=raw_symbol|symbols=A,B|...      any number of times
    client  start_session=0                                     or start_session
    server  DBN metadata, then records

A line is `key=value` pairs separated by `|`, in UTF-8, and ends with a newline.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import NamedTuple

from batonics.model.errors import InputError, UsageError
from batonics.model.times import parse_time

LINE_BYTES_MAX = 64 << 10
"""The longest line; 500 symbols of 70 bytes fit."""
SYMBOLS_MAX = 500
"""The most symbols of one subscription line; the vendor's limit."""
KEY_BYTES = 32
BUCKET_BYTES = 5
HEARTBEAT_S = 30
"""The interval of a client that requests none."""

START_SESSION = b"start_session=0\n"


class Authentication(NamedTuple):
    """The authentication line of a client.

    Attributes:
        auth: the answer to the challenge.
        dataset: the requested dataset.
        encoding: the encoding of the records.
        compression: the compression of the records.
        ts_out: whether each record carries the time at which it is sent.
        heartbeat_interval_s: seconds without a record before a heartbeat.
        client: the name of the client.
    """

    auth: str
    dataset: str
    encoding: str = "dbn"
    compression: str = "none"
    ts_out: bool = False
    heartbeat_interval_s: int = HEARTBEAT_S
    client: str = ""


class SubscriptionRequest(NamedTuple):
    """One line of a subscription. A larger subscription is several lines, the last with `is_last`.

    Attributes:
        schema: the schema, such as mbo.
        symbols: the symbols, in `stype_in`; ALL_SYMBOLS alone means every one.
        stype_in: the symbology: raw_symbol, instrument_id, ...
        start_ns: the time of the first record; None: the present position of the feed.
        snapshot: whether a snapshot of the books comes first.
        id: the client's number for the subscription; None: it has none.
        is_last: whether no more lines of the subscription follow.
    """

    schema: str
    symbols: tuple[str, ...]
    stype_in: str = "raw_symbol"
    start_ns: int | None = None
    snapshot: bool = False
    id: str | None = None
    is_last: bool = True


def parse_line(line: bytes) -> dict[str, str]:
    """The values of a line by key; a key without `=` has the value "".

    Raises:
        InputError: the line is not text.
    """
    try:
        text = line.decode().strip()
    except UnicodeDecodeError:
        raise InputError(f"gateway: a line that is no text: {line[:40]!r}") from None
    pairs = (part.partition("=") for part in text.split("|") if part)
    return {key: value for key, _, value in pairs}


def write_line(fields: dict[str, object]) -> bytes:
    """A line of fields; a field that is None is omitted.

    Raises:
        UsageError: a value would break the line.
    """
    present = {key: str(value) for key, value in fields.items() if value is not None}
    for key, value in present.items():
        if any(mark in value for mark in "|\r\n"):
            raise UsageError(
                f"gateway: {key} is {value!r}, which a line of the protocol cannot say"
            )
    return "|".join(f"{key}={value}" for key, value in present.items()).encode() + b"\n"


# ---------------------------------------------------------------- the client's side


def challenge_reply(challenge: str, key: str) -> str:
    """The answer that proves a key: a digest of challenge and key, and the key's last letters."""
    digest = hashlib.sha256(f"{challenge}|{key}".encode()).hexdigest()
    return f"{digest}-{key[-BUCKET_BYTES:]}"


def auth_line(  # noqa: PLR0913 - the fields of the line
    challenge: str,
    key: str,
    dataset: str,
    *,
    heartbeat_interval_s: int | None = None,
    compression: str = "none",
    client: str = "batonics",
) -> bytes:
    """The authentication line of our client: it requests DBN without `ts_out`.

    Raises:
        UsageError: a value would break the line.
    """
    return write_line(
        {
            "auth": challenge_reply(challenge, key),
            "dataset": dataset,
            "encoding": "dbn",
            "ts_out": 0,
            "compression": compression,
            "heartbeat_interval_s": heartbeat_interval_s,
            "client": client,
        }
    )


def subscription_line(  # noqa: PLR0913, PLR0917 - the fields of the line
    schema: str,
    symbols: Sequence[str],
    stype_in: str = "raw_symbol",
    start_ns: int | None = None,
    snapshot: bool = False,  # noqa: FBT001, FBT002 - a field like the others
    id: int | str | None = None,  # noqa: A002 - the protocol's name
    is_last: bool = True,  # noqa: FBT001, FBT002 - a field like the others
) -> bytes:
    """One line of a subscription.

    Raises:
        UsageError: there is no symbol or too many, a snapshot and a start, or a value that would
            break the line.
    """
    if not 1 <= len(symbols) <= SYMBOLS_MAX:
        raise UsageError(f"gateway: {len(symbols)} symbols in a line, expected 1 to {SYMBOLS_MAX}")
    if snapshot and start_ns is not None:
        raise UsageError("gateway: a snapshot and a start exclude each other")
    return write_line(
        {
            "schema": schema,
            "stype_in": stype_in,
            "symbols": ",".join(symbols),
            "start": start_ns,
            "snapshot": int(snapshot),
            "id": id,
            "is_last": int(is_last),
        }
    )


# ---------------------------------------------------------------- the server's side


def greeting_line(version: str) -> bytes:
    """The first line of a session."""
    return write_line({"lsg_version": version})


def challenge_line(challenge: str) -> bytes:
    """The second line of a session."""
    return write_line({"cram": challenge})


def welcome_line(session_id: str) -> bytes:
    """The answer to a client whose authentication is accepted."""
    return write_line({"success": 1, "session_id": session_id})


def refusal_line(reason: str) -> bytes:
    """The answer to a client whose authentication is refused."""
    return write_line({"success": 0, "error": " ".join(reason.replace("|", " ").split())})


def is_proof(auth: str, challenge: str, key: str) -> bool:
    """Whether an answer to a challenge proves a key."""
    return hmac.compare_digest(auth.encode(), challenge_reply(challenge, key).encode())


def is_well_formed(auth: str) -> bool:
    """Whether an answer has the right form, without knowing the key."""
    digest, dash, bucket = auth.rpartition("-")
    is_digest = len(digest) == 64 and all(letter in "0123456789abcdef" for letter in digest)
    return bool(dash) and is_digest and len(bucket) == BUCKET_BYTES and bucket.isalnum()


def parse_authentication(line: bytes) -> Authentication:
    """The authentication of a client.

    Raises:
        InputError: `auth` or `dataset` is missing, or a value has the wrong type.
    """
    fields = parse_line(line)
    for name in ("auth", "dataset"):
        if not fields.get(name):
            raise InputError(f"gateway: authentication without {name}")
    return Authentication(
        auth=fields["auth"],
        dataset=fields["dataset"],
        encoding=fields.get("encoding") or "dbn",
        compression=fields.get("compression") or "none",
        ts_out=_flag(fields, "ts_out", default=False),
        heartbeat_interval_s=_number(fields, "heartbeat_interval_s") or HEARTBEAT_S,
        client=fields.get("client", ""),
    )


def parse_subscription(line: bytes) -> SubscriptionRequest:
    """One line of a subscription.

    Raises:
        InputError: the schema or the symbols are missing, or a value has the wrong type.
    """
    fields = parse_line(line)
    symbols = tuple(name.strip() for name in fields.get("symbols", "").split(",") if name.strip())
    if not fields.get("schema") or not symbols:
        raise InputError("gateway: a subscription needs schema and symbols")
    if len(symbols) > SYMBOLS_MAX:
        raise InputError(f"gateway: {len(symbols)} symbols in a line, at most {SYMBOLS_MAX}")
    start = fields.get("start")
    snapshot = _flag(fields, "snapshot", default=False)
    if start and snapshot:
        raise InputError("gateway: snapshot and start exclude each other")
    try:
        start_ns = parse_time(start) if start else None
    except UsageError as error:
        raise InputError(f"gateway: start: {error}") from None
    return SubscriptionRequest(
        schema=fields["schema"],
        symbols=symbols,
        stype_in=fields.get("stype_in") or "raw_symbol",
        start_ns=start_ns,
        snapshot=snapshot,
        id=fields.get("id") or None,
        is_last=_flag(fields, "is_last", default=True),
    )


def is_start(line: bytes) -> bool:
    """Whether a line starts the session."""
    return "start_session" in parse_line(line)


def _flag(fields: dict[str, str], name: str, *, default: bool) -> bool:
    value = fields.get(name, "")
    if value not in ("", "0", "1"):
        raise InputError(f"gateway: {name} is {value[:40]!r}, expected 0 or 1")
    return value == "1" if value else default


def _number(fields: dict[str, str], name: str) -> int | None:
    value = fields.get(name, "")
    if not value or value == "None":
        return None
    if not value.isdecimal() or len(value) > 9:
        raise InputError(f"gateway: {name} is {value[:40]!r}, expected a whole number")
    return int(value)
