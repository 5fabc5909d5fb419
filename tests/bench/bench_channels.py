"""How many clients of /v1/ws a server of files carries, and how far their clocks fall behind.

    python -m tests.bench.bench_channels

Each client plays the sample from a place of its own with bbo, l2 and, every tenth one, l3. Lateness
is that of `late_ms` in heartbeats, the age of a message that of its arrival against the clock.
SPEED sets another speed, SECONDS another time for each number of clients.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from pathlib import Path

import numpy as np
import orjson
from aiohttp import ClientSession, WSMsgType

from tests.bench.harness import figure, heading, print_machine
from tests.support.command import SAMPLE
from tests.support.serve import Server, serving

CLIENTS = (1, 10, 50, 200)
SPEED = float(os.environ.get("SPEED", "1"))
SECONDS = float(os.environ.get("SECONDS", "10"))
UNITS = {"BATONICS_SERVER_LIMITS_REQUEST_UNITS_PER_S": "100000"}


def main() -> None:
    """Print all figures."""
    print_machine()
    with serving(SAMPLE, **UNITS) as server:
        for clients in CLIENTS:
            heading(f"{clients} clients at speed {SPEED:g}")
            asyncio.run(bench(server, clients))


async def bench(server: Server, clients: int) -> None:
    """The figures of a number of clients."""
    started = process_seconds(server)
    found = await asyncio.gather(*(follow(server, number) for number in range(clients)))
    used = process_seconds(server) - started
    heartbeats = np.array([gap for _, gaps, _ in found for gap in gaps])
    late = [late_ms for _, _, late_ms in found]
    figure("messages a second, all clients", f"{sum(one[0] for one in found) / SECONDS:,.0f}")
    figure("heartbeat, beyond its second, p50", f"{np.percentile(heartbeats, 50) * 1e3:.0f} ms")
    figure("  p99", f"{np.percentile(heartbeats, 99) * 1e3:.0f} ms")
    figure("a clock has waited, p50 of clients", f"{np.percentile(late, 50):.0f} ms")
    figure("  the most", f"{max(late):.0f} ms", note=f"of {SECONDS:g} s")
    figure("processor of the server", f"{used / SECONDS * 100:.0f} %")


async def follow(server: Server, number: int) -> tuple[int, list[float], int]:
    """A client's messages, the time of each heartbeat beyond its second, and its lateness."""
    messages, late_ms, gaps = 0, 0, []
    async with (
        ClientSession() as session,
        session.ws_connect(f"http://{server.address}/v1/ws", max_msg_size=0) as socket,
    ):
        await socket.send_json({"op": "seek", "at": f"record:{10_000 + 300 * number}"})
        channels = ("bbo", "l2", "l3") if number % 10 == 0 else ("bbo", "l2")
        for channel in channels:
            symbols = [f"SIM{number % 5}"]
            await socket.send_json({"op": "subscribe", "channel": channel, "symbols": symbols})
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
    return messages, gaps, late_ms


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
