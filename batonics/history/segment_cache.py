"""The segments of books that were asked for, kept in a bounded number of bytes.

The rule here: a segment is built once, and dropped when others were asked for since and there is no
room. The arrays are files in the history's directory, so they take memory only while they are read.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batonics.history.book_history import FileHistory
from batonics.history.book_segments import BookSegment, build_segment
from batonics.history.heatmap import SegmentSpan
from batonics.model.errors import OutputError

CACHE_BYTES = 1 << 30
"""Bytes of the files at most, apart from the segment that is read."""


class SegmentCache:
    """Segments of the books of a history. Not for several threads at once.

    Args:
        history: the history.
    """

    def __init__(self, history: FileHistory) -> None:
        self._history, self._directory = history, history.directory
        bounds = history.segment_bounds[1:-1].tolist()
        self._due_ns = np.array([history.records.due_ns(count - 1) for count in bounds], np.int64)
        self._kept: OrderedDict[tuple[int, int], BookSegment] = OrderedDict()
        self._bytes = 0

    def span(self, key: int, from_ns: int, to_ns: int) -> SegmentSpan:
        """The segments of a book from the one that a time is in to that of a later time."""
        first, last = np.searchsorted(self._due_ns, [from_ns, to_ns], side="right").tolist()
        numbers = range(first, last + 1)
        return SegmentSpan(partial(self.find, key), numbers, self._due_ns[first:last])

    def missing(self, numbers: range, key: int) -> int:
        """How many segments of a book would have to be built."""
        return sum((key, number) not in self._kept for number in numbers)

    def find(self, key: int, segment: int) -> BookSegment:
        """A segment of the book with a key; it is built if it is not there.

        Raises:
            OutputError: the disk does not take the file.
        """
        found = self._kept.get((key, segment))
        if found is not None:
            self._kept.move_to_end((key, segment))
            return found
        built = build_segment(self._history, segment, key)
        while self._kept and self._bytes + built.nbytes > CACHE_BYTES:
            dropped, old = self._kept.popitem(last=False)
            self._path(*dropped).unlink()
            self._bytes -= old.nbytes
        kept = built._replace(changes=self._write(self._path(key, segment), built.changes))
        self._kept[key, segment] = kept
        self._bytes += kept.nbytes
        return kept

    def _path(self, key: int, segment: int) -> Path:
        return self._directory / f"levels-{key}-{segment}.npy"

    def _write(self, path: Path, rows: NDArray[Any]) -> NDArray[Any]:
        """The rows as a file that is mapped."""
        if len(rows) == 0:  # an empty file cannot be mapped
            return rows
        try:
            np.save(path, rows)
            mapped: NDArray[Any] = np.load(path, mmap_mode="r")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from None
        return mapped
