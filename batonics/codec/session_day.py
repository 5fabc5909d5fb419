"""The day and the venue of a file whose messages have a time of day only.

The rule here: a day is told by the name of the file or by the caller, never guessed. A time of day
counts from midnight of New York.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from batonics.model.errors import InputError
from batonics.model.times import NS_PER_S, find_time_zone

EXCHANGE_TIME_ZONE = "America/New_York"
XNAS_PUBLISHER, XBOS_PUBLISHER, XPSX_PUBLISHER = 2, 3, 4
"""The vendor's publishers of Nasdaq, Nasdaq BX and Nasdaq PSX."""

_ITCH_NAMES = (
    # 01302019.NASDAQ_ITCH50
    re.compile(r"(?P<month>\d{2})(?P<day>\d{2})(?P<year>\d{4})\.(?P<venue>NASDAQ)_ITCH_?50"),
    # 20190130.BX_ITCH_50
    re.compile(r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})\.(?P<venue>BX|PSX)_ITCH_?50"),
    # S101819-v50, S012720-v50-bx
    re.compile(r"S(?P<month>\d{2})(?P<day>\d{2})(?P<year>\d{2})-v50(?:-(?P<venue>bx|psx))?"),
)
_LOBSTER_NAME = re.compile(
    r"(?P<ticker>[^_/]+)_(?P<date>\d{4}-\d{2}-\d{2})_(?P<start>\d+)_(?P<end>\d+)"
    r"_message_(?P<levels>\d+)"
)
_LOBSTER_BOOK_NAME = re.compile(
    r"[^_/]+_\d{4}-\d{2}-\d{2}_\d+_\d+_orderbook_\d+\.csv(?:\.zst|\.gz)?"
)
_ITCH_ENDING = re.compile(r"(?:\.bin|\.txt)?(?:\.zst|\.gz)?")
_PUBLISHERS = {"BX": XBOS_PUBLISHER, "PSX": XPSX_PUBLISHER}


class ItchDay(NamedTuple):
    """What the messages of an ITCH file do not say.

    Attributes:
        session: the day of the session in New York.
        publisher_id: the vendor's publisher of the venue.
    """

    session: date
    publisher_id: int


class LobsterDay(NamedTuple):
    """What the lines of a LOBSTER message file do not say.

    Attributes:
        ticker: the symbol of the stock.
        session: the day in New York.
    """

    ticker: str
    session: date


def is_itch_name(name: str) -> bool:
    """Whether a file has a name that Nasdaq gives to ITCH files, compressed or not (rule I2)."""
    match = _match_itch(name)
    return match is not None and _ITCH_ENDING.fullmatch(name, match.end()) is not None


def is_lobster_book_name(name: str) -> bool:
    """Whether a file has the name of LOBSTER's books, which come beside its messages."""
    return _LOBSTER_BOOK_NAME.fullmatch(name) is not None


def itch_publisher(name: str) -> int:
    """The publisher of the venue that the name of an ITCH file says; by default Nasdaq (I3)."""
    match = _match_itch(name)
    venue = (match["venue"] or "").upper() if match else ""
    return _PUBLISHERS.get(venue, XNAS_PUBLISHER)


def find_itch_day(source: str | None, session: date | None = None) -> ItchDay:
    """The day and the venue of an ITCH file (rules I2 and I3).

    Args:
        source: the name of the file.
        session: the day, if the caller says it.

    Raises:
        InputError: neither says the day, or they say different ones.
    """
    name = source or "the stream"
    match = _match_itch(name)
    named: date | None = None
    if match is not None:
        year = int(match["year"])
        named = _date(year if year > 99 else 2000 + year, match["month"], match["day"])
    if named is not None and session is not None and named != session:
        raise InputError(f"{name}: its name says {named}, but the session date is {session}")
    found = named or session
    if found is None:
        raise InputError(
            f"{name}: is ITCH, which has no date: give it with --session-date 2019-01-30, or name"
            " the file as Nasdaq does, such as 01302019.NASDAQ_ITCH50"
        )
    return ItchDay(found, itch_publisher(name))


def find_lobster_day(source: str | None) -> LobsterDay:
    """The stock and the day that the name of a LOBSTER message file says (rule L2).

    Raises:
        InputError: it does not say them.
    """
    name = source or "the stream"
    match = _LOBSTER_NAME.match(name.rpartition("/")[2])
    named = None if match is None else _date(*match["date"].split("-"))
    if match is None or named is None:
        raise InputError(
            f"{name}: is a LOBSTER message file, which has no ticker and no date: name it as"
            " LOBSTER does, such as AAPL_2012-06-21_34200000_57600000_message_10.csv"
        )
    return LobsterDay(match["ticker"], named)


def midnight_ns(session: date) -> int:
    """Midnight of a day in New York, in nanoseconds since the epoch.

    Raises:
        InputError: it is outside the range of DBN timestamps.
    """
    moment = datetime(
        session.year, session.month, session.day, tzinfo=find_time_zone(EXCHANGE_TIME_ZONE)
    )
    since_epoch = moment - datetime(1970, 1, 1, tzinfo=UTC)
    found_ns = since_epoch // timedelta(seconds=1) * NS_PER_S
    # Two days less than the end: a time of day is added.
    if not 0 <= found_ns < 2**63 - 2 * 86_400 * NS_PER_S:
        raise InputError(f"{session} is outside the range of timestamps")
    return found_ns


def day_bounds_ns(session: date) -> tuple[int, int]:
    """Midnight of a day in New York, and that of the day after it."""
    return midnight_ns(session), midnight_ns(session + timedelta(days=1))


def _match_itch(name: str) -> re.Match[str] | None:
    base = name.rpartition("/")[2]
    matches = (pattern.match(base) for pattern in _ITCH_NAMES)
    return next((match for match in matches if match is not None), None)


def _date(year: int | str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:  # such as month 13: the name says no day
        return None
