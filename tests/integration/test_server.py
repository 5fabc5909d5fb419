"""The serving process as a whole: real requests, real sockets, and an ingest that is not there.

Whoever asks over HTTP or WebSocket here talks to `python -m batonics.server`, started by `launch`.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from batonics.live.protocol import FeedState
from batonics.model.errors import OutputError, UsageError
from batonics.server.config import ServerConfig
from batonics.server.launch import RESTORE_TERMINAL, start_server
from batonics.server.request_rate import RESERVE_S
from batonics.server.routes import ENDPOINTS
from batonics.server.websockets import BOOKS_PER_UNIT
from batonics.settings.table import ServerLimits
from tests.support.server_books import STALE, START_NS
from tests.support.server_clients import Listener
from tests.support.server_ingest import FakeIngest, free_port, run_server, server_config, wait_until

TOKEN = "0123456789abcdef0123456789abcdef"
HANDSHAKE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
)


def config(**limits: Any) -> ServerConfig:
    return server_config(limits=ServerLimits(**limits))


class Answer:
    """An HTTP answer."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1]) if first else 0
        self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def connect(ingest: FakeIngest) -> socket.socket:
    assert ingest.server.address is not None
    host, port = ingest.server.address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=10)


def raw(ingest: FakeIngest, request: str) -> Answer:
    """What comes back to these bytes; the server must close."""
    with connect(ingest) as connection:
        connection.sendall(request.encode())
        data = b""
        while piece := connection.recv(1 << 16):
            data += piece
    return Answer(data)


def get(ingest: FakeIngest, path: str, *headers: str, host: str | None = None) -> Answer:
    lines = "".join(f"{header}\r\n" for header in headers)
    host = ingest.server.address if host is None else host
    return raw(ingest, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n")


def metric(ingest: FakeIngest, sample: str) -> float:
    """A sample by its whole name; 0 where there is none yet."""
    for line in get(ingest, "/metrics").body.decode().splitlines():
        if line.startswith(f"{sample} "):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


@pytest.fixture(scope="module")
def ingest() -> Iterator[FakeIngest]:
    """A server for tests that change nothing about it."""
    with run_server() as ingest, ingest.answering():
        yield ingest


# Requests


def test_a_book_is_answered_from_what_was_told(ingest: FakeIngest) -> None:
    answer = get(ingest, "/book?symbol=CLX5&depth=2")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert [level["price"] for level in answer.json["bids"]] == ["65", "64.99"]
    assert answer.json["asks"][0] == {
        "price": "65.01", "price_1e9": 65_010_000_000, "size": 5, "count": 1,
    }  # fmt: skip
    assert get(ingest, "/book?publisher_id=1&instrument_id=1001").json["symbol"] == "CLZ5"
    assert get(ingest, "/book?symbol=CLX5&depth=2").body == answer.body
    assert [row["symbol"] for row in get(ingest, "/symbols").json] == ["CLX5", "CLZ5"]


@pytest.mark.parametrize(
    ("query", "depth", "orders"),
    [("&depth=11", 11, False), ("&depth=all", None, False), ("&orders=true", 10, True)],
)
def test_what_was_not_told_is_asked_for(
    ingest: FakeIngest, query: str, depth: int | None, orders: bool
) -> None:
    ingest.answer = lambda asked: {
        "book": asked["book"], "status": "synced", "seq": 9, "events": 8, "ts_event": None,
        "ts_recv": START_NS, "sequence": 7, "asks": [], "bids": [
            {"price_1e9": 1, "size": 2, "count": 1,
             **({"orders": [{"order_id": str(2**63), "size": 2}]} if asked["orders"] else {})}
        ],
    }  # fmt: skip
    answer = get(ingest, f"/book?symbol=CLZ5{query}")
    assert answer.status == 200
    asked = ingest.queries[-1]
    assert (asked["book"], asked["depth"], asked["orders"]) == (1, depth, orders)
    (level,) = answer.json["bids"]
    assert level["price"] == "0.000000001"
    assert level.get("orders") == ([{"order_id": str(2**63), "size": 2}] if orders else None)


@pytest.mark.alone
def test_an_answer_that_does_not_come_is_a_timeout(ingest: FakeIngest) -> None:
    ingest.answer = lambda _: None
    started = time.monotonic()
    answer = get(ingest, "/book?symbol=CLX5&depth=all")
    assert (answer.status, answer.json["title"]) == (504, "Timeout")
    assert 1.9 < time.monotonic() - started < 4
    ingest.answer = lambda _: {"error": "no such book"}
    assert get(ingest, "/book?symbol=CLX5&depth=all").json["detail"] == "no such book"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/book", 400),
        ("/book?symbol=none", 404),
        ("/book?symbol=CLX5&deep=3", 400),
        ("/book?symbol=CLX5&symbol=CLX5", 400),
        ("/book?symbol=CLX5&depth=0", 400),
        ("/symbols?x=1", 400),
        ("/?x=1", 400),
        ("/books", 404),
        ("/../etc/passwd", 404),
        ("/%00", 404),
        ("/ws/bbo", 426),
        ("/ws/snapshot?symbol=CLX5", 426),
        ("/ws/bbo?depth=3", 400),
        ("/book?symbol=CLX5&token=x", 400),
    ],
)
def test_what_is_wrong_is_a_problem(ingest: FakeIngest, path: str, status: int) -> None:
    answer = get(ingest, path)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert list(answer.json) == ["type", "title", "status", "detail"]


