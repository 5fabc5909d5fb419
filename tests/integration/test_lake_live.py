"""`batonics lake append` and `stream --lake`: what is committed is what a load of the same gives.

The rule: real processes and sockets; a commit is as often as it takes to have many.
"""

from __future__ import annotations

import errno
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from batonics.book.engine import BookEngine
from batonics.jobs import lake_append
from batonics.jobs.lake_append import AppendRequest, LakeAppend
from batonics.lake.lake import Lake
from batonics.lake.parts import PartsWriter
from batonics.live.lake_output import LakeOutput
from batonics.model.errors import InputError, OutputError
from batonics.model.mbo import Action, Flag, MboBatch
from tests.support.command import SAMPLE, SCRIPT, environment, error_line, run_in_process
from tests.support.dbn_files import DAY_NS, adds, encode, metadata, record
from tests.support.lakes import lake_digest, load
from tests.support.replays import run_replay
from tests.support.streams import batch_of

SCHEMAS = ("mbp-10", "trades", "orders", "bbo-1s", "depth-1s", "mbo")


def append(lake: Path, path: Path, *, name: str = "feed", seconds: float = 60.0) -> int:
    """Append a file; how many commits there were."""
    run = LakeAppend(AppendRequest(str(lake), name, str(path), SCHEMAS, seconds))
    commits: list[object] = []
    run.on_commit = commits.append
    run.run()
    return len(commits)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = tmp_path_factory.mktemp("loaded") / "lake"
    load(lake, SAMPLE, schemas=SCHEMAS)
    return lake


