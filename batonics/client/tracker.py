"""What a client has subscribed to, and its books: messages in, requests out.

The rule here: no I/O. A message that does not fit makes a request for a resync of its book; the
other books go on. After a connection is lost, `requests_to_resume` says how a new one goes on where
the old one was.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from batonics.client.books import BookMismatchError, ClientBook, LevelBook, OrderBook, TradesFeed
from batonics.model.errors import BatonicsError

_RESUME_ID = "resume"
"""The id of requests by which a new connection goes on where the last one was."""
AnyBook = LevelBook | OrderBook | TradesFeed


class ClientError(BatonicsError):
    """The server refuses a request, or cannot be reached."""


class BookId(NamedTuple):
    """A book of a channel."""

    channel: str
    publisher_id: int
    instrument_id: int


class BookTracker:
    """The books of a client.

    Attributes:
        books: the books, as they are.
        cut: why the server has ended subscriptions.
        resyncs: the number of resyncs that were asked for.
        duplicates: the number of messages that had come before.
    """

    def __init__(self) -> None:
        self.books: dict[BookId, AnyBook] = {}
        self.cut: dict[BookId, str] = {}
        self.resyncs = self.duplicates = 0
        self._subscriptions: dict[tuple[str, str, int | None], dict[str, Any]] = {}
        self._waiting: set[BookId] = set()
        self._clock: dict[str, Any] | None = None
        self._record: int | None = None

    # ------------------------------------------------------------------ messages

    def take(self, message: dict[str, Any]) -> tuple[bool, list[dict[str, Any]]]:
        """Take a message of the server.

        Returns:
            Whether it is of use to the caller, and what to send to the server.
        """
        kind = message["type"]
        if kind in ("snapshot", "update"):
            return self._take_book(message)
        if kind == "heartbeat":
            self._note_record(message["record"])
            return True, self._check(message["books"])
        if kind == "clock":
            # A new connection stands still until it is told to play, and may be lost before.
            self._clock = self._clock if message["id"] == _RESUME_ID else message
            self._record = message["record"]
        elif kind == "cut":
            found = _book_id(message)
            self.books.pop(found, None)
            self._waiting.discard(found)
            self.cut[found] = message["reason"]
        return True, []

    def _take_book(self, message: dict[str, Any]) -> tuple[bool, list[dict[str, Any]]]:
        found = _book_id(message)
        if message["type"] == "snapshot":
            self.books[found] = _new_book(message)
            self._waiting.discard(found)
        elif found in self._waiting:
            return False, []
        book = self.books.get(found)
        if book is None:
            return False, []
        try:
            is_new = book.apply(message)
        except BookMismatchError:
            return False, [self._resync(found, book)]
        if not is_new:
            self.duplicates += 1
            return False, []
        self._note_record(message["seq"])
        return True, []

    def _check(self, sent: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Compare the books with what the server has sent last."""
        requests = []
        for one in sent:
            found = _book_id(one)
            book = self.books.get(found)
            if book is not None and found not in self._waiting and book.seq != one["seq"]:
                requests.append(self._resync(found, book))
        return requests

    def _resync(self, found: BookId, book: ClientBook) -> dict[str, Any]:
        """A request for a snapshot of a book, whose updates mean nothing until it comes."""
        self._waiting.add(found)
        self.resyncs += 1
        return {
            "op": "resync",
            "channel": found.channel,
            "symbols": [book.symbol],
            "publisher": found.publisher_id,
        }

    def _note_record(self, record: int | None) -> None:
        if record is not None and record >= 0:
            self._record = max(record, self._record or 0)

    def is_current(self, found: BookId) -> bool:
        """Whether a book is the server's, as far as messages have come."""
        return found in self.books and found not in self._waiting

    # ------------------------------------------------------------------ requests

    def note_request(self, request: dict[str, Any], reply: dict[str, Any]) -> None:
        """Note a request that the server has carried out."""
        symbols, publisher = request.get("symbols"), request.get("publisher")
        if request["op"] == "subscribe":
            for symbol in request["symbols"]:
                key = request["channel"], symbol, publisher
                self._subscriptions[key] = {**request, "symbols": [symbol]}
            for one in reply["books"]:
                self.cut.pop(_book_id({**one, "channel": request["channel"]}), None)
        elif request["op"] == "unsubscribe":
            for one in reply["books"]:
                self.books.pop(_book_id({**one, "channel": request["channel"]}), None)
            for channel, symbol, of in list(self._subscriptions):
                is_named = symbols is None or any(_covers(one, symbol) for one in symbols)
                if channel == request["channel"] and is_named and publisher in (None, of):
                    del self._subscriptions[channel, symbol, of]

    def requests_to_resume(self) -> list[dict[str, Any]]:
        """What a new connection asks for, to go on where the last one was."""
        self._waiting.clear()
        requests: list[dict[str, Any]] = []
        if self._record is not None:
            requests.append({"op": "seek", "at": f"record:{self._record}"})
        requests += self._subscriptions.values()
        clock = self._clock
        if clock is not None:
            play = {"op": "play"} if clock["is_playing"] else {"op": "speed"}
            requests.append({**play, "speed": clock["speed"]})
        return [{**request, "id": _RESUME_ID} for request in requests]


def _book_id(message: dict[str, Any]) -> BookId:
    return BookId(message["channel"], message["publisher_id"], message["instrument_id"])


def _covers(named: str, symbol: str) -> bool:
    """Whether a symbol or a prefix of a request names what was subscribed to as `symbol`."""
    return named == symbol or (named.endswith("*") and symbol.startswith(named[:-1]))


def _new_book(snapshot: dict[str, Any]) -> AnyBook:
    channel = snapshot["channel"]
    if channel == "l3":
        return OrderBook(snapshot)
    if channel == "trades":
        return TradesFeed(snapshot)
    return LevelBook(snapshot, 1 if channel == "bbo" else snapshot["depth"])
