"""The token and the key are nowhere to be seen: under load, disconnects, faults and a crash.

The rule: a run of `batonics stream` as users have it. All that it writes, answers and shows to
other processes is searched for both texts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import orjson
import pytest

from batonics.gateway.pacing import Pace
from batonics.sinks import logs
from tests.support.command import SAMPLE, SCRIPT, environment
from tests.support.log_lines import configured_logs
from tests.support.replays import KEY, run_replay

TOKEN = "0123456789abcdef0123456789abcdef"
DEADLINE_S = 60
RESET = struct.pack("ii", 1, 0)
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def process_lists() -> Iterator[bytes]:
    """What every user can see of every process."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes()


def environment_of_children(process_id: int) -> Iterator[bytes]:
    """The environments of the processes that a process has started."""
    for children in Path(f"/proc/{process_id}/task").glob("*/children"):
        for child in children.read_text().split():
            yield Path(f"/proc/{child}/environ").read_bytes()


def abort_while_it_is_served(address: tuple[str, int], path: str) -> None:
    """A WebSocket client that sends pings and resets its connection."""
    with socket.create_connection(address) as sock:
        request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{address[1]}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        )
        sock.sendall(request.encode() + b"\x89\x80\0\0\0\0" * 200)
        sock.recv(1000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


async def ask(url: str) -> list[bytes]:
    """Answers of every path, right and wrong, with headers."""
    found = []
    async with aiohttp.ClientSession(headers=BEARER) as session:
        for path in ("/metrics", "/symbols", "/readyz", "/book?symbol=x", "/x", "/symbols?a=b"):
            for headers in ({}, {"Origin": "http://x"}, {"Authorization": f"bearer {TOKEN}x"}):
                async with session.get(url + path, headers=headers) as answer:
                    found.append(await answer.read() + str(answer.headers).encode())
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(url + "/x" * 5000, headers={"X": "y" * 9000}) as answer:
                found.append(await answer.read())
    return found


def test_the_token_and_the_key_are_nowhere_to_be_seen(tmp_path: Path) -> None:
    log_path = tmp_path / "log"
    with run_replay(SAMPLE, protocol="gateway", pace=Pace(rate=20_000)) as replay:
        command = [
            *SCRIPT, "stream", "--gateway", str(replay.address), "--dataset", "SIM.BATONICS",
            "--http", "127.0.0.1:0", "--record", str(tmp_path / "recording"), "--log-json",
        ]  # fmt: skip
        env = environment(BATONICS_TOKEN=TOKEN, BATONICS_GATEWAY_KEY=KEY)
        with log_path.open("wb") as log:
            process = subprocess.Popen(command, env=env, stderr=log, stdout=log)
        try:
            address = wait_for_server(log_path)
            shown = [*process_lists(), *environment_of_children(process.pid)]
            for _ in range(30):
                abort_while_it_is_served(address, "/ws/bbo")
            shown += asyncio.run(ask(f"http://127.0.0.1:{address[1]}"))
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()
            process.wait()
    shown += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for text in (TOKEN, KEY):
        assert not [one[:2000] for one in shown if text.encode() in one]
    events = [orjson.loads(line) for line in log_path.read_bytes().splitlines()]
    assert {"server_started", "server_ended", "stream_ended"} <= {one["event"] for one in events}
    # A client that disconnects is no error, and no bug.
    assert not [one for one in events if one["level"] in {"error", "critical"}]


def wait_for_server(log_path: Path) -> tuple[str, int]:
    """The address of the server, once the log says it."""
    for _ in range(DEADLINE_S * 20):
        for line in log_path.read_bytes().splitlines():
            event = orjson.loads(line)
            if event["event"] == "server_started":
                host, _, port = event["http"].rpartition(":")
                return host, int(port)
        asyncio.run(asyncio.sleep(0.05))
    raise AssertionError(log_path.read_text())


@pytest.mark.parametrize("as_json", [False, True])
def test_a_traceback_has_no_values_of_variables(
    capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    def fail(token: str) -> None:
        raise ValueError(f"{len(token)} letters")

    with configured_logs(as_json=as_json):
        try:
            fail(TOKEN)
        except ValueError:
            logs.logger("test").exception("failed")
    err = capsys.readouterr().err
    assert "32 letters" in err
    assert "in fail" in err or '"fail"' in err
    assert TOKEN not in err


def test_a_crash_shows_no_secret() -> None:
    code = (
        "from batonics.sinks import logs; from batonics.settings.loader import current\n"
        "logs.configure(as_json=True)\n"
        "settings = current()\n"
        "raise RuntimeError(settings.server.token, settings.live.gateway_key, vars(settings))"
    )
    env = environment(BATONICS_TOKEN=TOKEN, BATONICS_GATEWAY_KEY=KEY)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"uncaught_error" in done.stderr
    assert TOKEN.encode() not in done.stderr
    assert KEY.encode() not in done.stderr
    assert os.environ.get("BATONICS_TOKEN") is None


def test_an_event_that_repeats_without_end_is_logged_seldom(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with configured_logs():
        log = logs.logger("test")
        for number in range(10_000):
            log.warning("again", number=number)
        log.warning("another")
    lines = [orjson.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert 100 <= len(lines) <= 110
    assert lines[-1]["event"] == "another"
