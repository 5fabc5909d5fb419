"""What one client is sent: loops, places, pauses, heartbeats, the end."""

from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from batonics.gateway.faults import Fault, Faults, Injector, Place
from batonics.gateway.pacing import FLAT_OUT, Pace, SystemClock
from batonics.gateway.player import Client, Control, FaultError, Player, StoppedError
from batonics.gateway.tape import Bytes, Piece
from tests.integration.files import encode
from tests.unit.gateway.feeds import pieces_of, rows
from tests.unit.gateway.test_pacing import FakeClock

RECORDS = encode(rows(100))


class ShortFeed:
    """An opening and 100 records, in pieces of 10."""

    opening: Bytes = b"DBN"
    live_ns = -1

    def pieces(self, start_ns: int | None, *, indexed: bool) -> Generator[Piece, None, None]:
        assert start_ns is None
        yield from pieces_of(RECORDS, 560) if indexed else [Piece(RECORDS)]


class EmptyFeed(ShortFeed):
    """An opening and nothing."""

    def pieces(self, start_ns: int | None, *, indexed: bool) -> Generator[Piece, None, None]:
        assert (start_ns, indexed) == (None, False)
        yield from ()


def sent_by(feed: ShortFeed, loops: int, injector: Injector | None = None) -> bytes:
    sent = bytearray()
    player = Player(sent.extend, Client("x"), Control(), FLAT_OUT, FakeClock(), injector=injector)
    player.play(feed, None, loops)
    return bytes(sent)


@pytest.mark.parametrize("units", [0, 1, 99, 100, 101, 250, 300])
def test_a_place_may_be_in_any_loop(units: int) -> None:
    injector = Injector(Faults(), 0, Place(units))
    assert sent_by(ShortFeed(), 3, injector) == b"DBN" + (3 * RECORDS)[56 * units :]


def test_loops_end_where_there_is_nothing() -> None:
    assert sent_by(EmptyFeed(), 0) == b"DBN"
    assert sent_by(ShortFeed(), 2) == b"DBN" + 2 * RECORDS


def test_a_fault_ends_it() -> None:
    injector = Injector(Faults(cut=500, seed=1), 0)
    with pytest.raises(FaultError) as caught:
        sent_by(ShortFeed(), 1, injector)
    assert caught.value.fault is Fault.CUT


def test_an_idle_client_hears_a_heart_and_a_stop_ends_it() -> None:
    control, clock, beats = Control(), FakeClock(), 0

    def beat() -> bytes:
        nonlocal beats
        beats += 1
        if beats == 3:
            control.stop()
        return b"beat"

    sent = bytearray()
    pace = Pace(rate=0.01)
    player = Player(sent.extend, Client("x"), control, pace, clock, heartbeat=(5, beat))
    with pytest.raises(StoppedError):
        player.play(ShortFeed(), None, 1)
    assert sent == b"DBN" + RECORDS[:56] + 3 * b"beat"
    assert 15 * 10**9 <= clock.now <= 16 * 10**9


def test_a_paused_client_hears_a_heart_too() -> None:
    control, sent = Control(), bytearray()
    control.toggle()
    threading.Timer(0.5, control.toggle).start()
    clock, heartbeat = SystemClock(), (0.1, lambda: b"beat")
    player = Player(sent.extend, Client("x"), control, FLAT_OUT, clock, heartbeat=heartbeat)
    player.play(ShortFeed(), None, 1)
    beats = sent.count(b"beat")
    assert bytes(sent) == b"DBN" + beats * b"beat" + RECORDS
    assert 2 <= beats <= 5
