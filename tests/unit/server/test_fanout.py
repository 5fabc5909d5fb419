"""Fan-out: states may be skipped, but no client is ever shown a hole or a wrong book."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from batonics.live.protocol import FeedState
from batonics.live.stats import FeedStats
from batonics.server.fanout import (
    HEARTBEAT_GROUPS,
    CloseReason,
    Fanout,
    WebSocketClient,
    write_messages,
)
from batonics.server.metrics import Metrics
from batonics.server.replica import BookReplica
from batonics.settings.table import ServerLimits
from tests.support.server_books import COLD, DEPTH, STALE, SYNCED, FakeBooks
from tests.support.server_clients import Listener


class Room:
    """A mirror, its fan-out, and the books that are told to it."""

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


def check(room: Room, listener: Listener, depth: int) -> None:
    """What a client has is what was told, up to what it was shown."""
    for (channel, symbol), book in listener.books.items():
        number = room.told.symbols.index(symbol)
        assert book.seq is not None
        bids, asks = room.told.history[number, book.seq]
        shown = 1 if channel == "bbo" else depth
        assert book.levels() == (bids[:shown], asks[:shown])


@pytest.mark.parametrize("seed", range(10))
def test_clients_of_any_pace_rebuild_the_books(seed: int) -> None:
    source = random.Random(seed)
    room = Room(seed=seed)
    paces = [1.0, 0.3, 0.02]
    depths = [DEPTH, 3, 1]
    clients = [(room.client(), Listener(depth)) for depth in depths]
    for (client, _), depth in zip(clients, depths, strict=True):
        for book in range(3):
            room.fanout.subscribe(client, "snapshot", book, depth)
            room.fanout.subscribe(client, "bbo", book, 1)
    for _ in range(600):
        step = source.random()
        if step < 0.03:
            room.feed(source.choice([FeedState.LIVE, FeedState.LOST, FeedState.RECOVERING]))
        elif step < 0.06:
            room.told.rows["status"][source.randrange(3)] = source.choice([COLD, SYNCED, STALE])
        room.move(source.randrange(3))
        for (client, listener), pace, depth in zip(clients, paces, depths, strict=True):
            if source.random() < pace:
                room.drain(client, listener, most=source.randrange(1, 8))
                check(room, listener, depth)
            assert len(client.pending) <= 6
    for (client, listener), depth in zip(clients, depths, strict=True):
        room.drain(client, listener)
        check(room, listener, depth)
        for (_, symbol), rebuilt in listener.books.items():
            number = room.told.symbols.index(symbol)
            shown = room.replica.shown(number)
            top = (shown.bids[: rebuilt.depth], shown.asks[: rebuilt.depth])
            assert tuple(map(tuple, rebuilt.levels())) == top
            assert (rebuilt.status, rebuilt.feed) == (room.replica.status(shown), room.replica.feed)
            assert rebuilt.snapshots == 1
    fast, slow = (clients[at][1].books["snapshot", "CLX5"] for at in (0, 2))
    assert fast.updates > slow.updates
    assert slow.skipped > 100


def test_what_a_client_cannot_see_is_no_message() -> None:
    room = Room()
    client, listener = room.client(), Listener(1)
    room.fanout.subscribe(client, "bbo", 0, 1)
    assert room.drain(client, listener) == 1
    bids, asks = room.told.history[0, 1]
    room.told.set_levels(0, bids[:5], asks)
    room.fanout.changed(room.replica.apply_books(room.told.payload([0])))
    assert room.drain(client, listener) == 0
    room.move(0)
    assert room.drain(client, listener) == 1
    assert listener.books["bbo", "CLX5"].seq == 3


def test_a_message_for_many_is_made_once() -> None:
    room = Room()
    clients = [room.client() for _ in range(3)]
    for client in clients:
        room.fanout.subscribe(client, "snapshot", 0, 5)
    for _ in range(2):
        messages = [room.fanout.next(client) for client in clients]
        assert all(one is not None for one in messages)
        assert len({id(one[1][0]) for one in messages if one}) == 1
        room.move(0)


def test_a_new_name_is_in_the_next_message() -> None:
    room = Room()
    client = room.client()
    room.fanout.subscribe(client, "bbo", 0, 1)
    found = room.fanout.next(client)
    assert found is not None
    assert b'"CLX5"' in found[1][0]
    room.fanout.changed(room.replica.apply_names([[0, 1, 1000, "NEW"]]))
    room.fanout.resync(client, list(client.subscriptions.values()))
    found = room.fanout.next(client)
    assert found is not None
    assert b'"NEW"' in found[1][0]


def test_states_that_were_skipped_are_counted() -> None:
    room = Room()
    client = room.client()
    room.fanout.subscribe(client, "snapshot", 0, 5)
    for _ in range(4):
        room.move(0)
    conflated = "batonics_ws_conflated_total"
    assert room.metrics.registry.get_sample_value(conflated, {"channel": "snapshot"}) == 4


def test_a_change_of_status_is_a_message_by_itself() -> None:
    room = Room()
    client, listener = room.client(), Listener()
    room.fanout.subscribe(client, "snapshot", 0, DEPTH)
    room.drain(client, listener)
    room.feed(FeedState.LOST)
    assert room.drain(client, listener) == 1
    book = listener.books["snapshot", "CLX5"]
    assert (book.status, book.feed, book.statuses) == ("stale", "lost", 1)
    room.feed(FeedState.LIVE)
    room.move(0)
    assert room.drain(client, listener) == 2
    assert (book.status, book.statuses, book.updates) == ("synced", 2, 1)


def test_who_has_lost_a_book_gets_it_again() -> None:
    room = Room()
    client, listener = room.client(), Listener()
    room.fanout.subscribe(client, "snapshot", 0, DEPTH)
    room.drain(client, listener)
    room.fanout.resync(client, list(client.subscriptions.values()))
    room.drain(client, listener)
    assert listener.books["snapshot", "CLX5"].snapshots == 2


def test_nothing_is_kept_of_who_has_gone() -> None:
    room = Room()
    client = room.client()
    room.fanout.subscribe(client, "snapshot", 0, DEPTH)
    room.fanout.subscribe(client, "snapshot", 0, 3)
    room.fanout.unsubscribe(client, "bbo", 0)
    room.fanout.remove(client)
    room.fanout.remove(client)
    assert not room.fanout.clients
    assert not room.fanout._listeners
    assert not room.fanout._per_address
    room.move(0)


def test_there_is_room_for_so_many_clients() -> None:
    room = Room(ServerLimits(clients_max=3, clients_per_address_max=2))
    for _ in range(2):
        assert room.fanout.full("a") is None
        room.client("a")
    assert room.fanout.full("a") == "address"
    assert room.fanout.full("b") is None
    gone = room.client("b")
    assert room.fanout.full("c") == "clients"
    room.fanout.remove(gone)
    assert room.fanout.full("c") is None


@pytest.mark.parametrize(("takes_s", "counts"), [(0.0, False), (0.03, True)])
def test_who_takes_a_message_late_is_there_all_the_same(takes_s: float, counts: bool) -> None:
    async def main() -> None:
        room = Room()
        client, sent, pings = room.client(), list[bytes](), list[float]()
        client.unanswered_since = 0.0

        async def send(message: bytes) -> None:
            await asyncio.sleep(takes_s)
            sent.append(message)

        async def ping() -> None:
            pings.append(0.0)
            await asyncio.sleep(0)

        writing = asyncio.create_task(write_messages(room.fanout, client, send, ping))
        room.fanout.subscribe(client, "snapshot", 0, DEPTH)
        client.ping_due = True
        for _ in range(200):
            await asyncio.sleep(0.005)
            if pings:
                break
        writing.cancel()
        assert len(sent) == len(pings) == 1
        assert client.sending_since is None
        assert (client.unanswered_since > 0.0) == counts

    asyncio.run(main())


def sends_in_vain(client: WebSocketClient) -> None:
    client.sending_since = 100.0


def answers_no_ping(client: WebSocketClient) -> None:
    client.unanswered_since = 100.0


@pytest.mark.parametrize("stall", [sends_in_vain, answers_no_ping])
def test_who_takes_nothing_is_cut(stall: Callable[[WebSocketClient], None]) -> None:
    room = Room(ServerLimits(stall_timeout_s=10))
    healthy, stalled = room.client(), room.client()
    stall(stalled)
    for tick in range(HEARTBEAT_GROUPS):
        room.fanout.send_heartbeats(110.0, tick)
    assert not room.cuts
    for tick in range(HEARTBEAT_GROUPS, 2 * HEARTBEAT_GROUPS):
        room.fanout.send_heartbeats(110.5, tick)
    assert room.cuts == [(stalled, CloseReason(1013, "stalled", "took nothing for 10 s"))]
    assert list(room.fanout.clients) == [healthy]
    assert healthy.ping_due
    assert room.fanout.next(healthy) == (
        "control",
        [b'{"type":"heartbeat","feed":"live","books":[]}'],
    )
