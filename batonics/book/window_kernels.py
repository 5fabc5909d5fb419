"""Windows: the best levels of each book in which an event ended, at the end of the window.

The rule here: a book is read only at the ends of its events (rule 5). A window may end while a book
is within an event, so the fold keeps the levels from before each event of several records.

| windows     | end                                           | books written               |
|-------------|-----------------------------------------------|-----------------------------|
| at bounds   | before given rows of the batch, for all books | in which an event has ended |
| of N events | with each N-th event of a book, for this one  | this one                    |
"""

from __future__ import annotations

from batonics.book.state import (
    B_EVENTS,
    B_RECORD_ROW,
    B_WINDOW_EVENTS,
    BOOK_WORDS,
    LAST_SEEN,
    T_CHANGED_BOOKS,
    T_TOPS,
    T_WINDOWS,
    TOP_LEVEL_WORDS,
    TOP_WORDS,
    Outputs,
    State,
)
from batonics.book.top_kernels import first_level, write_side, write_top_head
from batonics.model.mbo import F_LAST
from batonics.native import as_word, at, inlined, kernel, outlined


@inlined
def keep_levels_before(state: State, out: Outputs, book: int, flags: int) -> None:
    """Keep the levels of a book before an event of several records, at its first one."""
    if not flags & F_LAST and not state.books[at(book * BOOK_WORDS + B_EVENTS)] & 1:
        for side in range(2):
            first = book * TOP_LEVEL_WORDS * out.depth
            write_side(state, out.levels_before, first, out.depth, book, side)


@outlined
def count_event_end(state: State, out: Outputs, book: int, row: int) -> None:
    """An event of the book has ended with a row; -1: with its last record of an earlier batch."""
    books, totals, base = state.books, state.totals, book * BOOK_WORDS
    events = books[base + B_WINDOW_EVENTS] + 1
    books[base + B_WINDOW_EVENTS] = events
    books[base + B_RECORD_ROW] = row if row >= 0 else LAST_SEEN
    if out.events_per_window == 0:
        if events == 1:
            out.changed_books[totals[T_CHANGED_BOOKS]] = book
            totals[T_CHANGED_BOOKS] += 1
    elif events == out.events_per_window:
        write_window_top(state, out, book, False)


@outlined
def write_window_top(state: State, out: Outputs, book: int, within_event: bool) -> None:
    """Write a book at the end of a window; within an event, as it was before the event."""
    books, totals, base = state.books, state.totals, book * BOOK_WORDS
    n = totals[T_TOPS]
    events = books[base + B_WINDOW_EVENTS]
    write_top_head(out, n, books[base + B_RECORD_ROW], book, events, totals[T_WINDOWS])
    to = first_level(out, n)
    if within_event:
        kept = book * TOP_LEVEL_WORDS * out.depth
        for word in range(TOP_LEVEL_WORDS * out.depth):
            out.tops[to + word] = out.levels_before[kept + word]
    else:
        for side in range(2):
            write_side(state, out.tops, to, out.depth, book, side)
    books[base + B_WINDOW_EVENTS] = 0
    totals[T_TOPS] = n + 1


@inlined
def has_room_for_window(state: State, out: Outputs) -> bool:
    """Whether the tops of all books of a window have room."""
    words: int = TOP_WORDS + TOP_LEVEL_WORDS * out.depth
    needed: int = (state.totals[T_TOPS] + state.totals[T_CHANGED_BOOKS]) * words
    return needed <= len(out.tops)


@outlined
def end_window(state: State, out: Outputs) -> None:
    """Write every book in which an event ended in the window; there is room."""
    for i in range(state.totals[T_CHANGED_BOOKS]):
        book = out.changed_books[i]
        write_window_top(state, out, book, state.books[book * BOOK_WORDS + B_EVENTS] & 1 != 0)
    state.totals[T_CHANGED_BOOKS] = 0
    state.totals[T_WINDOWS] += 1


@inlined
def next_bound(state: State, out: Outputs) -> int:
    """The row before which the next window ends; -1 if the batch has none."""
    ended = state.totals[T_WINDOWS]
    return as_word(out.window_bounds[ended]) if ended < len(out.window_bounds) else as_word(-1)


@kernel
def end_last_window(state: State, out: Outputs) -> bool:
    """End the window that is open at the end of the stream; False if there is no room."""
    if not has_room_for_window(state, out):
        return False
    end_window(state, out)
    return True
