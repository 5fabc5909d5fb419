"""The mirror shows what was told, and never as better than it is known to be."""

from __future__ import annotations

import numpy as np
import pytest

from batonics.live.protocol import FeedState, book_dtype
from batonics.live.stats import FeedStats
from batonics.server.replica import BookKey, BookReplica
from tests.support.server_books import COLD, DEPTH, STALE, SYNCED, TICK, FakeBooks


def replica_of(told: FakeBooks, feed: FeedState = FeedState.LIVE) -> BookReplica:
    replica = BookReplica()
    replica.apply_hello(told.hello)
    replica.apply_names(told.names)
    replica.apply_books(told.payload())
    replica.apply_stats(FeedStats(feed=feed).as_json())
    return replica


def test_a_book_is_shown_as_told() -> None:
    told = FakeBooks()
    told.set_levels(1, [(TICK, 2, 1)], [])
    shown = replica_of(told).state(1)
    assert shown.bids == ((TICK, 2, 1),)
    assert shown.asks == ()
    assert (shown.seq, shown.events, shown.sequence, shown.status) == (2, 2, 2, "synced")
    assert shown.ts_event == shown.ts_recv == int(told.rows[1]["ts_event"])


def test_the_same_book_is_the_same_object_until_it_is_told_again() -> None:
    told = FakeBooks()
    replica = replica_of(told)
    first = replica.state(0), replica.state(1)
    told.move(0)
    assert replica.apply_books(told.payload([0])) == [0]
    assert replica.state(0).seq == 2
    assert replica.state(1) is first[1]


def test_of_a_book_that_stands_twice_in_a_message_the_last_row_stays() -> None:
    told = FakeBooks()
    replica = replica_of(told)
    told.move(0)
    first = told.payload([0])
    told.move(0)
    assert replica.apply_books(first + told.payload([1, 0])) == [0, 1]
    assert replica.state(0).seq == 3


def books(replica: BookReplica, after: BookKey | None = None) -> list[int]:
    return [key.book for key in replica.keys_after(after, replica.book_count)]


def test_books_may_be_many_and_come_in_any_order() -> None:
    told = FakeBooks([f"S{number}" for number in range(1000)])
    replica = BookReplica()
    replica.apply_hello(told.hello)
    replica.apply_books(told.payload([999]))
    replica.apply_names(told.names)
    assert books(replica) == [999]
    replica.apply_books(told.payload())
    assert books(replica) == list(range(1000))
    assert books(replica, BookKey(1, 1000 + 990, 990)) == list(range(991, 1000))
    for book, head in replica.states_without_levels(books(replica)):
        assert head == replica.state(book)._replace(bids=(), asks=())
    assert replica.find("S5") == [5]
    assert replica.find("S5", publisher_id=2) == []
    assert replica.find(instrument_id=1007) == [7]
    assert replica.find("none") == []


def test_a_book_may_get_another_name() -> None:
    replica = replica_of(FakeBooks())
    replica.apply_names([[0, 1, 1000, "CLF6"], [1, 1, 1001, None]])
    assert replica.find("CLX5") == replica.find("CLZ5") == []
    assert replica.find("CLF6") == [0]


@pytest.mark.parametrize("feed", list(FeedState))
@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize(
    ("number", "status"), [(COLD, "cold"), (SYNCED, "synced"), (STALE, "stale")]
)
def test_a_status_counts_only_while_the_feed_is_connected(
    feed: FeedState, silent: bool, number: int, status: str
) -> None:
    told = FakeBooks()
    told.rows["status"] = number
    replica = replica_of(told, feed)
    replica.is_silent = silent
    live = feed in (FeedState.LIVE, FeedState.STALLED) and not silent
    assert replica.status(replica.state(0)) == (status if live else "stale")
    assert replica.feed == ("silent" if silent else feed.name.lower())


def test_stats_tell_whether_the_feed_has_changed() -> None:
    replica = replica_of(FakeBooks())
    assert not replica.apply_stats(FeedStats(feed=FeedState.LIVE, records=5).as_json())
    assert replica.apply_stats(FeedStats(feed=FeedState.LOST).as_json())
    assert replica.apply_stats(FeedStats(feed=FeedState.RECOVERING).as_json())
    assert replica.stats == FeedStats(feed=FeedState.RECOVERING)


@pytest.mark.parametrize(("field", "value"), [("book", 1 << 22), ("status", 3)])
def test_a_row_that_is_no_book_is_refused(field: str, value: int) -> None:
    told = FakeBooks()
    replica = replica_of(told)
    told.rows[field][0] = value
    with pytest.raises(ValueError, match="no book"):
        replica.apply_books(told.payload())


def test_what_is_no_row_or_a_second_hello_is_refused() -> None:
    replica = replica_of(FakeBooks())
    with pytest.raises(ValueError, match="buffer size"):
        replica.apply_books(b"x")
    with pytest.raises(ValueError, match="HELLO"):
        replica.apply_hello({"depth": 3})
    assert replica.apply_books(np.zeros(0, book_dtype(DEPTH)).tobytes()) == []
