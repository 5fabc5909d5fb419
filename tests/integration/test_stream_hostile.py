"""What a hostile or broken feed may do to `batonics stream`: be refused, and be ended at once.

The rule: real sockets. That a run ends is what is asserted, while its feed still sends.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise, repeat

import numpy as np
import pytest
from backports import zstd

from batonics.codec.metadata import Metadata, encode_metadata
from batonics.live.feed_handler import FeedHandler
from batonics.live.feeds import GatewayFeed, GatewaySubscription, PlainFeed
from batonics.live.ingest import IngestLoop
from batonics.live.protocol import FeedState
from batonics.model.mbo import MBO_DTYPE, RTYPE_MBO, Action, Flag, Side
from batonics.model.secret import Secret
from batonics.settings.table import LiveSettings
from batonics.sources.tcp import TcpAddress
from tests.support.command import error_line, run_in_process
from tests.support.dbn_files import SMALL
from tests.support.fake_server import FakeServer
from tests.support.live_feed import LiveFeed, ServedConnection

DEADLINE_S = 30
BLANKS = b" \n" * 32_500


def record_bytes(records: int) -> bytes:
    record = np.zeros(records, MBO_DTYPE)
    record["length"], record["rtype"] = MBO_DTYPE.itemsize // 4, RTYPE_MBO
    record["action"], record["side"], record["flags"] = Action.CLEAR, Side.NONE, Flag.LAST
    return record.tobytes()


@contextmanager
def endless(pieces: Iterator[bytes]) -> Iterator[TcpAddress]:
    """A server that sends pieces to its one client until the client goes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            client, _ = listener.accept()
            with client:
                for piece in pieces:
                    client.sendall(piece)
                client.settimeout(DEADLINE_S)
                client.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield TcpAddress(*listener.getsockname())
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(DEADLINE_S)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def running(loop: IngestLoop) -> Iterator[threading.Thread]:
    """A run of ingest in a thread; it has ended after the block, which must ask it to."""
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    yield thread
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("chunk", [7, 1 << 16])
def test_blanks_before_the_first_record_are_refused_as_in_batch(
    chunk: int, *, compress: bool
) -> None:
    data = zstd.compress(BLANKS) if compress else BLANKS
    with LiveFeed([ServedConnection(data, chunk=chunk)]) as feed:
        done = run_in_process("stream", "--connect", feed.address, "--once", "--quiet")
    assert "4096 bytes of white space come first" in error_line(done, 3)


FLOODS: dict[str, Callable[[], Iterator[bytes]]] = {
    "records": lambda: repeat(record_bytes(30_000)),
    # Frames of a few bytes, each of which inflates to 1.7 MB of records.
    "bomb": lambda: repeat(zstd.compress(record_bytes(30_000)) * 500),
    "empty frames": lambda: iter([zstd.compress(record_bytes(1)), zstd.compress(b"") * 10**6]),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_run_ends_when_it_is_asked_to_whatever_arrives(flood: str) -> None:
    handler = FeedHandler(source="a flood")
    with endless(FLOODS[flood]()) as address:
        loop = IngestLoop(handler, PlainFeed(address), settings=LiveSettings(drain_s=0.1))
        with running(loop):
            wait_for(lambda: handler.stats.records > 0)
            loop.stop()
    assert handler.stats.feed == FeedState.ENDED


def test_a_bomb_is_taken_in_short_steps() -> None:
    handler = FeedHandler(source="a bomb")
    handler.begin_connection()
    steps = handler.process_batches(zstd.compress(record_bytes(30_000)) * 20)
    records = [0, *(handler.stats.records for _ in steps)]
    assert records[-1] == 600_000
    assert max(after - before for before, after in pairwise(records)) < 40_000


@pytest.mark.parametrize("kind", ["plain", "gateway"])
def test_a_run_ends_while_the_other_side_is_silent(kind: str) -> None:
    server = FakeServer()
    settings = LiveSettings(stats_interval_s=0.05)
    with endless(iter([b"lsg_version=1\n"] if kind == "gateway" else [])) as address:
        subscription = GatewaySubscription("GLBX.MDP3", ("ALL_SYMBOLS",))
        source = (
            GatewayFeed(address, Secret("k" * 32), subscription, settings)
            if kind == "gateway"
            else PlainFeed(address, settings)
        )
        loop = IngestLoop(FeedHandler(), source, link=server.link, settings=settings)
        with running(loop) as thread:
            while len(server.feeds) < 5:  # the server is told that ingest lives all the same
                server.read()
            loop.stop()
            thread.join(DEADLINE_S)
            server.link.close()
            server.read_to_the_end()
    assert server.feeds[-1] == FeedState.ENDED


def test_a_login_has_a_total_time() -> None:
    def drip() -> Iterator[bytes]:
        while True:
            time.sleep(0.02)
            yield b"x"

    settings = LiveSettings(connect_timeout_s=0.3)
    with endless(drip()) as address:
        subscription = GatewaySubscription("GLBX.MDP3", ("ALL_SYMBOLS",))
        source = GatewayFeed(address, Secret("k" * 32), subscription, settings)
        with pytest.raises(TimeoutError):
            source.connect(FeedHandler())


def test_a_new_name_is_sent_to_the_server_once() -> None:
    names, server = 300, FakeServer()
    lines = [
        f'{{"type":"clear","symbol":"S{number}","seq":1,"ts_ns":1}}\n'.encode()
        for number in range(names)
    ]
    with LiveFeed([ServedConnection(b"".join(lines), chunk=len(lines[-1]))]) as feed:
        handler = FeedHandler()
        loop = IngestLoop(
            handler, PlainFeed(TcpAddress.parse(feed.address)), link=server.link, once=True
        )
        with running(loop) as thread:
            thread.join(DEADLINE_S)
            server.link.close()
            server.read_to_the_end()
    assert server.name_rows == names
    assert [server.names[book][3] for book in range(names)] == [f"S{n}" for n in range(names)]
    assert sorted(server.rows) == list(range(names))


def test_a_feed_that_stalls_is_marked_and_its_books_keep_their_status() -> None:
    server, proceed = FakeServer(), threading.Event()
    settings = LiveSettings(stall_timeout_s=0.3, stats_interval_s=0.05)

    def pieces() -> Iterator[bytes]:
        yield SMALL
        proceed.wait(DEADLINE_S)
        yield record_bytes(1)

    handler = FeedHandler()
    with endless(pieces()) as address:
        loop = IngestLoop(handler, PlainFeed(address), link=server.link, settings=settings)
        with running(loop) as thread:
            while FeedState.STALLED not in server.feeds:
                server.read()
            before = {book: row["status"] for book, row in server.rows.items()}
            assert handler.stats.stalls == 1
            proceed.set()
            while server.feeds[-1] != FeedState.LIVE:
                server.read()
            loop.stop()
            thread.join(DEADLINE_S)
            server.link.close()
            server.read_to_the_end()
    states = [FeedState(feed) for feed in dict.fromkeys(server.feeds)]
    assert states[-3:] == [FeedState.LIVE, FeedState.STALLED, FeedState.ENDED]
    assert {book: server.rows[book]["status"] for book in before} == before


def test_metadata_before_the_first_record_may_take_its_time() -> None:
    with LiveFeed([ServedConnection(encode_metadata(Metadata()), chunk=1)]) as feed:
        done = run_in_process("stream", "--connect", feed.address, "--once", "--quiet")
    assert done.code == 0, done.err
