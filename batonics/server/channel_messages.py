"""The messages of /v1/ws, as types: what the server sends, and what makes its documents.

The rule here: every message that a server sends on /v1/ws has a type in this file, and the AsyncAPI
document is made from these types. A price is decimal text, a time is ISO 8601 in UTC with nine
decimals, an order id is text, and there is no float.

A message about a book has a head: which book, how far it may be trusted, and where it is.

- `seq` is the number of a record. After it, the book is as the message says: GET
  /v1/books/{symbol}?at=record:SEQ has the same book. It is -1 before the first record.
- `prev_seq` is the `seq` of the message before of this book on this channel; null: there is none.
  A reader that had another one has missed a message.
- `checksum` proves the book of the reader (`batonics.model.book_checksum`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

Channel = Literal["bbo", "l2", "l3", "trades"]
RequestId = str | int | None
Side = Literal["B", "A"]
LevelRow = tuple[str, int, int]
"""Price, size and number of orders; in an update a level of size 0 has gone."""
OrderRow = tuple[str, int]
"""Order id and size."""
Start = Literal["subscribed", "resync", "seek", "step", "feed"]
"""Why a book begins anew; `feed`: the feed cleared the book, or sent a snapshot of it."""


class MessageHead(TypedDict):
    """The head of every message about a book."""

    symbol: str
    publisher_id: int
    instrument_id: int
    status: Literal["cold", "synced", "stale"]
    trading_status: str | None
    warnings: list[str]
    seq: int
    prev_seq: int | None
    events: int
    ts_event: str | None
    ts_recv: str | None


class BboSnapshot(MessageHead):
    """The best levels of a book."""

    type: Literal["snapshot"]
    channel: Literal["bbo"]
    start: Start
    bid: LevelRow | None
    ask: LevelRow | None
    checksum: int


class BboUpdate(MessageHead):
    """The best levels of a book, after a change of them or of the head."""

    type: Literal["update"]
    channel: Literal["bbo"]
    bid: LevelRow | None
    ask: LevelRow | None
    checksum: int


class L2Snapshot(MessageHead):
    """The levels of a book, best first; `depth` null: all of them."""

    type: Literal["snapshot"]
    channel: Literal["l2"]
    start: Start
    depth: int | None
    bids: list[LevelRow]
    asks: list[LevelRow]
    checksum: int


class L2Update(MessageHead):
    """The levels that have changed; one of size 0 has gone, or is beyond the depth."""

    type: Literal["update"]
    channel: Literal["l2"]
    bids: list[LevelRow]
    asks: list[LevelRow]
    checksum: int


class L3Level(TypedDict):
    """A level and its orders, in priority order."""

    price: str
    orders: list[OrderRow]


class L3Snapshot(MessageHead):
    """All orders of a book."""

    type: Literal["snapshot"]
    channel: Literal["l3"]
    start: Start
    bids: list[L3Level]
    asks: list[L3Level]
    checksum: int


class OrderChange(TypedDict):
    """What an event did to an order; side, price and size are those after it.

    - `removed`: it leaves the book; its side, price and size are those before.
    - `kept`: another size, in the same place of the queue.
    - `lost`: it goes to the back of the queue of its price, which may be another one.
    - `added`: it is new, at the back of the queue of its price.
    """

    change: Literal["removed", "kept", "lost", "added"]
    order_id: str
    side: Side
    price: str
    size: int


class Fill(TypedDict):
    """A record F: an order that rested was filled. The size that is left is in `changes`."""

    order_id: str
    side: Literal["B", "A", "N"]
    price: str | None
    size: int | None


class L3Update(MessageHead):
    """One event: apply the changes in their order. It may have none."""

    type: Literal["update"]
    channel: Literal["l3"]
    changes: list[OrderChange]
    fills: list[Fill]
    checksum: int


class TradesSnapshot(MessageHead):
    """Where the trades of a book begin: those after `seq` follow."""

    type: Literal["snapshot"]
    channel: Literal["trades"]
    start: Start


class TradeUpdate(MessageHead):
    """A trade (T). `status` is that of the book after its event; `seq` is the record itself."""

    type: Literal["update"]
    channel: Literal["trades"]
    side: Literal["B", "A", "N"]
    order_id: str
    price: str | None
    size: int | None
    sequence: int


class NamedBook(TypedDict):
    """Which book."""

    symbol: str
    publisher_id: int
    instrument_id: int


class CutMessage(NamedBook):
    """The end of a subscription by the server; what comes after `seq` was not sent."""

    type: Literal["cut"]
    channel: Channel
    seq: int | None
    reason: str


class SubscribedMessage(TypedDict):
    """The reply to subscribe, unsubscribe and resync: the books."""

    type: Literal["subscribed", "unsubscribed", "resyncing"]
    channel: Channel
    books: list[NamedBook]
    id: RequestId


class ClockMessage(TypedDict):
    """The clock of this connection: the reply to play, pause, speed, seek and step.

    It comes without a request, and `id` null, when the records have ended. `record` is the last
    record that has passed; null: none has.
    """

    type: Literal["clock"]
    at: str
    record: int | None
    is_playing: bool
    speed: Annotated[float, Field(description="Seconds of the records in a second.")]
    has_ended: bool
    id: RequestId


class ErrorMessage(TypedDict):
    """A message of the client that cannot be carried out, and what to do."""

    type: Literal["error"]
    detail: str
    id: RequestId


class SentBook(NamedBook):
    """What was sent last of a book."""

    channel: Channel
    status: Literal["cold", "synced", "stale"]
    seq: int


class HeartbeatMessage(TypedDict):
    """A sign of life each second, with the `seq` sent last of each book.

    `late_ms` is how long the clock has waited in all, because the events came faster than they
    could be made or read.
    """

    type: Literal["heartbeat"]
    at: str
    record: int | None
    is_playing: bool
    late_ms: int
    books: list[SentBook]


class ByeMessage(TypedDict):
    """The server ends."""

    type: Literal["bye"]
    reason: str


BookMessage = (
    BboSnapshot
    | BboUpdate
    | L2Snapshot
    | L2Update
    | L3Snapshot
    | L3Update
    | TradesSnapshot
    | TradeUpdate
)
ServerMessage = (
    BookMessage
    | CutMessage
    | SubscribedMessage
    | ClockMessage
    | ErrorMessage
    | HeartbeatMessage
    | ByeMessage
)
"""Every message of a server."""
