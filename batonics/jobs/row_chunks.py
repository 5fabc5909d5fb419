"""The rows of one side of a comparison, in chunks that end at a time.

The rule here: memory does not grow with the number of rows, unless all of them have one time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

CHUNK_ROWS = 131_072
"""Rows of each side that are compared at once."""


class RowChunks:
    """The rows of one side, in chunks."""

    def __init__(self, frames: Iterator[pl.DataFrame], index: str) -> None:
        self.ended = False
        self.first_ns: int | None = None
        self.last_ns = -1
        self._frames = frames
        self._index = index
        self._frames_held: list[pl.DataFrame] = []

    @property
    def has_more(self) -> bool:
        """Whether rows are left to take."""
        return not self.ended or bool(self._frames_held)

    def fill(self) -> None:
        """Hold a chunk of rows, or all rows that are left."""
        while not self.ended and sum(frame.height for frame in self._frames_held) < CHUNK_ROWS:
            self._fetch()

    def take(self, until_ns: int | None) -> pl.DataFrame:
        """The rows before a time; None: all rows."""
        if not self._frames_held:
            return pl.DataFrame()
        rows = pl.concat(self._frames_held)
        if until_ns is None:
            self._frames_held = []
            return rows
        before = pl.col(self._index).cast(pl.Int64).fill_null(0) < until_ns
        selected, rest = rows.filter(before), rows.filter(~before)
        self._frames_held = [rest] if rest.height else []
        # A chunk in which all rows have one time cannot be cut, so it needs more rows.
        if selected.is_empty() and not self.ended and until_ns == self.last_ns:
            self._fetch()
        return selected

    def _fetch(self) -> None:
        """Hold one more frame, if there is one."""
        frame = next(self._frames, None)
        self.ended = frame is None
        if frame is None or frame.height == 0:
            return
        times = frame[self._index].cast(pl.Int64)
        latest: Any = times.max()
        earliest: Any = times.min()
        self.last_ns = max(self.last_ns, latest or 0)
        self.first_ns = earliest if self.first_ns is None else self.first_ns
        self._frames_held.append(frame)
