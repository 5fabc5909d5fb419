"""MBP of an instrument over all its publishers: the consolidated book.

The rule here: the rows are those of `mbp.py`, but with the levels of the instrument, and depth and
side by these levels. `publisher_id` is the publisher of the record that made the row. Each book
counts as of its last complete event, whether or not that event has a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.merge_kernels import NO_TOP, InstrumentGroups, merge_tops
from batonics.book.results import TopsSpec
from batonics.book.state import ChangeBits
from batonics.frames.scan.folding import book_keys, fold_tops
from batonics.frames.schemas.mbp import tops_frame
from batonics.model.mbo import ACTION_TRADE, UNDEF_PRICE, MboBatch, take_batch


def consolidated_frames(
    batches: Iterable[MboBatch], depth: int, *, rtype: int | None = None, changes: bool = True
) -> Iterator[pl.DataFrame]:
    """Frames of `mbp_schema(depth)`, in stream order.

    Args:
        batches: MBO records, in their order.
        depth: levels of each side.
        rtype: the value of the column `rtype`; None: null.
        changes: whether changes have rows. Without them, only trades have rows.
    """
    engine = BookEngine(tops=TopsSpec(depth, trades=True))
    groups = _no_groups()
    for folded in fold_tops(batches, engine, without=ChangeBits(0)):
        if len(groups.group_of) < engine.book_count:
            groups = _extend_groups(groups, book_keys(engine) & 0xFFFFFFFF, depth)
        tops, top_records = folded.tops.copy(), folded.top_records.take()
        kept = np.empty(len(tops), np.bool_)
        merge_tops(tops.reshape(-1), len(tops), depth, top_records.action, groups, kept)
        if not changes:
            kept &= top_records.action == ACTION_TRADE
        rows = np.flatnonzero(kept)
        if len(rows):
            yield tops_frame(tops[rows], take_batch(top_records, rows), depth, rtype)


def _no_groups() -> InstrumentGroups:
    empty = np.empty(0, np.int64)
    return InstrumentGroups(empty, np.zeros(1, np.int64), empty, empty, empty, empty, empty, empty)


def _extend_groups(
    groups: InstrumentGroups, instruments: NDArray[np.int64], depth: int
) -> InstrumentGroups:
    """The groups of the books' instruments, with the levels known so far.

    Groups are numbered in the order of their first books.
    """
    _, first_book, place = np.unique(instruments, return_index=True, return_inverse=True)
    # The number of a group never changes: new instruments come last.
    by_first = np.argsort(first_book)
    number = np.empty(len(by_first), np.int64)
    number[by_first] = np.arange(len(by_first))
    group_of = number[place]
    books = np.argsort(group_of, kind="stable")
    first = np.searchsorted(group_of[books], np.arange(len(by_first) + 1))
    new_groups = len(by_first) - len(groups.row_is_behind)
    return InstrumentGroups(
        group_of=group_of,
        first=first,
        books=books,
        book_tops=_extend_levels(groups.book_tops, len(instruments), depth, 0),
        group_tops=_extend_levels(groups.group_tops, len(by_first), depth, NO_TOP),
        group_rows=_extend_levels(groups.group_rows, len(by_first), depth, 0),
        row_is_behind=np.append(groups.row_is_behind, np.zeros(new_groups, np.int64)),
        used=np.empty(len(instruments), np.int64),
    )


def _extend_levels(
    levels: NDArray[np.int64], count: int, depth: int, size: int
) -> NDArray[np.int64]:
    """Levels of `count` books or instruments. New ones have no price, and the given size."""
    new = np.array([UNDEF_PRICE, UNDEF_PRICE, size, size, 0, 0], np.int64)
    grown = np.tile(new, count * depth)
    grown[: len(levels)] = levels
    return grown
