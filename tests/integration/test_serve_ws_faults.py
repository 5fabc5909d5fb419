"""Clients of /v1/ws whose connection fails, whose server restarts, and who do not read.

In each case the client's books end as the server's, or the client is told why not.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from contextlib import ExitStack, suppress
from typing import Any

import aiohttp
import pytest

from batonics.client import AsyncClient, ClientError
from tests.support.client_books import check_equal
from tests.support.command import SAMPLE
from tests.support.faults_websocket import KINDS, FaultyRelay
from tests.support.serve import Server, serving

UNITS = {"BATONICS_SERVER_LIMITS_REQUEST_UNITS_PER_S": "1000000"}
FAULTS = 60


@pytest.mark.parametrize("seed", [1, 2])
def test_books_survive_a_faulty_connection(seed: int) -> None:
    """Messages lost, repeated, delayed and cut: the books end byte-equal to the server's."""

    async def follow(server: Server) -> None:
        relay = FaultyRelay(server.address, seed, share=0.05)
        async with relay.running() as address, AsyncClient(f"http://{address}") as client:
            relay.is_faulty = False
            await client.seek("record:20000")
            for channel in ("bbo", "l2", "l3", "trades"):
                await client.subscribe(channel, ["SIM0", "SIM1"])
            await client.play(30.0)
            relay.is_faulty = True
            async with asyncio.timeout(60):
                while relay.counts.total() < FAULTS:
                    await anext(client)
            relay.is_faulty = False
            await client.pause()
            # The second heartbeat comes after the snapshots that the first one asks for.
            heartbeats = 0
            while heartbeats < 3:
                heartbeats += (await anext(client))["type"] == "heartbeat"
            assert len(client.books) == 8
            for found, book in client.books.items():
                assert client.is_current(found)
                check_equal(server, book)
            assert set(relay.counts) == set(KINDS)
            assert client.resyncs > 0
            assert client.reconnects > 0

    with serving(SAMPLE, **UNITS) as server:
        asyncio.run(follow(server))


def test_a_client_survives_a_restarted_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        http = f"127.0.0.1:{free.getsockname()[1]}"

    async def follow() -> None:
        with ExitStack() as stack:
            first = stack.enter_context(serving(SAMPLE, http=http))
            async with AsyncClient(f"http://{http}") as client:
                await client.seek("record:40000")
                await client.subscribe("l3", ["SIM0"])
                await client.step(20)
                before = client.orders("SIM0").seq or 0
                first.process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(first.process.wait, 20) == 0
                second = stack.enter_context(serving(SAMPLE, http=http))
                await client.step(5)
                assert client.reconnects == 1
                assert (client.orders("SIM0").seq or 0) > before
                check_equal(second, client.orders("SIM0"))

    asyncio.run(follow())


def test_a_server_that_stays_away_is_an_error() -> None:
    async def connect() -> None:
        with pytest.raises(ClientError, match="cannot be reached"):
            async with AsyncClient("http://127.0.0.1:9", give_up_s=0.2):
                pass

    asyncio.run(connect())


def test_who_does_not_read_is_cut_and_hurts_nobody() -> None:
    """l3 and trades end with a reason, bbo goes on with new states, the other client has all."""

    async def stall(server: Server) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://{server.address}/v1/ws", max_msg_size=0) as slow,
            AsyncClient(f"http://{server.address}") as other,
        ):
            for channel in ("bbo", "l3", "trades"):
                await slow.send_json({"op": "subscribe", "channel": channel, "symbols": ["SIM0"]})
            await slow.send_json({"op": "play", "speed": 1000.0})
            await other.subscribe("l3", ["SIM0"])
            await other.play(1.0)
            transport = slow._response.connection.transport  # type: ignore[union-attr]
            transport.pause_reading()  # type: ignore[union-attr]
            until = time.monotonic() + 4.0
            while time.monotonic() < until:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await anext(other)
            transport.resume_reading()  # type: ignore[union-attr]
            messages: list[dict[str, Any]] = []
            async with asyncio.timeout(30):
                while len([one for one in messages if one["type"] == "cut"]) < 2:
                    messages.append(json.loads((await slow.receive()).data))
                while messages[-1].get("channel") != "bbo":
                    messages.append(json.loads((await slow.receive()).data))
            cuts = [one for one in messages if one["type"] == "cut"]
            assert {one["channel"] for one in cuts} == {"l3", "trades"}
            assert all("reads too slowly" in one["reason"] for one in cuts)
            # Up to there nothing is missing.
            for channel in ("l3", "trades"):
                of_channel = [one for one in messages if one.get("channel") == channel]
                seqs = [one["seq"] for one in of_channel if "seq" in one]
                previous = [one["prev_seq"] for one in of_channel if one["type"] == "update"]
                assert previous == seqs[: len(previous)]
            assert other.resyncs == other.reconnects == 0
            check_equal(server, other.orders("SIM0"))

    with serving(SAMPLE, **UNITS, BATONICS_SERVER_LIMITS_SEND_BUFFER_BYTES="4096") as server:
        asyncio.run(stall(server))


def test_a_server_that_ends_says_so() -> None:
    async def listen(server: Server) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://{server.address}/v1/ws") as ws,
        ):
            await ws.send_json({"op": "pause"})
            await ws.receive_json()
            server.process.send_signal(signal.SIGTERM)
            found = [json.loads(message.data) async for message in ws]
            assert found[-1] == {"type": "bye", "reason": "the server was asked to end"}
            assert ws.close_code == 1001

    with serving(SAMPLE) as server:
        asyncio.run(listen(server))
        assert server.process.wait(10) == 0
