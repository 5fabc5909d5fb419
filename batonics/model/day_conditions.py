"""The vendor's conditions of days: whether all data of a day are there.

The rule here: a day is doubtful unless its condition is `available`. An answer over a doubtful day
has the warning `degraded`, and no interval that touches one is complete.

| condition | the vendor's meaning                                          |
|-----------|---------------------------------------------------------------|
| available | no known issues                                               |
| degraded  | data may be missing or wrong                                  |
| pending   | the data are not there yet                                    |
| missing   | there are no data                                             |
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from batonics.model.times import NS_PER_DAY

AVAILABLE = "available"
DAYS_LISTED_MAX = 5
"""Days that a line of text lists."""

_EPOCH = date(1970, 1, 1).toordinal()


class DayCondition(NamedTuple):
    """The condition of a day (UTC) of a dataset.

    Attributes:
        day: the day.
        condition: the vendor's word.
    """

    day: date
    condition: str

    @property
    def start_ns(self) -> int:
        """The first nanosecond of the day."""
        return (self.day.toordinal() - _EPOCH) * NS_PER_DAY

    @property
    def end_ns(self) -> int:
        """The first nanosecond after the day."""
        return self.start_ns + NS_PER_DAY


DoubtfulDays = tuple[DayCondition, ...]
"""Days that are not `available`, in their order, each once."""


def doubtful_days(days: Iterable[DayCondition]) -> DoubtfulDays:
    """The days that are not `available`."""
    return tuple(sorted({one for one in days if one.condition != AVAILABLE}))


def days_between(days: DoubtfulDays, first_ns: int | None, last_ns: int | None) -> DoubtfulDays:
    """The days that have an instant from `first_ns` to `last_ns`; none if one is not known."""
    if first_ns is None or last_ns is None:
        return ()
    return tuple(one for one in days if one.start_ns <= last_ns and first_ns < one.end_ns)


def describe_days(days: DoubtfulDays) -> str:
    """The days in words: `2024-10-04 is degraded, 2024-10-05 is missing and 3 more`."""
    listed = ", ".join(f"{one.day} is {one.condition}" for one in days[:DAYS_LISTED_MAX])
    left_out = len(days) - DAYS_LISTED_MAX
    return f"{listed} and {left_out:,} more" if left_out > 0 else listed
