"""Says which days of the records of a stream the vendor does not vouch for.

The rule here: every stream says it, so every answer does, whoever asks.
"""

from __future__ import annotations

import warnings

from batonics.model.answers import AnswerWarning, DataSpan
from batonics.model.day_conditions import DoubtfulDays, days_between, describe_days
from batonics.model.errors import DataWarning
from batonics.model.mbo import MboBatch


class DayWarnings:
    """Warns of each doubtful day once the records have come to it, or gone beyond it.

    Args:
        days: the doubtful days.
    """

    def __init__(self, days: DoubtfulDays) -> None:
        self._days, self._data = days, DataSpan()

    def note(self, batch: MboBatch) -> None:
        """Note the next records of the stream."""
        if not self._days:
            return
        known = days_between(self._days, *self._data)
        self._data = self._data.extend(batch)
        found = days_between(self._days, *self._data)
        if len(found) > len(known):
            text = describe_days(tuple(day for day in found if day not in known))
            meaning = AnswerWarning.DEGRADED.meaning
            warnings.warn(f"{AnswerWarning.DEGRADED}: {text}: {meaning}", DataWarning, stacklevel=2)
