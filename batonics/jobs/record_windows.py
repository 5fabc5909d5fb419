"""Windows of a number of records or events of a stream, over all of its books.

The rule here: batches are cut at the ends of windows and never collected, because a window may be
larger than memory. An event counts where F_LAST ends it.
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
    """The length of a window.

    Attributes:
        length: the number of records or events of all books.
        events: the length counts events, not records.
    """

    length: int
    events: bool

    @classmethod
    def parse(cls, text: str) -> WindowLength:
        """Parse `100000`, `100000 records` or `5000 events`; raise UsageError for other text."""
        match = _EVERY.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"--every {text}: expected a count of records, or N events")
        return cls(int(match[1]), match[2] == "events")


class RecordWindows:
    """The windows of a stream, one after the other.

    Attributes:
        closed: the number of windows that have ended.
    """

    def __init__(self, every: WindowLength) -> None:
        self._every = every
        self._left = every.length  # records or events that the current window still takes
        self._cut_rows = 0
        self._end = -1  # rows up to the end of the last window
        self._start = 0  # rows before the current window
        self.closed = 0

    def cut(self, batch: MboBatch) -> Iterator[MboBatch]:
        """Cut a batch into pieces that end where windows end."""
        rows = len(batch.action)
        is_last = batch.flags & Flag.LAST != 0
        counted = np.flatnonzero(is_last) if self._every.events else np.arange(rows)
        # A window ends with every `length`-th record or event.
        stops = counted[self._left - 1 :: self._every.length] + 1
        whole = len(stops) * self._every.length
        self._left += whole - len(counted)
        start = 0
        for stop in stops.tolist():
            self._end = self._cut_rows + stop
            yield slice_batch(batch, start, stop)
            start = stop
        self._cut_rows += rows
        if start < rows or not rows:  # a DayStart may have no rows
            yield slice_batch(batch, start, rows)

    def ends_at(self, rows: int) -> bool:
        """Whether a window ends with this number of rows."""
        return rows == self._end

    def is_open(self, rows: int) -> bool:
        """Whether the current window has rows, of this number of rows of the stream."""
        return rows > self._start

    def close(self, rows: int) -> dict[str, int]:
        """End the current window; its first and last record, as the report has them."""
        window = {"first_record": min(self._start, rows - 1), "last_record": rows - 1}
        self._start = rows
        self.closed += 1
        return window
