"""The statuses of books alone, for readers that fold nothing.

The rule here: what a record does to a status stands in `rule_kernels.py`, for the fold and for this
file. A book has the words KEY, STATUS and SNAPSHOT_OPEN of `Book`, and `B_SINCE_NS`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.rule_kernels import KEEPS_SNAPSHOT_OPEN, read_effects, status_after
from batonics.book.state import (
    B_KEY,
    B_SNAPSHOT_OPEN,
    B_STATUS,
    BOOK_WORDS,
    STATUS_COLD,
)
from batonics.book.table_kernels import find_book
from batonics.hash_kernels import read_salt
from batonics.model.mbo import ACTION_CLEAR, F_MAYBE_BAD_BOOK, F_SNAPSHOT
from batonics.native import as_word, at, inlined, kernel

B_SINCE_NS = 31
"""A word of a book: when its last status began. The fold does not use it."""
NO_STATUS = -1
"""The status of a book before its first record."""
STATUS_CHANGE_WORDS = 3
"""Words of a change: the time in nanoseconds, the key of the book, its new status."""


class StatusEvents(NamedTuple):
    """The columns of a batch that statuses depend on."""

    ts_recv: NDArray[np.int64]  # ns; -1: undefined
    publisher_id: NDArray[np.uint16]
    instrument_id: NDArray[np.uint32]
    action: NDArray[np.uint8]
    flags: NDArray[np.uint8]


@inlined
def set_status(
    books: NDArray[np.int64],
    changes: NDArray[np.int64],
    n: int,
    book: int,
    status: int,
    ts_recv: int,
) -> int:
    """Give a book a status, and write it if it is another one; the number of changes then."""
    base = book * BOOK_WORDS
    if books[at(base + B_STATUS)] == status:
        return n
    books[at(base + B_STATUS)] = status
    # A time that is undefined or runs backwards orders nothing.
    books[at(base + B_SINCE_NS)] = max(ts_recv, books[at(base + B_SINCE_NS)])
    changes[at(n * STATUS_CHANGE_WORDS)] = books[at(base + B_SINCE_NS)]
    changes[at(n * STATUS_CHANGE_WORDS + 1)] = books[at(base + B_KEY)]
    changes[at(n * STATUS_CHANGE_WORDS + 2)] = status
    return n + 1


@kernel
def follow_statuses(
    events: StatusEvents,
    day_starts: bool,
    books: NDArray[np.int64],
    index: NDArray[np.int64],
    salt_words: NDArray[np.uint64],
    book_count: int,
    changes: NDArray[np.int64],
) -> tuple[int, int]:
    """Follow a batch; the number of books and of changes then.

    Args:
        events: the records.
        day_starts: all books are cold before the batch, and open snapshots end (rule 21).
        books: BOOK_WORDS words a book, with room for a new one by each record.
        index: pairs of the books' keys and numbers (`find_book`), with the same room.
        salt_words: the salt of the index.
        book_count: the number of books so far.
        changes: STATUS_CHANGE_WORDS words a change, to be filled; room for one for each book and
            two a record.
    """
    n, mask, salt = as_word(0), len(index) // 2 - 1, read_salt(salt_words)
    if day_starts:
        for book in range(book_count):
            books[at(book * BOOK_WORDS + B_SNAPSHOT_OPEN)] = 0
            n = set_status(books, changes, n, book, as_word(STATUS_COLD), events.ts_recv[0])
    last_key, base = as_word(-1), as_word(0)
    for row in range(len(events.action)):
        key = as_word(events.publisher_id[at(row)]) << 32 | as_word(events.instrument_id[at(row)])
        if key != last_key:
            last_key = key
            pair = find_book(index, mask, salt, key)
            if pair < 0:
                index[2 * ~pair], index[2 * ~pair + 1] = key, book_count + 1
                base = book_count * BOOK_WORDS
                books[base + B_KEY], books[base + B_STATUS] = key, NO_STATUS
                n = set_status(books, changes, n, book_count, as_word(STATUS_COLD), as_word(0))
                book_count += 1
            else:
                base = (index[at(2 * pair + 1)] - 1) * BOOK_WORDS
        action, flags = as_word(events.action[at(row)]), as_word(events.flags[at(row)])
        snapshot_open = books[at(base + B_SNAPSHOT_OPEN)]
        is_rare = flags & (F_SNAPSHOT | F_MAYBE_BAD_BOOK) or action == ACTION_CLEAR
        if is_rare or snapshot_open:
            effects = read_effects(action, flags, snapshot_open)
            books[at(base + B_SNAPSHOT_OPEN)] = as_word(effects & KEEPS_SNAPSHOT_OPEN != 0)
            status = status_after(books[at(base + B_STATUS)], effects, flags)
            n = set_status(books, changes, n, base // BOOK_WORDS, status, events.ts_recv[at(row)])
    return book_count, n
