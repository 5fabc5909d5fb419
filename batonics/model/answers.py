"""What an answer about books says about its data: the times of its records, and warnings.

The rule here: every answer uses these words, in JSON, on terminals and in Python. An answer that
would mean nothing is an error instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from batonics.model.book_changes import TradingStatus
from batonics.model.coverage import Holes, holes_between
from batonics.model.day_conditions import DoubtfulDays, days_between
from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP, Flag, MboBatch, is_untimed
from batonics.model.times import format_time


class AnswerWarning(StrEnum):
    """What makes an answer doubtful; `meaning` says it in words."""

    AFTER_DATA = "after_data"
    COLD = "cold"
    STALE = "stale"
    CROSSED = "crossed"
    CLOSED = "closed"
    RENAMED = "renamed"
    OFF_TICK = "off_tick"
    DEGRADED = "degraded"
    UNCOVERED = "uncovered"

    @property
    def meaning(self) -> str:
        """The warning in words, for terminals."""
        return _MEANINGS[self]


_MEANINGS = {
    AnswerWarning.AFTER_DATA: "the time is after the last record: the book is the last known one",
    AnswerWarning.COLD: "the book began mid-session, without a clear or a snapshot: orders and"
    " levels may be missing",
    AnswerWarning.STALE: "records are missing: the feed flagged a gap",
    AnswerWarning.CROSSED: "the bid is above the ask: the market is not in continuous trading",
    AnswerWarning.CLOSED: "the market does not trade at that time: it is closed, halted or opening",
    AnswerWarning.RENAMED: "the symbol does not name this instrument any more, so no later record"
    " of it was read",
    AnswerWarning.OFF_TICK: "the price is no multiple of the tick, by the definition of the"
    " instrument or by all prices in the book: the venue would refuse the order",
    AnswerWarning.DEGRADED: "the vendor does not vouch for all days (condition.json): records may"
    " be missing",
    AnswerWarning.UNCOVERED: "no records cover a time of the answer: the market was closed, a file"
    " is missing, or the symbol was another instrument",
}


_BAD_TS_RECV = np.uint8(Flag.BAD_TS_RECV)


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
        times = batch.ts_recv
        if len(times) == 0:
            return self
        until_ns = int(times.max())
        # UNDEF_TIMESTAMP is the greatest time. Most batches have none, and no flagged row.
        if until_ns == UNDEF_TIMESTAMP or (batch.flags & _BAD_TS_RECV).any():
            times = times[~is_untimed(batch.flags) & (times != UNDEF_TIMESTAMP)]
            if len(times) == 0:
                return self
            until_ns = int(times.max())
        from_ns = int(times[0]) if self.from_ns is None else self.from_ns
        return DataSpan(from_ns, max(until_ns, self.until_ns or 0))

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
            UsageError: with the time of the first record.
        """
        if self.from_ns is not None and at_ns < self.from_ns:
            raise UsageError(
                f"{format_time(at_ns)} is before the first record, at"
                f" {format_time(self.from_ns)}: no book is known"
            )

    def check_overlaps(self, start_ns: int | None, end_ns: int | None) -> None:
        """Refuse rows from a start, and before an end, that are all outside the span.

        Raises:
            UsageError: with the times that there are records of.
        """
        if self.from_ns is None or self.until_ns is None:
            return
        if start_ns is not None and start_ns > self.until_ns:
            raise UsageError(
                f"the start, {format_time(start_ns)}, is after the last record; {self.describe()}"
            )
        if end_ns is not None and end_ns <= self.from_ns:
            raise UsageError(
                f"the end, {format_time(end_ns)}, is not after the first record, at"
                f" {format_time(self.from_ns)}"
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


class AsOf(NamedTuple):
    """The time that books are as of.

    Attributes:
        at_ns: the time that was asked for; None: the end of the data.
        data: the times of the records up to it.
        trading: the trading statuses of books at it, by publisher and instrument, as far as they
            are known.
        losses: what was lost of the records before they were read, in words.
        renamed: the instruments whose symbol has ended since their last record.
        doubtful_days: the days of the data that the vendor does not vouch for.
        is_uncovered: no file covers the time, and records are before and behind it.
    """

    at_ns: int | None = None
    data: DataSpan = DataSpan()
    trading: Mapping[tuple[int, int], TradingStatus] = MappingProxyType({})
    losses: tuple[str, ...] = ()
    renamed: Collection[int] = ()
    doubtful_days: DoubtfulDays = ()
    is_uncovered: bool = False

    @property
    def time_ns(self) -> int | None:
        """The time of the books; None: it is not known."""
        return self.data.until_ns if self.at_ns is None else self.at_ns

    @classmethod
    def of_records(
        cls,
        at_ns: int | None,
        data: DataSpan,
        doubtful_days: DoubtfulDays = (),
        holes: Holes = (),
    ) -> AsOf:
        """The books at a time, where records were read that may be later.

        Args:
            at_ns: the time.
            data: the times of the records.
            doubtful_days: days that the vendor does not vouch for, of the data or not.
            holes: times that no file covers.
        """
        if at_ns is not None and data.until_ns is not None:
            data = data._replace(until_ns=min(at_ns, data.until_ns))
        return cls(
            at_ns,
            data,
            doubtful_days=days_between(doubtful_days, *data),
            is_uncovered=bool(holes_between(holes, at_ns, at_ns)),
        )

    def warnings(self) -> list[AnswerWarning]:
        """The warnings of all books: their time is not in the data, or days are doubtful."""
        until_ns = self.data.until_ns
        is_after = self.at_ns is not None and until_ns is not None and self.at_ns > until_ns
        tests = (
            (AnswerWarning.AFTER_DATA, is_after),
            (AnswerWarning.DEGRADED, bool(self.doubtful_days)),
            (AnswerWarning.UNCOVERED, self.is_uncovered),
        )
        return [warning for warning, holds in tests if holds]

    def describe_warnings(self, of_books: Sequence[Iterable[AnswerWarning]]) -> list[str]:
        """A line for each kind of warning: those of all books, and how many books have another.

        Doubtful days have none: they are said once, as their records are read (`MboStream`).

        Args:
            of_books: the warnings of each book's own state (`book_warnings`).
        """
        lines = [
            f"{warning}: {warning.meaning}; {self.data.describe()}"
            for warning in self.warnings()
            if warning is not AnswerWarning.DEGRADED
        ]
        counts = Counter(chain.from_iterable(of_books))
        kinds = (warning for warning in AnswerWarning if counts[warning])
        return lines + [describe_books(kind, counts[kind], len(of_books)) for kind in kinds]

    def document(self) -> dict[str, Any]:
        """The keys that JSON documents of books begin with."""
        at = None if self.at_ns is None else format_time(self.at_ns)
        losses = {"losses": list(self.losses)} if self.losses else {}
        return {"at": at, "data": self.data.document(), **losses}


END_OF_DATA = AsOf()
"""Books at the end of records whose times are not known."""


def describe_books(warning: AnswerWarning, count: int, book_count: int) -> str:
    """A line that says how many books of an answer have a warning, in the words of every door."""
    books = "book" if book_count == 1 else "books"
    return f"{warning}: {count:,} of {book_count:,} {books}: {warning.meaning}"


def book_warnings(
    status: str, *, crossed: bool, trading: TradingStatus | None = None, renamed: bool = False
) -> list[AnswerWarning]:
    """The warnings of a book's state.

    Args:
        status: `cold`, `synced` or `stale`.
        crossed: whether its best bid is above its best ask.
        trading: its trading status; None: it is not known.
        renamed: whether its symbol has ended since its last record.
    """
    found = [warning for warning in (AnswerWarning.COLD, AnswerWarning.STALE) if warning == status]
    if crossed:
        found.append(AnswerWarning.CROSSED)
    if trading not in (None, TradingStatus.TRADING):
        found.append(AnswerWarning.CLOSED)
    if renamed:
        found.append(AnswerWarning.RENAMED)
    return found
