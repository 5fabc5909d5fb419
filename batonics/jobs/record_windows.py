"""Windows of so many records or events of a stream, all of its books together.

The rule here: a stream is cut, never gathered: a window may be longer than memory. An event is
counted where it is told to end, by F_LAST.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from batonics.model.errors import UsageError
from batonics.model.mbo import Flag, MboBatch, slice_batch

_EVERY = re.compile(r"([1-9][0-9]{0,17}) *(records|events)?")


class WindowLength(NamedTuple):
    """How long a window is: so many records, or events, of all books together."""

    length: int
    events: bool

    @classmethod
    def parse(cls, text: str) -> WindowLength:
        """`100000`, `100000 records` or `5000 events`; UsageError if it is none of these."""
        found = _EVERY.fullmatch(text.strip())
        if found is None:
            raise UsageError(f"--every {text}: expected a count of records, or N events")
        return cls(int(found[1]), found[2] == "events")


class RecordWindows:
    """The windows of a stream, one after the other.

    Attributes:
        closed: how many have been.
    """

    def __init__(self, every: WindowLength) -> None:
        self._every = every
        self._left = every.length  # to be counted in the window that is being cut
        self._cut_rows = 0
        self._end = -1  # the rows up to the end of the window that was cut last
        self._start = 0  # the rows before the window that is open
        self.closed = 0

    def cut(self, batch: MboBatch) -> Iterator[MboBatch]:
        """The batch in pieces, none of which goes on beyond the end of a window."""
        rows = len(batch.action)
        is_last = batch.flags & Flag.LAST != 0
        counted = np.flatnonzero(is_last) if self._every.events else np.arange(rows)
        # A window ends with every so many of those that are counted.
        stops = counted[self._left - 1 :: self._every.length] + 1
        whole = len(stops) * self._every.length
        self._left += whole - len(counted)
        start = 0
        for stop in stops.tolist():
            self._end = self._cut_rows + stop
            yield slice_batch(batch, start, stop)
            start = stop
        self._cut_rows += rows
        if start < rows or not rows:  # a day may start without rows
            yield slice_batch(batch, start, rows)

    def ends_at(self, rows: int) -> bool:
        """Whether a window ends with the last of so many rows."""
        return rows == self._end

    def begun(self, rows: int) -> bool:
        """Whether some rows are in a window that has not ended."""
        return rows > self._start

    def close(self, rows: int) -> dict[str, int]:
        """End the window here; its first and last record, as the report names them."""
        window = {"first_record": min(self._start, rows - 1), "last_record": rows - 1}
        self._start = rows
        self.closed += 1
        return window
