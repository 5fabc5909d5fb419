"""What one client is sent: loops, positions, pauses, heartbeats, the end."""

from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from batonics.codec.messages import RTYPE_ERROR, RTYPE_SYSTEM
from batonics.gateway.client_sender import (
    ClientChannel,
    ClientSender,
    FaultError,
    Heartbeat,
    ReplayClient,
    ReplayControl,
    SenderSettings,
    StoppedError,
)
from batonics.gateway.fault_injector import FaultInjector, ReplayPosition
from batonics.gateway.faults import Fault, Faults
from batonics.gateway.feed_pieces import BytesLike, FeedPiece
from batonics.gateway.pacing import Pace
from batonics.gateway.slow_reader import SlowReader
from tests.support.dbn_files import encode
from tests.support.fake_clock import FakeClock
from tests.support.replay_feeds import rows, split_pieces

RECORDS = encode(rows(100))


class ShortFeed:
    """A header and 100 records, in pieces of 10."""

    header: BytesLike = b"DBN"
    unpaced_until_ns = -1

    def pieces(self, start_ns: int | None, *, indexed: bool) -> Generator[FeedPiece, None, None]:
        assert start_ns is None
        yield from split_pieces(RECORDS, 560) if indexed else [FeedPiece(RECORDS)]


class EmptyFeed(ShortFeed):
    """A header and nothing."""

    def pieces(self, start_ns: int | None, *, indexed: bool) -> Generator[FeedPiece, None, None]:
        assert (start_ns, indexed) == (None, False)
        yield from ()


def send(feed: ShortFeed, loops: int, injector: FaultInjector | None = None) -> bytes:
    sent = bytearray()
    settings = SenderSettings(ReplayControl(), clock=FakeClock())
    sender = ClientSender(settings, ClientChannel(sent.extend), ReplayClient("x"), injector)
    sender.send_feed(feed, None, loops)
    return bytes(sent)


@pytest.mark.parametrize("units", [0, 1, 99, 100, 101, 250, 300])
def test_a_position_may_be_in_any_loop(units: int) -> None:
    injector = FaultInjector(Faults(), 0, ReplayPosition(units))
    assert send(ShortFeed(), 3, injector) == b"DBN" + (3 * RECORDS)[56 * units :]


def test_an_empty_feed_ends_the_loops() -> None:
    assert send(EmptyFeed(), 0) == b"DBN"
    assert send(ShortFeed(), 2) == b"DBN" + 2 * RECORDS


def test_a_fault_ends_the_connection() -> None:
    injector = FaultInjector(Faults(cut=500, seed=1), 0)
    with pytest.raises(FaultError) as caught:
        send(ShortFeed(), 1, injector)
    assert caught.value.fault is Fault.CUT


def test_an_idle_client_is_sent_heartbeats_until_a_stop() -> None:
    control, clock, beats = ReplayControl(), FakeClock(), 0

    def beat() -> bytes:
        nonlocal beats
        beats += 1
        if beats == 3:
            control.stop()
        return b"beat"

    sent = bytearray()
    channel = ClientChannel(sent.extend, Heartbeat(5, beat))
    settings = SenderSettings(control, Pace(rate=0.01), clock=clock)
    sender = ClientSender(settings, channel, ReplayClient("x"))
    with pytest.raises(StoppedError):
        sender.send_feed(ShortFeed(), None, 1)
    assert sent == b"DBN" + RECORDS[:56] + 3 * b"beat"
    assert 15 * 10**9 <= clock.now <= 16 * 10**9


def test_a_paused_client_is_sent_heartbeats_too() -> None:
    control, sent = ReplayControl(), bytearray()
    control.toggle_pause()
    threading.Timer(0.5, control.toggle_pause).start()
    channel = ClientChannel(sent.extend, Heartbeat(0.1, lambda: b"beat"))
    sender = ClientSender(SenderSettings(control), channel, ReplayClient("x"))
    sender.send_feed(ShortFeed(), None, 1)
    beats = sent.count(b"beat")
    assert bytes(sent) == b"DBN" + beats * b"beat" + RECORDS
    assert 2 <= beats <= 5


@pytest.mark.parametrize("skips", [True, False])
def test_a_slow_reader_misses_records_or_is_warned(*, skips: bool) -> None:
    clock, sent = FakeClock(late_ns=0), list[bytes]()

    def send(data: BytesLike) -> None:
        sent.append(bytes(data))
        if len(sent) == 20:  # the client does not read for two seconds, of which the feed has 20
            clock.now += 2_000_000_000

    slow_reader = SlowReader(500_000_000, skips=skips, feed_ns=lambda: 7)
    channel = ClientChannel(send, slow_reader=slow_reader)
    settings = SenderSettings(ReplayControl(), Pace(rate=10), clock=clock)
    sender = ClientSender(settings, channel, ReplayClient("x"))
    sender.send_feed(ShortFeed(), None, 1)

    rtypes = {RTYPE_ERROR, RTYPE_SYSTEM}
    messages = [data for data in sent[1:] if data[1] in rtypes and len(data) > 56]
    records = b"".join(data for data in sent[1:] if data not in messages)
    assert len(messages) == 1
    if not skips:
        assert records == RECORDS
        assert b"slow reader: records are " in messages[0]
        return
    missed = (len(RECORDS) - len(records)) // 56
    assert missed > 0
    cut = sum(len(data) for data in sent[1 : sent.index(messages[0])])
    assert records == RECORDS[:cut] + RECORDS[cut + 56 * missed :]
    assert f"{missed} records skipped after slow reading".encode() in messages[0]


def test_a_client_that_keeps_up_is_told_nothing() -> None:
    clock, sent = FakeClock(), bytearray()
    channel = ClientChannel(
        sent.extend, slow_reader=SlowReader(500_000_000, skips=True, feed_ns=lambda: 7)
    )
    settings = SenderSettings(ReplayControl(), Pace(rate=1000), clock=clock)
    ClientSender(settings, channel, ReplayClient("x")).send_feed(ShortFeed(), None, 1)
    assert bytes(sent) == b"DBN" + RECORDS
