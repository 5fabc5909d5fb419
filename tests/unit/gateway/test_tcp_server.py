"""The server of a replay goes on whatever a client meets."""

from __future__ import annotations

import socket
import threading

import pytest

from batonics.gateway.tcp_server import TcpServer
from batonics.settings.table import ReplaySettings
from batonics.sources.tcp import TcpAddress

DEADLINE_S = 10.0


def test_a_client_without_a_thread_is_refused_and_the_next_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, failures = threading.Thread.start, ["can't start new thread"] * 3

    def start_or_fail(thread: threading.Thread) -> None:
        if thread.name.startswith("batonics-client") and failures:
            raise RuntimeError(failures.pop())
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_fail)
    server = TcpServer(
        TcpAddress("127.0.0.1", 0),
        lambda sock, _: sock.sendall(b"served"),
        ReplaySettings(clients_max=1, refusal_log_interval_s=60),
    )
    try:
        for answer in (b"", b"", b"", b"served"):
            with socket.create_connection(server.address, DEADLINE_S) as client:
                assert client.recv(10) == answer
                assert client.recv(10) == b""
    finally:
        server.close()
