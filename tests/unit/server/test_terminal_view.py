"""The books on a terminal: what is shown, and that a terminal that waits stops nobody."""

from __future__ import annotations

import contextlib
import io
import os
import time

import pytest
from rich.console import Console

from batonics.live.protocol import FeedState
from batonics.live.stats import LATENCY_BOUNDS_US, FeedStats
from batonics.server.terminal_view import Rates, _duration, _ScreenWriter, quantile, render_screen
from tests.support.fanout_harness import FanoutHarness

NONE = [0] * (len(LATENCY_BOUNDS_US) + 1)


@pytest.mark.parametrize(
    ("counts", "p50", "p99"),
    [
        (NONE, "-", "-"),
        ([1, *NONE[1:]], "10 us", "10 us"),
        ([0, 98, 0, 0, 0, 0, 2, *NONE[7:]], "20 us", "1 ms"),
        ([*NONE[:-1], 1], "beyond", "beyond"),
    ],
)
def test_quantiles_are_bounds_of_buckets(counts: list[int], p50: str, p99: str) -> None:
    assert (quantile(counts, 0.5), quantile(counts, 0.99)) == (p50, p99)


def test_rates_are_of_the_last_moments() -> None:
    rates = Rates()
    rates.add(0.0, FeedStats(records=0, bytes=0))
    assert rates.per_second() == (0.0, 0.0)
    for second in range(1, 11):
        rates.add(float(second), FeedStats(records=100 * second**2, bytes=56 * second))
    assert rates.per_second() == (1800.0, 56.0)


def shown(harness: FanoutHarness, rows: int) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=100, markup=False)
    rates = Rates()
    rates.add(0.0, harness.replica.stats)
    console.print(render_screen(harness.replica, rates, 4, rows))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_picture() -> None:
    harness = FanoutHarness()
    harness.replica.apply_names([[2, 1, 1002, "\x1b[31mX"]])
    lines = shown(harness, 5)
    assert lines[0] == "a test  feed live  lag -  clients 4  gaps 0"
    assert lines[1].startswith("0 records  0/s  0.00 MB/s  latency p50 -  p99 -")
    assert lines[2].split() == [
        "symbol", "pub", "status", "bid", "size", "ask", "size", "events",
    ]  # fmt: skip
    assert lines[3].split() == ["CLX5", "1", "synced", "65", "5", "65.01", "5", "1"]
    assert lines[5].startswith(r"\x1b[31mX ")
    harness.feed(FeedState.LOST)
    assert shown(harness, 5)[3].split()[2] == "stale"
    assert shown(harness, 2)[4:] == ["and 2 more books"]


@pytest.mark.alone
def test_a_terminal_that_waits_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as full, os.fdopen(reading, "rb") as taken:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        os.set_blocking(writing, True)
        monkeypatch.setattr("sys.stdout", full)
        painter = _ScreenWriter(Console(file=full, force_terminal=True, width=80, height=24))
        started = time.monotonic()
        painter.show("books")
        painter.end()
        assert time.monotonic() - started < 3
        while painter._thread.is_alive():  # the terminal takes bytes again, and the thread ends
            os.set_blocking(reading, False)
            taken.read(1 << 16)
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("length_ns", "text"),
    [
        (1_234_567, "1.2 ms"),
        (-3_000_000, "-3.0 ms"),
        (5_000_000_000, "5 s"),
        (9_000_000_000_000, "2 h"),
        (31_536_000_000_000_000, "365 d"),
    ],
)
def test_a_lag_is_told_in_what_it_fills(length_ns: int, text: str) -> None:
    assert _duration(length_ns) == text
