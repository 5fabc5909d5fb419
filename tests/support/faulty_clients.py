"""A client of /v1/ws over a faulty relay, whose books end as the server's."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import NamedTuple

from batonics.client import AsyncClient
from tests.support.client_books import check_equal
from tests.support.faults_websocket import FaultyRelay
from tests.support.serve import Server

CHANNELS = ("bbo", "l2", "l3", "trades")
SYMBOLS = ["SIM0", "SIM1"]
SHARE = 0.1
"""The share of messages that a fault hits."""
SECONDS_MAX_OF_A_FAULT = 5.0
"""A client on a busy machine needs a tenth of it."""
PLACES = 16
"""A client that has come to the end of the sample goes on at one of so many places."""


class FaultyRun(NamedTuple):
    """What a client has been through.

    Attributes:
        faults: by kind.
        resyncs: how often it asked for a book anew.
        reconnects: how often it connected again.
        checked: the checksums that its books at the end have equalled.
    """

    faults: Counter[str]
    resyncs: int
    reconnects: int
    checked: int


async def follow_with_faults(server: Server, seed: int, faults: int) -> FaultyRun:
    """Keep the books of the sample through so many faults; at the end they are the server's.

    Raises:
        AssertionError: a book differs, or is not current.
        TimeoutError: the client does not get on.
    """
    relay = FaultyRelay(server.address, seed, SHARE)
    async with relay.running() as address, AsyncClient(f"http://{address}") as client:
        relay.is_faulty = False
        await client.seek("record:20000")
        for channel in CHANNELS:
            await client.subscribe(channel, SYMBOLS)
        await client.play(1.0)
        relay.is_faulty = True
        async with asyncio.timeout(SECONDS_MAX_OF_A_FAULT * faults):
            while relay.counts.total() < faults:
                message = await anext(client)
                if message["type"] == "clock" and message["has_ended"]:
                    relay.is_faulty = False  # the reply to a request may not be lost
                    place = relay.counts.total() % PLACES
                    await client.seek(f"record:{2_000 * (place + 1)}")
                    await client.play(1.0)
                    relay.is_faulty = True
        relay.is_faulty = False
        await client.pause()
        # The second heartbeat comes after the snapshots that the first one asks for.
        heartbeats = 0
        while heartbeats < 2:
            heartbeats += (await anext(client))["type"] == "heartbeat"
        assert len(client.books) == len(CHANNELS) * len(SYMBOLS)
        for found, book in client.books.items():
            assert client.is_current(found)
            await asyncio.to_thread(check_equal, server, book)
        checked = sum(book.checked for book in client.books.values())
        return FaultyRun(relay.counts, client.resyncs, client.reconnects, checked)
