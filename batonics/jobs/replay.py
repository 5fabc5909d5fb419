"""Files as a live feed: what is to be sent, to whoever connects, until it is over.

The rule: each client reads the files anew, from its own place, so that none waits for another.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from batonics.gateway.client_sender import (
    ClientSender,
    FaultError,
    ReplayClient,
    ReplayControl,
    StoppedError,
)
from batonics.gateway.dbn_feed import BytesLike, DbnFeed, LengthPrefixedFeed, ReplayFeed
from batonics.gateway.faults import REPLAY_START, Fault, FaultInjector, Faults, ReplayPosition
from batonics.gateway.ndjson_feed import NdjsonFeed
from batonics.gateway.pacing import FLAT_OUT, Pace, SystemClock
from batonics.gateway.replay_files import ReplayFiles
from batonics.gateway.replay_positions import ReplayPositions
from batonics.gateway.session import (
    Login,
    RefusedError,
    ZstdSender,
    heartbeat,
    late_line_replies,
    log_in,
)
from batonics.gateway.session_feed import SessionFeed
from batonics.gateway.tcp_server import TcpServer, close_gracefully, reset_connection
from batonics.jobs import convert
from batonics.model.errors import BatonicsError, UsageError
from batonics.sinks.logs import logger
from batonics.sources.tcp import TcpAddress

PROTOCOLS = ("dbn", "gateway", "ndjson", "length-prefixed")
KEY_VARIABLE = "BATONICS_GATEWAY_KEY"
PAST_CLIENTS_MAX = 1000
"""Clients that have left, kept for who asks."""


@dataclass(frozen=True)
class ReplayRequest:
    """What is to be replayed, and how.

    Attributes:
        paths: DBN files in the order of their time.
        bind: HOST:PORT to listen on; port 0 lets the system choose.
        protocol: one of PROTOCOLS.
        pace: how fast.
        start_ns: from this time of the feed on; None: from its beginning.
        loops: so many times over; 0: until it is ended.
        once: end after the first client that has been sent everything.
        indexed: count units even where nothing else asks for it.
        faults: what is to go wrong, if anything.
    """

    paths: tuple[str, ...]
    bind: str
    protocol: str = "dbn"
    pace: Pace = FLAT_OUT
    start_ns: int | None = None
    loops: int = 1
    once: bool = False
    indexed: bool = False
    faults: Faults | None = None

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise UsageError(f"no protocol {self.protocol!r}; there are {', '.join(PROTOCOLS)}")
        TcpAddress.parse(self.bind)


class Replay:
    """A replay that listens, until it is closed.

    Attributes:
        address: it listens on.
        control: pauses, moves and ends it.
        clients: those connected now.
        departed: the last ones that have left.
        places: where broken connections go on, and the ledger of faults.
        done: set when it is over by itself (`Request.once`).

    Raises:
        BatonicsError: the files cannot be replayed, or the address cannot be listened on.
    """

    def __init__(self, request: ReplayRequest) -> None:
        self.request = request
        self.control = ReplayControl()
        self.clients: list[ReplayClient] = []
        self.past_clients: deque[ReplayClient] = deque(maxlen=PAST_CLIENTS_MAX)
        self.done = threading.Event()
        self._clock = SystemClock()
        self._log = logger("replay")
        self.positions = ReplayPositions()
        self._reached_ns: int | None = None
        self._play = self._player_of(request)
        self._server = TcpServer(TcpAddress.parse(request.bind), self._serve)
        self.address = self._server.address

    def close(self) -> None:
        """End every client, and listen no longer."""
        self.control.stop()
        self._server.close()

    def _player_of(self, request: ReplayRequest) -> Callable[[socket.socket, ReplayClient], None]:
        """What serves a client in the protocol that is asked for."""
        paths = request.paths
        if request.protocol == "gateway":
            return _Gateway(self, ReplayFiles(paths)).play
        feed: ReplayFeed
        if request.protocol == "ndjson":
            feed = NdjsonFeed(paths)
        elif request.protocol == "length-prefixed":
            feed = LengthPrefixedFeed(paths)
        else:
            several = len(paths) > 1
            feed = DbnFeed(
                paths,
                convert.output_metadata(convert.ConvertRequest(paths, "mbo")).mappings
                if several
                else None,
            )
        return lambda sock, client: self._play_plain(sock, client, feed)

    def _serve(self, sock: socket.socket, name: str) -> None:
        client = ReplayClient(name)
        self.clients.append(client)
        self._log.info("client_connected", client=name)
        ended = "served"
        try:
            self._play(sock, client)
            close_gracefully(sock)
        except StoppedError:
            ended = "stopped"
        except FaultError as error:
            ended = error.fault.value
            if error.fault is Fault.RST:
                reset_connection(sock)
            else:
                close_gracefully(sock)
        except RefusedError as error:
            ended = f"refused: {error}"
        except OSError as error:
            ended = error.strerror or str(error)
        except BatonicsError as error:
            ended = str(error)
            self._log.error("input_failed", client=name, error=ended)
            reset_connection(sock)
        finally:
            self.clients.remove(client)
            self.past_clients.append(client)
            if client.due_ns is not None:
                self._reached_ns = max(client.due_ns, self._reached_ns or 0)
        self._log.info(
            "client_left",
            client=name,
            ended=ended,
            bytes=client.bytes,
            records=client.units or None,
            anchor_ns=client.anchor_ns,
        )
        if ended == "served" and self.request.once:
            self.done.set()

    def reached_ns(self) -> int | None:
        """How far the feed has been live for anybody; None: flat out, for nobody yet."""
        reached = [client.due_ns for client in list(self.clients) if client.due_ns is not None]
        if self._reached_ns is not None:
            reached.append(self._reached_ns)
        if reached:
            return max(reached)
        return None if self.request.pace.flat_out else self.request.start_ns or 0

    def _play_plain(self, sock: socket.socket, client: ReplayClient, feed: ReplayFeed) -> None:
        records = self.request.protocol == "dbn"
        number, position = self.positions.take()
        injector = self.injector(number, position, records=records)
        self.play(sock.sendall, client, feed, self.request.start_ns, injector)

    def injector(
        self, number: int, position: ReplayPosition, *, records: bool = True
    ) -> FaultInjector | None:
        """The faults of a connection, if there are to be any."""
        faults = self.request.faults
        return None if faults is None else FaultInjector(faults, number, position, records=records)

    def play(  # noqa: PLR0913, PLR0917 - what a connection is made of
        self,
        send: Callable[[BytesLike], object],
        client: ReplayClient,
        feed: ReplayFeed,
        start_ns: int | None,
        injector: FaultInjector | None,
        heartbeat: tuple[float, Callable[[], bytes]] | None = None,
        listen: Callable[[], bytes] = bytes,
    ) -> None:
        """Send a feed to a client, with the faults asked for."""
        request = self.request
        player = ClientSender(
            send,
            client,
            self.control,
            request.pace,
            self._clock,
            indexed=request.indexed,
            heartbeat=heartbeat,
            injector=injector,
            stall_ms=request.faults.stall_ms if request.faults else 0,
            listen=listen,
        )
        fault = None
        try:
            player.play(feed, start_ns, request.loops)
        except FaultError as error:
            fault = error.fault
            raise
        finally:
            if injector is not None:
                self.positions.leave(injector, fault)


class _Gateway:
    """Serves clients in the vendor's live protocol."""

    def __init__(self, replay: Replay, replay_files: ReplayFiles) -> None:
        self._replay, self._library = replay, replay_files

    def play(self, sock: socket.socket, client: ReplayClient) -> None:
        """One session."""
        login = log_in(sock, self._library, os.environ.get(KEY_VARIABLE) or None)
        replay = self._replay
        number, position = replay.positions.take()
        start_ns = replay.request.start_ns
        feed = self._feed(login, start_ns)
        if feed.has_snapshot and position.units:
            # The books tell all that was before: the session goes on behind it.
            start_ns, position = position.due_ns + 1, REPLAY_START
            feed = self._feed(login, start_ns)
        if feed.has_start:
            position = ReplayPosition(suspects=position.suspects)
        injector = replay.injector(number, position)
        if injector is not None and feed.has_start:
            feed.rewind(injector.earlier_ns())
        send: Callable[[BytesLike], object] = sock.sendall
        if login.who.compression == "zstd":
            send = ZstdSender(sock.sendall)

        def now_ns() -> int:
            return client.due_ns or feed.now_ns

        beat = float(login.who.heartbeat_interval_s), lambda: heartbeat(now_ns())
        listen = late_line_replies(sock, login.rest, now_ns)
        replay.play(send, client, feed, start_ns, injector, beat, listen)

    def _feed(self, login: Login, start_ns: int | None) -> SessionFeed:
        reached_ns = self._replay.reached_ns()
        return SessionFeed(self._library, login.subscriptions, start_ns, reached_ns)
