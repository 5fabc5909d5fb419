"""An ingest for tests: speaks `live.wire` to a real server process, and knows its own books.

The rule here: it is the other end of the wire and nothing else, so that what a client sees is what
was told, through every part of the server.
"""

from __future__ import annotations

import json
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from batonics.live.stats import Stats
from batonics.live.wire import UNDEF, Feed, Kind, Messages, book_dtype, message
from batonics.server.config import ServerConfig
from batonics.server.launch import ServerProcess, start_server

DEPTH = 10
TICK = 10_000_000
MID = 65_000_000_000
SYNCED = 1
Level = tuple[int, int, int]


class FakeIngest:
    """Tells books to a server; `answer` is what it answers to an ASK, None for no answer."""

    def __init__(self, server: ServerProcess, symbols: Sequence[str] = ("CLX5", "CLZ5")) -> None:
        self.server = server
        self.symbols = symbols
        self.stats = Stats(feed=Feed.LIVE, books=len(symbols), synced=len(symbols))
        self.rows = np.zeros(len(symbols), book_dtype(DEPTH))
        self.rows["book"] = np.arange(len(symbols))
        self.rows["status"] = SYNCED
        self.random = random.Random(7)
        self.answer: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda _: None
        self.asked: list[dict[str, Any]] = []
        for book in range(len(symbols)):
            self.set_levels(book, ladder(MID, -1), ladder(MID + TICK, 1))

    def set_levels(self, book: int, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """Give a book these levels, best first."""
        row = self.rows[book]
        for side, levels in (("bids", bids), ("asks", asks)):
            padded = [*levels[:DEPTH], *[(UNDEF, 0, 0)] * (DEPTH - len(levels))]
            row[side] = np.array(padded, row[side].dtype)
        row["seq"] += 1
        row["events"] += 1
        row["ts_event"] = row["ts_recv"] = 1_758_700_000_000_000_000 + int(row["seq"])
        row["sequence"] += 1

    def move(self, book: int) -> None:
        """Change a book somehow: a walk of its mid, levels of random sizes, sides that thin out."""
        mid = MID + self.random.randrange(-20, 20) * TICK
        bids = ladder(mid, -1, self.random.randrange(DEPTH + 1), self.random)
        asks = ladder(mid + TICK, 1, self.random.randrange(1, DEPTH + 1), self.random)
        self.set_levels(book, bids, asks)

    def send(self, kind: Kind, payload: bytes) -> None:
        """Send whole, which for ingest itself would be waiting: tests may."""
        data = memoryview(message(kind, payload))
        while data:
            try:
                data = data[self.server.socket.send(data) :]
            except BlockingIOError:
                select.select([], [self.server.socket], [], 5)

    def say(self, kind: Kind, document: Any) -> None:
        """Send JSON."""
        self.send(kind, json.dumps(document).encode())

    def open(self) -> None:
        """What ingest says first, and its books."""
        self.say(Kind.HELLO, {"depth": DEPTH, "source": "a test", "version": "0"})
        names = [[book, 1, 1000 + book, name] for book, name in enumerate(self.symbols)]
        self.say(Kind.SYMBOLS, names)
        self.tell()
        self.tell_stats()

    def tell(self, books: Sequence[int] | None = None) -> None:
        """Tell books as they are; None: all."""
        self.send(Kind.BOOKS, (self.rows if books is None else self.rows[list(books)]).tobytes())

    def tell_stats(self, **changes: Any) -> None:
        """Tell the stats, with changes that stay."""
        self.stats = replace(self.stats, **changes)
        self.say(Kind.STATS, self.stats.as_json())

    def bye(self, reason: str = "the feed has ended") -> None:
        """The last word."""
        self.say(Kind.BYE, {"reason": reason})

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
        messages = Messages()
        while not stop.is_set():
            if not select.select([self.server.socket], [], [], 0.02)[0]:
                continue
            data = self.server.socket.recv(1 << 16)
            if not data:
                return
            for kind, payload in messages.feed(data):
                assert kind is Kind.ASK
                question = json.loads(payload)
                self.asked.append(question)
                answer = self.answer(question)
                if answer is not None:
                    self.say(Kind.ANSWER, {"id": question["id"], **answer})


def ladder(
    best: int, step: int, levels: int = DEPTH, source: random.Random | None = None
) -> list[Level]:
    """Levels from the best one on, a tick or more apart."""
    price, found = best, []
    for _ in range(levels):
        size = source.randrange(1, 50) if source else 5
        found.append((price, size, 1 + size // 10))
        price += step * TICK * (source.randrange(1, 3) if source else 1)
    return found


@contextmanager
def serving(
    config: ServerConfig | None = None, symbols: Sequence[str] = ("CLX5", "CLZ5")
) -> Iterator[FakeIngest]:
    """A server on a free port of 127.0.0.1 that has been told books; ended afterwards."""
    server = start_server(config or ServerConfig(http="127.0.0.1:0", log_json=True))
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
