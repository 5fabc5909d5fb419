"""The display of a replay on a terminal, and the keys that control it.

The rule: the display needs a terminal on standard error, the keys need one on standard input, and
both terminals are restored at the end.
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
_KEYS_HELP = "p or space: pause   left, right: 10 s   down, up: 60 s   q: end"


def show_replay(replay: Replay, console: Console) -> None:
    """Show the replay until it is done; keys control it if standard input is a terminal."""
    table = _ClientTable(replay)
    with (
        _read_keys(replay) as has_keys,
        Live(console=console, auto_refresh=False, transient=True) as live,
    ):
        while not replay.done.wait(SCREEN_REDRAW_S):
            live.update(table.render(_KEYS_HELP if has_keys else ""), refresh=True)


class _ClientTable:
    """The table of clients, with rates since it was last rendered."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._rendered_at = time.monotonic()
        self._counts_before: dict[int, tuple[int, int]] = {}  # units and bytes, by client

    def render(self, caption: str) -> Table:
        """The table as of now."""
        now = time.monotonic()
        seconds, self._rendered_at = max(now - self._rendered_at, 1e-9), now
        clients = list(self._replay.clients)
        host, port = self._replay.address
        paused = "  paused" if self._replay.control.is_paused else ""
        title = f"{self._replay.request.protocol} on {host}:{port}{paused}"
        table = Table(title=title, caption=caption, box=None, padding=(0, 2))
        for name in ("client", "records", "records/s", "MB/s", "position"):
            table.add_column(
                name, justify="right" if name not in ("client", "position") else "left"
            )
        for client in clients[:CLIENT_ROWS_MAX]:
            table.add_row(*self._row(client, seconds))
        hidden = len(clients) - CLIENT_ROWS_MAX
        if hidden > 0:
            table.add_row(Text(f"and {hidden} more"))
        if not clients:
            served = len(self._replay.past_clients)
            table.add_row(Text(f"no client; {served} served" if served else "no client yet"))
        self._counts_before = {id(client): (client.units, client.bytes) for client in clients}
        return table

    def _row(self, client: ReplayClient, seconds: float) -> tuple[str, ...]:
        units, size = self._counts_before.get(id(client), (client.units, client.bytes))
        position = "" if client.due_ns is None else format_time(client.due_ns) or ""
        return (
            client.name,
            f"{client.units:,}",
            f"{(client.units - units) / seconds:,.0f}",
            f"{(client.bytes - size) / seconds / 1e6:,.1f}",
            position,
        )


@contextmanager
def _read_keys(replay: Replay) -> Iterator[bool]:
    """Obey keys within the block; whether standard input is a terminal."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield False
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    ended = threading.Event()
    thread = threading.Thread(
        target=_handle_keys, args=(terminal, replay, ended), name="batonics-keys", daemon=True
    )
    try:
        tty.setcbreak(terminal)
        thread.start()
        yield True
    finally:
        ended.set()
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _handle_keys(terminal: int, replay: Replay, ended: threading.Event) -> None:
    while not ended.is_set():
        if select.select([terminal], [], [], SCREEN_REDRAW_S)[0]:
            handle_key(os.read(terminal, 16), replay)


def handle_key(key: bytes, replay: Replay) -> None:
    """Do what a key stands for; ignore other keys."""
    if key in (b"p", b" "):
        replay.control.toggle_pause()
    elif key in _JUMPS_S:
        replay.control.jump_by(_JUMPS_S[key] * NS_PER_S)
    elif key == b"q":
        replay.done.set()
