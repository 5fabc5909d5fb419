"""Names of ITCH and LOBSTER files, and midnights of New York."""

from __future__ import annotations

from datetime import date

import pytest

from batonics.codec.session_day import (
    ItchDay,
    LobsterDay,
    day_bounds_ns,
    midnight_ns,
    parse_itch_name,
    parse_lobster_name,
)
from batonics.model.errors import InputError

DAY = date(2019, 1, 30)
HOUR_NS = 3_600 * 10**9


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("01302019.NASDAQ_ITCH50", ItchDay(DAY, 2)),
        ("data/01302019.NASDAQ_ITCH50.gz", ItchDay(DAY, 2)),
        ("20190130.BX_ITCH_50.gz", ItchDay(DAY, 3)),
        ("20190130.PSX_ITCH_50", ItchDay(DAY, 4)),
        ("S013019-v50.txt.gz", ItchDay(DAY, 2)),
        ("S013019-v50-bx.txt.gz", ItchDay(DAY, 3)),
        ("13302019.NASDAQ_ITCH50", ItchDay(None, 2)),
        ("itch.bin", ItchDay(None, 2)),
        ("<stdin>", ItchDay(None, 2)),
    ],
)
def test_the_name_of_an_itch_file_says_its_day_and_venue(name: str, expected: ItchDay) -> None:
    assert parse_itch_name(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AAPL_2012-06-21_34200000_57600000_message_10.csv", LobsterDay("AAPL", date(2012, 6, 21))),
        ("a/BRK.B_2019-01-30_0_1_message_5.csv.gz", LobsterDay("BRK.B", DAY)),
        ("AAPL_2012-13-21_34200000_57600000_message_10.csv", LobsterDay("AAPL", None)),
        ("AAPL_2012-06-21_34200000_57600000_orderbook_10.csv", LobsterDay(None, None)),
        ("messages.csv", LobsterDay(None, None)),
    ],
)
def test_the_name_of_a_lobster_file_says_its_stock_and_day(name: str, expected: LobsterDay) -> None:
    assert parse_lobster_name(name) == expected


def test_midnight_is_that_of_new_york() -> None:
    assert midnight_ns(DAY) == 1_548_824_400 * 10**9
    assert midnight_ns(date(2019, 7, 30)) == 1_564_459_200 * 10**9
    lengths = [day_bounds_ns(day) for day in (date(2019, 3, 10), DAY, date(2019, 11, 3))]
    assert [(end - start) // HOUR_NS for start, end in lengths] == [23, 24, 25]


@pytest.mark.parametrize("day", [date(1969, 12, 31), date(2300, 1, 1)])
def test_a_day_without_timestamps_is_refused(day: date) -> None:
    with pytest.raises(InputError, match="is outside the range of timestamps"):
        midnight_ns(day)
