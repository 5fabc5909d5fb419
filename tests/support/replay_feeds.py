"""A small DBN feed, and what its pieces have."""

from __future__ import annotations

import numpy as np

from batonics.codec.messages import write_system_message
from batonics.gateway.feed_pieces import FeedPiece
from batonics.gateway.record_index import RecordIndex
from tests.support.dbn_files import DAY_NS, adds, encode, metadata
from tests.support.reference_books import Record

START_NS = DAY_NS + 1_000_000


def rows(count: int, *, step_ns: int = 1_000) -> list[Record]:
    """Adds of two books, an event each, a microsecond apart."""
    return [
        row._replace(ts_recv=START_NS + step_ns * number, ts_event=number)
        for number, row in enumerate(adds(count))
    ]


def make_feed(count: int) -> bytes:
    """Metadata and this many records."""
    return metadata() + encode(rows(count))


def split_pieces(records: bytes, chunk_bytes: int = 1 << 20) -> list[FeedPiece]:
    """The pieces of records that come in chunks."""
    index = RecordIndex()
    pieces = [
        piece._replace(data=bytes(piece.data))
        for at in range(0, len(records), chunk_bytes)
        for piece in index.feed(records[at : at + chunk_bytes])
    ]
    index.close()
    return pieces


def due_times(pieces: list[FeedPiece]) -> list[int]:
    """When each unit of the pieces is due."""
    return [due for piece in pieces for due in np.asarray(piece.due_ns).tolist()]


def join_bytes(pieces: list[FeedPiece]) -> bytes:
    """The bytes of all pieces."""
    return b"".join(bytes(piece.data) for piece in pieces)


SYSTEM = write_system_message(0, "x", 5)
