"""Who is told what: subscriptions, and what each client still has to get.

The rule here: nobody waits for a client. A change only marks the subscriptions that show it; a
client's own task takes marks as fast as the client reads, and makes the message then, from what the
client was sent last to what is so now. So what waits for a client is bounded by what it subscribed
to, a slow one skips states and never misses one unseen (`prev_seq` is the `seq` it had), and a
message that many clients get is made once.
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
"""In place of a channel, for messages of none."""
HEARTBEAT_GROUPS, HEARTBEATS_PER_PING = 10, 5
"""Parts of the clients that have heartbeats in turn: not all at once; heartbeats between pings."""
SLOW_SEND_S = 0.01
"""A send that took so long has waited for a client to read: it is there, and only far behind."""


@dataclass(eq=False)
class ClientSubscription:
    """A book on a channel, for one client; `sent` is the book as the client has it."""

    channel: str
    book: int
    depth: int
    sent: DisplayedBook | None = None


class CloseReason(NamedTuple):
    """Why a client is cut: WebSocket close code, a word for metrics, a sentence for the client."""

    code: int
    reason: str
    text: str


FLOOD = CloseReason(1008, "flood", "asks on without reading the answers")
LOST = CloseReason(1011, "lost", "cannot be written to")


@dataclass(eq=False)
class WebSocketClient:
    """Somebody who listens.

    Attributes:
        remote: its address.
        channel: that of its path.
        close: ends its connection; called once.
        subscriptions: by channel and book.
        pending: those whose book may differ from what was sent; a set that keeps its order.
        notes: messages that do not stand for a state.
        beat_due, ping_due: a heartbeat, a ping is to be sent.
        wake: set when there is something to send.
        part: of all clients, that get their heartbeats at one time.
        sending_since, unanswered_since: since when one message has been waiting for the client to
            read, and a ping for its answer; None if none is.
    """

    remote: str
    channel: str
    close: Callable[[CloseReason], None]
    subscriptions: dict[tuple[str, int], ClientSubscription] = field(default_factory=dict)
    pending: dict[ClientSubscription, None] = field(default_factory=dict)
    notes: deque[bytes] = field(default_factory=deque)
    heartbeat_due: bool = False
    ping_due: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    part: int = 0
    sending_since: float | None = None
    unanswered_since: float | None = None

    def note(self, document: dict[str, Any]) -> None:
        """Send this when the client can take it."""
        self.notes.append(payloads.dumps(document))
        self.wake.set()


class CachedMessages(NamedTuple):
    """A book as it is now, and the messages that lead there: by channel, depth and start."""

    now: DisplayedBook
    messages: dict[tuple[Any, ...], list[bytes]]


class Fanout:
    """Every client, and who listens to which book."""

    def __init__(self, replica: BookReplica, metrics: Metrics, limits: ServerLimits) -> None:
        self._mirror, self._metrics, self._limits = replica, metrics, limits
        self.clients: dict[WebSocketClient, None] = {}
        self._per_address: Counter[str] = Counter()
        self._listeners: dict[int, dict[ClientSubscription, WebSocketClient]] = {}
        self._made: dict[int, CachedMessages] = {}
        self._parts = itertools.count()
        self._stall = CloseReason(1013, "stalled", f"took nothing for {limits.stall_timeout_s:g} s")
        self._conflated = {name: metrics.conflated.labels(name) for name in CHANNELS}
        self.sent = {name: metrics.sent.labels(name) for name in (*CHANNELS, CONTROL)}

    def full(self, remote: str) -> str | None:
        """Why one more client of this address cannot be taken: `clients`, `address` or None."""
        if len(self.clients) >= self._limits.clients_max:
            return "clients"
        if self._per_address[remote] >= self._limits.clients_per_address_max:
            return "address"
        return None

    def add(self, client: WebSocketClient) -> None:
        """A client has come."""
        client.part = next(self._parts) % HEARTBEAT_GROUPS
        self.clients[client] = None
        self._per_address[client.remote] += 1
        self._metrics.clients.labels(client.channel).inc()

    def remove(self, client: WebSocketClient) -> None:
        """A client has gone; harmless if it had."""
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
        """Show a book to a client from now on, beginning with a snapshot of it."""
        self.unsubscribe(client, channel, book)
        subscription = ClientSubscription(channel, book, depth)
        client.subscriptions[channel, book] = subscription
        self._listeners.setdefault(book, {})[subscription] = client
        self._mark(client, subscription)

    def unsubscribe(self, client: WebSocketClient, channel: str, book: int) -> None:
        """Show it no more; harmless if it was not shown."""
        subscription = client.subscriptions.pop((channel, book), None)
        if subscription is None:
            return
        client.pending.pop(subscription, None)
        del self._listeners[book][subscription]
        if not self._listeners[book]:
            del self._listeners[book]

    def resync(self, client: WebSocketClient, subscriptions: Iterable[ClientSubscription]) -> None:
        """Begin these again with a snapshot: the client has lost its own."""
        for subscription in subscriptions:
            subscription.sent = None
            self._mark(client, subscription)

    def changed(self, books: Sequence[int]) -> None:
        """These books have been told anew."""
        for book in books:
            self._made.pop(book, None)
            for subscription, client in self._listeners.get(book, {}).items():
                if subscription in client.pending:
                    self._conflated[subscription.channel].inc()
                else:
                    self._mark(client, subscription)

    def feed_changed(self) -> None:
        """Every book has another status, perhaps."""
        self._made.clear()
        for listeners in self._listeners.values():
            for subscription, client in listeners.items():
                self._mark(client, subscription)

    def send_heartbeats(self, now: float, tick: int) -> None:
        """Have a part of the clients sent a heartbeat, and cut who takes nothing.

        Args:
            now: by the loop's clock.
            tick: rises by one; each client has its turn once in BEAT_PARTS ticks, and once in
                PING_BEATS turns is asked whether it is there.
        """
        turn, part = divmod(tick, HEARTBEAT_GROUPS)
        for client in list(self.clients):
            if client.part != part:
                continue
            if self._stalled(client, now):
                self.cut(client, self._stall)
                continue
            client.heartbeat_due = True
            client.ping_due = client.ping_due or turn % HEARTBEATS_PER_PING == 0
            client.wake.set()

    def cut(self, client: WebSocketClient, cut: CloseReason) -> None:
        """End a client's connection; harmless if it has ended."""
        if client in self.clients:
            self.remove(client)
            self._metrics.cuts.labels(cut.reason).inc()
            client.close(cut)

    def _stalled(self, client: WebSocketClient, now: float) -> bool:
        return any(
            since is not None and now - since > self._limits.stall_timeout_s
            for since in (client.sending_since, client.unanswered_since)
        )

    def next(self, client: WebSocketClient) -> tuple[str, list[bytes]] | None:
        """What to send to a client next, with its channel; None if there is nothing.

        The list is empty where a book has changed, but not in what this client is shown.
        """
        if client.notes:
            return CONTROL, [client.notes.popleft()]
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
        made = self._made.get(book)
        if made is None:
            made = self._made[book] = CachedMessages(payloads.display_book(self._mirror, book), {})
        start = before and (before.shown.seq, before.status, before.feed)
        key = (subscription.channel, subscription.depth, start)
        messages = made.messages.get(key)
        if messages is None:
            documents = self._documents(subscription, made.now, before)
            messages = made.messages[key] = [payloads.dumps(document) for document in documents]
        if messages:
            subscription.sent = made.now
        return messages

    def _documents(
        self, subscription: ClientSubscription, now: DisplayedBook, before: DisplayedBook | None
    ) -> list[dict[str, Any]]:
        """The messages that lead from what was sent to what is so; none if that looks the same."""
        name = self._mirror.names[subscription.book]
        bbo, depth = subscription.channel == "bbo", subscription.depth
        if before is None:
            if bbo:
                return [payloads.bbo_message(name, now, None)]
            return [payloads.snapshot_message(name, now, depth)]
        found = []
        if (before.status, before.feed) != (now.status, now.feed):
            found.append(payloads.status_message(subscription.channel, name, now, before))
        if payloads.levels_differ(before.shown, now.shown, depth):
            found.append(
                payloads.bbo_message(name, now, before)
                if bbo
                else payloads.update_message(name, now, before, depth)
            )
        return found

    def _heartbeat(self, client: WebSocketClient) -> bytes:
        sent = (
            (one.channel, self._mirror.names[one.book], one.sent)
            for one in client.subscriptions.values()
            if one.sent is not None
        )
        return payloads.dumps(payloads.heartbeat_message(self._mirror, sent))

    def _mark(self, client: WebSocketClient, subscription: ClientSubscription) -> None:
        client.pending[subscription] = None
        client.wake.set()


Send = Callable[[bytes], Awaitable[None]]


async def write_messages(
    fanout: Fanout, client: WebSocketClient, send: Send, ping: Callable[[], Awaitable[None]]
) -> None:
    """Send a client what there is for it, for ever: its own task, which alone waits for it."""
    loop, counts = asyncio.get_running_loop(), fanout.sent
    while True:
        await client.wake.wait()
        client.wake.clear()
        while (found := fanout.next(client)) is not None:
            channel, messages = found
            client.sending_since = started = loop.time()
            for message in messages:
                await send(message)
            client.sending_since = None
            if client.unanswered_since is not None and loop.time() - started > SLOW_SEND_S:
                client.unanswered_since = loop.time()
            counts[channel].inc(len(messages))
        if client.ping_due:
            client.ping_due = False
            if client.unanswered_since is None:
                client.unanswered_since = loop.time()
            await ping()
