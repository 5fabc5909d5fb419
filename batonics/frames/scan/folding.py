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

from batonics.book.engine import BookEngine
from batonics.book.results import FoldResult
from batonics.book.state import BOOK_WORDS, Bbo, Book
from batonics.model.mbo import MboBatch, record_keys, split_batches

FOLD_ROWS = 65_536
"""So many records are folded at once, however large the batches: the fold's buffers stay small."""


TOPS_FOLD_ROWS = 32_768
"""So many records are folded at once: a row of ten levels is eight cache lines."""


class EventEndColumns(NamedTuple):
    """Ends of events, in the order of the fold; all of one length."""

    book: NDArray[np.int64]
    event: NDArray[np.int64]
    ts_event: NDArray[np.uint64]
    ts_recv: NDArray[np.uint64]
    sequence: NDArray[np.uint32]
    flags: NDArray[np.uint8]
    bbo: NDArray[np.int64]  # (ends, len(Bbo)), or (0, len(Bbo)) where it is not wanted


class FoldedPiece(NamedTuple):
    """One fold. The arrays are valid until the next piece."""

    batch: MboBatch
    bbo: NDArray[np.int64]  # (rows, len(Bbo)), or (0, len(Bbo)) where it is not wanted
    deltas: NDArray[np.int64]  # (deltas, len(Delta))
    event_ends: NDArray[np.int64]  # (ends, len(Closing))
    keys: NDArray[np.int64]  # publisher_id << 32 | instrument_id of each book
    earlier: NDArray[np.void]  # by book: the last row before the piece, of an open snapshot

    def ends(self, wanted: NDArray[np.bool_] | None = None) -> EventEndColumns:
        """The ends of events, as copies: those wanted, or all."""
        event_ends = self.event_ends if wanted is None else self.event_ends[wanted]
        row, book, event = event_ends.T
        before = np.flatnonzero(row < 0)
        at = np.maximum(row, 0)
        ends = EventEndColumns(
            book=book.copy(),
            event=event.copy(),
            ts_event=self.batch.ts_event[at],
            ts_recv=self.batch.ts_recv[at],
            sequence=self.batch.sequence[at],
            flags=self.batch.flags[at],
            bbo=self.bbo[at] if len(self.bbo) else self.bbo,
        )
        if len(before):
            rows = self.earlier[book[before]]
            for name in ("ts_event", "ts_recv", "sequence", "flags"):
                getattr(ends, name)[before] = rows[name]
            if len(ends.bbo):
                ends.bbo[before] = rows["bbo"]
        return ends


def fold_pieces(
    batches: Iterable[MboBatch],
    *,
    bbo: bool = False,
    deltas: bool = False,
    engine: BookEngine | None = None,
) -> Iterator[FoldedPiece]:
    """Fold batches of any size in order.

    Args:
        batches: the records.
        bbo: the best levels are wanted.
        deltas: the level deltas are wanted.
        engine: what folds them, if the caller wants to see its books: it has folded nothing yet,
            and keeps deltas, and the best levels if they are wanted.
    """
    # The ends of events come with the deltas.
    engine = engine or BookEngine(bbo=bbo, deltas=True)
    earlier = np.empty(0, _ROW_DTYPE)
    for rows in split_batches(batches, FOLD_ROWS):
        folded = engine.fold(rows)
        yield FoldedPiece(
            batch=rows,
            bbo=folded.bbo,
            deltas=folded.deltas if deltas else folded.deltas[:0],
            event_ends=folded.event_ends,
            keys=book_keys(engine),
            earlier=earlier,
        )
        earlier = _last_rows(earlier, rows, folded, engine)


def fold_tops(batches: Iterable[MboBatch], engine: BookEngine) -> Iterator[FoldResult]:
    """Fold batches of any size in order; each time there are tops, what came of it."""
    for piece in split_batches(batches, TOPS_FOLD_ROWS):
        folded = engine.fold(piece)
        if len(folded.tops):
            yield folded


def book_keys(engine: BookEngine) -> NDArray[np.int64]:
    """publisher_id << 32 | instrument_id of each book, as a view."""
    return engine.state.books[Book.KEY :: BOOK_WORDS][: engine.book_count]


def key_columns(keys: NDArray[np.int64]) -> dict[str, NDArray[np.uint]]:
    """Keys of books as the columns that a frame has of them."""
    return {
        "publisher_id": (keys >> 32).astype(np.uint16),
        "instrument_id": (keys & 0xFFFFFFFF).astype(np.uint32),
    }


def _last_rows(
    earlier: NDArray[np.void], batch: MboBatch, folded: FoldResult, engine: BookEngine
) -> NDArray[np.void]:
    """By book, its last row where its snapshot is open after the batch; else anything."""
    opened = np.flatnonzero(
        engine.state.books[Book.SNAPSHOT_OPEN :: BOOK_WORDS][: engine.book_count]
    )
    if len(opened) == 0:
        return earlier
    if len(earlier) < engine.book_count:
        grown = np.empty(2 * engine.book_count, _ROW_DTYPE)
        grown[: len(earlier)] = earlier
        earlier = grown
    keys = record_keys(batch)
    found, from_the_end = np.unique(keys[::-1], return_index=True)
    sought = book_keys(engine)[opened]
    at = np.searchsorted(found, sought).clip(max=len(found) - 1)
    here = found[at] == sought
    row = len(keys) - 1 - from_the_end[at[here]]
    for name in ("ts_event", "ts_recv", "sequence", "flags"):
        earlier[name][opened[here]] = getattr(batch, name)[row]
    if len(folded.bbo):
        earlier["bbo"][opened[here]] = folded.bbo[row]
    return earlier


_ROW_DTYPE = np.dtype(
    [
        ("ts_event", np.uint64),
        ("ts_recv", np.uint64),
        ("sequence", np.uint32),
        ("flags", np.uint8),
        ("bbo", np.int64, len(Bbo)),
    ]
)
