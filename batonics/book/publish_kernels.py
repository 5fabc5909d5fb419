"""Published rows: the books in which an event ended, written where other threads read them.

The rule here: a row is a book as of the end of its last event (rule 5). Within an event the row has
the levels from before it, and the worse of two statuses: the one published last and the one now.

A row is ROW_HEAD words (`PublishedRow`), then price, size and count of each bid, best first, then
of each ask. A level that does not exist: UNDEF_PRICE, 0, 0.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import (
    B_EVENTS,
    B_LAST_ROW,
    B_RECORD_ROW,
    B_STATUS,
    B_WINDOW_EVENTS,
    BOOK_WORDS,
    RECORD_BEFORE,
    STATUS_COLD,
    STATUS_SYNCED,
    T_BOOKS,
    T_CHANGED_BOOKS,
    TOP_LEVEL_WORDS,
    Outputs,
    State,
)
from batonics.book.top_kernels import write_side
from batonics.native import as_word, kernel


class PublishedRow(IntEnum):
    """Words of a row before its levels."""

    BOOK = 0  # its number; the status in the upper half
    SEQ = 1  # rises by one each time the row is written
    EVENTS = 2  # the book's complete events
    TS_EVENT = 3  # of the record that ended the last event
    TS_RECV = 4  # of the same record
    SEQUENCE = 5  # of the same record


ROW_BOOK, ROW_SEQ, ROW_EVENTS, ROW_TS_EVENT, ROW_TS_RECV, ROW_SEQUENCE = (
    int(word) for word in PublishedRow
)
ROW_HEAD = len(PublishedRow)
LEVEL_WORDS = 3
SEEN_WORDS = 3
"""Words of a book in `seen`: ts_event, ts_recv and sequence of its last record."""


class Moments(NamedTuple):
    """The columns of a batch that say when its records happened."""

    ts_event: NDArray[np.uint64]
    ts_recv: NDArray[np.uint64]
    sequence: NDArray[np.uint32]


@kernel
def update_last_seen(state: State, seen: NDArray[np.uint64], moments: Moments) -> None:
    """Copy the moment of each book's last record in the batch to `seen`, and forget its row."""
    for book in range(state.totals[T_BOOKS]):
        row = state.books[book * BOOK_WORDS + B_LAST_ROW]
        if row >= 0:
            seen[SEEN_WORDS * book] = moments.ts_event[row]
            seen[SEEN_WORDS * book + 1] = moments.ts_recv[row]
            seen[SEEN_WORDS * book + 2] = moments.sequence[row]
            state.books[book * BOOK_WORDS + B_LAST_ROW] = -1


@kernel
def publish(
    state: State,
    out: Outputs,
    rows: NDArray[np.int64],
    changed: NDArray[np.int64],
    moments: Moments,
    seen: NDArray[np.uint64],
) -> int:
    """Write the rows of the books in which an event has ended; how many events have.

    Args:
        state: the books.
        out: made for windows at bounds: the changed books, and their levels before an event.
        rows: (books * row words,), to be written.
        changed: (books,), to be filled with the numbers of the changed books. The caller resets
            their count, `Total.CHANGED_BOOKS`.
        moments: the columns of the batch just folded.
        seen: (books * SEEN_WORDS,), the moment of each book's last record before the batch; brought
            up to date.
    """
    books, depth, ended = state.books, out.depth, 0
    words = ROW_HEAD + 2 * LEVEL_WORDS * depth
    for i in range(state.totals[T_CHANGED_BOOKS]):
        book = out.changed_books[i]
        base, to = book * BOOK_WORDS, book * words
        within_event = books[base + B_EVENTS] & 1 != 0
        status, published = books[base + B_STATUS], rows[to + ROW_BOOK] >> 32
        if within_event and (
            status == STATUS_SYNCED or (status == STATUS_COLD and published != STATUS_SYNCED)
        ):
            status = published
        rows[to + ROW_BOOK] = book | status << 32
        rows[to + ROW_SEQ] += 1
        rows[to + ROW_EVENTS] = books[base + B_EVENTS] >> 1
        row = books[base + B_RECORD_ROW]
        if row >= 0:
            rows[to + ROW_TS_EVENT] = as_word(moments.ts_event[row])
            rows[to + ROW_TS_RECV] = as_word(moments.ts_recv[row])
            rows[to + ROW_SEQUENCE] = as_word(moments.sequence[row])
        else:
            for word in range(SEEN_WORDS):
                rows[to + ROW_TS_EVENT + word] = as_word(seen[SEEN_WORDS * book + word])
        levels, first = out.levels_before, book * TOP_LEVEL_WORDS * depth
        if not within_event:
            levels, first = out.tops, 0
            for side in range(2):
                write_side(state, out.tops, 0, depth, book, side)
        for side in range(2):
            at = to + ROW_HEAD + side * LEVEL_WORDS * depth
            for level in range(depth):
                for value in range(LEVEL_WORDS):
                    source = first + TOP_LEVEL_WORDS * level + 2 * value + side
                    rows[at + LEVEL_WORDS * level + value] = levels[source]
        ended += books[base + B_WINDOW_EVENTS]
        books[base + B_WINDOW_EVENTS] = 0
        books[base + B_RECORD_ROW] = RECORD_BEFORE
        changed[i] = book
    update_last_seen(state, seen, moments)
    return ended
