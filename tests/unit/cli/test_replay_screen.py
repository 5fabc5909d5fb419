"""The display of a replay: what it shows, and what keys do."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

from rich.console import Console

from batonics.cli.replay_screen import _ClientTable, handle_key, show_replay
from batonics.gateway.pacing import Pace
from tests.support.dbn_files import adds, encode, metadata
from tests.support.replays import connect_client, run_replay


def test_clients_and_their_positions_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "feed.dbn"
    path.write_bytes(metadata() + encode(adds(1_000)))
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=False)
    with run_replay(path, pace=Pace(rate=100)) as replay:
        table = _ClientTable(replay)
        console.print(table.render(""))
        with connect_client(replay) as sock:
            while not replay.clients or replay.clients[0].due_ns is None:
                time.sleep(0.01)
            console.print(table.render("keys"))
            name = "{}:{}".format(*sock.getsockname())
        threading.Timer(0.6, replay.done.set).start()
        show_replay(replay, console)
    shown = out.getvalue()
    assert "no client yet" in shown
    assert name in shown
    assert "2024-10-04T00:00:00.00" in shown


def test_keys_control_the_replay(tmp_path: Path) -> None:
    path = tmp_path / "feed.dbn"
    path.write_bytes(metadata() + encode(adds(10)))
    with run_replay(path) as replay:
        for key, paused in ((b"p", True), (b" ", False), (b"x", False)):
            handle_key(key, replay)
            assert replay.control.is_paused == paused
        handle_key(b"\x1b[C", replay)
        assert replay.control.jump == (1, 10_000_000_000)
        handle_key(b"\x1b[B", replay)
        assert replay.control.jump == (2, -60_000_000_000)
        assert not replay.done.is_set()
        handle_key(b"q", replay)
        assert replay.done.is_set()
