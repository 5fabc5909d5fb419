"""`batonics stream` gives the same books as the same records in batch, however faulty the feed is.

The rule: real sockets, and real processes where signals or kills are sent.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import batonics
from batonics.codec.dbn import encode_records
from batonics.codec.metadata import Metadata, encode_metadata
from batonics.jobs.stream import real_time
from batonics.live import ingest
from batonics.live.depth_snapshots import DepthSnapshotWriter
from batonics.live.feed_handler import FeedHandler
from batonics.live.feeds import PlainFeed
from batonics.live.ingest import IngestLoop
from batonics.live.recorder import FeedRecorder
from batonics.live.recording import list_recording_files, recover
from batonics.model.errors import InputError
from batonics.model.mbo import MboBatch, concat_batches, copy_batch, slice_batch
from batonics.settings.table import LiveSettings
from batonics.sources.stream import MboStream
from batonics.sources.tcp import TcpAddress
from tests.support.command import (
    SAMPLE,
    SCRIPT,
    environment,
    error_line,
    reconstruct_books,
    run_in_process,
)
from tests.support.dbn_files import SMALL, compress
from tests.support.fake_server import FakeServer
from tests.support.live_feed import LiveFeed, ServedConnection, ingest_records
from tests.support.ndjson_lines import NDJSON_1, NDJSON_2
from tests.support.real_files import CLX5

HEAD = encode_metadata(Metadata())
DEADLINE_S = 30


@pytest.fixture(scope="module")
def sample() -> MboBatch:
    """The sample's records."""
    return concat_batches([copy_batch(batch) for batch in MboStream([SAMPLE]).batches()])


@pytest.fixture(scope="module")
def sample_bytes(sample: MboBatch) -> bytes:
    """The sample as plain DBN, without names."""
    return HEAD + encode_records(sample)


