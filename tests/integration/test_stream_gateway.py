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
from batonics.live.feeds import GatewayFeed, Subscription
from batonics.live.ingest import Ingest
from batonics.live.machine import FeedMachine
from batonics.live.wire import Feed
from batonics.model.errors import InputError
from batonics.model.times import parse_time
from batonics.sources.tcp import Address
from tests.golden.files import CLX5
from tests.integration.command import SAMPLE
from tests.integration.live_feed import follow, follow_until
from tests.integration.replays import KEY, replaying

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
    subscription = Subscription(dataset, symbols, start_ns=start_ns, snapshot=start_ns is None)
    return GatewayFeed(Address(host, port), key, subscription)


def followed(feed: GatewayFeed, records: int) -> FeedMachine:
    """What a feed comes to once so many records have been taken."""
    machine = FeedMachine(source="gateway")
    follow(machine, feed, records)
    return machine


@pytest.fixture
def quiet_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many faults in a short time: nobody waits long for the next try."""
    monkeypatch.setattr("batonics.live.backoff.SECONDS_MAX", 0.05)


@pytest.mark.usefixtures("quiet_backoff")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_faulty_gateway_loses_and_doubles_nothing(clx5: Path, seed: int) -> None:
    faults = Faults(rst=0.4, cut=0.4, dup=500.0, seed=seed)
    with replaying(clx5, protocol="gateway", faults=faults, pace=Pace(rate=40_000)) as replay:
        machine = followed(feed_of(replay), 38_212)
    stats = machine.stats
    assert (stats.records, stats.gaps) == (38_212, 0)
    assert stats.disconnects > 3
    assert stats.duplicates > 0
    assert_frame_equal(
        batonics.Books(machine.engine, machine.symbols).orders(),
        batonics.reconstruct(clx5).orders(),
    )


def test_a_snapshot_makes_books_exact_at_once() -> None:
    with replaying(SAMPLE, protocol="gateway", pace=Pace(rate=50_000)) as replay:
        followed(feed_of(replay, sample=True), 20_000)
        machine = followed(feed_of(replay, sample=True, start_ns=None), 5_000)
    assert machine.stats.synced == machine.stats.books == 5
    assert machine.stats.gaps == 0


def test_a_gap_is_filled_by_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    # The gateway is asked for less than what was missed, so that the places cannot meet.
    monkeypatch.setattr("batonics.live.feeds.GO_BACK_NS", -1_000_000_000)
    monkeypatch.setattr("batonics.live.backoff.SECONDS_MAX", 0.05)
    faults = Faults(cut=0.1, seed=4)
    with replaying(SAMPLE, protocol="gateway", faults=faults, pace=Pace(rate=50_000)) as replay:
        machine = FeedMachine(source="gateway")

        def is_exact() -> bool:
            synced = machine.published.rows["status"].tolist() == 5 * [1]
            return machine.stats.gaps > 0 and machine.stats.feed == Feed.LIVE and synced

        follow_until(machine, feed_of(replay, sample=True), is_exact)
    assert machine.stats.gaps > 0
    assert machine.stats.synced == 5


@pytest.mark.usefixtures("quiet_backoff")
def test_a_silent_gateway_counts_as_hung_and_is_left(clx5: Path) -> None:
    faults = Faults(stall=0.1, stall_ms=20_000, seed=2)
    with replaying(clx5, protocol="gateway", faults=faults, pace=Pace(rate=40_000)) as replay:
        feed = feed_of(replay)
        assert feed.hung_seconds == 20  # its heartbeats' interval, and ten seconds
        feed.hung_seconds = 0.3
        machine = followed(feed, 38_212)
    assert machine.stats.records == 38_212
    assert machine.stats.disconnects > 0
    assert machine.stats.gaps == 0


def test_another_key_is_refused(clx5: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATONICS_GATEWAY_KEY", KEY)
    with replaying(clx5, protocol="gateway") as replay:
        feed = feed_of(replay, key="db-" + 29 * "x")
        with pytest.raises(InputError, match="the gateway refuses us"):
            Ingest(FeedMachine(source="gateway"), feed).run()


def test_a_snapshot_that_could_not_be_had_is_asked_for_again() -> None:
    with replaying(SAMPLE, protocol="gateway", pace=Pace(rate=50_000)) as replay:
        feed = feed_of(replay, sample=True)
        machine = followed(feed, 5_000)
    machine.engine.mark_stale()
    for _ in range(2):
        with pytest.raises(OSError, match="refused"):
            feed.connect(machine)
        assert feed._where(machine) == (None, True)
