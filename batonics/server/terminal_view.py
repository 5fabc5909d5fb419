"""The books on a terminal, as they change.

The rule here: a terminal that accepts no output (^S) stops nothing. The loop renders the screen
some times a second. A thread writes it, and only this thread waits for the terminal. At the end the
terminal is restored, even if that thread still waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from batonics.live.stats import LATENCY_BOUNDS_US, FeedStats
from batonics.model.prices import format_price
from batonics.server.fanout import Fanout
from batonics.server.launch import RESTORE_TERMINAL
from batonics.server.replica import BookReplica, PriceLevel
from batonics.server.service import Service

RATE_S = 2.0
"""The time over which a rate is measured."""
HEAD_LINES = 4
"""Lines of the terminal that show no book."""
_END_S = 1.0
_STYLES = {
    "synced": "green",
    "cold": "yellow",
    "stale": "bold red",
    "live": "green",
    "stalled": "yellow",
}


async def show_books(service: Service, fanout: Fanout) -> None:
    """Show the books until cancelled."""
    console = Console(markup=False, emoji=False, highlight=False)
    rates, painter = Rates(), _ScreenWriter(console)
    loop = asyncio.get_running_loop()
    try:
        while True:
            rates.add(loop.time(), service.replica.stats)
            height = max(1, console.height - HEAD_LINES)
            painter.show(render_screen(service.replica, rates, len(fanout.clients), height))
            await asyncio.sleep(service.config.settings.screen_interval_s)
    finally:
        painter.end()


async def stop_showing(painting: asyncio.Task[None]) -> None:
    """Cancel it, and wait until the terminal is restored."""
    painting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await painting


class Rates:
    """Records and bytes a second, from the counts of the last RATE_S."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int, int]] = deque()

    def add(self, now: float, stats: FeedStats) -> None:
        """Add the counts now; `now` is in seconds of any clock."""
        self._counts.append((now, stats.records, stats.bytes))
        while now - self._counts[0][0] > RATE_S:
            self._counts.popleft()

    def per_second(self) -> tuple[float, float]:
        """Records and bytes a second."""
        first, last = self._counts[0], self._counts[-1]
        seconds = last[0] - first[0]
        if not seconds:
            return 0.0, 0.0
        return (last[1] - first[1]) / seconds, (last[2] - first[2]) / seconds


def quantile(counts: Sequence[int], share: float) -> str:
    """The upper bound of the latency bucket that reaches a share of all batches."""
    wanted, reached = share * sum(counts), 0
    for bound_us, count in zip(LATENCY_BOUNDS_US, counts, strict=False):
        reached += count
        if reached and reached >= wanted:
            return f"{bound_us} us" if bound_us < 1000 else f"{bound_us // 1000} ms"
    return "beyond" if sum(counts) else "-"


def render_screen(replica: BookReplica, rates: Rates, clients: int, rows: int) -> RenderableType:
    """The screen: a line on the feed, one on ingest, and at most `rows` books."""
    stats = replica.stats
    records, size = rates.per_second()
    lag = "-" if stats.lag_ns is None else _duration(stats.lag_ns)
    head = Text.assemble(
        _printable(replica.source),
        "  feed ",
        (replica.feed, _STYLES.get(replica.feed, "bold red")),
        f"  lag {lag}  clients {clients}  gaps {stats.gaps}",
    )
    counts = Text(
        f"{stats.records:,} records  {records:,.0f}/s  {size / 1e6:,.2f} MB/s  latency"
        f" p50 {quantile(stats.latency_us, 0.5)}  p99 {quantile(stats.latency_us, 0.99)}"
    )
    shown = rows if replica.book_count <= rows else rows - 1
    listed = [key.book for key in replica.keys_after(None, shown)]
    left_out = replica.book_count - len(listed)
    more = [Text(f"and {left_out} more books")] if left_out else []
    return Group(head, counts, _table(replica, listed), *more)


def _table(replica: BookReplica, books: Sequence[int]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1))
    for title in ("symbol", "pub", "status"):
        table.add_column(title, no_wrap=True)
    for title, style in (("bid", "green"), ("size", "green"), ("ask", "red"), ("size", "red")):
        table.add_column(title, justify="right", style=style, no_wrap=True)
    table.add_column("events", justify="right", no_wrap=True)
    for book in books:
        name, state = replica.names[book], replica.state(book)
        status = replica.status(state)
        table.add_row(
            _printable(name.symbol or f"#{name.instrument_id}"),
            str(name.publisher_id),
            Text(status, style=_STYLES[status]),
            *_best(state.bids),
            *_best(state.asks),
            f"{state.events:,}",
        )
    return table


def _best(levels: Sequence[PriceLevel]) -> tuple[str, str]:
    return (format_price(levels[0][0]) or "-", f"{levels[0][1]:,}") if levels else ("-", "")


def _printable(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


class _ScreenWriter:
    """Writes the last screen from a thread of its own."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._screen: RenderableType = ""
        self._changed = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="batonics-view", daemon=True)
        self._thread.start()

    def show(self, screen: RenderableType) -> None:
        self._screen = screen
        self._changed.set()

    def end(self) -> None:
        self._ended = True
        self._changed.set()
        self._thread.join(_END_S)
        if self._thread.is_alive():
            # It waits for a terminal that may never accept a byte again.
            with contextlib.suppress(OSError):
                _write_at_once(RESTORE_TERMINAL)

    def _run(self) -> None:
        with (
            contextlib.suppress(OSError),  # the terminal has gone
            Live(console=self._console, screen=True, auto_refresh=False) as live,
        ):
            while True:
                self._changed.wait()
                self._changed.clear()
                if self._ended:
                    return
                live.update(self._screen, refresh=True)


def _write_at_once(text: str) -> None:
    """Write to standard output without waiting; what it does not accept is lost."""
    fd = sys.stdout.fileno()
    blocking = os.get_blocking(fd)
    os.set_blocking(fd, False)
    try:
        os.write(fd, text.encode())
    finally:
        os.set_blocking(fd, blocking)


def _duration(length_ns: int) -> str:
    """A length of time in its largest unit; the lag of a replayed day is years."""
    units = (("d", 86_400e9), ("h", 3_600e9), ("s", 1e9))
    for name, unit_ns in units:
        if abs(length_ns) >= 2 * unit_ns:
            return f"{length_ns / unit_ns:,.0f} {name}"
    return f"{length_ns / 1e6:,.1f} ms"
