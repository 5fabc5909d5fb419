"""Times as uint64 nanoseconds since the epoch (UTC) and as text, exact to the nanosecond."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo

from batonics.model.arguments import Expected
from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP

NS_PER_S = 1_000_000_000
NS_PER_DAY = 86_400 * NS_PER_S

_ISO = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9}))?)?"
    r"(Z|[+-]\d{2}:?\d{2})?"
)
_DIGITS_MAX = 100
_DURATION_PART = re.compile(r"([0-9]+)([a-zµ]+)")
_UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3_600 * NS_PER_S,
    "d": NS_PER_DAY,
}
"""The units of durations; `format_duration` writes these."""
_OTHER_UNIT_NS = {"µs": 1_000, "sec": NS_PER_S, "min": 60 * NS_PER_S, "w": 7 * NS_PER_DAY}
_CALENDAR_UNITS = {"mo": "months", "q": "quarters", "y": "years"}
"""Units of Polars that are no fixed time."""


def enclosing_span(
    spans: Iterable[tuple[int | None, int | None]],
) -> tuple[int | None, int | None]:
    """The least first and the greatest last of some times; None: none of them is known."""
    known = list(spans)
    return (
        min((first for first, _ in known if first is not None), default=None),
        max((last for _, last in known if last is not None), default=None),
    )


def format_time(ts_ns: int, time_zone: str = "UTC") -> str | None:
    """ISO 8601 with nine decimals, and Z or the offset; UNDEF_TIMESTAMP has no text: None.

    Raises:
        UsageError: there is no such time zone.
    """
    if ts_ns == UNDEF_TIMESTAMP:
        return None
    seconds, nanos = divmod(ts_ns, NS_PER_S)
    if time_zone == "UTC":
        return f"{_format_second(seconds)}.{nanos:09d}Z"
    local = _find_moment(seconds).astimezone(find_time_zone(time_zone))
    return f"{local:%Y-%m-%dT%H:%M:%S}.{nanos:09d}{local.isoformat()[19:]}"


@lru_cache(maxsize=1 << 12)
def _format_second(seconds: int) -> str:
    return f"{_find_moment(seconds):%Y-%m-%dT%H:%M:%S}"


def _find_moment(seconds: int) -> datetime:
    # By timedelta, since utcfromtimestamp uses a float on some platforms.
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def describe_bounds(start_ns: int | None, end_ns: int | None) -> str:
    """`from START and before END`, as far as they are given; empty: neither is."""
    bounds = ("from", start_ns), ("before", end_ns)
    return " and ".join(f"{word} {format_time(ns)}" for word, ns in bounds if ns is not None)


Time = Annotated[
    str | int | datetime,
    Expected(
        "a time: ISO 8601 text (UTC by default), an int of nanoseconds since the epoch, or a"
        " datetime with a time zone"
    ),
]
"""A time as callers write it."""


def time_ns(time: Time) -> int:
    """Nanoseconds since the epoch of a time.

    Args:
        time: ISO 8601 text (UTC by default), that number itself, or a datetime with a time zone.
            A Timestamp of pandas is a datetime, and keeps its nanoseconds.

    Raises:
        UsageError: it is no time, or outside the range of DBN.
    """
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise UsageError(f"the datetime {time} has no time zone: add one, such as tzinfo=UTC")
        return parse_time(time.isoformat())
    if isinstance(time, int) and not 0 <= time < UNDEF_TIMESTAMP:
        raise UsageError(f"time {time} is outside the range of DBN timestamps")
    return parse_time(str(time))


def parse_time(text: str, time_zone: str = "UTC") -> int:
    """Nanoseconds since the epoch, from ISO 8601 text or an integer.

    Args:
        text: the time.
        time_zone: the zone of a text without a zone or an offset, such as America/Chicago.

    Raises:
        UsageError: it is no time, or outside the range of DBN; its clock shows it twice or never;
            or there is no such zone.
    """
    text = text.strip()
    if text.isdecimal():
        # Python refuses to parse thousands of digits.
        ts_ns = int(text) if len(text) <= _DIGITS_MAX else UNDEF_TIMESTAMP
    else:
        ts_ns = _parse_iso(text, time_zone)
    if not 0 <= ts_ns < UNDEF_TIMESTAMP:
        raise UsageError(f"time {text!r} is outside the range of DBN timestamps")
    return ts_ns


def parse_date(day: str | date | None) -> date | None:
    """A day from ISO 8601 text such as 2019-01-30; UsageError if it is none. None stays None."""
    if isinstance(day, str):
        with suppress(ValueError):
            if str(date.fromisoformat(day)) == day:
                return date.fromisoformat(day)
        raise UsageError(f"not a day: {day!r} (expected such as 2019-01-30)")
    if isinstance(day, datetime):
        raise UsageError(f"not a day: {day} (expected a date without a time)")
    return day


def _parse_iso(text: str, time_zone: str) -> int:
    match = _ISO.fullmatch(text)
    if match is None:
        raise UsageError(
            f"not a time: {text!r} (expected ISO 8601 such as 2025-09-24T21:59:00.5Z,"
            " or nanoseconds since the epoch)"
        )
    date, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{clock or '00:00'}{(zone or '')}")
    except ValueError as error:
        raise UsageError(f"not a time: {text!r} ({error})") from None
    if zone is None:
        moment = _localise(moment, time_zone)
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    return seconds * NS_PER_S + int((fraction or "").ljust(9, "0"))


def _localise(moment: datetime, time_zone: str) -> datetime:
    """The moment at which clocks of a zone show a time."""
    zone = find_time_zone(time_zone)
    first, second = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first
    shown = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == moment
    raise UsageError(
        f"clocks in {time_zone} show {moment.isoformat()} {'twice' if shown else 'never'}:"
        " write the time with its offset, such as -05:00"
    )


def find_time_zone(name: str) -> tzinfo:
    """The time zone of a name such as America/Chicago.

    Raises:
        UsageError: there is none.
    """
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise UsageError(f"no time zone {name!r} (expected such as America/Chicago)") from None


Duration = Annotated[
    str | timedelta,
    Expected("a duration: text such as 100ms, 5min or 1h30m, or a timedelta"),
]
"""A duration as callers write it."""


def parse_duration(duration: Duration) -> int:
    """Nanoseconds of a duration.

    Args:
        duration: numbers with units, as Polars and pandas write them: `100ms`, `5m` and `5min` are
            minutes, `1h30m`, `1d` is 24 hours, `1w` is 7 days; or a timedelta. A Timedelta of
            pandas is a timedelta, and keeps its nanoseconds.

    Raises:
        UsageError: it is none, is not positive, or has a unit that is no fixed time, such as `1mo`.
    """
    if isinstance(duration, timedelta):
        length_ns = duration // timedelta(microseconds=1) * 1_000
        length_ns += getattr(duration, "nanoseconds", 0)
        if length_ns <= 0:
            raise UsageError(f"a duration of {duration}: expected more than 0")
        return length_ns
    text = duration.strip()
    parts = _DURATION_PART.findall(text)
    units = {**_UNIT_NS, **_OTHER_UNIT_NS}
    if "".join(number + unit for number, unit in parts) == text:
        for _, unit in parts:
            if unit in _CALENDAR_UNITS:
                raise UsageError(
                    f"{duration!r}: {_CALENDAR_UNITS[unit]} have no fixed length; write days, such"
                    " as 30d"
                )
        if all(unit in units and len(number) <= _DIGITS_MAX for number, unit in parts):
            length_ns = sum(int(number) * units[unit] for number, unit in parts)
            if length_ns > 0:
                return length_ns
    raise UsageError(
        f"not a duration: {duration!r} (expected such as 100ms, 1s, 5m or 5min, 1h30m, 1d)"
    )


def duration_ns(duration: Duration, what: str = "a duration") -> int:
    """Nanoseconds of a duration that fits an int64; UsageError otherwise.

    Args:
        duration: such as `100ms`, or a timedelta.
        what: the words for the duration in an error.
    """
    length_ns = parse_duration(duration)
    if length_ns >= 2**63:
        raise UsageError(f"{what} of {duration}: expected at most 292 years")
    return length_ns


def format_duration(length_ns: int) -> str:
    """The shortest text of a duration that `parse_duration` reads: 60 seconds are `1m`."""
    unit = max(
        (unit for unit, unit_ns in _UNIT_NS.items() if length_ns % unit_ns == 0),
        key=_UNIT_NS.__getitem__,
    )
    return f"{length_ns // _UNIT_NS[unit]}{unit}"
