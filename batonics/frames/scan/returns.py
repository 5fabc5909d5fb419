"""Books that return: those of an instrument whose records a stream was missing for a time.

The rule here: nobody knows what happened to a book in an absence (`model/absences.py`). Behind it
the book is cold until its next R or snapshot, no row of an interval is complete that touches it,
and no state lasts into it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from batonics.frames.scan.book_changes import opens_book
from batonics.model.absences import Absence, Absences
from batonics.model.answers import AnswerWarning
from batonics.model.errors import DataWarning
from batonics.model.mbo import DayStart, MboBatch, slice_batch
from batonics.model.times import format_time


class ReturnCutter:
    """Cuts batches where a book of an instrument returns without an R or a snapshot.

    All books of the stream are cold behind a cut, those of other instruments too.
    """

    def __init__(self) -> None:
        self._known = set[Absence]()
        self._left = set[Absence]()  # before which the instrument had records, or may have had
        self._returned = set[Absence]()

    def cut(
        self, batch: MboBatch, times: NDArray[np.uint64], absences: Absences
    ) -> Iterator[MboBatch]:
        """The batch in pieces; a `DayStart` begins where a book returns. A DataWarning says so.

        Args:
            batch: the next records of the stream.
            times: (rows,) their times (`RecordTimes`).
            absences: the absences so far.
        """
        if not len(absences) or not len(times):
            yield batch
            return
        cuts = {0: False}
        for absence in absences.intervals():
            row = None if absence in self._returned else self._find_return(batch, times, absence)
            if row is not None:
                self._returned.add(absence)
                warnings.warn(_describe(absence), DataWarning, stacklevel=2)
                is_open = opens_book(int(batch.action[row]), int(batch.flags[row]))
                cuts[row] = cuts.get(row, False) or not is_open
        starts = [row for row in sorted(cuts) if row == 0 or cuts[row]]
        for start, stop in pairwise([*starts, len(times)]):
            piece = slice_batch(batch, start, stop)
            yield DayStart._make(piece) if cuts[start] else piece

    def _find_return(
        self, batch: MboBatch, times: NDArray[np.uint64], absence: Absence
    ) -> int | None:
        """The first row behind an absence of an instrument that had records before it."""
        if absence not in self._known:
            self._known.add(absence)
            if int(times.min()) >= absence.start_ns:
                # It is known too late to look, as that of daily files is.
                self._left.add(absence)
        if absence not in self._left and int(times.min()) < absence.start_ns:
            is_own = batch.instrument_id == absence.instrument_id
            if (is_own & (times < absence.start_ns)).any():
                self._left.add(absence)
        if absence not in self._left or int(times.max()) < absence.end_ns:
            return None
        is_own = batch.instrument_id == absence.instrument_id
        rows = np.flatnonzero(is_own & (times >= absence.end_ns))
        return int(rows[0]) if len(rows) else None


def are_absent(
    absences: Absences,
    instrument_id: NDArray[np.uint32],
    first_ns: NDArray[np.int64],
    last_ns: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """(rows,) Whether a time from `first_ns` to `last_ns` is in an absence of the instrument."""
    found = np.zeros(len(first_ns), np.bool_)
    for one in absences.intervals():
        touches = (first_ns < one.end_ns) & (last_ns >= one.start_ns)
        found |= touches & (instrument_id == one.instrument_id)
    return found


def _describe(absence: Absence) -> str:
    return (
        f"{AnswerWarning.UNCOVERED}: {absence.symbol} is another instrument than"
        f" {absence.instrument_id} from {format_time(absence.start_ns)} to"
        f" {format_time(absence.end_ns)}: what happened to its books in that time is not known"
    )
