"""An ingest for tests: speaks `live.wire` to a real server process, and knows its own books.

The rule here: it is the other end of the wire and nothing else, so that what a client sees is what
was told, through every part of the server.
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
from batonics.server.config import ServerConfig
from batonics.server.launch import ServerProcess, start_server
from batonics.settings.table import ServerSettings
from tests.support.server_books import FakeBooks


class FakeIngest(FakeBooks):
    """Tells books to a server; `answer` is what it answers to an ASK, None for no answer."""

    def __init__(self, server: ServerProcess, symbols: Sequence[str] = ("CLX5", "CLZ5")) -> None:
        super().__init__(symbols)
        self.server = server
        self.stats = FeedStats(feed=FeedState.LIVE, books=len(symbols), synced=len(symbols))
        self.answer: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda _: None
        self.asked: list[dict[str, Any]] = []
        self._sending = threading.Lock()

    def send(self, kind: MessageKind, payload: bytes) -> None:
        """Send a message."""
        self._send(encode_message(kind, payload))

    def _send(self, messages: bytes) -> None:
        """Send whole, which for ingest itself would be waiting: tests may."""
        data = memoryview(messages)
        with self._sending:
            while data:
                try:
                    data = data[self.server.socket.send(data) :]
                except BlockingIOError:
                    select.select([], [self.server.socket], [], 5)

    def say(self, kind: MessageKind, document: Any) -> None:
        """Send JSON."""
        self.send(kind, json.dumps(document).encode())

    def open(self) -> None:
        """What ingest says first, and its books."""
        # At once: no answer is to come from the middle of it.
        said = {MessageKind.HELLO: self.hello, MessageKind.SYMBOLS: self.names}
        opening = [
            encode_message(kind, json.dumps(document).encode()) for kind, document in said.items()
        ]
        opening.append(encode_message(MessageKind.BOOKS, self.payload(None)))
        opening.append(encode_message(MessageKind.STATS, json.dumps(self.stats.as_json()).encode()))
        self._send(b"".join(opening))

    def tell(self, books: Sequence[int] | None = None) -> None:
        """Tell books as they are; None: all."""
        self.send(MessageKind.BOOKS, self.payload(books))

    def tell_stats(self, **changes: Any) -> None:
        """Tell the stats, with changes that stay."""
        self.stats = replace(self.stats, **changes)
        self.say(MessageKind.STATS, self.stats.as_json())

    def bye(self, reason: str = "the feed has ended") -> None:
        """The last word."""
        self.say(MessageKind.BYE, {"reason": reason})

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Answer questions, and keep saying that we live, on a thread."""
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
                question = json.loads(payload)
                self.asked.append(question)
                answer = self.answer(question)
                if answer is not None:
                    self.say(MessageKind.RESPONSE, {"id": question["id"], **answer})


def server_config(**settings: Any) -> ServerConfig:
    """A config with these settings of the section `server`; by default HTTP on a free port."""
    return ServerConfig(ServerSettings(**{"http": "127.0.0.1:0", **settings}), log_json=True)


@contextmanager
def run_server(
    config: ServerConfig | None = None, symbols: Sequence[str] = ("CLX5", "CLZ5")
) -> Iterator[FakeIngest]:
    """A server on a free port of 127.0.0.1 that has been told books; ended afterwards."""
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
