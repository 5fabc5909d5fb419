"""A server's fan-out without sockets: books go in, messages for each client come out."""

from __future__ import annotations

from batonics.live.protocol import FeedState
from batonics.live.stats import FeedStats
from batonics.server.config import ServerLimits
from batonics.server.fanout import CloseReason, Fanout, WebSocketClient
from batonics.server.metrics import Metrics
from batonics.server.replica import BookReplica
from tests.support.server_books import FakeBooks
from tests.support.server_clients import Listener


class FanoutHarness:
    """A replica, its fan-out, and the books that it receives."""

    def __init__(self, limits: ServerLimits | None = None, seed: int = 7) -> None:
        self.told = FakeBooks(("CLX5", "CLZ5", "CLF6"), seed)
        self.replica = BookReplica()
        self.replica.apply_hello(self.told.hello)
        self.replica.apply_names(self.told.names)
        self.replica.apply_books(self.told.payload())
        self.replica.apply_stats(FeedStats(feed=FeedState.LIVE).as_json())
        self.metrics = Metrics(lambda: self.replica.stats)
        self.fanout = Fanout(self.replica, self.metrics, limits or ServerLimits())
        self.cuts: list[tuple[WebSocketClient, CloseReason]] = []

    def client(self, remote: str = "a") -> WebSocketClient:
        client = WebSocketClient(remote, "snapshot", lambda cut: self.cuts.append((client, cut)))
        self.fanout.add(client)
        return client

    def move(self, book: int) -> None:
        self.told.move(book)
        self.fanout.changed(self.replica.apply_books(self.told.payload([book])))

    def feed(self, feed: FeedState) -> None:
        if self.replica.apply_stats(FeedStats(feed=feed).as_json()):
            self.fanout.feed_changed()

    def drain(self, client: WebSocketClient, listener: Listener, most: int = 1000) -> int:
        """Send what there is, at most so many; how many messages."""
        sent = 0
        while sent < most and (found := self.fanout.next(client)) is not None:
            for message in found[1]:
                listener.take(message)
                sent += 1
        return sent
