"""Ingest with a server that is slow, sends requests, or dies: the feed is not affected."""

from __future__ import annotations

import socket
import time
from threading import Event, Thread

import numpy as np
import pytest

from batonics.codec.dbn import encode_records
from batonics.codec.metadata import Metadata, encode_metadata
from batonics.live.feed_handler import FeedHandler
from batonics.live.feeds import PlainFeed
from batonics.live.ingest import IngestLoop
from batonics.live.protocol import FeedState, book_dtype
from batonics.model.mbo import MboBatch, concat_batches, copy_batch
from batonics.sources.stream import MboStream
from batonics.sources.tcp import TcpAddress
from tests.support.command import SAMPLE
from tests.support.fake_server import FakeServer
from tests.support.live_feed import LiveFeed, ServedConnection

HEAD = encode_metadata(Metadata())
DTYPE = book_dtype(10)
DEADLINE_S = 30


@pytest.fixture(scope="module")
def sample() -> MboBatch:
    """The sample's records."""
    return concat_batches([copy_batch(batch) for batch in MboStream([SAMPLE]).batches()])


def follow(
    server: FakeServer, feed: LiveFeed, next_server: FakeServer | None = None
) -> tuple[FeedHandler, Thread]:
    """Ingest a feed to its end in a thread, which then closes the links."""
    handler = FeedHandler(source="feed")
    run = IngestLoop(
        handler,
        PlainFeed(TcpAddress.parse(feed.address)),
        once=True,
        link=server.link,
        restart_server=None if next_server is None else lambda: next_server.link,
    )

    def work() -> None:
        run.run()
        for one in filter(None, (server, next_server)):
            one.link.close()

    thread = Thread(target=work)
    thread.start()
    return handler, thread


def test_a_server_that_reads_late_has_the_latest_values(sample: MboBatch) -> None:
    server = FakeServer()
    with LiveFeed([ServedConnection(HEAD + encode_records(sample), chunk=5_000)]) as feed:
        handler, thread = follow(server, feed)
        deadline = time.monotonic() + DEADLINE_S
        while handler.stats.feed != FeedState.ENDED and time.monotonic() < deadline:
            time.sleep(0.01)  # nothing reads: ingest runs to the end
        server.read_to_the_end()
        thread.join(DEADLINE_S)
    assert handler.stats.records == len(sample.action)
    rows = np.array([server.rows[book] for book in sorted(server.rows)], DTYPE)
    assert np.array_equal(rows, handler.published_books.rows)
    assert server.bye == "the feed has ended"
    assert server.feeds[-1] == FeedState.ENDED
    assert sorted(server.names) == list(range(5))


def test_requests_are_answered_within_a_feed_that_never_pauses(sample: MboBatch) -> None:
    server, hold = FakeServer(), Event()
    with LiveFeed([ServedConnection(HEAD + encode_records(sample), pause=hold)]) as feed:
        handler, thread = follow(server, feed)
        while not server.rows:
            server.read()
        server.ask_at_once(
            {"id": 1, "book": 0, "depth": None, "orders": True},
            {"id": 2, "book": 0, "depth": 3, "orders": False},
            {"id": 3, "book": 77, "depth": None, "orders": False},
        )
        while len(server.answers) < 3:
            server.read()
        hold.set()
        server.read_to_the_end()
        thread.join(DEADLINE_S)
    whole, three, none = (server.answers[number] for number in (1, 2, 3))
    assert "there is no book 77" in none["error"]
    assert whole["seq"] == three["seq"]
    assert len(three["bids"]) == 3
    assert whole["bids"][:3] == [
        {**level, "orders": whole["bids"][n]["orders"]} for n, level in enumerate(three["bids"])
    ]
    for level in whole["bids"] + whole["asks"]:
        assert level["size"] == sum(order["size"] for order in level["orders"])
        assert level["count"] == len(level["orders"])
    assert handler.stats.records == len(sample.action)


def test_ingest_survives_a_server_that_dies(sample: MboBatch) -> None:
    server, hold = FakeServer(), Event()
    with LiveFeed([ServedConnection(HEAD + encode_records(sample), pause=hold)]) as feed:
        handler, thread = follow(server, feed)
        while not server.rows:
            server.read()
        server.socket.close()
        deadline = time.monotonic() + DEADLINE_S
        while handler.stats.records < len(sample.action) and time.monotonic() < deadline:
            time.sleep(0.01)
        process = time.process_time()
        time.sleep(0.5)
        # A closed link that is still polled would be a busy loop.
        assert time.process_time() - process < 0.3
        hold.set()
        thread.join(DEADLINE_S)
    assert handler.stats.records == len(sample.action)
    assert not server.link.is_open


def test_another_server_replaces_one_that_died(sample: MboBatch) -> None:
    first, second, hold = FakeServer(), FakeServer(), Event()
    with LiveFeed([ServedConnection(HEAD + encode_records(sample), pause=hold)]) as feed:
        handler, thread = follow(first, feed, second)
        while not first.rows:
            first.read()
        first.socket.close()
        while len(second.rows) < 5:
            second.read()
        second.ask(9, 1, 2)
        while not second.answers:
            second.read()
        hold.set()
        second.read_to_the_end()
        thread.join(DEADLINE_S)
    rows = np.array([second.rows[book] for book in sorted(second.rows)], DTYPE)
    assert np.array_equal(rows, handler.published_books.rows)
    assert len(second.names) == 5
    assert second.bye == "the feed has ended"


def test_recorded_books_are_served_while_the_feed_is_away(sample: MboBatch) -> None:
    server, handler = FakeServer(), FeedHandler(source="feed")
    handler.begin_connection()
    handler.process(HEAD + encode_records(sample))
    handler.end_connection()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nobody listens there
        address = TcpAddress.parse(f"127.0.0.1:{unused.getsockname()[1]}")
        loop = IngestLoop(handler, PlainFeed(address), link=server.link)
        thread = Thread(target=loop.run)
        thread.start()
        while len(server.rows) < 5 or not server.feeds:
            server.read()
        loop.stop()
        thread.join(DEADLINE_S)
        server.link.close()
        server.read_to_the_end()
    assert set(server.feeds) <= {FeedState.LOST, FeedState.ENDED}
    assert len(server.names) == 5
