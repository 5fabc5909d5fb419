"""Ingest's end of the socket to the process that serves its books (`protocol.py`).

The rule here: nothing waits. If the socket is full, the link keeps *which* books have changed, not
their old values; the next message has their values of that later time. Responses and stats go
before such books, of which there may be some at any time. Only the news that a feed is live again
comes behind the books that had changed by then: some of them may be stale.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from batonics.live.book_names import BookNameRow
from batonics.live.growing import with_room
from batonics.live.log_checkpoint import LogOutput
from batonics.live.protocol import (
    LIVE_STATES,
    FeedState,
    MessageKind,
    MessageReader,
    encode_message,
)
from batonics.model.errors import BatonicsError

BOOKS_MESSAGE_BYTES_MAX = 1 << 18
"""The size of one BOOKS message: the socket takes several, and the next message is more recent."""
NAMES_MESSAGE_MAX = 4096
"""Names in one SYMBOLS message: the server reads them in a few milliseconds."""
_NO_BOOKS = np.empty(0, np.int64)


class ServerRestarter:
    """Starts another server in a thread when one has ended, so that the feed does not wait.

    Args:
        start: starts a server and waits until it is ready.
        on_failure: called in that thread with the error of a failed try.
        interval_s: the time between two tries.
    """

    def __init__(
        self,
        start: Callable[[], ServerLink],
        on_failure: Callable[[BatonicsError], None],
        interval_s: float,
    ) -> None:
        self._start, self._on_failure, self._interval_s = start, on_failure, interval_s
        self._thread: threading.Thread | None = None
        self._link: ServerLink | None = None
        self._next_try = 0.0

    def poll(self) -> ServerLink | None:
        """The link to the new server once it is ready; begins a try when one is due."""
        if self._thread is not None:
            if self._thread.is_alive():
                return None
            self._thread = None
            link, self._link = self._link, None
            if link is not None:
                return link
        now = time.monotonic()
        if now >= self._next_try:
            self._next_try = now + self._interval_s
            self._thread = threading.Thread(target=self._try_start, name="batonics-restart-server")
            self._thread.start()
        return None

    def close(self) -> None:
        """Wait for a try in progress, and close its link."""
        if self._thread is not None:
            self._thread.join()
        if self._link is not None:
            self._link.close()

    def _try_start(self) -> None:
        try:
            self._link = self._start()
        except BatonicsError as error:
            self._on_failure(error)


class ServerLink:
    """Sends messages to the server, and reads its requests.

    Args:
        sock: a connected, non-blocking socket.
        log: the log that the server reads; None: it reads none.

    Attributes:
        log: as given.
        deferred_messages: how often the socket did not take a whole message.
        is_open: whether the server still runs.
    """

    def __init__(self, sock: socket.socket, log: LogOutput | None = None) -> None:
        self.log = log
        self.deferred_messages = 0
        self.is_open = True
        self._sock = sock
        self._unsent = b""  # the rest of a message that the socket took in part
        self._fresh_books = _NO_BOOKS  # changed books, while no other message waits
        self._is_due = np.zeros(0, np.bool_)  # by book: whether it waits for a message
        self._has_due = False  # whether any book may be due
        self._next_book = 0  # where the next message of due books begins
        self._queued: dict[MessageKind, bytes] = {}
        self._names: dict[int, BookNameRow] = {}  # names that wait, by book
        self._stats: dict[str, Any] | None = None  # stats that wait
        self._feed_said = FeedState.CONNECTING  # the state of the feed in the last stats sent
        # By book: whether it was due when the feed became live, and has not been sent since.
        self._due_before_live: NDArray[np.bool_] | None = None
        self._held_stats: dict[str, Any] | None = None  # stats that wait for these books
        self._reader = MessageReader()

    def fileno(self) -> int:
        """The socket's descriptor, for poll."""
        return self._sock.fileno()

    @property
    def has_pending(self) -> bool:
        """Whether a message waits for the socket."""
        return self.is_open and self._is_waiting

    @property
    def _is_waiting(self) -> bool:
        return bool(
            self._unsent
            or self._queued
            or self._names
            or self._stats is not None
            or self._has_due
            or len(self._fresh_books)
        )

    def queue_names(self, names: Iterable[BookNameRow]) -> None:
        """Queue names of books; of each book only the latest is kept."""
        self._names.update((row[0], row) for row in names)

    def queue(self, kind: MessageKind, document: Any) -> None:
        """Queue HELLO or BYE."""
        self._queued[kind] = encode_message(kind, orjson.dumps(document))

    def queue_stats(self, stats: dict[str, Any]) -> None:
        """Queue `FeedStats` as JSON; the latest are kept."""
        self._stats = stats
        if stats["feed"] not in LIVE_STATES:
            self._due_before_live = self._held_stats = None
        elif self._feed_said not in LIVE_STATES and self._due_before_live is None:
            if len(self._fresh_books):
                self._mark_due(self._fresh_books, int(self._fresh_books.max()) + 1)
                self._fresh_books = _NO_BOOKS
            self._due_before_live = self._is_due.copy()

    def queue_response(self, document: Any) -> None:
        """Queue a response; all responses are kept, one behind the other."""
        earlier = self._queued.get(MessageKind.RESPONSE, b"")
        response = encode_message(MessageKind.RESPONSE, orjson.dumps(document))
        self._queued[MessageKind.RESPONSE] = earlier + response

    def mark_changed(self, books: NDArray[np.int64], book_count: int) -> None:
        """Record that books changed; `book_count` is the number of all books."""
        if not self._is_waiting:
            self._fresh_books = books  # nothing is to be sent before them, as nearly always
            return
        if len(self._fresh_books):
            self._mark_due(self._fresh_books, book_count)
            self._fresh_books = _NO_BOOKS
        self._mark_due(books, book_count)

    def _mark_due(self, books: NDArray[np.int64], book_count: int) -> None:
        self._is_due = with_room(self._is_due, book_count)
        self._is_due[books] = True
        self._has_due = self._has_due or len(books) > 0

    def flush(self, rows: NDArray[np.void]) -> None:
        """Send as much as the socket takes; `rows` are the published rows of all books."""
        while self.is_open:
            if not self._unsent:
                self._unsent = self._next_message(rows)
                if not self._unsent:
                    return
            try:
                sent = self._sock.send(self._unsent)
            except BlockingIOError:
                self.deferred_messages += 1
                return
            except OSError:
                self.is_open = False
                return
            self._unsent = self._unsent[sent:]

    def _next_message(self, rows: NDArray[np.void]) -> bytes:
        """The next message, or nothing. Books come before responses and stats."""
        if len(self._fresh_books):
            is_alone = not self._queued and not self._names and self._stats is None
            if is_alone and len(self._fresh_books) * rows.itemsize <= BOOKS_MESSAGE_BYTES_MAX:
                books, self._fresh_books = self._fresh_books, _NO_BOOKS
                return encode_message(MessageKind.BOOKS, rows[books].tobytes())
            self._mark_due(self._fresh_books, len(rows))
            self._fresh_books = _NO_BOOKS
        for kind in (MessageKind.HELLO, MessageKind.RESPONSE):
            if kind in self._queued:
                return self._queued.pop(kind)
        if self._stats is not None and (stats := self._next_stats()):
            return stats
        if self._names:  # the server must know a book's names before its rows
            next_names = list(islice(self._names, NAMES_MESSAGE_MAX))
            names = [self._names.pop(book) for book in next_names]
            return encode_message(MessageKind.SYMBOLS, orjson.dumps(names))
        due = self._take_due_books(BOOKS_MESSAGE_BYTES_MAX // rows.itemsize)
        if len(due):
            return encode_message(MessageKind.BOOKS, rows[due].tobytes())
        return self._queued.pop(MessageKind.BYE, b"")

    def _next_stats(self) -> bytes:
        """The stats that wait, with the state of the feed that may be known by now."""
        stats, self._stats = self._stats or {}, None
        if self._due_before_live is not None and self._due_before_live.any():
            self._held_stats = stats
            stats = {**stats, "feed": self._feed_said}
        else:
            self._due_before_live = self._held_stats = None
        self._feed_said = FeedState(stats["feed"])
        return encode_message(MessageKind.STATS, orjson.dumps(stats))

    def _take_due_books(self, books_max: int) -> NDArray[np.int64]:
        """The due books of one message, at least one if there is any; they are no longer due."""
        due = np.flatnonzero(self._is_due) if self._has_due else _NO_BOOKS
        self._has_due = len(due) > 0
        if len(due):
            # A message begins where the last one ended: no book is passed over again and again.
            due = np.roll(due, -int(np.searchsorted(due, self._next_book)))[: max(books_max, 1)]
            self._next_book = int(due[-1]) + 1
            self._is_due[due] = False
            self._note_sent(due)
        return due

    def _note_sent(self, books: NDArray[np.int64]) -> None:
        """Let the stats follow that had to wait for books, once all of these are sent."""
        waits_for = self._due_before_live
        if waits_for is None:
            return
        waits_for[books[books < len(waits_for)]] = False
        if not waits_for.any():
            self._stats = self._stats or self._held_stats

    def read_requests(self) -> Iterator[dict[str, Any]]:
        """The server's requests that have arrived."""
        while self.is_open:
            try:
                data = self._sock.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.is_open = False
                return
            for kind, payload in self._reader.feed(data):
                if kind is MessageKind.REQUEST:
                    yield orjson.loads(payload)

    def close(self) -> None:
        """Close the socket: the server sees the end."""
        self.is_open = False
        self._sock.close()
