"""Merges several streams of pieces by the times their units are due.

The rule here: units due at the same time come in the order of the streams, and the units of a
stream keep their order. No stream is read more than one piece ahead.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Literal

import numpy as np

from batonics.gateway import record_bytes_kernels as kernels
from batonics.gateway.feed_pieces import FeedPiece, cut_piece, unit_index


def merge_by_time(streams: Sequence[Iterator[FeedPiece]]) -> Generator[FeedPiece, None, None]:
    """The units of all streams, sorted by `due_ns`; every piece is indexed."""
    heads = {number: piece for number, stream in enumerate(streams) if (piece := _next(stream))}
    while len(heads) > 1:
        # The piece that ends first sets the horizon: its stream may continue at that very time.
        horizon_ns, first = min((_last_due(piece), number) for number, piece in heads.items())
        ready = []
        for number, piece in list(heads.items()):
            _, due_ns = unit_index(piece)
            side: Literal["left", "right"] = "right" if number <= first else "left"
            cut = int(np.searchsorted(due_ns, horizon_ns, side=side))
            if cut:
                ready.append(cut_piece(piece, 0, cut))
            if cut < len(due_ns):
                heads[number] = cut_piece(piece, cut, len(due_ns))
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
    starts, sizes, dues, offset = [], [], [], 0
    for piece in pieces:
        ends, due = unit_index(piece)
        before = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
        starts.append(before + offset)
        sizes.append(ends - before)
        dues.append(due)
        offset += len(piece.data)
    due_ns = np.concatenate(dues)
    order = np.argsort(due_ns, kind="stable")
    sorted_sizes = np.concatenate(sizes)[order]
    data = np.frombuffer(b"".join(piece.data for piece in pieces), np.uint8)
    out = np.empty(offset, np.uint8)
    kernels.gather_records(data, np.concatenate(starts)[order], sorted_sizes, out)
    return FeedPiece(out.data, np.cumsum(sorted_sizes), due_ns[order])


def _next(stream: Iterator[FeedPiece]) -> FeedPiece | None:
    """The next piece that has a unit."""
    for piece in stream:
        if len(unit_index(piece)[1]):
            return piece
    return None


def _last_due(piece: FeedPiece) -> int:
    return int(unit_index(piece)[1][-1])
