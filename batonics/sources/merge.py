"""Merges the batches of several files by time.

The rule: files that follow each other pass unchanged, one after the other. Files that cover the
same time are merged: a record is due at the greatest trusted `ts_recv` of its file so far, and
records due at the same time come in the order of the files. A file is opened when the files before
it have come to its beginning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import (
    UNDEF_TIMESTAMP,
    DayStart,
    MboBatch,
    due_times,
    record_keys,
    slice_batch,
    take_batch,
)
from batonics.model.record_hashes import record_hashes
from batonics.model.times import NS_PER_DAY
from batonics.sources.overlap import KeyedPiece, Overlap, OverlapCheck


class FileBatch(NamedTuple):
    """A batch of one file.

    Attributes:
        batch: the records, one or more; valid until the next one of the file.
        begins_file: it is the first of its file.
        follows_hole: no file covers a time just before it.
    """

    batch: MboBatch
    begins_file: bool
    follows_hole: bool = False


class MergeInput(NamedTuple):
    """A file to merge.

    Attributes:
        first_ns: when it begins; None: behind the files before it, whenever these end.
        open: begins to read it; called with the number of other files that are being read.
    """

    first_ns: int | None
    open: Callable[[int], Generator[FileBatch, None, None]]


class TimedPiece(NamedTuple):
    """Records of one file on their way into the merged stream.

    Attributes:
        file: number of the file; files that begin later have larger numbers.
        batch: the records.
        due_ns: (records,) the time by which each is merged; it never falls.
    """

    file: int
    batch: MboBatch
    due_ns: NDArray[np.int64]


class FileMerge:
    """A merge that runs once.

    Args:
        inputs: the files, in the order of their beginnings.
        refuse: makes the error of two files that overlap.
    """

    def __init__(
        self, inputs: Sequence[MergeInput], refuse: Callable[[Overlap], Exception]
    ) -> None:
        self._waiting = deque(enumerate(inputs))
        self._refuse = refuse
        self._heads: list[_Head] = []
        self._last_begun = -1
        self._overlap_check = OverlapCheck()
        self._last_day = -1
        self._has_records = False
        self._day_starts = False

    def batches(self) -> Generator[MboBatch, None, None]:
        """The merged batches; the first of a file of a later day or behind a hole is a `DayStart`.

        Raises:
            Exception: that of `refuse`.
        """
        try:
            while self._heads or self._waiting:
                if not self._heads:
                    self._begin_next()
                    continue
                next_ns = self._waiting[0][1].first_ns if self._waiting else None
                if len(self._heads) == 1 and self._heads[0].ends_before(next_ns):
                    yield self._join([self._heads[0].take_all()])
                else:
                    limit_ns, number = min((head.last_due_ns, head.number) for head in self._heads)
                    begins_next = next_ns is not None and next_ns <= limit_ns
                    if next_ns is not None and begins_next:
                        limit_ns, number = next_ns, -1
                    pieces = [head.take_until(limit_ns, number) for head in self._heads]
                    pieces = [piece for piece in pieces if len(piece.due_ns)]
                    if pieces:
                        yield self._join(pieces)
                    if begins_next:
                        self._begin_next()
                self._advance()
        finally:
            for head in self._heads:
                head.items.close()

    def _begin_next(self) -> None:
        """Open the next file."""
        number, file = self._waiting.popleft()
        self._last_begun = number
        self._heads.append(_Head(number, file.open(len(self._heads))))
        self._advance()

    def _advance(self) -> None:
        """Read on in each file of which all records have been taken."""
        for head in [head for head in self._heads if head.is_empty]:
            item = next(head.items, None)
            if item is None:
                self._heads.remove(head)
                continue
            head.load(item.batch)
            first = int(item.batch.ts_recv[0])
            if item.begins_file and self._has_records and first != UNDEF_TIMESTAMP:
                self._day_starts |= first // NS_PER_DAY > self._last_day
            self._day_starts |= self._has_records and item.follows_hole

    def _join(self, pieces: list[TimedPiece]) -> MboBatch:
        """The next batch of the stream, from pieces in the order of their files."""
        checked, shared_ns = pieces, self._overlap_check.last_ns
        if len(self._heads) == 1 and pieces[0].file == self._last_begun:
            checked = []
            if shared_ns >= 0 and int(pieces[0].due_ns[0]) <= shared_ns:
                # The last file goes on at the very time at which the others ended. Its records
                # passed without a look at which of their times order anything.
                file, batch, _ = pieces[0]
                checked = [TimedPiece(file, batch, due_times(batch, shared_ns))]
        overlap = self._overlap_check.find([_keyed_piece(piece) for piece in checked])
        if overlap is not None:
            raise self._refuse(overlap)
        batch = _interleave(pieces)
        last = int(batch.ts_recv[-1])
        if last != UNDEF_TIMESTAMP:
            self._last_day = max(self._last_day, last // NS_PER_DAY)
        self._has_records = True
        if self._day_starts:
            self._day_starts = False
            return DayStart._make(batch)
        return batch


def _keyed_piece(piece: TimedPiece) -> KeyedPiece:
    file, batch, due_ns = piece

    def find_hashes(rows: NDArray[np.intp]) -> NDArray[np.uint64]:
        return record_hashes(take_batch(batch, rows))

    return KeyedPiece(file, record_keys(batch), due_ns, find_hashes)


class _Head:
    """The records of a file that come next.

    Attributes:
        number: number of the file.
        items: the batches after the records.
    """

    def __init__(self, number: int, items: Generator[FileBatch, None, None]) -> None:
        self.number, self.items = number, items
        self._batch: MboBatch | None = None
        self._due_ns: NDArray[np.int64] | None = None
        self._reached_ns = 0

    @property
    def is_empty(self) -> bool:
        """Whether all records were taken."""
        return self._batch is None

    def load(self, batch: MboBatch) -> None:
        """Take the next batch."""
        self._batch, self._due_ns = batch, None

    def ends_before(self, next_ns: int | None) -> bool:
        """Whether no record is as late as `next_ns`; a quick test that may fail to see it."""
        if next_ns is None:
            return True
        latest_ns = int(self._records.ts_recv.max())
        if self._due_ns is None and latest_ns < next_ns:
            self._reached_ns = max(self._reached_ns, latest_ns)
            return True
        return False

    @property
    def last_due_ns(self) -> int:
        """When the last record is due."""
        return int(self._dues[-1])

    def take_all(self) -> TimedPiece:
        """All records."""
        batch, due_ns = self._records, self._due_ns
        self._batch = None
        if due_ns is None:
            due_ns = batch.ts_recv.view(np.int64)
        return TimedPiece(self.number, batch, due_ns)

    def take_until(self, limit_ns: int, last_number: int) -> TimedPiece:
        """The records due before a time; those due at it too, up to the file `last_number`."""
        side: Literal["left", "right"] = "right" if self.number <= last_number else "left"
        batch, due_ns = self._records, self._dues
        cut = int(np.searchsorted(due_ns, limit_ns, side=side))
        rows = len(due_ns)
        if cut == rows:
            self._batch = None
        else:
            self._batch, self._due_ns = slice_batch(batch, cut, rows), due_ns[cut:]
        return TimedPiece(self.number, slice_batch(batch, 0, cut), due_ns[:cut])

    @property
    def _records(self) -> MboBatch:
        if self._batch is None:
            raise AssertionError("the file has been read on")
        return self._batch

    @property
    def _dues(self) -> NDArray[np.int64]:
        if self._due_ns is None:
            self._due_ns = due_times(self._records, self._reached_ns)
            self._reached_ns = int(self._due_ns[-1])
        return self._due_ns


def _interleave(pieces: Sequence[TimedPiece]) -> MboBatch:
    """The records of all pieces by time, earlier pieces first."""
    if len(pieces) == 1:
        return pieces[0].batch
    order = np.argsort(np.concatenate([piece.due_ns for piece in pieces]), kind="stable")
    columns = zip(*(piece.batch for piece in pieces), strict=True)
    return MboBatch._make(np.concatenate(column)[order] for column in columns)
