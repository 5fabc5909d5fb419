"""`stream --lake` and `lake append` into a bucket: what is committed is what a load of it gives.

The rule here: real processes, and a bucket on a real socket; what becomes of the bucket's calls
never reaches the books.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from batonics.gateway.pacing import FULL_SPEED, Pace
from batonics.lake import bucket_store
from batonics.lake.lake import Lake
from batonics.lake.storage import open_store
from tests.support.bucket_server import LOST, BucketServer, lake, object_keys, server
from tests.support.command import (
    SAMPLE,
    SCRIPT,
    environment,
    error_line,
    run_command,
    run_in_process,
)
from tests.support.dbn_files import DAY_NS, adds, encode, metadata
from tests.support.lakes import lake_digest, load
from tests.support.replays import run_replay

__all__ = ["lake", "server"]  # fixtures

SCHEMAS = ("mbp-10", "trades", "orders", "bbo-1s")
CATALOG = "catalog.sqlite"


def following(lake: str, address: tuple[str, int], *more: str | Path) -> list[str]:
    """The command that follows a feed into a lake, and commits often."""
    host, port = address
    return [
        *("stream", "--connect", f"{host}:{port}", "--once", "--lake", lake),
        *("--lake-schemas", ",".join(SCHEMAS), "--lake-every", "200ms"),
        *map(str, more),
    ]


def follow(
    lake: str, file: Path, *more: str | Path, pace: Pace = FULL_SPEED
) -> tuple[int, list[dict[str, object]]]:
    """Follow a file's replay to its end; the exit code, and what was logged."""
    with run_replay(file, pace=pace) as replay:
        done = run_command(*following(lake, replay.address, *more))
    return done.code, [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]


def events(log: list[dict[str, object]], name: str) -> list[dict[str, object]]:
    return [line for line in log if line["event"] == name]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> object:
    """What a lake in a directory has of the sample."""
    alone = tmp_path_factory.mktemp("alone") / "lake"
    load(alone, SAMPLE, schemas=SCHEMAS)
    return lake_digest(alone)


def check_whole(lake: str, loaded: object) -> None:
    """All of the sample is in the lake, once, and nothing else lies there."""
    assert lake_digest(Path(lake)) == loaded
    assert Lake(lake).check() == []
    assert object_keys(lake) == set(Lake(lake).parts()["path"])


def test_a_followed_feed_is_in_the_bucket(lake: str, loaded: object) -> None:
    code, log = follow(lake, SAMPLE, pace=Pace(rate=8_000))
    assert code == 0, log
    assert len(events(log, "lake_committed")) > 1
    check_whole(lake, loaded)
    # Its commits make small parts, which become few.
    assert run_in_process("lake", "compact", "--lake", lake, "-q").code == 0
    assert lake_digest(Path(lake)) == loaded


def test_a_second_run_goes_into_the_same_bucket(lake: str, tmp_path: Path) -> None:
    first, second = tmp_path / "1.dbn", tmp_path / "2.dbn"
    first.write_bytes(metadata() + encode(adds(10)))
    second.write_bytes(metadata() + encode(adds(20, ts_recv=DAY_NS + 10**9)))
    for file in (first, second):
        assert follow(lake, file)[0] == 0
    assert Lake(lake).scan("mbp-10").collect().height == 30
    assert Lake(lake).sources()["source"].n_unique() == 2


@pytest.mark.parametrize("how", [LOST, 412, 503])
def test_a_bucket_that_stumbles_loses_and_doubles_nothing(
    how: int, lake: str, server: BucketServer, loaded: object
) -> None:
    open_store(lake, make=True)
    with server.counted() as calls, server.failing("CAS", CATALOG, how, times=2):
        code, log = follow(lake, SAMPLE)
    assert code == 0, log
    assert calls["CAS", 500 if how == LOST else how] >= 2
    assert events(log, "lake_failed") == []
    check_whole(lake, loaded)


def test_a_bucket_that_fails_stops_no_book(lake: str, server: BucketServer, tmp_path: Path) -> None:
    made = run_in_process("lake", "load", SAMPLE, "--lake", lake, "--schemas", "trades", "-q")
    assert made.code == 0
    before, book, alone = lake_digest(Path(lake)), tmp_path / "book.json", tmp_path / "alone.json"
    with server.failing("CAS", CATALOG, 403):
        code, log = follow(lake, SAMPLE, "--out", book)
    assert code == 4
    assert [line["reason"] for line in events(log, "lake_failed")] != []
    assert run_in_process("reconstruct", SAMPLE, "--out", alone, "-q").code == 0
    ours, theirs = json.loads(book.read_text()), json.loads(alone.read_text())
    assert ours["books"] == theirs["books"]
    assert lake_digest(Path(lake)) == before


def test_a_killed_stream_keeps_what_was_committed(
    lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_replay(SAMPLE, pace=Pace(rate=8_000)) as replay:
        process = subprocess.Popen(
            [*SCRIPT, *following(lake, replay.address)],
            env=environment(),
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stderr is not None
        said = b""
        while b"lake_committed" not in said:
            said = process.stderr.readline()
            assert said, "it has ended"
        committed = Lake(lake).scan("mbp-10").collect().height
        assert committed > 0
        # The process that appends is a group of its own: it sees that its input has ended.
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    _wait_until_still(lake)
    held = Lake(lake).scan("mbp-10").collect()
    assert held.height >= committed
    alone = tmp_path / "alone"
    load(alone, SAMPLE, schemas=SCHEMAS)
    whole = Lake(alone).scan("mbp-10").collect()
    for symbol, rows in held.partition_by("symbol", as_dict=True).items():
        expected = whole.filter(symbol=symbol[0])
        assert rows.equals(expected.head(rows.height))
    assert Lake(lake).check() == []
    monkeypatch.setattr(bucket_store, "ORPHAN_SECONDS", -60)
    assert run_in_process("lake", "vacuum", "--lake", lake, "-q").code == 0
    assert object_keys(lake) == set(Lake(lake).parts()["path"])


def _wait_until_still(lake: str) -> None:
    """Wait until nobody commits any more."""
    parts, since = -1, time.monotonic()
    while time.monotonic() - since < 3:
        found = Lake(lake).parts().height
        if found != parts:
            parts, since = found, time.monotonic()
        time.sleep(0.2)


def test_an_append_into_a_bucket_is_what_a_load_gives(lake: str, loaded: object) -> None:
    append = ("lake", "append", "--lake", lake, "--name", "x", "--schemas", ",".join(SCHEMAS))
    done = run_command(*append, stdin=SAMPLE.read_bytes())
    assert (done.code, done.out) == (0, b""), done.err
    check_whole(lake, loaded)


def test_a_bucket_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch, lake: str) -> None:
    nowhere = "s3://no-such-bucket/lake"
    words = error_line(
        run_in_process("stream", "--connect", "127.0.0.1:9", "--once", "--lake", nowhere), 4
    )
    assert words.startswith(nowhere)
    assert "NoSuchBucket" in words
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost")
    words = error_line(
        run_in_process("stream", "--connect", "127.0.0.1:9", "--once", "--lake", lake), 2
    )
    assert "endpoint 'localhost'" in words
