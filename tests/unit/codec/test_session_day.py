"""Names of ITCH and LOBSTER files, and midnights of New York."""

from __future__ import annotations

from datetime import date

import pytest

from batonics.codec.session_day import (
    ItchDay,
    LobsterDay,
    day_bounds_ns,
    find_itch_day,
    find_lobster_day,
    itch_publisher,
    midnight_ns,
)
from batonics.model.errors import InputError

DAY = date(2019, 1, 30)
HOUR_NS = 3_600 * 10**9


@pytest.mark.parametrize(
    ("name", "publisher_id"),
    [
        ("01302019.NASDAQ_ITCH50", 2),
        ("data/01302019.NASDAQ_ITCH50.gz", 2),
        ("20190130.BX_ITCH_50.gz", 3),
        ("20190130.PSX_ITCH_50", 4),
        ("S013019-v50.txt.gz", 2),
        ("S013019-v50-bx.txt.gz", 3),
    ],
)
def test_the_name_of_an_itch_file_says_its_day_and_venue(name: str, publisher_id: int) -> None:
    assert find_itch_day(name) == find_itch_day(name, DAY) == ItchDay(DAY, publisher_id)
    assert itch_publisher(name) == publisher_id
    with pytest.raises(InputError, match="its name says 2019-01-30, but the session date is 2019"):
        find_itch_day(name, date(2019, 1, 31))


@pytest.mark.parametrize("name", ["13302019.NASDAQ_ITCH50", "itch.bin", "<stdin>", None])
def test_a_day_that_no_name_says_is_given_or_refused(name: str | None) -> None:
    assert find_itch_day(name, DAY) == ItchDay(DAY, 2)
    with pytest.raises(InputError, match="is ITCH, which has no date: give it with --session-date"):
        find_itch_day(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AAPL_2012-06-21_34200000_57600000_message_10.csv", LobsterDay("AAPL", date(2012, 6, 21))),
        ("a/BRK.B_2019-01-30_0_1_message_5.csv.gz", LobsterDay("BRK.B", DAY)),
    ],
)
def test_the_name_of_a_lobster_file_says_its_stock_and_day(name: str, expected: LobsterDay) -> None:
    assert find_lobster_day(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "AAPL_2012-13-21_34200000_57600000_message_10.csv",
        "AAPL_2012-06-21_34200000_57600000_orderbook_10.csv",
        "messages.csv",
        None,
    ],
)
def test_a_lobster_file_of_another_name_is_refused(name: str | None) -> None:
    with pytest.raises(InputError, match="which has no ticker and no date: name it as LOBSTER"):
        find_lobster_day(name)


def test_midnight_is_that_of_new_york() -> None:
    assert midnight_ns(DAY) == 1_548_824_400 * 10**9
    assert midnight_ns(date(2019, 7, 30)) == 1_564_459_200 * 10**9
    lengths = [day_bounds_ns(day) for day in (date(2019, 3, 10), DAY, date(2019, 11, 3))]
    assert [(end - start) // HOUR_NS for start, end in lengths] == [23, 24, 25]


@pytest.mark.parametrize("day", [date(1969, 12, 31), date(2300, 1, 1)])
def test_a_day_without_timestamps_is_refused(day: date) -> None:
    with pytest.raises(InputError, match="is outside the range of timestamps"):
        midnight_ns(day)
