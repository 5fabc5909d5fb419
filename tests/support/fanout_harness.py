"""A fan-out without sockets: tests publish books to it and take what its clients would get."""

from __future__ import annotations

from batonics.live.protocol import FeedState
from batonics.live.stats import FeedStats
from batonics.server.fanout import CloseReason, Fanout, WebSocketClient
from batonics.server.metrics import Metrics
from batonics.server.replica import BookReplica
from batonics.settings.table import ServerLimits
from tests.support.server_books import FakeBooks
from tests.support.server_clients import Listener


class FanoutHarness:
    """A fan-out and its replica, without sockets, and the books that ingest publishes to them.

    Attributes:
        published: the books of ingest.
        replica: the replica of them.
        metrics: the counts of the fan-out.
        fanout: the fan-out under test.
        closed: the clients that the fan-out has closed, with the reason.
    """

    def __init__(self, limits: ServerLimits | None = None, seed: int = 7) -> None:
        self.published = FakeBooks(("CLX5", "CLZ5", "CLF6"), seed)
        self.replica = BookReplica()
        self.replica.apply_hello(self.published.hello)
        self.replica.apply_names(self.published.names)
        self.replica.apply_books(self.published.payload())
        self.replica.apply_stats(FeedStats(feed=FeedState.LIVE).as_json())
        self.metrics = Metrics(lambda: self.replica.stats)
        self.fanout = Fanout(self.replica, self.metrics, limits or ServerLimits())
        self.closed: list[tuple[WebSocketClient, CloseReason]] = []

    def client(self, remote: str = "a") -> WebSocketClient:
        """A new client of an address, on the channel `snapshot`."""
        client = WebSocketClient(remote, "snapshot", lambda why: self.closed.append((client, why)))
        self.fanout.add(client)
        return client

    def move(self, book: int) -> None:
        """Change a book at random, and publish it."""
        self.published.move(book)
        self.fanout.changed(self.replica.apply_books(self.published.payload([book])))

    def feed(self, feed: FeedState) -> None:
        """Publish another state of the feed."""
        if self.replica.apply_stats(FeedStats(feed=feed).as_json()):
            self.fanout.feed_changed()

    def drain(self, client: WebSocketClient, listener: Listener, most: int = 1000) -> int:
        """Give a listener the client's messages, `most` or a few more; how many they were."""
        sent = 0
        while sent < most and (found := self.fanout.next_messages(client)) is not None:
            for message in found[1]:
                listener.take(message)
                sent += 1
        return sent
