"""One client of /v1/ws: its subscriptions, and the messages that it gets.

The rule here: nothing waits in a queue. A turn makes what a client can be sent now, from the books
as they are now; the next turn comes when the client has taken that. So a client that reads slowly
gets fewer states on bbo and l2, never older ones. Events of l3 and trades are never left out: the
clock waits for them, and if the client does not read, the subscription is cut with a reason.

A session does no I/O and reads no clock. It is used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import orjson

from batonics.history.book_cursor import BookEvent
from batonics.model.mbo import F_TOB
from batonics.server import channel_documents as documents
from batonics.server import view_messages as messages
from batonics.server.channel_messages import (
    Channel,
    CutMessage,
    ErrorMessage,
    HeartbeatMessage,
    RequestId,
    SentBook,
    ServerMessage,
    Start,
    SubscribedMessage,
)
from batonics.server.channel_requests import (
    CONFLATE_MS_DEFAULT,
    BookRequest,
    ClockRequest,
    Subscribe,
    parse_request,
    request_id,
)
from batonics.server.channel_source import BookSource, BookView, FollowedBook
from batonics.server.followed_books import names_book
from batonics.server.query_params import DEPTH_DEFAULT, ProblemError
from batonics.server.view_messages import SentState
from batonics.settings.table import ServerLimits

EVENT_ROWS_MAX, STATE_ROWS_MAX = 1 << 7, 1 << 16
"""The most records of a turn: where each event is a message, and where states are."""
TURN_BYTES_MAX = 1 << 16
"""Bytes of messages from which on a turn makes no further ones."""
SNAPSHOT_BYTES_MAX = 1 << 20
"""The largest snapshot of l3."""
HEARTBEAT_EVERY_S = 1.0
TICK_S = 0.005
"""The least time between two turns that a clock causes."""
_EVENT_CHANNELS: tuple[Channel, ...] = ("l3", "trades")


@dataclass(eq=False)
class BookSubscription:
    """A subscription to a book on a channel.

    Attributes:
        channel: the channel.
        book: the book.
        depth: levels of each side; None: all.
        pace_s: the least time between two messages, for bbo and l2.
        start: why the next message is a snapshot.
        seq: the `seq` sent last; None: none, so the next message is a snapshot.
        status: the status sent last.
        sent: what the client has, for bbo and l2.
        looked_at: `BookSource.seq` of the book when it was last compared with what the client has.
        due_s: when the next message may be sent.
    """

    channel: Channel
    book: FollowedBook
    depth: int | None
    pace_s: float
    start: Start = "subscribed"
    seq: int | None = None
    status: str = ""
    sent: SentState | None = None
    looked_at: int = -2
    due_s: float = 0.0

    def begin_anew(self, start: Start) -> None:
        """Make the next message a snapshot."""
        self.start, self.seq, self.due_s = start, None, 0.0


class Turn(NamedTuple):
    """What a client can be sent now.

    Attributes:
        messages: the channel (None: of no channel) and the JSON of each.
        wait_s: seconds until there may be more, unless a request comes.
    """

    messages: list[tuple[Channel | None, bytes]]
    wait_s: float


class ChannelSession:
    """One client.

    Args:
        source: where its books come from; this session's own.
        limits: what a client may take.
        now_s: the time of the caller's clock, in seconds.
    """

    def __init__(self, source: BookSource, limits: ServerLimits, now_s: float) -> None:
        self._source, self._limits = source, limits
        self._subscriptions: dict[tuple[Channel, int], BookSubscription] = {}
        self._messages: list[tuple[Channel | None, bytes]] = []
        self._bytes = 0
        self._heartbeat_s = now_s + HEARTBEAT_EVERY_S

    @property
    def has_event_channels(self) -> bool:
        """Whether the client gets every event of a book."""
        return any(channel in _EVENT_CHANNELS for channel, _ in self._subscriptions)

    def turn(self, requests: Sequence[str], now_s: float) -> Turn:
        """Carry out requests, and make the messages that the client can be sent now."""
        for text in requests:
            self._carry_out(text, now_s)
        was_playing = self._source.clock(now_s, None)["is_playing"]
        rows_max = EVENT_ROWS_MAX if self.has_event_channels else STATE_ROWS_MAX
        self._send_events(self._source.advance(now_s, rows_max))
        clock = self._source.clock(now_s, None)
        self._send_states(now_s)
        if was_playing and not clock["is_playing"]:
            self._send(clock)
        if now_s >= self._heartbeat_s:
            self._heartbeat_s = now_s + HEARTBEAT_EVERY_S
            self._send(self._heartbeat(now_s))
        wait_s = self._wait_s(now_s)
        made, self._messages, self._bytes = self._messages, [], 0
        return Turn(made, wait_s)

    def cut_events(self, reason: str) -> None:
        """End the subscriptions to l3 and trades; the next turn says so."""
        for one in list(self._subscriptions.values()):
            if one.channel in _EVENT_CHANNELS:
                self._cut(one, reason)

    # ------------------------------------------------------------------ requests

    def _carry_out(self, text: str, now_s: float) -> None:
        """Carry out a message of the client; the reply, or an error."""
        try:
            request = parse_request(text)
        except ProblemError as error:
            self._send_error(error.detail, request_id(text))
            return
        try:
            if request["op"] in ("subscribe", "unsubscribe", "resync"):
                self._send(self._change(request))
            else:
                self._control(cast(ClockRequest, request), now_s)
        except ProblemError as error:
            self._send_error(error.detail, request.get("id"))

    def _change(self, request: BookRequest) -> SubscribedMessage:
        """Carry out a request about subscriptions; the reply."""
        channel, symbols = request["channel"], request.get("symbols")
        if symbols is not None and len(symbols) > self._limits.symbols_max:
            most = self._limits.symbols_max
            raise ProblemError(400, "Too many", f"symbols has at most {most} in one message")
        if request["op"] == "subscribe":
            books = self._subscribe(request)
        else:
            chosen = [one for one in self._subscriptions.values() if one.channel == channel]
            chosen = [one for one in chosen if _is_named(one, symbols, request.get("publisher"))]
            if symbols and not chosen:
                raise ProblemError(404, "No such subscription", "there is no such subscription")
            for one in chosen:
                if request["op"] == "resync":
                    one.begin_anew("resync")
                else:
                    self._remove(one)
            books = [one.book for one in chosen]
        names = {"subscribe": "subscribed", "unsubscribe": "unsubscribed", "resync": "resyncing"}
        return {
            "type": names[request["op"]],  # type: ignore[typeddict-item]
            "channel": channel,
            "books": [book.name for book in books],
            "id": request.get("id"),
        }

    def _subscribe(self, request: Subscribe) -> list[FollowedBook]:
        channel, most = request["channel"], self._limits.subscriptions_max
        books = self._source.find(request["symbols"], request.get("publisher"))
        new = [book for book in books if (channel, book.key) not in self._subscriptions]
        if len(self._subscriptions) + len(new) > most:
            detail = f"{len(new)} more subscriptions: a client has {most} at the most"
            raise ProblemError(400, "Too many", detail)
        depth = request.get("depth", DEPTH_DEFAULT)
        self._source.follow(book.key for book in books)
        for book in books:
            self._subscriptions[channel, book.key] = BookSubscription(
                channel,
                book,
                1 if channel == "bbo" else None if depth == "all" else depth,
                request.get("conflate_ms", CONFLATE_MS_DEFAULT) / 1e3,
            )
            self._update_source(book.key)
        return books

    def _remove(self, one: BookSubscription) -> None:
        del self._subscriptions[one.channel, one.book.key]
        self._update_source(one.book.key)

    def _update_source(self, key: int) -> None:
        """Let the source do for a book what its subscriptions need."""
        channels = {channel for channel, book in self._subscriptions if book == key}
        if channels:
            self._source.set_events(key, has_events=not channels.isdisjoint(_EVENT_CHANNELS))
        else:
            self._source.leave(key)

    def _control(self, request: ClockRequest, now_s: float) -> None:
        """Carry out a request about the clock."""
        self._send_events(self._source.control(request, now_s))
        self._send(self._source.clock(now_s, request.get("id")))
        goes_back = request["op"] == "step" and request["events"] < 0
        for one in self._subscriptions.values():
            one.due_s = min(one.due_s, now_s)
            if request["op"] == "seek" or goes_back:
                one.begin_anew("step" if goes_back else "seek")

    # ------------------------------------------------------------------ messages about books

    def _send_events(self, events: Iterable[BookEvent]) -> None:
        """Send what happened to those who get every event."""
        for event in events:
            view: BookView | None = None
            for channel in _EVENT_CHANNELS:
                one = self._subscriptions.get((channel, event.key))
                if one is None or one.seq is None:
                    continue
                view = view or self._source.view(event.key)
                if channel == "l3":
                    self._send_l3(one, view, event)
                else:
                    self._send_trades(one, view, event)

    def _send_l3(self, one: BookSubscription, view: BookView, event: BookEvent) -> None:
        batch = event.rows.batch
        if any(flags & F_TOB for flags in batch.flags.tolist()) and not view.has_only_orders():
            self._cut(one, _NOT_ORDERS)
            return
        if event.is_reset:
            self._send_l3_snapshot(one, view, "feed")
        else:
            self._send_view(one, view, messages.l3_update(view, one.book.name, one.seq, event))

    def _send_l3_snapshot(self, one: BookSubscription, view: BookView, start: Start) -> None:
        if not view.has_only_orders():
            self._cut(one, _NOT_ORDERS)
            return
        message = messages.l3_snapshot(view, one.book.name, start)
        if len(message) > SNAPSHOT_BYTES_MAX:
            self._cut(one, _TOO_LARGE)
        else:
            self._send_view(one, view, message)

    def _send_trades(self, one: BookSubscription, view: BookView, event: BookEvent) -> None:
        head = documents.book_head(one.book.name, view, one.seq)
        for trade in documents.trade_updates(head, event):
            self._append(one.channel, orjson.dumps(trade))
            one.seq, one.status = trade["seq"], trade["status"]

    def _send_states(self, now_s: float) -> None:
        """Send the books that have changed since what the client has, those that waited longest."""
        due = [one for one in self._subscriptions.values() if one.due_s <= now_s]
        for one in sorted(due, key=_due_s):
            if self._bytes > TURN_BYTES_MAX:
                break
            if one.seq is None:
                self._send_snapshot(one)
            elif not self._may_differ(one) or not self._send_change(one):
                continue
            one.due_s = now_s + one.pace_s

    def _may_differ(self, one: BookSubscription) -> bool:
        """Whether a book on bbo or l2 may differ from what the client has."""
        is_state = one.channel not in _EVENT_CHANNELS
        return is_state and one.looked_at != self._source.seq(one.book.key)

    def _send_snapshot(self, one: BookSubscription) -> None:
        view, name = self._source.view(one.book.key), one.book.name
        if one.channel == "l3":
            self._send_l3_snapshot(one, view, one.start)
        elif one.channel == "trades":
            head = documents.book_head(name, view, None)
            self._send_view(one, view, orjson.dumps(documents.trades_snapshot(head, one.start)))
        else:
            one.looked_at = self._source.seq(one.book.key)
            one.sent = SentState(view.seq, view.levels(one.depth), view.condition)
            message = messages.state_snapshot(view, name, one.channel, one.depth, one.start)
            self._send_view(one, view, message)

    def _send_change(self, one: BookSubscription) -> bool:
        """Send the change of a book on bbo or l2; whether there is one that shows."""
        view, before = self._source.view(one.book.key), one.sent
        one.looked_at = self._source.seq(one.book.key)
        if before is None or before.is_shown_by(view, one.depth):
            return False
        message = messages.state_update(view, one.book.name, one.channel, one.depth, before)
        one.sent = SentState(view.seq, view.levels(one.depth), view.condition)
        self._send_view(one, view, message)
        return True

    def _cut(self, one: BookSubscription, reason: str) -> None:
        """End a subscription with a reason."""
        self._remove(one)
        message: CutMessage = {
            "type": "cut",
            "channel": one.channel,
            **one.book.name,
            "seq": one.seq,
            "reason": reason,
        }
        self._send(message)

    # ------------------------------------------------------------------ sending

    def _send_view(self, one: BookSubscription, view: BookView, message: bytes) -> None:
        one.seq, one.status = view.seq, view.condition.status
        self._append(one.channel, message)

    def _send(self, message: ServerMessage) -> None:
        self._append(None, orjson.dumps(message))

    def _send_error(self, detail: str, identity: RequestId) -> None:
        message: ErrorMessage = {"type": "error", "detail": detail, "id": identity}
        self._send(message)

    def _append(self, channel: Channel | None, message: bytes) -> None:
        self._messages.append((channel, message))
        self._bytes += len(message)

    def _heartbeat(self, now_s: float) -> HeartbeatMessage:
        clock = self._source.clock(now_s, None)
        books: list[SentBook] = [
            {
                **one.book.name,
                "channel": one.channel,
                "status": one.status,  # type: ignore[typeddict-item]
                "seq": one.seq,
            }
            for one in self._subscriptions.values()
            if one.seq is not None
        ]
        return {
            "type": "heartbeat",
            "at": clock["at"],
            "record": clock["record"],
            "is_playing": clock["is_playing"],
            "late_ms": self._source.late_ms(),
            "books": books,
        }

    def _wait_s(self, now_s: float) -> float:
        """Seconds until a message may be due."""
        waits = [self._heartbeat_s - now_s]
        next_s = self._source.delay_s(now_s)
        for one in self._subscriptions.values():
            due_s = max(0.0, one.due_s - now_s)
            if one.seq is None:
                waits.append(due_s)
            elif one.channel in _EVENT_CHANNELS:
                if next_s is not None:  # 0.0: events are due that no turn has had room for
                    waits.append(max(next_s, TICK_S) if next_s else 0.0)
            elif self._may_differ(one):
                waits.append(due_s)
            elif next_s is not None:
                waits.append(max(next_s, due_s, TICK_S))
        return max(0.0, min(waits))


_NOT_ORDERS = (
    "levels of this book are no orders (a top-of-book publisher, rule 13): subscribe to l2"
)
_TOO_LARGE = f"a snapshot of l3 has at most {SNAPSHOT_BYTES_MAX >> 20} MiB: use GET /v1/books"


def _is_named(one: BookSubscription, symbols: list[str] | None, publisher: int | None) -> bool:
    """Whether a request names the book of a subscription."""
    name = one.book.name
    is_symbol = symbols is None or any(names_book(symbol, name) for symbol in symbols)
    return is_symbol and publisher in (None, name["publisher_id"])


def _due_s(one: BookSubscription) -> float:
    return one.due_s
