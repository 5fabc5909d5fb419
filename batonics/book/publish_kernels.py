"""Published rows: the books that changed in a batch, written where others read them.

The rule here: a row is a book as of the end of its last event (rule 5). Where a book is within an
event, the row has the levels before it, and the worse of the status told last and the one now.

A row is ROW_HEAD words (`Row`), then of the bids and of the asks, best first, price, size and count
of each level; a level that is not there: UNDEF_PRICE, 0, 0.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from batonics.book.state import BOOK_WORDS, TOP_LEVEL_WORDS, Book, Outputs, State, Status, Total
from batonics.book.top_kernels import write_side
from batonics.native import as_word, kernel


class PublishedRow(IntEnum):
    """Words of a row before its levels."""

    BOOK = 0  # its number; the status in the upper half
    SEQ = 1  # rises by one with each time it is written
    EVENTS = 2  # that the book has completed
    TS_EVENT = 3  # of the closing record, as are the next two
    TS_RECV = 4
    SEQUENCE = 5


ROW_HEAD = len(PublishedRow)
LEVEL_WORDS = 3

EVENTS, EVENTS_IN = int(Book.EVENTS), int(Book.EVENTS_IN)
NOTED_ROW, STATUS = int(Book.NOTED_ROW), int(Book.STATUS)
LAST_ROW = int(Book.LAST_ROW)
T_BOOKS, T_DIRTY = int(Total.BOOKS), int(Total.DIRTY)
COLD, SYNCED = int(Status.COLD), int(Status.SYNCED)


@kernel
def update_last_seen(
    state: State,
    seen: NDArray[np.uint64],
    ts_event: NDArray[np.uint64],
    ts_recv: NDArray[np.uint64],
    sequence: NDArray[np.uint32],
) -> None:
    """Note what each book last saw in the batch of these columns, and forget its row there."""
    for book in range(state.totals[T_BOOKS]):
        i = state.books[book * BOOK_WORDS + LAST_ROW]
        if i >= 0:
            seen[3 * book], seen[3 * book + 1] = ts_event[i], ts_recv[i]
            seen[3 * book + 2] = sequence[i]
            state.books[book * BOOK_WORDS + LAST_ROW] = -1


@kernel
def publish(
    state: State,
    out: Outputs,
    rows: NDArray[np.int64],
    changed: NDArray[np.int64],
    ts_event: NDArray[np.uint64],
    ts_recv: NDArray[np.uint64],
    sequence: NDArray[np.uint32],
    seen: NDArray[np.uint64],
) -> int:
    """Write the rows of the books in which an event has ended; how many events have.

    Args:
        state: the books.
        out: made for windows at bounds: which books they are, and their levels before an event.
        rows: (books * row words,), to be written.
        changed: (books,), to be filled with the numbers of these books; `Total.DIRTY` says how
            many, and is for the caller to set to 0.
        ts_event: of the batch just folded.
        ts_recv: of it.
        sequence: of it.
        seen: (books * 3,), these three of each book's last record before the batch; brought up to
            date.
    """
    books, depth, ended = state.books, out.depth, 0
    words = ROW_HEAD + 2 * LEVEL_WORDS * depth
    for place in range(state.totals[T_DIRTY]):
        book = out.dirty[place]
        row, to = book * BOOK_WORDS, book * words
        amid = books[row + EVENTS] & 1 != 0
        status, told = books[row + STATUS], rows[to] >> 32
        if amid and (status == SYNCED or (status == COLD and told != SYNCED)):
            status = told
        rows[to] = book | status << 32
        rows[to + 1] += 1
        rows[to + 2] = books[row + EVENTS] >> 1
        i = books[row + NOTED_ROW]
        if i >= 0:
            rows[to + 3], rows[to + 4] = as_word(ts_event[i]), as_word(ts_recv[i])
            rows[to + 5] = as_word(sequence[i])
        else:
            for word in range(3):
                rows[to + 3 + word] = as_word(seen[3 * book + word])
        levels, first = out.before, book * TOP_LEVEL_WORDS * depth
        if not amid:
            levels, first = out.tops, 0
            for side in range(2):
                write_side(state, out.tops, 0, depth, book, side)
        for side in range(2):
            at = to + ROW_HEAD + side * LEVEL_WORDS * depth
            for level in range(depth):
                for value in range(LEVEL_WORDS):
                    source = first + TOP_LEVEL_WORDS * level + 2 * value + side
                    rows[at + LEVEL_WORDS * level + value] = levels[source]
        ended += books[row + EVENTS_IN]
        books[row + EVENTS_IN] = 0
        books[row + NOTED_ROW] = -1
        changed[place] = book
    update_last_seen(state, seen, ts_event, ts_recv, sequence)
    return ended
