"""How many clients of /v1/ws a server of files carries, and how far their clocks fall behind.

    python -m tests.bench.bench_channels

The clients play CLX5 from moments before its busiest ten seconds, with bbo and l2, and every
twentieth one with l3; the project's own sample where BATONICS_TEST_DATA is not set. Lateness is
`late_ms` of the last heartbeat. CLIENTS sets other numbers of clients, SPEED another speed, SECONDS
another time for each number.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
from aiohttp import ClientSession, WSMsgType

from tests.bench.harness import figure, heading, print_machine
from tests.support.command import SAMPLE
from tests.support.real_files import CLX5
from tests.support.serve import Server, serving

CLIENTS = [int(text) for text in os.environ.get("CLIENTS", "1,10,50,200").split(",")]
SPEED = float(os.environ.get("SPEED", "1"))
SECONDS = float(os.environ.get("SECONDS", "10"))
DATA = os.environ.get("BATONICS_TEST_DATA")
FILE, SYMBOL = (Path(DATA) / CLX5, "CLX5") if DATA else (SAMPLE, "SIM0")
BUSY_NS = 1_758_747_591_000_000_000 if DATA else 1_767_623_406_000_000_000
"""In CLX5, 923 records of the ten seconds after it, of which 648 are in one second."""
SPREAD_NS = 2_000_000_000
"""The clients begin within this time before it, so at different moments."""
L3_EVERY = 20
UNITS = {
    "BATONICS_SERVER_LIMITS_REQUEST_UNITS_PER_S": "100000",
    "BATONICS_SERVER_LIMITS_STALL_TIMEOUT_S": "120",  # clients wait for each other unread
}


class Followed(NamedTuple):
    """What a client has seen."""

    messages: int
    heartbeat_gaps_s: list[float]
    late_ms: int


def main() -> None:
    """Print all figures."""
    print_machine()
    with serving(FILE, **UNITS) as server:
        for clients in CLIENTS:
            heading(f"{clients} clients at speed {SPEED:g}")
            asyncio.run(bench(server, clients))


async def bench(server: Server, clients: int) -> None:
    """The figures of a number of clients."""
    ready = asyncio.Barrier(clients + 1)
    following = [asyncio.create_task(follow(server, one, ready)) for one in range(clients)]
    await ready.wait()
    started = process_seconds(server)
    found = await asyncio.gather(*following)
    used = process_seconds(server) - started
    messages = sum(one.messages for one in found)
    gaps = np.array([gap for one in found for gap in one.heartbeat_gaps_s])
    late = [one.late_ms for one in found]
    figure("messages a second, all clients", f"{messages / SECONDS:,.0f}")
    figure("processor of the server", f"{used / SECONDS * 100:.0f} %")
    figure("  for each message", f"{used / messages * 1e6:.0f} us")
    if len(gaps):
        figure("heartbeat, beyond its second, p50", f"{np.percentile(gaps, 50) * 1e3:.0f} ms")
        figure("  p99", f"{np.percentile(gaps, 99) * 1e3:.0f} ms")
    figure("a clock has waited, p50 of clients", f"{np.percentile(late, 50):.0f} ms")
    figure("  the most", f"{max(late):.0f} ms", note=f"of {SECONDS:g} s")


async def follow(server: Server, number: int, ready: asyncio.Barrier) -> Followed:
    """Follow books as one client, once all are ready."""
    messages, late_ms, gaps = 0, 0, []
    async with (
        ClientSession() as session,
        session.ws_connect(f"http://{server.address}/v1/ws", max_msg_size=0) as socket,
    ):
        at_ns = BUSY_NS - number * SPREAD_NS // max(CLIENTS)
        await socket.send_json({"op": "seek", "at": str(at_ns)})
        for channel in ("bbo", "l2", "l3")[: 3 if number % L3_EVERY == 0 else 2]:
            await socket.send_json({"op": "subscribe", "channel": channel, "symbols": [SYMBOL]})
        await socket.send_json({"op": "pause", "id": "ready"})
        while not (await socket.receive_str()).endswith('"id":"ready"}'):
            pass
        await ready.wait()
        await socket.send_json({"op": "play", "speed": SPEED})
        until, last = time.perf_counter() + SECONDS, 0.0
        while time.perf_counter() < until:
            frame = await socket.receive()
            assert frame.type is WSMsgType.TEXT, frame
            messages += 1
            if frame.data.startswith('{"type":"heartbeat"'):
                now = time.perf_counter()
                gaps.append(now - last - 1.0 if last else 0.0)
                last, late_ms = now, orjson.loads(frame.data)["late_ms"]
    return Followed(messages, gaps, late_ms)


def process_seconds(server: Server) -> float:
    """The processor time that a server has used."""
    stat = Path(f"/proc/{server.process.pid}/stat").read_text()
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    main()
