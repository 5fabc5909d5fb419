"""Folds batches in pieces, and keeps for each piece what frames are made of.

The rule here: an event's closing record describes its end (rule 5), even if that record came in an
earlier piece. Only a snapshot can end that way (rule 14). So the last record of each book with an
open snapshot is kept from piece to piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.results import FoldResult
from batonics.book.state import BOOK_WORDS, Bbo, Book, ChangeBits, Top
from batonics.model.mbo import F_LAST, MboBatch, record_keys, split_batches, trusted_times

FOLD_ROWS = 65_536
"""Records folded at once, whatever the size of the batches. This keeps the buffers small."""

TOPS_FOLD_ROWS = 32_768
"""Records folded at once for tops: a row of ten levels takes eight cache lines."""


class EventEndColumns(NamedTuple):
    """Columns of the ends of events, in the order of the fold. All have one length."""

    book: NDArray[np.int64]
    event: NDArray[np.int64]
    ts_event: NDArray[np.uint64]
    ts_recv: NDArray[np.uint64]
    sequence: NDArray[np.uint32]
    flags: NDArray[np.uint8]
    position: NDArray[np.int64]  # how many records of the stream come before the closing one
    time_ns: NDArray[np.int64]  # the trusted time of the record that ended it, else -1 (rule 16)
    bbo: NDArray[np.int64]  # (ends, len(Bbo)), or (0, len(Bbo)) if not requested


class FoldedPiece(NamedTuple):
    """One piece of the stream and what its fold gave. The arrays are valid until the next piece."""

    batch: MboBatch
    bbo: NDArray[np.int64]  # (rows, len(Bbo)), or (0, len(Bbo)) if not requested
    deltas: NDArray[np.int64]  # (deltas, len(Delta))
    event_ends: NDArray[np.int64]  # (ends, len(Closing))
    keys: NDArray[np.int64]  # publisher_id << 32 | instrument_id of each book
    first_position: int  # how many records of the stream come before the piece
    last_rows: NDArray[np.void]  # by book: its last row before the piece, if a snapshot is open

    def copy_event_ends(self, selected: NDArray[np.bool_] | None = None) -> EventEndColumns:
        """Copies of the ends of events.

        Args:
            selected: which of `event_ends` to copy; None: all.
        """
        event_ends = self.event_ends if selected is None else self.event_ends[selected]
        row, book, event = event_ends.T
        before = np.flatnonzero(row < 0)
        at = np.maximum(row, 0)
        ends = EventEndColumns(
            time_ns=self._ending_times(row, book),
            book=book.copy(),
            event=event.copy(),
            ts_event=self.batch.ts_event[at],
            ts_recv=self.batch.ts_recv[at],
            sequence=self.batch.sequence[at],
            flags=self.batch.flags[at],
            position=at + self.first_position,
            bbo=self.bbo[at] if len(self.bbo) else self.bbo,
        )
        if len(before):
            rows = self.last_rows[book[before]]
            for name in _LAST_ROW_COLUMNS:
                getattr(ends, name)[before] = rows[name]
            if len(ends.bbo):
                ends.bbo[before] = rows["bbo"]
        return ends

    def _ending_times(self, row: NDArray[np.int64], book: NDArray[np.int64]) -> NDArray[np.int64]:
        """The trusted time of the record that ended each event, else -1.

        That is the closing record, but for a snapshot without F_LAST: the book's next record.
        """
        batch = self.batch
        ending = ending_rows(batch, self.keys, row, book, batch.flags.take(row, mode="clip"))
        return trusted_times(batch.ts_recv[ending], batch.flags[ending])


def ending_rows(
    batch: MboBatch,
    keys: NDArray[np.int64],
    closing: NDArray[np.int64],
    book: NDArray[np.int64],
    flags: NDArray[np.uint8],
) -> NDArray[np.int64]:
    """The row of the record that ends each event of a batch (rule 14).

    Args:
        batch: the records.
        keys: the key of each book.
        closing: the row of the last record of each event; -1: it is in an earlier batch.
        book: the book of each event.
        flags: the flags of the closing record, as far as it is in the batch. Without F_LAST the
            book's next record ends the event, or a new day, which begins with the batch.
    """
    rows = closing.copy()
    late = np.flatnonzero((rows < 0) | (flags & F_LAST == 0))
    if len(late) == 0:
        return rows
    record_key = record_keys(batch)
    for end in late.tolist():  # snapshots without F_LAST are rare
        first = rows[end] + 1
        found = np.flatnonzero(record_key[first:] == keys[book[end]])
        rows[end] = first + found[0] if len(found) else 0
    return rows


def fold_pieces(
    batches: Iterable[MboBatch],
    *,
    bbo: bool = False,
    deltas: bool = False,
    engine: BookEngine | None = None,
) -> Iterator[FoldedPiece]:
    """Fold batches of any size, in order.

    Args:
        batches: MBO records.
        bbo: whether the pieces have the best levels.
        deltas: whether the pieces have the level deltas.
        engine: the engine that folds, for a caller that also reads its books. It has folded nothing
            yet, it keeps deltas, and it keeps the best levels if `bbo` is true.
    """
    # An engine that keeps deltas also keeps the ends of events.
    engine = engine or BookEngine(bbo=bbo, deltas=True)
    last_rows = np.empty(0, _ROW_DTYPE)
    for rows in split_batches(batches, FOLD_ROWS):
        folded = engine.fold(rows)
        yield FoldedPiece(
            batch=rows,
            bbo=folded.bbo,
            deltas=folded.deltas if deltas else folded.deltas[:0],
            event_ends=folded.event_ends,
            keys=book_keys(engine),
            first_position=engine.records - len(rows.action),
            last_rows=last_rows,
        )
        last_rows = _update_last_rows(last_rows, rows, folded, engine)


class TopsPiece(NamedTuple):
    """One piece of the stream and its tops. The arrays are valid until the next piece."""

    batch: MboBatch
    folded: FoldResult
    keys: NDArray[np.int64]  # publisher_id << 32 | instrument_id of each book


def fold_tops_pieces(batches: Iterable[MboBatch], engine: BookEngine) -> Iterator[TopsPiece]:
    """Fold batches of any size, in order; every record is in one piece.

    Args:
        batches: MBO records.
        engine: folds the records; it keeps tops (`TopsSpec`).
    """
    for piece in split_batches(batches, TOPS_FOLD_ROWS):
        yield TopsPiece(piece, engine.fold(piece), book_keys(engine))


def fold_tops(
    batches: Iterable[MboBatch], engine: BookEngine, *, without: ChangeBits
) -> Iterator[FoldResult]:
    """Fold batches of any size, in order, and give each result that has tops.

    Args:
        batches: MBO records.
        engine: folds the records; it keeps tops (`TopsSpec`).
        without: tops with one of these bits are left out.
    """
    return select_tops(fold_tops_pieces(batches, engine), without=without)


def select_tops(pieces: Iterable[TopsPiece], *, without: ChangeBits) -> Iterator[FoldResult]:
    """The results of pieces that have tops; tops with one of these bits are left out."""
    for piece in pieces:
        folded = piece.folded
        excluded = folded.tops[:, Top.CHANGE] & int(without) != 0
        if excluded.any():
            tops = folded.tops[~excluded]
            folded = folded._replace(tops=tops, top_records=folded.top_records._replace(tops=tops))
        if len(folded.tops):
            yield folded


def book_keys(engine: BookEngine) -> NDArray[np.int64]:
    """publisher_id << 32 | instrument_id of each book. The array is a view of the state."""
    return engine.state.books[Book.KEY :: BOOK_WORDS][: engine.book_count]


def key_columns(keys: NDArray[np.int64]) -> dict[str, NDArray[np.uint]]:
    """The columns publisher_id and instrument_id for keys of books."""
    return {
        "publisher_id": (keys >> 32).astype(np.uint16),
        "instrument_id": (keys & 0xFFFFFFFF).astype(np.uint32),
    }


def _update_last_rows(
    last_rows: NDArray[np.void], batch: MboBatch, folded: FoldResult, engine: BookEngine
) -> NDArray[np.void]:
    """The last row of each book whose snapshot is open after the batch, by book.

    Elements of other books have no meaning.
    """
    open_books = np.flatnonzero(
        engine.state.books[Book.SNAPSHOT_OPEN :: BOOK_WORDS][: engine.book_count]
    )
    if len(open_books) == 0:
        return last_rows
    if len(last_rows) < engine.book_count:
        grown = np.empty(2 * engine.book_count, _ROW_DTYPE)
        grown[: len(last_rows)] = last_rows
        last_rows = grown
    keys = record_keys(batch)
    batch_keys, from_the_end = np.unique(keys[::-1], return_index=True)
    wanted_keys = book_keys(engine)[open_books]
    at = np.searchsorted(batch_keys, wanted_keys).clip(max=len(batch_keys) - 1)
    has_row = batch_keys[at] == wanted_keys
    row = len(keys) - 1 - from_the_end[at[has_row]]
    for name in _MOMENT_COLUMNS:
        last_rows[name][open_books[has_row]] = getattr(batch, name)[row]
    last_rows["position"][open_books[has_row]] = engine.records - len(keys) + row
    if len(folded.bbo):
        last_rows["bbo"][open_books[has_row]] = folded.bbo[row]
    return last_rows


_MOMENT_COLUMNS = ("ts_event", "ts_recv", "sequence", "flags")
_LAST_ROW_COLUMNS = (*_MOMENT_COLUMNS, "position")
_ROW_DTYPE = np.dtype(
    [
        ("ts_event", np.uint64),
        ("ts_recv", np.uint64),
        ("sequence", np.uint32),
        ("flags", np.uint8),
        ("position", np.int64),
        ("bbo", np.int64, len(Bbo)),
    ]
)
