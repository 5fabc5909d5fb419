"""`batonics stream --gateway` on our own gateway: what a faulty feed comes to is exact.

The rule: both ends are ours, the protocol between them is the vendor's; that the gateway is as the
vendor's is for `test_gateway.py`, with the vendor's client, to say.
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
from batonics.model.times import parse_time
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


def feed_of(
    replay: Replay, *, sample: bool = False, start_ns: int | None = START_NS, key: str = KEY
) -> GatewayFeed:
    """Our client of a replay."""
    host, port = replay.address
    dataset, symbols = ("SIM.BATONICS", ("ALL_SYMBOLS",)) if sample else (DATASET, ("CLX5",))
    subscription = GatewaySubscription(
        dataset, symbols, start_ns=start_ns, snapshot=start_ns is None
    )
    return GatewayFeed(TcpAddress(host, port), key, subscription)


def followed(feed: GatewayFeed, records: int) -> FeedHandler:
    """What a feed comes to once so many records have been taken."""
    handler = FeedHandler(source="gateway")
    ingest_records(handler, feed, records)
    return handler


@pytest.fixture
def quiet_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many faults in a short time: nobody waits long for the next try."""
    monkeypatch.setattr("batonics.live.backoff.SECONDS_MAX", 0.05)


@pytest.mark.usefixtures("quiet_backoff")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_faulty_gateway_loses_and_doubles_nothing(clx5: Path, seed: int) -> None:
    faults = Faults(rst=0.4, cut=0.4, dup=500.0, seed=seed)
    with run_replay(clx5, protocol="gateway", faults=faults, pace=Pace(rate=40_000)) as replay:
        handler = followed(feed_of(replay), 38_212)
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
        followed(feed_of(replay, sample=True), 20_000)
        handler = followed(feed_of(replay, sample=True, start_ns=None), 5_000)
    assert handler.stats.synced == handler.stats.books == 5
    assert handler.stats.gaps == 0


def test_a_gap_is_filled_by_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    # The gateway is asked for less than what was missed, so that the places cannot meet.
    monkeypatch.setattr("batonics.live.feeds.REWIND_NS", -1_000_000_000)
    monkeypatch.setattr("batonics.live.backoff.SECONDS_MAX", 0.05)
    faults = Faults(cut=0.1, seed=4)
    with run_replay(SAMPLE, protocol="gateway", faults=faults, pace=Pace(rate=50_000)) as replay:
        handler = FeedHandler(source="gateway")

        def is_exact() -> bool:
            synced = handler.published_books.rows["status"].tolist() == 5 * [1]
            return handler.stats.gaps > 0 and handler.stats.feed == FeedState.LIVE and synced

        ingest_until(handler, feed_of(replay, sample=True), is_exact)
    assert handler.stats.gaps > 0
    assert handler.stats.synced == 5


@pytest.mark.usefixtures("quiet_backoff")
def test_a_silent_gateway_counts_as_hung_and_is_left(clx5: Path) -> None:
    faults = Faults(stall=0.1, stall_ms=20_000, seed=2)
    with run_replay(clx5, protocol="gateway", faults=faults, pace=Pace(rate=40_000)) as replay:
        feed = feed_of(replay)
        assert feed.idle_timeout_seconds == 20  # its heartbeats' interval, and ten seconds
        feed.idle_timeout_seconds = 0.3
        handler = followed(feed, 38_212)
    assert handler.stats.records == 38_212
    assert handler.stats.disconnects > 0
    assert handler.stats.gaps == 0


def test_another_key_is_refused(clx5: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATONICS_GATEWAY_KEY", KEY)
    with run_replay(clx5, protocol="gateway") as replay:
        feed = feed_of(replay, key="db-" + 29 * "x")
        with pytest.raises(InputError, match="the gateway refuses us"):
            IngestLoop(FeedHandler(source="gateway"), feed).run()


def test_a_snapshot_that_could_not_be_had_is_asked_for_again() -> None:
    with run_replay(SAMPLE, protocol="gateway", pace=Pace(rate=50_000)) as replay:
        feed = feed_of(replay, sample=True)
        handler = followed(feed, 5_000)
    handler.engine.mark_stale()
    for _ in range(2):
        with pytest.raises(OSError, match="refused"):
            feed.connect(handler)
        assert feed._next_start(handler) == (None, True)
