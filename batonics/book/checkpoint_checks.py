"""Whether the arrays of a checkpoint fit each other, so that kernels stay within them and end.

The rule here: kernels check no bounds, so whatever a kernel relies on is checked here, for a state
that anybody may have written. Each check is one pass over an array, or a sort of one column. What a
book holds is not judged: `invariants.py` does that. Where an entry stands in a hash table is not
judged either, since the tables are rebuilt after the checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.ladder_kernels import FIRST_CAPACITY, IN_RUN
from batonics.book.state import (
    ASK_LADDER,
    BID_LADDER,
    BOOK_WORDS,
    NO_ASK,
    NO_BID,
    SLOT_WORDS,
    Book,
    Ladder,
    Level,
    Order,
    State,
    Status,
    Total,
    empty_levels,
)
from batonics.book.table_kernels import SIZE_MASK

Words = NDArray[np.int64]

_COUNT_MAX = 1 << 62
"""No count and no priority is as large."""


class _Tables(NamedTuple):
    """The words of a state, a row for each entry.

    Attributes:
        totals: by `Total`.
        lines: (2 * books, words) the sides of the books, by `Ladder`.
        orders: (slots, SLOT_WORDS).
        levels: (slots, SLOT_WORDS).
        entry_line: (entries,) the line of each entry of a run.
        entry_key: (entries,) its key.
        entry_slot: (entries,) its level slot.
    """

    totals: list[int]
    lines: Words
    orders: Words
    levels: Words
    entry_line: Words
    entry_key: Words
    entry_slot: Words


def find_misfit(state: State) -> str | None:
    """What of a state does not fit the rest; None: it all does.

    The lengths of the arrays have been checked.
    """
    return next(_misfits(state), None)


def _misfits(state: State) -> Iterator[str]:
    """What does not fit. Each check relies on those before it, so only the first one counts."""
    totals = state.totals.tolist()
    books = state.books[: totals[Total.BOOKS] * BOOK_WORDS].reshape(-1, BOOK_WORDS)
    yield from _misfit_totals(totals)
    yield from _misfit_books(books)
    if (state.anomalies < 0).any():
        yield "a number of anomalies is negative"
    lines = np.stack(
        [books[:, base : base + len(Ladder)] for base in (BID_LADDER, ASK_LADDER)], axis=1
    ).reshape(-1, len(Ladder))
    yield from _misfit_runs(totals, lines)
    length = lines[:, Ladder.LENGTH]
    entry_line = np.repeat(np.arange(len(lines)), length)
    entry = np.arange(len(entry_line)) - np.repeat(np.cumsum(length) - length, length)
    entry += lines[entry_line, Ladder.START]
    tables = _Tables(
        totals,
        lines,
        state.orders.reshape(-1, SLOT_WORDS),
        state.levels.reshape(-1, SLOT_WORDS),
        entry_line,
        state.run_keys[entry],
        state.run_slots[entry].astype(np.int64),
    )
    yield from _misfit_levels(tables)
    yield from _misfit_entries(tables)
    yield from _misfit_orders(tables)


def _misfit_totals(totals: list[int]) -> Iterator[str]:
    if min(totals) < 0 or max(totals[: Total.LATEST_NS]) >= _COUNT_MAX:
        yield "a total is out of range"
    if totals[Total.CHANGED_BOOKS]:
        yield "books are not published"


def _misfit_books(books: Words) -> Iterator[str]:
    keys = books[:, Book.KEY]
    if not _within(keys, 0, 1 << 48) or len(np.unique(keys)) < len(keys):
        yield "two books have one key"
    if not _within(books[:, Book.STATUS], 0, len(Status)):
        yield "a book has a status that does not exist"
    if not _within(books[:, Book.SNAPSHOT_OPEN], 0, 2):
        yield "a snapshot is neither open nor ended"
    if not _within(books[:, Book.EVENTS], 0, _COUNT_MAX):
        yield "a number of events is out of range"
    # Rows are those of a batch, which is gone.
    if not ((books[:, Book.LAST_ROW] == -1).all() and (books[:, Book.RECORD_ROW] < 0).all()):
        yield "a book refers to a record that is gone"
    if books[:, Book.WINDOW_EVENTS].any() or not _within(books[:, Book.TOP_BITS], 0, 256):
        yield "a book refers to an event that is gone"


def _misfit_runs(totals: list[int], lines: Words) -> Iterator[str]:
    start, length, capacity = (
        lines[:, word] for word in (Ladder.START, Ladder.LENGTH, Ladder.CAPACITY)
    )
    pool = totals[Total.POOL]
    if not (_within(start, 0, pool) and _within(capacity, FIRST_CAPACITY, pool + 1)):
        yield "a run is outside the pool"
    order = np.argsort(start)
    if (start[order] + capacity[order] > np.append(start[order][1:], pool)[: len(start)]).any():
        yield "two runs overlap"
    if not ((length >= 0) & (length <= capacity)).all():
        yield "a run is longer than its room"
    widest = int(capacity.max(initial=FIRST_CAPACITY))
    if totals[Total.WIDEST] != (widest if widest > FIRST_CAPACITY else 0):
        yield "the widest run is another one"
    if not _within(lines[:, Ladder.FLOOR], 0, totals[Total.PRIORITY] + 2):
        yield "a priority floor is out of range"


def _misfit_levels(tables: _Tables) -> Iterator[str]:
    levels, owner = tables.levels, tables.levels[:, Level.OWNER]
    sides = empty_levels(2).reshape(-1, SLOT_WORDS)
    if not np.array_equal(levels[:2], sides):
        yield "the levels of empty sides are not empty"
    others = levels[2:]
    taken = owner != 0
    line = (others[:, Level.OWNER] >> 1) - 1
    is_free = others[:, Level.OWNER] == 0
    if not _within(line[~is_free], 0, len(tables.lines)):
        yield "a level is of no book"
    if np.count_nonzero(taken) != tables.totals[Total.LEVELS] or 2 * taken.sum() > len(levels):
        yield "the number of levels is another one"
    if not (
        _within(others[:, Level.SIZE], 0, _COUNT_MAX)
        and _within(others[:, Level.COUNT], 0, _COUNT_MAX)
    ):
        yield "a size or count of a level is out of range"
    if _has_repeated(others[~is_free, Level.KEY], others[~is_free, Level.OWNER] >> 1):
        yield "a level stands twice"


def _misfit_entries(tables: _Tables) -> Iterator[str]:
    levels, lines, slot = tables.levels, tables.lines, tables.entry_slot
    if not _within(slot, NO_ASK + 1, len(levels)):
        yield "a run has a level that does not exist"
    owner, key = levels[slot, Level.OWNER], tables.entry_key
    if not np.array_equal(owner, (tables.entry_line + 1) << 1 | IN_RUN):
        yield "a run has a level of another side"
    if not np.array_equal(levels[slot, Level.KEY], key):
        yield "a run has a level of another price"
    if not ((key[1:] > key[:-1]) | (tables.entry_line[1:] != tables.entry_line[:-1])).all():
        yield "a run is not sorted"
    in_run = (levels[2:, Level.OWNER] & IN_RUN) != 0
    is_empty = levels[2:, Level.SIZE] == 0
    if np.count_nonzero(in_run) != len(slot) or (~is_empty & ~in_run).any():
        yield "a level is in no run"
    empty = np.bincount(tables.entry_line[levels[slot, Level.SIZE] == 0], minlength=len(lines))
    if not np.array_equal(empty, lines[:, Ladder.EMPTY]):
        yield "the number of empty levels is another one"
    length = lines[:, Ladder.LENGTH]
    best = np.where(np.arange(len(lines)) & 1, NO_ASK, NO_BID)
    best[length > 0] = slot[(np.cumsum(length) - 1)[length > 0]]
    if not np.array_equal(best, lines[:, Ladder.BEST]):
        yield "a best level is not the last of its run"
    if (levels[best[length > 0], Level.SIZE] == 0).any():
        yield "a best level is empty"


def _misfit_orders(tables: _Tables) -> Iterator[str]:
    orders, levels, lines = tables.orders, tables.levels, tables.lines
    owner, slot = orders[:, Order.OWNER], orders[:, Order.PACKED] >> 32
    taken = owner >= 0
    if not _within(owner, -1, len(lines)):
        yield "an order is of no book"
    if not _within(slot, 0, len(levels)):
        yield "an order is at a level that does not exist"
    if np.count_nonzero(taken) != tables.totals[Total.ORDERS] or 2 * taken.sum() > len(orders):
        yield "the number of orders is another one"
    if _has_repeated(orders[taken, Order.ORDER_ID], owner[taken] >> 1):
        yield "an order stands twice"
    if not _within(orders[taken, Order.PRIORITY], 0, tables.totals[Total.PRIORITY] + 1):
        yield "a priority is out of range"
    live = taken.copy()
    live[taken] = orders[taken, Order.PRIORITY] >= lines[owner[taken], Ladder.FLOOR]
    size = orders[live, Order.PACKED] & SIZE_MASK
    at = slot[live]
    if not np.array_equal(levels[at, Level.OWNER], (owner[live] + 1) << 1 | IN_RUN):
        yield "an order is at a level of another side"
    sums, counts = np.zeros((2, len(levels)), np.int64)
    np.add.at(sums, at, size)
    np.add.at(counts, at, 1)
    if (size == 0).any() or not np.array_equal(counts, levels[:, Level.COUNT]):
        yield "a level has another number of orders"
    # The record of a top-of-book publisher is no order.
    if (levels[2:, Level.SIZE] < sums[2:]).any():
        yield "a level is smaller than its orders"


def _within(values: Words, first: int, stop: int) -> bool:
    """Whether all values are in [first, stop)."""
    return bool(((values >= first) & (values < stop)).all())


def _has_repeated(key: Words, owner: Words) -> bool:
    """Whether two entries are the same."""
    order = np.lexsort((owner, key))
    key, owner = key[order], owner[order]
    return bool(((key[1:] == key[:-1]) & (owner[1:] == owner[:-1])).any())
