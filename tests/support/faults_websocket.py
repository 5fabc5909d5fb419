"""A relay between a WebSocket client and a server that loses, repeats, delays and cuts messages.

The rule here: faults come from a seed. They hit messages of the server only, and whole ones: what
a broken network or a broken middleman can do to a client.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

KINDS = ("drop", "duplicate", "delay", "stall", "cut")


class FaultyRelay:
    """Relays /v1/ws to a server.

    Args:
        upstream: the address of the server.
        seed: of the faults.
        share: the share of messages that a fault hits.

    Attributes:
        counts: the faults so far, by kind.
        is_faulty: whether there are faults.
        stall_s: how long a stall lasts.
    """

    def __init__(self, upstream: str, seed: int, share: float) -> None:
        self._upstream, self._random, self._share = upstream, random.Random(seed), share
        self.counts: Counter[str] = Counter()
        self.is_faulty, self.stall_s = True, 0.1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Listen until the block ends; the address."""
        app = web.Application()
        app.router.add_get("/v1/ws", self._relay)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        try:
            yield f"{host}:{port}"
        finally:
            await runner.cleanup()

    async def _relay(self, request: web.Request) -> web.WebSocketResponse:
        client = web.WebSocketResponse(max_msg_size=0)
        await client.prepare(request)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://{self._upstream}/v1/ws", max_msg_size=0) as server,
        ):

            async def send_up() -> None:
                async for message in client:
                    await server.send_str(message.data)

            sending = asyncio.create_task(send_up())
            with contextlib.suppress(ConnectionError):
                async for message in server:
                    if not await self._send_down(client, message.data):
                        break
            sending.cancel()
        if request.transport is not None:
            request.transport.abort()
        return client

    async def _send_down(self, client: web.WebSocketResponse, text: str) -> bool:
        """Send a message, or a fault; whether the connection goes on."""
        kind = ""
        if self.is_faulty and self._random.random() < self._share:
            kind = self._random.choice(KINDS)
            self.counts[kind] += 1
        if kind in ("delay", "stall"):
            await asyncio.sleep(self.stall_s if kind == "stall" else 0.01)
        for _ in range({"drop": 0, "duplicate": 2}.get(kind, 1)):
            await client.send_str(text)
        return kind != "cut"
