"""Sends a feed to one client at its pace, and obeys the user's pause, jump and end.

The rule here: what a client receives depends on the feed, its position and its faults, never on
other clients. Only a pause and a jump affect all clients.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple

from batonics.gateway.fault_injector import FaultInjector
from batonics.gateway.faults import Fault
from batonics.gateway.feed_pieces import BytesLike, FeedPiece, ReplayFeed, cut_piece
from batonics.gateway.pacing import (
    FULL_SPEED,
    SLEEP_NS_MAX,
    Pace,
    Pacer,
    PacingClock,
    SystemClock,
)
from batonics.gateway.slow_reader import SlowReader
from batonics.model.times import NS_PER_S


class StoppedError(Exception):
    """The replay is over; it ends the thread of a client."""


class FaultError(Exception):
    """A fault ends the connection.

    Attributes:
        fault: which one.
    """

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(fault.value)


class Jump(NamedTuple):
    """A move of all clients within the feed.

    Attributes:
        number: the number of the jump; each press of a key is another jump.
        by_ns: how far, in the feed's time; negative: back.
    """

    number: int
    by_ns: int


class ReplayControl:
    """What the user asks of all clients: a pause, a jump, the end. Any thread may call it.

    Attributes:
        jump: the last jump.
    """

    def __init__(self) -> None:
        self.jump = Jump(0, 0)
        self._running = threading.Event()
        self._running.set()
        self._stopped = threading.Event()

    @property
    def is_paused(self) -> bool:
        """Whether nothing is sent for now."""
        return not self._running.is_set()

    def toggle_pause(self) -> None:
        """Pause, or continue."""
        if self.is_paused:
            self._running.set()
        else:
            self._running.clear()

    def jump_by(self, by_ns: int) -> None:
        """Move every client by this much of the feed's time; negative: back."""
        self.jump = Jump(self.jump.number + 1, by_ns)

    def stop(self) -> None:
        """End every client."""
        self._stopped.set()
        self._running.set()

    def check(self) -> None:
        """Raise StoppedError if the replay is over."""
        if self._stopped.is_set():
            raise StoppedError

    def wait_while_paused(self, seconds_max: float) -> None:
        """Wait for the end of a pause, at most so long."""
        self._running.wait(seconds_max)

    def sleep(self, seconds: float) -> None:
        """Wait this long; StoppedError if the replay ends meanwhile."""
        if self._stopped.wait(seconds):
            raise StoppedError


@dataclass
class ReplayClient:
    """The progress of one client: its thread writes it, the display reads it.

    Attributes:
        name: the address of the client.
        bytes: the number of bytes sent.
        units: the number of records or lines sent; 0 if the feed is not indexed.
        due_ns: when the last unit sent is due, in the feed's time; None if the feed is not indexed.
        since: when the client connected, in seconds of the monotonic clock.
        anchor_ns: the time from which its units are due, by the monotonic clock; None: the feed is
            sent at full speed.
    """

    name: str
    bytes: int = 0
    units: int = 0
    due_ns: int | None = None
    since: float = field(default_factory=time.monotonic)
    anchor_ns: int | None = None


class Heartbeat(NamedTuple):
    """What an idle client is sent.

    Attributes:
        interval_s: seconds without a byte after which a heartbeat is sent.
        message: makes the bytes of a heartbeat.
    """

    interval_s: float
    message: Callable[[], bytes]


@dataclass(frozen=True)
class ClientChannel:
    """The connection to a client.

    Attributes:
        send: sends bytes; it returns when the system has taken them.
        heartbeat: what an idle client is sent; None: nothing.
        replies: the replies to what the client has sent since the last call.
        slow_reader: what is done if the client reads too slowly; None: it is waited for.
    """

    send: Callable[[BytesLike], object]
    heartbeat: Heartbeat | None = None
    replies: Callable[[], bytes] = bytes
    slow_reader: SlowReader | None = None


@dataclass(frozen=True)
class SenderSettings:
    """What all clients of a replay have in common.

    Attributes:
        control: what the user asks for.
        pace: how fast the feed is sent.
        indexed: whether units are counted even if neither the pace nor faults need it.
        clock: the source of time.
    """

    control: ReplayControl
    pace: Pace = FULL_SPEED
    indexed: bool = False
    clock: PacingClock = field(default_factory=SystemClock)


