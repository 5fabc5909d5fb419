"""What a costly request costs others: the p99 of small requests beside it, with many books.

The rule: each round measures small requests alone and beside the endpoint, one after the other, so
that a noisy machine meets both alike. A row of the report is one endpoint.
"""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from batonics.live.protocol import MessageKind
from batonics.settings.table import ServerLimits
from tests.bench.harness import figure, print_machine
from tests.support.server_ingest import FakeIngest, run_server, server_config

BOOKS = (5_000, 20_000)
ROUNDS = 5
REQUESTS = 400
COSTLY = (
    "/symbols",
    "/symbols?limit=10000",
    "/book?symbol=S00001&depth=10",
    "/book?symbol=S00001&depth=all",
    "/metrics",
    "/readyz",
    "/nothing",
)
NAMES = 200
"""New names that one round publishes."""


class Client:
    """A client that keeps its connection."""

    def __init__(self, ingest: FakeIngest) -> None:
        assert ingest.server.address is not None
        host, _, port = ingest.server.address.rpartition(":")
        self._host = ingest.server.address
        self._socket = socket.create_connection((host, int(port)), 30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path: str) -> int:
        """The status of one request, after its whole answer."""
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._socket.recv(1 << 16)
        head, _, body = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        missing = int(fields[b"content-length"]) - len(body)
        while missing > 0:
            missing -= len(self._socket.recv(1 << 20))
        return int(head.split()[1])

    def close(self) -> None:
        self._socket.close()


def p99_ms(client: Client) -> float:
    """The p99 of small requests, a millisecond apart."""
    waited = []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        assert client.get("/book?symbol=S00000&depth=1") == 200
        waited.append(time.perf_counter() - started)
        time.sleep(0.001)
    return statistics.quantiles(waited, n=100)[98] * 1e3


@contextmanager
def requesting(ingest: FakeIngest, path: str) -> Iterator[list[int]]:
    """Another client that asks for the path again and again; the statuses that it gets."""
    statuses: list[int] = []
    stop = threading.Event()
    client = Client(ingest)

    def work() -> None:
        while not stop.is_set():
            statuses.append(client.get(path))
            stop.wait(0.02)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join()
        client.close()


def new_name_us(ingest: FakeIngest, client: Client, round_number: int) -> float:
    """The time from a book's new name until requests find it, in microseconds a name."""
    started = time.perf_counter()
    for number in range(NAMES):
        name = [number, 1, 1_000 + number, f"R{round_number}-{number}"]
        ingest.send_json(MessageKind.SYMBOLS, [name])
    while client.get(f"/book?symbol=R{round_number}-{NAMES - 1}&depth=1") != 200:
        pass
    return (time.perf_counter() - started) / NAMES * 1e6


def main() -> None:
    """Print the figures."""
    print_machine()
    # One address makes all requests here; how many it may make is another test's.
    limits = ServerLimits(request_units_per_s=1e9)
    for books in BOOKS:
        symbols = [f"S{number:05}" for number in range(books)]
        with run_server(server_config(limits=limits), symbols) as ingest, ingest.answering():
            ingest.answer = lambda _: {"error": "there is no such book"}
            client = Client(ingest)
            while client.get("/readyz") != 200:
                time.sleep(0.01)
            for path in COSTLY:
                alone, beside, count = [], [], 0
                for _ in range(ROUNDS):
                    alone.append(p99_ms(client))
                    with requesting(ingest, path) as statuses:
                        beside.append(p99_ms(client))
                    count += len(statuses)
                ratio = statistics.median(b / a for a, b in zip(alone, beside, strict=True))
                note = f"p99 {statistics.median(alone):.2f} ms alone; {count} answers"
                figure(f"{books:,} books, beside {path}", f"{ratio:.2f}x", note=note)
            names = statistics.median(new_name_us(ingest, client, n) for n in range(ROUNDS))
            figure(f"{books:,} books, a new name", f"{names:.0f} us")
            client.close()


if __name__ == "__main__":
    main()
