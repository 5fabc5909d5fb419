"""The records up to a point in time, complete events only: what `--at` folds.

The rule: a book at a time is the book after its last complete event at or before it (rule 5). So a
record passes only when the end of its event has come in time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book.cutoff_kernels import TABLE_WORDS, mark_complete
from batonics.book.state import read_only
from batonics.book.time_order import find_late_rows
from batonics.model.hash_salt import hash_salt
from batonics.model.mbo import (
    DayStart,
    MboBatch,
    concat_batches,
    copy_batch,
    empty_batch,
    record_keys,
    slice_batch,
    take_batch,
    trusted_times,
)


class CutoffState(NamedTuple):
    """What a cutoff knows between two batches; another one continues from it.

    Attributes:
        held: the rows of open events, as copies.
        now_ns: when the last row was received.
    """

    held: MboBatch = empty_batch(0)
    now_ns: int = 0


class EventCutoff:
    """Passes, batch by batch, the rows of events that are complete at `at_ns`.

    Rows of open events are held back until their end comes. This may reorder rows of different
    books, which changes no book.

    Args:
        at_ns: the time.
        backwards_ns_max: as `BookEngine.backwards_ns_max`; an engine that folds the rows that pass
            cannot count these anomalies, since rows are reordered.
        state: what a cutoff of the rows before has known; None: there are none.

    Attributes:
        done: whether a later record has come, so that nothing more passes.
        late_keys: keys of the books of rows in time of which `ts_recv` falls back too far.
    """

    def __init__(
        self,
        at_ns: int,
        backwards_ns_max: int | None = None,
        state: CutoffState | None = None,
    ) -> None:
        state = state or CutoffState()
        self.done = False
        self.late_keys = np.empty(0, np.int64)
        self._backwards_ns_max, self._latest_ns = backwards_ns_max, 0
        self._at_ns = np.uint64(at_ns)
        self._now_ns = np.uint64(state.now_ns)
        self._held = state.held

    @property
    def state(self) -> CutoffState:
        """What is known between two batches, of which all rows were in time."""
        return CutoffState(self._held, int(self._now_ns))

    def take(self, batch: MboBatch) -> list[MboBatch]:
        """The rows that pass now, as copies; a `DayStart` in time passes too."""
        if self.done:
            return []
        times = self._times(batch)
        in_time = int(np.searchsorted(times, self._at_ns, side="right"))
        self._now_ns = times[-1] if len(times) else self._now_ns
        self.done = in_time < len(times)
        self._note_late(slice_batch(batch, 0, in_time))
        taken = []
        day_starts = isinstance(batch, DayStart) and (in_time > 0 or not len(times))
        if day_starts:  # it ends the snapshots that the day before left open
            held = self._held
            taken.append(self._complete(held, len(held.action), ended=True))
        rows = MboBatch._make(batch)  # a plain one
        if len(self._held.action):
            rows = concat_batches([self._held, batch])
        complete = self._complete(rows, len(self._held.action) + in_time, ended=self.done)
        taken.append(DayStart._make(complete) if day_starts else complete)
        return [rows for rows in taken if len(rows.action) or isinstance(rows, DayStart)]

    def finish(self) -> MboBatch:
        """End the stream; the rest of an open snapshot passes, as it may lack its end."""
        if self.done:
            return slice_batch(self._held, 0, 0)
        self.done = True
        return self._complete(self._held, len(self._held.action), ended=True)

    def _note_late(self, batch: MboBatch) -> None:
        if self._backwards_ns_max is not None:
            late, self._latest_ns = find_late_rows(batch, self._latest_ns, self._backwards_ns_max)
            if len(late):
                self.late_keys = np.concatenate([self.late_keys, record_keys(batch)[late]])

    def _times(self, batch: MboBatch) -> NDArray[np.uint64]:
        """When each row was received: times that never fall, whatever single rows claim."""
        times = np.maximum(trusted_times(batch.ts_recv, batch.flags), 0).view(np.uint64)
        return np.maximum(np.maximum.accumulate(times), self._now_ns)

    def _complete(self, rows: MboBatch, in_time: int, *, ended: bool) -> MboBatch:
        """Split the rows into those that pass, which are returned, and those held back."""
        complete = np.empty(len(rows.action), np.bool_)
        count = _mark_complete(rows, in_time, complete, ended=ended)
        if count == len(complete):
            self._held = empty_batch(0)
            return copy_batch(rows)
        held = ~complete
        held[in_time:] = False
        self._held = take_batch(rows, held)
        return take_batch(rows, complete)


def complete_rows(rows: MboBatch, in_time: int, *, ended: bool) -> NDArray[np.bool_]:
    """Which of the first `in_time` rows belong to events that end among them.

    With `ended`, a snapshot at the end of the rows is complete too (rule 14: its last record may
    lack F_LAST).
    """
    complete = np.empty(len(rows.action), np.bool_)
    _mark_complete(rows, in_time, complete, ended=ended)
    return complete


def _mark_complete(
    rows: MboBatch, in_time: int, complete: NDArray[np.bool_], *, ended: bool
) -> int:
    """Write which rows are complete; their number."""
    slots = 2 << max(1, len(complete)).bit_length()
    table = np.zeros(slots * TABLE_WORDS, np.int64)
    keys, flags = read_only(record_keys(rows)), read_only(rows.flags)
    count: int = mark_complete(keys, flags, in_time, ended, hash_salt(), table, complete)
    return count
