"""The messages between ingest and the process that serves its books, over a socket pair.

The rule here: each message is complete and states the current values, not a change. A receiver that
falls behind skips messages and misses only intermediate states. Ingest never waits: a message that
does not fit into the socket is sent later, with the values of that time. RESPONSE and STATS go
before BOOKS, however many books have changed. A STATS that says that the feed is live again comes
behind the rows of all books that had changed by then; until then STATS says the state before.

    u32 length of what follows | u8 kind | payload                              (little-endian)

| kind     | from   | payload                                                                     |
|----------|--------|-----------------------------------------------------------------------------|
| HELLO    | ingest | JSON: depth (levels of each side in BOOKS), source, version                 |
| SYMBOLS  | ingest | JSON: [[book, publisher_id, instrument_id, symbol or null], ...]: the books |
|          |        | that are new or have another symbol                                         |
| BOOKS    | ingest | rows of `book_dtype(depth)`: the books that changed, as they are now        |
| STATS    | ingest | JSON: `FeedStats`, a few times a second, and whenever `feed` changes        |
| RESPONSE | ingest | JSON: {"id": of the request, ...}, a book of any depth                       |
| BYE      | ingest | JSON: {"reason": text}; no message follows                                  |
| REQUEST  | server | JSON: {"id": any, "book": number, "depth": levels or null, "orders": bool}  |
|          |        | or {"id": any, "checkpoint": true}: the books for a reader of the log,      |
|          |        | which are written when the RESPONSE {"id": ..., "bytes": number} comes      |

Books are numbered in order of appearance. The `seq` of a book rises by one with each of its rows.
Where a side has fewer levels, the price is UNDEF_PRICE, size and count are 0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum

import numpy as np

MESSAGE_BYTES_MAX = 1 << 28
_HEAD = struct.Struct("<IB")


class MessageKind(IntEnum):
    """Kinds of messages; see the table above."""

    HELLO = 1
    SYMBOLS = 2
    BOOKS = 3
    STATS = 4
    RESPONSE = 5
    BYE = 6
    REQUEST = 7


class FeedState(IntEnum):
    """The state of a feed.

    Unless it is LIVE or STALLED, every book counts as stale, whatever its row says.
    """

    CONNECTING = 0  # no connection yet
    LIVE = 1
    RECOVERING = 2  # connected again; whether records are missing is not known yet
    LOST = 3  # not connected; ingest connects again
    ENDED = 4  # the feed has ended, by itself or by request
    STALLED = 5  # connected, but silent for much longer than its own pauses


LIVE_STATES = (FeedState.LIVE, FeedState.STALLED)
"""The states in which the status of a book is that of its row."""
STATUSES = ("cold", "synced", "stale")
"""Names of statuses, by the number in `status` (rule 23)."""


def book_dtype(depth: int) -> np.dtype[np.void]:
    """A row of BOOKS: a book as of the end of its last event."""
    level = np.dtype([("price", "<i8"), ("size", "<i8"), ("count", "<i8")])
    return np.dtype(
        [
            ("book", "<u4"),
            ("status", "u1"),  # an index into STATUSES
            ("reserved", "u1", 3),
            ("seq", "<u8"),
            ("events", "<i8"),
            ("ts_event", "<u8"),  # of its last record; UNDEF_TIMESTAMP if undefined
            ("ts_recv", "<u8"),
            ("sequence", "<u4"),
            ("reserved2", "u1", 4),
            ("bids", level, depth),  # best first
            ("asks", level, depth),
        ]
    )


def encode_message(kind: MessageKind, payload: bytes | memoryview) -> bytes:
    """The bytes of a message."""
    return b"".join([_HEAD.pack(1 + len(payload), kind), payload])


class MessageReader:
    """Splits a byte stream into messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[MessageKind, bytes]]:
        """The messages that `data` completes, in order.

        Raises:
            ValueError: the bytes are not a message.
        """
        self._bytes += data
        at = 0
        while len(self._bytes) - at >= _HEAD.size:
            length, kind = _HEAD.unpack_from(self._bytes, at)
            if not 1 <= length <= MESSAGE_BYTES_MAX:
                raise ValueError(f"a message of {length} bytes")
            end = at + _HEAD.size - 1 + length
            if end > len(self._bytes):
                break
            yield MessageKind(kind), bytes(self._bytes[at + _HEAD.size : end])
            at = end
        del self._bytes[:at]
