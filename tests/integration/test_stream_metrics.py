"""Row 19: the counters that a monitor scrapes are the ledger of the faults that were injected."""

from __future__ import annotations

import subprocess
import time
from threading import Event
from urllib.request import urlopen

import orjson
import pytest

from batonics.codec.dbn import encode_records
from batonics.gateway.fault_simulation import simulate_connections
from batonics.gateway.faults import Faults
from tests.support.command import SCRIPT, environment
from tests.support.faults_feeds import HEAD, count_gaps, make_records, split_records
from tests.support.live_feed import LiveFeed, ServedConnection
from tests.support.streams import batch_of

FAULTS = {
    "lost connections": Faults(cut=8, dup=600, seed=3),
    "lost records and connections": Faults(drop=20, cut=15, seed=4),
}
WAIT_S = 60


@pytest.mark.parametrize("kind", FAULTS)
def test_the_counters_are_the_ledger(kind: str) -> None:
    rows = make_records(11)
    connections, ledger = simulate_connections(HEAD + encode_records(batch_of(rows)), FAULTS[kind])
    received = [split_records(connection.chunks) for connection in connections]
    expected = {
        "records": len(rows) - ledger.drop,
        "duplicates": ledger.repeated,
        "gaps": count_gaps(received),
        "connects": len(connections),
        "disconnects": len(connections) - 1,
        "bytes": sum(len(chunk) for connection in connections for chunk in connection.chunks),
        "skipped": 0,
        "stalls": 0,
    }
    hold = Event()
    served = [ServedConnection(b"".join(connection.chunks)) for connection in connections]
    served[-1] = served[-1]._replace(pause=hold)
    with LiveFeed(served) as feed:
        process = subprocess.Popen(
            [*SCRIPT, "stream", "--connect", feed.address, "--http", "127.0.0.1:0"],
            env=environment(BATONICS_LIVE_RECONNECT_WAIT_S="0.01"),
            stderr=subprocess.PIPE,
        )
        try:
            assert process.stderr is not None
            lines = (line for line in process.stderr if line.startswith(b"{"))
            events = map(orjson.loads, lines)
            address = next(line["http"] for line in events if line["event"] == "server_started")
            found = _counters(address, expected)
            deadline = time.monotonic() + WAIT_S
            while found != expected and time.monotonic() < deadline:
                time.sleep(0.05)
                found = _counters(address, expected)
        finally:
            hold.set()
            process.terminate()
            process.communicate(timeout=WAIT_S)
    assert found == expected
    assert expected["connects"] > 1
    assert expected["gaps"] > 0


def _counters(address: str, names: dict[str, int]) -> dict[str, int]:
    """The counters of these names, as they are scraped."""
    with urlopen(f"http://{address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if line[0] != "#")
    return {name: int(float(values[f"batonics_{name}_total"])) for name in names}
