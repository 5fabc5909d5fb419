"""Finds files that have records of one book at times that overlap, while the records pass.

The rule: a file that begins later may go on with a book of a file that begins earlier, as parts of
a recording do; the earlier file then has no later record of that book.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.model.mbo import MboBatch, record_keys


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
    """Checks the pieces of files that are merged."""

    def __init__(self) -> None:
        self._owners: dict[int, tuple[int, int]] = {}
        """By key of a book: the last file that has it, and the time of its first record there."""

    def find(self, pieces: Sequence[TimedPiece]) -> Overlap | None:
        """The first overlap that the next pieces show, if any."""
        keys = [record_keys(piece.batch) for piece in pieces]
        for piece, piece_keys in zip(pieces, keys, strict=True):
            found, first = np.unique(piece_keys, return_index=True)
            starts = piece.due_ns[first].tolist()
            for key, start_ns in zip(found.tolist(), starts, strict=True):
                owner = self._owners.get(key)
                if owner is None or owner[0] < piece.file:
                    self._owners[key] = piece.file, start_ns
        for piece, piece_keys in zip(pieces, keys, strict=True):
            found, last = np.unique(piece_keys[::-1], return_index=True)
            ends = piece.due_ns[::-1][last].tolist()
            for key, end_ns in zip(found.tolist(), ends, strict=True):
                later, first_ns = self._owners[key]
                if later > piece.file and end_ns > first_ns:
                    return Overlap(piece.file, end_ns, later, first_ns, key)
        return None
