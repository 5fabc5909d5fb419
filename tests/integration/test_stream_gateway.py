"""`batonics stream --gateway` with the gateway of `batonics replay`: exact books from faulty feeds.

The rule: both ends are Batonics, and the protocol is the vendor's. `test_gateway.py` tests the
gateway with the vendor's client.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

import batonics
from batonics.gateway.faults import Faults
from batonics.gateway.pacing import Pace
from batonics.jobs.replay import Replay
from batonics.live.feed_handler import FeedHandler
from batonics.live.feeds import GatewayFeed, GatewaySubscription
from batonics.live.ingest import IngestLoop
from batonics.live.protocol import FeedState
from batonics.model.errors import InputError
from batonics.model.secret import Secret
from batonics.model.times import parse_time
from batonics.settings.table import LiveSettings
from batonics.sources.tcp import TcpAddress
from tests.support.command import SAMPLE
from tests.support.live_feed import ingest_records, ingest_until
from tests.support.real_files import CLX5
from tests.support.replays import KEY, run_replay

DATASET = "GLBX.MDP3"
DEADLINE_S = 30
START_NS = parse_time("2025-09-24T00:00:00Z")


@pytest.fixture
def clx5(test_data: Path) -> Path:
    """A real day of one instrument."""
    return test_data / CLX5


def source_of(
    replay: Replay, *, sample: bool = False, start_ns: int | None = START_NS, key: str = KEY
) -> GatewayFeed:
    """The source of a replay."""
    host, port = replay.address
    dataset, symbols = ("SIM.BATONICS", ("ALL_SYMBOLS",)) if sample else (DATASET, ("CLX5",))
    subscription = GatewaySubscription(
        dataset, symbols, start_ns=start_ns, snapshot=start_ns is None
    )
    return GatewayFeed(TcpAddress(host, port), Secret(key), subscription)


def ingest(feed: GatewayFeed, records: int) -> FeedHandler:
    """The handler of a feed after it has taken this many records."""
    handler = FeedHandler(source="gateway")
    ingest_records(handler, feed, records, settings=QUICK)
    return handler


QUICK = LiveSettings(reconnect_wait_s_max=0.05)
"""Reconnects at once: there are many faults in a short time."""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_faulty_gateway_loses_and_repeats_no_record(clx5: Path, seed: int) -> None:
    faults = Faults(rst=0.4, cut=0.4, dup=500.0, seed=seed)
    with run_replay(clx5, protocol="gateway", faults=faults, pace=Pace(rate=40_000)) as replay:
        handler = ingest(source_of(replay), 38_212)
    stats = handler.stats
    assert (stats.records, stats.gaps) == (38_212, 0)
    assert stats.disconnects > 3
    assert stats.duplicates > 0
    assert_frame_equal(
        batonics.Books(handler.engine, handler.symbols).orders(),
        batonics.reconstruct(clx5).orders(),
    )


def test_a_snapshot_makes_books_exact_at_once() -> None:
    with run_replay(SAMPLE, protocol="gateway", pace=Pace(rate=50_000)) as replay:
        ingest(source_of(replay, sample=True), 20_000)
        handler = ingest(source_of(replay, sample=True, start_ns=None), 5_000)
    assert handler.stats.synced == handler.stats.books == 5
    assert handler.stats.gaps == 0


def test_a_gap_is_filled_by_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    # The gateway is asked for fewer records than are missing, so the feed cannot resume.
    monkeypatch.setattr("batonics.live.feeds.REWIND_NS", -1_000_000_000)
    faults = Faults(cut=0.1, seed=4)
    with run_replay(SAMPLE, protocol="gateway", faults=faults, pace=Pace(rate=50_000)) as replay:
        handler = FeedHandler(source="gateway")

        def is_exact() -> bool:
            synced = handler.published_books.rows["status"].tolist() == 5 * [1]
            return handler.stats.gaps > 0 and handler.stats.feed == FeedState.LIVE and synced

        ingest_until(handler, source_of(replay, sample=True), is_exact, settings=QUICK)
    assert handler.stats.gaps > 0
    assert handler.stats.synced == 5


def test_a_silent_gateway_is_lost_after_the_idle_timeout(clx5: Path) -> None:
    faults = Faults(stall=0.1, stall_ms=20_000, seed=2)
    with run_replay(clx5, protocol="gateway", faults=faults, pace=Pace(rate=40_000)) as replay:
        feed = source_of(replay)
        assert feed.idle_timeout_seconds == 20  # the heartbeat interval and ten seconds
        feed.idle_timeout_seconds = 0.3
        handler = ingest(feed, 38_212)
    assert handler.stats.records == 38_212
    assert handler.stats.disconnects > 0
    assert handler.stats.gaps == 0


def test_another_key_is_refused(clx5: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATONICS_GATEWAY_KEY", KEY)
    with run_replay(clx5, protocol="gateway") as replay:
        feed = source_of(replay, key="db-" + 29 * "x")
        with pytest.raises(InputError, match="the gateway refuses the client"):
            IngestLoop(FeedHandler(source="gateway"), feed).run()


def test_a_failed_request_for_a_snapshot_is_repeated() -> None:
    with run_replay(SAMPLE, protocol="gateway", pace=Pace(rate=50_000)) as replay:
        feed = source_of(replay, sample=True)
        handler = ingest(feed, 5_000)
    handler.engine.mark_stale()
    for _ in range(2):
        with pytest.raises(OSError, match="refused"):
            feed.connect(handler)
        assert feed._next_start(handler) == (None, True)
