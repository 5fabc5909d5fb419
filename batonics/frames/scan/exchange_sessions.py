"""What a text of `--session` names: hours, or the calendar of an exchange, which has its days too.

The rule here: a calendar knows a range of dates. A time outside of it is an error, never a time at
which the market is closed.

Calendars are those of the library pandas_market_calendars, under its names. It has the holidays,
early closes and breaks of each product group of CME Globex.
"""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batonics.frames.scan.sessions import SessionCalendar, SessionHours, SessionSpans
from batonics.model.errors import UsageError

_LIBRARY_NAMES = {
    "CMES": "CME Globex Equity",
    "ES": "CME Globex Equity",
    "XNAS": "NASDAQ",
}
"""Names that the library lacks, or whose calendar is wrong: its CMES is open in the daily break."""

_RULES_FROM, _RULES_UNTIL = np.datetime64("1970-01-01"), np.datetime64("2200-12-31")
"""The dates that have holidays by rule, in pandas."""


def find_sessions(text: str) -> SessionCalendar:
    """The sessions of hours such as `17:00-16:00 America/Chicago`, or of a calendar such as `CMES`.

    Raises:
        UsageError: the text is neither, or the library of calendars is not installed.
    """
    is_hours = ":" in text or not text.strip()
    return SessionHours.parse(text) if is_hours else ExchangeSessions(text.strip())


class ExchangeSessions:
    """The sessions of a calendar of the library.

    Args:
        name: the name of the calendar.

    Raises:
        UsageError: there is no such calendar, the library is not installed, or it has an error.

    Attributes:
        name: the argument.
        zone: the time zone of the exchange.
        known_days: the first and the last date whose sessions are known (days since the epoch).
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._calendar = _find_calendar(name)
        self.zone = str(self._calendar.tz)
        self.known_days = _known_days(self._calendar)
        self.spans(_SAMPLE_DAY, _SAMPLE_DAY + 7)

    def spans(self, first_day: int, last_day: int) -> SessionSpans:
        """The sessions of these dates, both included. A break divides a session in two spans."""
        first, last = max(first_day, self.known_days[0]), min(last_day, self.known_days[1])
        if first > last:
            return SessionSpans(*(np.empty(0, np.int64) for _ in range(3)))
        try:
            schedule = self._calendar.schedule(*(np.datetime64(day, "D") for day in (first, last)))
        except (NotImplementedError, ValueError) as error:
            raise UsageError(
                f"session {self.name!r}: pandas_market_calendars cannot make this calendar: {error}"
            ) from None
        opens, closes = (_to_ns(schedule[name]) for name in ("market_open", "market_close"))
        days = schedule.index.to_numpy("datetime64[D]").astype(np.int64)
        if "break_start" not in schedule:
            return SessionSpans(opens, closes, days)
        starts, ends = (
            _to_ns(schedule[name].fillna(schedule["market_close"]))
            for name in ("break_start", "break_end")
        )
        has_break = ends > starts
        opens = np.append(opens, ends[has_break])
        closes = np.append(np.where(has_break, starts, closes), closes[has_break])
        days = np.append(days, days[has_break])
        order = np.argsort(opens)
        return SessionSpans(opens[order], closes[order], days[order])


_SAMPLE_DAY = int(np.datetime64("2024-01-02").astype(np.int64))
"""A day that all calendars know, at which a calendar that the library cannot make shows."""


def _find_calendar(name: str) -> Any:
    try:
        import pandas_market_calendars as library
    except ImportError:
        raise UsageError(
            f"session {name!r}: pandas_market_calendars is missing; `pip install"
            " 'batonics[calendar]'`"
        ) from None
    known = sorted({*library.get_calendar_names(), *_LIBRARY_NAMES})
    if name not in known:
        by_folded = {calendar.casefold(): calendar for calendar in known}
        near = difflib.get_close_matches(name.casefold(), by_folded, n=4)
        names = ", ".join([by_folded[folded] for folded in near] or ["CMES", "XNAS", "IEPA"])
        raise UsageError(
            f"session {name!r}: expected hours such as 17:00-16:00 America/Chicago, or a calendar;"
            f" {'near names are' if near else 'there are'} {names}{'' if near else ' and others'}"
        )
    return library.get_calendar(_LIBRARY_NAMES.get(name, name))


def _known_days(calendar: Any) -> tuple[int, int]:
    """The dates that a calendar knows. Those that the library mirrors have bounds of their own."""
    mirrored = getattr(type(calendar), "_ec_class", None)
    bounds = (mirrored.bound_min(), mirrored.bound_max()) if mirrored else (None, None)
    first, last = (None if bound is None else bound.to_datetime64() for bound in bounds)
    days = (
        _RULES_FROM if first is None else max(first.astype("M8[D]"), _RULES_FROM),
        _RULES_UNTIL if last is None else min(last.astype("M8[D]"), _RULES_UNTIL),
    )
    return int(days[0].astype(np.int64)), int(days[1].astype(np.int64))


def _to_ns(times: Any) -> NDArray[np.int64]:
    """A column of times of pandas, in nanoseconds since the epoch."""
    utc: NDArray[np.datetime64] = times.dt.tz_localize(None).to_numpy("datetime64[ns]")
    return utc.astype(np.int64)
