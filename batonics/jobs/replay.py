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

from batonics.gateway.faults import BEGINNING, Fault, Faults, Injector, Place
from batonics.gateway.library import Library
from batonics.gateway.ops_feed import OpsFeed
from batonics.gateway.pacing import FLAT_OUT, Pace, SystemClock
from batonics.gateway.places import Places
from batonics.gateway.player import Client, Control, FaultError, Player, StoppedError
from batonics.gateway.server import Server, reset, say_farewell
from batonics.gateway.session import (
    Login,
    Packer,
    RefusedError,
    heartbeat,
    late_words,
    log_in,
)
from batonics.gateway.session_feed import SessionFeed
from batonics.gateway.tape import Bytes, DbnFeed, Feed, PrefixedFeed
from batonics.jobs import convert
from batonics.model.errors import BatonicsError, UsageError
from batonics.sinks.logs import logger
from batonics.sources.tcp import Address

PROTOCOLS = ("dbn", "gateway", "ndjson", "length-prefixed")
KEY_VARIABLE = "BATONICS_GATEWAY_KEY"
DEPARTED_KEPT = 1000
"""Clients that have left, kept for who asks."""


@dataclass(frozen=True)
class Request:
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
        Address.parse(self.bind)


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

    def __init__(self, request: Request) -> None:
        self.request = request
        self.control = Control()
        self.clients: list[Client] = []
        self.departed: deque[Client] = deque(maxlen=DEPARTED_KEPT)
        self.done = threading.Event()
        self._clock = SystemClock()
        self._log = logger("replay")
        self.places = Places()
        self._reached_ns: int | None = None
        self._play = self._player_of(request)
        self._server = Server(Address.parse(request.bind), self._serve)
        self.address = self._server.address

    def close(self) -> None:
        """End every client, and listen no longer."""
        self.control.stop()
        self._server.close()

    def _player_of(self, request: Request) -> Callable[[socket.socket, Client], None]:
        """What serves a client in the protocol that is asked for."""
        paths = request.paths
        if request.protocol == "gateway":
            return _Gateway(self, Library(paths)).play
        feed: Feed
        if request.protocol == "ndjson":
            feed = OpsFeed(paths)
        elif request.protocol == "length-prefixed":
            feed = PrefixedFeed(paths)
        else:
            several = len(paths) > 1
            feed = DbnFeed(
                paths,
                convert.metadata(convert.Request(paths, "mbo")).mappings if several else None,
            )
        return lambda sock, client: self._play_plain(sock, client, feed)

    def _serve(self, sock: socket.socket, name: str) -> None:
        client = Client(name)
        self.clients.append(client)
        self._log.info("client_connected", client=name)
        ended = "served"
        try:
            self._play(sock, client)
            say_farewell(sock)
        except StoppedError:
            ended = "stopped"
        except FaultError as error:
            ended = error.fault.value
            if error.fault is Fault.RST:
                reset(sock)
            else:
                say_farewell(sock)
        except RefusedError as error:
            ended = f"refused: {error}"
        except OSError as error:
            ended = error.strerror or str(error)
        except BatonicsError as error:
            ended = str(error)
            self._log.error("input_failed", client=name, error=ended)
            reset(sock)
        finally:
            self.clients.remove(client)
            self.departed.append(client)
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

    def _play_plain(self, sock: socket.socket, client: Client, feed: Feed) -> None:
        records = self.request.protocol == "dbn"
        number, place = self.places.take()
        injector = self.injector(number, place, records=records)
        self.play(sock.sendall, client, feed, self.request.start_ns, injector)

    def injector(self, number: int, place: Place, *, records: bool = True) -> Injector | None:
        """The faults of a connection, if there are to be any."""
        faults = self.request.faults
        return None if faults is None else Injector(faults, number, place, records=records)

    def play(  # noqa: PLR0913, PLR0917 - what a connection is made of
        self,
        send: Callable[[Bytes], object],
        client: Client,
        feed: Feed,
        start_ns: int | None,
        injector: Injector | None,
        heartbeat: tuple[float, Callable[[], bytes]] | None = None,
        listen: Callable[[], bytes] = bytes,
    ) -> None:
        """Send a feed to a client, with the faults asked for."""
        request = self.request
        player = Player(
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
                self.places.leave(injector, fault)


class _Gateway:
    """Serves clients in the vendor's live protocol."""

    def __init__(self, replay: Replay, library: Library) -> None:
        self._replay, self._library = replay, library

    def play(self, sock: socket.socket, client: Client) -> None:
        """One session."""
        login = log_in(sock, self._library, os.environ.get(KEY_VARIABLE) or None)
        replay = self._replay
        number, place = replay.places.take()
        start_ns = replay.request.start_ns
        feed = self._feed(login, start_ns)
        if feed.asks_for_books and place.units:
            # The books tell all that was before: the session goes on behind it.
            start_ns, place = place.due_ns + 1, BEGINNING
            feed = self._feed(login, start_ns)
        if feed.asks_for_time:
            place = Place(suspects=place.suspects)
        injector = replay.injector(number, place)
        if injector is not None and feed.asks_for_time:
            feed.begin_earlier(injector.earlier_ns())
        send: Callable[[Bytes], object] = sock.sendall
        if login.who.compression == "zstd":
            send = Packer(sock.sendall)

        def now_ns() -> int:
            return client.due_ns or feed.now_ns

        beat = float(login.who.heartbeat_interval_s), lambda: heartbeat(now_ns())
        listen = late_words(sock, login.rest, now_ns)
        replay.play(send, client, feed, start_ns, injector, beat, listen)

    def _feed(self, login: Login, start_ns: int | None) -> SessionFeed:
        reached_ns = self._replay.reached_ns()
        return SessionFeed(self._library, login.subscriptions, start_ns, reached_ns)
