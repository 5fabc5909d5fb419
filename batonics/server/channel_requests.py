"""The messages that clients send on /v1/ws, as types, and how they are read.

The rule here: a message that is no request of these types is a `ProblemError` that says in one line
what is wrong. Nothing that a type does not name is ignored.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from batonics.history.playback_clock import SPEED_MAX, SPEED_MIN
from batonics.server.channel_messages import Channel, RequestId
from batonics.server.query_params import QUERY_DEPTH_MAX, ProblemError

CONFLATE_MS_DEFAULT, CONFLATE_MS_MAX = 50, 60_000
STEP_EVENTS_MAX = 256
_STRICT = ConfigDict(extra="forbid", strict=True)

Symbol = Annotated[str, Field(min_length=1, max_length=100)]
Publisher = Annotated[int, Field(ge=0, lt=2**16)]
Speed = Annotated[float, Field(ge=SPEED_MIN, le=SPEED_MAX)]
Depth = Annotated[int, Field(ge=1, le=QUERY_DEPTH_MAX)] | Literal["all"]


@with_config(_STRICT)
class Subscribe(TypedDict):
    """Subscribe to books on a channel; a subscription that exists begins anew.

    A symbol that ends with `*` names all books whose symbol begins so now; `*` alone names all.
    `depth` is of l2, by default 10. `conflate_ms` is the least time between two messages of a book,
    for bbo and l2.
    """

    op: Literal["subscribe"]
    channel: Channel
    symbols: Annotated[list[Symbol], Field(min_length=1)]
    publisher: NotRequired[Publisher]
    depth: NotRequired[Depth]
    conflate_ms: NotRequired[Annotated[int, Field(ge=0, le=CONFLATE_MS_MAX)]]
    id: NotRequired[RequestId]


@with_config(_STRICT)
class Unsubscribe(TypedDict):
    """End subscriptions of a channel: to some books, or without `symbols` to all."""

    op: Literal["unsubscribe"]
    channel: Channel
    symbols: NotRequired[list[Symbol]]
    publisher: NotRequired[Publisher]
    id: NotRequired[RequestId]


@with_config(_STRICT)
class Resync(TypedDict):
    """Ask for snapshots of books of a channel: of some, or without `symbols` of all."""

    op: Literal["resync"]
    channel: Channel
    symbols: NotRequired[list[Symbol]]
    publisher: NotRequired[Publisher]
    id: NotRequired[RequestId]


@with_config(_STRICT)
class Play(TypedDict):
    """Let the clock of this connection run, at a speed."""

    op: Literal["play"]
    speed: NotRequired[Speed]
    id: NotRequired[RequestId]


@with_config(_STRICT)
class Pause(TypedDict):
    """Stop the clock of this connection."""

    op: Literal["pause"]
    id: NotRequired[RequestId]


@with_config(_STRICT)
class SetSpeed(TypedDict):
    """Change the speed of the clock."""

    op: Literal["speed"]
    speed: Speed
    id: NotRequired[RequestId]


@with_config(_STRICT)
class Seek(TypedDict):
    """Go to a moment: a time as `at` of /v1/books, or `record:NUMBER`."""

    op: Literal["seek"]
    at: Annotated[str, Field(min_length=1, max_length=64)]
    id: NotRequired[RequestId]


@with_config(_STRICT)
class Step(TypedDict):
    """Go on by some events of the books of this client; below 0: go back. The clock stops."""

    op: Literal["step"]
    events: Annotated[int, Field(ge=-STEP_EVENTS_MAX, le=STEP_EVENTS_MAX)]
    id: NotRequired[RequestId]


Request = Annotated[
    Subscribe | Unsubscribe | Resync | Play | Pause | SetSpeed | Seek | Step,
    Field(discriminator="op"),
]
"""Every message of a client."""
BookRequest = Subscribe | Unsubscribe | Resync
ClockRequest = Play | Pause | SetSpeed | Seek | Step
_ADAPTER: TypeAdapter[Request] = TypeAdapter(Request)


def parse_request(text: str) -> Request:
    """The request that a message is; ProblemError if it is none."""
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        # The first part of the place is the op, which chooses the type.
        place = ".".join(str(part) for part in first["loc"][1:])
        detail = f"{place}: {first['msg']}" if place else first["msg"]
        raise ProblemError(400, "Not a request", detail[:300]) from None


def request_id(text: str) -> RequestId:
    """The `id` of a message that is no request, as far as it has one."""
    try:
        found = _ID.validate_json(text).get("id")
    except ValidationError:
        return None
    return found if isinstance(found, str | int) else None


_ID: TypeAdapter[dict[str, object]] = TypeAdapter(dict[str, object])
