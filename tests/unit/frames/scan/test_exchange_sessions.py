"""Calendars of exchanges: hours and days, and what is refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from batonics.frames.scan.exchange_sessions import ExchangeSessions, find_sessions
from batonics.frames.scan.sessions import NO_SESSION, SessionTable
from batonics.model.errors import UsageError
from batonics.model.times import NS_PER_DAY, format_time, parse_time


def minute_of(time_ns: int) -> str:
    """A time to the minute, without its year."""
    return str(format_time(time_ns))[5:16]


def sessions(name: str, first: str, last: str) -> list[tuple[str, str, str]]:
    """Date, opening and closing time of the sessions of some dates, in UTC to the minute."""
    days = (parse_time(day) // NS_PER_DAY for day in (first, last))
    spans = find_sessions(name).spans(*days)
    return [
        (str(np.datetime64(int(day), "D"))[5:], minute_of(int(opens)), minute_of(int(closes)))
        for day, opens, closes in zip(spans.day, spans.open_ns, spans.close_ns, strict=True)
    ]


def test_globex_closes_for_an_hour_a_day_and_over_christmas() -> None:
    expected = [
        ("12-22", "12-21T23:00", "12-22T22:00"),
        ("12-26", "12-25T23:00", "12-26T22:00"),
        ("12-27", "12-26T23:00", "12-27T22:00"),
    ]
    assert sessions("CMES", "2023-12-22", "2023-12-27") == expected
    assert sessions("CMEGlobex_CL", "2023-12-22", "2023-12-27") == expected


def test_products_close_early_at_their_own_times() -> None:
    # Thanksgiving and the day after it; New York has no session on the first.
    assert sessions("ES", "2025-11-27", "2025-11-28") == [
        ("11-27", "11-26T23:00", "11-27T18:00"),
        ("11-28", "11-27T23:00", "11-28T18:15"),
    ]
    assert sessions("CL", "2025-11-27", "2025-11-28") == [
        ("11-27", "11-26T23:00", "11-27T19:30"),
        ("11-28", "11-27T23:00", "11-28T18:45"),
    ]
    assert sessions("XNAS", "2025-11-27", "2025-11-28") == [("11-28", "11-28T14:30", "11-28T18:00")]


def test_sessions_follow_the_clocks_of_their_zone() -> None:
    # Clocks in the United States go back on 2 November 2025, those in London on 26 October.
    assert sessions("CMES", "2025-10-31", "2025-11-03") == [
        ("10-31", "10-30T22:00", "10-31T21:00"),
        ("11-03", "11-02T23:00", "11-03T22:00"),
    ]
    assert sessions("XLON", "2025-10-24", "2025-10-27") == [
        ("10-24", "10-24T07:00", "10-24T15:30"),
        ("10-27", "10-27T08:00", "10-27T16:30"),
    ]
    assert find_sessions("IEPA").zone == "America/New_York"


def test_a_break_divides_a_session() -> None:
    assert sessions("CMEGlobex_Grains", "2025-09-23", "2025-09-23") == [
        ("09-23", "09-23T00:00", "09-23T12:45"),
        ("09-23", "09-23T13:30", "09-23T18:20"),
    ]
    # The break of this calendar lasts no time since 2021: it divides nothing.
    assert sessions("CME_Equity", "2025-09-23", "2025-09-23") == [
        ("09-23", "09-22T22:00", "09-23T21:00")
    ]


def test_an_unknown_name_is_refused_with_near_names() -> None:
    with pytest.raises(UsageError, match=r"session 'XNYSE': .* near names are XNYS, "):
        find_sessions("XNYSE")
    with pytest.raises(UsageError, match=r"session 'qqqqqqqq': .* there are CMES, XNAS, IEPA and"):
        find_sessions("qqqqqqqq")


def test_a_calendar_that_the_library_cannot_make_is_refused() -> None:
    with pytest.raises(UsageError, match=r"session 'XSGO': .* cannot make this calendar"):
        find_sessions("XSGO")


def test_the_extra_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas_market_calendars", None)
    words = r"session 'CMES': .* is missing; `pip install 'batonics\[calendar\]'`"
    with pytest.raises(UsageError, match=words):
        find_sessions("CMES")
    assert find_sessions("17:00-16:00 America/Chicago").zone == "America/Chicago"


@pytest.mark.parametrize(
    ("name", "time", "known"),
    [
        ("XSES", "2027-01-04T03:00:00Z", "1986-01-01 to 2026-12-31"),
        ("XSES", "2026-12-31T03:00:00Z", "1986-01-01 to 2026-12-31"),
        ("CMES", "2201-05-05T03:00:00Z", "1970-01-01 to 2200-12-31"),
    ],
)
def test_a_time_outside_of_a_calendar_is_refused(name: str, time: str, known: str) -> None:
    table = SessionTable(find_sessions(name))
    with pytest.raises(UsageError, match=f"session '{name}': .* {known}; .* {time[:10]}"):
        table.cover(np.array([parse_time(time)]))


def test_a_table_covers_the_last_days_of_a_calendar() -> None:
    table = SessionTable(ExchangeSessions("XSES"))
    times = np.array([parse_time(f"2026-12-{day}T03:00:00Z") for day in (25, 30)])
    table.cover(times)
    assert (table.spans.find(times) == NO_SESSION).tolist() == [True, False]
