"""The order of ingest's messages when books change faster than the server reads."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import orjson
import pytest

from batonics.live.protocol import FeedState, MessageKind, MessageReader, book_dtype
from batonics.live.server_link import ServerLink
from batonics.live.stats import FeedStats

BOOKS = 5_000
ALL = np.arange(BOOKS)
ROWS = np.zeros(BOOKS, book_dtype(10))
ROWS["book"] = ALL


class SlowServer:
    """The other end of a link, which reads when it is told to."""

    def __init__(self) -> None:
        ours, self._theirs = socket.socketpair()
        ours.setblocking(False)
        self._theirs.setblocking(False)
        self.link = ServerLink(ours)
        self._reader = MessageReader()

    def change_all_books(self) -> None:
        self.link.mark_changed(ALL, BOOKS)
        self.link.flush(ROWS)

    def queue_stats(self, feed: FeedState, records: int = 0) -> None:
        self.link.queue_stats(FeedStats(feed=feed, records=records).as_json())

    def read(self) -> list[tuple[MessageKind, bytes]]:
        """The messages that one read of a part of the socket completes."""
        try:
            return list(self._reader.feed(self._theirs.recv(1 << 17)))
        except BlockingIOError:
            return []

    def close(self) -> None:
        self.link.close()
        self._theirs.close()


@pytest.fixture
def server() -> Iterator[SlowServer]:
    server = SlowServer()
    yield server
    server.close()


def test_responses_and_stats_go_before_books_that_are_always_due(server: SlowServer) -> None:
    server.queue_stats(FeedState.LIVE)
    server.change_all_books()
    server.queue_stats(FeedState.LIVE, 1_000)
    server.link.queue_response({"id": 7})
    kinds = []
    for _ in range(200):
        server.change_all_books()  # all books are due again before the server has read them
        kinds += [kind for kind, _ in server.read()]
    waited = kinds[: kinds.index(MessageKind.RESPONSE)]
    # Nothing but what the socket had taken already.
    assert waited.count(MessageKind.BOOKS) <= 4
    after = kinds[kinds.index(MessageKind.RESPONSE) :]
    assert after[1] is MessageKind.STATS
    assert MessageKind.BOOKS in after


def test_a_feed_is_live_again_behind_the_books_that_may_be_stale(server: SlowServer) -> None:
    server.queue_stats(FeedState.LOST)
    server.change_all_books()
    server.queue_stats(FeedState.LIVE, 5)
    seen, missing = list[tuple[int, int]](), set(ALL.tolist())
    while (FeedState.LIVE, 5) not in seen:
        server.change_all_books()
        for kind, payload in server.read():
            if kind is MessageKind.BOOKS:
                missing -= set(np.frombuffer(payload, ROWS.dtype)["book"].tolist())
            elif kind is MessageKind.STATS:
                stats = orjson.loads(payload)
                seen.append((stats["feed"], stats["records"]))
                assert not (stats["feed"] == FeedState.LIVE and missing)
    # Counts are up to date meanwhile.
    assert (FeedState.LOST, 5) in seen


def test_a_feed_that_is_lost_is_known_at_once(server: SlowServer) -> None:
    server.queue_stats(FeedState.LIVE)
    server.change_all_books()
    server.queue_stats(FeedState.LOST, 9)
    kinds = list[MessageKind]()
    while kinds.count(MessageKind.STATS) < 2:
        server.change_all_books()
        kinds += [kind for kind, _ in server.read()]
    assert kinds.count(MessageKind.BOOKS) <= 4
