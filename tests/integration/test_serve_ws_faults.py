"""Clients of /v1/ws whose connection fails, and whose server restarts or ends.

In each case the client's books end as the server's, or the client is told why not.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from contextlib import ExitStack

import aiohttp
import pytest

from batonics.client import AsyncClient, ClientError
from tests.support.client_books import check_equal
from tests.support.command import SAMPLE
from tests.support.faults_websocket import KINDS
from tests.support.faulty_clients import follow_with_faults
from tests.support.serve import Server, serving

UNITS = {"BATONICS_SERVER_LIMITS_REQUEST_UNITS_PER_S": "1000000"}
FAULTS = 40


def test_books_survive_a_faulty_connection() -> None:
    """Messages lost, repeated, delayed and cut: the books end byte-equal to the server's."""
    with serving(SAMPLE, **UNITS) as server:
        run = asyncio.run(follow_with_faults(server, seed=1, faults=FAULTS))
    assert set(run.faults) == set(KINDS)
    assert run.resyncs > 0
    assert run.reconnects > 0
    assert run.checked > 0


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
                await client.pause()  # the snapshot of the new connection comes before the reply
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
