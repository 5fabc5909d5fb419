"""Batches through one fold, with what the frames need of each piece.

The rule here: an event's end is described by its closing record (rule 5), also when that record
came in an earlier batch. Only a snapshot can end so (rule 14): the last record of a book whose
snapshot is open is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.engine import BookEngine, Folded
from batonics.book.state import ROW, Bbo, Book
from batonics.model.mbo import MboBatch, slice_batch

PIECE_ROWS = 65_536
"""So many records are folded at once, however large the batches: the fold's buffers stay small."""


class Ends(NamedTuple):
    """Ends of events, in the order of the fold; all of one length."""

    book: NDArray[np.int64]
    event: NDArray[np.int64]
    ts_event: NDArray[np.uint64]
    ts_recv: NDArray[np.uint64]
    sequence: NDArray[np.uint32]
    flags: NDArray[np.uint8]
    bbo: NDArray[np.int64]  # (ends, len(Bbo)), or (0, len(Bbo)) where it is not wanted


class Piece(NamedTuple):
    """One fold. The arrays are valid until the next piece."""

    batch: MboBatch
    deltas: NDArray[np.int64]  # (deltas, len(Delta))
    ends: Ends
    keys: NDArray[np.int64]  # publisher_id << 32 | instrument_id of each book


def fold_pieces(
    batches: Iterable[MboBatch], *, bbo: bool = False, deltas: bool = False
) -> Iterator[Piece]:
    """Fold batches in order, from no books on.

    Args:
        batches: they may be of any size.
        bbo: the best levels at the ends of events are wanted.
        deltas: level deltas are wanted.
    """
    # The ends of events come with the deltas.
    engine = BookEngine(bbo=bbo, deltas=True)
    last_rows = _LastRows()
    for batch in batches:
        for start in range(0, len(batch.action), PIECE_ROWS):
            piece = slice_batch(batch, start, start + PIECE_ROWS)
            folded = engine.fold(piece)
            ends = last_rows.ends(piece, folded)
            last_rows.keep(piece, folded, engine)
            yield Piece(piece, folded.deltas if deltas else folded.deltas[:0], ends, _keys(engine))


def _keys(engine: BookEngine) -> NDArray[np.int64]:
    return engine.state.books[Book.KEY :: ROW][: engine.book_count]


class _LastRows:
    """The last record of each book whose snapshot is open: what follows may end it."""

    def __init__(self) -> None:
        self._rows = np.empty(0, _ROW_DTYPE)

    def ends(self, batch: MboBatch, folded: Folded) -> Ends:
        """The ends of events of a batch just folded."""
        row, book, event = folded.closings.T
        earlier = np.flatnonzero(row < 0)
        at = np.maximum(row, 0)
        ends = Ends(
            book=book.copy(),
            event=event.copy(),
            ts_event=batch.ts_event[at],
            ts_recv=batch.ts_recv[at],
            sequence=batch.sequence[at],
            flags=batch.flags[at],
            bbo=folded.bbo[at if len(folded.bbo) else at[:0]],
        )
        if len(earlier):
            rows = self._rows[book[earlier]]
            for name in ("ts_event", "ts_recv", "sequence", "flags"):
                getattr(ends, name)[earlier] = rows[name]
            if len(ends.bbo):
                ends.bbo[earlier] = rows["bbo"]
        return ends

    def keep(self, batch: MboBatch, folded: Folded, engine: BookEngine) -> None:
        """Note the last records of a batch just folded, where a snapshot is open after it."""
        books = engine.state.books.reshape(-1, ROW)[: engine.book_count]
        opened = np.flatnonzero(books[:, Book.SNAPSHOT_OPEN])
        if len(opened) == 0 or len(batch.action) == 0:
            return
        if len(self._rows) < engine.book_count:
            grown = np.empty(2 * engine.book_count, _ROW_DTYPE)
            grown[: len(self._rows)] = self._rows
            self._rows = grown
        keys = batch.publisher_id.astype(np.int64) << 32 | batch.instrument_id
        found, from_the_end = np.unique(keys[::-1], return_index=True)
        at = np.searchsorted(found, books[opened, Book.KEY]).clip(max=len(found) - 1)
        here = found[at] == books[opened, Book.KEY]
        row = len(keys) - 1 - from_the_end[at[here]]
        for name in ("ts_event", "ts_recv", "sequence", "flags"):
            self._rows[name][opened[here]] = getattr(batch, name)[row]
        if len(folded.bbo):
            self._rows["bbo"][opened[here]] = folded.bbo[row]


_ROW_DTYPE = np.dtype(
    [
        ("ts_event", np.uint64),
        ("ts_recv", np.uint64),
        ("sequence", np.uint32),
        ("flags", np.uint8),
        ("bbo", np.int64, len(Bbo)),
    ]
)
