"""What a user sees of a replay on a terminal, and the keys that steer it.

The rule: only a terminal is drawn on, only a terminal is listened to, and both are left as they
were found.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from batonics.model.times import NS_PER_S, format_time

if TYPE_CHECKING:
    from batonics.gateway.client_sender import ReplayClient
    from batonics.jobs.replay import Replay

SCREEN_REDRAW_S = 0.25
CLIENT_ROWS_MAX = 20
_JUMPS_S = {b"\x1b[C": 10, b"\x1b[D": -10, b"\x1b[A": 60, b"\x1b[B": -60}
_KEYS = "p or space: pause   left, right: 10 s   down, up: 60 s   q: end"


def show_replay(replay: Replay, console: Console) -> None:
    """Draw the replay until it is done; keys steer it if standard input is a terminal."""
    screen = _Screen(replay)
    with _keys(replay) as keys, Live(console=console, auto_refresh=False, transient=True) as live:
        while not replay.done.wait(SCREEN_REDRAW_S):
            live.update(screen.drawn(_KEYS if keys else ""), refresh=True)


class _Screen:
    """The table of clients, with rates since it was last drawn."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._drawn_at = time.monotonic()
        self._before: dict[int, tuple[int, int]] = {}

    def drawn(self, keys: str) -> Table:
        """The table as it is now."""
        now = time.monotonic()
        passed, self._drawn_at = max(now - self._drawn_at, 1e-9), now
        clients = list(self._replay.clients)
        host, port = self._replay.address
        paused = "  paused" if self._replay.control.paused else ""
        title = f"{self._replay.request.protocol} on {host}:{port}{paused}"
        table = Table(title=title, caption=keys, box=None, padding=(0, 2))
        for name in ("client", "records", "records/s", "MB/s", "position"):
            table.add_column(
                name, justify="right" if name not in ("client", "position") else "left"
            )
        for client in clients[:CLIENT_ROWS_MAX]:
            table.add_row(*self._row(client, passed))
        left_out = len(clients) - CLIENT_ROWS_MAX
        if left_out > 0:
            table.add_row(Text(f"and {left_out} more"))
        if not clients:
            served = len(self._replay.past_clients)
            table.add_row(Text(f"no client; {served} served" if served else "no client yet"))
        self._before = {id(client): (client.units, client.bytes) for client in clients}
        return table

    def _row(self, client: ReplayClient, passed: float) -> tuple[str, ...]:
        units, size = self._before.get(id(client), (client.units, client.bytes))
        position = "" if client.due_ns is None else format_time(client.due_ns) or ""
        return (
            client.name,
            f"{client.units:,}",
            f"{(client.units - units) / passed:,.0f}",
            f"{(client.bytes - size) / passed / 1e6:,.1f}",
            position,
        )


@contextmanager
def _keys(replay: Replay) -> Iterator[bool]:
    """Heed keys; whether there is a terminal that they could come from."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield False
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    ended = threading.Event()
    thread = threading.Thread(
        target=_heed, args=(terminal, replay, ended), name="batonics-keys", daemon=True
    )
    try:
        tty.setcbreak(terminal)
        thread.start()
        yield True
    finally:
        ended.set()
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _heed(terminal: int, replay: Replay, ended: threading.Event) -> None:
    while not ended.is_set():
        if select.select([terminal], [], [], SCREEN_REDRAW_S)[0]:
            handle_key(os.read(terminal, 16), replay)


def handle_key(key: bytes, replay: Replay) -> None:
    """Do what a key says; others say nothing."""
    if key in (b"p", b" "):
        replay.control.toggle()
    elif key in _JUMPS_S:
        replay.control.move(_JUMPS_S[key] * NS_PER_S)
    elif key == b"q":
        replay.done.set()
