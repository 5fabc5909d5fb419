"""What ingest and the process that serves its books say to each other, over a socket pair.

The rule here: a message is whole and says how things are, not what changed; so whoever falls behind
skips messages and loses nothing but moments between. Ingest never waits: what does not fit into the
socket is told later, as it is then.

    u32 length of what follows | u8 kind | payload                              (little-endian)

| kind    | from   | payload                                                                     |
|---------|--------|-----------------------------------------------------------------------------|
| HELLO   | ingest | JSON: depth (levels of each side in BOOKS), source, version                 |
| SYMBOLS | ingest | JSON: [[book, publisher_id, instrument_id, symbol or null], ...], new names |
| BOOKS   | ingest | rows of `book_dtype(depth)`: books that changed, each as it is now          |
| STATS   | ingest | JSON: `Stats`, some times a second, and whenever `feed` changes             |
| ANSWER  | ingest | JSON: {"id": of the request, ...}, a book of any depth (`answer`)           |
| BYE     | ingest | JSON: {"reason": text}: nothing more will come                              |
| ASK     | server | JSON: {"id": any, "book": number, "depth": levels or null, "orders": bool}  |

Books are numbered in order of appearance. A book's `seq` rises by one with each row of it. Where a
side has no such level, its price is UNDEF_PRICE, its size and count 0.
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
    ANSWER = 5
    BYE = 6
    ASK = 7


class FeedState(IntEnum):
    """How the feed is; books are what their status says only while it is LIVE, else stale."""

    CONNECTING = 0  # never been connected yet
    LIVE = 1
    RECOVERING = 2  # connected again, not yet known to have lost nothing
    LOST = 3  # not connected; it is being tried again
    ENDED = 4  # the feed has ended, by itself or because it was asked to


STATUSES = ("cold", "synced", "stale")
"""By the number in `status` (rule 23)."""


def book_dtype(depth: int) -> np.dtype[np.void]:
    """A row of BOOKS: a book as it is, at the end of its last event."""
    level = np.dtype([("price", "<i8"), ("size", "<i8"), ("count", "<i8")])
    return np.dtype(
        [
            ("book", "<u4"),
            ("status", "u1"),  # of STATUSES
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
    """A message as it stands on the wire."""
    return b"".join([_HEAD.pack(1 + len(payload), kind), payload])


class MessageReader:
    """Takes bytes as they arrive; gives whole messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[MessageKind, bytes]]:
        """The messages that `data` completes, in order.

        Raises:
            ValueError: what arrives is no message of ours.
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
