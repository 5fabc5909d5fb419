"""`batonics lake append` and `stream --lake`: what is committed is what a load of the same gives.

The rule: real processes and sockets; a commit is as often as it takes to have many.
"""

from __future__ import annotations

import errno
import signal
import socket
import subprocess
import time
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from batonics.book.engine import BookEngine
from batonics.codec.metadata import Metadata, encode_metadata
from batonics.frames.scan.exchange_sessions import find_sessions
from batonics.jobs import lake_append
from batonics.jobs.lake_append import AppendRequest, LakeAppend
from batonics.lake.lake import Lake
from batonics.lake.parts import PartsWriter
from batonics.live.feed_handler import FeedHandler
from batonics.live.lake_output import LakeOutput
from batonics.model.book_changes import TradingStatus
from batonics.model.errors import InputError, OutputError
from batonics.model.mbo import Action, Flag, MboBatch, Side
from tests.support.command import (
    SAMPLE,
    SCRIPT,
    environment,
    error_line,
    run_command,
    run_in_process,
)
from tests.support.dbn_files import (
    DAY_NS,
    STATUS_SCHEMA,
    adds,
    encode,
    metadata,
    record,
    status_record,
)
from tests.support.lakes import lake_digest, load
from tests.support.query_tables import query_lake
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
        done = run_command(
            *("stream", "--connect", f"{host}:{port}", "--once", "--lake", lake),
            *("--lake-schemas", schemas, "--lake-every", "1s", "--out", tmp_path / "book.json"),
        )
    assert done.code == 0, done.err
    assert '"event":"lake_committed"' in done.err
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
            done = run_command(
                *("stream", "--connect", f"{host}:{port}", "--once", "--record", record_to),
                *("--lake", lake, "--lake-schemas", "mbp-1,trades"),
            )
            assert done.code == 0, done.err
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


QUOTES = [
    record(Action.ADD, price=100, order_id=1, ts_recv=DAY_NS + 1),
    record(Action.ADD, price=102, order_id=2, side=Side.ASK, ts_recv=DAY_NS + 3),
    record(Action.ADD, price=101, order_id=3, ts_recv=DAY_NS + 5),
    record(Action.ADD, price=98, order_id=4, ts_recv=DAY_NS + 6, instrument_id=2),
]
STATUSES = [
    status_record(DAY_NS + 2, TradingStatus.PRE_OPEN, "N"),
    status_record(DAY_NS + 4, TradingStatus.TRADING, "Y"),
]
NIGHT = "01:00-02:00 UTC mon-sun"


def write_quotes(path: Path, *, has_statuses: bool) -> Path:
    """A file of `QUOTES`, with `STATUSES` among them."""
    pieces = [encode([quote]) for quote in QUOTES]
    if has_statuses:
        pieces[1:1], pieces[3:3] = STATUSES[:1], STATUSES[1:]
    path.write_bytes(metadata() + b"".join(pieces))
    return path


def appended_statuses(tmp_path: Path, path: Path, **options: Any) -> list[str | None]:
    """The status of each row of quotes, in a lake to which a file was appended."""
    lake = tmp_path / "lake"
    LakeAppend(AppendRequest(str(lake), "feed", str(path), ("states-1",), **options)).run()
    rows = Lake(lake).scan("states-1").sort("ts_recv").collect()
    return rows["status"].to_list()


@pytest.mark.parametrize("seconds", [60.0, 0.001])
def test_statuses_of_a_stream_are_in_the_rows_that_are_appended(
    seconds: float, tmp_path: Path
) -> None:
    path = write_quotes(tmp_path / "a.dbn", has_statuses=True)
    found = appended_statuses(tmp_path, path, commit_seconds=seconds)
    assert found == [None, "pre_open", "trading", None]
    load(tmp_path / "loaded", path, schemas=("states-1",))
    loaded = Lake(tmp_path / "loaded").scan("states-1").sort("ts_recv").collect()
    assert loaded["status"].to_list() == found


def test_statuses_of_files_and_sessions_are_in_the_rows_that_are_appended(tmp_path: Path) -> None:
    path = write_quotes(tmp_path / "a.dbn", has_statuses=False)
    statuses = tmp_path / "status.dbn"
    statuses.write_bytes(metadata(schema=STATUS_SCHEMA) + b"".join(STATUSES))
    options = {"statuses": (str(statuses),), "sessions": find_sessions(NIGHT)}
    found = appended_statuses(tmp_path, path, **options)
    assert found == ["close", "pre_open", "trading", "close"]


def test_without_statuses_an_appended_lake_says_that_sessions_are_unknown(tmp_path: Path) -> None:
    path = write_quotes(tmp_path / "a.dbn", has_statuses=False)
    assert appended_statuses(tmp_path, path) == [None] * 4
    for query in ("spread_by_hour", "kyles_lambda", "realised_spread", "turnover"):
        answer = query_lake(query, tmp_path / "lake")
        assert answer["sessions_known"].to_list() == [False] * answer.height
    assert query_lake("spread_by_hour", tmp_path / "lake").height == 1


def test_statuses_of_a_followed_feed_are_in_its_lake(tmp_path: Path) -> None:
    feed, lake = write_quotes(tmp_path / "a.dbn", has_statuses=True), tmp_path / "lake"
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(feed.read_bytes())

        thread = Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        options = ("--lake-schemas", "states-1", "--session", NIGHT, "-q", "--once")
        arguments = ("stream", "--connect", address, "--lake", str(lake), *options)
        done = run_command(*arguments)
        thread.join()
    assert done.code == 0, done.err
    rows = Lake(lake).scan("states-1").sort("ts_recv").collect()
    assert rows["status"].to_list() == ["close", "pre_open", "trading", "close"]


def test_a_lake_begins_with_the_statuses_that_a_feed_had_before_it() -> None:
    handler = FeedHandler(source="feed")
    handler.begin_connection()
    handler.process(metadata() + b"".join(STATUSES))
    assert handler.status_records == {(1, 1): STATUSES[1]}
    # As a gateway sends it, with the time at which it does.
    handler.begin_connection()
    timed = bytes([12]) + STATUSES[0][1:] + bytes(8)
    handler.process(encode_metadata(Metadata(ts_out=True)) + timed)
    assert handler.status_records == {(1, 1): STATUSES[0]}


@pytest.mark.parametrize("option", [("--session", "CMES"), ("--statuses", "a.dbn")])
def test_statuses_of_a_feed_without_a_lake_are_refused(option: tuple[str, str]) -> None:
    done = run_in_process("stream", "--connect", "127.0.0.1:9", "--once", *option)
    assert error_line(done, 2) == "--statuses and --session are for the rows of --lake"


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
