"""Finds files that have records of one book at times that overlap, while the records pass.

The rule: a file that begins later may go on with a book of a file that begins earlier, as parts of
a recording do; the earlier file then has no later record of that book. It may begin at the very
time at which the earlier file ends, but not with a record that the earlier file has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EDGE_RECORDS_MAX = 1 << 16
"""Records of one time at an end of a file that are compared, the outermost ones: a file may have
any number of records of one time."""


class KeyedPiece(NamedTuple):
    """Records of one file on their way into a merged stream.

    Attributes:
        file: number of the file; files that begin later have larger numbers.
        keys: (records,) keys of their books.
        due_ns: (records,) the time by which each is merged; it never falls.
        find_hashes: called with numbers of records; the hash of each (`model/record_hashes.py`).
    """

    file: int
    keys: NDArray[np.int64]
    due_ns: NDArray[np.int64]
    find_hashes: Callable[[NDArray[np.intp]], NDArray[np.uint64]]


class Overlap(NamedTuple):
    """Two files that overlap.

    Attributes:
        earlier: number of the file that begins first.
        last_ns: time of one of its records.
        later: number of the other file.
        first_ns: time of a record of the same book in it, before `last_ns`; the same time: both
            have the same record.
        key: key of the book.
    """

    earlier: int
    last_ns: int
    later: int
    first_ns: int
    key: int


class _Edge(NamedTuple):
    """The records of a book at the time at which it begins or ends.

    Attributes:
        file: the file of one of them.
        ns: the time.
        files: by hash, the file of each record.
    """

    file: int
    ns: int
    files: dict[int, int]

    def find_equal(self, other: _Edge) -> int | None:
        """The file of a record here that another file has at the same time; None: there is none."""
        if self.ns == other.ns:
            for record, file in other.files.items():
                if self.files.get(record, file) != file:
                    return self.files[record]
        return None


class OverlapCheck:
    """Checks the pieces of files that are merged, in whatever order the files are read.

    Attributes:
        last_ns: the greatest time of the records so far; -1: there are none.
    """

    def __init__(self) -> None:
        self.last_ns = -1
        self._starts: dict[int, _Edge] = {}
        """By key of a book: the first records in the last file that has it."""
        self._ends: dict[int, _Edge] = {}
        """By key of a book: the last records so far."""

    def find(self, pieces: Sequence[KeyedPiece]) -> Overlap | None:
        """The first overlap that the next pieces show, if any; pieces of a file come in order."""
        for piece in pieces:
            for key, start, end in _find_edges(piece):
                overlap = self._add(key, start, end)
                if overlap is not None:
                    return overlap
            if len(piece.due_ns):
                self.last_ns = max(self.last_ns, int(piece.due_ns[-1]))
        return None

    def _add(self, key: int, start: _Edge, end: _Edge) -> Overlap | None:
        """Note the next records of a book in a file; the overlap that they show, if any."""
        owner, before = self._starts.get(key, start), self._ends.get(key, end)
        file = start.file
        if owner.file < file and before.ns > start.ns:
            return Overlap(before.file, before.ns, file, start.ns, key)
        if owner.file > file and end.ns > owner.ns:
            return Overlap(file, end.ns, owner.file, owner.ns, key)
        for known, own in ((before, start), (owner, end)):
            other = known.find_equal(own)
            if other is not None:
                return Overlap(min(other, file), own.ns, max(other, file), own.ns, key)
        if owner.file < file:
            owner = start
        elif (owner.file, owner.ns) == (file, start.ns) and len(owner.files) < EDGE_RECORDS_MAX:
            owner.files.update(start.files)
        if before.ns < end.ns:
            before = end
        elif before.ns == end.ns:
            before.files.update(end.files)
            for record in list(before.files)[:-EDGE_RECORDS_MAX]:
                del before.files[record]
            before = before._replace(file=file)
        self._starts[key], self._ends[key] = owner, before
        return None


def _find_edges(piece: KeyedPiece) -> list[tuple[int, _Edge, _Edge]]:
    """The key of each book of a piece, with its first and last records."""
    file, keys, due_ns, find_hashes = piece
    found, first, book = np.unique(keys, return_index=True, return_inverse=True)
    starts = due_ns[first]
    ends = due_ns[::-1][np.unique(keys[::-1], return_index=True)[1]]
    edges = [
        (key, _Edge(file, start_ns, {}), _Edge(file, end_ns, {}))
        for key, start_ns, end_ns in zip(
            found.tolist(), starts.tolist(), ends.tolist(), strict=True
        )
    ]
    is_start, is_end = due_ns == starts[book], due_ns == ends[book]
    rows = np.flatnonzero(is_start | is_end)
    columns = (column[rows].tolist() for column in (book, is_start, is_end))
    for record, at, starts_book, ends_book in zip(
        find_hashes(rows).tolist(), *columns, strict=True
    ):
        _, start, end = edges[at]
        if starts_book:
            start.files[record] = file
        if ends_book:
            end.files[record] = file
    return edges
