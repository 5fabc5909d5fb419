"""/v1 of `batonics stream`: processes of their own, real sockets, the client of batonics.

The books are those of `reconstruct` over the same records, and every answer is validated against
the OpenAPI document that the server gives.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any

import jsonschema
import numpy as np
import orjson
import pytest
from backports import zstd
from openapi_spec_validator import validate

from batonics.client import AsyncClient, OrderBook, TradesFeed
from batonics.jobs.reconstruct import Reconstruction, ReconstructRequest
from batonics.model.mbo import ACTION_TRADE, F_LAST, MBO_DTYPE
from batonics.sinks.book_json import book_documents
from tests.support.client_books import levels_of, orders_of
from tests.support.command import SAMPLE
from tests.support.live_feed import LiveFeed, ServedConnection
from tests.support.serve import Server, running

DEADLINE_S = 120
LIVE = ("live", "stalled")
"""The states of a feed that is connected; one that waits for its test may be silent for long."""
SYMBOLS = ("SIM0", "SIM1", "SIM2", "SIM3", "SIM4")
INSTRUMENTS = (100003, 100040)
"""Those of SIM0 and SIM1."""
CHANGES = {"BATONICS_SERVER_LIMITS_REQUEST_UNITS_PER_S": "1000000"}


@pytest.fixture(scope="module")
def sample() -> bytes:
    """The sample as plain DBN."""
    return zstd.decompress(SAMPLE.read_bytes())


@pytest.fixture(scope="module")
def record_count(sample: bytes) -> int:
    """The number of MBO records of the sample, which stand at its end."""
    return (len(sample) - head_bytes(sample)) // MBO_DTYPE.itemsize


def head_bytes(data: bytes) -> int:
    """The bytes of the metadata."""
    return 8 + int.from_bytes(data[4:8], "little")


@contextmanager
def streaming(feed: LiveFeed, **changes: str) -> Iterator[Server]:
    """`batonics stream` of a feed, with its server."""
    command = ("stream", "--connect", feed.address, "--http", "127.0.0.1:0")
    with running(*command, **{**CHANGES, **changes}) as server:
        yield server
        server.process.terminate()
        server.process.wait(DEADLINE_S)


def wait_until(done: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def has_records(server: Server, count: int) -> bool:
    """Whether the server has followed the log so far."""
    reply = server.get("/v1/symbols")
    return reply.status == 200 and reply.document["record_count"] >= count


def reconstructed(path: Path) -> list[dict[str, Any]]:
    """The books of a file with their queues."""
    run = Reconstruction(ReconstructRequest((str(path),)))
    run.run()
    books = book_documents(run.engine, run.symbols, orders=True, as_of=run.as_of)
    found: list[dict[str, Any]] = json.loads(orjson.dumps(list(books)))
    return found


def check_books(server: Server, expected: Sequence[dict[str, Any]]) -> None:
    """Every book with its queues, and without."""
    for book in expected:
        path = f"/v1/books/{book['symbol']}"
        document = server.get(f"{path}?level=l3").document
        assert document["feed"] in LIVE
        assert {name: document[name] for name in book} == book
        levels = server.get(f"{path}?depth=3").document
        for side in ("bids", "asks"):
            assert levels[side] == [
                {name: value for name, value in level.items() if name != "orders"}
                for level in book[side][:3]
            ]


@pytest.fixture(scope="module")
def hold() -> Event:
    """Set when the feed of `live` may end."""
    return Event()


@pytest.fixture(scope="module")
def live(sample: bytes, record_count: int, hold: Event) -> Iterator[Server]:
    """A server that has followed the whole sample, whose feed goes on."""
    with LiveFeed([ServedConnection(sample, pause=hold)]) as feed, streaming(feed) as server:
        wait_until(lambda: has_records(server, record_count), "all records")
        yield server
        hold.set()


def test_books_are_those_of_reconstruct(live: Server) -> None:
    check_books(live, reconstructed(SAMPLE))


def test_the_answers_are_those_of_the_contract(live: Server) -> None:
    contract = live.get("/openapi.json").document
    validate(contract)
    order = live.get("/v1/books/SIM0?level=l3").document["bids"][0]["orders"][0]["order_id"]
    for route, path in (
        ("/v1/symbols", "/v1/symbols?prefix=SIM"),
        ("/v1/books/{symbol}", "/v1/books/SIM0?level=l3&depth=2"),
        ("/v1/orders/{order_id}", f"/v1/orders/{order}"),
        ("/v1/trades", "/v1/trades?symbol=SIM0&order=newest&limit=5"),
        ("/v1/next", "/v1/next?symbol=SIM0&kind=trade&from=record:1000"),
        ("/v1/previous", "/v1/previous?symbol=SIM0&kind=event"),
    ):
        reply = live.get(path)
        assert reply.status == 200, path
        content = contract["paths"][route]["get"]["responses"]["200"]["content"]
        schema = {**content["application/json"]["schema"], "components": contract["components"]}
        jsonschema.Draft202012Validator(schema).validate(reply.document)
    assert live.get("/").document["endpoints"].keys() >= contract["paths"].keys()


def test_a_moment_of_the_feed_is_that_of_the_file(
    live: Server, tmp_path: Path, sample: bytes
) -> None:
    """`at=record:N` is what reconstruct makes of the records up to N."""
    for number in (20_000, 77_777):
        path = tmp_path / "part.dbn"
        path.write_bytes(sample[: head_bytes(sample) + (number + 1) * MBO_DTYPE.itemsize])
        for book in reconstructed(path):
            document = live.get(f"/v1/books/{book['symbol']}?level=l3&at=record:{number}").document
            if not book["event_open"]:
                assert (document["bids"], document["asks"]) == (book["bids"], book["asks"])
                assert document["events"] == book["events"]
    assert live.get("/v1/books/SIM0?at=2001-01-01").status == 410
    assert live.get("/v1/books/SIM0?at=record:100000000").status == 404
    assert live.get("/v1/next?symbol=SIM0&kind=sweep").status == 422


def test_trades_are_those_of_the_records(live: Server, sample: bytes) -> None:
    records = np.frombuffer(sample, MBO_DTYPE, offset=head_bytes(sample))
    wanted = (records["action"] == ACTION_TRADE) & (records["instrument_id"] == 100003)
    expected = np.flatnonzero(wanted).tolist()
    found, path = [], "/v1/trades?symbol=SIM0&limit=1000"
    while path:
        page = live.get(path).document
        found += [row["record"] for row in page["records"]]
        path = f"/v1/trades?symbol=SIM0&limit=1000&cursor={page['next']}" if page["next"] else ""
    assert found == expected


def test_an_order_has_its_life_and_its_place(live: Server) -> None:
    level = live.get("/v1/books/SIM1?level=l3").document["asks"][0]
    first, *_ = level["orders"]
    (order,) = live.get(f"/v1/orders/{first['order_id']}").document["orders"]
    assert (order["is_live"], order["side"], order["price"]) == (True, "A", level["price"])
    assert order["ahead"] == {"orders": 0, "size": 0}
    assert order["records"][0]["action"] == "A"


def test_channels_follow_the_feed(sample: bytes) -> None:
    """The client verifies each checksum; at the end its books are those of the API."""
    head = head_bytes(sample)
    start = head + 95_000 * MBO_DTYPE.itemsize
    going, hold = Event(), Event()
    connections = [
        ServedConnection(sample[:start], pause=going),
        # It repeats what is known.
        ServedConnection(sample, pause=hold, chunk=20_000),
    ]

    counts: Counter[str] = Counter()
    records = np.frombuffer(sample, MBO_DTYPE, offset=head)
    is_end = records["flags"] & F_LAST != 0
    # The numbers of the last events of SIM0 and SIM1.
    ends = {
        int(np.flatnonzero(is_end & (records["instrument_id"] == instrument_id))[-1])
        for instrument_id in INSTRUMENTS
    }

    def count(message: dict[str, Any]) -> None:
        counts[f"{message.get('channel')} {message['type']}"] += 1

    async def follow(server: Server) -> None:
        async with AsyncClient(f"http://{server.address}") as client:
            for channel, depth in (("bbo", None), ("l2", 10), ("l3", None), ("trades", None)):
                await client.subscribe(channel, ["SIM0", "SIM1"], depth=depth, conflate_ms=10)
            going.set()
            async with asyncio.timeout(DEADLINE_S):
                async for message in client:
                    count(message)
                    orders = [one for one in client.books.values() if isinstance(one, OrderBook)]
                    if {one.seq for one in orders} == ends:
                        break
            with suppress(TimeoutError):  # bbo and l2 have a pace
                async with asyncio.timeout(1.5):
                    async for message in client:
                        count(message)
            assert client.resyncs == 0
            for (channel, *_), book in client.books.items():
                if isinstance(book, TradesFeed):
                    continue
                if isinstance(book, OrderBook):
                    query, sides = "level=l3", orders_of(book)
                else:
                    query, sides = f"depth={book.depth}", levels_of(book)
                document = server.get(f"/v1/books/{book.symbol}?{query}").document
                assert sides == {side: document[side] for side in ("bids", "asks")}, channel
                assert book.status == "synced"

    try:
        with LiveFeed(connections) as feed, streaming(feed) as server:
            wait_until(lambda: has_records(server, 95_000), "the first records")
            asyncio.run(follow(server))
            is_trade = records["action"] == ACTION_TRADE
            is_trade &= np.isin(records["instrument_id"], INSTRUMENTS)
            assert counts["trades update"] == is_trade[95_000:].sum()
            assert counts["l3 update"] > 1_000
            assert counts["bbo update"] > 2
            hold.set()
    finally:
        hold.set()
        going.set()


def test_a_gap_is_in_each_answer(sample: bytes) -> None:
    """A connection that begins behind the position: books are stale, and the gap is a record."""
    head = head_bytes(sample)
    first = sample[: head + 40_000 * MBO_DTYPE.itemsize]
    second = sample[:head] + sample[head + 50_000 * MBO_DTYPE.itemsize :]
    lost, hold = Event(), Event()
    connections = [ServedConnection(first, pause=lost), ServedConnection(second, pause=hold)]
    try:
        with LiveFeed(connections) as feed, streaming(feed) as server:
            wait_until(lambda: has_records(server, 40_000), "the first records")
            assert server.get("/v1/books/SIM0").document["status"] == "synced"
            lost.set()
            wait_until(lambda: has_records(server, 90_000), "the records behind the gap")
            wait_until(
                lambda: server.get("/v1/books/SIM0").document["feed"] in LIVE, "the live feed"
            )
            for symbol in SYMBOLS:
                document = server.get(f"/v1/books/{symbol}?depth=1").document
                # SIM4 has a snapshot behind the gap (rule 14).
                expected = "synced" if symbol == "SIM4" else "stale"
                assert (document["status"], document["feed"] in LIVE) == (expected, True)
                assert ("stale" in document["warnings"]) == (expected == "stale")
            gap = server.get("/v1/next?symbol=SIM0&kind=gap&from=record:100").document
            assert gap["record"] >= 40_000
            before = f"/v1/books/SIM0?at=record:{gap['record'] - 1}"
            assert server.get(before).document["status"] == "synced"
            hold.set()
            wait_until(
                lambda: server.get("/v1/books/SIM0").document["feed"] not in LIVE, "the lost feed"
            )
    finally:
        lost.set()
        hold.set()


def test_ingest_never_waits_for_a_server_that_has_stopped(sample: bytes, record_count: int) -> None:
    """SIGSTOP until the log has gone round several times: the server joins again."""
    head = head_bytes(sample)
    start = head + 1_000 * MBO_DTYPE.itemsize
    going, hold = Event(), Event()
    connections = [
        ServedConnection(sample[:start], pause=going),
        ServedConnection(sample, pause=hold),
    ]
    changes = {"BATONICS_LIVE_LOG_BYTES": str(1 << 21)}
    try:
        with LiveFeed(connections) as feed, streaming(feed, **changes) as server:
            wait_until(lambda: has_records(server, 1_000), "the first records")
            (child,) = _children(server.process.pid)
            os.kill(child, signal.SIGSTOP)
            going.set()
            # The feed is read to its end while nobody reads the log.
            wait_until(lambda: feed.served == len(connections), "ingest waits for the server")
            time.sleep(0.5)
            os.kill(child, signal.SIGCONT)
            wait_until(lambda: has_records(server, record_count), "the server does not join again")
            wait_until(
                lambda: server.get("/v1/books/SIM0").document.get("feed") in LIVE, "a live feed"
            )
            check_books(server, reconstructed(SAMPLE))
            assert server.get("/v1/books/SIM0?at=record:500").status == 410
            hold.set()
    finally:
        going.set()
        hold.set()


def _children(process_id: int) -> list[int]:
    text = Path(f"/proc/{process_id}/task/{process_id}/children").read_text()
    return [int(word) for word in text.split()]
