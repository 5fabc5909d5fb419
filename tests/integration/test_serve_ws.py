"""/v1/ws of `batonics serve`: a process of its own, real sockets, the client of batonics.

The client verifies every checksum. Its books are compared with GET /v1/books at the same record,
and every message is validated against the AsyncAPI document that the server gives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import polars as pl
import pytest

from batonics.client import AsyncClient, Client, ClientError, LevelBook, TradesFeed
from tests.support.client_books import check_equal
from tests.support.command import SAMPLE
from tests.support.serve import Server, serving

UNITS = {"BATONICS_SERVER_LIMITS_REQUEST_UNITS_PER_S": "1000000"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(SAMPLE, **UNITS) as running:
        yield running


class Contract:
    """What the AsyncAPI document of a server says of its messages."""

    def __init__(self, server: Server) -> None:
        self.document = server.get("/asyncapi.json").document
        self.validators: dict[tuple[str, str | None], Any] = {}
        for schema in self.document["components"]["schemas"].values():
            kinds, channel = _constants(schema, "type"), _constants(schema, "channel")
            for kind in kinds:
                key = kind, channel[0] if len(channel) == 1 else None
                full = {**schema, "components": self.document["components"]}
                self.validators[key] = jsonschema.Draft202012Validator(full)

    def check(self, message: dict[str, Any]) -> None:
        """Validate a message, which must have no field that its schema lacks."""
        kind = message["type"]
        channel = message.get("channel") if kind in ("snapshot", "update") else None
        validator = self.validators[kind, channel]
        validator.validate(message)
        assert message.keys() <= validator.schema["properties"].keys()


def _constants(schema: dict[str, Any], name: str) -> list[str]:
    found = schema.get("properties", {}).get(name, {})
    constant = [found["const"]] if "const" in found else found.get("enum", [])
    return [str(one) for one in constant]


def url(server: Server) -> str:
    return f"http://{server.address}"


async def settle(client: AsyncClient, contract: Contract) -> list[dict[str, Any]]:
    """Stop the clock and take all messages up to then; the messages."""
    await client.pause()  # the server answers in order
    found = [await anext(client) for _ in range(client.kept)]
    for message in found:
        contract.check(message)
    return found


async def check_moments(server: Server, symbol: str, records: list[int], steps: int) -> None:
    """Seek and step: the books of all channels are those of the API each time."""
    contract = Contract(server)
    async with AsyncClient(url(server)) as client:
        for channel, depth in (("bbo", None), ("l2", "all"), ("l3", None)):
            await client.subscribe(channel, [symbol], depth=depth, conflate_ms=0)
        for record in records:
            await client.seek(f"record:{record}")
            await settle(client, contract)
            for book in list(client.books.values()):
                check_equal(server, book)
            shown = await client.step(steps)
            assert shown["record"] > record
            events = [one for one in await settle(client, contract) if one.get("channel") == "l3"]
            # A step counts F_LAST, which a snapshot may lack and the start of a day has not.
            assert steps <= len(events) <= steps + 2
            for book in list(client.books.values()):
                check_equal(server, book)
            assert client.orders(symbol).seq == shown["record"]
        assert client.resyncs == 0


@pytest.mark.parametrize(
    ("files", "symbol", "records"),
    [
        ([SAMPLE], "SIM0", [9_000, 50_000, 98_000]),
        (["clx5/CLX5_mbo.dbn"], "CLX5", [0, 9_000, 20_000, 38_000]),
        (["esh4"], "ESH4", [17_500, 30_000, 60_000]),
    ],
)
def test_books_are_those_of_the_api(
    test_data: Path, files: list[Path | str], symbol: str, records: list[int]
) -> None:
    with serving(*(test_data / file for file in files), **UNITS) as server:
        asyncio.run(check_moments(server, symbol, records, 40))


def test_a_book_that_plays_is_the_one_of_the_api(server: Server) -> None:
    """At full speed no event of l3 is missing, and every state is one that the book had."""

    async def play() -> None:
        contract = Contract(server)
        async with AsyncClient(url(server)) as client:
            await client.seek("record:20000")
            for channel in ("bbo", "l2", "l3", "trades"):
                await client.subscribe(channel, ["SIM0", "SIM1"])
            await client.play(100.0)
            seen: dict[tuple[str, str], int] = {}
            trades: list[int] = []
            while len(trades) < 100:
                message = await anext(client)
                contract.check(message)
                if message["type"] in ("snapshot", "update"):
                    book = message["channel"], message["symbol"]
                    # A connection that was made again, on a slow machine, begins with a snapshot.
                    is_first = message["type"] == "snapshot"
                    assert message["prev_seq"] == (None if is_first else seen[book])
                    seen[book] = message["seq"]
                if message["type"] == "update" and message["channel"] == "trades":
                    trades.append(message["seq"])
            await settle(client, contract)
            for kept in client.books.values():
                check_equal(server, kept)
                assert isinstance(kept, TradesFeed) or kept.checked > 1
            assert client.resyncs == 0
            expected = []
            for symbol in ("SIM0", "SIM1"):
                path = f"/v1/trades?symbol={symbol}&cursor=20001&limit=200"
                expected += [row["record"] for row in server.get(path).document["records"]]
            assert trades == sorted(expected)[: len(trades)]

    asyncio.run(play())


def test_going_back_shows_the_event_before(server: Server) -> None:
    async def step() -> None:
        contract = Contract(server)
        async with AsyncClient(url(server)) as client:
            await client.subscribe("l3", ["SIM2"])
            await client.seek("record:30000")
            await client.step(3)
            there = client.orders("SIM2").seq
            await client.step(5)
            await client.step(-5)
            await settle(client, contract)
            assert client.orders("SIM2").seq == there
            check_equal(server, client.orders("SIM2"))
            await client.seek("record:10")
            with pytest.raises(ClientError, match="fewer than"):
                await client.step(-200)

    asyncio.run(step())


def test_a_prefix_subscribes_to_all_books_that_begin_so(server: Server) -> None:
    async def subscribe() -> None:
        contract = Contract(server)
        async with AsyncClient(url(server)) as client:
            await client.seek("record:50000")
            every = await client.subscribe("bbo", ["*"])
            assert await client.subscribe("l2", ["SIM*", "SIM3"]) == [
                book._replace(channel="l2") for book in every
            ]
            assert len(await client.subscribe("l2", ["SIM3*"])) == 1
            await settle(client, contract)
            symbols = {book.symbol for book in client.books.values()}
            assert symbols == {f"SIM{number}" for number in range(len(every))}
            assert len(client.books) == 2 * len(every)
            for book in list(client.books.values()):
                check_equal(server, book)
            await client.unsubscribe("l2", ["SIM*"])
            assert {book.channel for book in client.books} == {"bbo"}
            with pytest.raises(ClientError, match=r"no book fits 'SIN\*'"):
                await client.subscribe("l2", ["SIN*"])

    asyncio.run(subscribe())


def test_more_books_than_a_client_may_have_are_refused() -> None:
    async def subscribe(server: Server) -> None:
        async with AsyncClient(url(server)) as client:
            await client.subscribe("l2", ["SIM0"])
            with pytest.raises(ClientError, match="4 more subscriptions: a client has 3 at"):
                await client.subscribe("l2", ["*"])
            await client.subscribe("l2", ["SIM1"])  # nothing of what was refused is left

    with serving(SAMPLE, BATONICS_SERVER_LIMITS_SUBSCRIPTIONS_MAX="3") as server:
        asyncio.run(subscribe(server))


def test_the_clock_stops_at_the_end(server: Server) -> None:
    async def play() -> None:
        async with AsyncClient(url(server)) as client:
            await client.subscribe("l3", ["SIM0"])
            await client.seek("record:99900")
            await client.play(1000.0)
            message = await anext(client)
            while message["type"] != "clock":
                message = await anext(client)
            assert (message["record"], message["is_playing"]) == (99_999, False)
            assert message["has_ended"]
            with pytest.raises(ClientError, match="no event of these books follows"):
                await client.step(1)

    asyncio.run(play())


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("{", "Invalid JSON"),
        ("[]", "an object"),
        ('{"op":"fly","id":7}', "does not match any of the expected tags"),
        ('{"op":"subscribe","channel":"l9","symbols":["SIM0"]}', "channel: Input should be 'bbo'"),
        ('{"op":"subscribe","channel":"l2","symbols":[]}', "symbols: List should have at least 1"),
        ('{"op":"subscribe","channel":"l2","symbols":["NONE"]}', "no book has the symbol 'NONE'"),
        ('{"op":"subscribe","channel":"l2","symbols":["SIM0"],"dept":3}', "dept: Extra inputs"),
        ('{"op":"subscribe","channel":"l2","symbols":["SIM0"],"depth":0}', "depth"),
        ('{"op":"resync","channel":"l2","symbols":["SIM4"]}', "no such subscription"),
        ('{"op":"play","speed":5000}', "speed: Input should be less than or equal to 1000"),
        ('{"op":"seek","at":"yesterday"}', "at: "),
        ('{"op":"seek","at":"2020-01-01"}', "before the first record"),
        ('{"op":"seek","at":"record:100000"}', "there are 100000 records"),
        ('{"op":"step","events":1}', "no event of these books follows"),
    ],
)
def test_what_is_no_request_is_an_error_and_no_more(server: Server, text: str, detail: str) -> None:
    async def send() -> None:
        contract = Contract(server)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{url(server)}/v1/ws") as socket,
        ):
            await socket.send_str(text)
            reply = await socket.receive_json()
            contract.check(reply)
            assert reply["type"] == "error"
            assert detail in reply["detail"]
            assert reply["id"] == (7 if "fly" in text else None)
            await socket.send_json({"op": "pause", "id": "on"})
            assert (await socket.receive_json())["id"] == "on"

    asyncio.run(send())


def test_who_may_not_ask_gets_no_socket(server: Server) -> None:
    async def connect() -> None:
        async with aiohttp.ClientSession() as session:
            for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    await session.ws_connect(f"{url(server)}/v1/ws", headers=headers)
                assert caught.value.status == 403

    asyncio.run(connect())
    assert server.get("/v1/ws").status == 426


def test_books_of_a_top_of_book_publisher_have_no_orders(test_data: Path) -> None:
    """l3 refuses them with the reason; l2 shows them."""

    async def subscribe(server: Server) -> None:
        contract = Contract(server)
        async with AsyncClient(url(server)) as client:
            await client.seek("record:7000")
            (book,) = await client.subscribe("l3", ["11667"], publisher=40)
            await client.subscribe("l2", ["11667"], publisher=40)
            await settle(client, contract)
            assert "top-of-book" in client.cut[book]
            (levels,) = client.books.values()
            assert isinstance(levels, LevelBook)
            assert levels.bids
            check_equal(server, levels)

    with serving(test_data / "dbeq" / "dbeq-20240131.mbo.dbn", **UNITS) as server:
        asyncio.run(subscribe(server))


def test_the_client_for_programs_without_asyncio(server: Server) -> None:
    with Client(url(server)) as client:
        client.subscribe("l2", ["SIM0"])
        client.subscribe("l3", ["SIM0"])
        client.seek("record:60000")
        client.step(10)
        client.pause()
        levels, orders = client.levels("SIM0").frame(), client.orders("SIM0").frame()
        check_equal(server, client.orders("SIM0"))
    best = levels.filter(level=0)
    assert best["side"].to_list() == ["B", "A"]
    of_orders = orders.group_by("side", "price", maintain_order=True).agg(
        size=pl.sum("size"), count=pl.len().cast(pl.Int64)
    )
    assert levels.select("side", "price", "size", "count").equals(
        of_orders.group_by("side", maintain_order=True).head(10)
    )
