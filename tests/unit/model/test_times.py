"""Times between nanoseconds and text: exact to the nanosecond, over the whole range of DBN."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.model.times import NS_PER_DAY, NS_PER_S, format_time, parse_duration, parse_time

TIMES = st.integers(0, UNDEF_TIMESTAMP - 1)


@given(TIMES)
def test_text_is_exact_and_comes_back(ts_ns: int) -> None:
    text = format_time(ts_ns)
    assert text is not None
    assert len(text) == len("2025-09-24T21:59:00.000000000Z")
    moment = datetime.strptime(text[:-11], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    assert (since.days * 86_400 + since.seconds) * 10**9 + int(text[-10:-1]) == ts_ns
    assert parse_time(text) == parse_time(str(ts_ns)) == ts_ns


@given(TIMES, TIMES)
def test_text_sorts_as_time_does(one: int, other: int) -> None:
    assert ((format_time(one) or "") < (format_time(other) or "")) == (one < other)


def test_the_undefined_time_has_no_text() -> None:
    assert format_time(UNDEF_TIMESTAMP) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-02", "1970-01-02T00:00:00.000000000Z"),
        ("2025-09-24T21:59", "2025-09-24T21:59:00.000000000Z"),
        ("2025-09-24 21:59:00.5Z", "2025-09-24T21:59:00.500000000Z"),
        ("2025-09-24T16:59:00.000000001-05:00", "2025-09-24T21:59:00.000000001Z"),
        ("2025-09-25T03:29:00+0530", "2025-09-24T21:59:00.000000000Z"),
        (" 1758751140000000001 ", "2025-09-24T21:59:00.000000001Z"),
    ],
)
def test_other_spellings_are_read(text: str, expected: str) -> None:
    assert format_time(parse_time(text)) == expected


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2025-09-24T16:59", "America/Chicago", "2025-09-24T21:59:00.000000000Z"),
        ("2025-01-24", "America/Chicago", "2025-01-24T06:00:00.000000000Z"),
        ("2025-09-24T16:59Z", "America/Chicago", "2025-09-24T16:59:00.000000000Z"),
        ("2025-09-24T16:59+02:00", "America/Chicago", "2025-09-24T14:59:00.000000000Z"),
        ("1758751140000000001", "America/Chicago", "2025-09-24T21:59:00.000000001Z"),
        ("2025-09-24T16:59", "UTC", "2025-09-24T16:59:00.000000000Z"),
    ],
)
def test_a_time_without_an_offset_is_in_the_zone(text: str, zone: str, expected: str) -> None:
    assert format_time(parse_time(text, zone)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2025-11-02T01:30", "clocks in America/Chicago show 2025-11-02T01:30:00 twice"),
        ("2025-03-09T02:30", "clocks in America/Chicago show 2025-03-09T02:30:00 never"),
    ],
)
def test_a_time_that_clocks_show_twice_or_never_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=f"{words}: write the time with its offset"):
        parse_time(text, "America/Chicago")
    assert parse_time(f"{text}-05:00", "America/Chicago")


@pytest.mark.parametrize("zone", ["", "*", "Nowhere/City", "../x"])
def test_a_zone_that_is_not_there_is_refused(zone: str) -> None:
    with pytest.raises(UsageError, match="no time zone"):
        parse_time("2025-09-24", zone)


@pytest.mark.parametrize(
    "text",
    ["", "now", "2025-13-01", "2025-02-29", "2025-09-24T25:00", "24.09.2025", "2025-09-24T1:00",
     "2025-09-24T10:00:00.0000000001", "1e18", "-1"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a time"):
        parse_time(text)


@pytest.mark.parametrize(
    "text", ["1969-12-31", str(UNDEF_TIMESTAMP), "2554-07-22", "9999-12-31", "9" * 5_000]
)
def test_what_is_outside_the_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="outside the range"):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "ns"),
    [("1ns", 1), ("5us", 5_000), ("100ms", 10**8), ("1s", 10**9), (" 2m ", 12 * 10**10),
     ("1h", 3_600 * 10**9), ("1d", 86_400 * 10**9)],
)  # fmt: skip
def test_durations(text: str, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    ("duration", "ns"),
    [
        ("5min", 300 * NS_PER_S),
        ("1h30m", 5_400 * NS_PER_S),
        ("1h30min", 5_400 * NS_PER_S),
        ("1d12h1us", 129_600 * NS_PER_S + 1_000),
        ("2µs", 2_000),
        ("30sec", 30 * NS_PER_S),
        ("1w", 7 * NS_PER_DAY),
        (timedelta(minutes=5), 300 * NS_PER_S),
        (timedelta(microseconds=1), 1_000),
        (timedelta(days=40_000), 40_000 * NS_PER_DAY),
    ],
)
def test_durations_of_polars_pandas_and_the_standard_library(
    duration: str | timedelta, ns: int
) -> None:
    assert parse_duration(duration) == ns


@pytest.mark.parametrize("text", ["1mo", "2q", "1y", "1y3d"])
def test_units_without_a_fixed_length_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="have no fixed length; write days"):
        parse_duration(text)


@pytest.mark.parametrize("length", [timedelta(0), timedelta(seconds=-1)])
def test_timedeltas_that_are_not_positive_are_refused(length: timedelta) -> None:
    with pytest.raises(UsageError, match="expected more than 0"):
        parse_duration(length)


@pytest.mark.parametrize(
    "text",
    ["", "0s", "s", "1", "1.5s", "-1s", "1 s", "1week", "event", "1h 30m", "1i", "m5", "1h30"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a duration"):
        parse_duration(text)
