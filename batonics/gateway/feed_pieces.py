"""What a replay sends: pieces of a feed, and the feeds that make them.

The rule here: a unit (a record or a line) is never split between two indexed pieces. A piece is
*indexed* if it says where its units end and when they are due; a feed indexes only if it must, so
that at full speed the bytes of a file pass unchanged.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

BytesLike = bytes | memoryview


class FeedPiece(NamedTuple):
    """Units of a feed, in order.

    Attributes:
        data: the bytes of the units.
        ends: (units,) where each unit ends in `data`; None: the piece is not indexed, and may begin
            and end within a unit.
        due_ns: (units,) when each unit is due, never falling, in the feed's own time; None with
            `ends`.
    """

    data: BytesLike
    ends: NDArray[np.int64] | None = None
    due_ns: NDArray[np.int64] | None = None


class ReplayFeed(Protocol):
    """What a client is sent; it can be read any number of times.

    Attributes:
        header: the bytes before the first unit.
        unpaced_until_ns: units due at this time or before are sent without waiting.
    """

    header: BytesLike
    unpaced_until_ns: int

    def pieces(self, start_ns: int | None, *, indexed: bool) -> Generator[FeedPiece, None, None]:
        """The units due at `start_ns` or later; None: all. `indexed`: every piece is indexed."""
        ...


def unit_index(piece: FeedPiece) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`ends` and `due_ns` of an indexed piece."""
    if piece.ends is None or piece.due_ns is None:
        raise AssertionError("the piece is not indexed")
    return piece.ends, piece.due_ns


def cut_piece(piece: FeedPiece, first: int, last: int) -> FeedPiece:
    """Units `[first, last)` of an indexed piece."""
    ends, due_ns = unit_index(piece)
    if first == 0 and last == len(ends):
        return piece
    start = int(ends[first - 1]) if first else 0
    stop = int(ends[last - 1]) if last else 0
    data = memoryview(piece.data)[start : max(start, stop)]
    return FeedPiece(data, ends[first:last] - start, due_ns[first:last])
