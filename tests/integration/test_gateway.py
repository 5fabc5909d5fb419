"""The live protocol, with the vendor's own client and line by line."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import databento
import databento_dbn
import numpy as np
import polars as pl
import pytest

import batonics
from batonics.book.engine import BookEngine
from batonics.codec import gateway as lines
from batonics.codec.dbn import DbnDecoder
from batonics.codec.messages import (
    ERROR_SKIPPED_RECORDS,
    ERROR_SUBSCRIPTION,
    ERROR_SYMBOL,
    RTYPE_ERROR,
    RTYPE_SYMBOL_MAPPING,
    RTYPE_SYSTEM,
    SYSTEM_HEARTBEAT,
    SYSTEM_REPLAY_COMPLETED,
    SYSTEM_SLOW_READER,
    SYSTEM_SUBSCRIPTION_ACK,
    GatewayMessage,
    OtherRecord,
    parse_error_message,
    parse_symbol_mapping,
    parse_system_message,
)
from batonics.codec.metadata import (
    DatedSymbol,
    Metadata,
    SymbolMapping,
    encode_metadata,
    parse_metadata,
    parse_prefix,
)
from batonics.gateway.faults import Faults
from batonics.gateway.pacing import Pace
from batonics.jobs.replay import Replay
from batonics.model.mbo import MBO_DTYPE, RTYPE_MBO, Action, Flag, MboBatch, batch_from_records
from batonics.model.times import NS_PER_DAY
from batonics.settings.table import ReplaySettings
from tests.support.command import run_in_process
from tests.support.dbn_files import DAY, DAY_NS, adds, encode, metadata
from tests.support.engine_books import engine_orders
from tests.support.replays import KEY, connect_client, receive_rest, run_replay
from tests.support.threads import package_threads

GATEWAY = "gateway"
CLX5_ID = 432669


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    """3,000 records of AAA and BBB, a microsecond apart."""
    path = tmp_path / "feed.dbn"
    path.write_bytes(metadata() + encode(adds(3_000)))
    return path


# ------------------------------------------------------------------ the vendor's client


def vendor_client(replay: Replay, **options: Any) -> databento.Live:
    host, port = replay.address
    return databento.Live(key=KEY, gateway=host, port=port, **options)


def receive_records(client: databento.Live) -> list[Any]:
    """Start the session; every record until it ends."""
    records: list[Any] = []
    client.add_callback(records.append)
    client.start()
    client.block_for_close(timeout=30)
    return records


def bytes_of_kind(records: Sequence[Any], kind: Any) -> bytes:
    return b"".join(bytes(record) for record in records if isinstance(record, kind))


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_all_mbo_records_arrive_as_they_are(test_data: Path, compression: str) -> None:
    path = test_data / "clx5" / "CLX5_mbo.dbn"
    with run_replay(path, protocol=GATEWAY) as replay:
        client = vendor_client(replay, compression=databento_dbn.Compression(compression))
        client.subscribe("GLBX.MDP3", "mbo", "CLX5")
        records = receive_records(client)
    data = path.read_bytes()
    assert bytes_of_kind(records, databento.MBOMsg) == data[parse_prefix(data[:8]) :]
    assert len(records) == 38_212 + 2
    assert client.symbology_map == {CLX5_ID: "CLX5"}


@pytest.mark.parametrize("schema", ["mbp-10", "tbbo", "trades", "bbo-1s", "ohlcv-1m"])
def test_derived_records_are_those_of_convert(test_data: Path, tmp_path: Path, schema: str) -> None:
    path = test_data / "clx5" / "CLX5_mbo.dbn"
    out = tmp_path / "out.dbn"
    assert run_in_process("convert", path, "--schema", schema, "--out", out, "--quiet").code == 0
    with run_replay(path, protocol=GATEWAY) as replay:
        client = vendor_client(replay)
        client.subscribe("GLBX.MDP3", schema, [CLX5_ID], stype_in="instrument_id")
        records = receive_records(client)
    kinds = (databento_dbn.SymbolMappingMsg, databento_dbn.SystemMsg)
    received = b"".join(bytes(record) for record in records if not isinstance(record, kinds))
    data = out.read_bytes()
    assert received == data[parse_prefix(data[:8]) :]
    assert len(received) > 1_000


def test_several_schemas_are_merged_by_time(test_data: Path) -> None:
    path = test_data / "clx5" / "CLX5_mbo.dbn"
    with run_replay(path, protocol=GATEWAY) as replay:
        client = vendor_client(replay)
        client.subscribe("GLBX.MDP3", "mbo", "ALL_SYMBOLS")
        client.subscribe("GLBX.MDP3", "trades", "CLX5")
        client.subscribe("GLBX.MDP3", "bbo-1s", "CLX5")
        records = receive_records(client)
    data = path.read_bytes()
    assert bytes_of_kind(records, databento.MBOMsg) == data[parse_prefix(data[:8]) :]
    assert len(bytes_of_kind(records, databento.TradeMsg)) > 1_000 * 48
    assert len(bytes_of_kind(records, databento.BBOMsg)) > 1_000 * 80
    times = [record.ts_recv for record in records if hasattr(record, "ts_recv")]
    assert times == sorted(times)


def test_a_wrong_key_and_another_dataset_are_refused(
    feed: Path, test_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATONICS_GATEWAY_KEY", "db-" + "x" * 29)
    refused = pytest.raises(databento.BentoError, match="authentication failed")
    with run_replay(feed, protocol=GATEWAY) as replay, refused:
        vendor_client(replay).subscribe("GLBX.MDP3", "mbo", "AAA")
    monkeypatch.setenv("BATONICS_GATEWAY_KEY", KEY)
    with run_replay(test_data / "clx5" / "CLX5_mbo.dbn", protocol=GATEWAY) as replay:
        with pytest.raises(databento.BentoError, match="no dataset 'XNAS"):
            vendor_client(replay).subscribe("XNAS.ITCH", "mbo", "AAA")
        client = vendor_client(replay)
        client.subscribe("GLBX.MDP3", "mbo", "CLX5")
        client.terminate()


def test_the_vendors_client_reconnects_and_misses_nothing(feed: Path) -> None:
    faults = Faults(rst=1, seed=2)
    with run_replay(feed, protocol=GATEWAY, faults=faults) as replay:
        client = vendor_client(replay, reconnect_policy="reconnect")
        client.subscribe("GLBX.MDP3", "mbo", "ALL_SYMBOLS")
        records = receive_records(client)
        assert replay.positions.fault_counts.rst > 1
    assert bytes_of_kind(records, databento.MBOMsg) == encode(adds(3_000))


# ------------------------------------------------------------------ line by line


class Session:
    """A client that has logged in."""

    def __init__(self, sock: socket.socket, **options: Any) -> None:
        self.sock, self.file = sock, sock.makefile("rb")
        assert lines.parse_line(self.file.readline())["lsg_version"]
        challenge = lines.parse_line(self.file.readline())["cram"]
        sock.sendall(lines.auth_line(challenge, KEY, "GLBX.MDP3", **options))
        self.answer = lines.parse_line(self.file.readline())

    def start(self, *subscriptions: bytes) -> None:
        self.sock.sendall(b"".join(subscriptions) + lines.START_SESSION)

    def receive_rest(self) -> SessionRecords:
        self.sock.shutdown(socket.SHUT_WR)
        return SessionRecords(self.file.read())

    def receive_record(self) -> OtherRecord:
        head = self.file.read(1)
        data = head + self.file.read(4 * head[0] - 1)
        return OtherRecord(data[1], 0, 0, 0, data)


class SessionRecords:
    """The records that a session has sent."""

    def __init__(self, data: bytes) -> None:
        end = parse_prefix(data[:8])
        self.metadata = parse_metadata(data[:end])
        self.mbo, self.others = bytearray(), list[OtherRecord]()
        self.order = ""
        while end < len(data):
            record = data[end : end + 4 * data[end]]
            end += len(record)
            rtype = record[1]
            self.order += {RTYPE_MBO: ".", RTYPE_SYSTEM: "s", RTYPE_ERROR: "e"}.get(rtype, "m")
            if rtype == RTYPE_MBO:
                self.mbo += record
            else:
                self.others.append(OtherRecord(rtype, 0, 0, 0, record))

    def messages(self) -> list[GatewayMessage]:
        parse = {RTYPE_SYSTEM: parse_system_message, RTYPE_ERROR: parse_error_message}
        return [parse[r.rtype](r, 3) for r in self.others if r.rtype in parse]

    def names(self) -> dict[int, str]:
        mappings = [
            parse_symbol_mapping(r, 3) for r in self.others if r.rtype == RTYPE_SYMBOL_MAPPING
        ]
        return {mapping.instrument_id: mapping.symbol for mapping in mappings}

    def batch(self) -> MboBatch:
        return batch_from_records(np.frombuffer(bytes(self.mbo), MBO_DTYPE))


@contextmanager
def log_in(replay: Replay, **options: Any) -> Iterator[Session]:
    with connect_client(replay) as sock:
        client = Session(sock, **options)
        with client.file:
            yield client


def run_session(replay: Replay, *subscriptions: bytes) -> SessionRecords:
    with log_in(replay) as client:
        client.start(*subscriptions)
        return client.receive_rest()


def subscribe(*symbols: str, **options: Any) -> bytes:
    return lines.subscription_line("mbo", symbols, **options)


def test_names_then_answers_then_records_in_both_symbologies(feed: Path) -> None:
    with run_replay(feed, protocol=GATEWAY) as replay:
        by_name = run_session(replay, subscribe("BBB", id=7))
        by_id = run_session(replay, subscribe("2", stype_in="instrument_id"))
        of_all = run_session(replay, subscribe("ALL_SYMBOLS"))
    assert by_name.order.startswith("ms....")
    ack = "Subscription request 7 for mbo data succeeded"
    assert by_name.messages() == [(SYSTEM_SUBSCRIPTION_ACK, ack)]
    assert by_name.names() == by_id.names() == {2: "BBB"}
    assert by_name.mbo == by_id.mbo == encode(adds(3_000)[1::2])
    assert of_all.names() == {1: "AAA", 2: "BBB"}
    assert of_all.mbo == encode(adds(3_000))
    assert by_name.metadata.stype_in == 1
    assert by_id.metadata.stype_in == 0
    assert by_name.metadata.schema is None
    assert not by_name.metadata.ts_out


def test_the_lines_of_one_subscription_are_one_request(feed: Path) -> None:
    with run_replay(feed, protocol=GATEWAY) as replay:
        both = run_session(replay, subscribe("AAA", is_last=False), subscribe("BBB"))
    assert both.mbo == encode(adds(3_000))
    assert both.order.startswith("mms.")


def test_a_new_name_is_sent_when_its_day_begins(tmp_path: Path) -> None:
    paths = []
    for number, name in enumerate(["AAA", "CCC"]):
        day = DatedSymbol(DAY + number, DAY + number + 1, "1")
        mappings = (SymbolMapping(name, (day,)),)
        rows = adds(10, ts_recv=DAY_NS + number * NS_PER_DAY)
        paths.append(tmp_path / f"{number}.dbn")
        paths[-1].write_bytes(encode_metadata(Metadata(mappings=mappings)) + encode(rows))
    with run_replay(*paths, protocol=GATEWAY) as replay:
        both = run_session(replay, subscribe("ALL_SYMBOLS"))
        second = run_session(replay, subscribe("CCC"))
    assert both.order == "ms" + 10 * "." + "m" + 10 * "."
    assert both.names() == {1: "CCC"}
    assert second.order == "sm" + 5 * "."  # of its own day only


def test_a_table_is_served_with_names_that_come_late_in_it(feed: Path, tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    frame = batonics.scan_mbo(feed).collect().with_row_index()
    late = frame.filter((pl.col("symbol") == "AAA") | (pl.col("index") > 1_500)).drop("index")
    times = pl.col("ts_recv", "ts_event").dt.strftime("%Y-%m-%dT%H:%M:%S%.9fZ")
    late.with_columns(times, pl.col("price") / 1e9).write_csv(path)
    with run_replay(path, protocol=GATEWAY) as replay:
        second = run_session(replay, subscribe("BBB"))
    rows = adds(3_000)
    assert second.mbo == encode([row for at, row in enumerate(rows) if at % 2 and at > 1_500])


def test_unknown_symbols_are_reported_and_the_others_are_sent(feed: Path) -> None:
    bars = lines.subscription_line("ohlcv-1w", ["AAA"])
    parent = subscribe("AAA.FUT", stype_in="parent")
    isin = subscribe("US0378331005", stype_in="isin")
    with run_replay(feed, protocol=GATEWAY) as replay:
        some = run_session(replay, subscribe("AAA", "CCC"), bars, parent, isin, b"schema=mbo\n")
        none = run_session(replay, subscribe("CCC"))
    codes = [code for code, _ in some.messages()]
    assert codes == [
        ERROR_SYMBOL, SYSTEM_SUBSCRIPTION_ACK, ERROR_SUBSCRIPTION, ERROR_SYMBOL,
        *[ERROR_SUBSCRIPTION] * 2,
    ]  # fmt: skip
    assert some.messages()[0][1] == "symbol 'CCC' could not be resolved"
    assert some.mbo == encode(adds(3_000)[::2])
    assert [code for code, _ in none.messages()] == [ERROR_SYMBOL]
    assert none.mbo == b""


def test_a_start_sends_earlier_records_and_says_when_they_are_complete(feed: Path) -> None:
    start = adds(3_000)[1_000].ts_recv
    with run_replay(feed, protocol=GATEWAY) as replay:
        past = run_session(replay, subscribe("ALL_SYMBOLS", start_ns=start))
    assert past.mbo == encode(adds(3_000)[1_000:])
    assert past.messages()[-1] == (SYSTEM_REPLAY_COMPLETED, "Finished mbo replay")
    assert past.order.endswith(".s")
    assert past.metadata.start == DAY_NS


def test_earlier_records_are_sent_at_once(feed: Path) -> None:
    paced = run_replay(feed, protocol=GATEWAY, pace=Pace(rate=500))
    with paced as replay, log_in(replay) as first, log_in(replay) as second:
        first.start(subscribe("ALL_SYMBOLS"))
        first.file.read(10_000)
        second.start(subscribe("ALL_SYMBOLS", start_ns=1))
        second.file.read(parse_prefix(second.file.read(8)) - 8)
        messages: list[tuple[int | None, str]] = []
        records = 0
        while len(messages) < 2:
            record = second.receive_record()
            records += record.rtype == RTYPE_MBO
            if record.rtype == RTYPE_SYSTEM:
                messages.append(parse_system_message(record, 3))
    assert messages[1] == (SYSTEM_REPLAY_COMPLETED, "Finished mbo replay")
    assert 10_000 // 56 - 20 <= records <= 1_000


def test_an_idle_session_has_a_heartbeat_and_a_busy_one_has_none(tmp_path: Path) -> None:
    path = tmp_path / "idle.dbn"
    late = [row._replace(ts_recv=row.ts_recv + 2_500_000_000) for row in adds(20)]
    path.write_bytes(metadata() + encode(adds(20)) + encode(late))
    with (
        run_replay(path, protocol=GATEWAY, pace=Pace(speed=1)) as replay,
        log_in(replay, heartbeat_interval_s=1) as client,
    ):
        client.start(subscribe("ALL_SYMBOLS"))
        idle = client.receive_rest()
    assert idle.order == "mms" + 20 * "." + "ss" + 20 * "."
    assert idle.messages()[1:] == 2 * [(SYSTEM_HEARTBEAT, "Heartbeat")]
    ts_event = struct.unpack_from("<Q", idle.others[-1].data, 8)[0]
    assert ts_event == adds(20)[-1].ts_recv


@pytest.mark.parametrize("records", [1, 777, 20_000, 38_211])
def test_a_snapshot_is_the_book_at_the_start_of_the_session(test_data: Path, records: int) -> None:
    path = test_data / "clx5" / "CLX5_mbo.dbn"
    decoder = DbnDecoder(batch_rows=1 << 16)
    (batch,) = decoder.feed(path.read_bytes())
    start = int(batch.ts_recv[records])
    with run_replay(path, protocol=GATEWAY, start_ns=start) as replay:
        joined = run_session(replay, subscribe("CLX5", snapshot=True))
    session_books, file_books = BookEngine(), BookEngine()
    sent = joined.batch()
    session_books.fold(sent)
    file_books.fold(batch)
    assert engine_orders(session_books) == engine_orders(file_books)
    is_snapshot = sent.flags & Flag.SNAPSHOT != 0
    before = int(np.searchsorted(batch.ts_recv, start))
    assert len(sent.action) - is_snapshot.sum() == len(batch.action) - before
    assert chr(sent.action[0]) == "R"
    # CLX5 begins in the middle of a session, so the snapshot is flagged as incomplete.
    assert sent.flags[0] & Flag.MAYBE_BAD_BOOK


def test_a_login_outside_the_protocol_is_refused(feed: Path) -> None:
    with run_replay(feed, protocol=GATEWAY) as replay:
        with connect_client(replay) as sock:
            sock.sendall(b"auth=nonsense|dataset=X\n")
            assert b"success=0|error=authentication failed\n" in receive_rest(sock)
        for option in ("encoding=csv", "compression=gzip", "ts_out=1", "heartbeat_interval_s=x"):
            with connect_client(replay) as sock:
                auth = "0" * 64 + "-abcde"
                sock.sendall(f"auth={auth}|dataset=X|{option}\n".encode())
                assert b"success=0|error=" in receive_rest(sock)
        with log_in(replay) as client:
            assert client.answer["success"] == "1"
            client.sock.sendall(subscribe("AAA") + b"start_session\n")
            assert client.receive_rest().mbo == encode(adds(3_000)[::2])


def test_a_subscription_after_the_start_is_answered(feed: Path) -> None:
    paced = run_replay(feed, protocol=GATEWAY, pace=Pace(rate=10_000))
    with paced as replay, log_in(replay) as client:
        client.start(subscribe("AAA"))
        client.sock.sendall(subscribe("BBB"))
        messages = client.receive_rest().messages()
    assert [code for code, _ in messages] == [SYSTEM_SUBSCRIPTION_ACK, ERROR_SUBSCRIPTION]


@pytest.mark.parametrize("schema", ["mbo", "mbp-1"])
def test_a_client_that_disconnects_leaves_no_thread(tmp_path: Path, schema: str) -> None:
    path = tmp_path / "long.dbn"
    path.write_bytes(metadata() + encode(adds(400_000)))
    before = package_threads()
    with run_replay(path, protocol=GATEWAY, loops=0) as replay:
        with log_in(replay) as client:
            client.start(lines.subscription_line(schema, ["ALL_SYMBOLS"]))
            client.file.read(100_000)
        with log_in(replay) as client:
            client.start(lines.subscription_line(schema, ["ALL_SYMBOLS"]))
            client.file.read(100_000)
            replay.close()
    assert package_threads() == before


@pytest.mark.parametrize("schema", ["mbo", "trades"])
def test_a_client_that_reads_too_slowly_is_warned_or_misses_records(
    tmp_path: Path, schema: str
) -> None:
    rows = [row._replace(action=Action.TRADE, order_id=0) for row in adds(3_000)]
    path = tmp_path / "trades.dbn"
    path.write_bytes(metadata() + encode(rows if schema == "trades" else adds(3_000)))
    settings = ReplaySettings(slow_reader_s=0.1, send_buffer_bytes=4096)
    options = {"pace": Pace(rate=20_000), "loops": 8, "settings": settings}
    with run_replay(path, protocol=GATEWAY, **options) as replay, log_in(replay) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.start(lines.subscription_line(schema, ["ALL_SYMBOLS"]))
        time.sleep(0.5)  # what it does not read meanwhile fits no buffer
        received = client.receive_rest()
    said = [message for message in received.messages() if message.code in (2, 7)]
    sent = len(received.mbo) // 56
    trades = sum(record.rtype == 0 for record in received.others)
    if schema == "mbo":
        assert sent == 24_000
        assert {message.code for message in said} == {SYSTEM_SLOW_READER}
        return
    missed = sum(int(message.text.split()[0].replace(",", "")) for message in said)
    assert {message.code for message in said} == {ERROR_SKIPPED_RECORDS}
    assert 0 < missed < trades + missed == 24_000


# ------------------------------------------------------------------ crowds


def test_a_login_has_a_total_time_and_size(feed: Path) -> None:
    settings = ReplaySettings(login_timeout_s=0.4, start_timeout_s=0.4, login_bytes_max=2_000)
    with run_replay(feed, protocol=GATEWAY, settings=settings) as replay:
        with connect_client(replay) as sock:
            with suppress(OSError):
                while True:  # a byte now and then, for ever
                    sock.sendall(b"x")
                    time.sleep(0.05)
            wait_until(lambda: not replay.clients)
        with log_in(replay) as client:  # logged in, it subscribes to nothing
            assert client.file.read() == b""
        with log_in(replay) as client, suppress(OSError):
            line = lines.subscription_line("mbo", ["A" * 60])
            for _ in range(100):
                client.sock.sendall(line)
                time.sleep(0.001)
            assert client.file.read() == b""
        wait_until(lambda: not replay.clients)


def test_idle_logins_are_bounded_in_all_and_by_address(feed: Path) -> None:
    settings = ReplaySettings(clients_max=5, clients_per_address_max=3)
    with run_replay(feed, protocol=GATEWAY, settings=settings) as replay:
        idle = [connect_client(replay) for _ in range(3)]
        greetings = [sock.recv(10) for sock in idle]
        assert all(greetings)
        before = threading.active_count()
        for _ in range(50):
            with connect_client(replay) as sock, suppress(ConnectionError):
                assert sock.recv(10) == b""
        assert threading.active_count() <= before
        idle.pop().close()
        wait_until(lambda: len(replay.clients) == 2)
        with log_in(replay) as client:
            assert client.answer["success"] == "1"
        for sock in idle:
            sock.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
