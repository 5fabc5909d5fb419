"""Finds files that have records of one book at times that overlap, while the records pass.

The rule: a file that begins later may go on with a book of a file that begins earlier, as parts of
a recording do; the earlier file then has no later record of that book.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class KeyedPiece(NamedTuple):
    """Records of one file on their way into a merged stream.

    Attributes:
        file: number of the file; files that begin later have larger numbers.
        keys: (records,) keys of their books.
        due_ns: (records,) the time by which each is merged; it never falls.
    """

    file: int
    keys: NDArray[np.int64]
    due_ns: NDArray[np.int64]


class Overlap(NamedTuple):
    """Two files that overlap.

    Attributes:
        earlier: number of the file that begins first.
        last_ns: time of one of its records.
        later: number of the other file.
        first_ns: time of a record of the same book in it, before `last_ns`.
        key: key of the book.
    """

    earlier: int
    last_ns: int
    later: int
    first_ns: int
    key: int


class OverlapCheck:
    """Checks the pieces of files that are merged, in whatever order the files are read."""

    def __init__(self) -> None:
        self._owners: dict[int, tuple[int, int]] = {}
        """By key of a book: the last file that has it, and the time of its first record there."""
        self._ends: dict[int, tuple[int, int]] = {}
        """By key of a book: the time of its last record so far, and the file of that."""

    def find(self, pieces: Sequence[KeyedPiece]) -> Overlap | None:
        """The first overlap that the next pieces show, if any; pieces of a file come in order."""
        for file, keys, due_ns in pieces:
            found, first = np.unique(keys, return_index=True)
            last = np.unique(keys[::-1], return_index=True)[1]
            starts, ends = due_ns[first].tolist(), due_ns[::-1][last].tolist()
            for key, start_ns, end_ns in zip(found.tolist(), starts, ends, strict=True):
                owner, first_ns = self._owners.get(key, (file, start_ns))
                before, before_ns = self._ends.get(key, (file, end_ns))
                if owner < file and before_ns > start_ns:
                    return Overlap(before, before_ns, file, start_ns, key)
                if owner > file and end_ns > first_ns:
                    return Overlap(file, end_ns, owner, first_ns, key)
                self._owners[key] = (owner, first_ns) if owner >= file else (file, start_ns)
                self._ends[key] = (before, before_ns) if before_ns > end_ns else (file, end_ns)
        return None
