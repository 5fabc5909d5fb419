"""Ingest's end of the socket to the process that serves its books (`wire.py`).

The rule here: nothing waits. What the socket does not take is kept as *which* books have changed,
not as what they were; the next message then has them as they are by that time.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from batonics.live.protocol import MessageKind, MessageReader, encode_message
from batonics.model.errors import BatonicsError

BOOKS_MESSAGE_BYTES_MAX = 1 << 18
"""Of one message of BOOKS: the socket takes some such at once, and the next are fresher."""
_NONE = np.empty(0, np.int64)
RESTART_INTERVAL_SECONDS = 2.0
"""Between two tries to start a server that has gone."""


class ServerRestarter:
    """Starts another server, in a thread, where one has gone: the feed does not wait for it.

    Args:
        make: starts one and waits until it is there.
        failed: called with what went wrong, in that thread.
    """

    def __init__(
        self, make: Callable[[], ServerLink], failed: Callable[[BatonicsError], None]
    ) -> None:
        self._make, self._failed = make, failed
        self._thread: threading.Thread | None = None
        self._made: ServerLink | None = None
        self._next_try = 0.0

    def link(self) -> ServerLink | None:
        """The new one, if it is there by now; a try is begun if it is time for one."""
        if self._thread is not None:
            if self._thread.is_alive():
                return None
            self._thread = None
            made, self._made = self._made, None
            if made is not None:
                return made
        now = time.monotonic()
        if now >= self._next_try:
            self._next_try = now + RESTART_INTERVAL_SECONDS
            self._thread = threading.Thread(target=self._try, name="batonics-relink")
            self._thread.start()
        return None

    def close(self) -> None:
        """Wait for a try that is under way, and drop what it makes."""
        if self._thread is not None:
            self._thread.join()
        if self._made is not None:
            self._made.close()

    def _try(self) -> None:
        try:
            self._made = self._make()
        except BatonicsError as error:
            self._failed(error)


class ServerLink:
    """What is told to the server, and what it asks.

    Args:
        sock: connected, non-blocking.

    Attributes:
        told_late: how often a message had to be put off.
        is_open: False once the server is gone.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.deferred_messages = 0
        self.is_open = True
        self._sock = sock
        self._pending = b""
        self._due = np.zeros(0, np.bool_)
        self._from = 0
        self._waiting = False  # whether any may be due
        self._fresh = _NONE  # books that are due, while nothing else is to be told
        self._others: dict[MessageKind, bytes] = {}
        self._messages = MessageReader()

    def fileno(self) -> int:
        """To wait for."""
        return self._sock.fileno()

    @property
    def has_pending(self) -> bool:
        """Whether something is to be told that was put off."""
        return self.is_open and bool(
            self._pending or self._others or self._waiting or len(self._fresh)
        )

    def tell(self, kind: MessageKind, value: Any) -> None:
        """Tell something other than books; of a kind only the latest is kept if it must wait."""
        self._others[kind] = encode_message(kind, orjson.dumps(value))

    def answer(self, value: Any) -> None:
        """Answer what was asked."""
        # Each answer is somebody's: they are put behind each other.
        earlier = self._others.get(MessageKind.ANSWER, b"")
        self._others[MessageKind.ANSWER] = earlier + encode_message(
            MessageKind.ANSWER, orjson.dumps(value)
        )

    def mark_changed(self, books: NDArray[np.int64], count: int) -> None:
        """Note that books changed, of so many that there are."""
        if not (self._pending or self._others or self._waiting or len(self._fresh)):
            self._fresh = books  # nothing is to be told before them, as nearly always
            return
        if len(self._fresh):
            self._put_off(self._fresh, count)
            self._fresh = _NONE
        self._put_off(books, count)

    def _put_off(self, books: NDArray[np.int64], count: int) -> None:
        if count > len(self._due):
            self._due = np.concatenate([self._due, np.zeros(count - len(self._due), np.bool_)])
        self._due[books] = True
        self._waiting = self._waiting or len(books) > 0

    def flush(self, rows: NDArray[np.void]) -> None:
        """Tell as much as the socket takes; `rows` are the books as they are."""
        while self.is_open:
            if not self._pending:
                self._pending = self._next(rows)
                if not self._pending:
                    return
            try:
                sent = self._sock.send(self._pending)
            except BlockingIOError:
                self.deferred_messages += 1
                return
            except OSError:
                self.is_open = False
                return
            self._pending = self._pending[sent:]

    def _next(self, rows: NDArray[np.void]) -> bytes:
        """The next message, or nothing. Books come first: they are what is waited for."""
        if len(self._fresh):
            if len(self._fresh) * rows.itemsize <= BOOKS_MESSAGE_BYTES_MAX and not self._others:
                books, self._fresh = self._fresh, _NONE
                return encode_message(MessageKind.BOOKS, rows[books].tobytes())
            self._put_off(self._fresh, len(rows))
            self._fresh = _NONE
        # Names must be known before books that have them.
        if MessageKind.HELLO in self._others:
            return self._others.pop(MessageKind.HELLO)
        if MessageKind.SYMBOLS in self._others:
            return self._others.pop(MessageKind.SYMBOLS)
        due = np.flatnonzero(self._due) if self._waiting else _NONE
        self._waiting = len(due) > 0
        if len(due):
            # Those that waited come first: no book is passed over again and again.
            due = np.roll(due, -int(np.searchsorted(due, self._from)))
            due = due[: max(BOOKS_MESSAGE_BYTES_MAX // rows.itemsize, 1)]
            self._from = int(due[-1]) + 1
            self._due[due] = False
            return encode_message(MessageKind.BOOKS, rows[due].tobytes())
        for kind in (MessageKind.ANSWER, MessageKind.STATS, MessageKind.BYE):
            if kind in self._others:
                return self._others.pop(kind)
        return b""

    def asked(self) -> Iterator[dict[str, Any]]:
        """What the server asks, as far as it has arrived."""
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
            for kind, payload in self._messages.feed(data):
                if kind is MessageKind.ASK:
                    yield orjson.loads(payload)

    def close(self) -> None:
        """Close the socket: the server sees the end."""
        self.is_open = False
        self._sock.close()
