"""Windows: the best levels of each book in which an event ended, at the end of the window.

The rule here: a book is read only at the ends of its events (rule 5). A window may end while a book
is in the middle of one; so where an event has more than one record, the levels before it are kept.

| windows     | end                                           | books given                 |
|-------------|-----------------------------------------------|-----------------------------|
| at bounds   | before given rows of the batch, for all books | in which an event has ended |
| of N events | with each N-th event of a book, for this one  | this one                    |
"""

from __future__ import annotations

from batonics.book.state import BOOK_WORDS, TOP_LEVEL_WORDS, Book, Outputs, State, Total
from batonics.book.top_kernels import FIRST_LEVEL, T_TOPS, first_level, write_side, write_top_head
from batonics.model.mbo import Flag
from batonics.native import at, inlined, kernel, outlined

EVENTS, EVENTS_IN, NOTED_ROW = int(Book.EVENTS), int(Book.EVENTS_IN), int(Book.NOTED_ROW)
T_DIRTY, T_BOUND = int(Total.DIRTY), int(Total.BOUND)
F_LAST = int(Flag.LAST)
SEEN = -2
"""In place of a row: the last record of the book in an earlier batch."""


@inlined
def keep_before(state: State, out: Outputs, book: int, flags: int) -> None:
    """Keep the levels of a book of which an event of several records begins."""
    if not flags & F_LAST and not state.books[at(book * BOOK_WORDS + EVENTS)] & 1:
        for side in range(2):
            first = book * TOP_LEVEL_WORDS * out.depth
            write_side(state, out.before, first, out.depth, book, side)


@outlined
def count_end(state: State, out: Outputs, book: int, i: int) -> None:
    """An event of the book has ended with row `i`; with its last of an earlier batch: -1."""
    books, totals, row = state.books, state.totals, book * BOOK_WORDS
    events = books[row + EVENTS_IN] + 1
    books[row + EVENTS_IN] = events
    books[row + NOTED_ROW] = i if i >= 0 else SEEN
    if out.every == 0:
        if events == 1:
            out.dirty[totals[T_DIRTY]] = book
            totals[T_DIRTY] += 1
    elif events == out.every:
        write_window_top(state, out, book, False)


@outlined
def write_window_top(state: State, out: Outputs, book: int, amid: bool) -> None:
    """Write a book at the end of a window; `amid` an event, as it was before that."""
    books, totals, row = state.books, state.totals, book * BOOK_WORDS
    n = totals[T_TOPS]
    write_top_head(out, n, books[row + NOTED_ROW], book, books[row + EVENTS_IN], totals[T_BOUND])
    to = first_level(out, n)
    if amid:
        kept = book * TOP_LEVEL_WORDS * out.depth
        for word in range(TOP_LEVEL_WORDS * out.depth):
            out.tops[to + word] = out.before[kept + word]
    else:
        for side in range(2):
            write_side(state, out.tops, to, out.depth, book, side)
    books[row + EVENTS_IN] = 0
    totals[T_TOPS] = n + 1


@inlined
def has_room_to_end(state: State, out: Outputs) -> bool:
    """Whether all books of a window have room."""
    words: int = FIRST_LEVEL + TOP_LEVEL_WORDS * out.depth
    wanted: int = (state.totals[T_TOPS] + state.totals[T_DIRTY]) * words
    return wanted <= len(out.tops)


@outlined
def end_window(state: State, out: Outputs) -> None:
    """Write every book in which an event ended in the window; there is room."""
    for place in range(state.totals[T_DIRTY]):
        book = out.dirty[place]
        write_window_top(state, out, book, state.books[book * BOOK_WORDS + EVENTS] & 1 != 0)
    state.totals[T_DIRTY] = 0
    state.totals[T_BOUND] += 1


@kernel
def end_last_window(state: State, out: Outputs) -> bool:
    """End the window that is open at the end of the stream; False if there is no room."""
    if not has_room_to_end(state, out):
        return False
    end_window(state, out)
    return True