def test_the_root_lists_every_path(ingest: FakeIngest) -> None:
    document = get(ingest, "/").json
    assert document["endpoints"] == ENDPOINTS
    assert document["books"] == len(get(ingest, "/symbols").json)
    # Ingest may have been silent since the tests before.
    ingest.publish_stats()
    wait_until(lambda: get(ingest, "/").json["feed"] == "live", "the feed is live")
    assert "GET / lists them" in get(ingest, "/nothing").json["detail"]
    for path in ENDPOINTS:
        assert "no such path" not in get(ingest, path).body.decode()


def test_each_answer_has_the_headers_of_safety(ingest: FakeIngest) -> None:
    for path in ("/book?symbol=CLX5", "/metrics", "/nothing", "/healthz"):
        headers = get(ingest, path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


def test_only_get_and_head_are_answered(ingest: FakeIngest) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        request = f"{method} /book HTTP/1.1\r\nHost: {ingest.server.address}\r\n"
        answer = raw(ingest, f"{request}Connection: close\r\n\r\n")
        assert answer.status == 405, method
        assert answer.headers["allow"] == "GET,HEAD"
    request = (
        f"HEAD /healthz HTTP/1.1\r\nHost: {ingest.server.address}\r\nConnection: close\r\n\r\n"
    )
    assert raw(ingest, request).body == b""


# Guard, over real connections; the matrix is in the unit tests


@pytest.mark.parametrize("path", ["/book?symbol=CLX5", "/healthz", "/metrics", "/ws/bbo", "/x"])
@pytest.mark.parametrize(
    ("host", "headers", "status"),
    [
        ("evil.example", (), 403),
        ("", (), 403),
        ("127.0.0.1:1", (), 403),
        (None, ("Origin: http://evil.example",), 403),
        (None, ("Origin: null",), 403),
        (None, ("Host: evil.example",), 400),
        (None, ("Content-Encoding: deflate",), 415),
        (None, ("Content-Length: 3",), 413),
        (None, ("Transfer-Encoding: chunked",), 413),
    ],
)
def test_strangers_are_refused_everywhere(
    ingest: FakeIngest, path: str, host: str | None, headers: tuple[str, ...], status: int
) -> None:
    upgrade = tuple(HANDSHAKE.strip().split("\r\n")) if path.startswith("/ws") else ()
    assert get(ingest, path, *headers, *upgrade, host=host).status == status


@pytest.mark.parametrize(
    "request_",
    [
        "GET /healthz HTTP/1.0\r\n\r\n",
        "GET http://evil.example/healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: {}\r\nX: " + "a" * 9000 + "\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: {}\r\n" + "X: a\r\n" * 200 + "\r\n",
        "GET /" + "a" * 9000 + " HTTP/1.1\r\nHost: {}\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: {}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01",
        "rubbish\r\n\r\n",
    ],
    ids=["no host", "absolute", "long header", "many headers", "long path", "two lengths", "TLS",
         "rubbish"],
)  # fmt: skip
def test_what_is_no_decent_request_is_refused(ingest: FakeIngest, request_: str) -> None:
    answer = raw(ingest, request_.replace("{}", str(ingest.server.address)))
    assert answer.status in (400, 431), answer.body
    assert get(ingest, "/healthz").status == 200


def test_our_own_page_and_listed_ones_may_ask() -> None:
    allowed = server_config(
        allowed_hosts=("books.example",), allowed_origins=("https://page.example",)
    )
    with run_server(allowed) as ingest:
        own = f"http://{ingest.server.address}"
        assert get(ingest, "/healthz", f"Origin: {own}").status == 200
        assert get(ingest, "/healthz", host="books.example").status == 200
        answer = get(ingest, "/healthz", "Origin: https://page.example")
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == "https://page.example"
        assert "access-control-allow-origin" not in get(ingest, "/healthz").headers


def test_a_listed_page_may_ask_with_a_token_and_no_other_learns_more_than_no() -> None:
    listed = server_config(token=TOKEN, allowed_origins=("https://page.example",))

    def preflight(ingest: FakeIngest, origin: str) -> Answer:
        return raw(
            ingest,
            f"OPTIONS /book HTTP/1.1\r\nHost: {ingest.server.address}\r\nOrigin: {origin}\r\n"
            "Access-Control-Request-Method: GET\r\nConnection: close\r\n\r\n",
        )

    with run_server(listed) as ingest:
        answer = preflight(ingest, "https://page.example")
        assert (answer.status, answer.body) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == "https://page.example"
        assert answer.headers["access-control-allow-headers"] == "Authorization, Content-Type"
        answer = preflight(ingest, "https://evil.example")
        assert answer.status == 403
        assert "access-control-allow-origin" not in answer.headers
        headers = ("Origin: https://page.example", f"Authorization: Bearer {TOKEN}")
        assert get(ingest, "/book?symbol=CLX5", *headers).status == 200
        assert get(ingest, "/book?symbol=CLX5", headers[0]).status == 401


def test_a_token_is_asked_for_everywhere_and_never_shown(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with run_server(server_config(http="0.0.0.0:0", token=TOKEN)) as ingest:
        port = str(ingest.server.address).rsplit(":", 1)[1]
        ingest.server.address = f"127.0.0.1:{port}"
        for path in ("/book?symbol=CLX5", "/symbols", "/healthz", "/readyz", "/metrics", "/x"):
            answer = get(ingest, path)
            assert answer.status == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert get(ingest, path, "Authorization: Bearer x").status == 401
            assert get(ingest, path, f"Authorization: Bearer {TOKEN}").status in (200, 404)
        assert get(ingest, f"/healthz?token={TOKEN}").status == 400

        async def browser(*protocols: str) -> str | None:
            async with aiohttp.ClientSession() as session:
                url = f"http://{ingest.server.address}/ws/bbo?symbol=CLX5"
                async with session.ws_connect(url, protocols=protocols) as ws:
                    await ws.receive_json()
                    return ws.protocol

        assert asyncio.run(browser("batonics", f"bearer.{TOKEN}")) == "batonics"
        for protocols in ((), ("batonics",), ("batonics", f"bearer.{TOKEN}x")):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
                asyncio.run(browser(*protocols))
        command = Path(f"/proc/{ingest.server.pid}/cmdline").read_bytes()
        assert TOKEN.encode() not in command
    written = capfd.readouterr()
    assert "request_refused" in written.err
    assert TOKEN not in written.out + written.err


# Health


def test_a_silent_ingest_is_no_health_and_its_books_are_stale() -> None:
    with run_server(config(silence_timeout_s=2.0)) as ingest:
        assert get(ingest, "/healthz").json == {"status": "ok", "feed": "live"}
        wait_until(lambda: get(ingest, "/healthz").status == 503, "silence is noticed")
        assert get(ingest, "/book?symbol=CLX5").json["status"] == "stale"
        assert get(ingest, "/readyz").json["reasons"] == ["ingest is silent"]
        ingest.publish_stats()
        wait_until(lambda: get(ingest, "/healthz").status == 200, "and its end, too")
        assert get(ingest, "/book?symbol=CLX5").json["status"] == "synced"


def test_ready_means_live_with_books_and_none_of_them_stale() -> None:
    def ready(ingest: FakeIngest) -> Any:
        answer = get(ingest, "/readyz")
        assert answer.status == (503 if answer.json["reasons"] else 200)
        return answer.json["reasons"]

    with run_server() as ingest:
        wait_until(lambda: ready(ingest) == [], "ready")
        ingest.publish_stats(feed=FeedState.LOST)
        wait_until(lambda: ready(ingest) == ["the feed is lost"], "not live")
        ingest.rows["status"][1] = STALE
        ingest.publish()
        ingest.publish_stats(feed=FeedState.LIVE)
        wait_until(lambda: ready(ingest) == ["1 stale: CLZ5 (1)"], "a stale book")
        ingest.rows["status"] = 0
        ingest.publish()
        wait_until(lambda: ready(ingest) == [], "cold books are named, and no reason")
        assert get(ingest, "/readyz").json["cold"] == ["CLX5 (1)", "CLZ5 (1)"]
    with run_server(symbols=()) as ingest:
        wait_until(lambda: ready(ingest) == ["no book yet"], "no book")


# WebSockets

Talk = Callable[[FakeIngest, aiohttp.ClientSession, str], Awaitable[None]]


def talk(talk: Talk, ingest: FakeIngest) -> None:
    async def main() -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with asyncio.timeout(30), aiohttp.ClientSession(connector=connector) as session:
            await talk(ingest, session, f"http://{ingest.server.address}")

    asyncio.run(main())


async def take_until(
    ws: aiohttp.ClientWebSocketResponse, listener: Listener, true: Callable[[], bool]
) -> None:
    while not true():
        listener.take((await ws.receive()).data)


def test_a_client_rebuilds_the_book() -> None:
    async def follow(ingest: FakeIngest, session: aiohttp.ClientSession, base: str) -> None:
        listener, best = Listener(depth=4), Listener()
        async with (
            session.ws_connect(f"{base}/ws/snapshot?symbol=CLX5,CLZ5&depth=4") as ws,
            session.ws_connect(f"{base}/ws/bbo?symbol=CLX5") as bbo,
        ):
            for _ in range(300):
                ingest.move(0)
                ingest.publish([0])
                await asyncio.sleep(0.001)
            ingest.publish_stats(feed=FeedState.RECOVERING)
            for one, told, channel in ((ws, listener, "snapshot"), (bbo, best, "bbo")):
                await take_until(
                    one, told, lambda told=told, channel=channel: (  # type: ignore[misc]
                        (channel, "CLX5") in told.books
                        and told.books[channel, "CLX5"].feed == "recovering"
                    )
                )  # fmt: skip
                # A heartbeat comes behind all that has changed.
                told.heartbeats = 0
                await take_until(one, told, lambda told=told: told.heartbeats > 0)  # type: ignore[misc]
            book = listener.books["snapshot", "CLX5"]
            bids, asks = ingest.history[0, 301]
            assert book.levels() == (bids[:4], asks[:4])
            assert best.books["bbo", "CLX5"].levels() == (bids[:1], asks[:1])
            assert book.status == "stale"
            assert book.updates > 50
            await ws.send_str('{"op":"resync","symbols":["CLX5"]}')
            await take_until(ws, listener, lambda: book.snapshots == 2)

    with run_server() as ingest:
        talk(follow, ingest)


def test_what_a_client_sends_is_bounded(ingest: FakeIngest) -> None:
    async def abuse(_: FakeIngest, session: aiohttp.ClientSession, base: str) -> None:
        async with session.ws_connect(f"{base}/ws/bbo") as ws:
            await ws.send_str("x" * 65000)
            assert (await ws.receive_json())["detail"] == "not JSON"
            await ws.send_bytes(b"{}")
            assert (await ws.receive_json())["detail"] == "a message is text"
            await ws.send_str("x" * 70000)
            while (message := await ws.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
            assert ws.close_code == 1009, message
        async with session.ws_connect(f"{base}/ws/bbo", compress=15) as ws:
            assert not ws.compress
        for symbol, status in (("none", 404), (",".join(["CLX5"] * 600), 400)):
            with pytest.raises(aiohttp.WSServerHandshakeError, match=str(status)):
                await session.ws_connect(f"{base}/ws/bbo?symbol={symbol}")

    talk(abuse, ingest)


def test_messages_without_end_of_a_client_wait_for_the_units_of_its_address() -> None:
    symbols, resyncs, units_per_s = [f"S{number}" for number in range(100)], 30, 200.0

    async def flood(_: FakeIngest, session: aiohttp.ClientSession, base: str) -> None:
        async with session.ws_connect(f"{base}/ws/bbo") as ws:
            await ws.send_str(json.dumps({"op": "subscribe", "symbols": symbols}))
            start = time.monotonic()
            for number in range(resyncs):
                await ws.send_str(json.dumps({"op": "resync", "id": number}))
            answered: list[int] = []
            while len(answered) < resyncs:
                message = await ws.receive_json()
                if message["type"] == "resyncing":
                    answered.append(message["id"])
            # All are answered, but not before the address has had their units.
            units = (resyncs - 1) * (1 + len(symbols) / BOOKS_PER_UNIT)
            assert time.monotonic() - start >= units / units_per_s - RESERVE_S
            assert answered == list(range(resyncs))

    assert resyncs * len(symbols) / BOOKS_PER_UNIT > RESERVE_S * units_per_s
    limits = ServerLimits(request_units_per_s=units_per_s)
    with run_server(server_config(limits=limits), symbols) as ingest:
        talk(flood, ingest)


def test_there_are_so_many_clients_and_connections() -> None:
    async def crowd(_: FakeIngest, session: aiohttp.ClientSession, base: str) -> None:
        sockets = [await session.ws_connect(f"{base}/ws/bbo") for _ in range(3)]
        with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
            await session.ws_connect(f"{base}/ws/bbo")
        await sockets[0].close()
        sockets[0] = await session.ws_connect(f"{base}/ws/bbo")
        for ws in sockets:
            await ws.close()

    with run_server(config(clients_per_address_max=3, connections_max=8)) as ingest:
        talk(crowd, ingest)
        idle = [connect(ingest) for _ in range(8)]
        try:
            with connect(ingest) as one_too_many:
                assert Answer(one_too_many.recv(1 << 16)).status == 503
        finally:
            for connection in idle:
                connection.close()
        wait_until(lambda: get(ingest, "/healthz").status == 200, "there is room again")
        assert metric(ingest, 'batonics_http_refused_total{reason="connections"}') >= 1
        assert metric(ingest, 'batonics_http_refused_total{reason="full_address"}') == 1


@pytest.mark.alone
def test_slow_requests_end_and_cost_nobody_else() -> None:
    count, requests = 1_000, 100

    def answered_in(ingest: FakeIngest) -> float:
        """The time that the slowest but one of many healthy requests takes, in seconds."""
        waited = []
        for _ in range(requests):
            started = time.monotonic()
            assert get(ingest, "/healthz").status == 200
            waited.append(time.monotonic() - started)
        return sorted(waited)[-2]

    limits = config(header_timeout_s=5.0, connections_per_address_max=2 * count)
    with run_server(limits) as ingest:
        alone = answered_in(ingest)
        slow = [connect(ingest) for _ in range(count)]
        try:
            for at, connection in enumerate(slow):
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: "[: at % 30])
            beside = answered_in(ingest)
            print(f"p99 {alone * 1e3:.1f} ms, beside {count} slow sockets {beside * 1e3:.1f} ms")
            assert beside < 0.5
            assert all(connection.recv(1) == b"" for connection in slow)
        finally:
            for connection in slow:
                connection.close()


def stalled_client(ingest: FakeIngest, path: str) -> socket.socket:
    """A WebSocket client that has said hello and never reads."""
    assert ingest.server.address is not None
    host, port = ingest.server.address.rsplit(":", 1)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(10)
    connection.connect((host, int(port)))
    request = f"GET {path} HTTP/1.1\r\nHost: {ingest.server.address}\r\n{HANDSHAKE}\r\n"
    connection.sendall(request.encode())
    return connection


def test_who_stalls_is_told_why_it_was_cut() -> None:
    with run_server(
        config(stall_timeout_s=1.0, close_timeout_s=5, send_buffer_bytes=4096)
    ) as ingest:
        cut = 'batonics_ws_cuts_total{reason="stalled"}'
        with stalled_client(ingest, "/ws/snapshot?symbol=CLX5") as connection:
            wait_until(lambda: metric(ingest, 'batonics_ws_clients{channel="snapshot"}') == 1, "in")

            def move() -> bool:
                for _ in range(20):
                    ingest.move(0)
                    ingest.publish([0])
                    time.sleep(0.002)
                return metric(ingest, cut) == 1

            wait_until(move, "the client is cut")
            data = b""
            while piece := connection.recv(1 << 16):
                data += piece
                if data.endswith(b"took nothing for 1 s"):
                    break
            why = b"\x03\xf5took nothing for 1 s"  # 1013
            assert data.endswith(b"\x88" + bytes([len(why)]) + why)
        assert metric(ingest, 'batonics_ws_conflated_total{channel="snapshot"}') > 10


class Crowd:
    """Clients that follow one book, each with its own listener; and how late each message was."""

    def __init__(self, ingest: FakeIngest, sockets: list[aiohttp.ClientWebSocketResponse]) -> None:
        self._ingest, self._sockets = ingest, sockets
        self.listeners = [Listener() for _ in sockets]

    async def follow(self, updates: int) -> float:
        """Everybody takes so many updates; the 99th percentile of delays, in ms."""
        told_at: dict[int, float] = {}
        last = int(self._ingest.rows[0]["seq"]) + updates
        reading = [asyncio.create_task(self._read(ws, last)) for ws in self._sockets]
        for _ in range(updates):
            await asyncio.sleep(0.03)
            self._ingest.move(0)
            told_at[int(self._ingest.rows[0]["seq"])] = time.monotonic()
            self._ingest.publish([0])
        delays = []
        for listener, came in zip(self.listeners, await asyncio.gather(*reading), strict=True):
            for at, seq, data in came:
                listener.take(data)
                delays += [at - told_at[seq]] if seq in told_at else []
        return sorted(delays)[int(len(delays) * 0.99)] * 1e3

    @staticmethod
    async def _read(ws: aiohttp.ClientWebSocketResponse, last: int) -> list[tuple[float, int, str]]:
        """Messages, each with when it came and its seq; looked at later, for the clock's sake."""
        came, seq = [], 0
        while seq < last:
            data = (await ws.receive()).data
            at = time.monotonic()
            if data.startswith('{"channel"'):
                seq = int(data.partition('"seq":')[2].partition(",")[0])
            came.append((at, seq, data))
        return came


@pytest.mark.alone
def test_twenty_of_two_hundred_clients_stall_and_hurt_nobody() -> None:
    path = "/ws/snapshot?symbol=CLX5"
    stalled: list[socket.socket] = []
    counted = 'batonics_ws_clients{channel="snapshot"}'
    cut = 'batonics_ws_cuts_total{reason="stalled"}'

    async def follow(ingest: FakeIngest, session: aiohttp.ClientSession, base: str) -> None:
        sockets = [await session.ws_connect(base + path, max_msg_size=0) for _ in range(180)]
        crowd = Crowd(ingest, sockets)
        await crowd.follow(10)
        calm = await crowd.follow(60)
        stalled.extend(stalled_client(ingest, path) for _ in range(20))
        crowded = await crowd.follow(60)
        print(f"p99 of 180 clients: {calm:.1f} ms, {crowded:.1f} ms with 20 stalled")
        assert crowded < 100
        while metric(ingest, cut) < 20:
            await crowd.follow(10)
        assert metric(ingest, counted) == 180
        for listener in crowd.listeners:
            book = listener.books["snapshot", "CLX5"]
            assert book.seq == ingest.rows[0]["seq"]
            assert book.levels() == ingest.history[0, int(ingest.rows[0]["seq"])]
            assert book.snapshots == 1

    try:
        # The crowd answers no ping while it looks at its messages, for a second on a slow machine.
        with run_server(config(stall_timeout_s=4.0, send_buffer_bytes=4096)) as ingest:
            talk(follow, ingest)
    finally:
        for connection in stalled:
            connection.close()


# The end


async def _closing(ws: aiohttp.ClientWebSocketResponse) -> tuple[list[Any], int | None]:
    found = [json.loads(message.data) async for message in ws]
    return found, ws.close_code


@pytest.mark.parametrize(
    ("how", "reason", "code"),
    [
        ("bye", "the feed has ended", 1001),
        ("eof", "ingest has ended without a word", 1011),
        ("term", "the server was asked to end", 1001),
    ],
)
def test_clients_are_told_why_it_ends(how: str, reason: str, code: int) -> None:
    async def listen(ingest: FakeIngest, session: aiohttp.ClientSession, base: str) -> None:
        async with session.ws_connect(f"{base}/ws/bbo?symbol=CLX5") as ws:
            await ws.receive_json()
            os.kill(ingest.server.pid, signal.SIGINT)  # which is ingest's to act on
            await ws.receive_json()
            if how == "bye":
                ingest.bye()
            elif how == "eof":
                ingest.server.socket.close()
            else:
                ingest.server.terminate()
            found, closed_with = await _closing(ws)
            assert found[-1] == {"type": "bye", "reason": reason}
            assert closed_with == code

    with run_server() as ingest:
        talk(listen, ingest)
        assert ingest.server.wait(5) == 0


@pytest.mark.alone
def test_an_end_waits_for_no_client() -> None:
    with (
        run_server(config(close_timeout_s=0.5, send_buffer_bytes=4096)) as ingest,
        stalled_client(ingest, "/ws/snapshot?symbol=CLX5"),
    ):
        wait_until(lambda: metric(ingest, 'batonics_ws_clients{channel="snapshot"}') == 1, "in")
        for _ in range(300):
            ingest.move(0)
            ingest.publish([0])
        started = time.monotonic()
        ingest.bye()
        assert ingest.server.wait(10) == 0
        assert time.monotonic() - started < 4


# The start


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(OutputError) as caught:
            start_server(server_config(http=address))
    assert str(caught.value) == f"cannot listen on {address}: address already in use"


def test_an_address_that_is_not_ours_is_one_line() -> None:
    with pytest.raises(OutputError) as caught:
        start_server(server_config(http="192.0.2.1:8080", token=TOKEN))
    expected = "cannot listen on 192.0.2.1:8080: cannot assign requested address"
    assert str(caught.value) == expected


def test_what_is_not_safe_does_not_start() -> None:
    with pytest.raises(UsageError, match="needs a token of 128 bits"):
        start_server(server_config(http="0.0.0.0:0"))
    with pytest.raises(UsageError, match="128 random bits"):
        start_server(server_config(token="secret"))
    config = {"settings": {"http": "0.0.0.0:0"}, "fd": 0, "ready_fd": 1}
    child = subprocess.run(
        [sys.executable, "-m", "batonics.server"],
        input=json.dumps({"config": config, "token": None}).encode(),
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert child.returncode == 2
    assert b"needs a token" in child.stdout


def test_starting_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, batonics.server.launch as _; "
        "print(sorted({'aiohttp', 'numpy', 'rich', 'structlog', 'polars'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_http_there_is_nothing_to_connect_to() -> None:
    with run_server(ServerConfig()) as ingest:
        assert ingest.server.address is None
        assert ingest.server.poll() is None
        ingest.bye()
        assert ingest.server.wait(5) == 0


# The terminal

VIEW = """
import sys, time
from batonics.server.config import ServerConfig
from tests.support.server_ingest import run_server
with run_server(ServerConfig(view=True)) as ingest:
    time.sleep(1.0)
    {ending}
    ingest.server.close()
"""


@pytest.mark.parametrize(
    "ending", ["ingest.bye()", "ingest.server.terminate()", "ingest.server._process.kill()"]
)
def test_the_terminal_is_as_it_was(ending: str) -> None:
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", VIEW.format(ending=ending)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "PYTHONPATH": ".", "TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    while child.poll() is None or select.select([ours], [], [], 0.1)[0]:
        try:
            shown += os.read(ours, 1 << 16) if select.select([ours], [], [], 0.1)[0] else b""
        except OSError:  # the other end has gone
            break
    os.close(ours)
    assert child.wait(10) == 0, shown.decode()
    assert b"CLX5" in shown
    last = max(shown.rfind(b"\x1b[?1049h"), shown.rfind(b"\x1b[?25l"))
    assert shown.find(b"\x1b[?1049l", last) > last >= 0
    assert shown.find(b"\x1b[?25h", last) > last
    assert RESTORE_TERMINAL.encode()


# Prometheus


def program(name: str) -> str:
    """Where a program is; a skip, which is a failure where everything has to run."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not there")
    return found


def test_the_metrics_are_clean(ingest: FakeIngest) -> None:
    ingest.publish_stats(
        lag_ns=5,
        other_records={"symbol_mapping": 1},
        anomalies={"bad_side": 2},
        latency_us=[1] * 15,
    )
    get(ingest, "/x", host="evil.example")

    async def listen(_: FakeIngest, session: aiohttp.ClientSession, base: str) -> None:
        async with session.ws_connect(f"{base}/ws/bbo?symbol=CLX5") as ws:
            await ws.receive_json()

    talk(listen, ingest)
    answer = get(ingest, "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    checked = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=answer.body,
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


@contextmanager
def prometheus(directory: Path, target: str) -> Iterator[str]:
    """A Prometheus that scrapes a server with the token; where it answers."""
    settings = directory / "prometheus.yml"
    job = {
        "job_name": "batonics",
        "scrape_interval": "500ms",
        "scrape_timeout": "500ms",
        "authorization": {"credentials": TOKEN},
        "static_configs": [{"targets": [target]}],
    }
    settings.write_text(json.dumps({"scrape_configs": [job]}))  # JSON is YAML
    port = free_port()
    process = subprocess.Popen(
        [
            program("prometheus"),
            f"--config.file={settings}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_a_real_prometheus_scrapes_what_was_told(tmp_path: Path) -> None:
    async def value(url: str, query: str) -> float | None:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"{url}/api/v1/query", params={"query": query}) as answer:
                    found = (await answer.json())["data"]["result"]
            except (aiohttp.ClientError, KeyError):
                return None
            return float(found[0]["value"][1]) if found else None

    with run_server(server_config(token=TOKEN)) as ingest:
        ingest.publish_stats(records=1_234_567, latency_us=[3] * 15)
        with prometheus(tmp_path, str(ingest.server.address)) as url:

            def is_told(query: str, expected: float) -> Callable[[], bool]:
                return lambda: asyncio.run(value(url, query)) == expected

            wait_until(is_told("batonics_records_total", 1_234_567), "records", timeout=20)
            wait_until(is_told('batonics_feed_state{state="live"}', 1), "feed")
            wait_until(is_told("batonics_received_to_published_seconds_count", 45), "latency")
            wait_until(is_told('up{job="batonics"}', 1), "up")
