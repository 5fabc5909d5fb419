"""A fake ingest: it speaks `live.protocol` to a real serving process, and knows its own books.

The rule here: it is the other end of the socket and nothing else. What a client gets has passed
through every part of the server.
"""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from batonics.live.protocol import FeedState, MessageKind, MessageReader, encode_message
from batonics.live.stats import FeedStats
from batonics.model.secret import Secret
from batonics.server.config import ServerConfig
from batonics.server.launch import ServerProcess, start_server
from batonics.settings.table import ServerLimits, ServerSettings
from tests.support.server_books import FakeBooks


class FakeIngest(FakeBooks):
    """Publishes books to a server; `answer` makes the response to a query, None for no response."""

    def __init__(self, server: ServerProcess, symbols: Sequence[str] = ("CLX5", "CLZ5")) -> None:
        super().__init__(symbols)
        self.server = server
        self.stats = FeedStats(feed=FeedState.LIVE, books=len(symbols), synced=len(symbols))
        self.answer: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda _: None
        self.queries: list[dict[str, Any]] = []
        self._sending = threading.Lock()

    def send(self, kind: MessageKind, payload: bytes) -> None:
        """Send a message."""
        self._send(encode_message(kind, payload))

    def _send(self, messages: bytes) -> None:
        """Send all, and wait for the server if need be; ingest itself never waits."""
        data = memoryview(messages)
        with self._sending:
            while data:
                try:
                    data = data[self.server.socket.send(data) :]
                except BlockingIOError:
                    select.select([], [self.server.socket], [], 5)

    def send_json(self, kind: MessageKind, document: Any) -> None:
        """Send JSON."""
        self.send(kind, json.dumps(document).encode())

    def open(self) -> None:
        """Send the first messages, and all books."""
        # In one piece, so that no query is answered before the last of them.
        said = {MessageKind.HELLO: self.hello, MessageKind.SYMBOLS: self.names}
        opening = [
            encode_message(kind, json.dumps(document).encode()) for kind, document in said.items()
        ]
        opening.append(encode_message(MessageKind.BOOKS, self.payload(None)))
        opening.append(encode_message(MessageKind.STATS, json.dumps(self.stats.as_json()).encode()))
        self._send(b"".join(opening))

    def publish(self, books: Sequence[int] | None = None) -> None:
        """Publish books; None: all."""
        self.send(MessageKind.BOOKS, self.payload(books))

    def publish_stats(self, **changes: Any) -> None:
        """Publish the stats, with changes that stay."""
        self.stats = replace(self.stats, **changes)
        self.send_json(MessageKind.STATS, self.stats.as_json())

    def bye(self, reason: str = "the feed has ended") -> None:
        """Send BYE, the last message."""
        self.send_json(MessageKind.BYE, {"reason": reason})

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Answer queries on a thread."""
        stop = threading.Event()
        thread = threading.Thread(target=self._answer_until, args=(stop,), name="ingest")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _answer_until(self, stop: threading.Event) -> None:
        messages = MessageReader()
        while not stop.is_set():
            if not select.select([self.server.socket], [], [], 0.02)[0]:
                continue
            data = self.server.socket.recv(1 << 16)
            if not data:
                return
            for kind, payload in messages.feed(data):
                assert kind is MessageKind.REQUEST
                query = json.loads(payload)
                self.queries.append(query)
                answer = self.answer(query)
                if answer is not None:
                    self.send_json(MessageKind.RESPONSE, {"id": query["id"], **answer})


def server_config(**settings: Any) -> ServerConfig:
    """A config with these settings of the section `server`; by default HTTP on a free port.

    By default ingest may be silent for as long as a test takes on a busy machine.
    """
    settings.setdefault("limits", ServerLimits(silence_timeout_s=600.0))
    if "token" in settings:
        settings["token"] = Secret(settings["token"])
    return ServerConfig(ServerSettings(**{"http": "127.0.0.1:0", **settings}), log_json=True)


@contextmanager
def run_server(
    config: ServerConfig | None = None, symbols: Sequence[str] = ("CLX5", "CLZ5")
) -> Iterator[FakeIngest]:
    """A server on a free port of 127.0.0.1 that has books; it ends with the block."""
    server = start_server(config or server_config())
    try:
        ingest = FakeIngest(server, symbols)
        ingest.open()
        yield ingest
    finally:
        server.close()


def wait_until(true: Callable[[], bool], what: str, timeout: float = 10) -> None:
    """Wait for something, or fail."""
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
