"""Every request of a load into a bucket fails once, or the process is killed at it.

The rule here: afterwards the lake is as before the load or as after it, a refusal is one line, and
the same load again makes the lake whole.
"""

from __future__ import annotations

import os
import signal
from itertools import count
from pathlib import Path

import pytest

from batonics.lake import bucket_store
from batonics.lake.lake import Lake
from batonics.model.mbo import Action
from tests.support.bucket_server import LOST, BucketServer, Fault, lake, object_keys, server
from tests.support.command import error_line, run_in_process
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.faults_syscalls import faulty_commands
from tests.support.sweep import sample

__all__ = ["lake", "server"]  # fixtures

ROWS = 3
SHARE = 0.4
"""Of the requests, what CI runs."""
DAY_LONG_NS = 86_400_000_000_000


class Days:
    """A lake in a bucket that gets one day after the other.

    Args:
        lake: its URL.
        directory: directory for the files of the days.
    """

    def __init__(self, lake: str, directory: Path) -> None:
        self.lake, self._directory = lake, directory
        self.held = 0
        self.load()

    @property
    def arguments(self) -> tuple[str | Path, ...]:
        """The command that loads the next day."""
        file = self._directory / f"{self.held}.dbn"
        at = DAY_NS + self.held * DAY_LONG_NS
        rows = [record(Action.TRADE, ts_recv=at + number) for number in range(ROWS)]
        file.write_bytes(metadata() + encode(rows))
        return ("lake", "load", file, "--lake", self.lake, "--schemas", "mbo,trades", "-q")

    def load(self) -> None:
        """Load the next day."""
        assert run_in_process(*self.arguments).code == 0
        self.held += 1

    def check(self) -> None:
        """The lake is as before or after the load of the next day, which then makes it whole."""
        found = {schema: Lake(self.lake).scan(schema).collect() for schema in ("mbo", "trades")}
        days = {schema: rows["date"].unique().len() for schema, rows in found.items()}
        assert days["mbo"] == days["trades"]
        assert days["mbo"] in (self.held, self.held + 1)
        assert all(rows.height == ROWS * days[schema] for schema, rows in found.items())
        self.load()
        assert Lake(self.lake).check() == []
        assert Lake(self.lake).scan("mbo").collect().height == ROWS * self.held


def at_request(number: int, fault: int, *, rest: bool) -> Fault:
    """The request of that number ends so, from 1; and all after it if `rest`."""
    requests = count(1)

    def decide(_method: str, _path: str) -> int | None:
        request = next(requests)
        return fault if request == number or (rest and request > number) else None

    return decide


@pytest.fixture
def days(lake: str, tmp_path: Path) -> Days:
    return Days(lake, tmp_path)


@pytest.fixture
def requests(days: Days, server: BucketServer) -> int:
    """How many requests a load makes."""
    with server.counted() as calls:
        days.load()
    return sum(calls.values())


@pytest.fixture(autouse=True)
def _no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATONICS_LAKE_RETRIES_MAX", "0")


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("fault", "rest"),
    [(503, True), (LOST, False), (403, False)],
    ids=["the server is gone", "an answer is lost", "one is forbidden"],
)
def test_a_request_that_fails_leaves_the_lake_as_it_was(
    fault: int, rest: bool, days: Days, requests: int, server: BucketServer
) -> None:
    refused = 0
    numbers = sample(range(1, requests + 1), SHARE)
    for number in numbers:
        with server.faulty(at_request(number, fault, rest=rest)):
            done = run_in_process(*days.arguments)
        if done.code:
            assert error_line(done, done.code).startswith(days.lake), number
            assert done.code in (4, 6)
            refused += 1
        days.check()
    print(f"{len(numbers)} requests fail: {refused} loads refused in one line, none half there")
    assert refused > 0


@pytest.mark.sweep
def test_a_kill_at_any_request_loses_and_doubles_nothing(
    days: Days,
    requests: int,
    server: BucketServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = sample(range(1, requests + 1), SHARE)
    with faulty_commands(tmp_path / "no directory", tmp_path) as commands:
        for number in numbers:
            calls = count(1)

            def kill(
                _method: str, _path: str, at: int = number, calls: count[int] = calls
            ) -> int | None:
                if next(calls) != at:
                    return None
                os.kill(commands.pid, signal.SIGKILL)
                return 500

            with server.faulty(kill):
                done = commands.run(*days.arguments)
            assert done.status == -signal.SIGKILL, (number, done)
            days.check()
    print(f"{len(numbers)} kills: nothing lost, doubled or unreadable")
    # What they have left goes with a vacuum, once it is old.
    monkeypatch.setattr(bucket_store, "ORPHAN_SECONDS", -60)
    assert run_in_process("lake", "vacuum", "--lake", days.lake).code == 0
    assert object_keys(days.lake) == set(Lake(days.lake).parts()["path"])
    assert requests > 4
