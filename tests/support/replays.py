"""A replay within this process, and clients of it over real sockets.

The rule: the replay of a test ends with the test.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batonics.jobs.replay import Replay, ReplayRequest
from batonics.sinks import logs
from batonics.sources.inputs import find_inputs

KEY = "db-" + "k" * 29
TIMEOUT_S = 30.0


@contextmanager
def run_replay(*paths: str | Path, **options: Any) -> Iterator[Replay]:
    """A replay of files on a free port; it ends with the block."""
    logs.configure(as_json=True, level="critical")
    replay = Replay(ReplayRequest(find_inputs(paths), "127.0.0.1:0", **options))
    try:
        yield replay
    finally:
        replay.close()


def connect_client(replay: Replay) -> socket.socket:
    """The socket of a new client."""
    sock = socket.create_connection(replay.address, TIMEOUT_S)
    sock.settimeout(TIMEOUT_S)
    return sock


def receive_all(replay: Replay) -> bytes:
    """All bytes of one connection."""
    with connect_client(replay) as sock:
        return receive_rest(sock)


def receive_rest(sock: socket.socket) -> bytes:
    """The remaining bytes of a connection; OSError if it is reset."""
    parts = []
    while data := sock.recv(1 << 20):
        parts.append(data)
    return b"".join(parts)
