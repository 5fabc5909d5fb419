"""`batonics replay` over real sockets: what a plain client receives, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from batonics.gateway.fault_simulation import simulate_connections
from batonics.gateway.faults import Fault, FaultCounts, Faults
from batonics.gateway.pacing import Pace
from batonics.jobs.replay import PROTOCOLS, Replay, ReplayRequest
from batonics.model.errors import OutputError, UsageError
from batonics.model.times import format_time
from batonics.sinks import logs
from tests.support.command import SCRIPT, environment, error_line, reconstruct_books, run_in_process
from tests.support.dbn_files import RECORDS_AT, adds, compress, encode, metadata
from tests.support.replays import connect_client, receive_all, receive_rest, run_replay

FEED = metadata() + encode(adds(3_000))


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    path = tmp_path / "feed.dbn"
    path.write_bytes(FEED)
    return path


def clx5(test_data: Path) -> Path:
    return test_data / "clx5" / "CLX5_mbo.dbn"


def test_at_full_speed_a_client_receives_the_bytes_of_the_file(test_data: Path) -> None:
    path = clx5(test_data)
    with run_replay(path) as replay:
        assert receive_all(replay) == path.read_bytes()
    with run_replay(path, indexed=True) as replay:
        assert receive_all(replay) == path.read_bytes()
    assert replay.past_clients[0].units == 38_212


def test_compressed_input_is_sent_decompressed(tmp_path: Path) -> None:
    path = tmp_path / "feed.dbn.zst"
    path.write_bytes(compress(FEED))
    with run_replay(path) as replay:
        assert receive_all(replay) == FEED


def test_each_of_several_clients_receives_the_whole_feed(feed: Path) -> None:
    with run_replay(feed, pace=Pace(rate=10_000)) as replay, ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: receive_all(replay), range(8))) == {FEED}


def test_a_start_and_loops(feed: Path) -> None:
    start = adds(3_000)[1_000].ts_recv
    with run_replay(feed, start_ns=start, loops=3) as replay:
        assert receive_all(replay) == metadata() + 3 * encode(adds(3_000)[1_000:])
    with run_replay(feed, loops=2) as replay:
        assert receive_all(replay) == FEED + FEED[RECORDS_AT:]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_start_after_the_last_record_is_refused(feed: Path, protocol: str) -> None:
    last_ns = adds(3_000)[-1].ts_recv
    words = f"{format_time(last_ns + 1)} is after the last record: nothing would be sent"
    with pytest.raises(UsageError, match=words):
        Replay(ReplayRequest((str(feed),), "127.0.0.1:0", protocol, start_ns=last_ns + 1))
    Replay(ReplayRequest((str(feed),), "127.0.0.1:0", protocol, start_ns=last_ns)).close()


def test_a_start_before_the_first_record_is_logged(feed: Path) -> None:
    logs.configure(as_json=True, level="warning")
    with capture_logs() as said:
        Replay(ReplayRequest((str(feed),), "127.0.0.1:0", start_ns=1)).close()
    (line,) = said
    assert line["event"] == "start_is_before_data"
    assert line["first_record"] == format_time(adds(1)[0].ts_recv)


@pytest.mark.alone
@pytest.mark.parametrize("pace", [Pace(rate=6_000), Pace(speed=0.003 / 0.5)])
def test_a_pace_is_kept(feed: Path, pace: Pace) -> None:
    with run_replay(feed, pace=pace) as replay:
        begin = time.monotonic()
        assert receive_all(replay) == FEED
        took = time.monotonic() - begin
    assert 0.49 <= took <= 1.5


def test_a_slow_client_delays_no_other(feed: Path) -> None:
    with run_replay(feed, loops=1_000) as replay, connect_client(replay) as slow:
        assert len(receive_all(replay)) == RECORDS_AT + 1_000 * (len(FEED) - RECORDS_AT)
        assert slow.recv(4) == FEED[:4]


def test_a_pause_stops_all_clients_and_a_jump_moves_them(feed: Path) -> None:
    with run_replay(feed, pace=Pace(rate=1_000)) as replay, connect_client(replay) as sock:
        assert sock.recv(RECORDS_AT, socket.MSG_WAITALL) == FEED[:RECORDS_AT]
        assert len(sock.recv(56, socket.MSG_WAITALL)) == 56
        replay.control.toggle_pause()
        time.sleep(0.1)
        before = replay.clients[0].bytes
        time.sleep(0.2)
        assert replay.clients[0].bytes == before
        replay.control.jump_by(2_900 * 1_000)
        replay.control.toggle_pause()
        data = receive_rest(sock)
        assert data.endswith(encode(adds(3_000)[-20:]))
        assert len(data) < 56 * 1_000


def test_the_books_of_ndjson_are_those_of_the_dbn(test_data: Path, tmp_path: Path) -> None:
    path = clx5(test_data)
    with run_replay(path, protocol="ndjson") as replay:
        lines = receive_all(replay)
    (tmp_path / "clx5.ndjson").write_bytes(lines)
    from_ndjson = levels_of(reconstruct_books(tmp_path / "clx5.ndjson", "--orders"))
    assert from_ndjson == levels_of(reconstruct_books(path, "--orders"))
    assert lines.startswith(b'{"type":"')


def levels_of(book_json: bytes) -> object:
    import json

    (book,) = json.loads(book_json)["books"]
    return book["bids"], book["asks"]


def test_length_prefixed_records_make_the_same_books(test_data: Path, tmp_path: Path) -> None:
    path = clx5(test_data)
    with run_replay(path, protocol="length-prefixed") as replay:
        (tmp_path / "clx5.bin").write_bytes(receive_all(replay))
    assert levels_of(reconstruct_books(tmp_path / "clx5.bin")) == levels_of(reconstruct_books(path))


# ------------------------------------------------------------------ faults


def receive_connections(
    path: Path, faults: Faults
) -> tuple[list[tuple[bytes, Fault | None]], FaultCounts]:
    """The connections of a client that reconnects until the feed ends without a fault."""
    received: list[tuple[bytes, Fault | None]] = []
    with run_replay(path, faults=faults) as replay:
        while not received or received[-1][1] is not None:
            received.append(receive_connection(replay.address))
        fault_counts = FaultCounts(**asdict(replay.positions.fault_counts))
    return received, fault_counts


def receive_connection(address: tuple[str, int]) -> tuple[bytes, Fault | None]:
    parts: list[bytes] = []
    with socket.create_connection(address, 30) as sock:
        while True:
            try:
                data = sock.recv(1 << 16)
            except ConnectionResetError:
                return b"".join(parts), Fault.RST
            if not data:
                break
            parts.append(data)
    whole = b"".join(parts)
    return whole, Fault.CUT if (len(whole) - RECORDS_AT) % 56 else None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["drop", "dup"])
def test_faults_equal_the_simulated_ones(feed: Path, seed: int, kind: str) -> None:
    also = {kind: {"drop": 5, "dup": 500}[kind]}
    faults = Faults(rst=1, cut=1, stall=0.5, stall_ms=20, seed=seed, **also)
    simulated, fault_counts = simulate_connections(FEED, faults)
    received, counted = receive_connections(feed, faults)
    assert received == [(b"".join(connection.chunks), connection.end) for connection in simulated]
    assert counted == fault_counts


# ------------------------------------------------------------------ the command


@contextmanager
def start_process(
    *arguments: str | Path,
) -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    """`batonics replay ARGUMENTS` and the address it listens on."""
    command = [*SCRIPT, "replay", "--bind", "127.0.0.1:0", *map(str, arguments)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())
    assert running.stderr is not None
    with running:
        try:
            line = running.stderr.readline()
            host, _, port = line.removeprefix("listening on ").strip().rpartition(":")
            assert host == "127.0.0.1", line
            yield running, (host, int(port))
        finally:
            running.kill()


def test_once_ends_after_the_first_client_that_received_everything(feed: Path) -> None:
    with start_process(feed, "--once") as (running, address):
        with socket.create_connection(address) as sock:
            assert receive_rest(sock) == FEED
        assert running.wait(30) == 0
        assert running.stderr is not None
        events = running.stderr.read()
        assert '"event":"client_left"' in events


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signals_end_it(feed: Path, number: int, code: int) -> None:
    with (
        start_process(feed, "--speed", "0.001", "--quiet") as (running, address),
        socket.create_connection(address) as sock,
    ):
        assert sock.recv(3) == b"DBN"
        os.kill(running.pid, number)
        assert running.wait(30) == code


def test_options_reach_the_replay(feed: Path) -> None:
    start = format_time(adds(3_000)[2_000].ts_recv)
    options = ("--start", start or "", "--rate", "100000", "--loop", "2")
    with (
        start_process(feed, *options) as (_, address),
        socket.create_connection(address) as sock,
    ):
        assert receive_rest(sock) == metadata() + 2 * encode(adds(3_000)[2_000:])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--bind", "9999"], 2, "not an address"),
        (["--bind", "127.0.0.1:0", "--protocol", "ftp"], 2, "no protocol 'ftp'"),
        (["--bind", "127.0.0.1:0", "--speed", "fast"], 2, "not a speed: 'fast'"),
        (["--bind", "127.0.0.1:0", "--rate", "inf"], 2, "not a rate: inf"),
        (["--bind", "127.0.0.1:0", "--speed", "2x", "--rate", "5"], 2, "exclude each other"),
        (["--bind", "127.0.0.1:0", "--fault", "lose=1"], 2, "no fault 'lose'"),
        (["--bind", "127.0.0.1:0", "--fault", "rst=900"], 2, "no client would ever reach"),
    ],
)
def test_a_wrong_option_is_one_line(
    feed: Path, arguments: list[str], code: int, words: str
) -> None:
    assert words in error_line(run_in_process("replay", feed, *arguments), code)


def test_an_address_in_use_is_one_line(feed: Path) -> None:
    with run_replay(feed) as replay:
        taken = f"127.0.0.1:{replay.address[1]}"
        assert "cannot listen on" in error_line(
            run_in_process("replay", feed, "--bind", taken), OutputError.exit_code
        )


def test_a_damaged_file_ends_the_client_by_a_reset(tmp_path: Path) -> None:
    path = tmp_path / "cut.dbn"
    path.write_bytes(FEED[:-1])
    with run_replay(path, pace=Pace(rate=1e6)) as replay, pytest.raises(ConnectionResetError):
        receive_all(replay)


def test_a_crowd_beyond_the_limit_of_open_files_is_refused_and_hurts_nobody(
    feed: Path, tmp_path: Path
) -> None:
    log_path, expected = tmp_path / "log", feed.read_bytes()
    # Most of the limit is kept for other work; the rest is for clients, of a few files each.
    command = ["bash", "-c", 'ulimit -n 80; exec "$@"', "bash", *SCRIPT, "replay", str(feed)]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*command, "--bind", "127.0.0.1:0", "--log-json"], env=environment(), stderr=log
        )
    try:
        while b"listening" not in log_path.read_bytes():
            assert process.poll() is None, log_path.read_text()
            time.sleep(0.05)
        port = int(re.search(rb"127\.0\.0\.1:(\d+)", log_path.read_bytes())[1])  # type: ignore[index]
        crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
        served = sum(receive_rest(sock) == expected for sock in crowd)
        for sock in crowd:
            sock.close()
        assert 1 <= served < 200
        with socket.create_connection(("127.0.0.1", port)) as sock:
            assert receive_rest(sock) == expected
    finally:
        process.terminate()
        process.wait()
    lines = log_path.read_bytes().splitlines()
    events = [json.loads(line).get("event") for line in lines if line.startswith(b"{")]
    assert events.count("clients_limited") == 1
    assert events.count("client_refused") == 1
    assert not [line for line in lines if b"Traceback" in line]
