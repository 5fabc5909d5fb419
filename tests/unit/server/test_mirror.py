"""The mirror shows what was told, and never as better than it is known to be."""

from __future__ import annotations

import numpy as np
import pytest

from batonics.live.stats import Stats
from batonics.live.wire import Feed, book_dtype
from batonics.server.mirror import Mirror
from tests.integration.server_books import COLD, DEPTH, STALE, SYNCED, TICK, Told


def mirror_of(told: Told, feed: Feed = Feed.LIVE) -> Mirror:
    mirror = Mirror()
    mirror.take_hello(told.hello)
    mirror.take_names(told.names)
    mirror.take_books(told.payload())
    mirror.take_stats(Stats(feed=feed).as_json())
    return mirror


def test_a_book_is_shown_as_told() -> None:
    told = Told()
    told.set_levels(1, [(TICK, 2, 1)], [])
    shown = mirror_of(told).shown(1)
    assert shown.bids == ((TICK, 2, 1),)
    assert shown.asks == ()
    assert (shown.seq, shown.events, shown.sequence, shown.status) == (2, 2, 2, "synced")
    assert shown.ts_event == shown.ts_recv == int(told.rows[1]["ts_event"])


def test_the_same_book_is_the_same_object_until_it_is_told_again() -> None:
    told = Told()
    mirror = mirror_of(told)
    first = mirror.shown(0), mirror.shown(1)
    told.move(0)
    assert mirror.take_books(told.payload([0])) == [0]
    assert mirror.shown(0).seq == 2
    assert mirror.shown(1) is first[1]


def test_of_a_book_that_stands_twice_in_a_message_the_last_row_stays() -> None:
    told = Told()
    mirror = mirror_of(told)
    told.move(0)
    first = told.payload([0])
    told.move(0)
    assert mirror.take_books(first + told.payload([1, 0])) == [0, 1]
    assert mirror.shown(0).seq == 3


def test_books_may_be_many_and_come_in_any_order() -> None:
    told = Told([f"S{number}" for number in range(1000)])
    mirror = Mirror()
    mirror.take_hello(told.hello)
    mirror.take_books(told.payload([999]))
    mirror.take_names(told.names)
    assert mirror.books() == [999]
    mirror.take_books(told.payload())
    assert mirror.books() == list(range(1000))
    for book, head in mirror.heads():
        assert head == mirror.shown(book)._replace(bids=(), asks=())
    assert mirror.find("S5") == [5]
    assert mirror.find("S5", publisher_id=2) == []
    assert mirror.find(instrument_id=1007) == [7]
    assert mirror.find("none") == []


def test_a_book_may_get_another_name() -> None:
    mirror = mirror_of(Told())
    mirror.take_names([[0, 1, 1000, "CLF6"], [1, 1, 1001, None]])
    assert mirror.find("CLX5") == mirror.find("CLZ5") == []
    assert mirror.find("CLF6") == [0]


@pytest.mark.parametrize("feed", list(Feed))
@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize(
    ("number", "status"), [(COLD, "cold"), (SYNCED, "synced"), (STALE, "stale")]
)
def test_a_status_counts_only_while_the_feed_is_live(
    feed: Feed, silent: bool, number: int, status: str
) -> None:
    told = Told()
    told.rows["status"] = number
    mirror = mirror_of(told, feed)
    mirror.silent = silent
    live = feed is Feed.LIVE and not silent
    assert mirror.status(mirror.shown(0)) == (status if live else "stale")
    assert mirror.feed == ("silent" if silent else feed.name.lower())


def test_stats_tell_whether_the_feed_has_changed() -> None:
    mirror = mirror_of(Told())
    assert not mirror.take_stats(Stats(feed=Feed.LIVE, records=5).as_json())
    assert mirror.take_stats(Stats(feed=Feed.LOST).as_json())
    assert mirror.take_stats(Stats(feed=Feed.RECOVERING).as_json())
    assert mirror.stats == Stats(feed=Feed.RECOVERING)


@pytest.mark.parametrize(("field", "value"), [("book", 1 << 22), ("status", 3)])
def test_a_row_that_is_no_book_is_refused(field: str, value: int) -> None:
    told = Told()
    mirror = mirror_of(told)
    told.rows[field][0] = value
    with pytest.raises(ValueError, match="no book"):
        mirror.take_books(told.payload())


def test_what_is_no_row_or_a_second_hello_is_refused() -> None:
    mirror = mirror_of(Told())
    with pytest.raises(ValueError, match="buffer size"):
        mirror.take_books(b"x")
    with pytest.raises(ValueError, match="HELLO"):
        mirror.take_hello({"depth": 3})
    assert mirror.take_books(np.zeros(0, book_dtype(DEPTH)).tobytes()) == []
