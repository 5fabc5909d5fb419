"""Fan-out: states may be skipped, but no client is ever shown a hole or a wrong book."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from batonics.live.protocol import FeedState
from batonics.server.fanout import (
    HEARTBEAT_GROUPS,
    CloseReason,
    WebSocketClient,
    write_messages,
)
from batonics.settings.table import ServerLimits
from tests.support.fanout_harness import FanoutHarness
from tests.support.server_books import COLD, DEPTH, STALE, SYNCED
from tests.support.server_clients import Listener


def check(harness: FanoutHarness, listener: Listener, depth: int) -> None:
    """What a client has is what was told, up to what it was shown."""
    for (channel, symbol), book in listener.books.items():
        number = harness.published.symbols.index(symbol)
        assert book.seq is not None
        bids, asks = harness.published.history[number, book.seq]
        shown = 1 if channel == "bbo" else depth
        assert book.levels() == (bids[:shown], asks[:shown])


@pytest.mark.parametrize("seed", range(10))
def test_clients_of_any_pace_rebuild_the_books(seed: int) -> None:
    source = random.Random(seed)
    harness = FanoutHarness(seed=seed)
    paces = [1.0, 0.3, 0.02]
    depths = [DEPTH, 3, 1]
    clients = [(harness.client(), Listener(depth)) for depth in depths]
    for (client, _), depth in zip(clients, depths, strict=True):
        for book in range(3):
            harness.fanout.subscribe(client, "snapshot", book, depth)
            harness.fanout.subscribe(client, "bbo", book, 1)
    for _ in range(600):
        step = source.random()
        if step < 0.03:
            harness.feed(source.choice([FeedState.LIVE, FeedState.LOST, FeedState.RECOVERING]))
        elif step < 0.06:
            harness.published.rows["status"][source.randrange(3)] = source.choice(
                [COLD, SYNCED, STALE]
            )
        harness.move(source.randrange(3))
        for (client, listener), pace, depth in zip(clients, paces, depths, strict=True):
            if source.random() < pace:
                harness.drain(client, listener, most=source.randrange(1, 8))
                check(harness, listener, depth)
            assert len(client.pending) <= 6
    for (client, listener), depth in zip(clients, depths, strict=True):
        harness.drain(client, listener)
        check(harness, listener, depth)
        for (_, symbol), rebuilt in listener.books.items():
            number = harness.published.symbols.index(symbol)
            shown = harness.replica.state(number)
            top = (shown.bids[: rebuilt.depth], shown.asks[: rebuilt.depth])
            assert tuple(map(tuple, rebuilt.levels())) == top
            assert (rebuilt.status, rebuilt.feed) == (
                harness.replica.status(shown),
                harness.replica.feed,
            )
            assert rebuilt.snapshots == 1
    fast, slow = (clients[at][1].books["snapshot", "CLX5"] for at in (0, 2))
    assert fast.updates > slow.updates
    assert slow.skipped > 100


def test_what_a_client_cannot_see_is_no_message() -> None:
    harness = FanoutHarness()
    client, listener = harness.client(), Listener(1)
    harness.fanout.subscribe(client, "bbo", 0, 1)
    assert harness.drain(client, listener) == 1
    bids, asks = harness.published.history[0, 1]
    harness.published.set_levels(0, bids[:5], asks)
    harness.fanout.changed(harness.replica.apply_books(harness.published.payload([0])))
    assert harness.drain(client, listener) == 0
    harness.move(0)
    assert harness.drain(client, listener) == 1
    assert listener.books["bbo", "CLX5"].seq == 3


def test_a_message_for_many_is_made_once() -> None:
    harness = FanoutHarness()
    clients = [harness.client() for _ in range(3)]
    for client in clients:
        harness.fanout.subscribe(client, "snapshot", 0, 5)
    for _ in range(2):
        messages = [harness.fanout.next_messages(client) for client in clients]
        assert all(one is not None for one in messages)
        assert len({id(one[1][0]) for one in messages if one}) == 1
        harness.move(0)


def test_a_new_name_is_in_the_next_message() -> None:
    harness = FanoutHarness()
    client = harness.client()
    harness.fanout.subscribe(client, "bbo", 0, 1)
    found = harness.fanout.next_messages(client)
    assert found is not None
    assert b'"CLX5"' in found[1][0]
    harness.fanout.changed(harness.replica.apply_names([[0, 1, 1000, "NEW"]]))
    harness.fanout.resync(client, list(client.subscriptions.values()))
    found = harness.fanout.next_messages(client)
    assert found is not None
    assert b'"NEW"' in found[1][0]


def test_states_that_were_skipped_are_counted() -> None:
    harness = FanoutHarness()
    client = harness.client()
    harness.fanout.subscribe(client, "snapshot", 0, 5)
    for _ in range(4):
        harness.move(0)
    conflated = "batonics_ws_conflated_total"
    assert harness.metrics.registry.get_sample_value(conflated, {"channel": "snapshot"}) == 4


def test_a_change_of_status_is_a_message_by_itself() -> None:
    harness = FanoutHarness()
    client, listener = harness.client(), Listener()
    harness.fanout.subscribe(client, "snapshot", 0, DEPTH)
    harness.drain(client, listener)
    harness.feed(FeedState.LOST)
    assert harness.drain(client, listener) == 1
    book = listener.books["snapshot", "CLX5"]
    assert (book.status, book.feed, book.statuses) == ("stale", "lost", 1)
    harness.feed(FeedState.LIVE)
    harness.move(0)
    assert harness.drain(client, listener) == 2
    assert (book.status, book.statuses, book.updates) == ("synced", 2, 1)


def test_who_has_lost_a_book_gets_it_again() -> None:
    harness = FanoutHarness()
    client, listener = harness.client(), Listener()
    harness.fanout.subscribe(client, "snapshot", 0, DEPTH)
    harness.drain(client, listener)
    harness.fanout.resync(client, list(client.subscriptions.values()))
    harness.drain(client, listener)
    assert listener.books["snapshot", "CLX5"].snapshots == 2


def test_nothing_is_kept_of_who_has_gone() -> None:
    harness = FanoutHarness()
    client = harness.client()
    harness.fanout.subscribe(client, "snapshot", 0, DEPTH)
    harness.fanout.subscribe(client, "snapshot", 0, 3)
    harness.fanout.unsubscribe(client, "bbo", 0)
    harness.fanout.remove(client)
    harness.fanout.remove(client)
    assert not harness.fanout.clients
    assert not harness.fanout._subscribers
    assert not harness.fanout._per_address
    harness.move(0)


def test_there_is_room_for_so_many_clients() -> None:
    harness = FanoutHarness(ServerLimits(clients_max=3, clients_per_address_max=2))
    for _ in range(2):
        assert harness.fanout.exceeded_limit("a") is None
        harness.client("a")
    assert harness.fanout.exceeded_limit("a") == "address"
    assert harness.fanout.exceeded_limit("b") is None
    gone = harness.client("b")
    assert harness.fanout.exceeded_limit("c") == "clients"
    harness.fanout.remove(gone)
    assert harness.fanout.exceeded_limit("c") is None


@pytest.mark.parametrize(("takes_s", "counts"), [(0.0, False), (0.03, True)])
def test_who_takes_a_message_late_is_there_all_the_same(takes_s: float, counts: bool) -> None:
    async def main() -> None:
        harness = FanoutHarness()
        client, sent, pings = harness.client(), list[bytes](), list[float]()
        client.unanswered_since = 0.0

        async def send(message: bytes) -> None:
            await asyncio.sleep(takes_s)
            sent.append(message)

        async def ping() -> None:
            pings.append(0.0)
            await asyncio.sleep(0)

        writing = asyncio.create_task(write_messages(harness.fanout, client, send, ping))
        harness.fanout.subscribe(client, "snapshot", 0, DEPTH)
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
    harness = FanoutHarness(ServerLimits(stall_timeout_s=10))
    healthy, stalled = harness.client(), harness.client()
    stall(stalled)
    for tick in range(HEARTBEAT_GROUPS):
        harness.fanout.send_heartbeats(110.0, tick)
    assert not harness.closed
    for tick in range(HEARTBEAT_GROUPS, 2 * HEARTBEAT_GROUPS):
        harness.fanout.send_heartbeats(110.5, tick)
    assert harness.closed == [(stalled, CloseReason(1013, "stalled", "took nothing for 10 s"))]
    assert list(harness.fanout.clients) == [healthy]
    assert healthy.ping_due
    assert harness.fanout.next_messages(healthy) == (
        "control",
        [b'{"type":"heartbeat","feed":"live","books":[]}'],
    )
