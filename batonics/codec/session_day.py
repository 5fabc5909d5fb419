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
_PUBLISHERS = {"BX": XBOS_PUBLISHER, "PSX": XPSX_PUBLISHER}


class ItchDay(NamedTuple):
    """What the name of an ITCH file says.

    Attributes:
        session: the day of the session in New York; None: the name does not say it.
        publisher_id: the vendor's publisher of the venue.
    """

    session: date | None
    publisher_id: int


class LobsterDay(NamedTuple):
    """What the name of a LOBSTER message file says; None: the name does not say it."""

    ticker: str | None
    session: date | None


def parse_itch_name(name: str) -> ItchDay:
    """What the name of an ITCH file says (rules I2 and I3)."""
    base = name.rpartition("/")[2]
    for pattern in _ITCH_NAMES:
        match = pattern.match(base)
        if match is not None:
            year = int(match["year"])
            session = _date(year if year > 99 else 2000 + year, match["month"], match["day"])
            venue = (match["venue"] or "").upper()
            return ItchDay(session, _PUBLISHERS.get(venue, XNAS_PUBLISHER))
    return ItchDay(None, XNAS_PUBLISHER)


def parse_lobster_name(name: str) -> LobsterDay:
    """What the name of a LOBSTER message file says (rule L2)."""
    match = _LOBSTER_NAME.match(name.rpartition("/")[2])
    if match is None:
        return LobsterDay(None, None)
    year, month, day = match["date"].split("-")
    return LobsterDay(match["ticker"], _date(int(year), month, day))


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


def _date(year: int, month: str, day: str) -> date | None:
    try:
        return date(year, int(month), int(day))
    except ValueError:  # such as month 13: the name says no day
        return None
