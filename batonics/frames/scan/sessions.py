"""Trading sessions: spans of time in which a market is open, each with a date.

The rule here: a session is `[open, close)`. It belongs to the date on which it closes, in the time
zone of the exchange, as exchanges name their trade dates.

Hours such as `17:00-16:00 America/Chicago` give a session for each weekday: that of a Monday opens
on Sunday at 17:00. Days may follow the time zone: `00:00-24:00 UTC mon-sun`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.model.errors import UsageError
from batonics.model.times import NS_PER_DAY

NO_SESSION = -1
"""The number of the session of a time outside all sessions."""


class SessionSpans(NamedTuple):
    """Sessions in order, which do not overlap.

    Attributes:
        open_ns: the start of each session, in nanoseconds since the epoch.
        close_ns: the end of each session, likewise.
        day: its date, in days since the epoch.
    """

    open_ns: NDArray[np.int64]
    close_ns: NDArray[np.int64]
    day: NDArray[np.int64]

    def find(self, ts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of the session of each time, or `NO_SESSION`."""
        at = self.find_opened(ts_ns)
        is_inside = at != NO_SESSION
        is_inside[is_inside] = ts_ns[is_inside] < self.close_ns[at[is_inside]]
        return np.where(is_inside, at, NO_SESSION)

    def find_opened(self, ts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of the last session that has opened at each time, or `NO_SESSION`."""
        return np.searchsorted(self.open_ns, ts_ns, side="right") - 1

    def next_edges(self, ts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """The next time after each of these at which a session opens or closes."""
        edges = np.column_stack([self.open_ns, self.close_ns]).reshape(-1)
        edges = np.append(edges, np.iinfo(np.int64).max)
        found: NDArray[np.int64] = edges[np.searchsorted(edges[:-1], ts_ns, side="right")]
        return found


class SessionCalendar(Protocol):
    """The sessions of a market."""

    @property
    def name(self) -> str:
        """The text that names it."""

    @property
    def zone(self) -> str:
        """The time zone of the exchange."""

    @property
    def known_days(self) -> tuple[int, int]:
        """The first and the last date whose sessions are known (days since the epoch)."""

    def spans(self, first_day: int, last_day: int) -> SessionSpans:
        """The sessions of these dates that are known, both included (days since the epoch)."""


_HOURS = re.compile(
    r"(\d{1,2}):(\d\d)-(\d{1,2}):(\d\d) +([^\s]+)(?: +([a-z]{3})-([a-z]{3}))?", re.ASCII
)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES_PER_DAY = 24 * 60


@dataclass(frozen=True)
class SessionHours:
    """The same hours on each of some days of the week.

    Attributes:
        open_minute: the minute of the day at which a session opens.
        close_minute: the minute at which it closes. If it is not greater than `open_minute`, the
            session opens on the day before.
        zone: the time zone of the exchange.
        weekdays: the days of the week on which sessions close; 0 is Monday.
        name: the text of the hours.
        known_days: all dates.
    """

    open_minute: int
    close_minute: int
    zone: str
    weekdays: tuple[int, ...]
    name: str
    known_days: tuple[int, int] = (-(2**31), 2**31)

    @classmethod
    def parse(cls, text: str) -> SessionHours:
        """Parse hours such as `17:00-16:00 America/Chicago`.

        Raises:
            UsageError: the text is no hours, or there is no such time zone.
        """
        match = _HOURS.fullmatch(text.strip())
        expected = (
            f"session {text!r}: expected hours such as 17:00-16:00 America/Chicago, or a calendar"
            " such as CMES"
        )
        if match is None:
            raise UsageError(expected)
        opens, closes = (int(match[at]) * 60 + int(match[at + 1]) for at in (1, 3))
        is_minute = max(int(match[2]), int(match[4])) < 60
        if not is_minute or opens >= _MINUTES_PER_DAY or not 0 < closes <= _MINUTES_PER_DAY:
            raise UsageError(expected)
        weekdays = tuple(range(5))
        if match[6]:
            if match[6] not in _DAYS or match[7] not in _DAYS:
                raise UsageError(f"session {text!r}: days are {', '.join(_DAYS)}")
            first, last = _DAYS.index(match[6]), _DAYS.index(match[7])
            weekdays = tuple(
                day % 7 for day in range(first, last + 1 if last >= first else last + 8)
            )
        hours = cls(opens, closes, match[5], weekdays, text)
        try:
            hours.spans(0, 7)
        except pl.exceptions.PolarsError:
            raise UsageError(f"session {text!r}: no time zone {match[5]!r}") from None
        return hours

    def spans(self, first_day: int, last_day: int) -> SessionSpans:
        """The sessions of these dates, both included (days since the epoch)."""
        days = np.arange(first_day, last_day + 1, dtype=np.int64)
        days = days[np.isin((days + _EPOCH_WEEKDAY) % 7, self.weekdays)]
        is_overnight = self.close_minute <= self.open_minute
        opens = self._utc((days - is_overnight) * NS_PER_DAY + self.open_minute * _NS_PER_MINUTE)
        closes = self._utc(days * NS_PER_DAY + self.close_minute * _NS_PER_MINUTE)
        # Hours that the clocks skip whole are no session.
        is_session = opens < closes
        return SessionSpans(opens[is_session], closes[is_session], days[is_session])

    def _utc(self, local_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Instants of local times. A time that clocks skip is the first one after it."""
        local = pl.Series(local_ns).cast(pl.Datetime("ns"))
        zoned = self._zoned(local)
        while zoned.null_count():
            local = local.dt.offset_by("1m")
            zoned = zoned.fill_null(self._zoned(local))
        found: NDArray[np.int64] = zoned.to_physical().to_numpy()
        return found

    def _zoned(self, local: pl.Series) -> pl.Series:
        return local.dt.replace_time_zone(self.zone, ambiguous="earliest", non_existent="null")


_EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday."""
_NS_PER_MINUTE = 60 * 1_000_000_000


class SessionTable:
    """Looks up the sessions of times. Spans are asked for as times come.

    Args:
        calendar: the sessions of the market.

    Attributes:
        spans: the sessions around the times so far.
    """

    def __init__(self, calendar: SessionCalendar) -> None:
        self._calendar = calendar
        self._days = (0, -1)
        self.spans = SessionSpans(*(np.empty(0, np.int64) for _ in range(3)))

    def cover(self, ts_ns: NDArray[np.int64]) -> None:
        """Ask for the sessions around these times; a time of 0 is unknown and needs none.

        Raises:
            UsageError: the calendar does not know the sessions of a time.
        """
        known = ts_ns[ts_ns > 0]
        if len(known) == 0:
            return
        days = int(known.min()) // NS_PER_DAY, int(known.max()) // NS_PER_DAY
        self._check_known(days)
        first, last = days[0] - _MARGIN, days[1] + 1
        if first >= self._days[0] and last <= self._days[1] and self._days[1] >= 0:
            return
        if self._days[1] >= 0:
            first, last = min(first, self._days[0]), max(last, self._days[1])
        self._days = first, last + _DAYS_AHEAD
        self.spans = self._calendar.spans(*self._days)

    def _check_known(self, days: tuple[int, int]) -> None:
        """Raise UsageError unless the calendar has the dates around these, whose sessions end."""
        first, last = self._calendar.known_days
        for day in days:
            # A session of a date may begin on the day before, and end on the day after in UTC.
            if not first < day < last:
                known = " to ".join(_date(bound) for bound in (first, last))
                raise UsageError(
                    f"session {self._calendar.name!r}: the calendar has the dates from {known};"
                    f" there are records of {_date(day)}"
                )


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))


_MARGIN = 2
_DAYS_AHEAD = 31
"""Days beyond the times so far: few calls, and the next opening is known over holidays."""
