"""The records of one book of a stream, up to a time and after it.

The rule here: an order enters after a whole event, so the records until its time are split from
those after it at the end of an event, also where a later day begins between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from batonics.book.event_cutoff import EventCutoff
from batonics.model.answers import DataSpan
from batonics.model.errors import UsageError
from batonics.model.mbo import (
    DayStart,
    MboBatch,
    concat_batches,
    empty_batch,
    record_keys,
    slice_batch,
    trusted_times,
)
from batonics.model.symbols import list_names


class BookStream:
    """The records of one book of a stream.

    Args:
        batches: the records of all books.
        select: returns the records of the book, in pieces.
        at_ns: the time at which an order enters, in nanoseconds since the epoch.

    Attributes:
        data: the times of the records of all books so far.
    """

    def __init__(
        self,
        batches: Iterable[MboBatch],
        select: Callable[[MboBatch], Iterable[MboBatch]],
        at_ns: int,
    ) -> None:
        self.data = DataSpan()
        self._batches, self._select, self._at_ns = batches, select, at_ns

    def batches(self) -> Iterator[MboBatch]:
        """The records of the book, batch by batch.

        A day that begins without records of the book makes it cold at once if that is before the
        order enters, else with its next record.
        """
        seen: set[tuple[int, int]] = set()
        day_starts = False
        for batch in self._batches:
            self.data = self.data.extend(batch)
            day_starts |= isinstance(batch, DayStart)
            for piece in self._select(batch):
                day_starts |= isinstance(piece, DayStart)
                rows = piece
                if len(rows.action) == 0:
                    if day_starts and self._is_before_entry(batch):
                        yield DayStart._make(rows)
                        day_starts = False
                    continue
                if day_starts:
                    rows, day_starts = DayStart._make(rows), False
                seen |= {(key >> 32, key & 0xFFFFFFFF) for key in _find_keys(rows)}
                if len(seen) > 1:
                    named = list_names([f"{p}/{i}" for p, i in sorted(seen)])
                    raise UsageError(
                        f"several books match (publisher/instrument {named}): say which"
                    )
                yield rows
        if not seen:
            raise UsageError("no records of such a book")

    def _is_before_entry(self, batch: MboBatch) -> bool:
        """Whether a batch begins at or before the time of the order."""
        times = trusted_times(batch.ts_recv[:1], batch.flags[:1])
        return len(times) > 0 and 0 <= int(times[0]) <= self._at_ns


def _find_keys(rows: MboBatch) -> list[int]:
    keys: list[int] = np.unique(record_keys(rows)).tolist()
    return keys


def split_at_entry(batches: Iterable[MboBatch], at_ns: int) -> Iterator[tuple[MboBatch, bool]]:
    """Split the batches of one book where the order enters.

    Yields:
        Each part, and whether the order enters just before it.
    """
    cutoff, held, entered = EventCutoff(at_ns), empty_batch(0), False
    for batch in batches:
        if entered:
            yield batch, False
            continue
        held = concat_batches([held, batch])
        day_starts = isinstance(batch, DayStart)
        # In a single book, the complete events are the first records.
        for complete in cutoff.take(batch):
            held = slice_batch(held, len(complete.action), len(held.action))
            day_starts &= not isinstance(complete, DayStart)
            yield complete, False
        entered = cutoff.done
        if entered and day_starts:  # the order enters before the day that the batch begins
            before = len(held.action) - len(batch.action)
            yield slice_batch(held, 0, before), True
            yield batch, False
        elif entered:
            yield held, True
    if not entered:
        complete = cutoff.finish()
        yield complete, False
        yield slice_batch(held, len(complete.action), len(held.action)), True