class ClientSender:
    """Sends a feed to one client.

    Args:
        settings: what all clients have in common.
        channel: the connection to the client.
        client: the progress of the client; the sender updates it.
        injector: the faults of the connection; None: there are none.
    """

    def __init__(
        self,
        settings: SenderSettings,
        channel: ClientChannel,
        client: ReplayClient,
        injector: FaultInjector | None = None,
    ) -> None:
        self._control, self._clock = settings.control, settings.clock
        self._channel, self._client, self._injector = channel, client, injector
        self._indexed = settings.indexed or injector is not None or not settings.pace.is_full_speed
        self._units_to_skip = 0 if injector is None else injector.first_unit
        self._pacer = Pacer(settings.pace, self._clock, self._on_wait)
        self._last_sent_ns = self._clock.now_ns()
        self._jump = self._control.jump

    def send_feed(self, feed: ReplayFeed, start_ns: int | None, loops: int) -> None:
        """Send the feed's header, then its units.

        Args:
            feed: the feed.
            start_ns: the time of the first units; None: the beginning.
            loops: how many times the units are sent; 0: without end.

        Raises:
            OSError: the client has closed the connection.
            StoppedError: the replay is over.
            FaultError: a fault ends the connection.
        """
        self._pacer.unpaced_until_ns = feed.unpaced_until_ns
        self._send(feed.header)
        done, from_ns = 0, start_ns
        while loops == 0 or done < loops:
            before = self._client.bytes, self._units_to_skip
            self._pacer.restart()
            with closing(feed.pieces(from_ns, indexed=self._indexed)) as pieces:
                jump = self._send_until_jump(pieces)
            if jump is not None:
                from_ns = max((self._client.due_ns or 0) + jump.by_ns, 0)
                continue
            if before == (self._client.bytes, self._units_to_skip):
                return  # the feed is empty: another loop would send nothing either
            done, from_ns = done + 1, start_ns

    def _send_until_jump(self, pieces: Iterator[FeedPiece]) -> Jump | None:
        for piece in pieces:
            if piece.due_ns is None:
                self._on_wait(self._clock.now_ns())
                self._send(piece.data)
                continue
            skipped = min(self._units_to_skip, len(piece.due_ns))
            self._units_to_skip -= skipped
            if skipped == len(piece.due_ns):
                continue
            rest = cut_piece(piece, skipped, len(piece.due_ns))
            for first, last in self._pacer.groups(piece.due_ns[skipped:]):
                self._client.anchor_ns = self._pacer.anchor_ns
                if self._admits(last - first):
                    self._send_units(cut_piece(rest, first, last))
                # With faults there are no jumps: a fault is set for a unit of the whole feed.
                if self._control.jump is not self._jump and self._injector is None:
                    self._jump = self._control.jump
                    return self._jump
        if self._channel.slow_reader is not None:
            self._send(self._channel.slow_reader.describe_skipped())
        return None

    def _admits(self, units: int) -> bool:
        """Whether the client is sent its next units; what comes before them is sent."""
        slow_reader = self._channel.slow_reader
        if slow_reader is None:
            return True
        message = slow_reader.admit(units, self._pacer.lag_ns, self._clock.now_ns())
        if message is None:
            return False
        self._send(message)
        return True

    def _send_units(self, piece: FeedPiece) -> None:
        if self._injector is None:
            self._send_piece(piece)
            return
        for step in self._injector.steps(piece):
            self._send_piece(step.piece)
            if step.fault is Fault.STALL:
                self._control.sleep(self._injector.stall_s)
            elif step.fault is not None:
                raise FaultError(step.fault)

    def _send_piece(self, piece: FeedPiece) -> None:
        self._send(piece.data)
        if piece.due_ns is not None and len(piece.due_ns):
            self._client.units += len(piece.due_ns)
            self._client.due_ns = int(piece.due_ns[-1])

    def _send(self, data: BytesLike) -> None:
        if len(data):
            self._channel.send(data)
            self._client.bytes += len(data)
            self._last_sent_ns = self._clock.now_ns()

    def _on_wait(self, now_ns: int) -> int:
        """Send replies and heartbeats, and wait while paused; the length of the pause in ns."""
        begin_ns, heartbeat = now_ns, self._channel.heartbeat
        while True:
            self._control.check()
            self._send(self._channel.replies())
            idle_ns = now_ns - self._last_sent_ns
            if heartbeat is not None and idle_ns >= heartbeat.interval_s * NS_PER_S:
                self._send(heartbeat.message())
            if not self._control.is_paused:
                return now_ns - begin_ns
            self._control.wait_while_paused(SLEEP_NS_MAX / NS_PER_S)
            now_ns = self._clock.now_ns()
