"""Sessions of hours: which there are, and in which one a time is."""

from __future__ import annotations

import numpy as np
import pytest

from batonics.frames.scan.sessions import NO_SESSION, SessionHours, SessionTable
from batonics.model.errors import UsageError
from batonics.model.times import NS_PER_DAY, format_time, parse_time


def sessions(text: str, first: str, last: str) -> list[tuple[str | None, str | None]]:
    """Opening and closing times of the sessions of some dates."""
    days = (parse_time(day) // NS_PER_DAY for day in (first, last))
    spans = SessionHours.parse(text).spans(*days)
    return [
        (format_time(int(opens)), format_time(int(closes)))
        for opens, closes in zip(spans.open_ns, spans.close_ns, strict=True)
    ]


def test_a_session_over_midnight_belongs_to_the_day_on_which_it_closes() -> None:
    # Sunday evening opens Monday's; Saturday has none.
    assert sessions("17:00-16:00 America/Chicago", "2025-09-20", "2025-09-22") == [
        ("2025-09-21T22:00:00.000000000Z", "2025-09-22T21:00:00.000000000Z")
    ]


def test_hours_follow_the_clocks_of_their_zone() -> None:
    # Clocks in New York go back on 2 November 2025.
    assert sessions("9:30-16:00 America/New_York", "2025-10-31", "2025-11-03") == [
        ("2025-10-31T13:30:00.000000000Z", "2025-10-31T20:00:00.000000000Z"),
        ("2025-11-03T14:30:00.000000000Z", "2025-11-03T21:00:00.000000000Z"),
    ]


@pytest.mark.parametrize("opens", ["2:00", "2:30", "3:00"])
def test_a_time_that_clocks_skip_is_the_first_one_after_it(opens: str) -> None:
    # Clocks in Berlin go from 2:00 to 3:00 on 30 March 2025.
    assert sessions(f"{opens}-12:00 Europe/Berlin sun-sun", "2025-03-24", "2025-03-30") == [
        ("2025-03-30T01:00:00.000000000Z", "2025-03-30T10:00:00.000000000Z")
    ]


def test_hours_that_clocks_skip_whole_are_no_session() -> None:
    assert sessions("2:15-2:45 Europe/Berlin sun-sun", "2025-03-24", "2025-03-30") == []


def test_days_of_the_week_may_be_given() -> None:
    assert len(sessions("00:00-24:00 UTC mon-sun", "2025-09-15", "2025-09-28")) == 14
    assert len(sessions("00:00-24:00 UTC fri-mon", "2025-09-15", "2025-09-28")) == 8


@pytest.mark.parametrize(
    "text",
    ["", "17:00", "17:00-16:00", "25:00-16:00 UTC", "9:30-16:60 UTC", "9:30-24:01 UTC",
     "9:30-16:00 Mars/Base", "9:30-16:00 UTC mon-xyz"],
)  # fmt: skip
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="session"):
        SessionHours.parse(text)


def test_no_session_is_found_before_a_time_is_known() -> None:
    table = SessionTable(SessionHours.parse("9:30-16:00 America/New_York"))
    unknown = np.zeros(2, np.int64)
    table.cover(unknown)
    assert table.spans.find(unknown).tolist() == [NO_SESSION] * 2
    assert table.spans.next_edges(unknown).tolist() == [np.iinfo(np.int64).max] * 2


def test_a_table_asks_for_sessions_as_times_come() -> None:
    table = SessionTable(SessionHours.parse("9:30-16:00 America/New_York"))
    opening = parse_time("2025-09-24T13:30:00Z")
    times = np.array([0, opening - 1, opening, opening + 6 * 3_600 * 10**9])
    table.cover(times)
    found = table.spans.find(times)
    assert (found == NO_SESSION).tolist() == [True, True, False, False]
    closing = parse_time("2025-09-24T20:00:00Z")
    assert table.spans.find(np.array([closing - 1, closing])).tolist() == [found[2], NO_SESSION]
    assert table.spans.next_edges(times[1:]).tolist() == [opening, closing, closing]
    years_later = np.array([parse_time("2028-09-25T15:00:00Z")])
    table.cover(years_later)
    assert table.spans.find(years_later)[0] != NO_SESSION
    assert table.spans.find(times[2:3])[0] != NO_SESSION