def plain(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def run_stream(out: Path, address: str, *arguments: str | Path) -> bytes:
    """What `batonics stream --once` writes."""
    done = run_in_process(
        "stream", "--connect", address, "--once", "--quiet", "--out", out, *arguments
    )
    assert done.code == 0, done.err
    return out.read_bytes()


def test_the_books_are_those_of_the_file(tmp_path: Path, test_data: Path) -> None:
    data = (test_data / CLX5).read_bytes()
    with LiveFeed([ServedConnection(data, chunk=4_099)]) as feed:
        live = run_stream(tmp_path / "live.json", feed.address, "--orders")
    assert live == reconstruct_books("--orders", test_data / CLX5)


@pytest.mark.parametrize("form", ["dbn", "zst", "fragment", "ndjson", "prefixed"])
def test_every_form_is_detected_from_its_first_bytes(form: str, tmp_path: Path) -> None:
    fragment = SMALL[len(HEAD) :] if SMALL.startswith(HEAD) else encode_records(small())
    data = {
        "dbn": SMALL,
        "zst": compress(SMALL),
        "fragment": fragment,
        "ndjson": NDJSON_1 + NDJSON_2,
        "prefixed": b"".join(
            b"\x38\0\0\0" + fragment[at : at + 56] for at in range(0, len(fragment), 56)
        ),
    }[form]
    expected = reconstruct_books("--orders", plain(tmp_path / "file", data))
    with LiveFeed([ServedConnection(data, chunk=7)]) as feed:
        assert run_stream(tmp_path / "live.json", feed.address, "--orders") == expected


def small() -> MboBatch:
    path_batches = MboStream([SAMPLE]).batches()
    batch = slice_batch(copy_batch(next(path_batches)), 0, 50)
    path_batches.close()
    return batch


def run_until(handler: FeedHandler, feed: LiveFeed, records: int, **options: Any) -> None:
    """Ingest a feed until this many records have been taken, and not more."""
    ingest_records(handler, PlainFeed(TcpAddress.parse(feed.address)), records, **options)
    assert handler.stats.records == records


def test_lost_connections_lose_and_repeat_no_record(
    sample: MboBatch, sample_bytes: bytes, tmp_path: Path
) -> None:
    rows = len(sample.action)
    cuts = [rows // 5, rows // 3, rows // 2]
    connections = [
        *(
            ServedConnection(sample_bytes[: len(HEAD) + 56 * cut + number], reset=number % 2 == 0)
            for number, cut in enumerate(cuts)
        ),
        ServedConnection(sample_bytes),
    ]
    handler = FeedHandler(source="feed")
    with LiveFeed(connections) as feed:
        run_until(handler, feed, rows)
    stats = handler.stats
    assert (stats.connects, stats.disconnects, stats.gaps) == (4, 3, 0)
    # A reset may discard bytes that had arrived: then fewer records are repeated, and none is lost.
    assert 0 < stats.duplicates <= sum(cuts)
    path = plain(tmp_path / "sample.dbn", sample_bytes)
    batch = batonics.reconstruct(path)
    assert_frame_equal(batonics.Books(handler.engine, handler.symbols).orders(), batch.orders())
    assert stats.events == int(batch.summary()["events"].sum())


def test_a_restart_continues_where_the_recording_ends(
    sample: MboBatch, sample_bytes: bytes, tmp_path: Path
) -> None:
    rows, record = len(sample.action), tmp_path / "recording"
    taken = rows // 3
    hold = Event()
    first = ServedConnection(sample_bytes[: len(HEAD) + 56 * taken + 20], pause=hold)
    with LiveFeed([first, ServedConnection(sample_bytes)]) as feed:
        command = [*SCRIPT, "stream", "--connect", feed.address, "--record", str(record), "--quiet"]
        process = subprocess.Popen(command, env=environment())
        wait_for(lambda: size_of(record) >= 56 * taken)
        process.kill()
        process.wait()
        hold.set()
        done = run_in_process(
            "stream", "--connect", feed.address, "--record", record, "--once", "--quiet",
            "--out", tmp_path / "live.json", "--orders",
        )  # fmt: skip
        assert done.code == 0, done.err
    path = plain(tmp_path / "sample.dbn", sample_bytes)
    assert (tmp_path / "live.json").read_bytes() == reconstruct_books("--orders", path)
    # The recording is DBN, which any tool can read.
    assert [file.connection for file in list_recording_files(record)] == [1, 2]
    read = sum(
        len(batch.action) for batch in MboStream([list_recording_files(record)[1].path]).batches()
    )
    assert read == rows


@pytest.mark.parametrize("checkpointed", [True, False])
def test_recovery_equals_never_having_stopped(
    sample: MboBatch,
    sample_bytes: bytes,
    tmp_path: Path,
    checkpointed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, record = len(sample.action), tmp_path / "recording"
    handler = FeedHandler(source="feed")
    recorder = FeedRecorder(
        record, LiveSettings(recording_file_bytes_max=100_000, checkpoint_interval_s=0.01)
    )
    monkeypatch.setattr(ingest, "READ_BYTES", 1 << 17)
    connections = [
        ServedConnection(
            sample_bytes[: len(HEAD) + 56 * (rows // 2) + 3], reset=False, chunk=56 * 500
        ),
        ServedConnection(sample_bytes, chunk=56 * 500),
    ]
    with LiveFeed(connections) as feed:
        run_until(handler, feed, rows, recorder=recorder)
    assert recorder.failure is None
    assert handler.stats.recorded_bytes > len(sample_bytes)
    assert len(list_recording_files(record)) > 4
    if not checkpointed:
        (record / "checkpoint.bin").unlink()
    again = FeedHandler(source="again")
    recover(again, record)
    assert again.position == handler.position
    assert again.stats.records == rows
    whole = batonics.Books(handler.engine, handler.symbols)
    assert_frame_equal(batonics.Books(again.engine, again.symbols).orders(), whole.orders())
    assert_frame_equal(batonics.Books(again.engine, again.symbols).summary(), whole.summary())
    recovered = again.published_books.rows.copy()
    recovered["seq"] = handler.published_books.rows["seq"]
    assert np.array_equal(recovered, handler.published_books.rows)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_to_the_group_take_the_bytes_that_have_arrived_and_write(
    number: signal.Signals, sample_bytes: bytes, tmp_path: Path
) -> None:
    hold, out = Event(), tmp_path / "book.json"
    with LiveFeed([ServedConnection(sample_bytes, pause=hold)]) as feed:
        record = tmp_path / "recording"
        command = [
            *SCRIPT, "stream", "--connect", feed.address, "--record", str(record),
            "--out", str(out), "--http", "127.0.0.1:0",
        ]  # fmt: skip
        process = subprocess.Popen(
            command, env=environment(), stderr=subprocess.PIPE, start_new_session=True
        )
        wait_for(lambda: size_of(record) >= len(sample_bytes))
        process.send_signal(number)  # as `timeout` does: its child first, then the group
        os.killpg(process.pid, number)
        _, stderr = process.communicate(timeout=DEADLINE_S)
        hold.set()
    assert process.returncode == 0, stderr
    assert out.read_bytes() == reconstruct_books(plain(tmp_path / "sample.dbn", sample_bytes))
    lines = [orjson.loads(line) for line in stderr.splitlines() if line.startswith(b"{")]
    by_event = {line["event"]: line for line in lines if line["event"] != "kernel_compiles"}
    by_event.pop("log_joined", None)  # the server may have no time for it
    assert set(by_event) == {"server_started", "connecting", "connected", "server_ended"}
    assert by_event["server_ended"]["reason"] == "the feed has ended"


def test_snapshots_are_those_of_the_frames(sample_bytes: bytes, tmp_path: Path) -> None:
    out = tmp_path / "depth"
    with LiveFeed([ServedConnection(sample_bytes, chunk=9_973)]) as feed:
        run_stream(
            tmp_path / "live.json",
            feed.address,
            "--snapshots",
            out,
            "--every",
            "1s",
            "--depth",
            "3",
        )
    records = batonics.scan_mbo(plain(tmp_path / "sample.dbn", sample_bytes))
    expected = records.mbo.depth(3, every="1s").collect()  # type: ignore[attr-defined]
    found = pl.read_parquet(out / "*.parquet")
    assert found.height > 400
    assert_frame_equal(found.drop("symbol"), expected)


def test_http_serves_the_books_and_the_counts(sample: MboBatch, sample_bytes: bytes) -> None:
    import urllib.request

    hold = Event()
    with LiveFeed([ServedConnection(sample_bytes, pause=hold)]) as feed:
        command = [
            *SCRIPT, "stream", "--connect", feed.address, "--http", "127.0.0.1:0", "--once",
        ]  # fmt: skip
        process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        # Two processes log: either may be first.
        events = (orjson.loads(line) for line in process.stderr)
        started = next(line for line in events if line["event"] == "server_started")

        def get(path: str) -> bytes:
            with urllib.request.urlopen(f"http://{started['http']}{path}", timeout=10) as answer:
                data: bytes = answer.read()
                return data

        def metrics() -> dict[str, float]:
            lines = (line for line in get("/metrics").decode().splitlines() if line[0] != "#")
            return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

        wait_for(lambda: metrics().get("batonics_records_total") == len(sample.action))
        counts = metrics()
        assert counts["batonics_bytes_total"] == len(sample_bytes)
        assert counts['batonics_books{status="synced"}'] == 5
        assert counts["batonics_connects_total"] == 1
        symbols = orjson.loads(get("/symbols"))
        assert len(symbols) == 5
        number = symbols[0]["instrument_id"]
        near = orjson.loads(get(f"/book?instrument_id={number}&depth=5"))
        whole = orjson.loads(get(f"/book?instrument_id={number}&depth=all&orders=true"))
        assert len(near["bids"]) == 5
        assert [level["price"] for level in whole["bids"]][:5] == [
            level["price"] for level in near["bids"]
        ]
        assert whole["bids"][0]["orders"]
        assert orjson.loads(get("/readyz"))["status"] == "ready"
        hold.set()
        assert process.wait(DEADLINE_S) == 0
        process.stderr.close()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "one of --connect and --gateway"),
        (("--connect", "nowhere"), 2, "expected HOST:PORT"),
        (("--connect", "127.0.0.1:1", "--once"), 3, "cannot connect: Connection refused"),
        (("--connect", "127.0.0.1:1", "--every", "1s"), 2, "go together"),
        (("--connect", "127.0.0.1:1", "--dataset", "X"), 2, "go with --gateway"),
        (("--gateway", "127.0.0.1:1"), 2, "needs --dataset"),
        (("--gateway", "127.0.0.1:1", "--dataset", "X", "--schema", "trades"), 2, "schema mbo"),
        (("--connect", "127.0.0.1:1", "--http", "0.0.0.0:1"), 2, "needs a token"),
    ],
)
def test_a_wrong_option_is_one_line(arguments: tuple[str, ...], code: int, words: str) -> None:
    assert words in error_line(run_in_process("stream", "--quiet", *arguments), code)


def test_damage_in_a_feed_says_where(sample_bytes: bytes, tmp_path: Path) -> None:
    bad = bytearray(sample_bytes)
    bad[len(HEAD) + 56 * 1_000] = 0
    out = tmp_path / "book.json"
    with LiveFeed([ServedConnection(bytes(bad))]) as feed:
        words = error_line(
            run_in_process("stream", "--connect", feed.address, "--once", "--quiet", "--out", out),
            3,
        )
    assert f"byte {len(HEAD) + 56_000}, record 1000" in words
    assert not out.exists()


def wait_for(condition: object) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(0.02)


def size_of(directory: Path) -> int:
    """The size of all files of a recording."""
    if not directory.is_dir():
        return 0
    return sum(file.path.stat().st_size for file in list_recording_files(directory))


def test_real_time_holds_for_the_block_and_this_thread_only() -> None:
    before = os.sched_getscheduler(0)
    inside = []
    with suppress(batonics.UsageError), real_time():  # the system may refuse it
        inside.append(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK)
        thread = Thread(target=lambda: inside.append(os.sched_getscheduler(0)))
        thread.start()
        thread.join()
    assert inside in ([], [os.SCHED_FIFO, os.SCHED_OTHER])
    assert os.sched_getscheduler(0) == before


def test_where_real_time_is_not_allowed_that_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with pytest.raises(batonics.UsageError, match="it needs CAP_SYS_NICE"), real_time():
        pass


def test_a_restart_of_ndjson_keeps_its_books_apart(tmp_path: Path) -> None:
    def add(symbol: str, number: int) -> bytes:
        fields = f'"symbol":"{symbol}","side":"bid","oid":{number},"px":{number}00,"qty":1'
        return f'{{"type":"add",{fields},"seq":{number},"ts_ns":{number}}}\n'.encode()

    a, b, c = add("A", 1), add("B", 2), add("C", 3)
    handler = FeedHandler(source="feed")
    recorder = FeedRecorder(tmp_path / "recording")
    # The second connection has the symbols in another order, and resumes.
    with LiveFeed([ServedConnection(a + b + c), ServedConnection(b + a + c + add("A", 4))]) as feed:
        run_until(handler, feed, 4, recorder=recorder)
    again = FeedHandler(source="again")
    recover(again, tmp_path / "recording")
    assert again.update_names().rows() == handler.update_names().rows()
    whole = batonics.Books(handler.engine, handler.symbols)
    assert_frame_equal(batonics.Books(again.engine, again.symbols).orders(), whole.orders())


def test_a_closed_recorder_does_nothing_more(sample_bytes: bytes, tmp_path: Path) -> None:
    handler = FeedHandler(source="feed")
    recorder = FeedRecorder(tmp_path / "recording", LiveSettings(checkpoint_interval_s=0.0))
    server = FakeServer()
    with LiveFeed([ServedConnection(sample_bytes)]) as feed:
        run = IngestLoop(
            handler, PlainFeed(TcpAddress.parse(feed.address)), once=True, recorder=recorder,
            link=server.link,
        )  # fmt: skip
        run.run()
    server.link.close()
    assert recorder.failure is None


def test_connections_without_bytes_have_numbers_too(tmp_path: Path) -> None:
    first = FeedRecorder(tmp_path)
    handler = FeedHandler(source="feed")
    for _ in range(5):
        first.begin_connection(has_snapshot=False)
    handler.begin_connection()
    handler.process(HEAD)
    first.write(memoryview(HEAD), handler)
    for _ in range(3):
        first.begin_connection(has_snapshot=False)
    first.close(handler)
    again = FeedRecorder(tmp_path)
    again.continue_from(recover(FeedHandler(source="again"), tmp_path))
    again.begin_connection(has_snapshot=False)
    again.write(memoryview(HEAD), handler)
    again.close(handler)
    assert [file.connection for file in list_recording_files(tmp_path)] == [5, 9]


def test_a_recording_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    recorder, handler = FeedRecorder(tmp_path), FeedHandler(source="feed")
    recorder.begin_connection(has_snapshot=False)
    handler.begin_connection()
    handler.process(HEAD)
    recorder.write(memoryview(HEAD), handler)
    recorder.close(handler)
    (file,) = list_recording_files(tmp_path)
    file.path.unlink()
    file.path.mkdir()
    with pytest.raises(InputError, match=f"{file.path.name}: cannot be read: "):
        recover(FeedHandler(source="again"), tmp_path)


def test_a_stop_within_a_record_is_clean(sample_bytes: bytes, tmp_path: Path) -> None:
    hold, out = Event(), tmp_path / "book.json"
    cut = len(HEAD) + 56 * 1_000 + 7
    with LiveFeed([ServedConnection(sample_bytes[:cut], pause=hold)]) as feed:
        record = tmp_path / "recording"
        command = [
            *SCRIPT, "stream", "--connect", feed.address, "--record", str(record), "--once",
            "--out", str(out),
        ]  # fmt: skip
        process = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL)
        wait_for(lambda: size_of(record) >= cut)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
        hold.set()
    assert out.read_bytes() == reconstruct_books(plain(tmp_path / "x.dbn", sample_bytes[: cut - 7]))


def test_snapshot_files_are_numbered_behind_the_last(tmp_path: Path) -> None:
    (tmp_path / "depth-000041.parquet").write_bytes(b"theirs")
    writer = DepthSnapshotWriter(tmp_path, 1)
    handler = FeedHandler(depth=1, source="feed")
    handler.write_depth_snapshots(1_000_000_000, writer)
    handler.begin_connection()
    handler.process(SMALL)
    handler.end_feed()
    writer.close()
    assert (tmp_path / "depth-000042.parquet").exists()
    assert (tmp_path / "depth-000041.parquet").read_bytes() == b"theirs"
