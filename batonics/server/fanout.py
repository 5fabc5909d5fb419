"""Subscriptions of WebSocket clients, and the messages that each client still has to get.

The rule here: nothing waits for a client. A change of a book only marks its subscriptions. The
client's own task takes a mark when the client can read more, and only then makes the message, from
the book that the client got last to the book now. So the work that waits for a client is bounded
by its subscriptions. A slow client skips states, and sees that it does: `prev_seq` is the `seq` it
had. A message for many clients is made once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from batonics.server import payloads
from batonics.server.metrics import Metrics
from batonics.server.payloads import DisplayedBook
from batonics.server.replica import BookReplica
from batonics.settings.table import ServerLimits

CHANNELS = ("bbo", "snapshot")
CONTROL = "control"
"""The channel, in metrics, of messages that belong to no channel."""
HEARTBEAT_GROUPS = 10
"""Clients get their heartbeats in this many groups, one after the other, not all at once."""
HEARTBEATS_PER_PING = 5
MESSAGES_AT_ONCE = 16
"""Messages to one client before others have a turn."""
SLOW_SEND_S = 0.01
"""A send that took this long waited until the client read: it is alive, and only far behind."""


@dataclass(eq=False)
class ClientSubscription:
    """One client's subscription to a book on a channel.

    Attributes:
        channel: one of CHANNELS.
        book: the number of the book.
        depth: levels of each side.
        sent: the book as the client has it; None before the first snapshot.
    """

    channel: str
    book: int
    depth: int
    sent: DisplayedBook | None = None


class CloseReason(NamedTuple):
    """Why a client is closed: WebSocket close code, label of metrics, sentence for the client."""

    code: int
    label: str
    text: str


FLOOD = CloseReason(1008, "flood", "asks on without reading the answers")
LOST = CloseReason(1011, "lost", "cannot be written to")


@dataclass(eq=False)
class WebSocketClient:
    """A WebSocket client.

    Attributes:
        remote: the client's IP address.
        channel: the channel of the client's path.
        close: ends the connection; called once.
        subscriptions: the subscriptions by channel and book.
        pending: the subscriptions whose book may differ from `sent`; a set that keeps its order.
        replies: replies and errors that wait to be sent.
        heartbeat_due: a heartbeat is to be sent.
        ping_due: a ping is to be sent.
        wake: set when there is something to send.
        group: the number of the client's heartbeat group.
        sending_since: when the send began that waits for the client to read; None if none waits.
        unanswered_since: when the ping was sent that waits for its pong; None if none waits.
    """

    remote: str
    channel: str
    close: Callable[[CloseReason], None]
    subscriptions: dict[tuple[str, int], ClientSubscription] = field(default_factory=dict)
    pending: dict[ClientSubscription, None] = field(default_factory=dict)
    replies: deque[bytes] = field(default_factory=deque)
    heartbeat_due: bool = False
    ping_due: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    group: int = 0
    sending_since: float | None = None
    unanswered_since: float | None = None

    def reply(self, document: dict[str, Any]) -> None:
        """Send a reply when the client can read it."""
        self.replies.append(payloads.dumps(document))
        self.wake.set()


class CachedMessages(NamedTuple):
    """A book now, and the messages that lead to it.

    Attributes:
        book: the book now.
        messages: the messages by channel, depth and the book that the client had.
    """

    book: DisplayedBook
    messages: dict[tuple[Any, ...], list[bytes]]


class Fanout:
    """All clients, and the subscriptions to each book."""

    def __init__(self, replica: BookReplica, metrics: Metrics, limits: ServerLimits) -> None:
        self._replica, self._metrics, self._limits = replica, metrics, limits
        self.clients: dict[WebSocketClient, None] = {}
        self._per_address: Counter[str] = Counter()
        self._subscribers: dict[int, dict[ClientSubscription, WebSocketClient]] = {}
        self._cached: dict[int, CachedMessages] = {}
        self._groups = itertools.count()
        self._stall = CloseReason(1013, "stalled", f"took nothing for {limits.stall_timeout_s:g} s")
        self._conflated = {name: metrics.conflated.labels(name) for name in CHANNELS}
        self.sent = {name: metrics.sent.labels(name) for name in (*CHANNELS, CONTROL)}

    def exceeded_limit(self, remote: str) -> str | None:
        """The limit that one more client of an address exceeds: `clients`, `address` or None."""
        if len(self.clients) >= self._limits.clients_max:
            return "clients"
        if self._per_address[remote] >= self._limits.clients_per_address_max:
            return "address"
        return None

    def add(self, client: WebSocketClient) -> None:
        """Add a client."""
        client.group = next(self._groups) % HEARTBEAT_GROUPS
        self.clients[client] = None
        self._per_address[client.remote] += 1
        self._metrics.clients.labels(client.channel).inc()

    def remove(self, client: WebSocketClient) -> None:
        """Remove a client and its subscriptions; harmless if it has been removed."""
        if client not in self.clients:
            return
        del self.clients[client]
        self._per_address[client.remote] -= 1
        if not self._per_address[client.remote]:
            del self._per_address[client.remote]
        self._metrics.clients.labels(client.channel).dec()
        for key in list(client.subscriptions):
            self.unsubscribe(client, *key)

    def subscribe(self, client: WebSocketClient, channel: str, book: int, depth: int) -> None:
        """Send a client a snapshot of a book, then its changes."""
        self.unsubscribe(client, channel, book)
        subscription = ClientSubscription(channel, book, depth)
        client.subscriptions[channel, book] = subscription
        self._subscribers.setdefault(book, {})[subscription] = client
        self._mark(client, subscription)

    def unsubscribe(self, client: WebSocketClient, channel: str, book: int) -> None:
        """End a subscription; harmless if there is none."""
        subscription = client.subscriptions.pop((channel, book), None)
        if subscription is None:
            return
        client.pending.pop(subscription, None)
        del self._subscribers[book][subscription]
        if not self._subscribers[book]:
            del self._subscribers[book]

    def resync(self, client: WebSocketClient, subscriptions: Iterable[ClientSubscription]) -> None:
        """Send snapshots again: the client has lost its books."""
        for subscription in subscriptions:
            subscription.sent = None
            self._mark(client, subscription)

    def changed(self, books: Sequence[int]) -> None:
        """Mark the subscriptions to these books."""
        for book in books:
            self._cached.pop(book, None)
            for subscription, client in self._subscribers.get(book, {}).items():
                if subscription in client.pending:
                    self._conflated[subscription.channel].inc()
                else:
                    self._mark(client, subscription)

    def feed_changed(self) -> None:
        """Mark all subscriptions: the status of every book may have changed."""
        self._cached.clear()
        for subscribers in self._subscribers.values():
            for subscription, client in subscribers.items():
                self._mark(client, subscription)

    def send_heartbeats(self, now: float, tick: int) -> None:
        """Send a heartbeat to one group of clients, and close those that read nothing.

        Args:
            now: the time by the loop's clock.
            tick: the number of the call. Each client gets a heartbeat every HEARTBEAT_GROUPS
                calls, and a ping with every HEARTBEATS_PER_PING-th heartbeat.
        """
        turn, group = divmod(tick, HEARTBEAT_GROUPS)
        for client in list(self.clients):
            if client.group != group:
                continue
            if self._stalled(client, now):
                self.close(client, self._stall)
                continue
            client.heartbeat_due = True
            client.ping_due = client.ping_due or turn % HEARTBEATS_PER_PING == 0
            client.wake.set()

    def close(self, client: WebSocketClient, reason: CloseReason) -> None:
        """Close a client's connection; harmless if it is closed."""
        if client in self.clients:
            self.remove(client)
            self._metrics.cuts.labels(reason.label).inc()
            client.close(reason)

    def _stalled(self, client: WebSocketClient, now: float) -> bool:
        return any(
            since is not None and now - since > self._limits.stall_timeout_s
            for since in (client.sending_since, client.unanswered_since)
        )

    def next_messages(self, client: WebSocketClient) -> tuple[str, list[bytes]] | None:
        """The next messages of a client and their channel; None if there are none.

        The list is empty where a book has changed, but nothing of it that this client gets.
        """
        if client.replies:
            return CONTROL, [client.replies.popleft()]
        if client.pending:
            subscription = next(iter(client.pending))
            del client.pending[subscription]
            return subscription.channel, self._messages(subscription)
        if client.heartbeat_due:
            client.heartbeat_due = False
            return CONTROL, [self._heartbeat(client)]
        return None

    def _messages(self, subscription: ClientSubscription) -> list[bytes]:
        book, before = subscription.book, subscription.sent
        cached = self._cached.get(book)
        if cached is None:
            cached = self._cached[book] = CachedMessages(
                payloads.display_book(self._replica, book), {}
            )
        start = before and (before.state.seq, before.status, before.feed)
        key = (subscription.channel, subscription.depth, start)
        messages = cached.messages.get(key)
        if messages is None:
            documents = self._documents(subscription, cached.book, before)
            messages = cached.messages[key] = [payloads.dumps(document) for document in documents]
        if messages:
            subscription.sent = cached.book
        return messages

    def _documents(
        self, subscription: ClientSubscription, now: DisplayedBook, before: DisplayedBook | None
    ) -> list[dict[str, Any]]:
        """The messages from the book that was sent to the book now; none if they look the same."""
        name = self._replica.names[subscription.book]
        bbo, depth = subscription.channel == "bbo", subscription.depth
        if before is None:
            if bbo:
                return [payloads.bbo_message(name, now, None)]
            return [payloads.snapshot_message(name, now, depth)]
        found = []
        if (before.status, before.feed) != (now.status, now.feed):
            found.append(payloads.status_message(subscription.channel, name, now, before))
        if payloads.levels_differ(before.state, now.state, depth):
            found.append(
                payloads.bbo_message(name, now, before)
                if bbo
                else payloads.update_message(name, now, before, depth)
            )
        return found

    def _heartbeat(self, client: WebSocketClient) -> bytes:
        sent = (
            (one.channel, self._replica.names[one.book], one.sent)
            for one in client.subscriptions.values()
            if one.sent is not None
        )
        return payloads.dumps(payloads.heartbeat_message(self._replica, sent))

    def _mark(self, client: WebSocketClient, subscription: ClientSubscription) -> None:
        client.pending[subscription] = None
        client.wake.set()


Send = Callable[[bytes], Awaitable[None]]


async def write_messages(
    fanout: Fanout, client: WebSocketClient, send: Send, ping: Callable[[], Awaitable[None]]
) -> None:
    """Send a client its messages until cancelled. Only this task waits for the client."""
    loop, counts, turns = asyncio.get_running_loop(), fanout.sent, 0
    while True:
        await client.wake.wait()
        client.wake.clear()
        while (found := fanout.next_messages(client)) is not None:
            channel, messages = found
            client.sending_since = started = loop.time()
            for message in messages:
                await send(message)
            client.sending_since = None
            if client.unanswered_since is not None and loop.time() - started > SLOW_SEND_S:
                client.unanswered_since = loop.time()
            counts[channel].inc(len(messages))
            turns += 1
            if turns % MESSAGES_AT_ONCE == 0:
                await asyncio.sleep(0)  # a client that reads on may have hundreds of books
        if client.ping_due:
            client.ping_due = False
            if client.unanswered_since is None:
                client.unanswered_since = loop.time()
            await ping()
