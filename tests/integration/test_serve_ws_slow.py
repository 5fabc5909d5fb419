"""What /v1/ws promises of clients that read slowly, or not at all."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from batonics.model.times import parse_time
from tests.support.command import SAMPLE
from tests.support.serve import Server, serving

UNITS = {"BATONICS_SERVER_LIMITS_REQUEST_UNITS_PER_S": "1000000"}
RECEIVE_BYTES = 1 << 12
"""The least that a client can have waiting in its own kernel."""
CLOSING = aiohttp.ClientWSTimeout(ws_close=0.5)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(SAMPLE, **UNITS) as running:
        yield running


class SlowClient:
    """A client whose own buffers are small, so that what it does not read waits in the server."""

    def __init__(self, socket_: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket_

    async def ask(self, **request: Any) -> dict[str, Any]:
        """The reply to a request; messages before it are dropped."""
        await self._socket.send_json({**request, "id": "asked"})
        while (message := await self.read()).get("id") != "asked":
            pass
        assert message["type"] != "error", message
        return message

    async def pause(self, seconds: float) -> None:
        """Take nothing from the kernel for a time; aiohttp would read ahead."""
        connection = self._socket._response.connection
        assert connection is not None
        assert connection.transport is not None
        connection.transport.pause_reading()
        await asyncio.sleep(seconds)
        connection.transport.resume_reading()

    async def read(self) -> dict[str, Any]:
        """The next message."""
        message: dict[str, Any] = json.loads(await self._socket.receive_str())
        return message


@asynccontextmanager
async def slow_client(server: Server) -> AsyncIterator[SlowClient]:
    """A client of a server."""

    def open_socket(address: Any) -> socket.socket:
        made = socket.socket(*address[:3])
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        return made

    connector = aiohttp.TCPConnector(socket_factory=open_socket)
    async with (
        aiohttp.ClientSession(connector=connector, read_bufsize=RECEIVE_BYTES) as session,
        session.ws_connect(f"http://{server.address}/v1/ws", max_msg_size=0, timeout=CLOSING) as ws,
    ):
        yield SlowClient(ws)


def test_a_slow_client_of_events_is_cut_with_a_reason_and_misses_none(server: Server) -> None:
    """Up to the `cut` each message follows the one before; behind it none comes."""

    async def read_late() -> None:
        async with slow_client(server) as client:
            await client.ask(op="seek", at="record:10000")
            for channel in ("l3", "trades"):
                await client.ask(op="subscribe", channel=channel, symbols=["SIM0"])
            await client.ask(op="play", speed=100.0)
            await client.pause(2.5)
            seen: dict[str, int] = {}
            cut: dict[str, dict[str, Any]] = {}
            counts = {"l3": 0, "trades": 0}
            while len(cut) < 2:
                message = await client.read()
                channel = str(message.get("channel"))
                if message["type"] == "cut":
                    cut[channel] = message
                elif channel in counts:
                    assert channel not in cut
                    assert message["prev_seq"] == seen.get(channel, message["prev_seq"])
                    seen[channel] = message["seq"]
                    counts[channel] += 1
            for channel, message in cut.items():
                assert "reads too slowly" in message["reason"]
                assert message["seq"] == seen.get(channel, message["seq"])
            assert counts["l3"] > 20
            assert (await client.ask(op="pause"))["is_playing"] is False

    asyncio.run(read_late())


def test_a_slow_client_of_states_gets_fewer_and_none_that_is_old(server: Server) -> None:
    """After a pause it reads what its sockets held, which is little, and then the book of now."""
    speed, pause_s = 10.0, 2.0

    async def read_late() -> None:
        async with slow_client(server) as client:
            started = await client.ask(op="seek", at="record:10000")
            await client.ask(
                op="subscribe", channel="l2", symbols=["*"], depth="all", conflate_ms=0
            )
            await client.ask(op="play", speed=speed)
            await client.pause(pause_s)
            # The clock has come at least so far before the client reads again.
            now_ns = parse_time(started["at"]) + int(speed * pause_s * 1e9)
            old_bytes, seqs, jumps = 0, dict[str, int](), list[int]()
            is_new = False
            async with asyncio.timeout(20):
                while not is_new:
                    message = await client.read()
                    if message["type"] != "update":
                        continue
                    symbol = message["symbol"]
                    if symbol in seqs:
                        assert message["prev_seq"] == seqs[symbol]
                        jumps.append(message["seq"] - seqs[symbol])
                    seqs[symbol] = message["seq"]
                    is_new = parse_time(message["ts_recv"]) >= now_ns - 10**9
                    old_bytes += 0 if is_new else len(json.dumps(message))
            assert old_bytes < 1 << 16
            # One message leads over all that was left out.
            assert jumps[-1] > 10 * sorted(jumps)[len(jumps) // 2]

    asyncio.run(read_late())


def test_a_client_that_reads_nothing_costs_at_most_a_mebibyte(server: Server) -> None:
    clients = 20

    async def stall(ended: asyncio.Event) -> None:
        async with slow_client(server) as client:
            await client.ask(op="seek", at="record:10000")
            for channel in ("l2", "l3"):
                await client.ask(op="subscribe", channel=channel, symbols=["SIM0"])
            await client.ask(op="play", speed=100.0)
            await ended.wait()

    async def measure() -> float:
        async with slow_client(server) as client:  # what the first one costs is not theirs
            await client.ask(op="seek", at="record:10000")
            await client.ask(op="subscribe", channel="l3", symbols=["SIM0"])
        before, ended = resident_bytes(server), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(stall(ended))
            await asyncio.sleep(4)
            after = resident_bytes(server)
            ended.set()
        return (after - before) / clients

    assert asyncio.run(measure()) < 1 << 20


def resident_bytes(server: Server) -> int:
    """The memory of a server, without pages of files, which clients share."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    match = re.search(r"RssAnon:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) << 10


def test_an_address_that_asks_for_too_much_is_told_when_to_ask_again() -> None:
    async def ask(server: Server) -> None:
        async with aiohttp.ClientSession() as session:
            refused: tuple[str, int] | None = None
            while refused is None:
                async with session.get(f"http://{server.address}/v1/books/SIM0") as answer:
                    if answer.status != 200:
                        assert answer.status == 429
                        refused = answer.content_type, int(answer.headers["Retry-After"])
            assert refused[0] == "application/problem+json"
            assert refused[1] >= 1
            await asyncio.sleep(refused[1])
            async with session.get(f"http://{server.address}/v1/stats") as again:
                assert again.status == 200

    with serving(SAMPLE, BATONICS_SERVER_LIMITS_REQUEST_UNITS_PER_S="10") as server:
        asyncio.run(ask(server))
