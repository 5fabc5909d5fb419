"""Sends a feed to one client: at its pace, paused, moved and ended as the user wants.

The rule here: what a client gets depends on the feed, on its place and on the faults asked for,
never on other clients; only a pause and a jump are everybody's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple

from batonics.gateway.dbn_feed import FeedPiece, ReplayFeed, cut_piece
from batonics.gateway.faults import Fault, FaultInjector
from batonics.gateway.pacing import SLEEP_NS_MAX, Pace, Pacer, PacingClock

NS_PER_S = 1_000_000_000


class StoppedError(Exception):
    """The replay is over: what a client's thread ends by."""


class FaultError(Exception):
    """A fault ends the connection."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(fault.value)


class Jump(NamedTuple):
    """A move of everybody's place; each `number` is one press of a key."""

    number: int
    by_ns: int


class ReplayControl:
    """What the user wants of all clients: a pause, a jump, the end. Safe from any thread."""

    def __init__(self) -> None:
        self.jump = Jump(0, 0)
        self._going = threading.Event()
        self._going.set()
        self._stopped = threading.Event()

    @property
    def paused(self) -> bool:
        """Whether nothing is sent for now."""
        return not self._going.is_set()

    def toggle(self) -> None:
        """Pause, or go on."""
        if self.paused:
            self._going.set()
        else:
            self._going.clear()

    def move(self, by_ns: int) -> None:
        """Move every client's place by so much of the feed's time, back if it is negative."""
        self.jump = Jump(self.jump.number + 1, by_ns)

    def stop(self) -> None:
        """End every client."""
        self._stopped.set()
        self._going.set()

    def check(self) -> None:
        """StoppedError if it is over."""
        if self._stopped.is_set():
            raise StoppedError

    def wait_paused(self, seconds: float) -> None:
        """Wait for the end of a pause, or for so long."""
        self._going.wait(seconds)

    def wait(self, seconds: float) -> None:
        """Wait; StoppedError if it is over by then."""
        if self._stopped.wait(seconds):
            raise StoppedError


@dataclass
class ReplayClient:
    """What is known of one client: written by its thread, read by the display.

    Attributes:
        name: its address.
        bytes: sent.
        units: records or lines sent; 0 if nobody looked at them.
        due_ns: when the last one sent is due, in the feed's time; None: as `units`.
        since: when it came, seconds of the monotonic clock.
        anchor_ns: from when on its units are due, by the monotonic clock; None: flat out.
    """

    name: str
    bytes: int = 0
    units: int = 0
    due_ns: int | None = None
    since: float = field(default_factory=time.monotonic)
    anchor_ns: int | None = None


class ClientSender:
    """Sends to one client.

    Args:
        send: takes bytes, and returns when they are on their way.
        client: what is told of it.
        control: what the user wants.
        pace: how fast.
        clock: the time.
        indexed: look at the units even where nothing asks for it, so that they are counted.
        heartbeat: with an interval in seconds, what is sent after such a time without anything.
        injector: the faults of the connection.
        stall_ms: how long a stall lasts.
        listen: called now and then: what the client says in between, and what is to be answered.
    """

    def __init__(  # noqa: PLR0913 - settings, by keyword
        self,
        send: Callable[[bytes | memoryview], object],
        client: ReplayClient,
        control: ReplayControl,
        pace: Pace,
        clock: PacingClock,
        *,
        indexed: bool = False,
        heartbeat: tuple[float, Callable[[], bytes]] | None = None,
        injector: FaultInjector | None = None,
        stall_ms: int = 0,
        listen: Callable[[], bytes] = bytes,
    ) -> None:
        self._send, self._client, self._control, self._clock = send, client, control, clock
        self._injector, self._stall_s, self._listen = injector, stall_ms / 1000, listen
        self._indexed = indexed or injector is not None or not pace.flat_out
        self._to_skip = 0 if injector is None else injector.first_unit
        self._heartbeat = heartbeat
        self._pacer = Pacer(pace, clock, self._tick)
        self._sent_ns = clock.now_ns()
        self._jump = control.jump

    def play(self, feed: ReplayFeed, start_ns: int | None, loops: int) -> None:
        """Send the feed's opening, then its units from a time on, so many times over (0: always).

        Raises:
            OSError: the client has gone.
            StoppedError: the replay is over.
            FaultError: the connection is to be ended.
        """
        self._pacer.live_ns = feed.live_ns
        self._out(feed.opening)
        done, from_ns = 0, start_ns
        while loops == 0 or done < loops:
            before = self._client.bytes, self._to_skip
            self._pacer.restart()
            with closing(feed.pieces(from_ns, indexed=self._indexed)) as pieces:
                jump = self._send_until_jump(pieces)
            if jump is not None:
                from_ns = max((self._client.due_ns or 0) + jump.by_ns, 0)
                continue
            if before == (self._client.bytes, self._to_skip):
                return  # there is nothing to send again and again
            done, from_ns = done + 1, start_ns

    def _send_until_jump(self, pieces: Iterator[FeedPiece]) -> Jump | None:
        for piece in pieces:
            if piece.due_ns is None:
                self._tick(self._clock.now_ns())
                self._out(piece.data)
                continue
            skipped = min(self._to_skip, len(piece.due_ns))
            self._to_skip -= skipped
            if skipped == len(piece.due_ns):
                continue
            wanted = cut_piece(piece, skipped, len(piece.due_ns))
            for first, last in self._pacer.groups(piece.due_ns[skipped:]):
                self._client.anchor_ns = self._pacer.anchor_ns
                self._send_units(cut_piece(wanted, first, last))
                # A jump would put the places of faults out of joint.
                if self._control.jump is not self._jump and self._injector is None:
                    self._jump = self._control.jump
                    return self._jump
        return None

    def _send_units(self, piece: FeedPiece) -> None:
        if self._injector is None:
            self._send_whole(piece)
            return
        for step in self._injector.steps(piece):
            self._send_whole(step.piece)
            if step.fault is Fault.STALL:
                self._control.wait(self._stall_s)
            elif step.fault is not None:
                raise FaultError(step.fault)

    def _send_whole(self, piece: FeedPiece) -> None:
        self._out(piece.data)
        if piece.due_ns is not None and len(piece.due_ns):
            self._client.units += len(piece.due_ns)
            self._client.due_ns = int(piece.due_ns[-1])

    def _out(self, data: bytes | memoryview) -> None:
        if len(data):
            self._send(data)
            self._client.bytes += len(data)
            self._sent_ns = self._clock.now_ns()

    def _tick(self, now_ns: int) -> int:
        """Heed the user, and keep an idle client's heart beating; how long a pause was, in ns."""
        begun_ns = now_ns
        while True:
            self._control.check()
            self._out(self._listen())
            if self._heartbeat is not None:
                interval_s, beat = self._heartbeat
                if now_ns - self._sent_ns >= interval_s * NS_PER_S:
                    self._out(beat())
            if not self._control.paused:
                return now_ns - begun_ns
            self._control.wait_paused(SLEEP_NS_MAX / NS_PER_S)
            now_ns = self._clock.now_ns()