@pytest.mark.parametrize("seconds", [60.0, 0.001])
def test_what_is_appended_is_what_is_loaded(seconds: float, loaded: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    commits = append(lake, SAMPLE, seconds=seconds)
    assert commits == 1 if seconds == 60 else commits > 1
    assert lake_digest(lake) == lake_digest(loaded)
    assert run_in_process("lake", "compact", "--lake", lake, "-q").code == 0
    assert lake_digest(lake) == lake_digest(loaded)
    assert Lake(lake).check() == []


def test_a_second_stream_of_a_name_goes_behind_the_first(tmp_path: Path) -> None:
    lake, file = tmp_path / "lake", tmp_path / "a.dbn"
    for number in range(2):
        file.write_bytes(metadata() + encode(adds(4, ts_recv=DAY_NS + number * 1_000_000)))
        append(lake, file)
    times = Lake(lake).scan("mbo").filter(symbol="AAA").collect()["ts_recv"]
    assert len(times) == 4
    assert times.is_sorted()
    sources = Lake(lake).store.catalog.read(
        lambda connection: connection.execute("SELECT name FROM source").fetchall()
    )
    assert sources == [("feed",)]


def test_what_came_before_damage_is_in_the_lake(tmp_path: Path) -> None:
    lake, file = tmp_path / "lake", tmp_path / "a.dbn"
    file.write_bytes(metadata() + encode(adds(6))[:-5])
    with pytest.raises(InputError):
        append(lake, file)
    assert Lake(lake).scan("mbo").collect().height == 5
    done = run_in_process("lake", "append", "--lake", lake, "--name", "x", "--schemas", "nope")
    assert "no schema 'nope'" in error_line(done, 2)


def test_a_killed_stream_keeps_what_was_committed(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    process = subprocess.Popen(
        [
            *SCRIPT,
            "lake",
            "append",
            "--lake",
            str(lake),
            "--name",
            "x",
            "--schemas",
            "mbo,trades",
            "--commit-every",
            "100ms",
        ],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdin is not None
    assert process.stderr is not None
    head, rows = metadata(), adds(40)
    process.stdin.write(head + encode(rows[:20]))
    process.stdin.flush()
    said = process.stderr.readline()
    assert b"lake_committed" in said
    process.stdin.write(encode(rows[20:])[:-7])
    process.stdin.flush()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    held = Lake(lake).scan("mbo").collect().height
    assert held in (20, 39)
    assert run_in_process("lake", "vacuum", "--lake", lake, "-q").code == 0
    assert Lake(lake).check() == []
    assert Lake(lake).scan("mbo").collect().height == held


def test_a_followed_feed_is_in_the_lake(test_data: Path, tmp_path: Path) -> None:
    source, lake, alone = test_data / "clx5" / "CLX5_mbo.dbn", tmp_path / "lake", tmp_path / "alone"
    schemas = "mbp-10,trades,orders,bbo-1s"
    with run_replay(source) as replay:
        host, port = replay.address
        process = subprocess.run(
            [
                *SCRIPT,
                "stream",
                "--connect",
                f"{host}:{port}",
                "--once",
                "--lake",
                str(lake),
                "--lake-schemas",
                schemas,
                "--lake-every",
                "1s",
                "--out",
                str(tmp_path / "book.json"),
            ],
            env=environment(),
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
    assert process.returncode == 0, process.stderr
    assert b'"event":"lake_committed"' in process.stderr
    load(alone, source, schemas=schemas.split(","))
    assert lake_digest(lake) == lake_digest(alone)


def test_a_restart_goes_on_in_the_lake_with_the_books_it_has(tmp_path: Path) -> None:
    lake, record_to = tmp_path / "lake", tmp_path / "record"
    first = adds(10)
    rest = [record(Action.TRADE, order_id=1, ts_recv=DAY_NS + 10**9)]
    parts = [tmp_path / "1.dbn", tmp_path / "2.dbn"]
    parts[0].write_bytes(metadata() + encode(first))
    parts[1].write_bytes(metadata() + encode([*first, *rest]))
    for part in parts:
        with run_replay(part) as replay:
            host, port = replay.address
            done = subprocess.run(
                [
                    *SCRIPT,
                    "stream",
                    "--connect",
                    f"{host}:{port}",
                    "--once",
                    "--record",
                    str(record_to),
                    "--lake",
                    str(lake),
                    "--lake-schemas",
                    "mbp-1,trades",
                ],
                env=environment(),
                stderr=subprocess.PIPE,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stderr
    lake_rows = Lake(lake).scan("mbp-1").filter(action="T").collect()
    # The trade's row has the book from before the restart.
    assert lake_rows["bid_px_00"].to_list() == [100 * 10**9]


def test_a_lake_that_cannot_be_written_to_stops_no_book(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file")
    done = run_in_process(
        "stream", "--connect", "127.0.0.1:9", "--once", "--lake", tmp_path / "lake"
    )
    assert "is a file; a lake is a directory" in error_line(done, 4)
    output = LakeOutput(["false"])
    for _ in range(200):
        output.write(batch_of(adds(1_000)))
        if output.failure:
            break
        time.sleep(0.01)
    output.close()
    assert output.failure == "the process that appends to the lake has exited"


def test_a_schema_that_fails_ends_the_append(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PartsWriter, "write", full)
    # More batches come than wait for a schema.
    monkeypatch.setattr(lake_append, "BATCHES_QUEUED_MAX", 1)
    with pytest.raises(OutputError, match="No space left on device"):
        append(tmp_path / "lake", SAMPLE)
    assert Lake(tmp_path / "lake").check() == []


# ---------------------------------------------------------------------- gaps


class FlagsOutput(LakeOutput):
    """An output without a process: it keeps the flags of the records that it would send."""

    def __init__(self) -> None:
        self.flags: list[int] = []
        self._suspect_keys = np.empty(0, np.int64)
        self.failure = None

    def write(self, batch: MboBatch) -> None:
        self.flags += self._flag_suspects(batch).flags.tolist()


def test_behind_a_gap_records_are_marked_until_their_book_is_whole() -> None:
    last, bad = int(Flag.LAST), int(Flag.LAST | Flag.MAYBE_BAD_BOOK)
    engine = BookEngine()
    engine.fold(batch_of(adds(2)))
    output = FlagsOutput()
    output.mark_gap(engine)
    rows = [
        record(Action.ADD, instrument_id=1, order_id=5),
        record(Action.ADD, instrument_id=2, order_id=6),
        record(Action.CLEAR, instrument_id=1),
        record(Action.ADD, instrument_id=1, order_id=7),
        record(Action.ADD, instrument_id=3, order_id=8),
        record(Action.ADD, instrument_id=2, order_id=9),
    ]
    batch = batch_of(rows)
    output.write(batch)
    assert output.flags == [bad, bad, last, last, last, bad]
    assert batch.flags.tolist() == [last] * 6  # the batch itself is not changed
    output.flags.clear()
    output.write(batch)
    assert output.flags == [last, bad, last, last, last, bad]
