"""What an answer about books says about its data: the times of its records, and warnings.

The rule here: every answer uses these words, in JSON, on terminals and in Python. An answer that
would mean nothing is an error instead.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import numpy as np

from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP, MboBatch, is_untimed
from batonics.model.times import format_time


class AnswerWarning(StrEnum):
    """What makes an answer doubtful; `meaning` says it in words."""

    AFTER_DATA = "after_data"
    COLD = "cold"
    STALE = "stale"
    CROSSED = "crossed"

    @property
    def meaning(self) -> str:
        """The warning in words, for terminals."""
        return _MEANINGS[self]


_MEANINGS = {
    AnswerWarning.AFTER_DATA: "the time is after the last record: the book is the last known one",
    AnswerWarning.COLD: "the book began mid-session: orders and levels may be missing",
    AnswerWarning.STALE: "records are missing: the feed flagged a gap",
    AnswerWarning.CROSSED: "the bid is above the ask: the market is not in continuous trading",
}


class DataSpan(NamedTuple):
    """The times of the records behind an answer, by the clock of the stream (rule 16).

    Attributes:
        from_ns: the time of the first record that has one; None: none has.
        until_ns: the greatest time of a record; None: none has one.
    """

    from_ns: int | None = None
    until_ns: int | None = None

    def extend(self, batch: MboBatch) -> DataSpan:
        """The span with the records of a batch, which follow its own."""
        timed = ~is_untimed(batch.flags)
        timed &= batch.ts_recv != UNDEF_TIMESTAMP
        times = batch.ts_recv if timed.all() else batch.ts_recv[timed]
        if len(times) == 0:
            return self
        from_ns = int(times[0]) if self.from_ns is None else self.from_ns
        return DataSpan(from_ns, max(int(np.max(times)), self.until_ns or 0))

    def check_not_after(self, at_ns: int, reason: str) -> None:
        """Refuse a question about a time after the last record, where no answer means anything.

        Raises:
            UsageError: with the reason, and the times that there are records of.
        """
        if self.until_ns is None or at_ns > self.until_ns:
            raise UsageError(
                f"{format_time(at_ns)} is after the last record: {reason}; {self.describe()}"
            )

    def check_not_before(self, at_ns: int) -> None:
        """Refuse a question about a time before the first record.

        Raises:
            UsageError: with the times that there are records of.
        """
        if self.from_ns is not None and at_ns < self.from_ns:
            raise UsageError(
                f"{format_time(at_ns)} is before the first record: no book is known;"
                f" {self.describe()}"
            )

    def document(self) -> dict[str, str | None]:
        """The span as JSON documents have it, under the key `data`."""
        return {
            "from": None if self.from_ns is None else format_time(self.from_ns),
            "until": None if self.until_ns is None else format_time(self.until_ns),
        }

    def describe(self) -> str:
        """The span in words, for messages."""
        if self.from_ns is None or self.until_ns is None:
            return "no record has a time"
        return f"the records are from {format_time(self.from_ns)} to {format_time(self.until_ns)}"


def book_warnings(status: str, *, crossed: bool) -> list[AnswerWarning]:
    """The warnings of a book's state.

    Args:
        status: `cold`, `synced` or `stale`.
        crossed: whether its best bid is above its best ask.
    """
    found = [warning for warning in (AnswerWarning.COLD, AnswerWarning.STALE) if warning == status]
    return [*found, AnswerWarning.CROSSED] if crossed else found
