"""Several streams of pieces as one, by the times their units are due.

The rule here: of units due at the same time those of an earlier stream come first, and each stream
stays in its own order. No stream is read further ahead than a piece.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from batonics.gateway import record_bytes_kernels as kernels
from batonics.gateway.dbn_feed import FeedPiece, cut_piece


def merge_by_time(streams: Sequence[Iterator[FeedPiece]]) -> Generator[FeedPiece, None, None]:
    """The units of all streams, sorted by `due_ns`; all have been looked at."""
    heads = {number: piece for number, stream in enumerate(streams) if (piece := _next(stream))}
    while len(heads) > 1:
        # The stream whose next piece is needed first: it may go on at the very time it ends.
        horizon_ns, first = min((int(_due(piece)[-1]), number) for number, piece in heads.items())
        ready = []
        for number, piece in list(heads.items()):
            units = len(_due(piece))
            side: Literal["left", "right"] = "right" if number <= first else "left"
            cut = int(np.searchsorted(_due(piece), horizon_ns, side=side))
            if cut:
                ready.append(cut_piece(piece, 0, cut))
            if cut < units:
                heads[number] = cut_piece(piece, cut, units)
            elif (following := _next(streams[number])) is not None:
                heads[number] = following
            else:
                del heads[number]
        yield interleave(ready)
    for number, piece in heads.items():
        yield piece
        yield from streams[number]


def interleave(pieces: Sequence[FeedPiece]) -> FeedPiece:
    """The units of several pieces as one piece, sorted by `due_ns`, earlier pieces first."""
    if len(pieces) == 1:
        return pieces[0]
    starts, sizes, offset = [], [], 0
    for piece in pieces:
        ends = _ends(piece)
        before = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
        starts.append(before + offset)
        sizes.append(ends - before)
        offset += len(piece.data)
    due_ns = np.concatenate([_due(piece) for piece in pieces])
    order = np.argsort(due_ns, kind="stable")
    sorted_sizes = np.concatenate(sizes)[order]
    data = np.frombuffer(b"".join(piece.data for piece in pieces), np.uint8)
    out = np.empty(offset, np.uint8)
    kernels.gather_records(data, np.concatenate(starts)[order], sorted_sizes, out)
    return FeedPiece(out.data, np.cumsum(sorted_sizes), due_ns[order])


def _next(stream: Iterator[FeedPiece]) -> FeedPiece | None:
    """The next piece that has a unit."""
    for piece in stream:
        if len(_due(piece)):
            return piece
    return None


def _due(piece: FeedPiece) -> NDArray[np.int64]:
    if piece.due_ns is None:
        raise AssertionError("a piece that has not been looked at")
    return piece.due_ns


def _ends(piece: FeedPiece) -> NDArray[np.int64]:
    if piece.ends is None:
        raise AssertionError("a piece that has not been looked at")
    return piece.ends
